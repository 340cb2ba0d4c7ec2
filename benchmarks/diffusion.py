"""Measure diffusion on 100,000 vectors: the graph, a query, and the offline variant, against their bars.

    python benchmarks/diffusion.py [--n 100000] [--queries 50] [--threads 1 2] [--fit 2000] [--folder DIR] [--json]

It makes clustered vectors, builds the graph once, then measures in a process of its own for each number of
threads: for every query, in turn, the exact search, diffusion with several truncations, and the offline
variant; each given the ranking of 100 results. Times are medians over the queries, in milliseconds: "wall" as a
clock on the wall has it, "cpu" what all threads worked, which other work on the machine hardly changes; with one
thread and nothing else to do the two are the same, so the bars are held against that. Diffusion's times include
the search for the nearest images that take part. Right: the share of the first 50 results that are of the
query's own cluster. Exit code 1 if a bar is missed.

The offline variant needs what every image spreads. Solving for all takes minutes: `--fit 0` does it, else the
spreads are solved for that many images, those that resemble the queries most first, and the time for all is
extrapolated and said to be so; a query's time does not depend on it. `--folder` keeps the graph for the next run.

The vectors: 1,000 cluster centres, each half way between one of 50 themes and a direction of its own, members
with white noise of length 1.8 about them; then unit length.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.ranking import Ranking
from kindred.rerank import ArrayGallery, Context, Diffusion, NeighbourGraph, OfflineDiffusion, OfflineOptions
from kindred.rerank.offline import solve_spread

D = 256
K = 100
CENTRES, THEMES, NOISE = 1000, 50, 1.8
TRUNCATIONS = (1000, 5000, 10_000)
BARS = {"diffusion, 5000 nearest": 50.0, "offline diffusion": 5.0}
DEPTH = 50


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / lengths


def draw(count: int, *, seed: int) -> tuple[Vectors, NDArray[np.int64]]:
    """Return vectors (count, D) and their clusters (count,)."""
    fixed, generator = np.random.default_rng(0), np.random.default_rng((1, seed))
    themes = unit(fixed.standard_normal((THEMES, D)))[fixed.integers(THEMES, size=CENTRES)]
    centres = unit(themes + unit(fixed.standard_normal((CENTRES, D))))
    clusters = generator.integers(CENTRES, size=count)
    rows = np.empty((count, D), np.float32)
    for start in range(0, count, 10_000):
        part = clusters[start : start + 10_000]
        noise = generator.standard_normal((len(part), D)) * (NOISE / np.sqrt(D))
        rows[start : start + 10_000] = unit(centres[part] + noise)
    return rows, clusters


@dataclass(frozen=True)
class Setting:
    """What all processes of one run share."""

    n: int
    queries: int
    fit: int
    folder: Path

    @property
    def graph(self) -> Path:
        return self.folder / f"benchmark-graph-{self.n}.npz"

    @property
    def spreads(self) -> Path:
        return self.folder / f"benchmark-spreads-{self.n}-{self.queries}-{self.fit}.npz"


def prepare(setting: Setting) -> dict[str, float]:
    """Build the graph and the spreads, unless they are there; return seconds, megabytes and edges."""
    rows, _ = draw(setting.n, seed=0)
    gallery = ArrayGallery(rows, similarity="dot")
    found: dict[str, float] = {}
    cpu = time.process_time()
    if setting.graph.is_file():
        with np.load(setting.graph) as arrays:
            graph = NeighbourGraph.from_arrays(arrays)
    else:
        held, began = peak(), time.perf_counter()
        graph = NeighbourGraph.build(gallery)
        found["graph: seconds"] = time.perf_counter() - began
        found["graph: seconds of all threads' work"] = time.process_time() - cpu
        found["graph: megabytes held beside the vectors"] = peak() - held
        np.savez(setting.graph, allow_pickle=False, **graph.to_arrays())
    found["graph: edges for an image"] = len(graph.indices) / len(graph)
    if not setting.spreads.is_file():
        began, cpu = time.perf_counter(), time.process_time()
        spreads, solved = fit(gallery, graph, setting)
        found[f"offline: seconds for {solved} images"] = time.perf_counter() - began
        found["offline: seconds of all threads' work"] = seconds = time.process_time() - cpu
        if solved < setting.n:
            found["offline: seconds of work for all, extrapolated"] = seconds * setting.n / solved
        np.savez(setting.spreads, allow_pickle=False, **spreads.to_arrays())
        found["offline: megabytes for all"] = 8e-6 * len(spreads.indices) * setting.n / solved
    return found


def fit(gallery: ArrayGallery, graph: NeighbourGraph, setting: Setting) -> tuple[OfflineDiffusion, int]:
    """Solve for all images, or for as many as asked for, the queries' best results first."""
    if not setting.fit:
        return OfflineDiffusion.fit(gallery, graph), setting.n
    options, degrees = OfflineOptions(), graph.degrees()
    best = gallery.search(draw(setting.queries, seed=1)[0], setting.fit).ids.T.reshape(-1)
    images = np.sort(best[np.sort(np.unique(best, return_index=True)[1])[: setting.fit]])
    columns, weights, counts = [], [], np.zeros(setting.n, np.int64)
    for image, near in zip(images, gallery.search(gallery.fetch(images), options.truncate).ids, strict=True):
        places, spread = solve_spread(graph, degrees, int(image), near, options)
        columns.append(places)
        weights.append(spread)
        counts[image] = len(places)
    indptr = np.concatenate(([0], np.cumsum(counts)))
    return OfflineDiffusion(graph.ids, indptr, np.concatenate(columns), np.concatenate(weights)), len(images)


