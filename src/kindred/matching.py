"""Matching: the similarity of images with several vectors each, such as one per region or per visual word.

`match` compares the rows of one query image with those of all images of a database, block by block, and returns for
each image its score and its best-matching row. `MATCHINGS` is the table of all matchings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, as_rows, check_positive
from kindred.errors import RecipeError, UsageError
from kindred.hints import check_known, check_options, options_of

__all__ = [
    "MATCHINGS",
    "GroupedRows",
    "ImageRows",
    "Matched",
    "Matching",
    "Option",
    "RowCode",
    "check_matching",
    "check_query",
    "from_bfloat16",
    "group_rows",
    "match",
    "to_bfloat16",
]

Option: TypeAlias = bool | int | float | NDArray[np.float32] | None
Scalar = TypeVar("Scalar", bound=np.generic)
Matched: TypeAlias = tuple[NDArray[np.float32], NDArray[np.int64] | None]
"""The score of each image (I,), and its best-matching row (I,) if rows have a position in the image."""
Stored: TypeAlias = NDArray[np.float32] | NDArray[np.uint16] | NDArray[np.uint8]
Score: TypeAlias = Callable[[Vectors, NDArray[np.int64], NDArray[np.float32]], NDArray[np.float32]]
"""Dot products (R, n) with the rows of i images, the start of each image (i,), its largest (i,) → scores (i,)."""

BLOCK = 2**18
"""Components compared at a time, so that a block fits the processor's cache; measured."""
CODE_BLOCK = 2**16
"""Codes compared at a time."""


