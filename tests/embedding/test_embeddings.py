"""The contract of every embedding: a literal oracle, NumPy and PyTorch alike, gradients, images without descriptors."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import kindred.embedding.stack
from kindred.embedding import (
    EMBEDDINGS,
    MULTI_VECTOR_EMBEDDINGS,
    Codebook,
    FittedVocabulary,
    Mixture,
    embed,
    embed_multi_vector,
)
from kindred.embedding.fisher import fisher
from kindred.embedding.netvlad import netvlad, netvlad_weights
from kindred.embedding.stack import check_counts
from kindred.embedding.vlad import vlad
from kindred.errors import RecipeError, UsageError
from kindred.whitening import PCAWhitening

Row = list[float]
Options = Mapping[str, bool | float | str]
D, K = 5, 4
COUNTS = [7, 0, 1, 12, 3]


def _unit(row: Row) -> Row:
    norm = math.sqrt(sum(value * value for value in row))
    return [value / norm if norm > 0 else 0.0 for value in row]


def _minus(a: Row, b: Row) -> Row:
    return [x - y for x, y in zip(a, b, strict=True)]


def _square(a: Row) -> float:
    return sum(value * value for value in a)


def _nearest(row: Row, centres: list[Row]) -> int:
    return min(range(len(centres)), key=lambda k: _square(_minus(row, centres[k])))


def _root(value: float) -> float:
    return math.copysign(math.sqrt(abs(value)), value)


# The oracles: straight from the definitions, one image (T, D) as nested lists, one descriptor after the other.


def _literal_bow(rows: list[Row], book: Codebook, *, idf: bool = True, sqrt: bool = False) -> Row:
    assert book.idf is not None
    centres = book.centres.astype(float).tolist()
    words = [_nearest(row, centres) for row in rows]
    found = []
    for k in range(len(centres)):
        share = words.count(k) / len(rows) if rows else 0.0
        found.append((math.sqrt(share) if sqrt else share) * (float(book.idf[k]) if idf else 1.0))
    return found


def _literal_vlad(rows: list[Row], book: Codebook, *, normalise: str = "plain", mean: bool = False) -> Row:
    centres = book.centres.astype(float).tolist()
    vector: Row = []
    for k, centre in enumerate(centres):
        part = [0.0] * len(centre)
        for row in rows:
            if _nearest(row, centres) != k:
                continue
            residual = _minus(row, centre)
            part = [a + b for a, b in zip(part, _unit(residual) if "residual" in normalise else residual, strict=True)]
        if mean and rows:
            part = [value / len(rows) for value in part]
        if "ssr" in normalise:
            part = [_root(value) for value in part]
        vector += _unit(part) if "intra" in normalise else part
    return vector


def _literal_fisher(rows: list[Row], mixture: Mixture, *, sqrt: bool = True, l2: bool = True) -> Row:
    pi, mu, var = (each.astype(float).tolist() for each in (mixture.weights, mixture.means, mixture.variances))
    to_means, to_variances = [], []
    shares = []
    for row in rows:
        densities = [
            pi[k]
            * math.prod(
                math.exp(-((x - m) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v)
                for x, m, v in zip(row, mu[k], var[k], strict=True)
            )
            for k in range(len(pi))
        ]
        shares.append([density / sum(densities) for density in densities])
    for k in range(len(pi)):
        for d in range(len(mu[k])):
            scaled = [(row[d] - mu[k][d]) / math.sqrt(var[k][d]) for row in rows]
            u = sum(q[k] * z for q, z in zip(shares, scaled, strict=True))
            v = sum(q[k] * (z * z - 1) for q, z in zip(shares, scaled, strict=True))
            n = max(1, len(rows))
            to_means.append(u / (n * math.sqrt(pi[k])))
            to_variances.append(v / (n * math.sqrt(2 * pi[k])))
    vector = to_means + to_variances
    if sqrt:
        vector = [_root(value) for value in vector]
    return _unit(vector) if l2 else vector


def _literal_netvlad(rows: list[Row], book: Codebook, *, start: str = "v1", alpha: float = 0.0) -> Row:
    centres = book.centres.astype(float).tolist()
    alpha = alpha or -math.log(0.01) / float(book.gaps[0 if start == "v1" else 1])
    parts = [[0.0] * len(centre) for centre in centres]
    for row in rows:
        if start == "v1":
            powers = [
                math.exp(alpha * sum(x * c for x, c in zip(row, _unit(centre), strict=True))) for centre in centres
            ]
        else:
            powers = [math.exp(-alpha * _square(_minus(row, centre))) for centre in centres]
        for k, centre in enumerate(centres):
            share = powers[k] / sum(powers)
            parts[k] = [a + share * b for a, b in zip(parts[k], _minus(row, centre), strict=True)]
    return _unit([value for part in parts for value in _unit(part)])


ORACLES: dict[str, Callable[..., Row]] = {
    "bow": _literal_bow,
    "vlad": _literal_vlad,
    "fisher": _literal_fisher,
    "netvlad": _literal_netvlad,
}
VARIANTS: list[tuple[str, Options]] = [
    *((name, {}) for name in EMBEDDINGS),
    ("bow", {"idf": False}),
    ("bow", {"sqrt": True}),
    ("vlad", {"normalise": "ssr"}),
    ("vlad", {"normalise": "intra"}),
    ("vlad", {"normalise": "residual"}),
    ("vlad", {"normalise": "residual+intra"}),
    ("vlad", {"normalise": "ssr+intra"}),
    ("vlad", {"normalise": "intra+ssr+residual"}),
    ("vlad", {"mean": True}),
    ("vlad", {"mean": True, "normalise": "ssr"}),
    ("fisher", {"sqrt": False}),
    ("fisher", {"l2": False}),
    ("fisher", {"sqrt": False, "l2": False}),
    ("netvlad", {"alpha": 10.0}),
    ("netvlad", {"start": "v2"}),
    ("netvlad", {"start": "v2", "alpha": 3.0}),
]
variants = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)


@pytest.fixture(scope="module")
def torch() -> ModuleType:
    module: ModuleType = pytest.importorskip("torch")
    return module


@pytest.fixture(scope="module")
def learned() -> dict[str, FittedVocabulary]:
    """A synthetic codebook and mixture; the last word is far from all descriptors."""
    generator = np.random.default_rng(5)
    centres = generator.standard_normal((K, D))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    centres[:-1] *= 0.9
    centres[-1] *= 50
    book = Codebook(centres.astype(np.float32), np.array([0.1, 0.7, 1.5, 2.0], np.float32), np.array([0.4, 0.6]))
    variances = generator.uniform(0.1, 0.6, (K, D)).astype(np.float32)
    mixture = Mixture(np.array([0.1, 0.2, 0.3, 0.4], np.float32), (centres / 50).astype(np.float32), variances)
    return {"codebook": book, "mixture": mixture}


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float64]:
    """Unit vectors, which preparation does not change."""
    found = np.random.default_rng(6).standard_normal((sum(COUNTS), D))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def _images(rows: NDArray[np.float64]) -> list[list[Row]]:
    return [part.tolist() for part in np.split(rows, np.cumsum(COUNTS)[:-1])]


def test_every_embedding_has_an_oracle() -> None:
    assert list(ORACLES) == list(EMBEDDINGS)
    assert not set(EMBEDDINGS) & set(MULTI_VECTOR_EMBEDDINGS)


@variants
def test_equals_its_definition(name: str, options: Options, rows: Any, learned: dict[str, FittedVocabulary]) -> None:
    entry = EMBEDDINGS[name]
    found = embed(rows, COUNTS, name, learned[entry.vocabulary], **options)
    expected = [ORACLES[name](image, learned[entry.vocabulary], **options) for image in _images(rows)]
    assert found.dtype == np.float64
    assert found.shape == (len(COUNTS), entry.dimension(learned[entry.vocabulary], **options))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(found[1], 0)


@variants
def test_single_precision_and_torch_give_the_same(
    name: str, options: Options, rows: Any, learned: dict[str, FittedVocabulary], torch: ModuleType
) -> None:
    model = learned[EMBEDDINGS[name].vocabulary]
    expected = embed(rows, COUNTS, name, model, **options)
    single = embed(rows.astype(np.float32), COUNTS, name, model, **options)
    assert single.dtype == np.float32
    # The square root makes a difference of 1e-7 near 0 one of 3e-4.
    tolerance = 1e-3 if "ssr" in str(options.get("normalise")) or name == "fisher" else 2e-5
    np.testing.assert_allclose(single, expected, atol=tolerance)
    found = embed(torch.from_numpy(rows), COUNTS, name, model, **options)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "options"), [each for each in VARIANTS if each[0] != "bow"], ids=str)
def test_gradients_are_finite_and_correct(
    name: str, options: Options, rows: Any, learned: dict[str, FittedVocabulary], torch: ModuleType
) -> None:
    model = learned[EMBEDDINGS[name].vocabulary]
    x = torch.from_numpy(rows).requires_grad_()
    weights = torch.arange(1, EMBEDDINGS[name].dimension(model) + 1, dtype=torch.float64).sin()
    (embed(x, COUNTS, name, model, **options) @ weights).sum().backward()
    assert torch.isfinite(x.grad).all()
    step = np.random.default_rng(0).standard_normal(rows.shape) * 1e-6
    ahead, behind = (embed(rows + sign * step, COUNTS, name, model, **options) for sign in (1, -1))
    change = float(((ahead - behind) @ weights.numpy()).sum())
    assert change == pytest.approx(2 * float((x.grad.numpy() * step).sum()), rel=1e-3, abs=1e-10)


@pytest.mark.parametrize("block", [1, 8])
@variants
def test_blocks_of_images_give_the_same(
    name: str,
    options: Options,
    block: int,
    rows: Any,
    learned: dict[str, FittedVocabulary],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = learned[EMBEDDINGS[name].vocabulary]
    expected = embed(rows, COUNTS, name, model, **options)
    monkeypatch.setattr(kindred.embedding.stack, "BLOCK_ROWS", block)
    np.testing.assert_allclose(embed(rows, COUNTS, name, model, **options), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("normalise", ["plain", "residual"])
def test_without_scipy_numpy_gives_the_same(
    normalise: str, rows: Any, learned: dict[str, FittedVocabulary], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = embed(rows, COUNTS, "vlad", learned["codebook"], normalise=normalise)
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    found = embed(rows, COUNTS, "vlad", learned["codebook"], normalise=normalise)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@variants
def test_a_batch_equals_its_images_one_by_one(
    name: str, options: Options, rows: Any, learned: dict[str, FittedVocabulary]
) -> None:
    model = learned[EMBEDDINGS[name].vocabulary]
    together = embed(rows, COUNTS, name, model, **options)
    ends = np.cumsum(COUNTS)
    for i, count in enumerate(COUNTS):
        alone = embed(rows[ends[i] - count : ends[i]], [count], name, model, **options)
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-9, atol=1e-12)
    assert embed(rows[:0], [], name, model, **options).shape == (0, together.shape[1])


def test_descriptors_are_prepared_by_the_codebook(rows: Any, learned: dict[str, FittedVocabulary]) -> None:
    book = learned["codebook"]
    assert isinstance(book, Codebook)
    local = PCAWhitening.fit(rows.astype(np.float32) + 0.3, dimension=D, power=0.25)
    projected = Codebook(book.centres, book.idf, book.gaps, local)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    by_hand = (unit - local.mean) @ local.projection.T.astype(float)
    by_hand /= np.linalg.norm(by_hand, axis=1, keepdims=True)
    found = embed(7 * rows, COUNTS, "vlad", projected)
    np.testing.assert_allclose(found, embed(by_hand, COUNTS, "vlad", book), rtol=1e-5, atol=1e-6)


def test_a_residual_of_zero_is_ignored() -> None:
    centres = np.eye(2, dtype=np.float32)
    rows = np.array([[1.0, 0.0], [0.6, 0.8]])
    found = vlad(rows, [2], centres, normalise="residual")
    np.testing.assert_allclose(found, [[0, 0, *(np.array([0.6, -0.2]) / math.sqrt(0.4))]], atol=1e-12)


def test_the_mean_has_an_effect_only_before_a_square_root(rows: Any, learned: dict[str, FittedVocabulary]) -> None:
    book = learned["codebook"]
    plain, mean = (embed(rows, COUNTS, "vlad", book, mean=mean) for mean in (False, True))
    np.testing.assert_allclose(mean * np.array(COUNTS)[:, None], plain, atol=1e-12)


def test_the_square_root_precedes_intra_normalisation() -> None:
    """VLFeat's order; and intra-normalisation alone must not take a root."""
    centres = np.array([[0.0, 0.0], [9.0, 9.0]])
    rows = np.array([[0.0, 0.04], [0.0, 0.05], [0.16, 0.0]])
    np.testing.assert_allclose(vlad(rows, [3], centres, normalise="ssr"), [[0.4, 0.3, 0, 0]])
    np.testing.assert_allclose(
        vlad(rows, [3], centres, normalise="intra")[0, :2], np.array([0.16, 0.09]) / math.hypot(0.16, 0.09)
    )


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_fisher_does_not_cancel_at_a_gaussian_that_has_collapsed(kind: str, torch: ModuleType) -> None:
    """A Gaussian at the floor of its variance, 1e-4 of the mean one: (x − μ)² is far below the rounding of x²."""
    random = np.random.default_rng(0)
    width, floor = 32, 1e-4 / 32
    means = random.standard_normal((4, width)).astype(np.float32)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    variances = np.full((4, width), 1 / width, np.float32)
    variances[:2] = floor
    mixture = Mixture(np.full(4, 0.25, np.float32), means, variances)
    near = means[np.repeat([0, 1], 100)] + np.sqrt(floor) * random.standard_normal((200, width))
    rows = np.concatenate([near, random.standard_normal((50, width)) / np.sqrt(width)]).astype(np.float32)
    # The reference centres each row before it squares, in double precision, row by row.
    expected = _literal_fisher(rows.astype(float).tolist(), mixture)
    given = rows if kind == "numpy" else torch.from_numpy(rows)
    found = np.asarray(fisher(given, [len(rows)], mixture))[0]
    assert found.dtype == np.float32
    assert float(found @ np.array(expected)) > 0.9999
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_fisher_without_normalisation_has_the_factors_of_the_definition() -> None:
    """One Gaussian, N = 2: u = mean(z) / √π, v = mean(z² − 1) / √(2π), with π = 1."""
    mixture = Mixture(np.ones(1, np.float32), np.zeros((1, 1), np.float32), np.full((1, 1), 4, np.float32))
    found = fisher(np.array([[2.0], [4.0]]), [2], mixture, sqrt=False, l2=False)
    np.testing.assert_allclose(found, [[1.5, 1.5 / math.sqrt(2)]])


