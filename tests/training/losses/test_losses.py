"""Losses: slow loops, the lecture's values, gradients, nothing to learn from, types, relations."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from kindred.errors import UsageError
from kindred.training.losses import LOSSES, find_loss
from kindred.training.losses.classification import arcface, cross_entropy
from kindred.training.losses.contrastive import contrastive, contrastive_squared
from kindred.training.losses.measures import distances
from kindred.training.losses.multi_similarity import multi_similarity
from kindred.training.losses.smooth_ap import smooth_ap
from kindred.training.losses.triplet import triplet, triplet_squared
from kindred.training.mining import relation_of
from loss_oracles import ORACLES, mean

PAIRS = [name for name, loss in LOSSES.items() if loss.kind == "pairs"]
CLASSES = [name for name, loss in LOSSES.items() if loss.kind == "classes"]


def unit(count: int, dimension: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    drawn = torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(drawn, dim=1).to(dtype)


def gradient_of(loss: Tensor, tensor: Tensor) -> Tensor:
    return torch.autograd.grad(loss, tensor)[0]


def some_relation(rows: int, columns: int, seed: int) -> Tensor:
    return torch.randint(-1, 2, (rows, columns), generator=torch.Generator().manual_seed(seed), dtype=torch.int8)


def test_every_loss_has_an_oracle_and_twenty_lines_of_code() -> None:
    assert set(ORACLES) == set(LOSSES)
    for name, loss in LOSSES.items():
        source, doc = inspect.getsource(loss.function), loss.function.__doc__
        assert doc is not None, name
        code = source[: source.index('"""')] + source[source.index(doc) + len(doc) + 3 :]
        assert len([line for line in code.splitlines() if line.strip()]) <= 20, name


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("seed", range(4))
def test_losses_on_pairs_are_their_loops(name: str, seed: int) -> None:
    queries, references = unit(6, 5, seed), unit(9, 5, seed + 100)
    relation = some_relation(6, 9, seed)
    relation[0] = 0
    relation[1] = relation[1].clamp_min(0)
    relation[2] = relation[2].clamp_max(0)
    expected = ORACLES[name](queries.tolist(), references.tolist(), relation.tolist())
    assert expected > 0
    assert float(LOSSES[name].function(queries, references, relation)) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("seed", range(4))
def test_losses_on_classes_are_their_loops(name: str, seed: int) -> None:
    vectors, classes = unit(8, 3, seed), 1.7 * unit(5, 3, seed + 50)
    labels = torch.randint(-1, 5, (8,), generator=torch.Generator().manual_seed(seed))
    vectors[0] = -classes[labels[0]] / 1.7 if labels[0] >= 0 else vectors[0]  # θ + margin beyond π
    expected = ORACLES[name](vectors.tolist(), classes.tolist(), labels.tolist())
    assert float(LOSSES[name].function(vectors, classes, labels)) == pytest.approx(expected, rel=1e-6)


def test_the_lectures_siamese_values() -> None:
    """D = 0.5, m = 2: S = 1 → 0.25; S = 0 → 0.75. D = 3: S = 0 → 0."""
    origin, at = torch.zeros(1, 1), torch.tensor([[0.5**0.5]])
    same, other = torch.tensor([[1]], dtype=torch.int8), torch.tensor([[-1]], dtype=torch.int8)
    assert float(contrastive_squared(origin, at, same, margin=2.0)) == pytest.approx(0.25)
    assert float(contrastive_squared(origin, at, other, margin=2.0)) == pytest.approx(0.75)
    assert float(contrastive_squared(origin, torch.tensor([[3**0.5]]), other, margin=2.0)) == 0


def test_the_lectures_triplet_value() -> None:
    """m = 0.1, D(a, p) = 0.4, D(a, n) = 0.45 → 0.05."""
    references = torch.tensor([[0.4**0.5], [0.45**0.5]])
    relation = torch.tensor([[1, -1]], dtype=torch.int8)
    for triplets in ("all", "hardest", "semi_hard"):
        found = triplet_squared(torch.zeros(1, 1), references, relation, margin=0.1, triplets=triplets)
        assert float(found) == pytest.approx(0.05, abs=1e-6)


