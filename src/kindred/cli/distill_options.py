"""The options of `kindred distill`, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["LocalHeadOptions", "StudentOptions"]


@dataclass(frozen=True)
class StudentOptions:
    """The training of the student."""

    steps: Annotated[int | None, typer.Option("--steps", min=1, metavar="N", help="Training steps. Default: 7000.")] = (
        None
    )
    batch: Annotated[int | None, typer.Option("--batch", min=2, metavar="N", help="Crops in a batch. Default: 32.")] = (
        None
    )
    start: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="MODEL.onnx", help="Continue from an earlier student of these teachers or the first ones."
        ),
    ] = None
    freeze: Annotated[
        int | None,
        typer.Option(
            "--freeze",
            min=1,
            metavar="STRIDE",
            help="With --from: leave its layers as they are up to maps of this stride; 32, all, to add a teacher.",
        ),
    ] = None
    sizes: Annotated[
        str,
        typer.Option(
            "--sizes", metavar="PIXELS,…", help="Sides of the crops, one drawn for each step. Default: 128,160."
        ),
    ] = ""
    blockwise: Annotated[
        float | None,
        typer.Option("--blockwise", metavar="SHARE", help="Share of the steps of blockwise training. Default: 0.6."),
    ] = None
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", metavar="R", help="The largest learning rate of the end-to-end training. Default: 0.002."
        ),
    ] = None
    relational: Annotated[
        float | None,
        typer.Option(
            "--relational",
            min=0.0,
            metavar="W",
            help="Weight of the loss on the distances between images. Default: 25.",
        ),
    ] = None


@dataclass(frozen=True)
class LocalHeadOptions:
    """The training of a local head."""

    local_teacher: Annotated[
        str,
        typer.Option(
            "--local-teacher",
            metavar="MAPS.onnx[,DESCRIBE.onnx]",
            help="Also train a local head, keypoints and descriptors, taught by this model with a local head.",
        ),
    ] = ""
    local_only: Annotated[
        bool, typer.Option("--local-only", help="Leave TEACHER as it is, and train only a local head for it.")
    ] = False
    local_steps: Annotated[
        int | None, typer.Option("--local-steps", min=1, metavar="N", help="Steps for the local head. Default: 2500.")
    ] = None
    local_images: Annotated[
        int | None,
        typer.Option("--local-images", min=8, metavar="N", help="Images for the local head, at most. Default: 2000."),
    ] = None