def test_netvlad_with_hard_assignment_equals_vlad(rows: Any, learned: dict[str, FittedVocabulary]) -> None:
    book = learned["codebook"]
    assert isinstance(book, Codebook)
    sharp = embed(rows, COUNTS, "netvlad", book, start="v2", alpha=1e5)
    hard = embed(rows, COUNTS, "vlad", book, normalise="intra")
    norms = np.linalg.norm(hard, axis=1, keepdims=True)
    np.testing.assert_allclose(sharp, hard / np.where(norms > 0, norms, 1), atol=1e-6)
    weights, biases = netvlad_weights(book, start="v2", alpha=2.0)
    np.testing.assert_allclose(weights, 4 * book.centres, rtol=1e-6)
    np.testing.assert_allclose(biases, -2 * (book.centres**2).sum(axis=1), rtol=1e-6)


def test_netvlad_is_differentiable(rows: Any, learned: dict[str, FittedVocabulary], torch: ModuleType) -> None:
    book = learned["codebook"]
    assert isinstance(book, Codebook)
    own = [*netvlad_weights(book, alpha=3.0), book.centres]
    weights, biases, centres = (torch.from_numpy(np.array(each, np.float64)).requires_grad_() for each in own)
    vectors = netvlad(torch.from_numpy(rows), COUNTS, weights, biases, centres)
    vectors[0].cos().sum().backward()
    for each in (weights, biases, centres):
        assert torch.isfinite(each.grad).all()
        assert each.grad.abs().sum() > 0


