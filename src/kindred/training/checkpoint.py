"""Checkpoints: named tensors and some text in one safetensors file, written atomically."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from kindred._support.files import replacing
from kindred._support.os_errors import explain_os_error
from kindred.errors import MissingExtra, TrainingError
from kindred.training.run_folder import check_file

__all__ = ["load_checkpoint", "save_checkpoint"]

MAX_BYTES = 64 * 2**30  # limit of a checkpoint whose size is not known in advance


def save_checkpoint(file: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write `tensors` and `metadata`; the previous checkpoint remains until the new one is complete.

    Raises TrainingError if the file cannot be written.
    """
    from safetensors.torch import save

    data = save({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, dict(metadata))
    try:
        with replacing(file) as part, part.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        why = explain_os_error(error, file)
        raise TrainingError(
            f"{file}: the checkpoint cannot be written ({why}); the previous one is intact; "
            "free some disk space and run the same command again"
        ) from error


def load_checkpoint(file: Path, *, max_bytes: int = MAX_BYTES) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata that `save_checkpoint` wrote.

    Nothing is executed, and no more than the size of the file is allocated: safetensors checks that names, shapes and
    offsets agree with it. Raises TrainingError if the file is damaged, larger than `max_bytes`, or no regular file.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise MissingExtra("reading a checkpoint", "train") from error
    check_file(file, max_bytes=max_bytes)
    try:
        with safe_open(file, framework="pt") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}, dict(stored.metadata() or {})  # noqa: SIM118
    # Its own error, or those of PyTorch for a type or a size that this build does not know.
    except (SafetensorError, OSError, TypeError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise TrainingError(f"{file}: not a readable checkpoint ({reason}); remove it to start again") from error
