"""Measure compact codes: what a few bytes a vector keep of exact search and of the task, on the grocery set.

    python benchmarks/codes.py [--recipe kin] [--size 224] [--learn 4000] [--bits 64 ...] [--kinds pq ...]
                               [--cache FILE] [--json]

The codes are fitted to images of the training pool, which are not those that are searched. "same@k" is the share of
queries whose nearest image by exact search is among the first k by codes; recall@1 and mAP are those of the task, first
of codes alone, then after the best 100 by code were compared exactly, as a library does for its 10 results.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, top_k
from kindred.codes import CODES
from kindred.describer import Describer
from kindred.errors import KindredError, UsageError
from kindred.evaluation import GroundTruth, read_groundtruth, score
from kindred.images import find_images
from kindred.index.coded import DEPTH
from kindred.recipe import Recipe

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
SET, POOL = DATA / "grocery" / "groundtruth.json", DATA / "training-pool"
SEED = 0
RESCORED = 10 * DEPTH  # as many as for ten results in a library


@dataclass(frozen=True)
class Measured:
    """One kind of code at one size; `same` is the agreement with exact search, the rest is the task's.

    rescored: after exact comparison of the best by code.
    """

    kind: str
    bits: int
    bytes_per_vector: int
    same_at_1: float
    same_at_10: float
    recall_at_1: float
    mean_average_precision: float
    rescored_recall_at_1: float
    rescored_mean_average_precision: float
    fit_seconds: float
    search_microseconds: float


@dataclass(frozen=True)
class Sets:
    """The vectors: of the training images, of the database, of the queries."""

    learn: Vectors
    database: Vectors
    queries: Vectors


def describe(describer: Describer, paths: Sequence[Path]) -> Vectors:
    """The vectors of all images that can be used, in order."""
    vectors = np.full((len(paths), describer.dimension), np.nan, np.float32)
    for done, described in enumerate(describer.stream(enumerate(paths)), 1):
        if described.vector is not None:
            vectors[described.key] = described.vector
        if sys.stderr.isatty():
            print(f"\rdescribing {done}/{len(paths)} ", end="\n" if done == len(paths) else "", file=sys.stderr)
    return vectors[np.isfinite(vectors).all(axis=1)]


def vectors_of(recipe: Recipe, truth: GroundTruth, learn: int, cache: Path | None) -> Sets:
    if cache is not None and cache.is_file():
        with np.load(cache, allow_pickle=False) as arrays:
            return Sets(arrays["learn"], arrays["database"], arrays["queries"])
    pool = [image.path for image in find_images(POOL) if image.reason is None]
    chosen = np.random.default_rng(SEED).permutation(len(pool))[:learn]
    database, queries = truth.locate(None)
    describer = Describer(recipe)
    found = Sets(*(describe(describer, paths) for paths in ([pool[i] for i in chosen], database, queries)))
    if (len(found.database), len(found.queries)) != (len(database), len(queries)):
        raise UsageError("some images of the set cannot be used; expected all of them")
    if cache is not None:
        np.savez(cache, allow_pickle=False, **asdict(found))
    return found


def measure(kind: str, bits: int, sets: Sets, truth: GroundTruth, nearest: NDArray[np.int64]) -> Measured:
    began = time.perf_counter()
    code = CODES[kind].fitted.fit(sets.learn, bits=bits, seed=SEED)
    seconds = time.perf_counter() - began
    encoded = code.encode(sets.database)
    began = time.perf_counter()
    code.search(sets.queries, encoded, RESCORED)
    microseconds = 1e6 * (time.perf_counter() - began) / len(sets.queries)
    places, _ = code.search(sets.queries, encoded, len(sets.database))
    same = {k: float((places[:, :k] == nearest[:, None]).any(axis=1).mean()) for k in (1, 10)}
    alone, both = score(truth, places), score(truth, rescored(places, sets))
    size, first, best = code.bytes_per_vector, alone["recall@1"], both["recall@1"]
    return Measured(kind, bits, size, same[1], same[10], first, alone["mAP"], best, both["mAP"], seconds, microseconds)


def rescored(places: NDArray[np.int64], sets: Sets) -> NDArray[np.int64]:
    """The same orders with the first by code in the order of their dot products; equal ones by position."""
    found = places.copy()
    for row, query in zip(found, sets.queries, strict=True):
        best = np.sort(row[:RESCORED])
        row[:RESCORED] = best[top_k((sets.database[best] @ query)[None], len(best))[0][0]]
    return found


def exact(sets: Sets, truth: GroundTruth) -> tuple[Measured, NDArray[np.int64]]:
    """Exact search in single precision, and the nearest image to each query."""
    places, _ = top_k(sets.queries @ sets.database.T, len(sets.database))
    task, width = score(truth, places), sets.database.shape[1]
    first, average = task["recall@1"], task["mAP"]
    found = Measured("exact", 32 * width, 4 * width, 1.0, 1.0, first, average, first, average, 0.0, 0.0)
    return found, places[:, 0]


def possible(kind: str, bits: int, width: int) -> bool:
    if kind == "rabitq":
        return bits % width == 0 and bits <= 8 * width
    return width % (bits // 8) == 0 if kind == "pq" else kind == "lsh" or bits <= width


def print_row(one: Measured) -> None:
    print(
        f"{one.kind:8}{one.bits:7}{one.bytes_per_vector:7}{one.same_at_1:9.3f}{one.same_at_10:9.3f}"
        f"{one.recall_at_1:10.3f}{one.mean_average_precision:8.3f}"
        f"{one.rescored_recall_at_1:10.3f}{one.rescored_mean_average_precision:8.3f}"
        f"{one.fit_seconds:8.1f}{one.search_microseconds:8.0f}",
        flush=True,
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="kin", help="a preset or a .toml file (default: %(default)s)")
    parser.add_argument(
        "--size", type=int, default=224, help="longest side in pixels; the set has at most 232 (default: %(default)s)"
    )
    parser.add_argument("--learn", type=int, default=4000, help="training images, from the pool (default: %(default)s)")
    parser.add_argument(
        "--bits", type=int, nargs="+", default=[64, 128, 256, 512], help="sizes of a code (default: %(default)s)"
    )
    parser.add_argument("--kinds", nargs="+", choices=list(CODES), default=list(CODES), help="codes (default: all)")
    parser.add_argument("--cache", type=Path, help="an .npz that stores the vectors for the next run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    recipe, truth = replace(Recipe.load(options.recipe), size=options.size), read_groundtruth(SET)
    sets = vectors_of(recipe, truth, options.learn, options.cache)
    whole, nearest = exact(sets, truth)
    found = [whole]
    if not options.json:
        print(f"{date.today()}  {platform.machine()}  Python {platform.python_version()}  recipe {recipe.name}")
        print(f"{len(sets.queries)} queries, {len(sets.database)} images, codes fitted to {len(sets.learn)} others")
        print(
            f"{'code':8}{'bits':>7}{'bytes':>7}{'same@1':>9}{'same@10':>9}{'recall@1':>10}{'mAP':>8}"
            f"{'rescored':>10}{'mAP':>8}{'fit s':>8}{'query us':>9}"
        )
        print_row(whole)
    for kind, bits in product(options.kinds, options.bits):
        if possible(kind, bits, sets.database.shape[1]):
            found.append(measure(kind, bits, sets, truth, nearest))
            if not options.json:
                print_row(found[-1])
    if options.json:
        sizes = {name: len(rows) for name, rows in asdict(sets).items()}
        results = [asdict(one) for one in found]
        print(json.dumps({"date": str(date.today()), "recipe": recipe.name, "images": sizes, "results": results}))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KindredError as error:
        sys.exit(f"codes.py: {error}")
