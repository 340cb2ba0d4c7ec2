"""Triplets of a batch, against loops over all of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kindred.training.mining import relation_of
from kindred.training.mining.in_batch import TRIPLETS, find_triplets

Found = set[tuple[int, int, int]]
MARGIN = 0.3


def listed(triplets: tuple[Tensor, Tensor, Tensor]) -> list[tuple[int, int, int]]:
    assert all(each.dtype == torch.int64 for each in triplets)
    return [tuple(each) for each in torch.stack(triplets, dim=1).tolist()]


def every(relation: list[list[int]]) -> Found:
    return {
        (a, p, n)
        for a, row in enumerate(relation)
        for p, same in enumerate(row)
        for n, other in enumerate(row)
        if same == 1 and other == -1
    }


def slow_hardest(d: list[list[float]], relation: list[list[int]]) -> Found:
    found = set()
    for a in range(len(d)):
        own = [(p, n) for anchor, p, n in every(relation) if anchor == a]
        if own:
            found.add(
                (a, max((p for p, _ in own), key=lambda p: d[a][p]), min((n for _, n in own), key=lambda n: d[a][n]))
            )
    return found


def slow_semi_hard(d: list[list[float]], relation: list[list[int]]) -> Found:
    found = set()
    for a, p, _ in every(relation):
        between = [n for b, q, n in every(relation) if (b, q) == (a, p) and d[a][p] < d[a][n] < d[a][p] + MARGIN]
        if between:
            found.add((a, p, min(between, key=lambda n: d[a][n])))
    return found


ORACLES = {"all": lambda _d, relation: every(relation), "hardest": slow_hardest, "semi_hard": slow_semi_hard}


@pytest.mark.parametrize("name", TRIPLETS)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(0, 7))
@settings(max_examples=30, deadline=None)
def test_triplets_are_those_of_the_loops(name: str, seed: int, rows: int, columns: int) -> None:
    drawn = torch.Generator().manual_seed(seed)
    distances = torch.rand(rows, columns, generator=drawn, dtype=torch.float64)
    relation = torch.randint(-1, 2, (rows, columns), generator=drawn, dtype=torch.int8)
    found = listed(find_triplets(distances, relation, name, margin=MARGIN))
    assert len(found) == len(set(found))
    assert set(found) == ORACLES[name](distances.tolist(), relation.tolist())


def test_triplets_by_hand() -> None:
    relation = relation_of(torch.tensor([0, 0, 0, 1, 1]))[:1]
    distances = torch.tensor([[0.0, 0.2, 0.5, 0.4, 0.6]])
    assert listed(find_triplets(distances, relation, "hardest", margin=MARGIN)) == [(0, 2, 3)]
    assert listed(find_triplets(distances, relation, "semi_hard", margin=MARGIN)) == [(0, 1, 3), (0, 2, 4)]
    assert listed(find_triplets(distances, relation, "semi_hard", margin=0.15)) == [(0, 2, 4)]
    assert listed(find_triplets(distances, relation, "all", margin=MARGIN)) == [
        (0, 1, 3),
        (0, 1, 4),
        (0, 2, 3),
        (0, 2, 4),
    ]


def test_among_equal_distances_the_first_is_taken() -> None:
    relation = torch.tensor([[1, 1, -1, -1]], dtype=torch.int8)
    assert listed(find_triplets(torch.ones(1, 4), relation, "hardest", margin=MARGIN)) == [(0, 0, 2)]
