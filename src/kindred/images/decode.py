"""Decode any image to upright 8-bit sRGB, or raise an `ImageError` with the reason."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kindred._support.os_errors import explain_os_error
from kindred._support.remote_path import remote_path
from kindred.errors import ImageError, RemoteError, UsageError
from kindred.images.decoded import Decoded
from kindred.images.exif import Exif, read_exif
from kindred.images.formats import HEAD, count_frames, load_image, sniff
from kindred.images.memory import divisor_for, memory_limit
from kindred.images.quiet import quiet_pillow
from kindred.images.raster import RowReducer
from kindred.images.readers import READERS, finish, finish_image, info
from kindred.images.reasons import Refused, check_size, refusal
from kindred.images.remote import read_remote

__all__ = ["MAX_PIXELS", "Decoded", "ImageLike", "decode"]

MAX_PIXELS = 200_000_000  # 600 MB when decoded at full size
_MOST_PIXELS = 2**31 - 1  # the range of the decoders' integers
_SHARE_OF_FILE = 0.85  # of the memory limit, as the file stays in memory while it is decoded
ImageLike = (
    str | Path | bytes | bytearray | memoryview | BinaryIO | Image.Image | NDArray[np.uint8] | NDArray[np.uint16]
)
"""The types that can be decoded; `kindred.images.as_image` reads streams and buffers into bytes."""


def decode(source: ImageLike, *, longest: int | None = None, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode a file, encoded bytes, a Pillow image or an array to upright sRGB.

    Formats are recognised by their content; docs/images.md lists them. Of several frames or pages, the first of the
    first 16 that is not of a uniform colour is decoded. EXIF orientation and embedded colour profiles are applied.
    Transparency is composited on white, or on grey if the picture is nearly white itself. 16-bit samples are scaled by
    their full range, or by that of 8, 10 or 12 bits if no value exceeds it. Arrays are (H, W), (H, W, 3) or (H, W, 4),
    uint8 or uint16, and already upright.

    With `longest` the decoder may return any scale whose longer side is at least `longest` pixels (smaller images keep
    their size), which is several times faster for photos.

    An image of more than `max_pixels` pixels is refused, and one whose decoding needs more than 700 MB of memory (or
    3.5 bytes per pixel of `max_pixels`, if that is more); both are known from its header.

    Raises `ImageError` for an unusable file, `UsageError` for an array of another type or shape and for numbers out of
    range. Emits no warnings, changes no settings of Pillow, and is thread-safe.
    """
    if not 1 <= max_pixels <= _MOST_PIXELS:
        raise UsageError(f"max_pixels is {max_pixels}; expected a number of pixels from 1 to {_MOST_PIXELS}")
    if longest is not None and longest < 1:
        raise UsageError(f"longest is {longest}; expected the longer side in pixels, at least 1")
    try:
        if isinstance(source, np.ndarray):
            return _from_array(source, longest)
        if isinstance(source, Image.Image):
            return _from_pillow(source, longest, max_pixels)
        data = _read(source, max_pixels) if isinstance(source, str | Path) else _all_bytes(source)
        return _from_bytes(data, longest, max_pixels)
    except (Refused, MemoryError) as error:
        refused = refusal(error)
        raise ImageError(_label(source), refused.reason, final=refused.final) from error


def _label(source: ImageLike) -> Path | str:
    if isinstance(source, str | Path):
        return source
    return str(getattr(source, "filename", "")) or f"<{type(source).__name__}>"


def _all_bytes(source: bytes | bytearray | memoryview | BinaryIO) -> bytes:
    """Return the bytes of a buffer, or of a stream from its current position to its end."""
    from kindred.images.given import as_image

    return cast(bytes, as_image(source))


def _read(source: str | Path, max_pixels: int) -> bytes:
    """Return the bytes of a regular file that starts like an image; of others only the start is read.

    A remote file is read whole, in one request.
    """
    limit = int(_SHARE_OF_FILE * memory_limit(max_pixels))
    if remote := remote_path(source):
        try:
            return read_remote(remote, limit=limit)
        except RemoteError as error:
            raise Refused(error.reason, final=False) from error
    path = Path(source)
    try:
        status = path.stat()  # before opening, as opening a named pipe would wait for its writer
        if not stat.S_ISREG(status.st_mode):
            raise Refused("is a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file", final=False)
        with path.open("rb", buffering=0) as file:
            sniff(file.read(HEAD))
            if status.st_size > limit:
                raise Refused(f"too large: {status.st_size / 1e6:.0f} megabytes", final=False)
            file.seek(0)
            return file.read()
    except FileNotFoundError:
        raise Refused("file vanished", final=False) from None
    except (OSError, ValueError) as error:
        raise Refused(f"cannot be read: {explain_os_error(error)}", final=False) from error


def _from_bytes(data: bytes, longest: int | None, max_pixels: int) -> Decoded:
    return READERS[sniff(data[:HEAD])](data, longest, max_pixels)


def _from_pillow(image: Image.Image, longest: int | None, max_pixels: int) -> Decoded:
    check_size(*image.size, max_pixels)
    with quiet_pillow():
        load_image(image)
        exif = read_exif(info(image, "exif"))
        decoded = finish_image(image, exif=exif, divisor=divisor_for(*image.size, longest))
        return replace(decoded, frames=count_frames(image), frame=image.tell())


def _from_array(array: NDArray[np.uint8] | NDArray[np.uint16], longest: int | None) -> Decoded:
    known = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype not in (np.uint8, np.uint16) or not known or 0 in array.shape:
        raise UsageError(
            f"an array of {array.dtype} {array.shape} is not an image; "
            "expected uint8 or uint16 of shape (H, W), (H, W, 3) or (H, W, 4)"
        )
    shaped = array if array.ndim == 3 else array[..., None]
    height, width, channels = shaped.shape
    reducer = RowReducer(width, height, divisor=divisor_for(width, height, longest), alpha=channels == 4)
    reducer.add(shaped)
    raster = reducer.raster()
    return finish(raster, raster.mode, size=(width, height), exif=Exif())
