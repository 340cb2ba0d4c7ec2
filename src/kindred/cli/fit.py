"""`kindred fit`: fit the codebook, whitening or code of a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.fit_options import CodeOptions, LabelledOptions, VocabularyOptions, WhiteningOptions
from kindred.cli.groups import with_groups
from kindred.cli.options import AllowCode, AsJson, Settings, chosen_recipe
from kindred.cli.output import columns, counted, print_json, say, shown, typed
from kindred.cli.progress import Meter
from kindred.cli.running import interruptible
from kindred.errors import UsageError

if TYPE_CHECKING:
    from kindred.recipe import Recipe

__all__ = ["fit"]

AGAIN = "nothing was written: run the same command again"


@with_groups
def fit(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="The recipe to start from: a name or a .toml file.")],
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[IMAGE...]",
            help="Training images or folders; use other images than those to be searched. None with --calibration.",
        ),
    ] = None,
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="NAME.toml", help="The new recipe; the fitted arrays are written beside it."
        ),
    ],
    settings: Settings = None,
    vocabulary: VocabularyOptions,
    whitened: WhiteningOptions,
    coded: CodeOptions,
    feature_words: Annotated[
        int,
        typer.Option(
            "--feature-words",
            min=0,
            metavar="N",
            help="Fit N visual words of the local features, by which a library finds candidates for verification.",
        ),
    ] = 0,
    labelled: LabelledOptions,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Random seed; the same seed gives the same result.")
    ] = 0,
    allow_code: AllowCode = False,
    as_json: AsJson = False,
) -> None:
    """Fit the codebook, whitening, code or calibration of a recipe.

    The new recipe is RECIPE with the fitted parts.

    An embedding (bow, vlad, fisher, netvlad, asmk) needs a codebook of visual words, which is fitted on the local
    descriptors of the images. Whitening decorrelates the components of the vectors, which usually improves retrieval
    and allows a lower dimension; it needs more images than the vectors have components, preferably some thousands. A
    compact code lets a library search a few bytes per image instead of the full vector. A calibration turns the
    similarity of descriptors and the result of spatial verification into a probability, by which results are then
    ordered; it needs a recipe with local features (--set features=kin). Labels of several sets adapt the vectors to
    what is the same thing in all of them.
    """
    from kindred.describer import fit_recipe
    from kindred.service import FitForm

    if output.suffix != ".toml":
        raise UsageError(f"--output is {output}; expected a name that ends in .toml")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"--output is {output}, in a folder that does not exist; create the folder first")
    start = chosen_recipe(recipe, settings, allow_code=allow_code)
    if labelled.calibration:
        if images:
            raise UsageError("--calibration takes its images from ground truths; leave out IMAGE, or fit in two steps")
        _calibrate(start, labelled.calibration, output, plot=labelled.plot, limit=labelled.limit, as_json=as_json)
        return
    if labelled.labels:
        if images:
            raise UsageError("--labels names its images; leave out IMAGE, or fit in two steps")
        _adapt(start, labelled.labels, output, dimension=whitened.dimension, seed=seed, as_json=as_json)
        return
    if not images or labelled.plot is not None:
        raise UsageError("no IMAGE was given" if not images else "--plot draws what --calibration fits; give both")
    paths = _chosen(list(_files(images)), labelled.limit)
    with interruptible(AGAIN), Meter("Fitting", quiet=as_json) as meter:
        fitted = fit_recipe(
            start,
            paths,
            words=vocabulary.words,
            local_dimension=vocabulary.local_dimension,
            whiten=whitened.whitening,
            dimension=whitened.dimension,
            power=whitened.power,
            pairs=_pairs(labelled.pairs) if labelled.pairs is not None else (),
            code=coded.code,
            bits=coded.bits,
            feature_words=feature_words,
            seed=seed,
            progress=lambda done: meter.update(done, len(paths)),
        )
    written = fitted.save(output)
    form = FitForm.of(fitted, output, written[1:])
    if as_json:
        print_json(form)
        return
    numbers = f": dimension {fitted.dimension:,}" if fitted.dimension else ""
    unit = "row" if fitted.recipe.multi_vector else "image"
    size = f", {found} bytes per {unit} in the code" if (found := form.code_bytes) else ""
    say(f"Fitted on {counted(fitted.images, 'image')}{numbers}{size}.")
    _print_files(written, output)


def _calibrate(
    start: Recipe, groundtruths: list[Path], output: Path, *, plot: Path | None, limit: int | None, as_json: bool
) -> None:
    """Fit a calibration, and report how reliable it is on queries that it was not fitted on."""
    from kindred.evaluation import calibrate, plot_reliability
    from kindred.evaluation.plot_reliability import check_reliability_plot
    from kindred.service import CalibrationForm

    if plot is not None:
        check_reliability_plot(plot)
    with interruptible(AGAIN), Meter("Calibrating", unit="steps", quiet=as_json) as meter:
        found = calibrate(
            groundtruths, recipe=start, limit=limit, progress=lambda done, total: meter.update(done, total)
        )
    written = found.fitted.save(output)
    form = CalibrationForm.of(found, output, written[1:])
    if plot is not None:
        plot_reliability({"cross-validated": found.reliability}, plot)
    if as_json:
        print_json(form)
        return
    rows = [(fold.name, f"{fold.recall:.3f}", f"{fold.error:.3f}") for fold in form.folds]
    say(columns(rows, heads=("tested on", "recall@1", "calibration error"), right=(1, 2)))
    say(f"Calibrated on {counted(form.images, 'image')}; expected calibration error {form.error:.3f}.")
    _print_files([*written, *([plot] if plot else [])], output)


def _adapt(start: Recipe, labels: list[Path], output: Path, *, dimension: int | None, seed: int, as_json: bool) -> None:
    """Fit a projection on classes, and report its mAP on classes that it was not fitted on."""
    from kindred.describer import LabelledSet, fit_labels
    from kindred.service import AdaptationForm
    from kindred.training.tuning.labels import read_classes, read_labels

    read = [read_labels(each, each.parent) if each.is_file() else read_classes(each) for each in labels]
    sets = [LabelledSet(shown(path), each.paths, each.labels) for path, each in zip(labels, read, strict=True)]
    total = sum(int((each.labels >= 0).sum()) for each in sets)
    with interruptible(AGAIN), Meter("Fitting", quiet=as_json) as meter:

        def report(done: int) -> None:
            if done < total:
                meter.update(done, total)
            else:
                meter.stage("Choosing the projection by cross-validation", 0, 0)

        found = fit_labels(start, sets, dimension=dimension, seed=seed, progress=report)
    written = found.fitted.save(output)
    form = AdaptationForm.of(found, output, written[1:])
    if as_json:
        print_json(form)
        return
    rows = [
        (fold.name, f"{fold.classes:,}", f"{fold.images:,}", f"{fold.before:.3f}", f"{fold.after:.3f}")
        for fold in form.folds
    ]
    heads = ("set", "classes", "images", "mAP before", "after")
    say(columns(rows, heads=heads, right=(1, 2, 3, 4)))
    say(f"Each mAP is on classes left out of the fit (cross-validation); shrinkage {form.shrinkage:g}.")
    if any(fold.after < fold.before for fold in form.folds):
        say("The projection lowers the mAP of a set: add classes of that kind, or use the recipe as it is.")
    say(f"Fitted on {counted(form.images, 'image')}: dimension {form.dimension:,}.")
    _print_files(written, output)


def _print_files(written: Sequence[Path], output: Path) -> None:
    """Print the files that were written, and what the new recipe is for."""
    say(f"Wrote {', '.join(shown(file) for file in written)}")
    say(f"Next: kindred index FOLDER --library DIR --recipe {typed(output)}", gap=True)


def _pairs(groundtruth: Path) -> list[tuple[Path, Path]]:
    """Return each query of a ground truth with each of its relevant images."""
    from kindred.evaluation import read_groundtruth

    truth = read_groundtruth(groundtruth)
    database, queries = truth.locate()
    return [
        (file, database[place])
        for file, query in zip(queries, truth.queries, strict=True)
        for place in query.judgement.relevant.tolist()
    ]


def _chosen(paths: list[Path], limit: int | None) -> list[Path]:
    """Return `limit` of the paths, evenly spaced so that all folders are represented."""
    if limit is None or limit >= len(paths):
        return paths
    return [paths[at * len(paths) // limit] for at in range(limit)]


def _files(images: Sequence[Path]) -> Iterator[Path]:
    """Yield the given images and those in the given folders."""
    from kindred.images import find_images

    for path in images:
        if path.is_file():
            yield path
        else:  # raises if it does not exist
            yield from (found.path for found in find_images(path) if found.reason is None)
