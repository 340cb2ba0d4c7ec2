"""Preflight: checks before a long run, so that it does not fail at its end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from kindred.backbones.card import check_name
from kindred.errors import MissingExtra, UsageError

__all__ = ["check_output", "load_pytorch"]


def check_output(output: Path, others: Sequence[Path]) -> None:
    """Raise UsageError or ModelError if the model `output` or the files `others` beside it cannot be written."""
    if output.suffix != ".onnx":
        raise UsageError(f"{output}: the model must be a file that ends in .onnx")
    check_name(output.stem)
    for file in (output, *others):
        if file.exists():
            raise UsageError(f"{file}: exists already; choose another name or remove it")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"{output}: its folder does not exist; create it first")


def load_pytorch(feature: str) -> None:
    """Import PyTorch and the packages for export; raises MissingExtra, with the `feature`, if one is missing."""
    # Read when PyTorch is loaded: threads that spin forever between operations take the cores from the loader and
    # the teachers, and with threads that sleep at once a step takes four times as long.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    try:
        import onnx  # noqa: F401  # used only by the export, after hours of training
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtra(feature, "train") from error
