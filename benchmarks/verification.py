"""Measure spatial verification on the DVD covers of Stanford Mobile Visual Search: what it finds, costs and mistakes.

    python benchmarks/verification.py [SETTING ...] [--queries 100] [--distractors 500] [--minimum 8] [--json]

A setting is what is extracted: sift:COUNT@LONGEST, or conv:COUNT@LONGEST:BACKBONE:TAP[:maxima], BACKBONE being a
model of the development weights. 150@320,500@480 in place of COUNT@LONGEST extracts more of the queries. Each query
is verified against all 100 references, from the bytes that a library stores: `ms/query` is the median wall time of
that, decoding included; `ms/image` that of extracting a reference. `Canon` and `E63` are recall@1 of camera and
phone: the share of queries whose own cover is verified and has more inliers than any other. `right` is how many
inliers the right covers reach (fewest, 5 %, median), `wrong` how many the best wrong cover of a query reaches
(median, 95 %, most), `strange` the same of the best of so many images of the training pool (without its DVD covers).
Exit code 1 if a query takes more than a second by the first setting.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.backbones import load
from kindred.errors import KindredError
from kindred.features import ConvMap, LocalFeatures, conv, from_bytes, sift, to_bytes
from kindred.features.conv import Strength
from kindred.images import decode, resize
from kindred.ranking import Ranking
from kindred.rerank.context import Context
from kindred.rerank.verification import verify

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
COVERS = SHARED / "data" / "smvs-dvd"
POOL = SHARED / "data" / "training-pool"
SETTINGS = (
    "sift:150@320,500@480",
    "sift:300@320",
    "sift:500@480",
    "conv:500@480:mobilenet_v2:features.13",
    "conv:500@480:resnet50v2_conv4:stage3",
)
CAMERAS = ("Canon", "E63")
BAR = 1000.0
"""Milliseconds that a query may take, by the first setting."""
Pixels = NDArray[np.uint8]
Extract = Callable[[Pixels], LocalFeatures]


class _NoGallery:
    """Verification asks for no vectors."""

    def __len__(self) -> int:
        return 0

    @property
    def version(self) -> str:
        return ""

    def search(self, queries: Vectors, k: int) -> Ranking:
        raise NotImplementedError

    def fetch(self, ids: NDArray[np.int64]) -> Vectors:
        raise NotImplementedError

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        raise NotImplementedError


@dataclass(frozen=True)
class Result:
    """One setting; times in milliseconds, quantiles as the docstring of the script says."""

    setting: str
    points: float
    bytes_per_image: float
    ms_per_image: float
    ms_per_query: float
    recall_canon: float
    recall_e63: float
    right: tuple[float, ...]
    wrong: tuple[float, ...]
    strange: tuple[float, ...]
    strange_verified: float


def extractors(setting: str) -> tuple[Extract, Extract]:
    """Return what a setting means, for the references and for the queries."""
    kind, amounts, *rest = setting.split(":")
    of_images, _, of_queries = amounts.partition(",")
    return extractor(kind, of_images, rest), extractor(kind, of_queries or of_images, rest)


def extractor(kind: str, amounts: str, rest: Sequence[str]) -> Extract:
    count, longest = (int(part) for part in amounts.split("@"))
    if kind == "sift":
        return lambda pixels: sift(pixels, count=count, longest=longest)
    backbone, tap, *more = rest
    engine = load(SHARED / "weights" / f"{backbone}.onnx", taps=tap)
    strength = cast(Strength, more[0] if more else "norm")

    def extract(pixels: Pixels) -> LocalFeatures:
        (maps,) = engine.run(resize(pixels, longest=longest, multiple=32)[None])
        frame = (0.0, 0.0, float(pixels.shape[1]), float(pixels.shape[0]))
        return conv(ConvMap(maps[0], frame), count=count, strength=strength)

    return extract


def strangers(count: int) -> list[Path]:
    """Return images of the training pool, evenly spread over it, without its DVD covers and tiny pictures."""
    folders = sorted(each for each in POOL.iterdir() if each.is_dir())
    kept = [each for each in folders if each.name not in ("dvdcovers", "tiny-imagenet-200")]
    paths = [path for folder in kept for path in sorted(folder.glob("*.webp"))]
    return paths[:: max(1, len(paths) // count)][:count] if count else []


def stored(paths: Sequence[Path], extract: Extract) -> tuple[list[bytes], float]:
    """Return the features of images as bytes, and the median milliseconds of extracting them."""
    stored, times = [], []
    for path in paths:
        pixels = decode(path).pixels
        began = time.perf_counter()
        features = extract(pixels)
        times.append(1e3 * (time.perf_counter() - began))
        stored.append(to_bytes(features))
    return stored, float(np.median(times)) if times else 0.0


def verified(queries: Sequence[bytes], images: Sequence[bytes]) -> tuple[list[dict[int, float]], float]:
    """Return the inliers of each image that has some, by number, for each query, and the median time of a query."""
    found: list[dict[int, float]] = []
    times = []
    for query in queries:
        began = time.perf_counter()
        found.append(inliers(query, images))
        times.append(1e3 * (time.perf_counter() - began))
    return found, float(np.median(times))


def inliers(query: bytes, images: Sequence[bytes]) -> dict[int, float]:
    """Return the inliers of each image that has some, by number."""
    # Backwards, so that where nothing is verified the first is not right by chance.
    ids = np.arange(len(images))[::-1][None]
    context = Context(
        np.zeros((1, 1), np.float32),
        _NoGallery(),
        query_features=lambda _: from_bytes(query),
        image_features=lambda numbers: (from_bytes(images[number]) for number in numbers),
    )
    answer = verify(Ranking(ids, np.zeros(ids.shape, np.float32)), context, depth=len(images), minimum=4)
    scores = zip(answer.ids[0].tolist(), answer.scores[0].tolist(), strict=True)
    return {number: score for number, score in scores if score > 0}


def quantiles(values: Sequence[float], *, at: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(float(np.quantile(values, share)) for share in at) if values else ()


def measure(setting: str, queries: int, distractors: int, minimum: int) -> Result:
    extract, extract_query = extractors(setting)
    references, milliseconds = stored(sorted((COVERS / "Reference").glob("*.jpg")), extract)
    strange, _ = stored(strangers(distractors), extract)
    recalls, right, wrong, times, farthest = [], [], [], [], []
    for camera in CAMERAS:
        queries_of, _ = stored(sorted((COVERS / camera).glob("*.jpg"))[:queries], extract_query)
        found, each = verified(queries_of, references)
        times.append(each)
        own = [scores.get(number, 0.0) for number, scores in enumerate(found)]
        others = [
            max((score for n, score in scores.items() if n != number), default=0.0)
            for number, scores in enumerate(found)
        ]
        recalls.append(np.mean([mine >= minimum and mine > other for mine, other in zip(own, others, strict=True)]))
        right += own
        wrong += others
        if strange:
            # A tenth of the queries: each meets all strange images.
            answers, _ = verified(queries_of[::10], strange)
            farthest += [max(scores.values(), default=0.0) for scores in answers]
    return Result(
        setting,
        float(np.mean([len(from_bytes(data)) for data in references])),
        float(np.mean([len(data) for data in references])),
        milliseconds,
        float(np.mean(times)),
        float(recalls[0]),
        float(recalls[1]),
        quantiles(right, at=(0, 0.05, 0.5)),
        quantiles(wrong, at=(0.5, 0.95, 1)),
        quantiles(farthest, at=(0.5, 0.95, 1)),
        float(np.mean(np.array(farthest) >= minimum)) if farthest else 0.0,
    )


def print_result(result: Result) -> None:
    right, wrong, strange = (
        "/".join(f"{value:.0f}" for value in part) for part in (result.right, result.wrong, result.strange)
    )
    print(
        f"{result.setting:44}{result.points:7.0f}{result.bytes_per_image / 1e3:8.1f}{result.ms_per_image:10.1f}"
        f"{result.ms_per_query:10.0f}{result.recall_canon:8.2f}{result.recall_e63:7.2f}"
        f"{right:>12}{wrong:>12}{strange:>12}",
        flush=True,
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "settings", nargs="*", default=SETTINGS, metavar="SETTING", help="as above (default: %(default)s)"
    )
    parser.add_argument("--queries", type=int, default=100, help="of each camera (default: %(default)s)")
    parser.add_argument(
        "--distractors", type=int, default=500, help="images of the training pool (default: %(default)s)"
    )
    parser.add_argument("--minimum", type=int, default=8, help="inliers of a verified candidate (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if not COVERS.is_dir():
        print("verification.py: needs the development data smvs-dvd in ../shared/data; nothing was measured")
        return 0
    if not options.json:
        print(f"{date.today()}  {platform.machine()}, {os.cpu_count()} cores  Python {platform.python_version()}")
        columns = f"{'points':>7}{'KB':>8}{'ms/image':>10}{'ms/query':>10}{'Canon':>8}{'E63':>7}"
        print(f"{'setting':44}{columns}{'right':>12}{'wrong':>12}{'strange':>12}")
    results = []
    for setting in options.settings:
        results.append(measure(setting, options.queries, options.distractors, options.minimum))
        if not options.json:
            print_result(results[-1])
    met = results[0].ms_per_query <= BAR
    if options.json:
        print(json.dumps({"date": str(date.today()), "met": met, "results": [asdict(result) for result in results]}))
    else:
        print(f"{results[0].setting}: at most {BAR:.0f} ms a query {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KindredError as error:
        sys.exit(f"verification.py: {error}")
