"""Backbone networks: their model cards, and the inference engines that run them.

`load` returns an engine for a model; the zoo lists, adds and removes models.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from kindred.backbones.card import Card, Tap
from kindred.backbones.engine import Batch, Engine, Maps, Precision
from kindred.backbones.zoo import Entry, add_model, list_models, load_card, remove_model
from kindred.errors import UsageError

__all__ = [
    "Batch",
    "Card",
    "Engine",
    "Entry",
    "Maps",
    "Precision",
    "Tap",
    "add_model",
    "list_models",
    "load",
    "load_card",
    "remove_model",
]


def load(
    name_or_path: str | Path,
    *,
    taps: str | Sequence[str] | None = None,
    engine: Literal["auto", "openvino", "torch"] = "auto",
    device: str | None = None,
    precision: Precision = "auto",
    threads: int | None = None,
    cache_dir: Path | None = None,
) -> Engine:
    """Load a model, by the name of a bundled or added model, or by the path of an `.onnx` file.

    `taps` are the feature maps to return, None for the card's default tap. `device` is "cpu", "cuda" or "cuda:1",
    None for the environment variable KINDRED_DEVICE, or else the CPU. A GPU is used only if it is named, as detecting
    one needs PyTorch, whose import takes longer than a search. The engine "auto" is PyTorch on CUDA and OpenVINO on
    the CPU. `threads` and `cache_dir` (the folder of compiled graphs) apply to OpenVINO only. Raise ModelError if the
    model is missing or damaged, MissingExtra if PyTorch is needed and not installed, and UsageError for an engine that
    does not support the device.
    """
    device = device or os.environ.get("KINDRED_DEVICE") or "cpu"
    if engine not in ("auto", "openvino", "torch"):
        raise UsageError(f"engine is {engine!r}; expected 'auto', 'openvino' or 'torch'")
    if engine == "openvino" and device != "cpu":
        raise UsageError(f"engine 'openvino' runs on the CPU, not on device {device!r}; use engine 'torch' or 'auto'")
    card, path = load_card(name_or_path)
    if engine == "torch" or device != "cpu":
        from kindred.backbones.torch import TorchEngine

        return TorchEngine(card, path, taps=taps, device=device, precision=precision)
    from kindred.backbones.openvino import OpenVINOEngine

    return OpenVINOEngine(card, path, taps=taps, threads=threads, cache_dir=cache_dir, precision=precision)
