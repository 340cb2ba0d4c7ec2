from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from kindred import blocks
from kindred.index import ExactIndex
from kindred.index import exact as module


def test_the_block_size_does_not_change_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).standard_normal((101, 8)).astype(np.float32)
    index = ExactIndex(8)
    index.add(np.arange(1, 102), rows)
    allowed = np.arange(1, 102, 2)
    whole = [index.search(rows, 7), index.search(rows, 7, allowed=allowed)]
    monkeypatch.setattr(module, "BLOCK_ROWS", 9)
    monkeypatch.setattr(blocks, "BLOCK_QUERIES", 4)
    for expected, found in zip(whole, [index.search(rows, 7), index.search(rows, 7, allowed=allowed)], strict=True):
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)


def test_equal_scores_are_ordered_by_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_ROWS", 4)
    index = ExactIndex(2, similarity="dot")
    index.add(np.arange(1, 11), np.ones((10, 2)))
    index.remove([2])
    assert index.search(np.ones((1, 2)), 6).ids.tolist() == [[1, 3, 4, 5, 6, 7]]


def test_removed_rows_free_their_memory() -> None:
    index = ExactIndex(4)
    index.add(np.arange(1, 1001), np.eye(4, dtype=np.float32)[np.arange(1000) % 4])
    index.remove(np.arange(1, 1001)[np.arange(1000) % 4 > 0])
    assert len(index) == len(index.live.ids) == 250
    index.add([2000], [[0.0, 1.0, 0.0, 0.0]])
    assert index.search([[0.0, 1.0, 0.0, 0.0]], 2).ids.tolist() == [[2000, 1]]
    assert index.search([[1.0, 0.0, 0.0, 0.0]], 250).ids[0].tolist() == list(range(1, 1001, 4))


def test_a_search_is_not_affected_by_concurrent_changes() -> None:
    index = ExactIndex(2, similarity="dot")
    index.add([1, 2], [[1.0, 0.0], [2.0, 0.0]])
    live, rows = index._rows.state
    index.add([3, 4, 5], np.full((3, 2), 9.0))
    index.remove([1, 2, 3])
    assert live.ids.tolist() == [1, 2]
    assert live.alive.all()
    assert rows.tolist() == [[1.0, 0.0], [2.0, 0.0]]


def test_it_does_not_import_faiss() -> None:
    code = "import sys, kindred.index.exact; sys.exit('faiss' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