class RowCode(Protocol):
    """A compact code of rows, such as those of `kindred.codes`."""

    def encode(self, rows: Vectors) -> NDArray[np.uint8]:
        """Return the codes (N, bytes) of rows (N, D)."""
        ...

    def search(
        self, queries: Vectors, codes: NDArray[np.uint8], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the positions and scores (Q, min(k, N)) of the codes nearest to vectors (Q, D), best first."""
        ...


@dataclass(frozen=True, eq=False)
class ImageRows:
    """Images represented by several rows each, N rows in all.

    rows: (N, D) float32, unit vectors; scores are dot products. owners: (N,) int64, ascending, the id of the image
    that each row belongs to. boxes: (N, 4) float32 x0 y0 x1 y1 in pixels of the original image, the region that each
    row describes; or None. words: (N,) int64, the visual word of each residual, strictly ascending within an image;
    or None.

    Raises UsageError if lengths differ or rows are not in this order.
    """

    rows: Vectors
    owners: NDArray[np.int64]
    boxes: NDArray[np.float32] | None = None
    words: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        rows = as_rows(self.rows, "rows")
        object.__setattr__(self, "rows", rows)
        for name, dtype, shape in (
            ("owners", np.int64, (len(rows),)),
            ("boxes", np.float32, (len(rows), 4)),
            ("words", np.int64, (len(rows),)),
        ):
            if (given := getattr(self, name)) is None:
                continue
            values = np.asarray(given, dtype=dtype)
            if values.shape != shape:
                raise UsageError(f"{name}: got shape {values.shape}; expected {shape}, as the rows")
            object.__setattr__(self, name, values)
        steps = np.diff(self.owners)
        if (steps < 0).any():
            raise UsageError("owners: expected ids in ascending order, each repeated for its rows")
        if self.words is not None and ((steps == 0) & (np.diff(self.words) <= 0)).any():
            raise UsageError("words: expected ascending words within each image, none twice")

    def __len__(self) -> int:
        """Return N, the number of rows."""
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class GroupedRows:
    """The rows of images numbered 0 … count − 1, sorted for comparison: by image, or by word and then image.

    rows: (N, D) float32, or uint16 as returned by `to_bfloat16`, or the bytes of `code`, (N, bytes) uint8. images: (N,)
    int32. boxes: (N, 4) or None. words: (N,), ascending, or None for rows sorted by image. norms: (count,), the
    similarity of each image to itself, for rows sorted by word.
    """

    count: int
    rows: Stored
    images: NDArray[np.int32]
    boxes: NDArray[np.float32] | None
    words: NDArray[np.int64] | None = None
    norms: NDArray[np.float64] | None = None
    code: RowCode | None = None

    def products(self, query: Vectors, part: slice) -> Vectors:
        """Return the dot products (R, n) of query rows (R, D) with rows in `part`; of codes, what they estimate."""
        rows = self.rows[part]
        if self.code is None:
            return query @ from_bfloat16(rows).T
        places, scores = self.code.search(query, rows.view(np.uint8), max(1, len(rows)))
        products = np.empty((len(query), len(rows)), np.float32)
        np.put_along_axis(products, places, scores, axis=1)
        return products

    def joined(self, other: GroupedRows) -> GroupedRows:
        """Return the rows of both; the images of `other` are numbered after these."""
        images = np.concatenate((self.images, other.images + np.int32(self.count)))
        rows: Any = np.concatenate((self.rows, other.rows))
        return GroupedRows(
            self.count + other.count,
            rows,
            images,
            _concatenated(self.boxes, other.boxes),
            _concatenated(self.words, other.words),
            _concatenated(self.norms, other.norms),
            self.code,
        ).by_word()

    def by_word(self) -> GroupedRows:
        """Return the rows sorted by word, if they have words."""
        return self if self.words is None else self._take(np.argsort(self.words, kind="stable"))

    def alive(self, images: NDArray[np.bool_]) -> GroupedRows:
        """Return the rows of the images in a mask (count,), renumbered."""
        kept = self._take(np.flatnonzero(images[self.images]))
        numbers = (np.cumsum(images) - 1).astype(np.int32)
        norms = None if self.norms is None else self.norms[images]
        count = int(images.sum())
        return GroupedRows(count, kept.rows, numbers[kept.images], kept.boxes, kept.words, norms, self.code)

    def _take(self, places: NDArray[np.int64]) -> GroupedRows:
        boxes = None if self.boxes is None else self.boxes[places]
        words = None if self.words is None else self.words[places]
        return GroupedRows(self.count, self.rows[places], self.images[places], boxes, words, self.norms, self.code)


def _concatenated(first: NDArray[Scalar] | None, second: NDArray[Scalar] | None) -> NDArray[Scalar] | None:
    return None if first is None or second is None else np.concatenate((first, second))


def group_rows(
    parts: ImageRows,
    method: str,
    options: Mapping[str, Option],
    *,
    half: bool = False,
    code: RowCode | None = None,
) -> tuple[NDArray[np.int64], GroupedRows]:
    """Sort `parts` as the matching `method` needs them; return the ids of the images (I,), ascending, and the rows.

    `half` stores the rows in half the memory (`to_bfloat16`), `code` as codes. Raises UsageError if a matching by word
    gets rows without words, or a code.
    """
    if code is not None and MATCHINGS[method].by_word:
        raise UsageError(f"matching {method!r} compares residuals of words, which have no code; leave out the code")
    ids, images = np.unique(parts.owners, return_inverse=True)
    rows: Stored = to_bfloat16(parts.rows) if half else parts.rows
    rows = rows if code is None else code.encode(parts.rows)
    laid_out = GroupedRows(len(ids), rows, images.astype(np.int32), parts.boxes, code=code)
    if not MATCHINGS[method].by_word:
        return ids, laid_out
    words = _words_of(parts)
    counted = _weights(words, options.get("idf")) * parts.rows.any(axis=1)
    norms: NDArray[np.float64] = np.bincount(images, counted, minlength=len(ids)).astype(np.float64)
    return ids, replace(laid_out, boxes=None, words=words, norms=norms).by_word()


def to_bfloat16(rows: Vectors) -> NDArray[np.uint16]:
    """Return float32 values rounded to bfloat16 (8 significant bits), as uint16.

    A dot product of unit vectors changes by 0.002 at most, typically by 0.0001. Converting NumPy's float16 back takes
    six times as long.
    """
    bits = np.ascontiguousarray(rows, dtype=np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bfloat16(rows: Stored) -> Vectors:
    """Return rows as float32, from float32 or from the uint16 of `to_bfloat16`."""
    if rows.dtype == np.float32:
        return rows.astype(np.float32, copy=False)
    bits = rows.astype(np.uint32)
    bits <<= 16
    return bits.view(np.float32)


def _best(query: ImageRows, database: GroupedRows) -> Matched:
    """Score an image by the largest dot product of any of its rows with any of the query's."""
    return _row_scores(query.rows, database, lambda _products, _runs, best: best)


def _patches(query: ImageRows, database: GroupedRows, *, distance: bool = False) -> Matched:
    """Score an image by the mean, over the query's rows, of the largest dot product with a row of the image.

    `distance` averages −√(2 − 2s), the negative distance of unit vectors, instead of the dot products s.
    """

    def average(products: Vectors, runs: NDArray[np.int64], _best: NDArray[np.float32]) -> NDArray[np.float32]:
        nearest = np.maximum.reduceat(products, runs, axis=1)
        if distance:
            nearest = -np.sqrt(np.maximum(2 - 2 * nearest, 0))
        means: NDArray[np.float32] = nearest.mean(axis=0)
        return means

    return _row_scores(query.rows, database, average)


def _row_scores(query: Vectors, database: GroupedRows, score: Score) -> Matched:
    """Compare the rows (R, D) of a query with those of all images, a block of images at a time."""
    starts = np.flatnonzero(np.diff(database.images, prepend=-1))
    scores, winners = np.empty(len(starts), np.float32), np.empty(len(starts), np.int64)
    ends = np.append(starts, len(database.rows))[1:]
    size = max(1, BLOCK // query.shape[1]) if database.code is None else CODE_BLOCK
    for first, last in _image_blocks(ends, size):
        low, high = starts[first], ends[last - 1]
        products = database.products(query, slice(low, high))
        runs = starts[first:last] - low
        strongest = products.max(axis=0)
        best = np.maximum.reduceat(strongest, runs)
        scores[first:last] = score(products, runs, best)
        winners[first:last] = low + _first_equal(strongest, best, runs)
    return scores, winners


def _image_blocks(ends: NDArray[np.int64], size: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of images (first, last) with at most `size` rows, or of one image; `ends`: the end of each image."""
    first = 0
    while first < len(ends):
        begin = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, begin + size, "right")))
        yield first, last
        first = last


def _first_equal(
    values: NDArray[np.float32], largest: NDArray[np.float32], starts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the position of the first value of each run that equals its `largest`."""
    runs = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(values))))
    places = np.flatnonzero(values == largest[runs])
    return places[np.unique(runs[places], return_index=True)[1]]


