"""Evaluate: how good a recipe is on images with ground truth, and what it costs."""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kindred import __version__
from kindred.arrays import Vectors
from kindred.describer import Describer
from kindred.errors import UsageError
from kindred.evaluation.groundtruth import Box, GroundTruth, Protocol, read_groundtruth
from kindred.evaluation.metrics import (
    Ranks,
    average_precision,
    average_precision_at_r,
    mean,
    oxford_average_precision,
    precision_at_k,
    r_precision,
    recall_at_k,
    relevant_ranks,
)
from kindred.images import crop, decode, resize
from kindred.recipe import Recipe
from kindred.similarity import SIMILARITIES

if TYPE_CHECKING:
    from kindred.describer import ImageLike

__all__ = ["METRICS", "Evaluation", "Metric", "evaluate", "score"]

Metric = Callable[[Ranks, int], float]
Progress = Callable[[int, int], None]

BLOCK_SCORES = 1 << 22
"""Queries are ranked in blocks of so many scores (16 MB): no matrix of all queries by all images is held."""

_RECALLS: dict[str, Metric] = {
    "recall@1": lambda ranks, _: recall_at_k(ranks, 1),
    "recall@10": lambda ranks, _: recall_at_k(ranks, 10),
}
METRICS: dict[Protocol, dict[str, Metric]] = {
    "plain": {
        **_RECALLS,
        "mAP": average_precision,
        "MAP@R": average_precision_at_r,
        "R-precision": r_precision,
    },
    "oxford": {**_RECALLS, "mAP": oxford_average_precision},
    "revisited": {
        **_RECALLS,
        "mAP": oxford_average_precision,
        "mP@1": lambda ranks, _: precision_at_k(ranks, 1),
        "mP@5": lambda ranks, _: precision_at_k(ranks, 5),
        "mP@10": lambda ranks, _: precision_at_k(ranks, 10),
    },
}
"""What each protocol reports: name → (ranks, number of relevant images) → the value for one query."""

MAIN_SETTING = "medium"
"""The setting of the revisited protocol whose figures are also given without a suffix."""


@dataclass(frozen=True)
class Evaluation:
    """What a recipe reached. The two times are the wall time divided by the number, everything included.

    queries: how many were scored; those without relevant images are left out. metrics: by name; where the
    queries lie in several folders, also for each folder ("recall@1/Canon"), and for each setting of the
    revisited protocol ("mAP/hard"), "mAP" alone then being the medium one. seconds_per_image: to describe the
    database. seconds_per_query: to describe a query and rank the whole database for it.
    """

    name: str
    recipe: Recipe
    queries: int
    metrics: Mapping[str, float]
    dimension: int
    seconds_per_image: float
    seconds_per_query: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", MappingProxyType(dict(self.metrics)))

    def as_dict(self) -> dict[str, str | int | float]:
        """Return all of it as plain values, the metrics among them under their own names."""
        return {
            "name": self.name,
            "recipe": self.recipe.name,
            "digest": self.recipe.digest,
            "queries": self.queries,
            **self.metrics,
            "dimension": self.dimension,
            "seconds_per_image": self.seconds_per_image,
            "seconds_per_query": self.seconds_per_query,
        }


def evaluate(
    groundtruth: Path | str,
    *,
    recipe: Recipe | str | Path,
    images: Path | None = None,
    progress: Progress | None = None,
    cache: Path | None = None,
) -> Evaluation:
    """Describe the images of a ground truth, search with every query, and score the answers.

    `images` is the folder of the images, where that is not the JSON file's own. `progress` is called with the
    images described and their number. `cache` is a folder for descriptions, which the next evaluation of the
    same images with the same recipe reads; its times are then those of the first. Raises UsageError for a
    ground truth that cannot be meant or that names a missing file, ImageError for the first image that cannot
    be used.
    """
    truth = read_groundtruth(Path(groundtruth))
    database, queries = truth.locate(images)
    describer = Describer(recipe if isinstance(recipe, Recipe) else Recipe.load(recipe))
    work = _Work(describer, cache, progress or _silent, len(database) + len(queries))
    rows, seconds = work.describe([(path, None) for path in database])
    wanted, query_seconds = work.describe(
        [(path, query.box) for path, query in zip(queries, truth.queries, strict=True)]
    )
    began = time.perf_counter()
    ranks = _ranks(truth, _orders(wanted, rows, describer.recipe.similarity))
    query_seconds += time.perf_counter() - began
    return Evaluation(
        name=truth.name,
        recipe=describer.recipe,
        queries=sum(_main_setting(truth) in by_setting for by_setting in ranks),
        metrics=_summary(truth, ranks),
        dimension=describer.dimension,
        seconds_per_image=seconds / len(database),
        seconds_per_query=query_seconds / len(queries),
    )


def score(truth: GroundTruth, orders: Iterable[NDArray[np.int64]]) -> dict[str, float]:
    """Return the metrics of rankings: for each query of `truth`, in order, database places best first (K,).

    A ranking may be cut off, or padded with −1: what is missing counts as not found. Raises UsageError where
    the number of rankings is not that of the queries, or where no query has relevant images.
    """
    return _summary(truth, _ranks(truth, orders))


