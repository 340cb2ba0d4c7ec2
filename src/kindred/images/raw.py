"""RAW files of cameras, read by the JPEG preview that each of them holds.

The formats differ in where the preview lies, but in all it is a whole JPEG file, stored in one piece. So it is found by
its first bytes: of all places that look like a JPEG, the largest picture that decodes is the preview. The thumbnail
inside is smaller, and raw samples that are stored as (lossless) JPEG have more than 8 bits.
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
_MAX_CANDIDATES = 5_000  # places that are looked at
_TRIED = 3  # previews that are decoded, largest first
_HEADER = 1_000_000  # bytes in which the header of a preview ends
_EXIF = 4_000_000  # bytes in which the dates of a file lie
_MAX_SUB_FILES = 32
_DNG_VERSION, _CANON_MARK = 50706, b"CR"
_SENSOR = (32803, 34892)  # kinds of colours: a mosaic of filters, or linear


def is_raw_tiff(data: bytes, pages: list[Page]) -> bool:
    """Whether a file that begins like TIFF is a RAW file: it holds samples of a sensor."""
    if data[8:10] == _CANON_MARK:
        return True
    every = [*pages, *(sub for page in pages for sub in _sub_files(page))]
    return any(_DNG_VERSION in page.entries or page.number(Tag.PHOTOMETRIC, 0) in _SENSOR for page in every)


def _sub_files(page: Page) -> Iterator[Page]:
    big = 43 in page.data[2:4]
    for at in page.numbers(Tag.SUB_FILES)[:_MAX_SUB_FILES]:
        try:
            yield read_directory(page.data, at, order=page.order, big=big)[0]
        except Exception:  # a damaged one says nothing
            continue


def previews(data: bytes) -> list[bytes]:
    """The largest JPEG pictures inside a file, each from its first byte on, the largest first."""
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
    """Orientation and date of the RAW file itself, for previews that say neither."""
    if data[4:12] == b"ftypcrx ":  # Canon: in a box of its own
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
