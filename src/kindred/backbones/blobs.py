"""Compiled graphs kept on disk, so that a second start is quick.

A blob is a cache entry and nothing more: missing, damaged, unreadable or unwritable, the graph is compiled
again. It is written whole or not at all, and carries its own digest because OpenVINO trusts what it is
given.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred._support.files import open_bounded, replacing
from kindred.backbones.card import MODEL_BYTES

__all__ = ["load_blob", "store_blob"]

_DIGEST_BYTES = 32
_ALIGNMENT = 64
_KEPT = 16  # blobs in a folder; one model with one choice of taps is one blob of about twice the .onnx's size


def load_blob(path: Path) -> NDArray[np.uint8] | None:
    """Return the blob stored at `path`, or None if there is none or it is damaged.

    It is read once, into memory of its own that OpenVINO can use as it is: a blob has tens of megabytes, and each copy
    of it costs a search some 10 ms.
    """
    try:
        with open_bounded(path, MODEL_BYTES) as stream:
            digest = stream.read(_DIGEST_BYTES)
            blob = _aligned(max(0, os.fstat(stream.fileno()).st_size - _DIGEST_BYTES))
            read = stream.readinto(blob.data)
        os.utime(path)  # it was used: the oldest are dropped first
    except OSError:
        return None
    return blob if read == len(blob) and digest == hashlib.sha256(blob.data).digest() else None


def store_blob(path: Path, blob: bytes) -> None:
    """Keep the blob at `path` and drop the least recently used beside it; do nothing where that fails."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part, part.open("wb") as stream:
            stream.write(hashlib.sha256(blob).digest())
            stream.write(blob)
        blobs = sorted(path.parent.glob("*.blob"), key=lambda entry: entry.stat().st_mtime, reverse=True)
        for old in blobs[_KEPT:]:
            old.unlink()


def _aligned(size: int) -> NDArray[np.uint8]:
    """Return memory that begins where vector instructions like to: OpenVINO reads the weights in it."""
    room = np.empty(size + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    return room[start : start + size]
