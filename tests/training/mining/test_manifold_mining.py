"""Mining on manifolds: what is near along a manifold and what is near across a gap, and against dense matrices."""

from __future__ import annotations

import dataclasses
import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion_oracles import affinities, normalised, solved
from kindred.arrays import Vectors, l2_normalise
from kindred.errors import TrainingError, UsageError
from kindred.training.mining import ManifoldMining, manifold
from kindred.training.mining.manifold import find_disagreement

LENGTH = 60


@pytest.fixture(autouse=True, scope="module")
def _one_thread(one_faiss_thread: None) -> None: ...


def two_lines() -> Vectors:
    """Images on two lines: 0.02 to the next on the line, 0.1 across; the line is the place modulo 2."""
    along = np.repeat(np.arange(LENGTH) * 0.02, 2) - 0.6
    across = np.tile([0.0, 0.1], LENGTH)
    rows: Vectors = l2_normalise(np.column_stack((along, across, np.ones(2 * LENGTH))).astype(np.float32))
    return rows


def scattered(count: int, seed: int) -> Vectors:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((4, 8))
    rows: Vectors = l2_normalise((centres[np.arange(count) % 4] + rng.standard_normal((count, 8))).astype(np.float32))
    return rows


def test_positives_lie_along_the_line_and_negatives_across() -> None:
    found = find_disagreement(two_lines(), near=20, wide=20, graph=5)
    line = np.arange(2 * LENGTH) % 2
    for image in range(20, 2 * LENGTH - 20):
        positives = found.positives[image][found.positives[image] >= 0]
        negatives = found.negatives[image][found.negatives[image] >= 0]
        assert len(positives)
        assert len(negatives)
        assert set(line[positives]) == {line[image]}
        assert set(line[negatives]) == {1 - line[image]}
        steps = np.abs(positives // 2 - image // 2)
        assert steps.min() >= 4  # nearer ones are among the neighbours by distance as well
        assert (np.abs(negatives // 2 - image // 2) <= 8).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_lists_are_those_of_dense_matrices(seed: int) -> None:
    rows, k, graph, alpha = scattered(50, seed), 8, 12, 0.8
    found = find_disagreement(rows, near=k, wide=k, graph=graph, alpha=alpha)
    matrix = affinities(rows, graph, 3.0)
    assert found.degrees == pytest.approx(matrix.sum(axis=1), rel=1e-5)
    cosines = rows.astype(np.float64) @ rows.T
    for image in range(50):
        f = solved(normalised(matrix), np.eye(50)[image], alpha)
        by_distance = [j for j in np.argsort(-cosines[image], kind="stable").tolist() if j != image][:k]
        reached = [j for j in np.argsort(-f, kind="stable").tolist() if j != image and f[j] > 1e-9][:k]
        expected = [j for j in reached if j not in by_distance]
        assert found.positives[image].tolist() == expected + [-1] * (k - len(expected))
        expected = [j for j in by_distance if j not in reached]
        assert found.negatives[image].tolist() == expected + [-1] * (k - len(expected))


def test_tuples_are_anchors_with_their_positives_and_negatives() -> None:
    rows = two_lines()
    planner = ManifoldMining(3, anchors=40, negatives=4, near=20, wide=20, graph=5)
    assert planner.needs_vectors
    plan = planner(epoch=1, seed=2, vectors=rows)
    found = find_disagreement(rows, near=20, wide=20, graph=5)
    assert plan.indices.shape == (14, 18)
    assert plan.labels is None
    tuples = plan.indices.reshape(-1, 6)[:40]
    assert len(np.unique(tuples[:, 0])) == 40
    for anchor, positive, *negatives in tuples.tolist():
        assert positive in found.positives[anchor]
        known = found.negatives[anchor][found.negatives[anchor] >= 0].tolist()
        assert set(negatives) <= set(known)
        assert len(set(negatives)) == min(4, len(known))
    positive = np.mean([rows[a] @ rows[p] for a, p, *_ in tuples])
    assert plan.facts["positive_cosine"] == pytest.approx(positive, abs=1e-5)
    assert plan.facts["anchors"] == 40
    assert plan.facts["negative_cosine"] > plan.facts["positive_cosine"]


def test_only_the_anchor_knows_its_tuple() -> None:
    plan = ManifoldMining(2, anchors=20, negatives=2, near=20, wide=20, graph=5)(epoch=0, seed=0, vectors=two_lines())
    own = [[0, 1, -1, -1], [1, 0, 0, 0], [-1, 0, 0, 0], [-1, 0, 0, 0]]
    for step, images in enumerate(plan.indices):
        expected = np.kron(np.eye(2, dtype=np.int8), np.array(own, np.int8))
        expected[images[:, None] == images[None, :]] = 0
        assert np.array_equal(plan.relation(step), expected)


@given(st.integers(0, 1000), st.integers(0, 50))
@settings(max_examples=8, deadline=None)
def test_it_follows_from_seed_and_epoch_and_vectors(seed: int, epoch: int) -> None:
    planner = ManifoldMining(1, anchors=15, negatives=2, near=8, wide=8, graph=12)
    rows = scattered(60, 0)
    first = planner(epoch=epoch, seed=seed, vectors=rows)
    assert np.array_equal(first.indices, planner(epoch=epoch, seed=seed, vectors=rows.copy()).indices)
    assert not np.array_equal(first.indices, planner(epoch=epoch + 1, seed=seed, vectors=rows).indices)
    assert not np.array_equal(first.indices, planner(epoch=epoch, seed=seed + 1, vectors=rows).indices)


def test_no_label_is_read() -> None:
    assert not [each.name for each in dataclasses.fields(ManifoldMining) if "label" in each.name]
    assert list(inspect.signature(ManifoldMining.__call__).parameters) == ["self", "epoch", "seed", "vectors"]


def test_anchors_are_drawn_by_the_degree(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = scattered(60, 1)
    found = find_disagreement(rows, near=8, wide=8, graph=12)
    monkeypatch.setattr(manifold, "find_disagreement", lambda *_, **__: found)
    able = np.flatnonzero((found.positives[:, 0] >= 0) & (found.negatives[:, 0] >= 0))
    planner = ManifoldMining(1, anchors=1, negatives=1, near=8, wide=8, graph=12)
    drawn = np.bincount([planner(epoch=n, seed=0, vectors=rows).indices[0, 0] for n in range(400)], minlength=60)
    assert set(np.flatnonzero(drawn)) <= set(able[found.degrees[able] > 0])
    upper = found.degrees > np.median(found.degrees[able])
    share = found.degrees[able][upper[able]].sum() / found.degrees[able].sum()
    assert drawn[upper].sum() / 400 == pytest.approx(share, abs=0.08)


def test_images_without_a_vector_are_left_out() -> None:
    rows = np.insert(two_lines(), [0, 30, 90], 0, axis=0)
    planner = ManifoldMining(3, anchors=40, negatives=2, near=20, wide=20, graph=5)
    plan, whole = planner(epoch=0, seed=0, vectors=rows), planner(epoch=0, seed=0, vectors=two_lines())
    places = np.delete(np.arange(len(rows)), [0, 31, 92])
    assert np.array_equal(plan.indices, places[whole.indices])
    assert plan.facts["left_out"] == whole.facts["left_out"] + 3


def test_images_that_do_not_suffice_are_refused() -> None:
    rows = two_lines()
    with pytest.raises(TrainingError, match="got 5 images; mining on manifolds needs 10 neighbours of each"):
        ManifoldMining(1)(epoch=0, seed=0, vectors=rows[:5])
    with pytest.raises(TrainingError, match="no image of 12 has other neighbours on the manifold than by distance"):
        ManifoldMining(1, near=11, wide=11, graph=12)(epoch=0, seed=0, vectors=rows[:12])
    with pytest.raises(UsageError, match="vectors: got none"):
        ManifoldMining(1)(epoch=0, seed=0)
    with pytest.raises(UsageError, match="wide: got -1; expected"):
        ManifoldMining(1, wide=-1)
    with pytest.raises(UsageError, match="anchors: got 0"):
        ManifoldMining(1, anchors=0)
