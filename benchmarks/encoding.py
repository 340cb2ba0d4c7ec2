"""Measure embeddings beside independent implementations, on the same arrays, in turns, in one run.

    pip install scikit-image   # the other side of Fisher vectors; brings SciPy, which VLAD's sparse sums need
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/encoding.py [--images 1000] [--rounds 9] [--json]

VLAD is measured against the search for the nearest words alone: FAISS's `IndexFlatL2`, and Kindred's own. Both
get the images in batches of 50, as a describer hands them over. Fisher vectors are measured against scikit-image's
`fisher_vector`, called for each image, with the same mixture. Descriptors are random unit vectors of 128 components,
the hardest case for VLAD: those of an image spread over all words. Each figure is the median over the rounds in
milliseconds of processor time of one thread, each ratio the median of the ratios of each round, so that what else
the machine does counts less. Exit code 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from importlib.metadata import version
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from skimage.feature import fisher_vector
from sklearn.mixture import GaussianMixture

from kindred.arrays import Vectors, l2_normalise
from kindred.embedding.assignment import nearest_words
from kindred.embedding.fisher import fisher
from kindred.embedding.mixture import Mixture
from kindred.embedding.vlad import vlad

DIMENSION = 128
BATCH = 50
VLAD_CASES = ((100, 64), (100, 256), (400, 64), (400, 256), (1600, 256))
FISHER_CASES = ((400, 16), (400, 64), (100, 64))
FINE = time.get_clock_info("thread_time").resolution < 1e-4
CLOCK = time.thread_time if FINE else time.perf_counter
Run = Callable[[], object]


def in_turns(sides: dict[str, Run], rounds: int) -> dict[str, NDArray[np.float64]]:
    """Milliseconds of each side in each round, after one that does not count."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds + 1):
        for name, run in sides.items():
            start = CLOCK()
            run()
            found[name].append(1e3 * (CLOCK() - start))
    return {name: np.array(times[1:]) for name, times in found.items()}


def ratio(times: dict[str, NDArray[np.float64]], side: str, other: str) -> float:
    return round(float(np.median(times[side] / times[other])), 3)


def descriptors(count: int) -> Vectors:
    return l2_normalise(np.random.default_rng(0).standard_normal((count, DIMENSION), dtype=np.float32))


def batches(rows: Vectors, positions: int) -> list[tuple[Vectors, NDArray[np.int64]]]:
    parts = [rows[start : start + BATCH * positions] for start in range(0, len(rows), BATCH * positions)]
    return [(part, np.full(len(part) // positions, positions)) for part in parts]


def encode(parts: list[tuple[Vectors, NDArray[np.int64]]], centres: Vectors, normalise: str) -> None:
    for part, counts in parts:
        vlad(part, counts, centres, normalise=normalise)


def measure_vlad(images: int, positions: int, words: int, rounds: int) -> dict[str, Any]:
    rows = descriptors(images * positions)
    centres = rows[np.random.default_rng(1).choice(len(rows), words, replace=False)].copy()
    index = faiss.IndexFlatL2(DIMENSION)
    index.add(centres)
    parts = batches(rows, positions)
    sides: dict[str, Run] = {
        "FAISS search": lambda: [index.search(part, 1) for part, _ in parts],
        "Kindred search": lambda: [nearest_words(part, centres) for part, _ in parts],
        **{f"VLAD {name}": partial(encode, parts, centres, name) for name in ("plain", "ssr", "intra")},
    }
    times = in_turns(sides, rounds)
    return {
        "what": "vlad",
        "positions": positions,
        "words": words,
        "ms": {name: round(float(np.median(each)), 1) for name, each in times.items()},
        "over FAISS search": ratio(times, "VLAD plain", "FAISS search"),
        "over Kindred search": ratio(times, "VLAD plain", "Kindred search"),
    }


def random_mixture(words: int) -> tuple[Mixture, GaussianMixture]:
    """The same mixture for both sides."""
    generator = np.random.default_rng(2)
    weights = generator.uniform(1, 2, words)
    means = l2_normalise(generator.standard_normal((words, DIMENSION))) * 0.5
    variances = generator.uniform(0.5, 1.5, (words, DIMENSION)) / DIMENSION
    weights = (weights / weights.sum()).astype(np.float32)
    mine = Mixture(weights, means.astype(np.float32), variances.astype(np.float32))
    theirs = GaussianMixture(words, covariance_type="diag")
    theirs.weights_, theirs.means_ = mine.weights.astype(np.float64), mine.means.astype(np.float64)
    theirs.covariances_ = mine.variances.astype(np.float64)
    theirs.precisions_cholesky_ = 1 / np.sqrt(theirs.covariances_)
    return mine, theirs


def measure_fisher(images: int, positions: int, words: int, rounds: int) -> dict[str, Any]:
    rows = descriptors(images * positions)
    mine, theirs = random_mixture(words)
    parts = batches(rows, positions)
    single = [rows[start : start + positions] for start in range(0, len(rows), positions)]
    check_fisher(single[0], mine, theirs)
    times = in_turns(
        {
            "scikit-image": lambda: [fisher_vector(image, theirs, improved=True) for image in single],
            "Kindred": lambda: sum(len(fisher(part, counts, mine)) for part, counts in parts),
        },
        rounds,
    )
    return {
        "what": "fisher",
        "positions": positions,
        "words": words,
        "ms": {name: round(float(np.median(each)), 1) for name, each in times.items()},
        "times as fast": ratio(times, "scikit-image", "Kindred"),
    }


def check_fisher(rows: Vectors, mine: Mixture, theirs: GaussianMixture) -> None:
    """Stop unless both sides do the same: scikit-image has the gradients to the weights in front, and −v for v."""
    other = fisher_vector(rows, theirs, improved=False)[len(mine) :]
    other[len(other) // 2 :] *= -1
    own = fisher(rows, [len(rows)], mine, sqrt=False, l2=False)[0]
    if (apart := float(np.abs(own - other).max() / np.abs(other).max())) > 1e-3:
        raise SystemExit(f"the two Fisher vectors are not alike: {apart:.4f} of the largest component apart")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000, help="of which Fisher takes a fifth (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=9, help="(default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    faiss.omp_set_num_threads(1)
    results = [measure_vlad(options.images, *case, options.rounds) for case in VLAD_CASES]
    results += [measure_fisher(options.images // 5, *case, options.rounds) for case in FISHER_CASES]
    met = all(each.get("over FAISS search", 0) <= 1.1 and each.get("times as fast", 1) >= 1 for each in results)
    packages = ("numpy", "scipy", "faiss-cpu", "scikit-learn", "scikit-image")
    conditions = {
        "date": str(date.today()),
        "processor": platform.processor() or platform.machine(),
        "load": round(os.getloadavg()[0], 1),
        "versions": {name: version(name) for name in packages},
        "met": met,
    }
    if options.json:
        print(json.dumps({**conditions, "results": results}, indent=2))
    else:
        print(*(f"{key} {value}" for key, value in conditions.items()), sep="; ")
        for each in results:
            print(*(f"{key} {value}" for key, value in each.items()), sep="; ", flush=True)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
