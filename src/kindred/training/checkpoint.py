"""Checkpoints: named tensors and a few words in one safetensors file, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from kindred._support.files import replacing
from kindred._support.os_errors import explain_os_error
from kindred.errors import MissingExtra, TrainingError

__all__ = ["load_checkpoint", "save_checkpoint"]


def save_checkpoint(file: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write `tensors` and `facts`; the checkpoint before stays whole until the new one is."""
    from safetensors.torch import save

    data = save({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, dict(facts))
    try:
        with replacing(file) as part, part.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        why = explain_os_error(error, file)
        raise TrainingError(
            f"{file}: the checkpoint cannot be written ({why}); the one before is whole, make room and go on"
        ) from error


def load_checkpoint(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `save_checkpoint` wrote; raises `TrainingError` where the file is damaged."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise MissingExtra("reading a checkpoint", "train") from error
    try:
        with safe_open(file, framework="pt") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}, dict(stored.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise TrainingError(f"{file}: not a readable checkpoint ({error}); remove it to start again") from error
