"""Image arguments of any supported type, validated and read so that they can be decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kindred._support.os_errors import explain_os_error
from kindred._support.remote_path import remote_path
from kindred.errors import ImageError, UsageError
from kindred.images.decode import ImageLike

__all__ = ["MOST_BYTES", "as_image"]

MOST_BYTES = 2**31
"""The largest stream that is read, in bytes: more than any usable image."""

_WEB = ("http://", "https://", "ftp://", "data:")


def as_image(given: object) -> ImageLike:
    """Return an image argument in a form that can be decoded repeatedly: streams and buffers are read into bytes.

    Accepts paths, bytes, bytearrays, memoryviews, open binary files, `BytesIO`, Pillow images and arrays; a stream is
    read from its current position to its end. Raises `ImageError` for a path that is a URL, missing or a folder,
    `UsageError` for any other object. A remote file is read when it is decoded, if that is allowed.
    """
    if isinstance(given, str | Path):
        return _existing(given)
    if isinstance(given, bytearray | memoryview):
        return bytes(given)
    if hasattr(given, "read") and not hasattr(given, "getbands"):  # Pillow's images have another `read`
        return _read_whole(given)
    if isinstance(given, bytes) or hasattr(given, "__array_interface__") or hasattr(given, "getbands"):
        return given  # type: ignore[return-value]  # `decode` validates arrays
    raise UsageError(
        f"an image is {given!r:.80}; expected a path, bytes, a binary file, a Pillow image or a uint8 array"
    )


def _existing(path: str | Path) -> str | Path:
    if isinstance(path, str) and path.lower().startswith(_WEB):
        raise ImageError(path, "is a URL, not a file; download it first", final=False)
    if remote := remote_path(path):
        return remote
    if path == "":
        raise ImageError("''", "no such file", final=False)
    try:
        place = Path(path)
        folder = place.is_dir()
        if not folder:
            place.stat()
    except FileNotFoundError:
        raise ImageError(path, "no such file", final=False) from None
    except (OSError, ValueError) as error:
        raise ImageError(path, f"cannot be read: {explain_os_error(error)}", final=False) from error
    if folder:
        raise ImageError(path, "is a folder", final=False)
    return path


def _read_whole(stream: Any) -> bytes:
    name = getattr(stream, "name", None)
    label = name if isinstance(name, str) else f"<{type(stream).__name__}>"
    try:
        data = stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # closed, or open for writing
        raise ImageError(label, f"cannot be read: {explain_os_error(error)}", final=False) from error
    if not isinstance(data, bytes):
        raise UsageError(f"{label}: is open in text mode; open it in binary mode, 'rb'")
    if len(data) > MOST_BYTES:
        raise ImageError(label, f"too large: more than {MOST_BYTES / 1e9:.0f} GB", final=False)
    return data
