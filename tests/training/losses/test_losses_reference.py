"""Losses beside those of pytorch-metric-learning, where it has the same formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kindred.training.losses.circle import circle
from kindred.training.losses.classification import arcface, cosface, normalised_softmax, proxy_anchor
from kindred.training.losses.contrastive import contrastive, contrastive_squared
from kindred.training.losses.multi_similarity import multi_similarity
from kindred.training.losses.smooth_ap import smooth_ap
from kindred.training.losses.softmax_pairs import nt_xent, sup_con
from kindred.training.losses.triplet import triplet, triplet_squared
from kindred.training.mining import relation_of

REASON = "needs pytorch-metric-learning: pip install pytorch-metric-learning"
distances = pytest.importorskip("pytorch_metric_learning.distances", reason=REASON)
losses = pytest.importorskip("pytorch_metric_learning.losses", reason=REASON)
miners = pytest.importorskip("pytorch_metric_learning.miners", reason=REASON)
reducers = pytest.importorskip("pytorch_metric_learning.reducers", reason=REASON)


def unit(count: int, dimension: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """16 vectors of 4 classes with 4 images each, not far from one another."""
    labels = torch.arange(4).repeat_interleave(4)
    return F.normalize(unit(4, 8, 20)[labels] + 0.8 * unit(16, 8, 21), dim=1), labels


def test_triplets_are_pytorch_metric_learnings(batch: tuple[Tensor, Tensor]) -> None:

    vectors, labels = batch
    relation = relation_of(labels)
    for ours, power in ((triplet, 1), (triplet_squared, 2)):
        theirs = losses.TripletMarginLoss(
            margin=0.2, distance=distances.LpDistance(normalize_embeddings=False, power=power)
        )
        found = float(ours(vectors, vectors, relation, margin=0.2, triplets="all"))
        assert found == pytest.approx(float(theirs(vectors, labels)), rel=1e-4)
    hard = losses.TripletMarginLoss(margin=0.2, distance=distances.LpDistance(normalize_embeddings=False))
    mined = miners.BatchHardMiner(distance=distances.LpDistance(normalize_embeddings=False))(vectors, labels)
    found = float(triplet(vectors, vectors, relation, margin=0.2))
    assert found == pytest.approx(float(hard(vectors, labels, mined)), rel=1e-4)


def test_contrastive_is_another_form_than_pytorch_metric_learnings(batch: tuple[Tensor, Tensor]) -> None:
    """Theirs: mean of the D of positives that are above 0, plus mean of the margin − D of negatives that are above 0.

    So with squared distances (power=2) its two means, weighed by their numbers of pairs, are twice ours.
    """

    vectors, labels = batch
    distance = distances.LpDistance(normalize_embeddings=False, power=2)
    theirs = losses.ContrastiveLoss(
        pos_margin=0, neg_margin=0.7, distance=distance, reducer=reducers.DoNothingReducer()
    )
    parts = theirs(vectors, labels)
    total = sum(float(parts[name]["losses"].sum()) for name in ("pos_loss", "neg_loss"))
    relation = relation_of(labels)
    found = float(contrastive_squared(vectors, vectors, relation, margin=0.7))
    assert 2 * found * int((relation != 0).sum()) == pytest.approx(total, rel=1e-4)
    plain_parts = losses.ContrastiveLoss(
        pos_margin=0,
        neg_margin=0.7,
        distance=distances.LpDistance(normalize_embeddings=False),
        reducer=reducers.DoNothingReducer(),
    )(vectors, labels)
    total = sum(float(plain_parts[name]["losses"].square().sum()) for name in ("pos_loss", "neg_loss"))
    found = float(contrastive(vectors, vectors, relation, margin=0.7))
    assert 2 * found * int((relation != 0).sum()) == pytest.approx(total, rel=1e-4)


def test_multi_similarity_is_pytorch_metric_learnings(batch: tuple[Tensor, Tensor]) -> None:

    vectors, labels = batch
    mined = miners.MultiSimilarityMiner(epsilon=0.1)(vectors, labels)
    theirs = float(losses.MultiSimilarityLoss(alpha=2, beta=50, base=0.5)(vectors, labels, mined))
    assert float(multi_similarity(vectors, vectors, relation_of(labels))) == pytest.approx(theirs, rel=1e-4)


def test_smooth_ap_is_pytorch_metric_learnings_with_the_query_among_its_positives(batch: tuple[Tensor, Tensor]) -> None:
    """Theirs, as its authors' code, ranks the query first for itself; and it is right where P = K only (2.9.0)."""

    vectors, labels = batch
    with_itself = relation_of(labels).fill_diagonal_(1)
    theirs = float(losses.SmoothAPLoss(temperature=0.01)(vectors, labels))
    assert float(smooth_ap(vectors, vectors, with_itself)) == pytest.approx(theirs, rel=1e-4)


def test_class_losses_are_pytorch_metric_learnings(batch: tuple[Tensor, Tensor]) -> None:

    vectors, labels = batch
    normal = losses.NormalizedSoftmaxLoss(num_classes=4, embedding_size=8, temperature=0.05)
    found = float(normalised_softmax(vectors, normal.W.T.detach(), labels))
    assert found == pytest.approx(float(normal(vectors, labels).detach()), rel=1e-4)
    angular = losses.ArcFaceLoss(num_classes=4, embedding_size=8, margin=math.degrees(0.5), scale=30)
    found = float(arcface(vectors, angular.W.T.detach(), labels))
    assert found == pytest.approx(float(angular(vectors, labels).detach()), rel=1e-4)
    cosine = losses.CosFaceLoss(num_classes=4, embedding_size=8, margin=0.35, scale=30)
    found = float(cosface(vectors, cosine.W.T.detach(), labels))
    assert found == pytest.approx(float(cosine(vectors, labels).detach()), rel=1e-4)


def test_proxy_anchor_is_pytorch_metric_learnings(batch: tuple[Tensor, Tensor]) -> None:
    vectors, labels = batch
    theirs = losses.ProxyAnchorLoss(num_classes=6, embedding_size=8, margin=0.1, alpha=32)  # two classes are not there
    found = float(proxy_anchor(vectors, theirs.proxies.detach(), labels))
    assert found == pytest.approx(float(theirs(vectors, labels).detach()), rel=1e-4)


def test_losses_on_pairs_are_pytorch_metric_learnings(batch: tuple[Tensor, Tensor]) -> None:
    vectors, labels = batch
    relation, learning = relation_of(labels), vectors.clone().requires_grad_()
    for ours, theirs in (
        (circle, losses.CircleLoss(m=0.4, gamma=80)),
        (sup_con, losses.SupConLoss(temperature=0.1)),
        (nt_xent, losses.NTXentLoss(temperature=0.07)),
    ):
        found, expected = ours(learning, learning, relation), theirs(learning, labels)
        assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)
        (own,), (other,) = (torch.autograd.grad(loss, learning) for loss in (found, expected))
        # Theirs makes the vectors unit vectors: its gradient has no part along them.
        tangent = own - (own * vectors).sum(dim=1, keepdim=True) * vectors
        torch.testing.assert_close(tangent, other, rtol=1e-3, atol=1e-5)
