"""Search of vectors within PostgreSQL, by pgvector: exact, or by its graph (HNSW) over float16.

The statements return candidates with their vectors; the index scores them by these. A filter is part of the statement.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kindred.store.cells import Cells
from kindred.store.postgres.conditions import conditions
from kindred.store.postgres.connections import TimedConnection
from kindred.store.postgres.database import Database, fetch
from kindred.store.postgres.failures import REMEDY
from kindred.store.postgres.vectors import DATA, vector_batch
from kindred.store.postgres.writing import WIDEST
from kindred.store.protocol import VectorBatch
from kindred.store.records import Filter

__all__ = ["GRAPH_WIDEST", "VectorSearch", "build_memory_mb"]

GRAPH_WIDEST = 4000
"""Components of the longest vector in a graph over float16."""
BUILD_SECONDS = 7 * 86_400
MOST_MEMORY_MB = 2048
"""Memory that the server may use to build a graph, unless its `maintenance_work_mem` is larger. A larger graph is built
more slowly: this is enough for a million vectors of 512 components."""
GRAPH_BYTES = 800
"""Memory for each vector in a graph that is built, beside its components."""
BEAM, MOST_BEAM = 256, 1000
"""hnsw.ef_search: as in `HNSWSettings`, and the largest."""


class Operator(NamedTuple):
    """How pgvector compares: its operator, the distance of a row, and the operator class of a graph, if there is one.

    The distance is an expression that no graph matches, so that it is computed for every row.
    """

    sign: str
    distance: str
    graph: str | None


OPERATORS: dict[str, Operator] = {
    # The cosine of a zero vector is NaN here, and 0 in Kindred.
    "cosine": Operator("<=>", "coalesce(nullif(v.data <=> %s, 'NaN'), 1)", "halfvec_cosine_ops"),
    "dot": Operator("<#>", "(v.data <#> %s) + 0", "halfvec_ip_ops"),
    "euclidean": Operator("<->", "(v.data <-> %s) + 0", "halfvec_l2_ops"),
    "l1": Operator("<+>", "(v.data <+> %s) + 0", None),
}
"""By the names of `kindred.similarity.SIMILARITIES`."""


class VectorSearch:
    """Search of the vectors of one library. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def serves(self, similarity: str, dimension: int) -> bool:
        """Return whether the server can compare vectors of `dimension` components in this way."""
        return similarity in OPERATORS and dimension <= WIDEST

    def can_have_graph(self, similarity: str, dimension: int) -> bool:
        """Return whether there can be a graph of these vectors."""
        return dimension <= GRAPH_WIDEST and similarity in OPERATORS and OPERATORS[similarity].graph is not None

    def has_graph(self, similarity: str) -> bool:
        """Return whether there is a complete graph."""
        return self._database.read(lambda connection: _is_complete(connection, _name(similarity)))

    def count(self, where: Filter | None, limit: int) -> int:
        """Count the vectors of images that match `where`, up to `limit`."""
        source, values = _source(where)
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT %s) AS counted"
        return int(self._database.rows(sql, (*values, limit))[0][0])

    def nearest(self, query: NDArray[np.float32], k: int, *, similarity: str, where: Filter | None) -> VectorBatch:
        """Return the ids and rows of the `k` nearest vectors, comparing all that match `where`."""
        source, values = _source(where)
        distance = OPERATORS[similarity].distance
        sql = f"SELECT v.id, {DATA} FROM {source} ORDER BY {distance}, v.id LIMIT %s"
        return self._batch(self._database.rows(sql, (*values, query, k)), len(query))

    def nearest_by_graph(
        self, query: NDArray[np.float32], k: int, *, similarity: str, where: Filter | None, scanned: int
    ) -> VectorBatch:
        """Return the ids and rows of about the `k` nearest vectors that match `where`, by the graph.

        scanned: at most about so many vectors of the graph are looked at; then there may be fewer than `k`.
        """
        condition, values = conditions(Filter() if where is None else where)
        # A subquery for each row that the graph gives: as a join, all images that match would be read first.
        source = "vectors v"
        if condition != "true":
            source += f" WHERE (SELECT true FROM images i WHERE i.id = v.image_id AND {condition})"
        kind = f"halfvec({len(query)})"
        sql = f"""
            SELECT v.id, {DATA} FROM {source}
            ORDER BY v.data::{kind} {OPERATORS[similarity].sign} %s::{kind} LIMIT %s
        """
        # Only the graph gives rows in order; the other plans, which the planner may take for cheaper, read all of them.
        settings = {
            "hnsw.ef_search": max(BEAM, min(2 * k, MOST_BEAM)),
            "hnsw.iterative_scan": "relaxed_order",
            "hnsw.max_scan_tuples": scanned,
            "hnsw.scan_mem_multiplier": 8,
            **dict.fromkeys(("enable_seqscan", "enable_sort", "enable_hashjoin", "enable_mergejoin"), "off"),
        }

        def work(connection: TimedConnection) -> list[tuple[Any, ...]]:
            with connection.transaction(), connection.pipeline():
                names = ", ".join("set_config(%s, %s, true)" for _ in settings)
                pairs = [text for key, value in settings.items() for text in (key, str(value))]
                connection.execute(f"SELECT {names}", pairs)
                cursor = connection.cursor(binary=True)
                cursor.execute(sql, (*values, query, k))
                return cursor.fetchall()

        return self._batch(self._database.read(work), len(query))

    def _batch(self, rows: list[tuple[Any, ...]], dimension: int) -> VectorBatch:
        return vector_batch(Cells(self._database.url, REMEDY), rows, dimension)

    def build_graph(self, similarity: str, dimension: int) -> bool:
        """Build the graph of all vectors, while they are read and changed; return whether it is complete.

        False if another process builds it now.
        """
        name, graph = _name(similarity), OPERATORS[similarity].graph
        kind = f"halfvec({dimension})"
        build = f"CREATE INDEX CONCURRENTLY {name} ON vectors USING hnsw ((data::{kind}) {graph})"

        def work(connection: TimedConnection) -> bool:
            if not fetch(connection, "SELECT pg_try_advisory_lock(hashtext(current_schema()))")[0][0]:
                return False
            try:
                if not _is_complete(connection, name):
                    fetch(connection, f"DROP INDEX IF EXISTS {name}")  # one whose building was interrupted
                    fetch(connection, "SELECT set_config('statement_timeout', '0', false)")
                    fetch(connection, "SELECT set_config('lock_timeout', '0', false)")
                    fetch(
                        connection, "SELECT set_config('maintenance_work_mem', %s, false)", (self._memory(dimension),)
                    )
                    connection.execute(build)
                    connection.execute("ANALYZE images, vectors, tags, metadata")
            finally:
                connection.close()  # its settings, and the lock, end with it
            return True

        return self._database.read(work, patience=0, seconds=BUILD_SECONDS)

    def _memory(self, dimension: int) -> str:
        sql = "SELECT vectors, pg_size_bytes(current_setting('maintenance_work_mem')) >> 20 FROM state"
        vectors, allowed = self._database.rows(sql)[0]
        return f"{build_memory_mb(vectors, dimension, allowed=allowed)}MB"


def build_memory_mb(vectors: int, dimension: int, *, allowed: int) -> int:
    """Return the memory in MB in which the server is to build a graph; `allowed`: by its own settings."""
    needed = vectors * (2 * dimension + GRAPH_BYTES) >> 20
    return max(64, min(needed, MOST_MEMORY_MB), allowed)


def _name(similarity: str) -> str:
    return f"vectors_hnsw_{similarity}"


def _is_complete(connection: TimedConnection, name: str) -> bool:
    sql = "SELECT indisvalid AND indisready FROM pg_index WHERE indexrelid = to_regclass(%s)"
    found = fetch(connection, sql, (name,))
    return bool(found and found[0][0])


def _source(where: Filter | None) -> tuple[str, list[Any]]:
    """Return the tables and the condition of the vectors v that match a filter, and the values it binds."""
    condition, values = conditions(Filter() if where is None else where)
    if condition == "true":
        return "vectors v", []
    return f"vectors v JOIN images i ON i.id = v.image_id WHERE {condition}", list(values)
