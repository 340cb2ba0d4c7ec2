"""JPEG: read the header, then decode at the smallest sufficient scale.

libjpeg-turbo (through simplejpeg) can omit the high frequencies of each 8 x 8 block and so decode at n/8 of the size.
Only 1/8, 1/4, 1/2 and 1 have SIMD code: a 640-pixel photo takes 0.54 ms at 4/8, but 0.67 ms at 3/8, 1.10 ms at 5/8 and
0.71 ms at 8/8 (`benchmarks/decoding.py --scales`), so the other scales are never used.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import cast

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from numpy.typing import NDArray

from kindred.images.reasons import DAMAGED, ENDS_EARLY, Refused

__all__ = ["JpegHeader", "coefficient_bytes", "decode_jpeg", "encode_jpeg", "read_header", "scaled_size"]

Pixels = NDArray[np.uint8]

# More than any real encoder writes (progressive files have about ten). Each scan of a progressive file covers the
# whole image, so a small file of a thousand scans would occupy the decoder for minutes.
MAX_SCANS = 100

MAX_SEGMENTS = 10_000  # before the first scan; real files have a few dozen

# A marker with a segment, or the end marker; not padding (ff), stuffing (00) or a marker without a segment.
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]")
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_START_OF_SCAN, _END_OF_IMAGE, _APP1, _APP2, _APP14 = 0xDA, 0xD9, 0xE1, 0xE2, 0xEE
_ICC = b"ICC_PROFILE\0"


@dataclass(frozen=True)
class JpegHeader:
    """The header of a JPEG, before the first scan. Sizes are in stored pixels, before EXIF orientation."""

    width: int
    height: int
    components: int
    one_scan: bool
    adobe: bool
    exif: bytes
    icc: bytes
    sampling: tuple[
        tuple[int, int], ...
    ] = ()  # horizontal and vertical factor of each component; empty for a single-scan file


def coefficient_bytes(header: JpegHeader) -> int:
    """Return the memory in bytes that libjpeg needs for the coefficients of a multi-scan image, at any scale."""
    if header.one_scan or not header.sampling:
        return 0
    across, down = (max(factors) for factors in zip(*header.sampling, strict=True))
    area = sum(x * y for x, y in header.sampling) / (across * down)
    samples: float = area * (header.width + 8 * across) * (header.height + 8 * down)
    return round(2 * samples)


def read_header(data: bytes) -> JpegHeader:
    """Read the segments before the first scan; raises `Refused` if there is no image to decode."""
    frame = exif = adobe = b""
    progressive = False
    icc: dict[int, bytes] = {}
    at = 2
    for _ in range(MAX_SEGMENTS):
        marker, segment, at = _next_segment(data, at)
        if marker == _START_OF_SCAN:
            break
        if marker in _START_OF_FRAME and not frame:
            frame, progressive = segment, marker in _PROGRESSIVE
        elif marker == _APP1 and segment.startswith(b"Exif\0\0") and not exif:
            exif = segment
        elif marker == _APP2 and segment.startswith(_ICC) and len(segment) > 14:
            icc[segment[12]] = segment[14:]
        elif marker == _APP14 and segment.startswith(b"Adobe"):
            adobe = segment
    if len(frame) < 6 or marker != _START_OF_SCAN or frame[0] not in (8, 12):
        raise Refused(DAMAGED)
    if frame[0] == 12:
        raise Refused("unsupported JPEG of 12 bits per sample")
    if progressive and data.count(bytes((0xFF, _START_OF_SCAN)), at) > MAX_SCANS:
        raise Refused(f"JPEG of more than {MAX_SCANS} scans")
    height, width, components = struct.unpack_from(">HHB", frame, 1)
    if not height or not width:
        raise Refused(DAMAGED)
    profile = b"".join(icc[number] for number in sorted(icc))
    one_scan = not progressive and segment[:1] == frame[5:6]  # which holds all components
    factors: tuple[tuple[int, int], ...] = ()
    if not one_scan:
        factors = tuple((value >> 4 or 1, value & 15 or 1) for value in frame[7 : 7 + 3 * components : 3])
    return JpegHeader(width, height, components, one_scan, bool(adobe), exif, profile, factors)


def _next_segment(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Return the marker at or after `at`, its segment, and the start of the next one."""
    found = _MARKER.search(data, at)
    if found is None:
        raise Refused(ENDS_EARLY)
    marker, at = found[0][1], found.end()
    if marker == _END_OF_IMAGE:
        raise Refused(DAMAGED)
    end = at + int.from_bytes(data[at : at + 2], "big")
    if end > len(data) or at + 2 > len(data):
        raise Refused(ENDS_EARLY)
    return marker, data[at + 2 : end], end


