"""`kindred fit`: learn what a recipe needs: a codebook, a whitening, a code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.options import AllowCode, AsJson, Settings, chosen_recipe
from kindred.cli.output import counted, print_json, say, shown, typed
from kindred.cli.progress import Meter
from kindred.cli.running import interruptible
from kindred.errors import UsageError

if TYPE_CHECKING:
    pass

__all__ = ["fit"]


def fit(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="The recipe to start from: a name or a .toml file.")],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGES", help="Images or folders to learn from, not those to be searched.")
    ],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="NAME.toml", help="The new recipe; what it learns goes beside it.")
    ],
    settings: Settings = None,
    words: Annotated[
        int, typer.Option("--words", min=1, metavar="N", help="How many visual words an embedding learns.")
    ] = 64,
    local_dimension: Annotated[
        int | None,
        typer.Option(
            "--local-dimension", min=1, metavar="N", help="Reduce local descriptors to N numbers. Default: 128 at most."
        ),
    ] = None,
    whitening: Annotated[
        bool | None,
        typer.Option(
            "--whitening/--no-whitening",
            help="Learn a whitening of the vectors. Default: yes, but not for asmk, nor with --code if there is one.",
        ),
    ] = None,
    dimension: Annotated[
        int | None,
        typer.Option("--dimension", "-d", min=1, metavar="N", help="How many numbers to keep. Default: all."),
    ] = None,
    power: Annotated[
        float,
        typer.Option("--power", min=0.0, max=1.0, metavar="P", help="0.5 whitens, 0 only rotates."),
    ] = 0.5,
    code: Annotated[
        str, typer.Option("--code", metavar="NAME", help="Learn a compact code to search by: pq, itq, lsh or sign.")
    ] = "",
    bits: Annotated[int, typer.Option("--bits", min=1, metavar="N", help="The size of a code.")] = 256,
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs", metavar="GROUNDTRUTH", help="Learn the whitening from pairs that match, of a ground truth."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="Learn from N of the images, evenly chosen.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="The same seed learns the same.")] = 0,
    allow_code: AllowCode = False,
    as_json: AsJson = False,
) -> None:
    """Learn a codebook, whitening or code for a recipe.

    The new recipe is the old one with what was learned.

    An embedding (bow, vlad, fisher, netvlad, asmk) needs visual words, learned on the images' own local descriptors.
    Whitening takes away what all images have in common, which finds more and makes vectors shorter. It needs more
    images than the vectors have numbers; some thousands are good. A code lets a library search some bytes of each
    image in place of its vector.
    """
    from kindred.describer import fit_recipe
    from kindred.service import FitForm

    if output.suffix != ".toml":
        raise UsageError(f"--output is {output}; expected a name that ends in .toml")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"--output is {output}, in a folder that is not there; make the folder first")
    start = chosen_recipe(recipe, settings, allow_code=allow_code)
    paths = _chosen(list(_files(images)), limit)
    with (
        interruptible("nothing was written: run the same command again"),
        Meter("Fitting", quiet=as_json) as meter,
    ):
        fitted = fit_recipe(
            start,
            paths,
            words=words,
            local_dimension=local_dimension,
            whiten=whitening,
            dimension=dimension,
            power=power,
            pairs=_pairs(pairs) if pairs is not None else (),
            code=code,
            bits=bits,
            seed=seed,
            progress=lambda done: meter.update(done, len(paths)),
        )
    written = fitted.save(output)
    form = FitForm.of(fitted, output, written[1:])
    if as_json:
        print_json(form)
        return
    numbers = f": {fitted.dimension:,} numbers an image" if fitted.dimension else ""
    coded = f", {found} bytes in its code" if (found := form.code_bytes) else ""
    say(f"Fitted on {counted(fitted.images, 'image')}{numbers}{coded}.")
    say(f"Wrote {', '.join(shown(file) for file in written)}")
    say(f"Next: kindred index FOLDER --library DIR --recipe {typed(output)}", gap=True)


def _pairs(groundtruth: Path) -> list[tuple[Path, Path]]:
    """Return each query of a ground truth with each of its right answers."""
    from kindred.evaluation import read_groundtruth

    truth = read_groundtruth(groundtruth)
    database, queries = truth.locate()
    return [
        (file, database[place])
        for file, query in zip(queries, truth.queries, strict=True)
        for judgement in list(query.judgements.values())[:1]
        for place in judgement.relevant.tolist()
    ]


def _chosen(paths: list[Path], limit: int | None) -> list[Path]:
    """Return `limit` of the paths, evenly spread, so that all folders are among them."""
    if limit is None or limit >= len(paths):
        return paths
    return [paths[at * len(paths) // limit] for at in range(limit)]


def _files(images: Sequence[Path]) -> Iterator[Path]:
    """The images named, and those in the folders named."""
    from kindred.images import find_images

    for path in images:
        if path.is_file():
            yield path
        else:  # raises for what is not there
            yield from (found.path for found in find_images(path) if found.reason is None)