def peak() -> float:
    """Return the most memory that this process held so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(setting: Setting) -> dict[str, dict[str, float]]:
    """Return the median milliseconds of a query and the share of right results, of each side."""
    rows, clusters = draw(setting.n, seed=0)
    gallery = ArrayGallery(rows, similarity="dot")
    with np.load(setting.graph) as arrays:
        graph = NeighbourGraph.from_arrays(arrays)
    with np.load(setting.spreads) as arrays:
        spreads = OfflineDiffusion.from_arrays(arrays)
    sides: dict[str, Callable[[Ranking, Context], Ranking]] = {
        f"diffusion, {count} nearest": Diffusion(graph, truncate=count) for count in TRUNCATIONS if count < setting.n
    }
    sides["diffusion, whole graph"] = Diffusion(graph, truncate=setting.n)
    sides["offline diffusion"] = spreads.rerank
    sides = {"exact search, 100 results": lambda _, context: gallery.search(context.queries, K), **sides}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    right: dict[str, list[float]] = {name: [] for name in sides}
    for query, cluster in zip(*draw(setting.queries, seed=1), strict=True):
        context = Context(query[None], gallery)
        ranking = gallery.search(query[None], K)
        for name, rerank in sides.items():
            began, cpu = time.perf_counter(), time.process_time()
            found = rerank(ranking, context)
            times[name].append((time.perf_counter() - began, time.process_time() - cpu))
            right[name].append(share(found, clusters, cluster))
    medians = {name: 1e3 * np.median(both, axis=0) for name, both in times.items()}
    return {
        name: {"wall": float(wall), "cpu": float(cpu), "right": float(np.mean(right[name]))}
        for name, (wall, cpu) in medians.items()
    }


def share(ranking: Ranking, clusters: NDArray[np.int64], cluster: int) -> float:
    return float(np.mean(clusters[ranking.ids[0, :DEPTH]] == cluster))


def in_process(arguments: Sequence[str], setting: Setting, threads: int) -> dict[str, dict[str, float]]:
    """Measure in a process with so many threads: BLAS reads their number when it starts."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, str(threads))}
    command = [sys.executable, __file__, *arguments, "--folder", str(setting.folder), "--measure"]
    result = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, dict[str, float]] = json.loads(result.stdout)
    return measured


def report(prepared: dict[str, float], measured: dict[int, dict[str, dict[str, float]]]) -> None:
    for name, value in prepared.items():
        print(f"{name:44}{value:10.1f}")
    for threads, sides in measured.items():
        print(f"\n{f'{threads} thread(s), ms a query':44}{'wall':>10}{'cpu':>10}{'right':>8}{'bar':>7}")
        for name, values in sides.items():
            verdict = f"{BARS[name]:7.0f}{'  MISSED' if missed(values, name) else ''}" if judged(threads, name) else ""
            print(f"{name:44}{values['wall']:10.2f}{values['cpu']:10.2f}{values['right']:8.3f}{verdict}")


def judged(threads: int, name: str) -> bool:
    return threads == 1 and name in BARS


def missed(values: dict[str, float], name: str) -> bool:
    return values["cpu"] > BARS[name]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000, help="how many vectors (default: %(default)s)")
    parser.add_argument("--queries", type=int, default=50, help="(default: %(default)s)")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, 2], help="each in a process of its own (default: %(default)s)"
    )
    parser.add_argument("--fit", type=int, default=2000, help="images to solve offline; 0: all (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where to keep the graph (default: nowhere)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        setting = Setting(options.n, options.queries, options.fit, options.folder or Path(temporary))
        if options.measure:
            print(json.dumps(measure(setting)))
            return 0
        prepared = prepare(setting)
        measured = {threads: in_process(arguments, setting, threads) for threads in options.threads}
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    if options.json:
        print(json.dumps({"date": str(date.today()), "machine": machine, "prepared": prepared, "threads": measured}))
    else:
        print(f"{date.today()}  {machine}  Python {platform.python_version()}  {options.n} x {D}")
        report(prepared, measured)
    fell_short = [name for name in BARS if 1 in measured and missed(measured[1][name], name)]
    return 1 if fell_short else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
