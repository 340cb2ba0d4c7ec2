"""Detect an image format by its first bytes, and open the formats that Pillow reads.

Only Pillow's reader for the detected format is called. `PIL.Image.open` is avoided, as it tries other parsers too, and
warns about large images under a process-wide limit.
"""

from __future__ import annotations

import io
from importlib import import_module
from typing import Protocol, cast

from PIL import Image

from kindred.extras import needs
from kindred.images.reasons import ENDS_EARLY, NOT_AN_IMAGE, Refused, refusal

__all__ = ["HEAD", "count_frames", "is_webp", "load_image", "open_image", "seek_frame", "sniff"]

HEAD = 64  # bytes that `sniff` needs

_READERS = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WebP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIC": ("pillow_heif", "HeifImageFile"),
    "JPEG XL": ("pillow_jxl.JpegXLImagePlugin", "JXLImageFile"),
}
_EXTRAS = {"HEIC": "heic", "JPEG XL": "jxl"}
_STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF
    (b"MM\0+", "TIFF"),
    (b"IIRO", "RAW"),  # Olympus
    (b"IIRS", "RAW"),
    (b"MMOR", "RAW"),
    (b"IIU\0", "RAW"),  # Panasonic
    (b"FUJIFILMCCD-RAW", "RAW"),
    (b"FOVb", "RAW"),  # Sigma
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
)
# Recognised, but not supported: their parsers are large and little used, and some execute programs.
_REFUSED_STARTS = (
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\1\0", "icon"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
)
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}


class _Reader(Protocol):
    def __call__(self, file: io.BytesIO) -> Image.Image: ...


def is_webp(head: bytes) -> bool:
    """Return whether a file that starts with `head` is WebP."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def sniff(head: bytes) -> str:
    """Return the format of a file that starts with `head`, ignoring its extension; raises `Refused` for others."""
    if not head:
        raise Refused("empty file")
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    if is_webp(head):
        return "WebP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if head[4:8] == b"ftyp":
        return _sniff_brands(head)
    for start, name in _REFUSED_STARTS:
        if head.startswith(start):
            raise Refused(f"unsupported format: {name}")
    raise Refused(NOT_AN_IMAGE)


def _sniff_brands(head: bytes) -> str:
    """Distinguish HEIC and AVIF by the brands of their common container (ISO/IEC 23008-12, section 10)."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    if brands & _HEIC_BRANDS:
        return "HEIC"
    if head[8:12] == b"crx ":  # Canon
        return "RAW"
    raise Refused(NOT_AN_IMAGE)  # usually a video


def open_image(name: str, data: bytes) -> Image.Image:
    """Open `data` with the reader for the format `name`, without decoding its pixels."""
    if _ends_early(name, data):
        raise Refused(ENDS_EARLY)
    module, reader = _READERS[name]
    try:
        opener = cast(_Reader, getattr(import_module(module), reader))
    except ImportError:
        raise Refused(needs(name, _EXTRAS[name]), final=False) from None
    try:
        return opener(io.BytesIO(data))
    except Exception as error:  # a reader given damaged bytes may raise anything
        raise refusal(error, otherwise=f"damaged or unsupported {name} file") from error


def _ends_early(name: str, data: bytes) -> bool:
    """Return whether a file is shorter than declared, as the readers of these formats report that unclearly."""
    if name == "WebP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if name == "TIFF" and data[:3] != b"II+" and data[2:4] != b"\0+":
        return int.from_bytes(data[4:8], "little" if data[:1] == b"I" else "big") + 2 > len(data)
    at = 0
    while name in ("AVIF", "HEIC") and at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8:  # to the end of the file, or of 64 bits
            return False
        at += size
    return at > len(data)


def count_frames(image: Image.Image) -> int:
    """Return the number of frames or pages of an opened image, at least 1, without damaged ones."""
    try:
        return max(1, int(getattr(image, "n_frames", 1)))
    except Exception:  # a reader given damaged bytes may raise anything
        return 1


def seek_frame(image: Image.Image, number: int) -> None:
    """Move an opened image to frame `number`."""
    try:
        image.seek(number)
    except Exception as error:  # a reader given damaged bytes may raise anything
        raise refusal(error) from error


def load_image(image: Image.Image) -> None:
    """Decode the pixels of an opened image whose size the caller has checked."""
    try:
        stored_size = getattr(image, "_tile_size", None)
        if stored_size is not None and getattr(image, "tile", None):
            # Allocated here, as Pillow's TIFF reader would check a process-wide limit.
            image.im = Image.new(image.mode, stored_size).im
        image.load()
    except Exception as error:  # a decoder given damaged bytes may raise anything
        raise refusal(error) from error
