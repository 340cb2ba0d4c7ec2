from __future__ import annotations

import numpy as np
import pytest

from kindred import blocks
from kindred.arrays import Vectors
from kindred.errors import UsageError
from kindred.rerank import ArrayGallery
from kindred.rerank import gallery as module


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_ROWS", 17)
    monkeypatch.setattr(blocks, "BLOCK_QUERIES", 3)


def test_searches_as_a_full_sort_does(rows: Vectors, queries: Vectors) -> None:
    scores = queries.astype(np.float64) @ rows.T.astype(np.float64)
    found = ArrayGallery(rows).search(queries, 20)
    np.testing.assert_array_equal(found.ids, np.argsort(-scores, axis=1)[:, :20])
    np.testing.assert_allclose(found.scores, -np.sort(-scores, axis=1)[:, :20], atol=1e-6)


def test_cosine_normalises_and_dot_does_not(rows: Vectors) -> None:
    longer = rows * np.linspace(1, 2, len(rows), dtype=np.float32)[:, None]
    np.testing.assert_allclose(ArrayGallery(longer).search(3 * rows[:1], 1).scores, 1, atol=1e-6)
    np.testing.assert_allclose(ArrayGallery(longer).fetch(np.arange(90)), rows, atol=1e-6)
    dot = ArrayGallery(longer, similarity="dot").search(rows, 1)
    np.testing.assert_allclose(dot.scores[:, 0], (rows @ longer.T).max(axis=1), atol=1e-5)


def test_equal_scores_are_ordered_by_id() -> None:
    found = ArrayGallery(np.ones((40, 2))).search([[1.0, 1.0]], 30)
    assert found.ids.tolist() == [list(range(30))]


def test_gives_no_more_results_than_rows(rows: Vectors) -> None:
    assert ArrayGallery(rows[:2]).search(rows[:1], 10**12).ids.shape == (1, 2)
    assert ArrayGallery(np.empty((0, 3))).search([[1.0, 0.0, 0.0]], 2).ids.shape == (1, 0)
    assert ArrayGallery(rows).search(np.empty((0, 16)), 2).ids.shape == (0, 2)


def test_blocks_hold_every_row_in_order(rows: Vectors) -> None:
    parts = list(ArrayGallery(rows, similarity="dot").blocks())
    np.testing.assert_array_equal(np.concatenate([ids for ids, _ in parts]), np.arange(90))
    np.testing.assert_array_equal(np.concatenate([block for _, block in parts]), rows)


def test_fetch_returns_the_given_order_and_refuses_unknown_ids(rows: Vectors) -> None:
    gallery = ArrayGallery(rows, similarity="dot")
    np.testing.assert_array_equal(gallery.fetch(np.array([5, 0, 5])), rows[[5, 0, 5]])
    with pytest.raises(UsageError, match=r"ids: got -1; expected 0 to 89"):
        gallery.fetch(np.array([3, -1]))


def test_invalid_options_are_refused(rows: Vectors) -> None:
    with pytest.raises(UsageError, match=r"similarity: got 'l1'; expected 'cosine' or 'dot'"):
        ArrayGallery(rows, similarity="l1")
    with pytest.raises(UsageError, match=r"queries: got shape \(1, 3\); expected \(Q, 16\)"):
        ArrayGallery(rows).search(np.ones((1, 3)), 1)
