"""Describe the images of an evaluation: once each, with progress and a cache."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kindred._support.files import read_bounded, replacing
from kindred._support.npz import read_npz
from kindred._support.os_errors import explain_os_error
from kindred._support.version import __version__
from kindred.arrays import Vectors
from kindred.codes import Code
from kindred.describer import Describer, Description
from kindred.describer.describer import QUERY_WORDS
from kindred.errors import KindredError, UsageError
from kindred.features import NO_FEATURES, LocalFeatures, from_bytes, identity_of, stored_bits, to_bytes
from kindred.images import crop, decode, resize
from kindred.regions import Box
from kindred.store import VisualWords, WordBatch

if TYPE_CHECKING:
    from kindred.images import ImageLike

__all__ = ["DescribingTask", "Descriptions", "Part", "Progress", "crop_of"]

MOST_BYTES = 1 << 36
"""A larger cached file is computed again."""
NO_ROWS = "no local features found"
"""The reason for an image that was read but has no rows."""

Progress = Callable[[int, int], None]
Part = tuple[Path, Box | None]
"""An image, or the part of it in a box."""


@dataclass(frozen=True, eq=False)
class Descriptions:
    """The descriptions of n images, and the seconds that they took.

    vectors: (M, D), the concatenated rows of all images. counts: (n,) int64, the number of rows of each image: one,
    unless the recipe has several; 0 if it could not be read and was left out. words: (M,) int64, the visual word of
    each row, for ASMK. features: the local features of each image, if the recipe stores them. passes: the mean number
    of passes through the network per image. reasons: why an image has no row, for each image; "" where it has, and ()
    where all have. visual_words: those of the local features of all images, if the recipe has words. bits: those in
    which a library stores a component of the local features. boxes: (M, 4) float32, the part of its image that each row
    describes, x0 y0 x1 y1 in pixels of the upright original, if they were requested; NaN for an unknown size.
    """

    vectors: Vectors
    counts: NDArray[np.int64]
    seconds: float
    words: NDArray[np.int64] | None = None
    features: tuple[LocalFeatures, ...] | None = None
    passes: float = 1.0
    reasons: tuple[str, ...] = ()
    visual_words: WordBatch | None = None
    bits: int = 8
    boxes: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.counts)

    @property
    def has_unreadable(self) -> bool:
        """Whether an image could not be read; one without local features was read."""
        return any(reason not in ("", NO_ROWS) for reason in self.reasons)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """A mask (n,) of the images that were described."""
        return self.counts > 0

    def bytes_per_image(self, code: Code | None = None) -> float:
        """Return the bytes stored per image, on average; with `code`, vectors count with the size of their codes."""
        kept = self.vectors.nbytes if code is None else len(self.vectors) * code.bytes_per_vector
        kept += 0 if self.words is None else self.words.nbytes
        kept += 0 if self.visual_words is None else self.visual_words.words.nbytes + self.visual_words.signatures.nbytes
        kept += sum(len(to_bytes(each, bits=self.bits)) for each in self.features or ())
        return kept / max(1, int(self.usable.sum()))

    def first_rows(self) -> Vectors:
        """Return the first row of every image, (n, D); zero for an image without rows."""
        if len(self.vectors) == len(self) and self.usable.all():
            return self.vectors
        rows = np.zeros((len(self), self.vectors.shape[1]), np.float32)
        rows[self.usable] = self.vectors[(np.cumsum(self.counts) - self.counts)[self.usable]]
        return rows

    def chosen(self, images: Sequence[int] | NDArray[np.int64]) -> Descriptions:
        """Return the descriptions of some images, in the order of `images`, with 0 seconds."""
        numbers = np.asarray(images, np.int64)
        counts = self.counts[numbers]
        firsts = (np.cumsum(self.counts) - self.counts)[numbers]
        rows = np.repeat(firsts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        return Descriptions(
            self.vectors[rows],
            counts,
            0.0,
            None if self.words is None else self.words[rows],
            None if self.features is None else tuple(self.features[image] for image in numbers.tolist()),
            self.passes,
            tuple(self.reasons[image] for image in numbers.tolist()) if self.reasons else (),
            None if self.visual_words is None else _chosen_words(self.visual_words, numbers),
            self.bits,
            None if self.boxes is None else self.boxes[rows],
        )

    def words_of(self, image: int) -> VisualWords | None:
        """Return the visual words of an image, by its position."""
        if self.visual_words is None:
            return None
        _, words, signatures = _chosen_words(self.visual_words, np.array([image]))
        passes = () if self.features is None else self.features[image].passes
        multiple = len(words) // max(1, sum(passes))
        return VisualWords(words, signatures, tuple(multiple * count for count in passes))

    @classmethod
    def concatenated(cls, parts: Sequence[Descriptions]) -> Descriptions:
        """Concatenate several."""
        words = [part.words for part in parts if part.words is not None]
        # If no image of a part has local features, its `features` is None, but its images must be counted.
        features = [part.features or (NO_FEATURES,) * len(part) for part in parts]
        reasons = [part.reasons or ("",) * len(part) for part in parts]
        return cls(
            np.concatenate([part.vectors for part in parts]),
            np.concatenate([part.counts for part in parts]),
            sum(part.seconds for part in parts),
            np.concatenate(words) if words else None,
            tuple(chain.from_iterable(features)) if any(part.features for part in parts) else None,
            parts[0].passes,
            tuple(chain.from_iterable(reasons)) if any(part.reasons for part in parts) else (),
            None if any(part.visual_words is None for part in parts) else _joined_words(parts),
            parts[0].bits,
            None if any(part.boxes is None for part in parts) else np.concatenate([_boxes(part) for part in parts]),
        )


class DescribingTask:
    """Describes images with one recipe; reports progress and caches the result. boxed: with the boxes of rows."""

    def __init__(self, describer: Describer, *, cache: Path | None = None, boxed: bool = False) -> None:
        self.describer, self.cache, self.boxed = describer, cache, boxed
        self.begin(0, None)

    def begin(self, total: int, progress: Progress | None) -> None:
        """Reset the progress to 0 of `total` steps."""
        self.progress, self.total, self.done = progress, total, 0

    def step(self, count: int = 1) -> None:
        """Report `count` more steps as done."""
        self.done += count
        if self.progress is not None and count:
            self.progress(self.done, self.total)

    def describe(self, images: Sequence[Part], *, lenient: bool = False, is_query: bool = False) -> Descriptions:
        """Return the vectors of images, or of parts of them; `is_query` for queries.

        Raises ImageError for the first unusable image; with `lenient` such images are left out.
        """
        if not images:
            return self.collected([], 0.0)
        file = None if self.cache is None else self.cache / f"descriptions-{self.key(images, is_query=is_query)}.npz"
        if file is not None:
            stored = _load(file)
            if stored is not None and self._fits(stored, len(images)) and (lenient or not stored.has_unreadable):
                self.step(len(images))
                return stored
        began = time.perf_counter()
        descriptions: dict[int, Description[int]] = {}
        with closing(self.describer.stream(enumerate(self.inputs(images)), is_query=is_query)) as stream:
            for described in stream:
                if described.error is not None and not lenient:
                    raise described.error
                descriptions[described.key] = described
                self.step()
        ordered = [descriptions[number] for number in range(len(images))]
        found = self.collected(ordered, time.perf_counter() - began, is_query=is_query)
        if file is not None:
            _store(file, found)
        return found

    def _fits(self, found: Descriptions, images: int) -> bool:
        """Return whether cached arrays have the shape and type of descriptions of this number of images."""
        vectors, counts, words, features = found.vectors, found.counts, found.words, found.features
        if vectors.dtype != np.float32 or vectors.ndim != 2 or vectors.shape[1] != self.describer.dimension:
            return False
        if counts.dtype != np.int64 or counts.shape != (images,) or (counts < 0).any() or (counts > len(vectors)).any():
            return False
        if (found.visual_words is None) != (self.describer.fitted.words is None):
            return False
        if found.visual_words is not None and len(found.visual_words.counts) != images:
            return False
        if (found.boxes is not None) != self.boxed:
            return False
        boxes = found.boxes
        if boxes is not None and (boxes.dtype != np.float32 or boxes.shape != (len(vectors), 4)):
            return False
        several = self.describer.recipe.multi_vector
        if words is not None and (not several or words.dtype != np.int64 or words.shape != (len(vectors),)):
            return False
        if [not reason for reason in found.reasons or ("",) * images] != found.usable.tolist():
            return False
        return bool(counts.sum() == len(vectors)) and (features is None or len(features) == images)

    def collected(
        self, descriptions: Sequence[Description[int]], seconds: float, *, is_query: bool = False
    ) -> Descriptions:
        """Collect the descriptions in arrays."""
        nothing = np.zeros((0, self.describer.dimension), np.float32)
        rows = [nothing if each.vectors is None else each.vectors for each in descriptions]
        words = [each.words for each in descriptions if each.words is not None]
        features = [each.features or NO_FEATURES for each in descriptions]
        bits, has_words = stored_bits(self.describer.recipe.stored_features), self.describer.fitted.words is not None
        if not is_query:  # those of the database are compared as a library stores them
            features = [from_bytes(to_bytes(each, bits=bits)) if len(each) else NO_FEATURES for each in features]
        reasons = [
            "" if len(vectors) else NO_ROWS if each.error is None else each.error.reason
            for each, vectors in zip(descriptions, rows, strict=True)
        ]
        return Descriptions(
            np.concatenate([nothing, *rows]),
            np.array([len(each) for each in rows], np.int64),
            seconds,
            np.concatenate(words) if words else None,
            tuple(features) if any(len(each) for each in features) else None,
            self.describer.passes,
            tuple(reasons) if any(reasons) else (),
            _words_of(descriptions) if has_words else None,
            bits,
            np.concatenate([np.zeros((0, 4), np.float32), *map(_boxes_of, descriptions)]) if self.boxed else None,
        )

    def inputs(self, images: Iterable[Part]) -> Iterator[ImageLike]:
        """Yield the inputs of the describer: paths, and the pixels of regions."""
        for path, box in images:
            yield path if box is None else crop_of(path, box, longest=self.describer.recipe.size)

    def key(self, images: Iterable[Part], *, is_query: bool = False) -> str:
        """Return a digest of all that the descriptions depend on: version, recipe, network, files and boxes.

        Queries (`is_query`) have another key if they are described differently.
        """
        describer = self.describer
        kind = describer.recipe.stored_features
        digest = hashlib.sha256(repr((__version__, describer.fingerprint, identity_of(kind))).encode())
        differs = describer.describes_queries_differently or bool(kind)  # of queries more local features are taken
        digest.update(b"query" * (is_query and differs) + b"boxes" * self.boxed)
        digest.update(f"words {QUERY_WORDS}".encode() * (is_query and describer.fitted.words is not None))
        for path, box in images:
            facts = path.stat()
            digest.update(repr((str(path.absolute()), facts.st_size, facts.st_mtime_ns, box)).encode())
        return digest.hexdigest()[:16]


def crop_of(path: Path, box: Box, *, longest: int) -> NDArray[np.uint8]:
    """Return the region in `box`, at the scale at which the whole image would be described.

    Enlarged to the full size, a region would be at another scale than the images that are searched; the code of the
    revisited protocol scales it in the same way (Radenović et al. 2018).
    """
    whole = decode(path).pixels
    try:
        part = crop(whole, box)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return resize(part, longest=max(1, round(longest * max(part.shape[:2]) / max(whole.shape[:2]))))


def _load(file: Path) -> Descriptions | None:
    """Read a file written by `_store`; None if it is missing or invalid, so that it is computed again."""
    try:
        data = read_bounded(file, MOST_BYTES)
        arrays = read_npz(data, len(data))  # arrays are stored uncompressed: a file that unpacks to more is foreign
        features = _split(*(arrays[name] for name in FEATURES)) if FEATURES[0] in arrays else None
        seconds, passes = float(arrays["seconds"]), float(arrays["passes"])
        reasons = tuple(arrays["reasons"].tobytes().decode().split("\n")) if "reasons" in arrays else ()
        visual = WordBatch(*(arrays[name] for name in VISUAL_WORDS)) if VISUAL_WORDS[0] in arrays else None
        if visual is not None:
            _check_words(visual)
        rows, bits = (arrays["vectors"], arrays["counts"]), int(arrays["bits"])
        boxes = arrays.get("boxes")
        return Descriptions(*rows, seconds, arrays.get("words"), features, passes, reasons, visual, bits, boxes)
    except (OSError, ValueError, KeyError, TypeError, IndexError, KindredError):
        return None


def _store(file: Path, found: Descriptions) -> None:
    arrays: dict[str, NDArray[Any]] = {"vectors": found.vectors, "counts": found.counts}
    arrays |= {"seconds": np.array(found.seconds), "passes": np.array(found.passes)}
    arrays["bits"] = np.array(found.bits)
    if found.words is not None:
        arrays["words"] = found.words
    if found.boxes is not None:
        arrays["boxes"] = found.boxes
    if found.reasons:
        lines = "\n".join(" ".join(reason.split()) for reason in found.reasons)
        arrays["reasons"] = np.frombuffer(lines.encode(errors="replace"), np.uint8)
    if found.visual_words is not None:
        arrays |= dict(zip(VISUAL_WORDS, found.visual_words, strict=True))
    if found.features is not None:
        arrays |= dict(zip(FEATURES, _laid_out(found.features), strict=True))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as part, part.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]  # a name never is that of np.savez's own option
    except OSError as error:
        why = explain_os_error(error, file.parent)
        raise UsageError(f"{file.parent}: cannot store descriptions there ({why}); choose another cache") from error


def _boxes_of(described: Description[int]) -> NDArray[np.float32]:
    """Return the box (R, 4) of each row of an image; that of the whole image in place of NaN."""
    rows = 0 if described.vectors is None else len(described.vectors)
    boxes = np.full((rows, 4), np.nan, np.float32) if described.boxes is None else described.boxes.astype(np.float32)
    if described.width and described.height:
        whole = np.array([0, 0, described.width, described.height], np.float32)
        boxes = np.where(np.isnan(boxes).any(axis=1, keepdims=True), whole, boxes)
    return boxes


def _boxes(part: Descriptions) -> NDArray[np.float32]:
    assert part.boxes is not None
    return part.boxes


VISUAL_WORDS = ("visual_counts", "visual_words", "signatures")


def _words_of(descriptions: Sequence[Description[int]]) -> WordBatch:
    """Lay out the visual words of images."""
    nothing = VisualWords(np.zeros(0, np.uint16), np.zeros(0, np.uint64))
    own = [each.visual_words or nothing for each in descriptions]
    counts = np.array([len(each.words) for each in own], np.int64)
    return WordBatch(
        counts,
        np.concatenate([nothing.words, *(each.words for each in own)]),
        np.concatenate([nothing.signatures, *(each.signatures for each in own)]),
    )


def _chosen_words(batch: WordBatch, images: NDArray[np.int64]) -> WordBatch:
    """Return the visual words of some images, in the order of `images`."""
    counts = batch.counts[images]
    firsts = (np.cumsum(batch.counts) - batch.counts)[images]
    places = np.repeat(firsts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
    return WordBatch(counts, batch.words[places], batch.signatures[places])


def _joined_words(parts: Sequence[Descriptions]) -> WordBatch:
    """Return the visual words of all parts."""
    found = [part.visual_words for part in parts if part.visual_words is not None]
    return WordBatch(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))


def _check_words(batch: WordBatch) -> None:
    """Raise ValueError for arrays from a file that are no visual words of images."""
    kinds = [array.dtype.name for array in batch] == ["int64", "uint16", "uint64"]
    flat = batch.counts.ndim == batch.words.ndim == batch.signatures.ndim == 1
    if not kinds or not flat or batch.counts.min(initial=0) < 0:
        raise ValueError("its visual words are of another kind")
    if not batch.counts.sum() == len(batch.words) == len(batch.signatures):
        raise ValueError("its visual words are not as many as counted")


FEATURES = ("feature_counts", "points", "descriptors", "scales", "frames", "ratios", "feature_passes")


def _laid_out(features: Sequence[LocalFeatures]) -> tuple[NDArray[Any], ...]:
    """Return the arrays of FEATURES; an unknown frame is NaN."""
    full = [each for each in features if len(each)]
    return (
        np.array([len(each) for each in features], np.int64),
        np.concatenate([each.points for each in full]),
        np.concatenate([each.descriptors for each in full]),
        np.concatenate([each.scales for each in full]),
        np.array([each.frame or (np.nan,) * 4 for each in features], np.float64),
        np.array([each.ratio for each in features], np.float64),
        _padded([each.passes for each in features]),
    )


def _padded(passes: Sequence[tuple[int, ...]]) -> NDArray[np.int64]:
    """Return (n, most) the numbers of each image, −1 behind them."""
    most = max(map(len, passes))
    return np.array([each + (-1,) * (most - len(each)) for each in passes], np.int64).reshape(len(passes), most)


def _split(counts: NDArray[Any], *arrays: NDArray[Any]) -> tuple[LocalFeatures, ...]:
    """Restore the features from the arrays of `_laid_out`."""
    *stacked, boxes, ratios, padded = arrays
    passes = [tuple(count for count in each if count >= 0) for each in padded.tolist()]
    frames = [None if np.isnan(box).any() else (box[0], box[1], box[2], box[3]) for box in boxes.tolist()]
    points, descriptors, scales = (np.split(array, np.cumsum(counts)[:-1]) for array in stacked)
    return tuple(map(LocalFeatures, points, descriptors, scales, frames, ratios.tolist(), passes))
