"""Records that are written to and read from a store: small frozen dataclasses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.regions import Box
from kindred.store.filters import Condition, Value, parse_where

__all__ = [
    "Box",
    "Counts",
    "Entry",
    "FileStamp",
    "Filter",
    "Key",
    "Known",
    "Outlines",
    "Root",
    "Row",
    "RowBatch",
    "Run",
    "Skip",
    "State",
    "Value",
    "VisualWords",
    "WordBatch",
    "is_uid",
]

State = Literal["indexed", "skipped"]

Key: TypeAlias = "Path | str"
"""An image by its absolute path, or by its id (`str`, 16 hexadecimal digits)."""

UID = re.compile(r"[0-9a-f]{16}")


def is_uid(text: str) -> bool:
    """Return whether `text` has the form of an image id."""
    return UID.fullmatch(text) is not None


@dataclass(frozen=True, eq=False)
class Entry:
    """One image to store: either described (`vectors`) or skipped (`reason`).

    path: absolute. size: bytes. mtime_ns: nanoseconds. width, height: pixels of the upright original. taken: ISO date
    or date and time from the image itself.

    vectors: (R, D) finite numbers, stored as float32, one row per region. boxes: (R, 4) x0 y0 x1 y1 in pixels of the
    original; a row of NaN, or no boxes: the whole image. words: (R,) integers, the visual word of each row; the rows
    are then stored together, in half precision. features: the local features, as bytes. visual_words: those of the
    local features, for an inverted file.

    final: whether the file was skipped because of its content, so that it is not tried again until that changes.
    digest: of the content, by `kindred._support.digests`. device, inode: those of the file; volume: the device of its
    folder. frames, frame: number of frames or pages in the file, and the one that was described, from 0.
    """

    path: Path
    size: int
    mtime_ns: int
    width: int | None = None
    height: int | None = None
    taken: str | None = None
    vectors: NDArray[np.float32] | None = None
    boxes: NDArray[np.float32] | None = None
    reason: str | None = None
    words: NDArray[np.int64] | None = None
    features: bytes | None = None
    final: bool = True
    digest: bytes | None = None
    device: int | None = None
    inode: int | None = None
    volume: int | None = None
    frames: int = 1
    frame: int = 0
    visual_words: VisualWords | None = None


@dataclass(frozen=True)
class Known:
    """The stored facts of a file, for detecting changes.

    id: the number of the image in the store; uid: its public id, which never changes. version: the version of Kindred
    that stored it. final: whether it was skipped because of its content.
    """

    id: int
    uid: str
    path: Path
    size: int
    mtime_ns: int
    state: State
    digest: bytes | None = None
    device: int | None = None
    inode: int | None = None
    volume: int | None = None
    final: bool = True
    version: str = ""


@dataclass(frozen=True)
class FileStamp:
    """The current path, size and time of a known image whose content is unchanged.

    id: the number of the image in the store. size: bytes. mtime_ns: nanoseconds.
    """

    id: int
    path: Path
    size: int
    mtime_ns: int
    digest: bytes | None = None
    device: int | None = None
    inode: int | None = None
    volume: int | None = None


@dataclass(frozen=True)
class Row:
    """The image of a vector; `box` is None if the vector describes the whole image.

    vector_id: 0 if the record was requested by image. uid: the public id of the image. device, inode: those of its file
    when it was indexed; two images with equal values of both are two names of one file.
    """

    vector_id: int
    image_id: int
    path: Path
    width: int | None
    height: int | None
    taken: str | None
    region: int
    box: Box | None
    tags: tuple[str, ...] = ()
    uid: str = ""
    metadata: Mapping[str, Value] = field(default_factory=dict)
    frames: int = 1
    frame: int = 0
    device: int | None = None
    inode: int | None = None


class Outlines(NamedTuple):
    """What is needed to lay out many images: numbers (n,) int64 ascending, and of each image one entry of the others.

    sizes: (n, 2) int32, width and height in pixels of the upright original, 0 if unknown. days: (n,) datetime64[D], on
    which the picture was taken, or else that of the file's time; NaT if unknown.
    """

    numbers: NDArray[np.int64]
    uids: tuple[str, ...]
    paths: tuple[Path, ...]
    sizes: NDArray[np.int32]
    days: NDArray[np.datetime64]


class RowBatch(NamedTuple):
    """Rows of images that have several: owners (n,) image numbers, rows (n, D), boxes (n, 4), words (n,).

    Boxes are NaN for rows of the whole image, and None if the rows belong to visual words; words are None otherwise.
    """

    owners: NDArray[np.int64]
    rows: NDArray[np.float32] | NDArray[np.float16]
    boxes: NDArray[np.float32] | None
    words: NDArray[np.int64] | None


class VisualWords(NamedTuple):
    """The visual words of an image's local features: words (n,) uint16 and of each a signature (n,) uint64.

    A signature is the binary form of where in the cell of its word a descriptor lies (Hamming embedding; Jégou, Douze
    and Schmid 2008): descriptors of the same word are compared by the Hamming distance of their signatures. passes: of
    a query of several passes, how many of them come from each, in order; they are compared apart.
    """

    words: NDArray[np.uint16]
    signatures: NDArray[np.uint64]
    passes: tuple[int, ...] = ()

    @property
    def parts(self) -> list[VisualWords]:
        """Those of each pass."""
        ends = np.cumsum(self.passes)[:-1]
        split = zip(np.split(self.words, ends), np.split(self.signatures, ends), strict=True)
        return [VisualWords(*each) for each in split] if self.passes else [self]


class WordBatch(NamedTuple):
    """The visual words of images: how many each has (n,) int64, and those of all, one image after the other."""

    counts: NDArray[np.int64]
    words: NDArray[np.uint16]
    signatures: NDArray[np.uint64]


@dataclass(frozen=True)
class Filter:
    """A filter of images; all given conditions must hold.

    folder: the image is in it, at any depth. tags: the image has all of them; without_tags: none of them. where:
    conditions on its metadata. ids: the image has one of these public ids; None: any. after, before: first and last
    day, inclusive. The day is that on which the picture was taken, or else that of the file's time, in the time zone of
    the machine that indexed it. min_longest: the longer side of the image has at least so many pixels; 0: any.
    """

    folder: Path | None = None
    tags: tuple[str, ...] = ()
    after: date | None = None
    before: date | None = None
    where: tuple[Condition, ...] = ()
    ids: tuple[str, ...] | None = None
    without_tags: tuple[str, ...] = ()
    min_longest: int = 0

    def __post_init__(self) -> None:
        """Convert arguments: a single tag or id, a date as ISO text or with a time, a path or a condition as text.

        A condition may be text such as "price<20". Raises UsageError for text that is not a date or a condition, and
        for an invalid number of pixels.
        """
        longest = self.min_longest
        if isinstance(longest, bool) or not isinstance(longest, int) or not 0 <= longest < 2**31:
            raise UsageError(f"filter: min_longest is {longest!r}; expected a number of pixels, 0 for any")
        taken: dict[str, object] = {
            "folder": None if self.folder is None else _folder(self.folder),
            "tags": _several("tags", self.tags),
            "without_tags": _several("without_tags", self.without_tags),
            "after": _day("after", self.after),
            "before": _day("before", self.before),
            "ids": None if self.ids is None else _several("ids", self.ids),
            "where": _conditions(self.where),
        }
        for name, value in taken.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Counts:
    """Numbers of images and vectors in the store."""

    images: int
    indexed: int
    skipped: int
    vectors: int


@dataclass(frozen=True)
class Skip:
    """An image that could not be used, the reason, and whether the reason is its content."""

    path: Path
    reason: str
    final: bool


@dataclass(frozen=True)
class Root:
    """An indexed folder after its last run: its device and its number of images."""

    path: Path
    device: int
    images: int
    seen: str


@dataclass(frozen=True)
class Run:
    """One indexing run. `started`, `finished`: UTC, ISO; `finished` is None while it runs or if it was interrupted."""

    id: int
    started: str
    finished: str | None = None
    found: int = 0
    indexed: int = 0
    unchanged: int = 0
    skipped: int = 0
    removed: int = 0
    moved: int = 0


def _conditions(given: object) -> tuple[Condition, ...]:
    listed = [given] if isinstance(given, str | Condition) else given
    if not isinstance(listed, Iterable):
        raise UsageError(f"where is {given!r}; expected conditions, such as 'price<20'")
    return tuple(each if isinstance(each, Condition) else parse_where(str(each)) for each in listed)


def _several(name: str, words: object) -> tuple[str, ...]:
    """Return words; raises UsageError for what is no text, which would match nothing without a word."""
    listed = (words,) if isinstance(words, str) else tuple(words) if isinstance(words, Iterable) else (words,)
    for word in listed:
        if not isinstance(word, str) or not _is_text(word) or (name == "ids" and not is_uid(word)):
            expected = "ids of images, of 16 hexadecimal digits" if name == "ids" else "text"
            raise UsageError(f"{name}: got {word!r:.100}; expected {expected}")
    return listed


def _is_text(word: str) -> bool:
    try:
        word.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _folder(given: object) -> Path:
    if isinstance(given, str | Path):
        return Path(given)
    raise UsageError(f"folder is {given!r:.100}; expected a path")


def _day(name: str, value: object) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    if value is None or isinstance(value, date):
        return value
    try:
        return datetime.fromisoformat(str(value)).date()
    except ValueError:
        raise UsageError(f"{name} is {value!r}; expected a date, or text such as '2024-05-31'") from None
