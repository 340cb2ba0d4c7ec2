"""Measure what docs/scaling.md extrapolates from: what an image costs to describe and to store, and a vector to search.

    python benchmarks/scaling.py [describe] [store] [commit] [search] [queue] [--vectors N] [--recipes NAME …]

Each part writes its rows into docs/scaling.json, with the date, the processor and the load;
`python scripts/make_docs.py` then writes the tables and pictures of the page. Costs are processor time of all threads
of a process of its own, which a busy machine changes less than time by the clock.

describe: core-seconds an image of `Library.index`, and of decoding alone, for photos of 12 megapixels, for images of
500 pixels, and for copies of the photos of 256 pixels.
store: bytes an image in the store by recipe, beyond what an empty library takes.
commit: processor time of storing an image.
search: of the vectors of `million.py`, for each index that is held in memory: bytes a vector, core-seconds of
building it, core-milliseconds of a query, recall@10.
queue: real runs of a few processes that take batches of images from a queue, some killed, beside the simulation
of the same runs (`simulation.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexing import prepare_files
from kindred.codes import CODES
from kindred.images import decode, find_images, resize
from kindred.library import Library
from kindred.recipe import Recipe
from kindred.store import Entry, SqliteStore
from million import Clusters, fill, hardware, nearest, open_index, recall
from queue_run import BATCH
from simulation import Job, Machines, simulate

DATA = Path(__file__).resolve().parents[1] / "docs" / "scaling.json"
PARTS = ("describe", "store", "commit", "search", "queue")
RECIPES = ("kin", "kin-whitened", "fast", "covers")
KINDS = {"12 megapixels": 60, "500 pixels": 60, "256 pixels": 120}
STORED = 240
LONGEST = 500
K, QUERIES = 10, 100
Row = dict[str, object]


def main() -> int:
    options = _options()
    for part in options.parts or PARTS:
        conditions, done = _conditions(), list[Row]()
        for row in MEASURES[part](options):
            done.append(row)
            _save(part, conditions, done)
    return 0


def _save(part: str, conditions: Row, done: Sequence[Row]) -> None:
    """Write the rows of a part; those measured earlier stay unless they are of the same things."""
    document = json.loads(DATA.read_text(encoding="utf-8")) if DATA.exists() else {}
    keys = [_key(row) for row in done]
    others = [row for row in document.get(part, {}).get("rows", ()) if _key(row) not in keys]
    document[part] = {**conditions, "rows": [*others, *done]}
    DATA.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _key(row: Row) -> tuple[object, ...]:
    return tuple(
        row.get(name) for name in ("kind", "recipe", "index", "vectors", "run") if name != "vectors" or "index" in row
    )


def _conditions() -> Row:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "load": round(os.getloadavg()[0], 1),
        **hardware(),
        "command": f"python benchmarks/scaling.py {' '.join(sys.argv[1:])}".strip(),
    }


# What an image costs to describe


def measure_describing(options: argparse.Namespace) -> Iterator[Row]:
    for kind in options.kinds:
        files = kind_of_files(kind, KINDS[kind])
        for recipe in options.recipes:
            yield _shown({**_in_a_process("index", recipe, files.parent), "kind": kind, "recipe": recipe})
        yield _shown({**_in_a_process("decode", "", files.parent), "kind": kind, "recipe": "decoding alone"})


def kind_of_files(kind: str, count: int) -> Path:
    """Return the first file of a folder of images of a kind, made unless an earlier run did."""
    folder = Path(tempfile.gettempdir()) / "kindred-benchmark" / f"{kind.replace(' ', '-')}-{count}"
    if kind != "256 pixels":
        return prepare_files(kind, folder, count)[0]
    folder.mkdir(parents=True, exist_ok=True)
    originals = prepare_files("12 megapixels", folder.with_name("12-megapixels-60"), 60)
    for number in range(count):
        copy = folder / f"{number:05}.jpg"
        if not copy.exists():
            pixels = resize(decode(originals[number % len(originals)], longest=256).pixels, longest=256)
            Image.fromarray(pixels[number // len(originals) :]).save(copy, "JPEG", quality=90)
    return next(iter(sorted(folder.glob("*.jpg"))))


def _in_a_process(work: str, recipe: str, folder: Path) -> Row:
    command = [sys.executable, __file__, "--work", work, "--recipes", recipe, "--folder", str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    found: Row = json.loads(done.stdout.splitlines()[-1])
    return found


def work(name: str, recipe: str, folder: Path) -> Row:
    """Index or decode a folder in this process; return core-seconds an image."""
    files = [found.path for found in find_images(folder)]
    size = sum(file.stat().st_size for file in files) / len(files)
    if name == "decode":
        began = time.process_time()
        for file in files:
            resize(decode(file, longest=LONGEST).pixels, longest=LONGEST)
        return {"core_seconds": (time.process_time() - began) / len(files), "bytes_read": size, "images": len(files)}
    with tempfile.TemporaryDirectory() as place, Library.create(place, recipe=Recipe.load(recipe)) as library:
        list(library.describer.one_by_one([(0, files[0])]))
        began, clock = time.process_time(), time.perf_counter()
        report = library.index(folder)
        return {
            "core_seconds": (time.process_time() - began) / report.indexed,
            "seconds": (time.perf_counter() - clock) / report.indexed,
            "bytes_read": size,
            "images": report.indexed,
        }


# What it takes in the store


def measure_storing(options: argparse.Namespace) -> Iterator[Row]:
    folder = kind_of_files("500 pixels", STORED).parent
    for recipe in options.recipes:
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / "store.sqlite"
            Library.create(place, recipe=Recipe.load(recipe)).close()
            empty = file.stat().st_size
            with Library.open(place) as library:
                indexed = library.index(folder).indexed
                counts, components = library.store.counts(), library.store.dimension or 0
            used = (file.stat().st_size - empty) / indexed
            rows = {"vectors": counts.vectors / indexed, "components": components}
            yield _shown({"recipe": recipe, "images": indexed, "bytes": used, **rows})


def measure_committing(options: argparse.Namespace) -> Iterator[Row]:
    """Processor time of storing an image: a vector of 512 components, and 150 keypoints of 3 kB."""
    del options
    random = np.random.default_rng(0)
    rows = random.standard_normal((2560, 1, 512)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    keypoints, commit = random.bytes(150 * 21), 256
    with tempfile.TemporaryDirectory() as place, SqliteStore.create(Path(place) / "store.sqlite", {}) as store:
        began, clock = time.process_time(), time.perf_counter()
        for at in range(0, len(rows), commit):
            part = range(at, at + commit)
            store.put([Entry(Path(f"/{n}.jpg"), 1, n, vectors=rows[n], features=keypoints) for n in part])
        spent, seconds = time.process_time() - began, time.perf_counter() - clock
    yield _shown({"recipe": "sqlite", "core_seconds": spent / len(rows), "seconds": seconds / len(rows)})


# What a vector costs to search


def measure_searching(options: argparse.Namespace) -> Iterator[Row]:
    clusters, count = Clusters(), options.vectors
    queries = clusters.queries()[:QUERIES]
    truth = nearest(clusters, count, queries)
    sample = clusters.draw(20_000, seed=2**42)
    for kind, bits in (("rabitq", 512), ("rabitq", 2048), ("pq", 512)):
        code = CODES[kind].fitted.fit(sample, bits=bits)
        began = time.process_time()
        codes = np.concatenate([code.encode(rows) for _, rows in clusters.chunks(count)])
        drawing = time.process_time()
        for _ in clusters.chunks(count):
            pass
        building = (drawing - began) - (time.process_time() - drawing)
        began = time.process_time()
        found = np.concatenate([code.search(query[None], codes, 10 * K)[0] for query in queries])
        spent = time.process_time() - began
        yield _shown(
            {
                "index": f"{kind}, {bits} bits",
                "vectors": count,
                "bytes": codes.nbytes / count,
                "build_core_seconds": max(building, 0.0),
                "query_core_ms": 1e3 * spent / len(queries),
                "recall": recall(found[:, :K], truth),
                "recall_among": recall_among(found, truth),
            }
        )
    yield _shown(_exact(clusters, count, queries))
    if count <= options.graph:
        yield _shown(_graph(clusters, count, queries, truth))


def recall_among(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """The share of the true best K that are among all that were found, and so come first once compared exactly."""
    return float(np.mean([np.isin(best, row).mean() for best, row in zip(truth, found, strict=True)]))


def _exact(clusters: Clusters, count: int, queries: NDArray[np.float32]) -> Row:
    """Every vector compared, in blocks: the processor time of the products alone."""
    spent = 0.0
    for _, rows in clusters.chunks(count):
        began = time.process_time()
        for query in queries:
            _ = rows @ query
        spent += time.process_time() - began
    return {
        "index": "exact, half precision",
        "vectors": count,
        "bytes": 2 * queries.shape[1],
        "build_core_seconds": 0.0,
        "query_core_ms": 1e3 * spent / len(queries),
        "recall": 1.0,
        "recall_among": 1.0,
    }


def _graph(clusters: Clusters, count: int, queries: NDArray[np.float32], truth: NDArray[np.int64]) -> Row:
    """The graph of a library, built over its store."""
    with tempfile.TemporaryDirectory() as place, SqliteStore.create(Path(place) / "store.sqlite", {}) as store:
        fill(store, clusters, count)
        index = open_index(Path(place), store)
        began = time.process_time()
        index.snapshot()
        building = time.process_time() - began
        size = sum(file.stat().st_size for file in Path(place).glob("index-*"))
        index.search(queries[:1], K)
        began = time.process_time()
        found = np.concatenate([index.search(query[None], K).ids - 1 for query in queries])
        return {
            "index": "HNSW, half precision",
            "vectors": count,
            "bytes": size / count,
            "build_core_seconds": building,
            "query_core_ms": 1e3 * (time.process_time() - began) / len(queries),
            "recall": recall(found, truth),
            "recall_among": recall(found, truth),
        }


# Real runs of a queue


def measure_queue(options: argparse.Namespace) -> Iterator[Row]:
    from queue_run import Run, execute

    files = [found.path for found in find_images(kind_of_files("500 pixels", STORED).parent)][: options.images]
    runs = [
        Run("one process", 1),
        Run("two processes", 2),
        Run("three processes", 3),
        Run("two processes, one is stopped half of the time", 2, slow=1),
        Run("three processes, one is killed after a third", 3, kill_after=1 / 3),
        Run("two processes, an image that kills its process", 2, poison=True),
    ]
    for each in runs:
        real = execute(each, files)
        machines = Machines(
            count=each.workers,
            image_seconds=real.image_seconds,
            image_deviation=real.image_deviation,
            start_seconds=real.start_seconds,
            factors=real.factors,
        )
        job = Job(len(files), batch=BATCH, lease_seconds=real.lease_seconds, poison=int(each.poison))
        made = [simulate(job, machines, seed=seed, kill_at=real.killed_at) for seed in range(20)]
        yield _shown(
            {
                "run": each.name,
                "images": len(files),
                "real_seconds": real.seconds,
                "simulated_seconds": float(np.median([one.seconds for one in made])),
                "simulated_low": float(np.min([one.seconds for one in made])),
                "simulated_high": float(np.max([one.seconds for one in made])),
                "real_twice": real.twice,
                "simulated_twice": float(np.median([one.twice for one in made])),
                "real_skipped": real.skipped,
                "simulated_skipped": made[0].skipped,
            }
        )


def _shown(row: Row) -> Row:
    print(json.dumps(row), flush=True)
    return row


MEASURES: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "describe": measure_describing,
    "store": measure_storing,
    "commit": measure_committing,
    "search": measure_searching,
    "queue": measure_queue,
}


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--vectors", type=int, default=100_000, help="vectors to search (default: 100,000)")
    parser.add_argument("--graph", type=int, default=100_000, help="most vectors of a graph (default: 100,000)")
    parser.add_argument("--images", type=int, default=240, help="images of the queue (default: 240)")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--work", choices=("index", "decode"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        print(json.dumps(work(options.work, options.recipes[0], options.folder)))
        sys.exit(0)
    return options


if __name__ == "__main__":
    sys.exit(main())
