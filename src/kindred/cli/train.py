"""`kindred train`: make a backbone fit one's own images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kindred.cli.options import AsJson, Device, Licence, Seed, Threads, numbers
from kindred.cli.output import counted, note, print_json, say, shown, size, typed
from kindred.cli.progress import Meter
from kindred.cli.running import interruptible
from kindred.errors import UsageError

if TYPE_CHECKING:
    from kindred.training.loop import Progress
    from kindred.training.tuning.train import TrainingResult

__all__ = ["train"]

# Those of `kindred.training`, which takes too long to import for a page of help. Tests hold them together.
METHODS = "classification, siamese, triplet, multi_similarity, smooth_ap, manifold, clusters"
AGGREGATIONS = "gem, rmac, rgem, netvlad, or any pooling"
ARCHITECTURES = "alexnet, vgg16, vgg19, googlenet, resnet18/34/50/101/152, mobilenet_v2"


def train(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="The images; its sub-folders are the classes, where any are needed."),
    ],
    *,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="MODEL.onnx", help="The new network; card and recipe go beside it."),
    ],
    method: Annotated[
        str, typer.Option("--method", "-m", metavar="NAME", help=f"{METHODS} (the last two read no labels).")
    ] = "classification",
    backbone: Annotated[
        str,
        typer.Option("--backbone", metavar="NAME", help=f"One of `kindred models`, an .onnx file, or {ARCHITECTURES}."),
    ] = "kin",
    weights: Annotated[
        str,
        typer.Option(
            "--from", "--weights", metavar="WEIGHTS", help="Of an architecture: a file, 'published' or 'random'."
        ),
    ] = "",
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="CSV", help="Classes from a table: path,label.")
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option("--pairs", metavar="CSV", help="Pairs from a table: a,b,same (1 or 0).")
    ] = None,
    validate: Annotated[
        Path | None,
        typer.Option("--validate", metavar="SET", help="A folder of classes or a ground truth. Default: --hold-out."),
    ] = None,
    hold_out: Annotated[
        float, typer.Option("--hold-out", min=0.0, max=0.9, metavar="SHARE", help="Of each class, to validate on.")
    ] = 0.1,
    tap: Annotated[
        str, typer.Option("--tap", metavar="NAME", help="The map that is described. Default: the last.")
    ] = "",
    aggregation: Annotated[str, typer.Option("--aggregation", metavar="NAME", help=f"{AGGREGATIONS}.")] = "gem",
    dimension: Annotated[
        int | None,
        typer.Option("--dimension", "-d", min=1, metavar="N", help="Add a whitening layer that keeps N numbers."),
    ] = None,
    loss: Annotated[str, typer.Option("--loss", metavar="NAME", help="Another loss than the method's own.")] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="As in loss.margin=0.3 or aggregation.p=4; may be repeated."),
    ] = None,
    mining: Annotated[
        str, typer.Option("--mining", metavar="NAME", help="batch: as they come. pool: the hardest of all, each epoch.")
    ] = "batch",
    memory: Annotated[
        int, typer.Option("--memory", min=0, metavar="N", help="Vectors of batches before that pairs are made with.")
    ] = 0,
    clusters: Annotated[
        int, typer.Option("--clusters", min=0, metavar="N", help="Of method clusters. Default: by the images.")
    ] = 0,
    freeze: Annotated[str, typer.Option("--freeze", metavar="TAP", help="Nothing up to this tap or part learns.")] = "",
    tune_norms: Annotated[
        bool, typer.Option("--tune-norms", help="Batch norms learn new statistics; by default they keep theirs.")
    ] = False,
    image_size: Annotated[
        int, typer.Option("--size", min=32, metavar="PIXELS", help="Longest side of images that are described.")
    ] = 224,
    crop: Annotated[
        int, typer.Option("--crop", min=0, metavar="PIXELS", help="Side of the crops. Default: as --size.")
    ] = 0,
    area: Annotated[str, typer.Option("--area", metavar="LOW,HIGH", help="The share of an image in a crop.")] = "0.3,1",
    flip: Annotated[bool, typer.Option("--flip/--no-flip", help="Mirror half of the crops.")] = True,
    colour: Annotated[
        float, typer.Option("--colour", min=0.0, max=0.9, metavar="C", help="How much the light of a crop varies.")
    ] = 0.3,
    batch: Annotated[int, typer.Option("--batch", min=2, metavar="N", help="Images in a step.")] = 64,
    images_per_class: Annotated[
        int, typer.Option("--images-per-class", min=2, metavar="N", help="In a batch that looks at pairs.")
    ] = 4,
    negatives: Annotated[int, typer.Option("--negatives", min=1, metavar="N", help="In each tuple that is mined.")] = 5,
    epochs: Annotated[int, typer.Option("--epochs", min=1, metavar="N", help="How long to train.")] = 10,
    rate: Annotated[float, typer.Option("--rate", metavar="R", help="The largest learning rate.")] = 1e-4,
    warmup: Annotated[
        float, typer.Option("--warmup", metavar="SHARE", help="Of the run, while the rate rises.")
    ] = 0.05,
    decay: Annotated[float, typer.Option("--decay", metavar="W", help="Weight decay.")] = 1e-4,
    accumulate: Annotated[
        int, typer.Option("--accumulate", min=1, metavar="N", help="Batches to one update, where memory is short.")
    ] = 1,
    patience: Annotated[
        int, typer.Option("--patience", min=0, metavar="N", help="Stop after N epochs without a gain. 0: never.")
    ] = 0,
    seed: Seed = 0,
    licence: Licence = "",
    device: Device = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Tune a backbone on your own images.

    The result is a network like any other, with a recipe that searches by it. Needs PyTorch: pip install
    torch onnx safetensors. Checkpoint, log and report lie in MODEL.run; an interrupted run goes on from there. Several
    GPUs: torchrun --nproc-per-node N -m kindred.cli train …
    """
    from kindred.training.tuning.options import TrainingOptions
    from kindred.training.tuning.train import train

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
    advice = f"the run is kept in {shown(output.with_suffix('.run'))}: run the same command again to go on"
    with interruptible(advice), Meter("Reading images", quiet=as_json) as meter:
        trained = train(
            folder,
            output,
            options,
            licence=licence,
            device=device,
            threads=threads,
            read_progress=lambda done, of: meter.update(done, of),
            on_note=None if as_json else note,
            progress=lambda here: print_progress(meter, here, quiet=as_json),
        )
    if trained is not None:
        _print(trained, output, judged=bool(trained.classes or validate), as_json=as_json)


