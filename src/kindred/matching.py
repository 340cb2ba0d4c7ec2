"""Matching: how alike two images are that are kept as several rows each, such as one for each region or word.

`match` compares the rows of one query image with those of all images of a database, block by block, and says for
each image which of its rows matched best. `MATCHINGS` is the table of the ways to do so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, as_rows, check_positive
from kindred.errors import RecipeError, UsageError
from kindred.hints import check_known, check_options, options_of

__all__ = [
    "MATCHINGS",
    "Group",
    "ImageRows",
    "Matched",
    "Matching",
    "Option",
    "check_matching",
    "check_query",
    "group",
    "match",
    "narrow",
    "widen",
]

Option: TypeAlias = bool | int | float | NDArray[np.float32] | None
Scalar = TypeVar("Scalar", bound=np.generic)
Matched: TypeAlias = tuple[NDArray[np.float32], NDArray[np.int64] | None]
"""The score of each image (I,), and the row of it that matched best (I,), where rows have a place in the image."""
Stored: TypeAlias = NDArray[np.float32] | NDArray[np.uint16]
Score: TypeAlias = Callable[[Vectors, NDArray[np.int64], NDArray[np.float32]], NDArray[np.float32]]
"""Dot products with some images' rows (R, n), where each image begins (i,), the largest of each (i,) → scores (i,)."""

BLOCK = 2**18
"""Components that are compared at a time, which the cache holds; measured."""


@dataclass(frozen=True, eq=False)
class ImageRows:
    """Images that are kept as several rows each, N rows in all.

    rows: (N, D) float32, unit vectors; scores are dot products. owners: (N,) int64, the id of the image that a
    row belongs to, ascending. boxes: (N, 4) float32 x0 y0 x1 y1 in pixels of the original image, what a row
    describes; or None. words: (N,) int64, the visual word that a row is the residual to, ascending within each
    image and each at most once; or None.

    Raises UsageError where lengths differ or the order is another.
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
            raise UsageError("words: expected them to ascend within each image, none twice")

    def __len__(self) -> int:
        """Return N, the number of rows."""
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Group:
    """Rows laid out to be compared: those of images numbered 0 … count − 1, by image, or by word and then image.

    rows: (N, D) float32, or uint16 as `narrow` makes them. images: (N,) int32. boxes: (N, 4) or None. words: (N,),
    ascending, or None for rows that lie by image. norms: (count,), the similarity of an image to itself, where rows
    lie by word.
    """

    count: int
    rows: Stored
    images: NDArray[np.int32]
    boxes: NDArray[np.float32] | None
    words: NDArray[np.int64] | None = None
    norms: NDArray[np.float64] | None = None

    def joined(self, other: Group) -> Group:
        """Return the rows of both, the images of `other` after these."""
        images = np.concatenate((self.images, other.images + np.int32(self.count)))
        rows: Any = np.concatenate((self.rows, other.rows))
        return Group(
            self.count + other.count,
            rows,
            images,
            _after(self.boxes, other.boxes),
            _after(self.words, other.words),
            _after(self.norms, other.norms),
        ).by_word()

    def by_word(self) -> Group:
        """Return the rows in the order of their words, where they have words."""
        return self if self.words is None else self._only(np.argsort(self.words, kind="stable"))

    def alive(self, images: NDArray[np.bool_]) -> Group:
        """Return the rows of some images, a mask (count,), which are numbered anew."""
        kept = self._only(np.flatnonzero(images[self.images]))
        numbers = (np.cumsum(images) - 1).astype(np.int32)
        norms = None if self.norms is None else self.norms[images]
        return Group(int(images.sum()), kept.rows, numbers[kept.images], kept.boxes, kept.words, norms)

    def _only(self, places: NDArray[np.int64]) -> Group:
        boxes = None if self.boxes is None else self.boxes[places]
        words = None if self.words is None else self.words[places]
        return Group(self.count, self.rows[places], self.images[places], boxes, words, self.norms)


def _after(first: NDArray[Scalar] | None, second: NDArray[Scalar] | None) -> NDArray[Scalar] | None:
    return None if first is None or second is None else np.concatenate((first, second))


def group(
    parts: ImageRows, method: str, options: Mapping[str, Option], *, half: bool = False
) -> tuple[NDArray[np.int64], Group]:
    """Lay out `parts` as the matching `method` wants them → the ids of the images (I,), ascending, and the rows.

    `half` keeps the rows in half the memory (`narrow`). Raises UsageError where a matching by word gets rows without
    words.
    """
    ids, images = np.unique(parts.owners, return_inverse=True)
    rows: Stored = narrow(parts.rows) if half else parts.rows
    laid_out = Group(len(ids), rows, images.astype(np.int32), parts.boxes)
    if not MATCHINGS[method].by_word:
        return ids, laid_out
    words = _words_of(parts)
    counted = _weights(words, options.get("idf")) * parts.rows.any(axis=1)
    norms: NDArray[np.float64] = np.bincount(images, counted, minlength=len(ids)).astype(np.float64)
    return ids, replace(laid_out, boxes=None, words=words, norms=norms).by_word()


def narrow(rows: Vectors) -> NDArray[np.uint16]:
    """Return the upper halves of float32 values, rounded (bfloat16): they keep 8 binary digits.

    A dot product of unit vectors moves by 0.002 at most and 0.0001 as a rule. NumPy's own half precision takes
    six times as long to widen.
    """
    bits = np.ascontiguousarray(rows, dtype=np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def widen(rows: Stored) -> Vectors:
    """Return rows as float32, those of `narrow` too."""
    if rows.dtype == np.float32:
        return rows.astype(np.float32, copy=False)
    bits = rows.astype(np.uint32)
    bits <<= 16
    return bits.view(np.float32)


def _best(query: ImageRows, database: Group) -> Matched:
    """Score an image by its one row that is nearest to any of the query's."""
    return _row_scores(query.rows, database, lambda _products, _runs, best: best)


