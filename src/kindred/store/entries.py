"""Entries: an image to store, checked and turned into the values of a row; the same for every store."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.store.blobs import FEATURES_BYTES
from kindred.store.records import Entry

__all__ = [
    "check_meta_keys",
    "check_tag",
    "checked_vectors",
    "checked_words",
    "day_of",
    "facts_of",
    "new_uid",
    "now",
    "signed",
    "unsigned",
]

RESERVED = ("revision", "vectors_revision", "dimension")
TAG_LENGTH = 200


def check_meta_keys(keys: Iterable[str]) -> None:
    """Raise UsageError if a fact about the library has a name that the store uses itself."""
    for key in keys:
        if key in RESERVED:
            raise UsageError(f"meta: {key!r} is reserved for the store; choose another name")


def check_tag(tag: str) -> None:
    """Raise UsageError for a tag that is empty, too long or not valid text."""
    if not tag.strip() or len(tag) > TAG_LENGTH:
        raise UsageError(f"tag: got {tag[:TAG_LENGTH]!r}; expected 1 to {TAG_LENGTH} characters, not only spaces")
    try:
        tag.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"tag: got {tag!r}; expected valid text (it contains a lone surrogate)") from None


def facts_of(entry: Entry, version: str) -> dict[str, bytes | str | int | None]:
    """Return the columns of an image other than its id, path and the time it was added.

    Raises UsageError for an entry that has neither vectors nor a reason, or both, or larger local features than a store
    returns.
    """
    if (entry.vectors is None) == (entry.reason is None):
        raise UsageError(f"{entry.path}: expected either vectors or a reason for skipping, not both or neither")
    if entry.features is not None and len(entry.features) > FEATURES_BYTES:
        size = f"{len(entry.features):,} bytes"
        raise UsageError(f"{entry.path}: got local features of {size}; expected at most {FEATURES_BYTES:,}")
    return {
        "size": entry.size,
        "mtime_ns": entry.mtime_ns,
        "digest": entry.digest,
        "device": signed(entry.device),
        "inode": signed(entry.inode),
        "volume": signed(entry.volume),
        "width": entry.width,
        "height": entry.height,
        "frames": entry.frames,
        "frame": entry.frame,
        "taken": entry.taken,
        "day": day_of(entry.taken, entry.mtime_ns),
        "state": "indexed" if entry.reason is None else "skipped",
        "reason": None if entry.reason is None else entry.reason.encode("utf-8", "replace").decode(),
        "final": entry.final,
        "version": version,
    }


def new_uid() -> str:
    """Return a new public id."""
    return os.urandom(8).hex()


def now() -> str:
    """Return the current time in UTC, as ISO text, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def signed(number: int | None) -> int | None:
    """Return an unsigned 64-bit number as databases store it; inodes of some file systems use the highest bit."""
    return number if number is None or number < 2**63 else number - 2**64


def unsigned(number: int | None) -> int | None:
    """Return the unsigned 64-bit number that `signed` was given."""
    return None if number is None else number % 2**64


def checked_vectors(entry: Entry) -> tuple[NDArray[np.float32], list[tuple[float | None, ...]]]:
    """Return the rows (R, D) of an entry as they are stored, and their boxes, all None for the whole image."""
    rows = np.asarray(entry.vectors, dtype="<f4")
    if rows.ndim != 2 or 0 in rows.shape:
        raise UsageError(f"{entry.path}: got vectors of shape {rows.shape}; expected (R, D), R at least 1")
    if not np.isfinite(rows).all():
        raise UsageError(f"{entry.path}: a vector holds NaN or infinity; expected finite numbers")
    if entry.boxes is None:
        return rows, [(None,) * 4] * len(rows)
    boxes = np.asarray(entry.boxes, dtype=np.float64)
    if boxes.shape != (len(rows), 4):
        raise UsageError(f"{entry.path}: got boxes of shape {boxes.shape}; expected {(len(rows), 4)}")
    return rows, [(None,) * 4 if np.isnan(box).any() else tuple(box.tolist()) for box in boxes]


def checked_words(entry: Entry, rows: int) -> tuple[NDArray[np.uint16], NDArray[np.uint64]]:
    """Return the entry's visual words and their signatures, each (n,), as they are stored."""
    assert entry.visual_words is not None
    words, signatures = entry.visual_words.words, entry.visual_words.signatures
    shapes = f"visual words {words.shape} and signatures {signatures.shape}"
    if rows != 1:
        raise UsageError(f"{entry.path}: got visual words and {rows} vectors; expected one vector for the image")
    if words.ndim != 1 or words.shape != signatures.shape:
        raise UsageError(f"{entry.path}: got {shapes}; expected (n,)")
    return words.astype("<u2"), signatures.astype("<u8")


def day_of(taken: str | None, mtime_ns: int) -> str | None:
    """Return the ISO day of `taken`, else that of the file time; None for a time outside the calendar."""
    if taken is not None:
        try:
            return date.fromisoformat(taken[:10]).isoformat()
        except ValueError:
            raise UsageError(f"taken: got {taken!r}; expected an ISO date such as 2024-05-31") from None
    try:
        return datetime.fromtimestamp(mtime_ns / 1e9).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return None
