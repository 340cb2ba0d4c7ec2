"""`kindred train`: fine-tune a backbone on one's own images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kindred.cli.options import AsJson, Device, Licence, Seed, Threads, numbers
from kindred.cli.output import counted, note, print_json, say, shown, size, typed
from kindred.cli.progress import Meter
from kindred.cli.running import interruptible
from kindred.cli.training_stage import begin_stage
from kindred.errors import UsageError

if TYPE_CHECKING:
    from kindred.training import TrainingResult
    from kindred.training.loop import Progress

__all__ = ["train"]

# The names in the tables of `kindred.training`, which is too slow to import for a page of help; a test compares them.
METHODS = "classification, siamese, triplet, multi_similarity, smooth_ap, manifold, clusters"
AGGREGATIONS = "gem, rmac, rgem, netvlad, or any pooling"
ARCHITECTURES = "alexnet, vgg16, vgg19, googlenet, resnet18/34/50/101/152, mobilenet_v2, efficientnet_lite0/1/2"


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
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="CSV", help="Classes from a table with the columns path,label.")
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", metavar="CSV", help="Pairs from a table with the columns a,b,same (1 or 0)."),
    ] = None,
    validate: Annotated[
        Path | None,
        typer.Option(
            "--validate", metavar="SET", help="Validate on a folder of classes or a ground truth. Default: --hold-out."
        ),
    ] = None,
    hold_out: Annotated[
        float,
        typer.Option(
            "--hold-out", min=0.0, max=0.9, metavar="SHARE", help="Share of each class to hold out for validation."
        ),
    ] = 0.1,
    tap: Annotated[
        str, typer.Option("--tap", metavar="NAME", help="The feature map to aggregate. Default: the last.")
    ] = "",
    aggregation: Annotated[str, typer.Option("--aggregation", metavar="NAME", help=f"{AGGREGATIONS}.")] = "gem",
    dimension: Annotated[
        int | None,
        typer.Option(
            "--dimension",
            "-d",
            min=1,
            metavar="N",
            help="Add a whitening layer that reduces the vectors to N dimensions.",
        ),
    ] = None,
    loss: Annotated[
        str, typer.Option("--loss", metavar="NAME", help="Loss to use instead of the method's default.")
    ] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="An option of the loss or aggregation, such as loss.margin=0.3 or aggregation.p=4; repeatable.",
        ),
    ] = None,
    mining: Annotated[
        str,
        typer.Option(
            "--mining",
            metavar="NAME",
            help="batch: negatives of the batch. pool: the hardest of all images, mined every epoch.",
        ),
    ] = "batch",
    memory: Annotated[
        int,
        typer.Option(
            "--memory",
            min=0,
            metavar="N",
            help="Vectors of earlier batches that the loss also compares with (cross-batch memory).",
        ),
    ] = 0,
    clusters: Annotated[
        int,
        typer.Option("--clusters", min=0, metavar="N", help="For method clusters. Default: one for every 5 images."),
    ] = 0,
    freeze: Annotated[
        str, typer.Option("--freeze", metavar="TAP", help="Train only the layers after this tap or submodule.")
    ] = "",
    tune_norms: Annotated[
        bool, typer.Option("--tune-norms", help="Let batch norms update their statistics; by default they are fixed.")
    ] = False,
    image_size: Annotated[
        int, typer.Option("--size", min=32, metavar="PIXELS", help="Longest side of the images, as in the recipe.")
    ] = 224,
    crop: Annotated[
        int, typer.Option("--crop", min=0, metavar="PIXELS", help="Side of the training crops. Default: as --size.")
    ] = 0,
    area: Annotated[
        str, typer.Option("--area", metavar="LOW,HIGH", help="Smallest and largest share of an image in a crop.")
    ] = "0.3,1",
    flip: Annotated[bool, typer.Option("--flip/--no-flip", help="Mirror half of the crops.")] = True,
    colour: Annotated[
        float, typer.Option("--colour", min=0.0, max=0.9, metavar="C", help="Strength of the colour jitter.")
    ] = 0.3,
    batch: Annotated[int, typer.Option("--batch", min=2, metavar="N", help="Images in a batch.")] = 64,
    images_per_class: Annotated[
        int,
        typer.Option(
            "--images-per-class", min=2, metavar="N", help="Images of each class in a batch, for methods on pairs."
        ),
    ] = 4,
    negatives: Annotated[
        int, typer.Option("--negatives", min=1, metavar="N", help="Negatives in each mined tuple.")
    ] = 5,
    epochs: Annotated[int, typer.Option("--epochs", min=1, metavar="N", help="Epochs to train.")] = 10,
    rate: Annotated[float, typer.Option("--rate", metavar="R", help="The largest learning rate.")] = 1e-4,
    warmup: Annotated[
        float, typer.Option("--warmup", metavar="SHARE", help="Share of the run in which the learning rate rises.")
    ] = 0.05,
    decay: Annotated[float, typer.Option("--decay", metavar="W", help="Weight decay.")] = 1e-4,
    accumulate: Annotated[
        int, typer.Option("--accumulate", min=1, metavar="N", help="Batches for one update, where memory is short.")
    ] = 1,
    patience: Annotated[
        int,
        typer.Option(
            "--patience", min=0, metavar="N", help="Stop after N epochs without a better validation. 0: never."
        ),
    ] = 0,
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

    if mining not in ("batch", "pool"):
        raise UsageError(f"--mining is {mining!r}; expected batch or pool")
    chosen = _settings(settings or [])
    if dimension is not None:
        chosen["aggregation"]["dimension"] = dimension
    low, high = numbers(area, option="--area", count=2, example="0.3,1 (the smallest and the largest share)")
    options = TrainingOptions(
        method=method,
        backbone=backbone,
        weights=weights,
        tap=tap,
        aggregation=aggregation,
        aggregation_options=chosen["aggregation"],
        freeze=freeze,
        tune_norms=tune_norms,
        loss=loss,
        loss_options=chosen["loss"],
        mining=mining,  # type: ignore[arg-type]  # checked above
        memory=memory,
        batch=batch,
        images_per_class=images_per_class,
        negatives=negatives,
        clusters=clusters,
        labels=_text(labels),
        pairs=_text(pairs),
        validate=_text(validate),
        hold_out=hold_out,
        size=image_size,
        crop=crop,
        area=(low, high),
        flip=flip,
        colour=colour,
        epochs=epochs,
        rate=rate,
        warmup=warmup,
        decay=decay,
        accumulate=accumulate,
        patience=patience,
        seed=seed,
    )
    advice = f"the run is saved in {shown(output.with_suffix('.run'))}: the same command resumes it"
    with interruptible(advice), Meter("Reading images", quiet=as_json) as meter:
        result = train_backbone(
            folder,
            output=output,
            options=options,
            licence=licence,
            device=device,
            threads=threads,
            read_progress=lambda done, of: meter.update(done, of),
            on_note=None if as_json else note,
            progress=lambda here: print_progress(meter, here, quiet=as_json),
        )
    if result is not None:
        print_summary(result, output, has_labels=bool(result.classes or validate), as_json=as_json)


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
