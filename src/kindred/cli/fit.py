"""`kindred fit`: learn a whitening for a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from kindred.cli.options import AsJson
from kindred.cli.output import print_json, say, shown, typed
from kindred.cli.progress import Meter
from kindred.cli.running import interruptible
from kindred.errors import UsageError

__all__ = ["fit"]


def fit(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="The recipe to start from: a name or a .toml file.")],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGES", help="Images or folders to learn from, not those to be searched.")
    ],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="NAME.toml", help="The new recipe; NAME.npz goes beside it.")
    ],
    dimension: Annotated[
        int | None,
        typer.Option("--dimension", "-d", min=1, metavar="N", help="How many numbers to keep. Default: all."),
    ] = None,
    power: Annotated[
        float,
        typer.Option("--power", min=0.0, max=1.0, metavar="P", help="0.5 whitens, 0 only rotates."),
    ] = 0.5,
    as_json: AsJson = False,
) -> None:
    """Learn a whitening (PCA) and write the recipe that uses it.

    Whitening takes away what all images have in common, which finds more and makes vectors shorter. It needs more
    images than the vectors have numbers; some thousands are good.
    """
    from dataclasses import replace

    from kindred.describer import fit_whitening, save_whitening
    from kindred.recipe import Recipe

    if output.suffix != ".toml":
        raise UsageError(f"--output is {output}; expected a name that ends in .toml")
    start = Recipe.load(recipe)
    paths = list(_files(images))
    with interruptible("nothing was written: run the same command again"), Meter("Describing", quiet=as_json) as meter:
        whitening = fit_whitening(
            start,
            paths,
            dimension=dimension,
            power=power,
            progress=lambda done: meter.update(done, len(paths)),
        )
    arrays = output.with_suffix(".npz")
    save_whitening(arrays, whitening)
    # The recipe names the file beside it, so the two can be moved together.
    fitted = replace(start, name=output.stem, whitening=arrays.name, dimension=0)
    output.write_text(fitted.to_toml(), encoding="utf-8")
    if as_json:
        facts = {"images": len(paths), "dimension": whitening.dimension, "power": power}
        print_json({"recipe": str(output), "whitening": str(arrays), **facts})
        return
    say(f"Wrote {shown(output)} and {shown(arrays)}: {whitening.dimension} numbers an image.")
    say(f"\nNext: kindred index FOLDER --library DIR --recipe {typed(output)}")


def _files(images: Sequence[Path]) -> Iterator[Path]:
    """The images named, and those in the folders named."""
    from kindred.images import find_images

    for path in images:
        if path.is_file():
            yield path
        else:  # raises for what is not there
            yield from (found.path for found in find_images(path) if found.reason is None)