def _patches(query: ImageRows, database: Group, *, distance: bool = False) -> Matched:
    """Score an image by how near each of the query's rows has one in it, on average.

    `distance` averages −√(2 − 2s), the negative distance of unit vectors, in place of the dot products s.
    """

    def average(products: Vectors, runs: NDArray[np.int64], _best: NDArray[np.float32]) -> NDArray[np.float32]:
        nearest = np.maximum.reduceat(products, runs, axis=1)
        if distance:
            nearest = -np.sqrt(np.maximum(2 - 2 * nearest, 0))
        means: NDArray[np.float32] = nearest.mean(axis=0)
        return means

    return _row_scores(query.rows, database, average)


def _row_scores(query: Vectors, database: Group, score: Score) -> Matched:
    """Compare the rows (R, D) of a query with those of all images, some images at a time."""
    starts = np.flatnonzero(np.diff(database.images, prepend=-1))
    scores, winners = np.empty(len(starts), np.float32), np.empty(len(starts), np.int64)
    ends = np.append(starts, len(database.rows))[1:]
    for first, last in _image_blocks(ends, max(1, BLOCK // query.shape[1])):
        low, high = starts[first], ends[last - 1]
        products = query @ widen(database.rows[low:high]).T
        runs = starts[first:last] - low
        strongest = products.max(axis=0)
        best = np.maximum.reduceat(strongest, runs)
        scores[first:last] = score(products, runs, best)
        winners[first:last] = low + _first_equal(strongest, best, runs)
    return scores, winners


def _image_blocks(ends: NDArray[np.int64], size: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of images (first, last) of at most `size` rows, or of one image; `ends` is where each ends."""
    first = 0
    while first < len(ends):
        begin = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, begin + size, "right")))
        yield first, last
        first = last


def _first_equal(
    values: NDArray[np.float32], largest: NDArray[np.float32], starts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the place of the first value of each run that equals its `largest`."""
    runs = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(values))))
    places = np.flatnonzero(values == largest[runs])
    return places[np.unique(runs[places], return_index=True)[1]]


