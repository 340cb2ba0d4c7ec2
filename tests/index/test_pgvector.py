"""Search by PostgreSQL: k answers under every filter, exact answers for wide vectors, no wait for a graph."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.index import INDEXES, Index, IndexSettings, SnapshotPolicy, choose_index
from kindred.recipe import Recipe
from kindred.similarity import SIMILARITIES
from kindred.store import Entry, Filter, Place, Store

pytest.importorskip("psycopg")
from kindred.index import pgvector
from kindred.store.postgres.store import PostgresStore

COUNT, D = 1600, 24
POLICY = SnapshotPolicy(exact_below=1000)
Rows = NDArray[np.float32]


@pytest.fixture
def store(place_for: Callable[[str], Place]) -> Iterator[PostgresStore]:
    place: Any = place_for("postgres")
    with PostgresStore.create(place, {}) as made:
        yield made


def clustered(count: int, width: int, seed: int = 0) -> Rows:
    """Unit rows around some centres, as descriptors of photographs are."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((40, width))
    rows = centres[random.integers(0, 40, count)] + 0.6 * random.standard_normal((count, width))
    found: Rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


def path_of(number: int) -> Path:
    return Path(f"/p/{number % 7}/{number}.jpg")


def fill(store: Store, rows: Rows) -> None:
    for start in range(0, len(rows), 1000):
        part = range(start, min(start + 1000, len(rows)))
        store.put(
            [Entry(Path(f"/p/{number % 7}/{number}.jpg"), 1, 1, vectors=rows[number : number + 1]) for number in part]
        )


def opened(store: Store, *, similarity: str = "cosine", policy: SnapshotPolicy = POLICY) -> Index:
    recipe = Recipe("plain", "kin", similarity=similarity)
    assert choose_index(recipe, source=store) == "pgvector"
    return INDEXES["pgvector"].open(recipe, store, IndexSettings(None, policy))


def truth(
    rows: Rows, query: Rows, k: int, similarity: str = "cosine", keep: NDArray[np.bool_] | None = None
) -> list[int]:
    scores = SIMILARITIES[similarity](query[None], rows)[0]
    if keep is not None:
        scores = np.where(keep, scores, -np.inf)
    order = np.lexsort((np.arange(len(rows)), -scores))[:k]
    return [int(number) + 1 for number in order if np.isfinite(scores[number])]