def test_netvlad_uses_trained_weights(rows: Any, learned: dict[str, FittedVocabulary]) -> None:
    book = learned["codebook"]
    assert isinstance(book, Codebook)
    random = np.random.default_rng(8)
    weights, biases = random.standard_normal((K, D), np.float32), random.standard_normal(K, np.float32)
    trained = replace(book, weights=weights, biases=biases)
    expected = netvlad(rows, COUNTS, weights.astype(float), biases.astype(float), book.centres.astype(float))
    np.testing.assert_allclose(embed(rows, COUNTS, "netvlad", trained), expected, rtol=1e-6, atol=1e-9)
    assert np.abs(embed(rows, COUNTS, "netvlad", book) - expected).max() > 0.01
    np.testing.assert_array_equal(embed(rows, COUNTS, "vlad", trained), embed(rows, COUNTS, "vlad", book))
    for options in ({"alpha": 2.0}, {"start": "v2"}):
        with pytest.raises(RecipeError, match="netvlad: start and alpha have no effect on a codebook that was trained"):
            embed(rows, COUNTS, "netvlad", trained, **options)


def test_invalid_arguments_are_refused(rows: Any, learned: dict[str, FittedVocabulary]) -> None:
    book, mixture = learned["codebook"], learned["mixture"]
    with pytest.raises(RecipeError, match="unknown embedding 'vald'; did you mean 'vlad'"):
        embed(rows, COUNTS, "vald", book)
    with pytest.raises(RecipeError, match="embedding 'vlad': unknown option 'normalize'; did you mean 'normalise'"):
        embed(rows, COUNTS, "vlad", book, normalize="ssr")
    with pytest.raises(
        RecipeError, match="vlad: normalise is 'both'; expected plain, ssr, intra, residual, or several"
    ):
        embed(rows, COUNTS, "vlad", book, normalise="both")
    with pytest.raises(RecipeError, match="netvlad: unknown start 'v3'; known: v1, v2"):
        embed(rows, COUNTS, "netvlad", book, start="v3")
    with pytest.raises(UsageError, match="embedding 'fisher': got a Codebook; expected a mixture"):
        embed(rows, COUNTS, "fisher", book)
    with pytest.raises(UsageError, match="embedding 'vlad': got a Mixture; expected a codebook"):
        embed(rows, COUNTS, "vlad", mixture)
    with pytest.raises(UsageError, match=r"rows: got shape \(23, 3\); expected \(M, 5\)"):
        embed(rows[:, :3], COUNTS, "vlad", book)
    with pytest.raises(UsageError, match="counts: got a sum of 5 for 23 rows"):
        embed(rows, [2, 3], "vlad", book)
    with pytest.raises(RecipeError, match="unknown embedding 'askm'; did you mean 'asmk'"):
        embed_multi_vector(rows, COUNTS, "askm", book)


@pytest.mark.parametrize("counts", [[-1, 3], [1.0, 1.0], [[1, 1]]])
def test_counts_must_be_whole_numbers(counts: Any) -> None:
    with pytest.raises(UsageError, match="expected whole numbers"):
        check_counts(counts, 2)
