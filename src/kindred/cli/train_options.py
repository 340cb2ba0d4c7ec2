"""The options of `kindred train`, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AGGREGATIONS",
    "BatchOptions",
    "CropOptions",
    "LayerOptions",
    "ObjectiveOptions",
    "PoolingOptions",
    "ScheduleOptions",
    "TrainingData",
]

AGGREGATIONS = "gem, rmac, rgem, netvlad, or any pooling"
"""The names in a table of `kindred.training`, which is too slow to import for a page of help; a test compares them."""


@dataclass(frozen=True)
class TrainingData:
    """What is learned from beside the images, and what it is measured on."""

    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="CSV", help="Classes from a table with the columns path,label.")
    ] = None
    pairs: Annotated[
        Path | None,
        typer.Option("--pairs", metavar="CSV", help="Pairs from a table with the columns a,b,same (1 or 0)."),
    ] = None
    validate: Annotated[
        Path | None,
        typer.Option(
            "--validate", metavar="SET", help="Validate on a folder of classes or a ground truth. Default: --hold-out."
        ),
    ] = None
    hold_out: Annotated[
        float,
        typer.Option(
            "--hold-out", min=0.0, max=0.9, metavar="SHARE", help="Share of each class to hold out for validation."
        ),
    ] = 0.1


@dataclass(frozen=True)
class PoolingOptions:
    """How feature maps become one vector."""

    tap: Annotated[
        str, typer.Option("--tap", metavar="NAME", help="The feature map to aggregate. Default: the last.")
    ] = ""
    aggregation: Annotated[str, typer.Option("--aggregation", metavar="NAME", help=f"{AGGREGATIONS}.")] = "gem"
    dimension: Annotated[
        int | None,
        typer.Option(
            "--dimension",
            "-d",
            min=1,
            metavar="N",
            help="Add a whitening layer that reduces the vectors to N dimensions.",
        ),
    ] = None


@dataclass(frozen=True)
class ObjectiveOptions:
    """The loss, and what it compares."""

    loss: Annotated[
        str, typer.Option("--loss", metavar="NAME", help="Loss to use instead of the method's default.")
    ] = ""
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="An option of the loss or aggregation, such as loss.margin=0.3 or aggregation.p=4; repeatable.",
        ),
    ] = None
    mining: Annotated[
        str,
        typer.Option(
            "--mining",
            metavar="NAME",
            help="batch: negatives of the batch. pool: the hardest of all images, mined every epoch.",
        ),
    ] = "batch"
    memory: Annotated[
        int,
        typer.Option(
            "--memory",
            min=0,
            metavar="N",
            help="Vectors of earlier batches that the loss also compares with (cross-batch memory).",
        ),
    ] = 0
    clusters: Annotated[
        int,
        typer.Option("--clusters", min=0, metavar="N", help="For method clusters. Default: one for every 5 images."),
    ] = 0


@dataclass(frozen=True)
class LayerOptions:
    """Which layers are trained."""

    freeze: Annotated[
        str, typer.Option("--freeze", metavar="TAP", help="Train only the layers after this tap or submodule.")
    ] = ""
    tune_norms: Annotated[
        bool, typer.Option("--tune-norms", help="Let batch norms update their statistics; by default they are fixed.")
    ] = False


@dataclass(frozen=True)
class CropOptions:
    """The crops of training images."""

    image_size: Annotated[
        int, typer.Option("--size", min=32, metavar="PIXELS", help="Longest side of the images, as in the recipe.")
    ] = 224
    crop: Annotated[
        int, typer.Option("--crop", min=0, metavar="PIXELS", help="Side of the training crops. Default: as --size.")
    ] = 0
    area: Annotated[
        str, typer.Option("--area", metavar="LOW,HIGH", help="Smallest and largest share of an image in a crop.")
    ] = "0.3,1"
    flip: Annotated[bool, typer.Option("--flip/--no-flip", help="Mirror half of the crops.")] = True
    colour: Annotated[
        float, typer.Option("--colour", min=0.0, max=0.9, metavar="C", help="Strength of the colour jitter.")
    ] = 0.3


@dataclass(frozen=True)
class BatchOptions:
    """What a batch consists of."""

    batch: Annotated[int, typer.Option("--batch", min=2, metavar="N", help="Images in a batch.")] = 64
    images_per_class: Annotated[
        int,
        typer.Option(
            "--images-per-class", min=2, metavar="N", help="Images of each class in a batch, for methods on pairs."
        ),
    ] = 4
    negatives: Annotated[
        int, typer.Option("--negatives", min=1, metavar="N", help="Negatives in each mined tuple.")
    ] = 5


@dataclass(frozen=True)
class ScheduleOptions:
    """How long a run takes, and its learning rate."""

    epochs: Annotated[int, typer.Option("--epochs", min=1, metavar="N", help="Epochs to train.")] = 10
    rate: Annotated[float, typer.Option("--rate", metavar="R", help="The largest learning rate.")] = 1e-4
    warmup: Annotated[
        float, typer.Option("--warmup", metavar="SHARE", help="Share of the run in which the learning rate rises.")
    ] = 0.05
    decay: Annotated[float, typer.Option("--decay", metavar="W", help="Weight decay.")] = 1e-4
    accumulate: Annotated[
        int, typer.Option("--accumulate", min=1, metavar="N", help="Batches for one update, where memory is short.")
    ] = 1
    patience: Annotated[
        int,
        typer.Option(
            "--patience", min=0, metavar="N", help="Stop after N epochs without a better validation. 0: never."
        ),
    ] = 0