def print_progress(meter: Meter, here: Progress, *, quiet: bool) -> None:
    meter.title, meter.unit = "Learning", "updates"
    losses = ", ".join(f"{name} {loss:.3f}" for name, loss in here.losses.items())
    aside = f"epoch {here.epoch + 1}, {losses}" if losses else meter.aside
    meter.update(here.epoch * here.steps + here.step, here.epochs * here.steps, aside=aside)
    if here.validation and not quiet:
        note(f"epoch {here.epoch + 1}: " + ", ".join(f"{name} {value:.3f}" for name, value in here.validation.items()))


def _print(trained: TrainingResult, output: Path, *, judged: bool, as_json: bool) -> None:
    """Tell what a run came to; `judged` is whether its validation knew what is right."""
    outcome = trained.outcome
    if as_json:
        print_json(
            {
                "model": str(output),
                "recipe": str(trained.recipe),
                "files": [str(file) for file in trained.files],
                "report": str(trained.report),
                "name": trained.card.name,
                "digest": trained.card.digest,
                "images": trained.images,
                "classes": trained.classes,
                "epochs": outcome.epochs,
                "best_epoch": outcome.best_epoch,
                "seconds": outcome.seconds,
                "before": dict(outcome.before),
                "after": dict(outcome.after),
            }
        )
        return
    of = f" of {trained.classes:,} classes" if trained.classes else ""
    best = f"epoch {outcome.best_epoch} of {outcome.epochs} was the best"
    say(f"Learned from {counted(trained.images, 'image')}{of}; {best}.")
    if outcome.after and not judged:
        say("Found by changed views of themselves, which shows what it forgot, not what it learned:")
    for name, value in outcome.after.items():
        say(f"  {name:10}{outcome.before[name]:.3f} → {value:.3f}")
    if judged and outcome.after and outcome.after["mAP"] <= outcome.before["mAP"]:
        say("It finds no more than before: try another method, a smaller --rate, or more images of each class.")
    say(f"Wrote {shown(output)} ({size(output.stat().st_size)}), its card and {shown(trained.recipe)}")
    say(f"Curves and pictures: {shown(trained.report)}")
    say(f"Next: kindred index FOLDER --library DIR --recipe {typed(trained.recipe)}", gap=True)


def _settings(listed: list[str]) -> dict[str, dict[str, Any]]:
    """Read settings such as loss.margin=0.3: what is set of the loss and of the aggregation."""
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
