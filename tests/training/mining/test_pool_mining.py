"""Hard negatives from a pool, against a walk down each query's ranking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindred.arrays import Vectors, l2_normalise
from kindred.errors import TrainingError, UsageError
from kindred.training.mining import HardNegatives

Numbers = np.ndarray[tuple[int], np.dtype[np.int64]]


def some_images(count: int, classes: int, seed: int) -> tuple[Vectors, Numbers]:
    rng = np.random.default_rng(seed)
    rows: Vectors = l2_normalise(rng.standard_normal((count, 6)).astype(np.float32))
    return rows, rng.integers(-1, classes, count)


def walk(rows: Vectors, labels: Numbers, query: int, count: int) -> list[int]:
    """Go down the ranking of all images and take those of classes that were not met yet."""
    met, taken = {int(labels[query]), -1}, []
    for image in np.argsort(-(rows @ rows[query]), kind="stable").tolist():
        if int(labels[image]) not in met:
            met.add(int(labels[image]))
            taken.append(image)
    return taken[:count]


@given(st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_negatives_are_the_most_similar_of_other_classes_one_of_each(seed: int) -> None:
    rows, labels = some_images(60, 8, seed)
    plan = HardNegatives(labels, 3, queries=20, negatives=4)(epoch=1, seed=seed, vectors=rows)
    assert plan.indices.shape == (7, 18)
    tuples = plan.indices.reshape(-1, 6)[:20]
    assert len(np.unique(tuples[:, 0])) == 20
    for query, positive, *negatives in tuples.tolist():
        assert labels[query] == labels[positive] >= 0
        assert query != positive
        assert negatives == walk(rows, labels, query, 4)
        assert len(set(labels[negatives].tolist())) == 4


def test_the_pool_is_all_that_is_looked_at() -> None:
    rows, labels = some_images(200, 5, 0)
    plan = HardNegatives(labels, 1, queries=50, pool=30, negatives=2)(epoch=0, seed=0, vectors=rows)
    negatives = plan.indices.reshape(-1, 4)[:, 2:]
    assert len(np.unique(negatives)) <= 30
    assert plan.facts["pool"] == 30
    other = HardNegatives(labels, 1, queries=50, pool=30, negatives=2)(epoch=1, seed=0, vectors=rows)
    assert not np.array_equal(np.unique(negatives), np.unique(other.indices.reshape(-1, 4)[:, 2:]))


def test_it_follows_from_seed_and_epoch_and_vectors() -> None:
    rows, labels = some_images(80, 6, 3)
    planner = HardNegatives(labels, 2, queries=10, negatives=3)
    assert planner.needs_vectors
    first = planner(epoch=2, seed=4, vectors=rows)
    assert np.array_equal(first.indices, planner(epoch=2, seed=4, vectors=rows.copy()).indices)
    assert not np.array_equal(first.indices, planner(epoch=3, seed=4, vectors=rows).indices)
    assert not np.array_equal(first.indices, planner(epoch=2, seed=5, vectors=rows).indices)
    assert not np.array_equal(first.indices, planner(epoch=2, seed=4, vectors=rows[::-1].copy()).indices)


def test_all_positives_of_a_query_are_drawn_equally_often() -> None:
    labels = np.array([0, 0, 0, 0, 1, 2])
    planner = HardNegatives(labels, 1, queries=4, negatives=2)
    drawn = np.zeros((4, 4))
    for epoch in range(150):
        for query, positive, *_ in planner(epoch=epoch, seed=0, vectors=np.eye(6, dtype=np.float32)).indices.tolist():
            drawn[query, positive] += 1
    assert not drawn.diagonal().any()
    assert drawn[~np.eye(4, dtype=bool)].min() > 30


def test_only_the_pairs_within_a_tuple_are_known() -> None:
    rows, labels = some_images(60, 8, 1)
    plan = HardNegatives(labels, 2, queries=10, negatives=2)(epoch=0, seed=0, vectors=rows)
    assert plan.labels is None
    own = [[0, 1, -1, -1], [1, 0, -1, -1], [-1, -1, 0, 0], [-1, -1, 0, 0]]
    for step, images in enumerate(plan.indices):
        relation = plan.relation(step)
        expected = np.kron(np.eye(2, dtype=np.int8), np.array(own, np.int8))
        expected[images[:, None] == images[None, :]] = 0
        assert np.array_equal(relation, expected)
        assert np.array_equal(relation, relation.T)


def test_labels_may_say_all_of_a_batch() -> None:
    rows, labels = some_images(60, 8, 1)
    plan = HardNegatives(labels, 2, queries=10, negatives=2, labels_known=True)(epoch=0, seed=0, vectors=rows)
    assert plan.labels is not None
    assert plan.relations is None
    assert np.array_equal(plan.labels, labels[plan.indices])
    off = ~np.eye(8, dtype=bool) & (plan.indices[0][:, None] != plan.indices[0][None, :])
    assert (plan.relation(0)[off] != 0).all()


def test_facts_are_of_the_tuples() -> None:
    rows, labels = some_images(60, 8, 1)
    plan = HardNegatives(labels, 1, queries=1000, negatives=2)(epoch=0, seed=0, vectors=rows)
    tuples = plan.indices.reshape(-1, 4)
    assert plan.facts["queries"] == len(tuples) == (labels >= 0).sum()
    assert plan.facts["left_out"] == (labels < 0).sum()
    positive = np.mean([rows[q] @ rows[p] for q, p, *_ in tuples])
    negative = np.mean([rows[q] @ rows[n] for q, _, *others in tuples for n in others])
    assert plan.facts["positive_cosine"] == pytest.approx(positive, abs=1e-5)
    assert plan.facts["negative_cosine"] == pytest.approx(negative, abs=1e-5)


def test_images_without_a_vector_are_left_out() -> None:
    rows, labels = some_images(60, 8, 1)
    blank = np.flatnonzero(labels >= 0)[:10]
    rows[blank] = 0
    plan = HardNegatives(labels, 1, queries=100, negatives=2)(epoch=0, seed=0, vectors=rows)
    assert not np.isin(plan.indices, blank).any()
    assert plan.facts["left_out"] == (labels < 0).sum() + 10


def test_classes_that_do_not_suffice_are_refused() -> None:
    rows = np.eye(6, dtype=np.float32)
    with pytest.raises(
        TrainingError, match="negatives: got 5, each of another class than the query's, for 3 classes; lower it to 2"
    ):
        HardNegatives(np.array([0, 0, 1, 1, 2, -1]), 1)
    with pytest.raises(TrainingError, match="for 1 classes; expected at least two classes"):
        HardNegatives(np.zeros(6, np.int64), 1)
    with pytest.raises(TrainingError, match="all 6 classes have a single image"):
        HardNegatives(np.arange(6), 1)
    planner = HardNegatives(np.array([0, 0, 0, 0, 0, 1]), 1, pool=1, negatives=1)
    with pytest.raises(
        TrainingError, match="pool: the 1 images drawn are of 1 classes; expected more than the 1 negatives"
    ):
        planner(epoch=0, seed=0, vectors=rows)
    with pytest.raises(UsageError, match="vectors: got none"):
        planner(epoch=0, seed=0)
    with pytest.raises(UsageError, match="tuples: got 0"):
        HardNegatives(np.array([0, 0, 1]), 0)