def test_every_filter_gives_k_results_by_the_graph(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """pgvector alone returned 0 of 10 for a filter that keeps 0.5 %; here the graph is never left for a scan."""
    rows = clustered(COUNT, D)
    fill(store, rows)
    index = opened(store)
    index.renew()
    assert index.approximate
    monkeypatch.setattr(pgvector, "FEW_ROWS", 0)
    monkeypatch.setattr(pgvector, "FIRST_SCAN", 2000)
    shares = {"half": 0.5, "some": 0.05, "few": 0.005, "two": 2 / COUNT}
    kept = {}
    for tag, share in shares.items():
        numbers = np.random.default_rng(5).permutation(COUNT)[: round(share * COUNT)]
        store.tag([path_of(number) for number in numbers.tolist()], tag)
        kept[tag] = np.isin(np.arange(COUNT), numbers)
    for tag, keep in kept.items():
        right = total = 0
        for query in clustered(10, D, seed=9):
            found = index.search(query[None], 10, where=Filter(tags=(tag,))).ids[0]
            expected = truth(rows, query, 10, keep=keep)
            assert len(found[found >= 0]) == len(expected) == min(10, keep.sum())
            assert keep[found[found >= 0] - 1].all()
            right, total = right + len(set(expected) & set(found.tolist())), total + len(expected)
        print("RECALL", tag, right / total)


def test_filters_that_keep_few_are_exact(store: PostgresStore) -> None:
    rows = clustered(COUNT, D)
    fill(store, rows)
    index = opened(store)
    index.renew()
    keep = np.arange(COUNT) % 7 == 3
    for query in clustered(5, D, seed=2):
        found = index.search(query[None], 12, where=Filter(folder=Path("/p/3")))
        assert found.ids[0].tolist() == truth(rows, query, 12, keep=keep)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean", "l1"])
@pytest.mark.parametrize("graph", [False, True])
def test_every_similarity(store: PostgresStore, similarity: str, graph: bool) -> None:
    rows = clustered(1200, D) * np.random.default_rng(0).uniform(0.5, 2, (1200, 1)).astype(np.float32)
    rows[5] = 0
    fill(store, rows)
    index = opened(store, similarity=similarity, policy=SnapshotPolicy(exact_below=1000 if graph else 10**6))
    index.renew()
    assert index.approximate == (graph and similarity != "l1")
    for query in clustered(8, D, seed=3):
        ranking = index.search(query[None], 10)
        expected = truth(rows, query, 10, similarity)
        assert len(set(expected) & set(ranking.ids[0].tolist())) >= (9 if graph else 10)
        own = SIMILARITIES[similarity](query[None], rows)[0]
        np.testing.assert_allclose(ranking.scores[0], own[ranking.ids[0] - 1], atol=1e-6)
        if not index.approximate:
            assert ranking.ids[0].tolist() == expected


def test_all_rows_in_order_of_id_where_scores_are_equal(store: PostgresStore) -> None:
    rows = np.repeat(clustered(3, D), 20, axis=0)
    rows[7] = 0
    fill(store, rows)
    found = opened(store).search(rows[:1], 1000)
    assert found.ids.shape == (1, 60)
    assert found.ids[0].tolist() == truth(rows, rows[0], 60)


@pytest.mark.parametrize(("width", "graph"), [(3000, True), (4100, False)])
def test_wide_vectors(store: PostgresStore, width: int, graph: bool, caplog: pytest.LogCaptureFixture) -> None:
    rows = clustered(60, width)
    fill(store, rows)
    index = opened(store, policy=SnapshotPolicy(exact_below=50))
    with caplog.at_level(logging.WARNING):
        index.renew()
    assert index.approximate == graph
    assert ("the server has no graph for 4100 components" in caplog.text) is not graph
    found = index.search(rows[7:8] + 0.01, 5).ids[0].tolist()
    assert found == truth(rows, rows[7] + 0.01, 5)


def test_vectors_wider_than_the_type_are_searched_in_memory(store: PostgresStore) -> None:
    rows = clustered(5, 16_500)
    fill(store, rows)
    recipe = Recipe("plain", "kin")
    assert choose_index(recipe, source=store) == "hnsw"
    index = INDEXES["hnsw"].open(recipe, store, IndexSettings(None, POLICY))
    assert index.search(rows[2:3], 1).ids.tolist() == [[3]]


def test_other_similarities_are_computed_in_memory(store: PostgresStore) -> None:
    store.put([Entry(Path("/a.jpg"), 1, 1, vectors=np.ones((1, 3), np.float32))])
    assert choose_index(Recipe("plain", "kin", similarity="chi_square"), source=store) == "exact"


def test_many_queries_are_searched_in_memory_with_the_same_results(store: PostgresStore) -> None:
    rows = clustered(400, D)
    fill(store, rows)
    index = opened(store)
    queries = clustered(40, D, seed=8)
    together = index.search(queries, 7)
    for number, query in enumerate(queries):
        np.testing.assert_array_equal(index.search(query[None], 7).ids[0], together.ids[number])


def test_an_interrupted_graph_is_built_again(store: PostgresStore) -> None:
    fill(store, clustered(1200, D))
    index = opened(store)
    kind = f"halfvec({D})"
    name = "vectors_hnsw_cosine"
    # What a CREATE INDEX CONCURRENTLY leaves that was ended: an index that is not valid.
    store._database.rows(f"CREATE INDEX {name} ON vectors USING hnsw ((data::{kind}) halfvec_cosine_ops)")
    store._database.rows("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(%s)", (name,))
    assert not index.approximate
    opened(store).renew()
    assert opened(store).approximate


def test_what_was_removed_is_not_found_and_what_was_added_is(store: PostgresStore) -> None:
    rows = clustered(1500, D)
    fill(store, rows)
    index = opened(store)
    index.renew()
    query = rows[:1]
    first = index.search(query, 10).ids[0]
    gone = [store.rows([int(number)])[int(number)].path for number in first[:9]]
    store.forget(gone)
    again = index.search(query, 10).ids[0]
    assert not set(first[:9].tolist()) & set(again.tolist())
    store.put([Entry(Path("/new.jpg"), 1, 1, vectors=query)])
    assert index.search(query, 1).ids.tolist() == [[1501]]
    assert len(index) == 1492
