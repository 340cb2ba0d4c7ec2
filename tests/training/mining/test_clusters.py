"""Pseudo-labels: clusters of the vectors stand for classes."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from kindred.arrays import Vectors, l2_normalise
from kindred.errors import TrainingError, UsageError
from kindred.training.mining import ClassBalanced, PseudoLabels, Shuffled

GROUPS = np.repeat(np.arange(5), [20, 15, 10, 8, 1])


@pytest.fixture(autouse=True, scope="module")
def _one_thread(one_faiss_thread: None) -> None: ...


@pytest.fixture
def rows() -> Vectors:
    """Five heaps far apart, one of a single image."""
    noise = np.random.default_rng(0).standard_normal((len(GROUPS), 8))
    found: Vectors = l2_normalise((10 * np.eye(5, 8)[GROUPS] + 0.1 * noise).astype(np.float32))
    return found


@pytest.fixture
def seed(rows: Vectors) -> int:
    """A seed with which k-means finds the heaps; others split one and join two, as k-means does."""
    planner = PseudoLabels(5, partial(Shuffled, batch=10))
    return next(each for each in range(30) if planner(epoch=0, seed=each, vectors=rows).facts["left_out"] == 1)


def test_clusters_are_the_heaps_and_tiny_ones_are_left_out(rows: Vectors, seed: int) -> None:
    plan = PseudoLabels(5, partial(Shuffled, batch=10))(epoch=0, seed=seed, vectors=rows)
    assert plan.labels is not None
    assert set(plan.indices.ravel()) == set(range(53))
    pairs = set(zip(GROUPS[plan.indices.ravel()].tolist(), plan.labels.ravel().tolist(), strict=True))
    assert len(pairs) == 4
    assert len({label for _, label in pairs}) == 4
    assert all(0 <= label < 5 for _, label in pairs)
    assert plan.facts == {"clusters": 4, "largest_cluster": 20, "left_out": 1}


def test_batches_are_those_of_the_planner_within(rows: Vectors, seed: int) -> None:
    planner = PseudoLabels(5, partial(ClassBalanced, classes_per_batch=3, images_per_class=4))
    assert planner.needs_vectors
    plan = planner(epoch=0, seed=seed, vectors=rows)
    assert plan.indices.shape == (5, 12)
    for step, images in enumerate(plan.indices):
        assert np.unique(GROUPS[images], return_counts=True)[1].tolist() == [4, 4, 4]
        same = GROUPS[images][:, None] == GROUPS[images][None, :]
        expected = np.where(same, 1, -1)
        expected[images[:, None] == images[None, :]] = 0
        assert np.array_equal(plan.relation(step), expected)


def test_it_follows_from_seed_and_epoch(rows: Vectors) -> None:
    planner = PseudoLabels(8, partial(Shuffled, batch=6))
    first, again = (planner(epoch=1, seed=2, vectors=each) for each in (rows, rows.copy()))
    assert np.array_equal(first.indices, again.indices)
    assert first.labels is not None
    assert again.labels is not None
    assert np.array_equal(first.labels, again.labels)
    other = planner(epoch=2, seed=2, vectors=rows)
    assert not np.array_equal(first.indices, other.indices)


def test_images_without_a_vector_are_left_out(rows: Vectors) -> None:
    rows[[3, 40]] = 0
    plan = PseudoLabels(4, partial(Shuffled, batch=10), smallest=1)(epoch=0, seed=0, vectors=rows)
    assert set(range(54)) - set(plan.indices.ravel().tolist()) == {3, 40}
    assert plan.facts["left_out"] == 2


def test_clusters_that_cannot_be_are_refused(rows: Vectors) -> None:
    then = partial(Shuffled, batch=4)
    with pytest.raises(UsageError, match="clusters: got 1; expected at least 2"):
        PseudoLabels(1, then)
    with pytest.raises(
        TrainingError, match="clusters: got 30 with at least 2 images each for 54 images; lower it to 27"
    ):
        PseudoLabels(30, then)(epoch=0, seed=0, vectors=rows)
    with pytest.raises(UsageError, match="vectors: got none"):
        PseudoLabels(3, then)(epoch=0, seed=0)
    with pytest.raises(TrainingError, match="classes_per_batch: got 9 for"):
        PseudoLabels(5, partial(ClassBalanced, classes_per_batch=9, images_per_class=2))(epoch=0, seed=0, vectors=rows)
