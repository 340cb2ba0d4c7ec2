"""Search over a server that answers badly: too few rows, rows twice, rows that are gone; the results are right."""

from __future__ import annotations

import ast
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kindred.index import ArraySource
from kindred.index.milvus import candidates
from kindred.index.milvus.candidates import MARGIN, Filtering, ServerSearch
from kindred.index.milvus.expressions import MOST_IDS, MOST_RANGES, Runs
from kindred.index.milvus.record import IndexRecord

D = 8
Rows = NDArray[np.float32]


def rows_of(count: int, seed: int = 0) -> Rows:
    found = np.random.default_rng(seed).standard_normal((count, D))
    unit: Rows = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    return unit


def selected(expression: str, count: int) -> list[int]:
    """The ids up to `count` that an expression selects; empty selects all."""
    if not expression:
        return list(range(1, count + 1))
    compiled = compile(re.sub(r"id in \[(.*?)\]", r"id in {\1}", expression), "", "eval")
    return [number for number in range(1, count + 1) if eval(compiled, {"id": number})]


class BadServer:
    """Returns the nearest rows that pass a filter, of a list with doubled, unknown and removed ids, a share of it."""

    def __init__(self, rows: Rows, share: float = 1.0) -> None:
        self.rows, self.share, self.limits = rows, share, list[int]()
        self.filters: list[str] = []

    def search(self, record: IndexRecord, queries: Rows, limit: int, expression: str) -> NDArray[np.int64]:
        self.limits.append(limit)
        self.filters.append(expression)
        places = np.array(selected(expression, len(self.rows)))
        found = np.full((len(queries), limit), -1, np.int64)
        for number, query in enumerate(queries):
            order = places[np.argsort(-(self.rows[places - 1] @ query))] if len(places) else places
            order = order[: max(1, int(self.share * len(order)))]
            answer = np.concatenate((np.repeat(order, 2), [-7, record.last_id + 1]))[:limit]
            found[number, : len(answer)] = answer
        return found


class Holed(ArraySource):
    """Rows of which some have been removed."""

    def __init__(self, rows: Rows, removed: list[int]) -> None:
        super().__init__(rows)
        self.removed = removed

    def fetch(self, vector_ids: NDArray[np.int64], /) -> tuple[NDArray[np.int64], Rows]:
        ids, rows = super().fetch(np.asarray(vector_ids))
        here = ~np.isin(ids, self.removed)
        return ids[here], rows[here]

    def vectors(self, *, after_id: int = 0, batch: int = 10) -> Any:
        for ids, rows in super().vectors(after_id=after_id, batch=batch):
            here = ~np.isin(ids, self.removed)
            yield ids[here], rows[here]


def record(last: int) -> IndexRecord:
    return IndexRecord("a_00000000_00000000", -5, "hnsw", D, "cosine", last, last, 1)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 40), st.floats(0.02, 1), st.booleans(), st.integers(0, 3))
def test_the_results_are_those_of_exact_search(seed: int, k: int, share: float, filtered: bool, few: int) -> None:
    """The server returns any share of the rows, doubled; by widening and by comparing all, k are found anyway."""
    random = np.random.default_rng(seed)
    rows, last = rows_of(80, seed % 1000), 70
    removed = random.choice(np.arange(1, 81), 20, replace=False).tolist()
    allowed = np.flatnonzero(random.random(80) < random.random()) + 1 if filtered else None
    if allowed is not None:
        allowed = np.setdiff1d(allowed, removed)
    pair = pytest.MonkeyPatch()
    with pair.context() as patch:
        patch.setattr(candidates, "FEW_ROWS", 5 * few)
        patch.setattr(candidates, "MOST_CANDIDATES", 60)
        patch.setattr(candidates, "MARGIN", 2)
        server: Any = BadServer(rows, 1.0)
        search = ServerSearch(Holed(rows, removed), server, record(last), 80)
        queries = rows_of(3, seed % 7)
        ids, scores = search.best(queries, k, allowed)
        kept = np.setdiff1d(np.arange(1, last + 1) if allowed is None else allowed[allowed <= last], removed)
        for number, query in enumerate(queries):
            own = rows[kept - 1] @ query
            order = np.argsort(-own)[:k]
            found = ids[number][ids[number] > 0]
            assert found.tolist() == kept[order].tolist()
            np.testing.assert_allclose(scores[number, : len(found)], own[order], atol=1e-6)
    # A share of the list: what is found is still right, and as many.
    server = BadServer(rows, share)
    ids, _ = ServerSearch(Holed(rows, removed), server, record(last), 80).best(rows_of(1), k, allowed)
    found = ids[0][ids[0] > 0]
    assert len(found) == len(set(found.tolist())) == min(k, len(kept))
    assert np.isin(found, kept).all()


def test_only_what_is_lacking_costs_more() -> None:
    rows = rows_of(3000)
    server: Any = BadServer(rows)
    search = ServerSearch(Holed(rows, []), server, record(3000), 3000)
    search.best(rows_of(1), 5, None)
    assert server.limits == [13]
    server.limits.clear()
    gone = (np.argsort(-(rows @ rows_of(1)[0]))[:30] + 1).tolist()
    ids, _ = ServerSearch(Holed(rows, gone), server, record(3000), 3000).best(rows_of(1), 5, None)
    assert server.limits == [13, 52, 208]
    assert (ids > 0).all()