class _Work:
    """The describing of one evaluation: its progress over several lists, and its cache."""

    def __init__(self, describer: Describer, cache: Path | None, progress: Progress, total: int) -> None:
        self.describer, self.cache = describer, cache
        self.progress, self.total, self.done = progress, total, 0

    def describe(self, images: Sequence[tuple[Path, Box | None]]) -> tuple[Vectors, float]:
        """Return the vectors (n, D) of images, or of parts of them, and the seconds that it took."""
        file = None if self.cache is None else self.cache / f"descriptions-{self.key(images)}.npz"
        if file is not None and (kept := _load(file)) is not None:
            self.done += len(images)
            self.progress(self.done, self.total)
            return kept
        began = time.perf_counter()
        vectors = np.empty((len(images), self.describer.dimension), np.float32)
        for described in self.describer.stream(enumerate(self.opened(images))):
            if described.error is not None:
                raise described.error
            vectors[described.key] = described.vector
            self.done += 1
            self.progress(self.done, self.total)
        seconds = time.perf_counter() - began
        if file is not None:
            _store(file, vectors, seconds)
        return vectors, seconds

    def opened(self, images: Iterable[tuple[Path, Box | None]]) -> Iterator[ImageLike]:
        for path, box in images:
            yield path if box is None else _part(path, box, longest=self.describer.recipe.size)

    def key(self, images: Iterable[tuple[Path, Box | None]]) -> str:
        """Return what the vectors depend on: this version, recipe and network, the files, the boxes."""
        digest = hashlib.sha256(f"{__version__} {self.describer.fingerprint}".encode())
        for path, box in images:
            facts = path.stat()
            digest.update(repr((str(path.absolute()), facts.st_size, facts.st_mtime_ns, box)).encode())
        return digest.hexdigest()[:16]


def _part(path: Path, box: Box, *, longest: int) -> NDArray[np.uint8]:
    """Return the part in `box` at the scale that the whole image would be given.

    Blown up to the full size, a part would be seen at another scale than the images that are searched; the
    revisited protocol's own code scales it so (Radenović et al. 2018).
    """
    whole = decode(path).pixels
    try:
        part = crop(whole, box)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return resize(part, longest=max(1, round(longest * max(part.shape[:2]) / max(whole.shape[:2]))))


def _orders(queries: Vectors, rows: Vectors, similarity: str) -> Iterator[NDArray[np.int64]]:
    """Yield the order (N,) of all rows for each query, best first; equal scores by position."""
    # The describer's vectors are unit vectors: the dot product is their cosine, with no norm at each block.
    compare = SIMILARITIES["dot" if similarity == "cosine" else similarity]
    step = max(1, BLOCK_SCORES // len(rows))
    for start in range(0, len(queries), step):
        for scores in compare(queries[start : start + step], rows):
            yield np.argsort(-scores, kind="stable")


def _ranks(truth: GroundTruth, orders: Iterable[NDArray[np.int64]]) -> list[dict[str, Ranks]]:
    """Return for each query, by setting, the ranks of what is relevant; settings without any are left out."""
    found: list[dict[str, Ranks]] = []
    remaining = iter(orders)
    for query, order in zip(truth.queries, remaining, strict=False):
        found.append(
            {
                setting: relevant_ranks(order, judgement.relevant, junk=judgement.junk)
                for setting, judgement in query.judgements.items()
                if judgement.relevant.size
            }
        )
    if len(found) < len(truth.queries) or next(remaining, None) is not None:
        raise UsageError(f"orders: expected one ranking for each of the {len(truth.queries)} queries of {truth.file}")
    return found


def _summary(truth: GroundTruth, ranks: Sequence[Mapping[str, Ranks]]) -> dict[str, float]:
    """Return the means over queries: of the main setting, of each setting, of each folder of queries."""
    main = _main_setting(truth)
    several = len({query.folder for query in truth.queries}) > 1
    scored: dict[str, list[tuple[Ranks, int]]] = {"": []}
    for query, by_setting in zip(truth.queries, ranks, strict=True):
        for setting, places in by_setting.items():
            suffixes = [f"/{setting}"] if setting else []
            if setting == main:
                suffixes += ["", f"/{query.folder}"] if several and query.folder else [""]
            for suffix in suffixes:
                scored.setdefault(suffix, []).append((places, len(query.judgements[setting].relevant)))
    if not scored[""]:
        raise UsageError(f"{truth.file}: no query has a relevant image; there is nothing to score")
    return {
        name + suffix: mean(metric(*query) for query in queries)
        for suffix, queries in scored.items()
        for name, metric in METRICS[truth.protocol].items()
    }


def _main_setting(truth: GroundTruth) -> str:
    return MAIN_SETTING if truth.protocol == "revisited" else ""


def _load(file: Path) -> tuple[Vectors, float] | None:
    """Read what `_store` wrote; None where there is nothing, or nothing sound, so that it is made again."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return arrays["vectors"], float(arrays["seconds"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _store(file: Path, vectors: Vectors, seconds: float) -> None:
    unfinished = file.with_suffix(".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as stream:
            np.savez(stream, vectors=vectors, seconds=seconds)
        unfinished.replace(file)
    except OSError as error:
        raise UsageError(
            f"{file.parent}: cannot keep descriptions there ({error.strerror}); choose another cache"
        ) from error


def _silent(done: int, total: int) -> None:
    """Ignore progress."""