def test_the_two_contrastive_losses_differ_by_the_square_of_the_distance() -> None:
    at, other = torch.tensor([[0.5]]), torch.tensor([[-1]], dtype=torch.int8)
    assert float(contrastive(torch.zeros(1, 1), at, other, margin=0.7)) == pytest.approx(0.2**2 / 2)
    assert float(contrastive_squared(torch.zeros(1, 1), at, other, margin=0.7)) == pytest.approx((0.7 - 0.25) / 2)


# Its weights are constants as far as gradients go: differences of its values are something else.
@pytest.mark.parametrize("name", [name for name in PAIRS if name != "circle"])
def test_gradients_on_pairs(name: str) -> None:
    queries, references = unit(4, 3, 1).requires_grad_(), unit(5, 3, 2).requires_grad_()
    relation = some_relation(4, 5, 0)
    # A temperature at which differences of 1e-6 are small beside the steps.
    options = {"temperature": 0.1} if name == "smooth_ap" else {"epsilon": 2.0} if name == "multi_similarity" else {}
    function = LOSSES[name].function
    assert torch.autograd.gradcheck(lambda q, r: function(q, r, relation, **options), (queries, references))


def test_the_gradient_of_circle_takes_its_weights_as_constants() -> None:
    queries, references = unit(4, 3, 1), unit(5, 3, 2)
    relation = some_relation(4, 5, 0)
    leaf = queries.clone().requires_grad_()
    found = gradient_of(LOSSES["circle"].function(leaf, references, relation), leaf)
    weights = queries @ references.T  # as they were: s moves below, these do not
    shifted = torch.zeros_like(queries)
    for i, j in np.ndindex(4, 3):
        values = []
        for step in (1e-6, -1e-6):
            moved = queries.clone()
            moved[i, j] += step
            terms = []
            for row, s, w in zip(relation.tolist(), (moved @ references.T).tolist(), weights.tolist(), strict=True):
                if {1, -1} <= set(row):
                    pull = sum(math.exp(-80 * (1.4 - w[k]) * (s[k] - 0.6)) for k, y in enumerate(row) if y == 1)
                    push = sum(math.exp(80 * max(0.0, w[k] + 0.4) * (s[k] - 0.4)) for k, y in enumerate(row) if y == -1)
                    terms.append(math.log1p(pull * push))
            values.append(mean(terms))
        shifted[i, j] = (values[0] - values[1]) / 2e-6
    assert found.abs().max() > 1
    torch.testing.assert_close(found, shifted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CLASSES)
def test_gradients_on_classes(name: str) -> None:
    vectors, classes = unit(4, 3, 1).requires_grad_(), unit(5, 3, 2).requires_grad_()
    labels = torch.tensor([0, 4, 2, -1])
    assert torch.autograd.gradcheck(lambda v, w: LOSSES[name].function(v, w, labels), (vectors, classes))


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("value", [0, 1, -1])
@pytest.mark.parametrize("columns", [0, 3])
def test_nothing_to_learn_from_is_a_zero_with_a_gradient(name: str, value: int, columns: int) -> None:
    queries = unit(2, 4, 0).requires_grad_()
    references = -torch.ones(columns, 4, dtype=torch.float64) / 2 if value < 0 else queries[:1].expand(columns, 4)
    relation = torch.full((2, columns), value, dtype=torch.int8)
    loss = LOSSES[name].function(queries, references, relation)
    gradient = gradient_of(loss, queries)
    assert torch.isfinite(gradient).all()
    if value == 0 or columns == 0:
        assert float(loss.detach()) == 0
        assert not gradient.any()


