"""Digests of the data that a run depends on: its images, its tables and its initial weights.

A checkpoint is only resumed with the same data. Names, counts and sizes are not sufficient: other images may have the
same number, and a retrained network may have the same name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from kindred._support.digests import digest_of

__all__ = ["digest_arrays", "digest_images", "digest_weights"]

DIGITS = 16


def digest_images(images: Iterable[tuple[str, Path]]) -> str:
    """Return 16 hexadecimal digits for images in order: of each its name, size, first megabyte and last kilobyte.

    Names should not depend on the location of the folder, so that it can be moved. An unreadable file counts by its
    name only.
    """
    found = hashlib.sha256()
    for name, path in images:
        content = digest_of(path) or b""
        found.update(b"%d %d " % (len(name.encode("utf-8", "surrogateescape")), len(content)))
        found.update(name.encode("utf-8", "surrogateescape") + content)
    return found.hexdigest()[:DIGITS]


def digest_arrays(*arrays: NDArray[np.generic]) -> str:
    """Return 16 hexadecimal digits of arrays, with their types and shapes."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype.str} {array.shape} ".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:DIGITS]


def digest_weights(module: nn.Module) -> str:
    """Return 16 hexadecimal digits of the parameters and buffers of a module, with their names."""
    state = module.state_dict()
    found = hashlib.sha256(" ".join(state).encode())
    for value in state.values():
        found.update(digest_arrays(value.detach().float().cpu().numpy()).encode())
    return found.hexdigest()[:DIGITS]