def decode_jpeg(data: bytes, header: JpegHeader, *, longest: int | None = None) -> Pixels:
    """Decode to (H, W, 3) RGB, (H, W, 1) grey or (H, W, 4) CMYK, at the smallest scale of at least `longest` pixels.

    Grey is returned as RGB too, unless the file has a colour profile, which is then for grey. Raises `Refused` if
    pixels are missing (libjpeg fills them with grey and reports only a warning), and `ValueError` for files to be
    decoded by Pillow: with harmless flaws, or of a rare kind.
    """
    space = "CMYK" if header.components == 4 else "GRAY" if header.components == 1 and header.icc else "RGB"
    width, height = scaled_size(header, longest)
    try:
        pixels = _decode(data, space, width, height)
    except ValueError as error:
        pixels = _decode_again(data, space, width, height, header=header, error=error)
    if space == "CMYK" and header.adobe:
        np.subtract(255, pixels, out=pixels)  # Adobe stores inverted ink: 255 is no ink
    return pixels


def _decode(data: bytes, space: str, width: int, height: int) -> Pixels:
    # Never with strict=False: simplejpeg 1.9 then returns uninitialised memory if libjpeg fails.
    pixels = simplejpeg.decode_jpeg(data, space, min_height=height, min_width=width, strict=True)
    return cast(Pixels, pixels)


def _decode_again(data: bytes, space: str, width: int, height: int, *, header: JpegHeader, error: ValueError) -> Pixels:
    """Decode a file that lacks only its end marker, as some programs write it; refuse one with missing pixels."""
    warning = str(error).lower()
    if "premature end of jpeg file" in warning and header.one_scan:
        try:
            return _decode(data + b"\xff\xd9", space, width, height)
        except ValueError:
            raise Refused(ENDS_EARLY) from None
    if "premature end" in warning or "found marker 0xd9" in warning:
        raise Refused(ENDS_EARLY) from None
    if _is_damage(warning, len(data)):
        raise Refused(DAMAGED) from None
    raise error


def scaled_size(header: JpegHeader, longest: int | None) -> tuple[int, int]:
    """Return (width, height) after the largest division by 8, 4 or 2 that leaves at least `longest` pixels."""
    divisors = (8, 4, 2, 1) if longest else (1,)
    sizes = [(-(-header.width // by), -(-header.height // by)) for by in divisors]  # libjpeg rounds up
    return next((size for size in sizes if max(size) >= (longest or 0)), sizes[-1])


def _is_damage(warning: str, size: int) -> bool:
    """Return whether a warning of libjpeg (jerror.h) about a file of `size` bytes means wrong pixels.

    Harmless and common: padding before a marker ("3 extraneous bytes before marker 0xd9"), odd parameters ("Invalid
    SOS parameters"), unknown versions of the JFIF and Adobe markers. If a twentieth of the file is called extraneous,
    or a restart marker is out of place, the decoder has lost synchronisation.
    """
    padding = re.search(r"(\d+) extraneous bytes before marker 0x(..)", warning)
    if padding is None:
        return "corrupt jpeg data" in warning
    return "d0" <= padding[2] < "d8" or 20 * int(padding[1]) > size


def encode_jpeg(pixels: Pixels, *, quality: int) -> bytes:
    """Encode (H, W, 3) RGB with 4:2:0 chroma subsampling; `quality` is 1 to 100."""
    pixels = np.ascontiguousarray(pixels)
    return cast(bytes, simplejpeg.encode_jpeg(pixels, quality=quality, colorspace="RGB", colorsubsampling="420"))
