"""A library with its index in Milvus: build rate, searches with and without filters, and what our layer adds.

    python benchmarks/milvus.py --vectors 100000

Starts Milvus Lite on loopback; `python scripts/real_milvus.py run python benchmarks/milvus.py` starts a real server.
--url measures a server of your own, in which it makes a collection and deletes it again. The store is a folder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from kindred.index import INDEXES, IndexSettings, SnapshotPolicy
from kindred.index.milvus import MilvusUrl
from kindred.index.milvus.index import MilvusIndex
from kindred.index.milvus.kinds import KINDS
from kindred.index.milvus.server import MilvusServer
from kindred.recipe import Recipe
from kindred.store import STORES
from vector_search import K, Rows, load, searches, synthetic

RECIPE = Recipe("plain", "kin")


def main() -> int:
    options = _options()
    rows, queries, keeps = synthetic(options.vectors, options.queries, options.dimension)
    with (
        _server(options.url) as url,
        tempfile.TemporaryDirectory() as folder,
        STORES["sqlite"].create(Path(folder), {}) as store,  # type: ignore[attr-defined]
    ):
        load(store, rows, keeps)
        for kind in options.kinds:
            index = INDEXES["milvus"].open(RECIPE, store, IndexSettings(None, SnapshotPolicy(), server=url))
            assert isinstance(index, MilvusIndex)
            report = index.build(kind)
            rate = f"{report.vectors / report.seconds:,.0f} a second"
            print(f"\n{kind} built in {report.seconds:.0f} s, {rate}, waiting for it included; Milvus {report.server}")
            index.sync()
            _overhead(index, queries)
            searches(f"Milvus, {kind}", index, queries, rows, keeps, options.clients)
        server = MilvusServer(url)
        for each in server.collections(f"{url.collection}_"):
            server.drop(each)
    return 0


def _overhead(index: MilvusIndex, queries: Rows) -> None:
    """Print the times of the raw client and of the index for the same queries, in turn, by one client."""
    record, server = index._state.record, index._server
    assert record is not None
    client = server._client(10)
    raw, ours = list[float](), list[float]()
    parameters = {"metric_type": "IP", "params": dict(KINDS[record.kind].searching(K))}
    for query in queries:
        began = time.monotonic()
        client.search(
            record.collection, data=[query], limit=K, search_params=parameters, consistency_level="Bounded", timeout=10
        )
        raw.append(time.monotonic() - began)
        began = time.monotonic()
        index.search(query[None], K)
        ours.append(time.monotonic() - began)
    for name, times in (("raw client", raw), ("our layer", ours)):
        p50, p99 = np.percentile(1000 * np.array(times), [50, 99])
        print(f"{name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")


@contextmanager
def _server(address: str | None) -> Iterator[MilvusUrl]:
    if address is not None:
        yield MilvusUrl.parse(address)
        return
    from milvus_server import milvus_process

    server = milvus_process()
    try:
        yield server.url("benchmark", timeout=600)
    finally:
        server.remove()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--kinds", nargs="+", default=["hnsw"], choices=[*KINDS])
    parser.add_argument("--url", help="a server of your own, such as milvus://HOST:PORT/benchmark")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
