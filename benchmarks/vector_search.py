"""Synthetic vectors in a store, and timed searches with and without filters, for the benchmarks of servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred.index import Index
from kindred.store import Entry, Filter, Store

__all__ = ["SHARES", "K", "Rows", "load", "path_of", "rows_around", "searches", "synthetic", "timed"]

BATCH = 1000
SHARES = {"all": 1.0, "50 %": 0.5, "5 %": 0.05, "0.5 %": 0.005, "0.01 %": 0.0001}
K = 10
Rows = NDArray[np.float32]


def synthetic(vectors: int, queries: int, dimension: int) -> tuple[Rows, Rows, dict[str, NDArray[np.bool_]]]:
    """Return vectors around some centres, as descriptors of photographs are, queries, and which each filter keeps."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((max(10, vectors // 200), dimension)).astype(np.float32)
    rows, wanted = (rows_around(random, centres, count) for count in (vectors, queries))
    return rows, wanted, {name: random.random(vectors) < share for name, share in SHARES.items()}


def rows_around(random: np.random.Generator, centres: Rows, count: int) -> Rows:
    width = centres.shape[1]
    rows = centres[random.integers(0, len(centres), count)] + 0.7 * random.standard_normal((count, width))
    unit: Rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def path_of(number: int) -> Path:
    return Path(f"/photos/{number // 1000}/{number}.jpg")


def load(store: Store, rows: Rows, keeps: dict[str, NDArray[np.bool_]]) -> None:
    began = time.monotonic()
    for start in range(0, len(rows), BATCH):
        part = range(start, min(start + BATCH, len(rows)))
        store.put([Entry(path_of(number), 1, 1, vectors=rows[number : number + 1]) for number in part])
    seconds = time.monotonic() - began
    pace = f"{len(rows) / seconds:,.0f} a second"
    print(f"{len(rows):,} vectors of {rows.shape[1]} components stored in {seconds:.0f} s, {pace}")
    for name, keep in keeps.items():
        if name != "all":
            store.tag([path_of(number) for number in np.flatnonzero(keep).tolist()], name)


def searches(
    title: str, index: Index, queries: Rows, rows: Rows, keeps: dict[str, NDArray[np.bool_]], clients: Sequence[int]
) -> None:
    print(f"\n{title}\n{'filter':>8} {'clients':>8} {'p50 ms':>8} {'p99 ms':>8} {'recall@10':>10} {'results':>8}")
    for name, keep in keeps.items():
        where = None if name == "all" else Filter(tags=(name,))
        for count in clients:
            times, found = timed(index, queries, where, count)
            p50, p99 = np.percentile(1000 * np.array(times), [50, 99])
            recall = np.mean([_recall(ids, query, rows, keep) for ids, query in zip(found, queries, strict=True)])
            least = min(len(ids) for ids in found)
            print(f"{name:>8} {count:>8} {p50:>8.1f} {p99:>8.1f} {recall:>10.3f} {least:>8}")


def timed(
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
