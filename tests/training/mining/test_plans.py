"""Plans that follow from labels or listed pairs: which images come how often, and what is known of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindred.errors import TrainingError, UsageError
from kindred.training.mining import ClassBalanced, ListedPairs, Plan, Planner, Shuffled
from kindred.training.mining.plan import checked_vectors, in_batches
from kindred.training.mining.samplers import _connected_components

SAME = np.array([[0, 1], [1, 2], [4, 3], [7, 8]])
DIFFERENT = np.array([[0, 3], [5, 2], [9, 0]])


def labels_of(*sizes: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Labels of classes with these sizes, mixed."""
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))


PLANNERS: dict[str, Planner] = {
    "shuffled": Shuffled(labels_of(3, 4, 9), 5),
    "by_class": ClassBalanced(labels_of(3, 4, 9, 1), 2, 3),
    "from_pairs": ListedPairs(SAME, DIFFERENT, 10, 4),
}


@pytest.mark.parametrize("name", PLANNERS)
def test_a_plan_follows_from_seed_and_epoch(name: str) -> None:
    planner = PLANNERS[name]
    assert not planner.needs_vectors
    first = planner(epoch=3, seed=5)
    again = planner(epoch=3, seed=5, vectors=None)
    assert np.array_equal(first.indices, again.indices)
    assert first.indices.dtype == np.int64
    for step in range(len(first)):
        assert np.array_equal(first.relation(step), again.relation(step))
    for other in (planner(epoch=4, seed=5), planner(epoch=3, seed=6)):
        assert not np.array_equal(first.indices, other.indices)
    with pytest.raises(UsageError, match="seed -1 and epoch 0"):
        planner(epoch=0, seed=-1)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_shuffled_has_every_image_once_and_the_first_ones_again(count: int, batch: int, epoch: int) -> None:
    batch = min(batch, count)
    plan = Shuffled(np.arange(count) % 3, batch)(epoch=epoch, seed=1)
    assert plan.batch == batch
    assert len(plan) == -(-count // batch)
    order = plan.indices.ravel()
    assert sorted(order[:count]) == list(range(count))
    assert np.array_equal(order[count:], order[: len(order) - count])
    assert plan.labels is not None
    assert np.array_equal(plan.labels, plan.indices % 3)


def test_shuffled_leaves_out_images_of_no_class() -> None:
    plan = Shuffled(np.array([0, -1, 1, -1, 1]), 2)(epoch=0, seed=0)
    assert set(plan.indices.ravel()) == {0, 2, 4}
    assert plan.facts["left_out"] == 2


@given(st.lists(st.integers(1, 12), min_size=2, max_size=12), st.integers(2, 4), st.integers(2, 5), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_by_class_has_p_classes_of_k_images(sizes: list[int], p: int, k: int, epoch: int) -> None:
    labels = labels_of(*sizes)
    usable = {place for place, size in enumerate(sizes) if size > 1}
    if len(usable) < p:
        with pytest.raises(TrainingError, match=f"{len(usable)} classes of two images or more"):
            ClassBalanced(labels, p, k)
        return
    plan = ClassBalanced(labels, p, k)(epoch=epoch, seed=2)
    assert plan.labels is not None
    for images, classes in zip(plan.indices, plan.labels, strict=True):
        assert np.array_equal(labels[images], classes)
        counts = Counter(classes.tolist())
        assert set(counts.values()) == {k}
        assert len(counts) == p
        assert set(counts) <= usable
        for each in counts:
            own = Counter(images[classes == each].tolist())
            assert len(own) == min(k, sizes[each])
    total = sum(sizes[place] for place in usable)
    assert len(plan) == -(-total // (p * k))
    assert plan.facts["left_out"] == len(labels) - total == plan.facts["classes_left_out"]


def test_by_class_draws_all_classes_and_all_images_of_each_about_equally_often() -> None:
    plan = ClassBalanced(labels_of(6, 12, 9, 6), 2, 3, steps=60)(epoch=0, seed=0)
    assert plan.labels is not None
    assert set(Counter(plan.labels.ravel().tolist()).values()) == {90}
    images, counts = np.unique(plan.indices, return_counts=True)
    assert len(images) == 33
    for place, expected in enumerate((15, 7.5, 10, 15)):
        own = counts[labels_of(6, 12, 9, 6) == place]
        assert own.mean() == expected
        assert own.max() - own.min() <= 1


def test_an_image_that_fills_up_its_class_is_no_positive_of_itself() -> None:
    plan = ClassBalanced(np.array([0, 0, 1, 1, 1]), 2, 3, steps=4)(epoch=0, seed=0)
    for step, images in enumerate(plan.indices):
        relation = plan.relation(step)
        equal = images[:, None] == images[None, :]
        assert not relation[equal].any()
        assert (relation[~equal] != 0).all()
        assert np.array_equal(relation, relation.T)


def test_from_pairs_has_every_listed_pair() -> None:
    plan = ListedPairs(SAME, DIFFERENT, 10, 4)(epoch=1, seed=1)
    assert plan.indices.shape == (4, 4)
    pairs = {tuple(pair) for pair in plan.indices.reshape(-1, 2).tolist()}
    assert pairs == {tuple(pair) for pair in np.concatenate((SAME, DIFFERENT)).tolist()}
    assert plan.facts == {"same_pairs": 4, "different_pairs": 3, "left_out": 1}


@pytest.mark.parametrize("components", [False, True])
def test_from_pairs_knows_what_the_lists_say(components: bool) -> None:
    plan = ListedPairs(SAME, DIFFERENT, 10, 14, components=components)(epoch=0, seed=0)
    part = [0, 0, 0, 3, 3, 5, 6, 7, 7, 9]
    same = {frozenset(pair) for pair in SAME.tolist()}
    different = {frozenset(pair) for pair in DIFFERENT.tolist()}
    relation = plan.relation(0)
    for i, first in enumerate(plan.indices[0].tolist()):
        for j, second in enumerate(plan.indices[0].tolist()):
            expected = 0
            if {first, second} in same:
                expected = 1
            elif {first, second} in different or (components and part[first] != part[second]):
                expected = -1
            assert relation[i, j] == expected, (first, second)


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
@settings(max_examples=50, deadline=None)
def test_parts_are_those_of_a_walk(pairs: list[tuple[int, int]]) -> None:
    expected = list(range(20))
    for _ in range(20):
        for first, second in pairs:
            expected[first] = expected[second] = min(expected[first], expected[second])
    assert _connected_components(np.array(pairs, np.int64).reshape(-1, 2), 20).tolist() == expected


def test_a_long_chain_is_one_part() -> None:
    order = np.random.default_rng(0).permutation(5000)
    assert not _connected_components(np.column_stack((order[:-1], order[1:])), 5000).any()


def test_in_batches_fills_up_from_the_beginning() -> None:
    assert in_batches(np.array([5, 6, 7]), 2).tolist() == [[5, 6], [7, 5]]
    assert in_batches(np.array([5, 6]), 5).tolist() == [[5, 6, 5, 6, 5]]


def test_a_plan_checks_its_shapes() -> None:
    indices = np.zeros((2, 3), np.int64)
    with pytest.raises(UsageError, match=r"indices: got shape \(0, 3\); expected \(S, B\)"):
        Plan(indices[:0])
    with pytest.raises(UsageError, match=r"labels: got shape \(3, 2\); expected \(2, 3\)"):
        Plan(indices, indices.T)
    with pytest.raises(UsageError, match=r"relations: got shape \(2, 3\); expected \(2, 3, 3\)"):
        Plan(indices, None, np.zeros((2, 3), np.int8))
    with pytest.raises(UsageError, match="neither labels nor relations"):
        Plan(indices).relation(0)


def test_vectors_are_checked() -> None:
    rows = np.eye(3, 4, dtype=np.float32)
    rows[1] = 0
    found, present = checked_vectors(rows, 3)
    assert np.array_equal(found, rows)
    assert present.tolist() == [0, 2]
    with pytest.raises(UsageError, match="vectors: got none"):
        checked_vectors(None)
    with pytest.raises(UsageError, match="vectors: got 3 rows; expected 4"):
        checked_vectors(rows, 4)
    with pytest.raises(UsageError, match="row 0 has length 2; expected unit vectors"):
        checked_vectors(2 * rows)


def test_labels_that_do_not_suffice_are_refused() -> None:
    with pytest.raises(TrainingError, match="batch: got 5 for 4 images with a class; lower it to 4"):
        Shuffled(np.array([0, 1, 1, 2, -1]), 5)
    with pytest.raises(UsageError, match="labels: got float64 of shape"):
        Shuffled(np.zeros(3), 1)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="got 1 classes of two images or more; expected at least 2"):
        ClassBalanced(np.array([0, 0, 1, 2]), 2, 2)
    with pytest.raises(
        TrainingError, match="classes_per_batch: got 3 for 2 classes of two images or more; lower it to 2"
    ):
        ClassBalanced(np.array([0, 0, 1, 1, 2]), 3, 2)
    with pytest.raises(UsageError, match="images_per_class: got 1; expected at least 2"):
        ClassBalanced(np.array([0, 0, 1, 1]), 2, 1)
    with pytest.raises(UsageError, match="classes_per_batch: got 0"):
        ClassBalanced(np.array([0, 0, 1, 1]), 0, 2)


def test_pairs_that_do_not_suffice_are_refused() -> None:
    nothing = np.empty((0, 2), np.int64)
    with pytest.raises(TrainingError, match="got 4 positive and 0 negative pairs"):
        ListedPairs(SAME, nothing, 10, 4)
    with pytest.raises(TrainingError, match="got 0 positive and"):
        ListedPairs(nothing, DIFFERENT, 10, 4)
    with pytest.raises(TrainingError, match="images 0 and 1 are listed as positive and as negative"):
        ListedPairs(SAME, np.array([[1, 0]]), 10, 4)
    with pytest.raises(TrainingError, match="batch: got 20 for 7 pairs; lower it"):
        ListedPairs(SAME, DIFFERENT, 10, 20)
    with pytest.raises(TrainingError, match="the pairs connect all images"):
        ListedPairs(np.array([[0, 1], [1, 2]]), nothing, 3, 2, components=True)
    with pytest.raises(UsageError, match="batch: got 3; expected an even number"):
        ListedPairs(SAME, DIFFERENT, 10, 3)
    with pytest.raises(UsageError, match=r"different: pair 2 is \(9, 0\); expected two images of 0 to 8"):
        ListedPairs(SAME, DIFFERENT, 9, 4)
    with pytest.raises(UsageError, match=r"same: pair 0 is \(1, 1\)"):
        ListedPairs(np.array([[1, 1]]), DIFFERENT, 10, 4)
    with pytest.raises(UsageError, match=r"same: got int64 of shape \(2, 3\)"):
        ListedPairs(np.ones((2, 3), np.int64), DIFFERENT, 10, 4)
