"""How a library of a million vectors searches, against the bars that it must meet.

    python benchmarks/million.py [--n 1000000] [--folder DIR] [--output FILE.json]

It makes clustered vectors, puts them into a store, builds the index and measures, all in one run: recall
and time of a query, the same with FAISS's own IndexHNSWFlat, opening in a fresh process, memory, and adding
one image. A million take about 40 minutes on 2 cores, 8 GB of memory and 7 GB of disk. Exit code 1 if a bar
is missed.

The vectors: 2,000 cluster centres, each half way between one of 100 themes and a direction of its own,
clusters of very different size (Zipf, exponent ½). A member is its centre, plus a step of about the same
length in 64 latent directions common to all clusters with slowly falling spread, plus white noise of length
0.6; then unit length. So clusters overlap: among 50,000 vectors the nearest has a cosine of 0.56 on average,
the 10th 0.46, the 1,000th 0.17. Queries are drawn in the same way and are not among the vectors.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kindred.index import HNSWSettings, SnapshotIndex, SnapshotPolicy
from kindred.store import Entry, SqliteStore

Rows = NDArray[np.float32]

K = 10
D = 512
CHUNK = 10_000
QUERIES = 500
ADDED = 20


class Clusters:
    """The generator described above."""

    def __init__(self, *, seed: int = 0, themes: int = 100, centres: int = 2000, latent: int = 64) -> None:
        generator = np.random.default_rng(seed)
        theme = unit(generator.standard_normal((themes, D)))[generator.integers(themes, size=centres)]
        self._centres = unit(theme + unit(generator.standard_normal((centres, D)))).astype(np.float32)
        weights = np.arange(1, centres + 1) ** -0.5
        self._weights = weights / weights.sum()
        spread = np.arange(1, latent + 1) ** -0.25
        directions = np.linalg.qr(generator.standard_normal((D, latent)))[0].T
        self._latent = (directions * (spread / np.linalg.norm(spread))[:, None]).astype(np.float32)

    def draw(self, count: int, *, seed: int) -> Rows:
        """Return (count, D) unit vectors, the same for the same seed."""
        generator = np.random.default_rng((1, seed))
        rows = self._centres[generator.choice(len(self._centres), count, p=self._weights)]
        rows += generator.standard_normal((count, len(self._latent)), dtype=np.float32) @ self._latent
        rows += generator.standard_normal((count, D), dtype=np.float32) * np.float32(0.6 / np.sqrt(D))
        return unit(rows)

    def chunks(self, count: int) -> Iterator[tuple[int, Rows]]:
        """Yield (first, rows) until there are `count`."""
        for first in range(0, count, CHUNK):
            yield first, self.draw(min(CHUNK, count - first), seed=first)

    def queries(self) -> Rows:
        """Return (QUERIES, D)."""
        return self.draw(QUERIES, seed=2**40)


def unit(rows: NDArray[Any]) -> NDArray[Any]:
    units: NDArray[Any] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return units


@dataclass(frozen=True)
class Bar:
    """One measurement and what it must meet."""

    name: str
    value: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        sign, verdict = "≥" if self.at_least else "≤", "ok" if self.met else "MISSED"
        return f"{self.name:<44} {self.value:>10.4g} {self.unit:<4} {sign} {self.limit:g}  {verdict}"


def say(text: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {text}", flush=True)


def open_index(folder: Path, store: SqliteStore) -> SnapshotIndex:
    # Whatever the size asked for, the graph is what is measured.
    return SnapshotIndex(folder, store, dimension=D, policy=SnapshotPolicy(exact_below=1000))


def fill(store: SqliteStore, clusters: Clusters, count: int) -> None:
    start = time.perf_counter()
    for first, rows in clusters.chunks(count):
        for part in range(0, len(rows), 250):
            store.put([entry(first + n, rows[n]) for n in range(part, min(part + 250, len(rows)))])
    seconds = time.perf_counter() - start
    say(f"store: {count:,} images put in {seconds:.0f} s, {store.file.stat().st_size / 1e9:.2f} GB")


def entry(number: int, row: Rows) -> Entry:
    path = Path(f"/photos/{number // 1000:04d}/{number:07d}.jpg")
    return Entry(path, 2_000_000, number, 4000, 3000, vectors=row[None])


def build(index: SnapshotIndex) -> float:
    start, shown = time.perf_counter(), 0.0

    def progress(done: int, total: int) -> None:
        nonlocal shown
        elapsed = time.perf_counter() - start
        if elapsed - shown > 30:
            shown = elapsed
            say(f"  {done:,} of {total:,} after {elapsed:.0f} s")

    index.snapshot(progress=progress)
    return time.perf_counter() - start


def build_flat(clusters: Clusters, count: int, settings: HNSWSettings) -> Any:
    import faiss

    flat: Any = faiss.IndexHNSWFlat(D, settings.m, faiss.METRIC_INNER_PRODUCT)
    flat.hnsw.efConstruction = settings.ef_construction
    flat.hnsw.efSearch = settings.ef_search
    for _, rows in clusters.chunks(count):
        flat.add(rows)
    return flat


def nearest(clusters: Clusters, count: int, queries: Rows) -> NDArray[np.int64]:
    """Return the places (Q, K) of the true best, by comparison with all rows."""
    places = np.empty((len(queries), 0), dtype=np.int64)
    scores = np.empty((len(queries), 0), dtype=np.float32)
    for first, rows in clusters.chunks(count):
        scores = np.concatenate((scores, queries @ rows.T), axis=1)
        ours = np.broadcast_to(np.arange(first, first + len(rows)), (len(queries), len(rows)))
        places = np.concatenate((places, ours), axis=1)
        best = np.argpartition(-scores, min(K, scores.shape[1]) - 1, axis=1)[:, :K]
        scores = np.take_along_axis(scores, best, axis=1)
        places = np.take_along_axis(places, best, axis=1)
    return places


def recall(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)]))


def timed(search: Callable[[Rows], NDArray[np.int64]], queries: Rows) -> tuple[NDArray[np.int64], list[float]]:
    """Ask one query at a time; return the places (Q, K) and the milliseconds of each."""
    places, times = [], []
    for query in queries:
        start = time.perf_counter()
        places.append(search(query[None])[0])
        times.append(1e3 * (time.perf_counter() - start))
    return np.stack(places), times


def report(name: str, found: NDArray[np.int64], truth: NDArray[np.int64], times: list[float]) -> None:
    median, slow = np.percentile(times, (50, 99))
    say(f"{name}: recall {recall(found, truth):.4f}, median {median:.2f} ms, 99 % below {slow:.2f} ms")


def measure_searches(index: SnapshotIndex, flat: Any, queries: Rows, truth: NDArray[np.int64]) -> list[Bar]:
    import faiss

    faiss.omp_set_num_threads(1)
    ours: list[float] = []
    theirs: list[float] = []
    # In turns, so that both meet the same machine; the first turn only warms up.
    for turn in range(4):
        found, times = timed(lambda query: index.search(query, K).ids - 1, queries)
        flat_found, flat_times = timed(lambda query: np.asarray(flat.search(query, K)[1]), queries)
        if turn:
            ours += times
            theirs += flat_times
    report("Kindred", found, truth, ours)
    report("IndexHNSWFlat", flat_found, truth, theirs)
    median, flat_median = float(np.median(ours)), float(np.median(theirs))
    return [
        Bar("recall@10 against exact search", recall(found, truth), 0.99, "", at_least=True),
        Bar("median query, one thread", median, 2.0, "ms"),
        Bar("median query / IndexHNSWFlat, same settings", median / flat_median, 1.1, ""),
    ]


def measure_adding(index: SnapshotIndex, store: SqliteStore, clusters: Clusters, count: int) -> Bar:
    rows = clusters.draw(ADDED, seed=2**41)
    times = []
    for number, row in enumerate(rows):
        start = time.perf_counter()
        store.put([entry(count + number, row)])
        found = index.search(row[None], 1).ids[0, 0]
        times.append(1e3 * (time.perf_counter() - start))
        assert store.rows([int(found)])[int(found)].path == entry(count + number, row).path
    return Bar("one image added and found, slowest of 20", max(times), 100.0, "ms")


def measure_serving(folder: Path) -> list[Bar]:
    """Start a fresh process that opens the library and answers."""
    start = time.perf_counter()
    command = [sys.executable, __file__, "--serve", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        seconds = time.perf_counter() - start
        used = json.loads(process.stdout.readline() or "{}")
    if first.strip() != "answered" or process.returncode != 0:
        raise SystemExit("the serving process failed")
    say(f"serving process: {used}")
    return [
        Bar("fresh process to first answer", seconds, 3.0, "s"),
        Bar("resident memory while serving", used["resident_gb"], 1.6, "GB"),
    ]


def serve(folder: Path) -> None:
    """Open, answer, and report the memory of this process after some hundred queries."""
    queries = np.load(folder / "queries.npy")
    with SqliteStore.open(folder / "store.sqlite") as store:
        index = open_index(folder, store)
        found = index.search(queries[:1], K)
        store.rows(found.ids[0])
        print("answered", flush=True)
        for query in queries:
            index.search(query[None], K)
        assert index.approximate
    print(json.dumps(memory()), flush=True)


def memory() -> dict[str, float]:
    """Return the memory of this process in GB (Linux), `resident_gb` at its highest.

    Not from `getrusage`: there a process starts with the highest of the one that started it.
    """
    lines = [line.split() for line in Path("/proc/self/status").read_text().splitlines()]
    kilobytes = {line[0].rstrip(":"): int(line[1]) for line in lines if line[-1] == "kB"}
    names = {"resident_gb": "VmHWM", "own_gb": "RssAnon", "mapped_gb": "RssFile"}
    return {name: round(kilobytes[key] * 1024 / 1e9, 3) for name, key in names.items()}


def hardware() -> dict[str, str | int]:
    cpuinfo = Path("/proc/cpuinfo")
    names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    name = names[0].split(":")[1].strip() if names else platform.processor()
    return {"cpu": name, "cores": os.cpu_count() or 0, "python": platform.python_version()}


def run(count: int, folder: Path, output: Path | None) -> bool:
    clusters, settings = Clusters(), HNSWSettings()
    queries = clusters.queries()
    load = os.getloadavg()[0]
    say(f"{count:,} vectors of {D}, {settings}, {hardware()}, load {load:.1f}")
    with SqliteStore.create(folder / "store.sqlite", {}) as store:
        fill(store, clusters, count)
        index = open_index(folder, store)
        seconds = build(index)
        size = sum(file.stat().st_size for file in folder.glob("index-*"))
        say(f"index built in {seconds:.0f} s, {size / 1e9:.2f} GB")
        np.save(folder / "queries.npy", queries)
        bars = measure_serving(folder)
        truth = nearest(clusters, count, queries)
        first = timed(lambda query: index.search(query, K).ids - 1, queries)
        report("Kindred, a first time", first[0], truth, first[1])
        bars.append(measure_adding(index, store, clusters, count))
        start = time.perf_counter()
        flat = build_flat(clusters, count, settings)
        say(f"IndexHNSWFlat built in {time.perf_counter() - start:.0f} s")
        bars += measure_searches(index, flat, queries, truth)
    print(*bars, sep="\n")
    if output is not None:
        result = {
            "date": datetime.now(UTC).isoformat(timespec="minutes"),
            "hardware": hardware(),
            "load_at_start": load,
            "vectors": count,
            "settings": asdict(settings),
            "build_seconds": round(seconds),
            "bars": [asdict(bar) | {"met": bar.met} for bar in bars],
        }
        output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return all(bar.met for bar in bars)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1_000_000, help="number of vectors (default: a million)")
    parser.add_argument("--folder", type=Path, help="an empty folder to work in and keep (default: a temporary one)")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        serve(given.serve)
        return
    if given.folder is not None:
        sys.exit(not run(given.n, given.folder, given.output))
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(not run(given.n, Path(folder), given.output))


if __name__ == "__main__":
    main()
