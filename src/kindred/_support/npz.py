"""Arrays in untrusted `.npz` files: read safely, and turned into fitted objects or a clear error."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from kindred.errors import ModelError, UsageError

__all__ = ["ArrayMap", "read_npz", "restoring"]

MOST_ARRAYS = 4096
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, KeyError, ValueError, OverflowError, TypeError),
    *(RecursionError, MemoryError, NotImplementedError, RuntimeError),  # RuntimeError: an encrypted member
)

ArrayMap = Mapping[str, NDArray[Any]]
"""Arrays by name, as `numpy.load` reads them from a file."""


@contextmanager
def restoring(what: str, arrays: ArrayMap, *names: str, remedy: str = "fit it again") -> Iterator[list[NDArray[Any]]]:
    """Yield the arrays of those names, from which `what` is restored in the body.

    Raises ModelError if one is missing, and instead of errors in the body that come from wrong shapes, types or
    values.
    """
    if missing := [name for name in names if name not in arrays]:
        raise ModelError(f"{what}: {', '.join(missing)} missing; expected {', '.join(names)}")
    try:
        yield [arrays[name] for name in names]
    except (UsageError, TypeError, ValueError) as error:
        raise ModelError(f"{what}: damaged ({error}); {remedy}") from None


def read_npz(data: bytes, limit: int) -> dict[str, NDArray[Any]]:
    """Return the arrays of an `.npz` file, by name, from its bytes (`read_bounded` reads them).

    Raises ValueError, with a message of one line, if the arrays have more than `limit` bytes in total, or if the file
    is not a complete archive of plain arrays: object arrays, which would be unpickled, are refused.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if len(members) > MOST_ARRAYS or total > limit:
                raise ValueError(f"{len(members)} arrays of {total:,} bytes, more than it may hold")
            return {member.filename.removesuffix(".npy"): _array(archive.read(member)) for member in members}
    except _DAMAGE as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"damaged or not an .npz file: {why}") from None


def _array(content: bytes) -> NDArray[Any]:
    """Read one `.npy`; its header is checked against its length before memory is allocated."""
    stream = io.BytesIO(content)
    version = npy.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = npy.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = npy.read_array_header_2_0(stream)
    else:
        raise ValueError(f"an array of the unknown format {version}")
    if dtype.hasobject:
        raise ValueError("an array of objects")
    rest = len(content) - stream.tell()
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != rest:
        raise ValueError(f"an array of shape {shape} and type {dtype} with {rest:,} bytes")
    if not rest:
        return np.zeros(shape, dtype)
    flat = np.frombuffer(content, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C").copy(order="K")
