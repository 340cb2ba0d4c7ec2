"""Blobs: visual words and their vectors as they are stored, checked and decoded; the same for every database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kindred.store.cells import Cells
from kindred.store.records import RowBatch, VisualWords, WordBatch

__all__ = [
    "DESCRIBE_AGAIN",
    "FEATURES_BYTES",
    "NAMED_BY_VERIFY",
    "VISUAL_WORDS_BYTES",
    "WORDS_BYTES",
    "Blobs",
    "check_finite",
    "decode_visual_words",
    "decode_words",
    "words_of_images",
]

DESCRIBE_AGAIN = "describe the image again with kindred index FILE --force"
NAMED_BY_VERIFY = "kindred verify names its image, which kindred index FILE --force describes again"
"""What to do about damaged local features of an image, and about damaged words of a vector."""

FEATURES_BYTES = 1 << 22
"""Maximum size of the local features of an image: thousands of keypoints take less."""
VISUAL_WORDS_BYTES = 1 << 22
"""Maximum size of the visual words of local features of an image, and of their signatures."""
WORDS_BYTES = 1 << 26
"""Maximum size of the visual words that an image has in place of a vector, and of their rows."""

Blobs: TypeAlias = Sequence[tuple[int, bytes, bytes]]
"""The number of an image or vector, its words, and what belongs to each word. SQLite does not enforce the types."""

Rows = NDArray[np.float32] | NDArray[np.float16]


def decode_words(cells: Cells, found: Blobs, dimension: int) -> RowBatch:
    """Decode the visual words of images: of each, n words and rows of float16 (n, dimension).

    Raises LibraryDamaged, with the image, for lengths that do not fit, negative words, NaN and infinity.
    """
    for image, words, data in found:
        sound = isinstance(words, bytes) and isinstance(data, bytes)
        if not sound or len(words) % 4 or len(data) != len(words) // 2 * dimension:
            raise cells.error(f"the words of image {image} are truncated")
    counts = [len(words) // 4 for _, words, _ in found]
    owners = np.repeat(np.array([row[0] for row in found], np.int64), counts)
    numbers = np.frombuffer(b"".join(row[1] for row in found), "<i4").astype(np.int64)
    rows = np.frombuffer(b"".join(row[2] for row in found), "<f2").reshape(-1, dimension)
    if numbers.size and numbers.min() < 0:
        raise cells.error(f"the words of image {owners[int(np.argmin(numbers))]} hold {numbers.min()}")
    check_finite(cells, rows, owners, "the words of image", remedy=DESCRIBE_AGAIN)
    return RowBatch(owners, rows, None, numbers)


def decode_visual_words(
    cells: Cells, found: Blobs, *, owner: str = "vector", remedy: str = NAMED_BY_VERIFY
) -> tuple[NDArray[np.int64], WordBatch]:
    """Decode the visual words of vectors with their signatures: the ids of the vectors (n,), and the words of each.

    Raises LibraryDamaged, with the `owner` and the `remedy`, for lengths that do not fit.
    """
    for number, words, signatures in found:
        sound = isinstance(words, bytes) and isinstance(signatures, bytes)
        if not sound or len(words) % 2 or len(signatures) != 4 * len(words):
            raise cells.error(f"the visual words of {owner} {number} are cut off", remedy)
    return (
        np.array([row[0] for row in found], np.int64),
        WordBatch(
            np.array([len(row[1]) // 2 for row in found], np.int64),
            np.frombuffer(b"".join(row[1] for row in found), "<u2").astype(np.uint16, copy=False),
            np.frombuffer(b"".join(row[2] for row in found), "<u8").astype(np.uint64, copy=False),
        ),
    )


def words_of_images(cells: Cells, found: Blobs) -> dict[int, VisualWords]:
    """Decode the visual words of images, by number, as `decode_visual_words` does those of vectors."""
    numbers, batch = decode_visual_words(cells, found, owner="image", remedy=DESCRIBE_AGAIN)
    ends = np.cumsum(batch.counts)[:-1]
    parts = zip(numbers.tolist(), np.split(batch.words, ends), np.split(batch.signatures, ends), strict=False)
    return {number: VisualWords(words, signatures) for number, words, signatures in parts}


def check_finite(
    cells: Cells, rows: Rows, owners: NDArray[np.int64], what: str, *, remedy: str = NAMED_BY_VERIFY
) -> None:
    """Raise LibraryDamaged for NaN and infinity, which would rank first or last in every search."""
    # The sum is NaN or infinite if any number is (and possibly by overflow): seven times faster than testing each.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(rows.sum(dtype=np.float32)):
            return
    wrong = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if wrong.size:
        raise cells.error(f"{what} {owners[wrong[0]]} holds NaN or infinity", remedy)
