"""Camera RAW files, read by their embedded JPEG preview.

The formats differ in the location of the preview, but it is always a complete JPEG file in one piece, found by its
first bytes: the largest JPEG in the file that can be decoded is the preview. The thumbnail is smaller, and raw samples
stored as lossless JPEG have more than 8 bits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kindred.images.boxes import boxes
from kindred.images.exif import Exif, read_exif
from kindred.images.jpeg import read_header
from kindred.images.reasons import Refused
from kindred.images.tiff import Page, Tag, read_directory

__all__ = ["container_exif", "is_raw_tiff", "previews"]

_JPEG = re.compile(rb"\xff\xd8\xff[\xc0-\xfe]")
_MAX_CANDIDATES = 5_000  # positions examined
_TRIED = 3  # previews tried, largest first
_HEADER = 1_000_000  # most bytes of a preview's header
_EXIF = 4_000_000  # bytes from the start of the file searched for EXIF
_MAX_SUB_FILES = 32
_DNG_VERSION, _CANON_MARK = 50706, b"CR"
_SENSOR = (32803, 34892)  # photometric interpretations: colour filter array, linear raw


def is_raw_tiff(data: bytes, pages: list[Page]) -> bool:
    """Return whether a file with a TIFF header is a RAW file, which contains sensor samples."""
    if data[8:10] == _CANON_MARK:
        return True
    every = [*pages, *(sub for page in pages for sub in _sub_files(page))]
    return any(_DNG_VERSION in page.entries or page.number(Tag.PHOTOMETRIC, 0) in _SENSOR for page in every)


def _sub_files(page: Page) -> Iterator[Page]:
    big = 43 in page.data[2:4]
    for at in page.numbers(Tag.SUB_FILES)[:_MAX_SUB_FILES]:
        try:
            yield read_directory(page.data, at, order=page.order, big=big)[0]
        except Exception:  # a damaged one is ignored
            continue


def previews(data: bytes) -> list[bytes]:
    """Return the largest embedded JPEGs of a file, each from its first byte on, largest first."""
    found = []
    for number, match in enumerate(_JPEG.finditer(data, 1)):
        if number >= _MAX_CANDIDATES:
            break
        try:
            header = read_header(data[match.start() : match.start() + _HEADER])
        except Refused:
            continue
        found.append((header.width * header.height, match.start()))
    if not found:
        raise Refused("RAW file without a preview")
    found.sort(key=lambda each: (-each[0], each[1]))
    return [data[start:] for _, start in found[:_TRIED]]


def container_exif(data: bytes) -> Exif:
    """Return orientation and date of the RAW file itself, for previews without EXIF."""
    if data[4:12] == b"ftypcrx ":  # Canon: in a separate box
        return _canon_exif(data)
    mark = {b"II": b"II*\0", b"MM": b"MM\0*"}.get(data[:2], b"")  # other makers change the two bytes after it
    return read_exif(mark + data[4:_EXIF]) if mark else Exif()


def _canon_exif(data: bytes) -> Exif:
    for kind, start, end in boxes(data):
        if kind != b"moov":
            continue
        for inner, first, last in boxes(data, start, end):
            if inner != b"uuid":
                continue
            blocks = {name: data[at:stop] for name, at, stop in boxes(data, first + 16, last)}
            main, dates = read_exif(blocks.get(b"CMT1", b"")), read_exif(blocks.get(b"CMT2", b""))
            if blocks.get(b"CMT1"):
                return Exif(main.orientation, dates.taken or main.taken)
    return Exif()