@pytest.mark.parametrize("name", CLASSES)
def test_no_known_class_is_a_zero_with_a_gradient(name: str) -> None:
    vectors = unit(2, 4, 0).requires_grad_()
    loss = LOSSES[name].function(vectors, unit(3, 4, 1), torch.tensor([-1, -1]))
    assert float(loss.detach()) == 0
    assert not gradient_of(loss, vectors).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_finite_and_near_float64_under_autocast(name: str, dtype: torch.dtype) -> None:
    vectors = unit(8, 16, 3, dtype).requires_grad_()
    others = unit(6, 16, 4, dtype)
    known = some_relation(8, 6, 5) if name in PAIRS else torch.arange(8) % 6
    exact = LOSSES[name].function(vectors.detach().double(), others.double(), known)
    with torch.autocast("cpu", torch.bfloat16):
        loss = LOSSES[name].function(vectors, others, known)
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(float(exact), rel=1e-3)
    assert torch.isfinite(gradient_of(loss, vectors)).all()


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_and_opposite_vectors_have_finite_gradients(name: str, dtype: torch.dtype) -> None:
    vectors = unit(1, 8, 6, dtype).expand(6, 8).clone()
    vectors[4:] *= -1
    vectors.requires_grad_()
    loss = LOSSES[name].function(vectors, vectors, relation_of(torch.tensor([0, 0, 1, 1, 0, 1])))
    assert torch.isfinite(gradient_of(loss, vectors)).all()


def test_the_distance_of_a_vector_to_itself_has_no_gradient() -> None:
    vectors = unit(3, 512, 7, torch.float32).requires_grad_()
    found = distances(vectors, vectors)
    assert float(found.detach().diagonal().max()) < 1e-3
    assert float(gradient_of(found.diagonal().sum(), vectors).abs().max()) < 1e-3


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_arcface_has_finite_gradients_at_its_poles(sign: float) -> None:
    vectors = torch.tensor([[sign, 0.0, 0.0]], requires_grad=True)
    classes = torch.eye(3, requires_grad=True)
    for tensor in (vectors, classes):
        assert torch.isfinite(gradient_of(arcface(vectors, classes, torch.tensor([0])), tensor)).all()


def test_arcface_grows_with_the_angle_all_the_way() -> None:
    angles = torch.linspace(0, math.pi, 200, dtype=torch.float64)
    around = torch.stack((angles.cos(), angles.sin()), dim=1)
    classes = torch.eye(2, dtype=torch.float64)  # the other class is at a right angle, where its cosine is the sine
    found = [float(arcface(v[None], classes, torch.tensor([0]))) for v in around]
    own = [math.cos(a + 0.5) if a + 0.5 <= math.pi else math.cos(a) - 0.5 * math.sin(0.5) for a in angles.tolist()]
    assert (np.diff(own) < 0).all()
    sines = [math.sin(a) for a in angles.tolist()]
    expected = [math.log(math.exp(30 * o) + math.exp(30 * s)) - 30 * o for o, s in zip(own, sines, strict=True)]
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(st.integers(0, 2**31), st.integers(2, 6), st.integers(2, 8))
@settings(max_examples=20, deadline=None)
def test_a_sharp_smooth_ap_is_average_precision(seed: int, rows: int, columns: int) -> None:
    queries, references, relation = unit(rows, 4, seed), unit(columns, 4, seed + 1), some_relation(rows, columns, seed)
    expected = []
    for s, row in zip((queries @ references.T).tolist(), relation.tolist(), strict=True):
        ranked = [row[j] for j in np.argsort(-np.array(s)) if row[j]]
        hits = [rank for rank, y in enumerate(ranked) if y == 1]
        if hits:
            expected.append(1 - mean([(n + 1) / (rank + 1) for n, rank in enumerate(hits)]))
    found = smooth_ap(queries, references, relation, temperature=1e-9)
    assert float(found) == pytest.approx(mean(expected), abs=1e-4)


