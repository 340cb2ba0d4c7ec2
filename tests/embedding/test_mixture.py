from __future__ import annotations

import sys

import numpy as np
import pytest

from kindred.arrays import Vectors
from kindred.embedding import Mixture
from kindred.embedding.mixture import posteriors
from kindred.errors import MissingExtra, ModelError, UsageError


@pytest.fixture(scope="module")
def rows() -> Vectors:
    """Two clusters of directions, one twice as frequent, with one component that varies more."""
    generator = np.random.default_rng(0)
    centres = np.repeat(np.eye(4)[:2], (400, 200), axis=0)
    return (centres + generator.standard_normal((600, 4)) * [0.05, 0.05, 0.2, 0.05]).astype(np.float32)


@pytest.fixture(scope="module")
def mixture(rows: Vectors) -> Mixture:
    pytest.importorskip("sklearn")
    return Mixture.fit(rows, words=2, seed=0)


def test_finds_weights_means_and_variances(rows: Vectors, mixture: Mixture) -> None:
    order = np.argsort(mixture.weights)
    np.testing.assert_allclose(mixture.weights[order], [1 / 3, 2 / 3], atol=0.01)
    prepared = mixture.prepare(rows)
    for bunch, k in ((prepared[400:], order[0]), (prepared[:400], order[1])):
        np.testing.assert_allclose(mixture.means[k], bunch.mean(axis=0), atol=0.02)
        np.testing.assert_allclose(mixture.variances[k], bunch.var(axis=0), rtol=0.2, atol=1e-3)


def test_posteriors_equal_scikit_learn(rows: Vectors, mixture: Mixture) -> None:
    from sklearn.mixture import GaussianMixture

    oracle = GaussianMixture(2, covariance_type="diag")
    oracle.weights_, oracle.means_ = mixture.weights.astype(float), mixture.means.astype(float)
    oracle.covariances_ = mixture.variances.astype(float)
    oracle.precisions_cholesky_ = 1 / np.sqrt(oracle.covariances_)
    prepared = mixture.prepare(rows).astype(float)
    parts = (mixture.weights.astype(float), mixture.means.astype(float), mixture.variances.astype(float))
    np.testing.assert_allclose(posteriors(prepared, *parts), oracle.predict_proba(prepared), atol=1e-9)
    far = posteriors(1000 * prepared[:5], *parts)
    assert np.isfinite(far).all()
    np.testing.assert_allclose(far.sum(axis=1), 1)


def test_equal_seeds_give_equal_mixtures_that_are_restored_from_arrays(rows: Vectors, mixture: Mixture) -> None:
    for other in (Mixture.fit(rows, words=2, seed=0), Mixture.from_arrays(mixture.to_arrays())):
        for name in ("weights", "means", "variances"):
            np.testing.assert_array_equal(getattr(other, name), getattr(mixture, name))
        np.testing.assert_array_equal(other.prepare(rows), mixture.prepare(rows))


def test_descriptors_are_reduced_and_decorrelated(rows: Vectors) -> None:
    pytest.importorskip("sklearn")
    mixture = Mixture.fit(rows, words=3, dimension=2, power=0.25, iterations=2)
    assert (mixture.dimension, len(mixture)) == (2, 3)
    assert mixture.projection is not None
    np.testing.assert_allclose(mixture.weights.sum(), 1, rtol=1e-5)


def test_equal_descriptors_get_a_variance_above_zero(rows: Vectors) -> None:
    pytest.importorskip("sklearn")
    doubled = np.concatenate([rows[:40]] + [rows[400:401]] * 40)
    assert (Mixture.fit(doubled, words=2).variances > 0).all()


def test_invalid_arguments_are_refused(rows: Vectors, mixture: Mixture, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="got 600 local descriptors to fit 61 words; expected at least 610"):
        Mixture.fit(rows, words=61)
    with pytest.raises(UsageError, match="some of 0 or less"):
        Mixture(mixture.weights, mixture.means, -mixture.variances)
    with pytest.raises(UsageError, match=r"expected \(K,\), \(K, D\) and \(K, D\)"):
        Mixture(mixture.weights[:1], mixture.means, mixture.variances)
    arrays = mixture.to_arrays()
    with pytest.raises(ModelError, match="mixture: means missing"):
        Mixture.from_arrays({name: each for name, each in arrays.items() if name != "means"})
    with pytest.raises(ModelError, match="mixture: damaged"):
        Mixture.from_arrays(arrays | {"variances": np.zeros((2, 4))})
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    with pytest.raises(MissingExtra, match=r"fitting a Gaussian mixture needs .*pip install matplotlib scikit-learn"):
        Mixture.fit(rows, words=2)
