"""A disk cache of compiled graphs, so that later starts are fast.

A blob is only a cache entry: if it is missing, damaged, unreadable or unwritable, the graph is compiled again. It is
written atomically, and with a digest, as OpenVINO does not validate its input.
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
_MAX_BLOBS = 16  # blobs in a folder; one per model and choice of taps, about twice the size of the .onnx file


def load_blob(path: Path) -> NDArray[np.uint8] | None:
    """Return the blob stored at `path`, or None if there is none or it is damaged.

    It is read directly into aligned memory that OpenVINO uses without a copy: a blob has tens of megabytes, and each
    copy delays a search by about 10 ms.
    """
    try:
        with open_bounded(path, MODEL_BYTES) as stream:
            digest = stream.read(_DIGEST_BYTES)
            blob = _aligned(max(0, os.fstat(stream.fileno()).st_size - _DIGEST_BYTES))
            read = stream.readinto(blob.data)
        os.utime(path)  # mark as used: the least recently used are deleted first
    except OSError:
        return None
    return blob if read == len(blob) and digest == hashlib.sha256(blob.data).digest() else None


def store_blob(path: Path, blob: bytes) -> None:
    """Store the blob at `path` and delete the least recently used ones of its folder; ignore failures to write."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part, part.open("wb") as stream:
            stream.write(hashlib.sha256(blob).digest())
            stream.write(blob)
        blobs = sorted(path.parent.glob("*.blob"), key=lambda entry: entry.stat().st_mtime, reverse=True)
        for old in blobs[_MAX_BLOBS:]:
            old.unlink()


def _aligned(size: int) -> NDArray[np.uint8]:
    """Return memory aligned for vector instructions, as OpenVINO uses the weights in place."""
    buffer = np.empty(size + _ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % _ALIGNMENT
    return buffer[start : start + size]
