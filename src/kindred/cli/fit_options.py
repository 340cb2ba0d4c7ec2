"""The options of `kindred fit`, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["CodeOptions", "LabelledOptions", "VocabularyOptions", "WhiteningOptions"]


@dataclass(frozen=True)
class VocabularyOptions:
    """The codebook of an embedding."""

    words: Annotated[
        int, typer.Option("--words", min=1, metavar="N", help="Number of visual words of the codebook.")
    ] = 64
    local_dimension: Annotated[
        int | None,
        typer.Option(
            "--local-dimension",
            min=1,
            metavar="N",
            help="Dimension of local descriptors after PCA. Default: at most 128.",
        ),
    ] = None


@dataclass(frozen=True)
class WhiteningOptions:
    """The whitening of vectors."""

    whitening: Annotated[
        bool | None,
        typer.Option(
            "--whitening/--no-whitening",
            help="Fit a whitening of the vectors. Default: yes, except for asmk, and except with --code or "
            "--feature-words if the recipe has one.",
        ),
    ] = None
    dimension: Annotated[
        int | None,
        typer.Option("--dimension", "-d", min=1, metavar="N", help="Dimension of the whitened vectors. Default: all."),
    ] = None
    power: Annotated[
        float,
        typer.Option(
            "--power", min=0.0, max=1.0, metavar="P", help="Exponent of the eigenvalues: 0.5 whitens, 0 only rotates."
        ),
    ] = 0.5


@dataclass(frozen=True)
class CodeOptions:
    """The compact code of vectors."""

    code: Annotated[
        str, typer.Option("--code", metavar="NAME", help="Fit a compact code for search: pq, rabitq, itq, lsh or sign.")
    ] = ""
    bits: Annotated[
        int | None,
        typer.Option(
            "--bits",
            min=1,
            metavar="N",
            help="Bits per image of the code; for rabitq 1 to 8 times the dimension. Default: 256; for rabitq and sign "
            "the dimension.",
        ),
    ] = None


@dataclass(frozen=True)
class LabelledOptions:
    """Ground truths and labels to fit on, and what becomes of them."""

    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs",
            metavar="GROUNDTRUTH",
            help="Fit the whitening on the matching pairs of a ground truth (discriminative whitening).",
        ),
    ] = None
    calibration: Annotated[
        list[Path] | None,
        typer.Option(
            "--calibration",
            metavar="GROUNDTRUTH",
            help="Fit a calibration on a ground truth, instead of the above: the probability that a result shows the "
            "same thing. Repeatable; each is then tested with a calibration fitted on the others.",
        ),
    ] = None
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            "--labels",
            metavar="FILE|DIR",
            help="Fit a linear projection on images of known classes, instead of the above: a CSV table with the "
            "columns path (from its folder) and label, or a folder of classes. Repeatable, for several sets.",
        ),
    ] = None
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw the reliability diagram of --calibration."),
    ] = None
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=1,
            metavar="N",
            help="Use only N of the images, or of the queries of a GROUNDTRUTH, evenly spaced.",
        ),
    ] = None