def test_smooth_ap_leaves_out_what_is_not_known() -> None:
    queries, references = unit(2, 4, 8), unit(5, 4, 9)
    relation = torch.tensor([[1, -1, 0, 1, 0], [-1, -1, -1, 0, 0]], dtype=torch.int8)
    kept = smooth_ap(queries[:1], references[[0, 1, 3]], relation[:1, [0, 1, 3]])
    assert float(smooth_ap(queries, references, relation)) == pytest.approx(float(kept))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_vectors_that_are_no_numbers_never_look_well_learned(name: str, value: float) -> None:
    vectors = unit(6, 4, 3)
    if LOSSES[name].kind == "classes":
        vectors[2] = value
        assert math.isnan(float(LOSSES[name].function(vectors, unit(3, 4, 4), torch.tensor([0, 1, 2, 0, 1, 2]))))
        return
    relation = relation_of(torch.tensor([0, 0, 1, 1, 2, 3]))
    for number in (1, 5):  # one with positives, and one that is a negative of others only
        broken = vectors.clone()
        broken[number] = value
        assert math.isnan(float(LOSSES[name].function(broken, broken, relation))), number
    # What nothing is known of is not looked at.
    kept = relation.clone()
    kept[5], kept[:, 5] = 0, 0
    if name != "smooth_ap":
        assert math.isfinite(float(LOSSES[name].function(broken, broken, kept)))


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_on_a_loss_makes_it_smaller(name: str) -> None:
    vectors, classes = unit(12, 8, 3), unit(4, 8, 5)
    labels = torch.arange(4).repeat_interleave(3)
    leaf = vectors.clone().requires_grad_()

    def value(x: Tensor) -> Tensor:
        x = F.normalize(x, dim=1)
        if LOSSES[name].kind == "classes":
            return LOSSES[name].function(x, classes, labels)
        return LOSSES[name].function(x, x, relation_of(labels))

    before = value(leaf)
    slope = gradient_of(before, leaf)
    after = value(leaf.detach() - 1e-3 * slope / slope.norm())
    assert float(after) < float(before.detach())


def test_multi_similarity_does_not_overflow() -> None:
    vectors = unit(4, 8, 0, torch.float32)
    relation = torch.tensor([[1, -1, -1, -1]] * 4, dtype=torch.int8)
    found = multi_similarity(vectors, vectors, relation, beta=1e4, base=-1.0)
    assert torch.isfinite(found)


def test_relations_of_labels() -> None:
    labels, others = torch.tensor([3, 3, -1, 5]), torch.tensor([5, 3, -1])
    assert relation_of(labels).tolist() == [[0, 1, 0, -1], [1, 0, 0, -1], [0, 0, 0, 0], [-1, -1, 0, 0]]
    assert relation_of(labels, labels).tolist() == relation_of(labels).tolist()
    assert relation_of(labels, others).tolist() == [[-1, 1, 0], [-1, 1, 0], [0, 0, 0], [1, -1, 0]]
    images, other_images = torch.tensor([7, 8, 9, 4]), torch.tensor([4, 7, 9])
    found = relation_of(labels, others, images=images, other_images=other_images)
    assert found.tolist() == [[-1, 0, 0], [-1, 1, 0], [0, 0, 0], [0, -1, 0]]
    assert found.dtype == torch.int8
    arrays = relation_of(labels.numpy(), others.numpy(), images=images.numpy(), other_images=other_images.numpy())
    assert arrays.tolist() == found.tolist()
    assert arrays.dtype == np.int8
    # An image that is in a batch twice is not another image.
    twice = relation_of(np.array([1, 1, 2]), images=np.array([6, 6, 7]))
    assert twice.tolist() == [[0, 0, -1], [0, 0, -1], [-1, -1, 0]]


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(UsageError, match="images: got the indices of one side alone"):
        relation_of(torch.tensor([1]), torch.tensor([2]), images=torch.tensor([0]))
    with pytest.raises(UsageError, match="unknown loss 'tripplet'; did you mean 'triplet'"):
        find_loss("tripplet")
    with pytest.raises(UsageError, match="unknown triplets 'hard'; did you mean"):
        triplet(unit(2, 3, 0), unit(2, 3, 0), some_relation(2, 2, 0), triplets="hard")


def test_the_table_tells_the_options() -> None:
    assert find_loss("triplet").options == {"margin": 0.1, "triplets": "hardest"}
    assert find_loss("arcface").options == {"scale": 30.0, "margin": 0.5}
    assert find_loss("smooth_ap").kind == "pairs"


def test_cross_entropy_takes_the_weights_as_they_are() -> None:
    vectors, classes, labels = unit(3, 4, 0), 5 * unit(6, 4, 1), torch.tensor([5, 0, 3])
    expected = F.cross_entropy(16 * vectors @ classes.T, labels)
    assert float(cross_entropy(vectors, classes, labels)) == pytest.approx(float(expected))