def test_a_filter_goes_to_the_server_as_few_expressions(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(3000)
    monkeypatch.setattr(candidates, "FEW_ROWS", 10)
    cases = {
        "one run": np.arange(100, 1100),
        "few": np.arange(1, 3000, 150),
    }
    for name, allowed in cases.items():
        server: Any = BadServer(rows)
        ids, _ = ServerSearch(ArraySource(rows), server, record(3000), 3000).best(rows_of(1), 8, allowed)
        assert np.isin(ids, allowed).all(), name
        assert len(server.filters) == 1
        assert selected(server.filters[0], 3000) == allowed.tolist()


def test_a_filter_of_many_ids_is_applied_to_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    from kindred.index.milvus import expressions as module

    rows = rows_of(3000)
    monkeypatch.setattr(module, "MOST_IDS", 50)
    monkeypatch.setattr(candidates, "FEW_ROWS", 10)
    allowed = np.arange(1, 3000, 3)
    server: Any = BadServer(rows)
    ids, _ = ServerSearch(ArraySource(rows), server, record(3000), 3000).best(rows_of(1), 8, allowed)
    assert set(server.filters) == {""}
    assert ids[0].tolist() == (allowed[np.argsort(-(rows[allowed - 1] @ rows_of(1)[0]))[:8]]).tolist()
    # If the filter keeps too little for that, the expressions are searched one by one.
    monkeypatch.setattr(candidates, "MOST_CANDIDATES", 20)
    server = BadServer(rows)
    again, _ = ServerSearch(ArraySource(rows), server, record(3000), 3000).best(rows_of(1), 8, allowed)
    assert len(server.filters) == 20
    assert again.tolist() == ids.tolist()


@settings(deadline=None, max_examples=80)
@given(st.sets(st.integers(1, 300), min_size=1))
def test_expressions_select_each_id_once(ids: set[int]) -> None:
    chosen = np.array(sorted(ids))
    found = [number for each in Runs.of(chosen).expressions() for number in selected(each, 300)]
    assert sorted(found) == chosen.tolist()


@settings(deadline=None, max_examples=80)
@given(st.sets(st.integers(1, 2000), min_size=1))
def test_the_length_of_expressions_is_known_before_they_are_written(ids: set[int]) -> None:
    chosen = np.array(sorted(ids))
    written = sum(map(len, Runs.of(chosen).expressions()))
    assert Runs.of(chosen).characters() == pytest.approx(written, abs=20, rel=0.1)


def test_a_filter_that_keeps_many_scattered_ids_is_applied_to_more_results() -> None:
    total, scattered = 1_000_000, np.random.default_rng(0).permutation(1_000_000)
    half = Filtering.of(np.sort(scattered[:500_000]), wanted=100, total=total)
    assert half.expressions == [""]
    assert half.first == 300 + MARGIN
    assert half.passing(np.array([-1, int(scattered[0]), int(scattered[-1])])).tolist() == [scattered[0]]
    first_half = Filtering.of(np.arange(1, 500_001), wanted=100, total=total)
    assert len(first_half.expressions) == 1
    assert first_half.after is None
    few = Filtering.of(np.sort(scattered[:500]), wanted=100, total=total)
    assert few.after is None
    assert few.passing(np.array([-1, 7])).tolist() == [7]
    assert Filtering.of(None, wanted=100, total=total).expressions == [""]
    assert Filtering.of(np.empty(0, np.int64), wanted=100, total=total).expressions == []


def test_expressions_are_bounded() -> None:
    scattered = Runs.of(np.arange(1, 4 * MOST_IDS, 2)).expressions()
    assert len(scattered) == 2
    assert max(map(len, scattered)) < 300_000
    runs = np.concatenate([np.arange(100 * number, 100 * number + 20) for number in range(1, 2 * MOST_RANGES + 1)])
    assert [each.count(" or ") for each in Runs.of(runs).expressions()] == [MOST_RANGES - 1, MOST_RANGES - 1]
    assert Runs.of(np.arange(1, 10**6)).expressions() == ["(id >= 1 and id <= 999999)"]


def test_expressions_are_nested_little() -> None:
    """Milvus 2.3.5 refuses 49 ranges that are joined one after the other."""
    runs = [np.arange(100 * number, 100 * number + 20) for number in range(1, MOST_RANGES + 1)]
    [expression] = Runs.of(np.concatenate([np.array([1, 3, 5]), *runs])).expressions()
    assert deepest(ast.parse(re.sub(r"id in \[(.*?)\]", r"id == 1", expression), mode="eval").body) == 9


def deepest(node: ast.AST) -> int:
    """How deep the disjunctions of an expression are nested, as a server reads them, from left to right."""
    if not isinstance(node, ast.BoolOp) or isinstance(node.op, ast.And):
        return 1
    first, *rest = map(deepest, node.values)
    for each in rest:
        first = 1 + max(first, each)
    return first
