"""Digests of what a run depends on: its images, its tables and its first weights.

A checkpoint is resumed only where they are the same. Names, counts and sizes are not enough: other images may be of
the same number, and a network that was trained anew may have the same name.
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
    """Return 16 hexadecimal digits of images in their order: of each its name, size, first megabyte and last kilobyte.

    A name should not depend on where the folder lies, so that it can be moved. A file that can no longer be read
    counts with its name alone.
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
