"""Measure the local features of a recipe: which pairs they verify, what they cost in time and bytes.

    python benchmarks/local_features.py [KIND ...] [--frames 200] [--covers 100] [--json]

KIND is a value of a recipe's `features`: sift, kin, or a model with a local head. Images are described by the recipe
`kin-plain` with these features, stored as a library stores them, and verified as `verify` does by default.

`right` is the share of the frames of Gardens Point whose same frame of the other walk is verified (8 inliers or more),
`wrong` the share of four other, distant frames each; `R@1` the share of the photos of DVD covers whose own cover is
verified and has more inliers than the other 99. `floats` is `right` with descriptors that were not rounded. `ms` is the
median time of describing one image with features over that without, on one thread, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np

from kindred.describer import Describer
from kindred.errors import KindredError
from kindred.features import LocalFeatures, from_bytes, stored_bits, to_bytes
from kindred.recipe import Recipe
from kindred.rerank.verification import match

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
MINIMUM = 8
DISTANT = 4
TIMED = 15


@dataclass(frozen=True)
class Result:
    """One kind of features; see the docstring of the script."""

    kind: str
    right: float
    wrong: float
    most_wrong: int
    floats: float
    recall_canon: float
    recall_e63: float
    fewest_right: int
    most_other: int
    points: float
    bytes_per_image: float
    ms_without: float
    ms_with: float
    ms_of_query: float


def described(describer: Describer, paths: Sequence[Path], *, is_query: bool = False) -> list[LocalFeatures]:
    found = {each.key: each.features for each in describer.stream(enumerate(paths), is_query=is_query)}
    return [found[number] or LocalFeatures(*_nothing()) for number in range(len(paths))]


def _nothing() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.empty((0, 2), np.float32), np.empty((0, 1), np.float32), np.empty(0, np.float32)


def inliers(query: LocalFeatures, image: LocalFeatures) -> int:
    if not len(query) or not len(image):
        return 0
    found = match(query, image, minimum=4)
    return 0 if found is None else found.inliers


def stored(features: Sequence[LocalFeatures], kind: str) -> list[bytes]:
    return [to_bytes(each, bits=stored_bits(kind)) for each in features]


def walk(describer: Describer, kind: str, frames: int) -> tuple[dict[str, float], list[bytes]]:
    """Return the figures on Gardens Point, and the stored features of its database."""
    numbers = np.unique(np.linspace(0, 199, frames).astype(int)).tolist()
    places = [DATA / "gardens-point" / "day_left" / f"Image{number:03}.jpg" for number in numbers]
    images = described(describer, places)
    kept = stored(images, kind)
    rounded = [from_bytes(data) for data in kept]
    queries = described(
        describer, [DATA / "gardens-point" / "day_right" / place.name for place in places], is_query=True
    )
    count = len(numbers)
    right = [inliers(query, image) for query, image in zip(queries, rounded, strict=True)]
    floats = [inliers(query, image) for query, image in zip(queries, images, strict=True)]
    wrong = [
        inliers(queries[at], rounded[(at + (turn + 1) * count // (DISTANT + 1)) % count])
        for at in range(count)
        for turn in range(DISTANT)
    ]
    figures = {
        "right": float(np.mean(np.array(right) >= MINIMUM)),
        "floats": float(np.mean(np.array(floats) >= MINIMUM)),
        "wrong": float(np.mean(np.array(wrong) >= MINIMUM)),
        "most_wrong": max(wrong),
    }
    return figures, kept


def covers(describer: Describer, kind: str, count: int) -> dict[str, float]:
    """Return the figures on the DVD covers."""
    names = sorted(path.name for path in (DATA / "smvs-dvd" / "Reference").glob("*.jpg"))[:count]
    images = [
        from_bytes(data)
        for data in stored(described(describer, [DATA / "smvs-dvd" / "Reference" / name for name in names]), kind)
    ]
    figures: dict[str, float] = {"fewest_right": 10**6, "most_other": 0}
    for camera, key in (("Canon", "recall_canon"), ("E63", "recall_e63")):
        queries = described(describer, [DATA / "smvs-dvd" / camera / name for name in names], is_query=True)
        hits = []
        for number, query in enumerate(queries):
            found = [inliers(query, image) for image in images]
            own, other = found[number], max(found[:number] + found[number + 1 :], default=0)
            hits.append(own >= MINIMUM and own > other)
            figures["fewest_right"] = min(figures["fewest_right"], own)
            figures["most_other"] = max(figures["most_other"], other)
        figures[key] = float(np.mean(hits))
    return figures


def times(with_features: Describer, without: Describer) -> dict[str, float]:
    """Return the median milliseconds of an image, with features, without, and of a query with features."""
    paths = [DATA / "smvs-dvd" / "Canon" / f"{number:03}.jpg" for number in range(1, TIMED + 1)]
    spent: dict[str, list[float]] = {"ms_without": [], "ms_with": [], "ms_of_query": []}
    for path in [paths[0], *paths]:
        for key, describer, is_query in (
            ("ms_without", without, False),
            ("ms_with", with_features, False),
            ("ms_of_query", with_features, True),
        ):
            began = time.perf_counter()
            list(describer.one_by_one([(0, path)], is_query=is_query))
            spent[key].append(1e3 * (time.perf_counter() - began))
    return {key: float(np.median(values[1:])) for key, values in spent.items()}


def measure(kind: str, frames: int, count: int) -> Result:
    plain = Recipe.load("kin-plain")
    describer = Describer(replace(plain, features=kind))
    found, kept = walk(describer, kind, frames)
    found |= covers(describer, kind, count)
    found |= times(describer, Describer(plain))
    points = float(np.mean([len(from_bytes(data)) for data in kept]))
    size = float(np.mean([len(data) for data in kept]))
    return Result(kind=kind, points=points, bytes_per_image=size, **found)  # type: ignore[arg-type]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=["sift", "kin"], metavar="KIND")
    parser.add_argument("--frames", type=int, default=200, help="of Gardens Point (default: %(default)s)")
    parser.add_argument("--covers", type=int, default=100, help="of smvs-dvd (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if not DATA.is_dir():
        print("local_features.py: needs the development data in ../shared/data; nothing was measured")
        return 0
    print(f"{date.today()}  {platform.machine()}, {os.cpu_count()} cores", file=sys.stderr)
    results = []
    for kind in options.kinds:
        results.append(measure(kind, options.frames, options.covers))
        if not options.json:
            print(
                "  ".join(
                    f"{key} {value:.4g}" if key != "kind" else value for key, value in asdict(results[-1]).items()
                )
            )
    if options.json:
        print(json.dumps({"date": str(date.today()), "results": [asdict(result) for result in results]}))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KindredError as error:
        sys.exit(f"local_features.py: {error}")
