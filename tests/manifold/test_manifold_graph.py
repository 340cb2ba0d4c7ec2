from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.manifold.graph import connect_components, mutual_graph, nearest, nearest_others, symmetric_graph

pytest.importorskip("scipy", reason="maps need the extra maps")


def rows(count: int, dimension: int = 3, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)


def distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5)


def neighbours_by_hand(given: NDArray[np.float32], k: int) -> list[list[int]]:
    others = [[j for j in range(len(given)) if j != i] for i in range(len(given))]
    return [sorted(others[i], key=lambda j: distance(given[i], given[j]))[:k] for i in range(len(given))]


def links(graph: Any) -> dict[tuple[int, int], float]:
    found = graph.tocoo()
    return {(int(i), int(j)): float(d) for i, j, d in zip(found.row, found.col, found.data, strict=True)}


def test_nearest_equals_a_literal_search() -> None:
    given, queries = rows(30), rows(5, seed=1)
    lengths, places = nearest(given, queries, 4)
    for query, found, length in zip(queries, places, lengths, strict=True):
        expected = sorted(range(30), key=lambda j: distance(query, given[j]))[:4]
        assert found.tolist() == expected
        np.testing.assert_allclose(length, [distance(query, given[j]) for j in expected], rtol=1e-4)


def test_nearest_others_exclude_the_row_itself() -> None:
    given = rows(30)
    _, places = nearest_others(given, 4)
    assert places.tolist() == neighbours_by_hand(given, 4)


def test_equal_rows_are_neighbours_but_not_of_themselves() -> None:
    given = np.repeat(rows(2), 6, axis=0)
    lengths, places = nearest_others(given, 3)
    assert not (places == np.arange(12)[:, None]).any()
    assert (places // 6 == np.arange(12)[:, None] // 6).all()
    np.testing.assert_allclose(lengths, 0, atol=1e-3)
    assert len(links(symmetric_graph(lengths, places))) >= 36  # links of no length are links


def test_symmetric_and_mutual_links() -> None:
    given = rows(30)
    near = neighbours_by_hand(given, 4)
    found = nearest_others(given, 4)
    either = {(i, j) for i in range(30) for j in range(30) if j in near[i] or i in near[j]}
    both = {(i, j) for i in range(30) for j in range(30) if j in near[i] and i in near[j]}
    first = {(i, j) for i in range(30) for j in range(30) if j in near[i][:1] or i in near[j][:1]}
    assert set(links(symmetric_graph(*found))) == either
    assert set(links(mutual_graph(*found))) == both
    assert set(links(mutual_graph(*found, always=1))) == both | first
    for (i, j), length in links(symmetric_graph(*found)).items():
        assert length == pytest.approx(distance(given[i], given[j]), rel=1e-4)


def test_components_are_joined_by_the_shortest_links() -> None:
    # Four clusters far apart on a line, of 6, 3, 3 and 3 rows.
    centres = np.repeat([0.0, 100.0, 130.0, 400.0], [6, 3, 3, 3])
    given = rows(15, seed=2)
    given[:, 0] += centres.astype(np.float32)
    graph = symmetric_graph(*nearest_others(given, 2))
    before, joined = links(graph), links(connect_components(graph, given))
    bridges = {pair for pair in joined if pair not in before}
    parts = [range(6), range(6, 9), range(9, 12), range(12, 15)]
    expected = set()
    for one, other in ((0, 1), (1, 2), (2, 3)):
        pairs = [(i, j) for i in parts[one] for j in parts[other]]
        i, j = min(pairs, key=lambda pair: distance(given[pair[0]], given[pair[1]]))
        expected |= {(i, j), (j, i)}
    assert bridges == expected
    assert {pair: joined[pair] for pair in before} == before


def test_a_connected_graph_is_unchanged() -> None:
    given = rows(20)
    graph = symmetric_graph(*nearest_others(given, 19))
    assert len(links(graph)) == 2 * len(list(combinations(range(20), 2)))
    assert connect_components(graph, given) is graph
