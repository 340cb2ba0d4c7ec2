"""Reasons for refusing an image, as short messages.

The readers of this package raise `Refused`, without a path; `decode` adds the path and raises `ImageError`.
"""

from __future__ import annotations

from PIL import Image

__all__ = ["DAMAGED", "ENDS_EARLY", "NOT_AN_IMAGE", "Refused", "check_size", "refusal"]

DAMAGED = "image data is damaged"
ENDS_EARLY = "image data ends early"
NOT_AN_IMAGE = "not an image"

# Parts of the messages with which Pillow, libheif and libavif report a truncated file.
_CUT = ("truncated", "end of file", "end-of-file", "unexpected end", "not enough")


class Refused(Exception):
    """An unusable image: `reason` is a short message, `final` whether the cause is in its content."""

    def __init__(self, reason: str, *, final: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise `Refused` for an image of no pixels or of more than `max_pixels`, before memory is allocated."""
    if width < 1 or height < 1:
        raise Refused("has no pixels")
    if width * height > max_pixels:
        raise Refused(f"too large: {_mega(width * height)} megapixels, limit {_mega(max_pixels)}", final=False)


def refusal(error: Exception, *, otherwise: str = DAMAGED) -> Refused:
    """Convert an exception of an image library to `Refused`, with the reason `otherwise` if it gives none."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, MemoryError):
        return Refused("too large for the memory of this machine", final=False)
    if isinstance(error, Image.DecompressionBombError):
        return Refused("too large: more pixels than Pillow is set to allow", final=False)
    if isinstance(error, EOFError) or any(word in str(error).lower() for word in _CUT):
        return Refused(ENDS_EARLY)
    return Refused(otherwise)


def _mega(pixels: int) -> str:
    value = pixels / 1e6
    return f"{value:.0f}" if value >= 1000 else f"{value:.4g}"