def _asmk(
    query: ImageRows,
    database: Group,
    *,
    alpha: float = 3.0,
    tau: float = 0.0,
    idf: NDArray[np.float32] | None = None,
) -> Matched:
    """Score an image by the residuals of the words that it shares with the query.

    Two residuals of one word with dot product u count idf² · sign(u)|u|^α where u > τ; the sum is divided by the
    root of both images' similarities to themselves. Only rows of the query's words are touched.
    """
    check_positive(alpha=alpha)
    if not -1 <= tau < 1:  # from 1 on an image would not even match itself
        raise UsageError(f"tau: got {tau}; expected at least -1 and below 1")
    words = _words_of(query)
    assert database.words is not None
    assert database.norms is not None
    weights = _weights(words, idf)
    lows, highs = (np.searchsorted(database.words, words, side) for side in ("left", "right"))
    spans = [span for span in zip(range(len(words)), lows, highs, strict=True) if span[1] < span[2]]
    sums: NDArray[np.float64] = np.zeros(database.count)
    if spans:
        u = np.concatenate([widen(database.rows[low:high]) @ query.rows[q] for q, low, high in spans])
        strength = np.where(u > tau, np.sign(u) * np.abs(u) ** alpha, 0)
        votes = strength * np.repeat([weights[q] for q, _, _ in spans], [high - low for _, low, high in spans])
        images = np.concatenate([database.images[low:high] for _, low, high in spans])
        sums = np.bincount(images, votes, minlength=database.count).astype(np.float64)
    norms = database.norms * (weights * query.rows.any(axis=1)).sum()
    return (sums / np.sqrt(np.where(norms > 0, norms, 1))).astype(np.float32), None


def _words_of(parts: ImageRows) -> NDArray[np.int64]:
    if parts.words is None:
        raise UsageError("words: got rows without them; expected the words that an ASMK embedding gives")
    return parts.words


def _weights(words: NDArray[np.int64], idf: Option) -> NDArray[np.float64]:
    """Return idf² of each of `words` (n,), or 1; raises UsageError for a word that `idf` (K,) has not."""
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

    function: query, database as `group` lays it out, and options by name → scores (I,), best rows (I,) or None.
    summary: what it does, in a few words.
    source: who described it, for the documentation.
    by_word: whether rows are compared only with rows of the same visual word; its option `idf` then comes from the
    codebook.
    whole_query: whether a search looks for the query as a whole, wherever it lies in an image: by its first row alone.
    """

    function: Callable[..., Matched]
    summary: str
    source: str
    by_word: bool = False
    whole_query: bool = False


MATCHINGS: dict[str, Matching] = {
    "best": Matching(_best, "the nearest two rows", "Razavian et al. 2014", whole_query=True),
    "patches": Matching(_patches, "the nearest row to each of the query's, on average", "Razavian et al. 2014"),
    "asmk": Matching(_asmk, "residuals of shared words, strong ones counting most", "Tolias et al. 2016", by_word=True),
}


def match(
    query: ImageRows, database: ImageRows, method: str, **options: Option
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32] | None]:
    """Compare one image with all of a database by a name of MATCHINGS → ids (I,), scores (I,), boxes (I, 4) or None.

    Ids ascend; boxes are those of the rows that matched best, where the database has boxes and the matching looks
    at places. Options: `distance` for "patches", which compares distances in place of dot products; `alpha`, `tau`
    and `idf` (K,) for "asmk". Raises RecipeError for an unknown name or option, UsageError for a query of no row or
    of several images, or rows of another width.
    """
    check_matching(method, options)
    check_query(query, database.rows.shape[1])
    ids, laid_out = group(database, method, options)
    scores, winners = MATCHINGS[method].function(query, laid_out, **options)
    boxes = None if laid_out.boxes is None or winners is None else laid_out.boxes[winners]
    return ids, scores, boxes


def check_matching(method: str, options: Mapping[str, object]) -> None:
    """Raise RecipeError for an unknown name of a matching, or of an option of it."""
    check_known("matching", method, MATCHINGS, error=RecipeError)
    usual = options_of(MATCHINGS[method].function)
    check_options(f"matching {method!r}", options, usual, error=RecipeError)


def check_query(query: ImageRows, dimension: int) -> None:
    """Raise UsageError where `query` is not of one image, or its rows are of another width."""
    if query.rows.shape[1] != dimension:
        raise UsageError(f"query: got rows of {query.rows.shape[1]} components; expected {dimension}")
    if not len(query) or query.owners[0] != query.owners[-1]:
        raise UsageError(f"query: got {len(query)} rows of {len(np.unique(query.owners))} images; expected one image")