def _asmk(
    query: ImageRows,
    database: GroupedRows,
    *,
    alpha: float = 3.0,
    tau: float = 0.0,
    idf: NDArray[np.float32] | None = None,
) -> Matched:
    """Score an image by the residuals of the words that it shares with the query.

    Two residuals of a word with dot product u > τ contribute idf² · sign(u)|u|^α; the sum is divided by the square
    root of the product of both images' self-similarities. Only rows of the query's words are read.
    """
    check_positive(alpha=alpha)
    if not -1 <= tau < 1:  # from 1 on, an image would not match itself
        raise UsageError(f"tau: got {tau}; expected at least -1 and below 1")
    words = _words_of(query)
    assert database.words is not None
    assert database.norms is not None
    weights = _weights(words, idf)
    lows, highs = (np.searchsorted(database.words, words, side) for side in ("left", "right"))
    spans = [span for span in zip(range(len(words)), lows, highs, strict=True) if span[1] < span[2]]
    sums: NDArray[np.float64] = np.zeros(database.count)
    if spans:
        u = np.concatenate([from_bfloat16(database.rows[low:high]) @ query.rows[q] for q, low, high in spans])
        strength = np.where(u > tau, np.sign(u) * np.abs(u) ** alpha, 0)
        votes = strength * np.repeat([weights[q] for q, _, _ in spans], [high - low for _, low, high in spans])
        images = np.concatenate([database.images[low:high] for _, low, high in spans])
        sums = np.bincount(images, votes, minlength=database.count).astype(np.float64)
    norms = database.norms * (weights * query.rows.any(axis=1)).sum()
    return (sums / np.sqrt(np.where(norms > 0, norms, 1))).astype(np.float32), None


