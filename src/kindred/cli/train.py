"""`kindred train`: fine-tune a backbone on one's own images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kindred.cli.groups import with_groups
from kindred.cli.options import AsJson, Device, Licence, Seed, Threads, numbers
from kindred.cli.output import counted, note, print_json, say, shown, size, typed
from kindred.cli.progress import Meter
from kindred.cli.running import interruptible
from kindred.cli.train_options import (
    BatchOptions,
    CropOptions,
    LayerOptions,
    ObjectiveOptions,
    PoolingOptions,
    ScheduleOptions,
    TrainingData,
)
from kindred.cli.training_stage import READING, begin_stage, show_reading
from kindred.errors import UsageError

if TYPE_CHECKING:
    from kindred.training import TrainingResult
    from kindred.training.loop import Progress

__all__ = ["train"]

# The names in the tables of `kindred.training`, which is too slow to import for a page of help; a test compares them.
METHODS = "classification, siamese, triplet, multi_similarity, smooth_ap, manifold, clusters"
ARCHITECTURES = "alexnet, vgg16, vgg19, googlenet, resnet18/34/50/101/152, mobilenet_v2, efficientnet_lite0/1/2"


@with_groups
def train(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder of the training images; its sub-folders are the classes, for methods that need labels.",
        ),
    ],
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="MODEL.onnx", help="The new model; its card and recipe are written beside it."
        ),
    ],
    method: Annotated[
        str, typer.Option("--method", "-m", metavar="NAME", help=f"{METHODS} (the last two need no labels).")
    ] = "classification",
    backbone: Annotated[
        str,
        typer.Option("--backbone", metavar="NAME", help=f"One of `kindred models`, an .onnx file, or {ARCHITECTURES}."),
    ] = "kin",
    weights: Annotated[
        str,
        typer.Option(
            "--from", "--weights", metavar="WEIGHTS", help="For an architecture: a file, 'published' or 'random'."
        ),
    ] = "",
    data: TrainingData,
    pooled: PoolingOptions,
    objective: ObjectiveOptions,
    layers: LayerOptions,
    crops: CropOptions,
    batches: BatchOptions,
    schedule: ScheduleOptions,
    seed: Seed = 0,
    licence: Licence = "",
    device: Device = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a backbone on your own images.

    The result is a model like any other, with a recipe that uses it. Needs PyTorch: pip install torch onnx safetensors.
    Checkpoint, log and report are in MODEL.run; the same command resumes an interrupted run. Several GPUs:
    torchrun --nproc-per-node N -m kindred.cli train …
    """
    from kindred.training import TrainingOptions
    from kindred.training import train as train_backbone

    if objective.mining not in ("batch", "pool"):
        raise UsageError(f"--mining is {objective.mining!r}; expected batch or pool")
    chosen = _settings(objective.settings or [])
    if pooled.dimension is not None:
        chosen["aggregation"]["dimension"] = pooled.dimension
    low, high = numbers(crops.area, option="--area", count=2, example="0.3,1 (the smallest and the largest share)")
    options = TrainingOptions(
        method=method,
        backbone=backbone,
        weights=weights,
        tap=pooled.tap,
        aggregation=pooled.aggregation,
        aggregation_options=chosen["aggregation"],
        freeze=layers.freeze,
        tune_norms=layers.tune_norms,
        loss=objective.loss,
        loss_options=chosen["loss"],
        mining=objective.mining,  # type: ignore[arg-type]  # checked above
        memory=objective.memory,
        batch=batches.batch,
        images_per_class=batches.images_per_class,
        negatives=batches.negatives,
        clusters=objective.clusters,
        labels=_text(data.labels),
        pairs=_text(data.pairs),
        validate=_text(data.validate),
        hold_out=data.hold_out,
        size=crops.image_size,
        crop=crops.crop,
        area=(low, high),
        flip=crops.flip,
        colour=crops.colour,
        epochs=schedule.epochs,
        rate=schedule.rate,
        warmup=schedule.warmup,
        decay=schedule.decay,
        accumulate=schedule.accumulate,
        patience=schedule.patience,
        seed=seed,
    )
    advice = f"the run is saved in {shown(output.with_suffix('.run'))}: the same command resumes it"
    with interruptible(advice), Meter(READING, quiet=as_json) as meter:
        result = train_backbone(
            folder,
            output=output,
            options=options,
            licence=licence,
            device=device,
            threads=threads,
            read_progress=lambda done, of: show_reading(meter, done, of),
            on_note=None if as_json else note,
            progress=lambda here: print_progress(meter, here, quiet=as_json),
        )
    if result is not None:
        print_summary(result, output, has_labels=bool(result.classes or data.validate), as_json=as_json)


def print_progress(meter: Meter, here: Progress, *, quiet: bool) -> None:
    """Show how far a run is on the meter, and the metrics of a validation as a line."""
    if not begin_stage(meter, here, unit="updates"):
        return
    losses = ", ".join(f"{name} {loss:.3f}" for name, loss in here.losses.items())
    aside = f"epoch {here.epoch + 1}, {losses}" if losses else meter.aside
    meter.update(here.epoch * here.steps + here.step, here.epochs * here.steps, aside=aside)
    if here.validation and not quiet:
        note(f"epoch {here.epoch + 1}: " + ", ".join(f"{name} {value:.3f}" for name, value in here.validation.items()))


def print_summary(result: TrainingResult, output: Path, *, has_labels: bool, as_json: bool) -> None:
    """Print the result of a run; has_labels: whether its validation had labels."""
    fit = result.fit
    if as_json:
        from kindred.service import TrainingForm

        print_json(TrainingForm.of(result, output))
        return
    of = f" of {result.classes:,} classes" if result.classes else ""
    say(
        f"Trained on {counted(result.images, 'image')}{of}; epoch {fit.best_epoch} of {fit.epochs} had the best result."
    )
    if fit.after and not has_labels:
        say("Without labels the queries are augmented views, which measure what was forgotten, not what was learned:")
    for name, value in fit.after.items():
        say(f"  {name:10}{fit.before[name]:.3f} → {value:.3f}")
    if has_labels and fit.after and fit.after["mAP"] <= fit.before["mAP"]:
        say("No gain: try another method, a smaller --rate, or more images of each class.")
    say(f"Wrote {shown(output)} ({size(output.stat().st_size)}), its card and {shown(result.recipe)}")
    say(f"Curves and queries: {shown(result.report)}")
    say(f"Next: kindred index FOLDER --library DIR --recipe {typed(result.recipe)}", gap=True)


def _settings(listed: list[str]) -> dict[str, dict[str, Any]]:
    """Read settings such as loss.margin=0.3: the options of the loss and of the aggregation."""
    found: dict[str, dict[str, Any]] = {"loss": {}, "aggregation": {}}
    for text in listed:
        key, equals, value = text.partition("=")
        part, dot, name = key.strip().partition(".")
        if not equals or not dot or part not in found or not name:
            raise UsageError(f"--set is {text!r}; expected loss.NAME=VALUE or aggregation.NAME=VALUE")
        found[part][name] = _value(value.strip())
    return found


def _value(text: str) -> float | bool | str:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _text(path: Path | None) -> str:
    return "" if path is None else str(path)
