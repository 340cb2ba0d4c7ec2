"""Synthetic vectors in a store, what is right, and timed searches with and without filters, for engines.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred.index import Index
from kindred.index.protocol import Queries
from kindred.store import Entry, Filter, Store

__all__ = [
    "SHARES",
    "K",
    "Rows",
    "Truth",
    "exact_truth",
    "load",
    "path_of",
    "rows_around",
    "searches",
    "synthetic",
    "timed",
]

BATCH = 1000
TRUTH_BLOCK = 10_000
SHARES = {"all": 1.0, "50 %": 0.5, "5 %": 0.05, "0.5 %": 0.005, "0.01 %": 0.0001}
K = 10
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Truth:
    """The right results of each query for one filter: positions of images (Q, at most K), best first."""

    where: Filter | None
    images: NDArray[np.int64]


def synthetic(
    images: int, queries: int, dimension: int, *, rows: int = 1
) -> tuple[Rows, Rows, dict[str, NDArray[np.bool_]]]:
    """Return vectors around some centres, as descriptors of photographs are, queries, and which images filters keep.

    rows: of each image; those of one image follow each other.
    """
    random = np.random.default_rng(0)
    centres = random.standard_normal((max(10, images // 200), dimension)).astype(np.float32)
    found, wanted = (rows_around(random, centres, count) for count in (images * rows, queries))
    return found, wanted, {name: random.random(images) < share for name, share in SHARES.items()}


def exact_truth(
    rows: Rows, queries: Rows, keeps: dict[str, NDArray[np.bool_]], *, per_image: int = 1
) -> dict[str, Truth]:
    """Return what is found by comparing all: the images whose best row is nearest."""
    images = len(rows) // per_image
    scores = np.empty((len(queries), images), np.float32)
    for start in range(0, images, TRUTH_BLOCK):
        part = rows[start * per_image : (start + TRUTH_BLOCK) * per_image] @ queries.T
        scores[:, start : start + TRUTH_BLOCK] = part.reshape(-1, per_image, len(queries)).max(axis=1).T
    found = {}
    for name, keep in keeps.items():
        allowed = np.flatnonzero(keep)
        most = min(K, len(allowed))
        best = np.argsort(-scores[:, allowed], axis=1, kind="stable")[:, :most]
        found[name] = Truth(None if name == "all" else Filter(tags=(name,)), allowed[best])
    return found


def rows_around(random: np.random.Generator, centres: Rows, count: int) -> Rows:
    width = centres.shape[1]
    rows = centres[random.integers(0, len(centres), count)] + 0.7 * random.standard_normal((count, width))
    unit: Rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def path_of(number: int) -> Path:
    return Path(f"/photos/{number // 1000}/{number}.jpg")


def load(store: Store, rows: Rows, keeps: dict[str, NDArray[np.bool_]], *, per_image: int = 1) -> None:
    """Store the vectors, as one image for each `per_image` of them, and tag what the filters keep."""
    began, images, batch = time.monotonic(), len(rows) // per_image, max(1, BATCH // per_image)
    for start in range(0, images, batch):
        part = range(start, min(start + batch, images))
        store.put(
            [
                Entry(path_of(number), 1, 1, vectors=rows[number * per_image : (number + 1) * per_image])
                for number in part
            ]
        )
    seconds = time.monotonic() - began
    pace = f"{len(rows) / seconds:,.0f} a second"
    print(f"{len(rows):,} vectors of {rows.shape[1]} components stored in {seconds:.0f} s, {pace}", flush=True)
    for name, keep in keeps.items():
        if name != "all":
            store.tag([path_of(number) for number in np.flatnonzero(keep).tolist()], name)


def searches(
    title: str, index: Index, queries: Sequence[Queries], truth: dict[str, Truth], clients: Sequence[int]
) -> None:
    """Print times, recall and the smallest number of results, for each filter and number of clients."""
    print(f"\n{title}\n{'filter':>8} {'clients':>8} {'p50 ms':>8} {'p99 ms':>8} {'recall@10':>10} {'results':>8}")
    for name, right in truth.items():
        for count in clients:
            times, found = timed(index, queries, right.where, count)
            p50, p99 = np.percentile(1000 * np.array(times), [50, 99])
            # Ids of images and of their vectors count from 1, in the order in which they were stored.
            shares = [
                np.isin(best + 1, ids).mean() if len(best) else 1.0
                for ids, best in zip(found, right.images, strict=True)
            ]
            least = min(len(ids) for ids in found)
            print(f"{name:>8} {count:>8} {p50:>8.1f} {p99:>8.1f} {np.mean(shares):>10.3f} {least:>8}", flush=True)


def timed(
    index: Index, queries: Sequence[Queries], where: Filter | None, clients: int
) -> tuple[list[float], list[NDArray[np.int64]]]:
    times, found = [0.0] * len(queries), [np.empty(0, np.int64)] * len(queries)
    index.search(queries[0], K, where=where)
    waiting = iter(range(len(queries)))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(waiting, None)
            if number is None:
                return
            began = time.monotonic()
            ids = index.search(queries[number], K, where=where).ids[0]
            times[number] = time.monotonic() - began
            found[number] = ids[ids >= 0]

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times, found