def _words_of(parts: ImageRows) -> NDArray[np.int64]:
    if parts.words is None:
        raise UsageError("words: got rows without words; expected those of an ASMK embedding")
    return parts.words


def _weights(words: NDArray[np.int64], idf: Option) -> NDArray[np.float64]:
    """Return idf² of each of `words` (n,), or 1; raises UsageError for a word outside `idf` (K,)."""
    if idf is None:
        return np.ones(len(words))
    rarity = np.asarray(idf, np.float64)
    if words.size and not 0 <= words.min() <= words.max() < len(rarity):
        raise UsageError(
            f"words: got {words.min()} to {words.max()}; expected 0 to {len(rarity) - 1}, those of the idf"
        )
    weights: NDArray[np.float64] = rarity[words] ** 2
    return weights


@dataclass(frozen=True)
class Matching:
    """One entry of MATCHINGS.

    function: query, database as `group_rows` returns it, options by name → scores (I,), best rows (I,) or None.
    summary: what it does, in a few words.
    source: author and year, for the documentation.
    by_word: whether rows are compared only with rows of the same visual word; the option `idf` then comes from the
    codebook.
    whole_query: whether a search uses only the first row of the query, which describes it as a whole.
    """

    function: Callable[..., Matched]
    summary: str
    source: str
    by_word: bool = False
    whole_query: bool = False


MATCHINGS: dict[str, Matching] = {
    "best": Matching(_best, "similarity of the best pair of rows", "Razavian et al. 2014", whole_query=True),
    "patches": Matching(_patches, "mean similarity of the query's rows to their nearest", "Razavian et al. 2014"),
    "asmk": Matching(_asmk, "residuals of shared words, strong ones counting most", "Tolias et al. 2016", by_word=True),
}


def match(
    query: ImageRows, database: ImageRows, method: str, **options: Option
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32] | None]:
    """Compare one image with all of a database by a name of MATCHINGS → ids (I,), scores (I,), boxes (I, 4) or None.

    Ids are ascending; boxes are those of the best-matching rows, if the database has boxes and the matching selects a
    row. Options: `distance` for "patches", which averages distances instead of dot products; `alpha`, `tau` and `idf`
    (K,) for "asmk". Raises RecipeError for an unknown name or option, UsageError for a query of no rows or of several
    images, or of another dimension.
    """
    check_matching(method, options)
    check_query(query, database.rows.shape[1])
    ids, laid_out = group_rows(database, method, options)
    scores, winners = MATCHINGS[method].function(query, laid_out, **options)
    boxes = None if laid_out.boxes is None or winners is None else laid_out.boxes[winners]
    return ids, scores, boxes


def check_matching(method: str, options: Mapping[str, object]) -> None:
    """Raise RecipeError for an unknown matching or option."""
    check_known("matching", method, MATCHINGS, error=RecipeError)
    usual = options_of(MATCHINGS[method].function)
    check_options(f"matching {method!r}", options, usual, error=RecipeError)


def check_query(query: ImageRows, dimension: int) -> None:
    """Raise UsageError unless `query` has rows of exactly one image, of that dimension."""
    if query.rows.shape[1] != dimension:
        raise UsageError(f"query: got rows of {query.rows.shape[1]} components; expected {dimension}")
    if not len(query) or query.owners[0] != query.owners[-1]:
        raise UsageError(f"query: got {len(query)} rows of {len(np.unique(query.owners))} images; expected one image")
