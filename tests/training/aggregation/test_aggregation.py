"""Trainable aggregation: the values of describing, gradients in everything that is to be trained, and a good start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from kindred.arrays import l2_normalise
from kindred.embedding import Codebook, embed
from kindred.embedding.netvlad import netvlad, netvlad_weights
from kindred.errors import RecipeError, UsageError
from kindred.pooling import POOLINGS, gem, pool, rgem_regions, rmac_regions
from kindred.training.aggregation import (
    AGGREGATIONS,
    RMAC,
    Aggregation,
    Exponent,
    GeM,
    NetVLAD,
    RegionalGeM,
    WhiteningLayer,
    build_aggregation,
)
from kindred.whitening import PCAWhitening

C = 6


def _maps(batch: int = 3, height: int = 5, width: int = 7, *, seed: int = 0) -> Tensor:
    """Maps as after a ReLU: half of the cells empty."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, C, height, width, generator=generator).relu()


def _batches(count: int = 12) -> list[Tensor]:
    """Maps of several sizes."""
    return [_maps(4, 4 + at % 3, 5 + at % 2, seed=at) for at in range(count)]


def _built(name: str, **options: Any) -> Aggregation:
    small = {"netvlad": {"words": 3}}
    return build_aggregation(name, C, **(small.get(name, {}) | options))


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_vectors_are_those_of_describing(name: str) -> None:
    aggregation, maps = _built(name, whiten=False), _maps()
    keys = aggregation.recipe_keys()
    options: Any = keys.get("pooling_options", {})
    if name == "netvlad":
        rows = maps.permute(0, 2, 3, 1).reshape(-1, C).numpy()
        expected = embed(rows, [35] * 3, "netvlad", aggregation.codebooks()[0])
    else:
        expected = l2_normalise(pool(maps.numpy(), str(keys["pooling"]), **options))
    assert aggregation(maps).dtype == torch.float32
    assert aggregation.dimension == expected.shape[1]
    np.testing.assert_allclose(aggregation(maps).detach().numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_whitened_vectors_are_those_of_describing(name: str) -> None:
    aggregation = _built(name, dimension=4)
    aggregation.initialise(_batches())
    (whitening,) = aggregation.fitted().whitenings
    assert aggregation.dimension == whitening.dimension == 4
    maps = _maps(seed=99)
    found = aggregation(maps).detach().numpy()
    parts = POOLINGS[name].parts if name in POOLINGS else None
    options: Any = aggregation.recipe_keys().get("pooling_options", {})
    if parts is not None:
        regions = l2_normalise(parts(maps.numpy(), **options))
        whitened = [whitening.transform(each).sum(axis=0) for each in regions]  # type: ignore[attr-defined]
        expected = l2_normalise(np.stack(whitened))
    else:
        plain = aggregation.unwhitened(maps).detach().numpy()
        expected = whitening.transform(l2_normalise(plain))
    np.testing.assert_allclose(found, expected, atol=3e-6)


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_gradients_are_true_and_reach_every_parameter(name: str) -> None:
    aggregation = _built(name, dimension=3).double()
    maps = (_maps(2, 2, 3).double() + torch.rand(2, C, 2, 3, dtype=torch.float64, generator=_seeded())).requires_grad_()
    with torch.no_grad():
        for parameter in aggregation.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, dtype=torch.float64, generator=_seeded()))
    inputs = [maps, *aggregation.parameters()]
    assert torch.autograd.gradcheck(lambda *_: aggregation(maps), inputs, atol=1e-5)
    aggregation(maps).sin().sum().backward()
    for each in inputs:
        assert each.grad is not None
        assert torch.isfinite(each.grad).all()
        assert each.grad.abs().sum() > 0


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_half_precision_is_aggregated_in_single(name: str) -> None:
    aggregation, maps = _built(name, dimension=4), 300 * _maps()
    aggregation.initialise(_batches())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = aggregation(maps.bfloat16())
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found, aggregation(maps.bfloat16().float()), rtol=0, atol=0)
    assert torch.isfinite(aggregation(torch.zeros_like(maps))).all()


def test_the_exponent_stays_above_one_and_comes_back() -> None:
    assert Exponent(3.0).value() == pytest.approx(3.0, rel=1e-6)
    assert Exponent(1.5).value() == pytest.approx(1.5, rel=1e-6)
    assert Exponent(900.0).value() == 900.0
    exponent = Exponent(2.0)
    with torch.no_grad():
        exponent.free.sub_(9)
    assert 1 < float(exponent().detach()) < 1.001
    (-exponent().sum()).backward()
    assert exponent.free.grad is not None
    assert float(exponent.free.grad) < 0
    with pytest.raises(UsageError, match="p: got 1; expected a finite number above 1"):
        GeM(C, p=1)


def test_every_channel_may_have_its_own_exponent() -> None:
    aggregation = GeM(C, per_channel=True)
    with torch.no_grad():
        aggregation.exponent.free.add_(torch.linspace(-1, 2, C))
    p: Any = aggregation.exponent.value()
    assert len(set(p)) == C
    expected = l2_normalise(np.stack([gem(_maps().numpy(), p=each)[:, at] for at, each in enumerate(p)], axis=1))
    np.testing.assert_allclose(aggregation(_maps()).detach().numpy(), expected, atol=1e-6)
    assert aggregation.recipe_keys() == {"pooling": "gem", "pooling_options": {"p": p}}


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_training_vectors_are_whitened_at_the_start(name: str) -> None:
    aggregation, batches = _built(name, dimension=3), _batches(30)
    aggregation.initialise(batches)
    layer = aggregation.whitening
    assert layer is not None
    with torch.no_grad():
        found = [aggregation.unwhitened(each) for each in batches]
        rows = torch.cat([l2_normalise(each.reshape(-1, each.shape[-1])) for each in found])
        projected = (rows - layer.mean) @ layer.projection.T
    covariance = (projected.T @ projected / len(projected)).numpy()
    np.testing.assert_allclose(covariance, np.eye(3), atol=2e-3)


def test_the_whitening_layer_is_a_whitening() -> None:
    rows = np.random.default_rng(0).standard_normal((50, C)).astype(np.float32) ** 2
    layer = WhiteningLayer(C, 4, power=0.25)
    layer.initialise([rows[:20], rows[20:]])
    expected = PCAWhitening.fit(rows, dimension=4, power=0.25).transform(rows)
    np.testing.assert_allclose(layer(torch.from_numpy(rows)).detach().numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(layer.to_whitening().transform(rows), expected, atol=1e-5)
    with pytest.raises(UsageError, match="dimension: got 7; expected 1 to 6"):
        WhiteningLayer(C, 7)
    with pytest.raises(UsageError, match="add images or reduce the dimension"):
        layer.initialise(rows[:4])
    with pytest.raises(UsageError, match=r"projection: got \(3, 6\); expected \(4, 6\)"):
        layer.load(PCAWhitening.fit(rows, dimension=3))


def test_regions_are_those_of_the_grid() -> None:
    maps = _maps()
    torch.testing.assert_close(RMAC(C, levels=2).unwhitened(maps), rmac_regions(maps, levels=2))
    torch.testing.assert_close(RegionalGeM(C, p=4.0).unwhitened(maps), rgem_regions(maps, p=4.0))


@pytest.mark.parametrize("name", ["rmac", "rgem"])
def test_the_whole_map_may_be_a_region_too(name: str) -> None:
    maps = _maps()
    grid = build_aggregation(name, C, levels=2, whiten=False)
    whole = build_aggregation(name, C, levels=2, whole=True, whiten=False)
    assert whole.unwhitened(maps).shape[1] == grid.unwhitened(maps).shape[1] + 1
    torch.testing.assert_close(whole(maps), pool(maps, name, levels=2, whole=True), atol=1e-5, rtol=1e-4)
    assert float((whole(maps) - grid(maps)).detach().abs().max()) > 1e-3
    assert cast("dict[str, object]", whole.recipe_keys()["pooling_options"])["whole"] is True
    assert "whole" not in grid.recipe_keys()["pooling_options"]


@pytest.mark.parametrize("start", ["v1", "v2"])
def test_netvlad_starts_from_clusters(start: str) -> None:
    aggregation, batches = NetVLAD(C, words=4, start=start, seed=3), _batches(8)  # few enough that all are looked at
    aggregation.initialise(batches)
    rows = torch.cat([each.permute(0, 2, 3, 1).reshape(-1, C) for each in batches]).numpy()
    book = Codebook.fit(rows, words=4, seed=3)
    weights, biases = netvlad_weights(book, start=start)
    own = l2_normalise(_maps().permute(0, 2, 3, 1).reshape(-1, C).numpy())
    expected = netvlad(own, [35] * 3, weights, biases, book.centres)
    np.testing.assert_allclose(aggregation(_maps()).detach().numpy(), expected, atol=2e-5)


def test_netvlad_reduces_its_positions_first() -> None:
    aggregation = NetVLAD(C, words=3, local=4)
    assert aggregation.dimension == 12
    aggregation.initialise(_batches())
    (book,) = aggregation.codebooks()
    assert book.projection is not None
    rows = _maps().permute(0, 2, 3, 1).reshape(-1, C).numpy()
    found = aggregation(_maps()).detach().numpy()
    np.testing.assert_allclose(found, embed(rows, [35] * 3, "netvlad", book), atol=2e-6)


def test_netvlad_draws_from_all_images_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 240 images, the first half of one value and the rest of another, both are among the few drawn."""
    import kindred.training.aggregation.netvlad as module

    monkeypatch.setattr(module, "MOST_PER_WORD", 50)
    seen: list[Any] = []
    fit = Codebook.fit

    def monitor(rows: Any, **options: Any) -> Codebook:
        seen.append(rows)
        return fit(rows, **options)

    monkeypatch.setattr(Codebook, "fit", monitor)
    images = [torch.full((2, C, 3, 3), 1.0 + (at >= 60)) + 0.1 * _maps(2, 3, 3, seed=at) for at in range(120)]
    NetVLAD(C, words=2).initialise(images)
    (rows,) = seen
    assert rows.shape == (100, C)
    assert 30 < (rows[:, 0] > 1.7).sum() < 70


def test_maps_that_are_spent_are_refused() -> None:
    def once() -> Iterator[Tensor]:
        yield from _batches()

    NetVLAD(C, words=3).initialise(once())
    with pytest.raises(UsageError, match="maps: got an iterator, exhausted by the clustering"):
        NetVLAD(C, words=3, dimension=2).initialise(once())


def test_invalid_options_are_refused() -> None:
    with pytest.raises(RecipeError, match="unknown aggregation 'gemm'; did you mean 'gem'"):
        build_aggregation("gemm", C)
    with pytest.raises(RecipeError, match="aggregation 'crow': unknown option 'p'; known: a, b, whiten"):
        build_aggregation("crow", C, p=3.0)
    with pytest.raises(UsageError, match="a: got -1; expected a finite number above 0"):
        build_aggregation("crow", C, a=-1)
    with pytest.raises(RecipeError, match="netvlad: unknown start 'v3'"):
        NetVLAD(C, start="v3")
    with pytest.raises(UsageError, match="words: got 0"):
        NetVLAD(C, words=0)
    with pytest.raises(UsageError, match=r"maps: got shape \(1, 5, 2, 2\); expected \(B, 6, H, W\)"):
        GeM(C)(torch.ones(1, 5, 2, 2))


def test_poolings_that_need_more_than_the_map_are_left_out() -> None:
    from kindred.training.aggregation import Pooled

    left_out = {"window_sum", "window_average", "window_max", "pwa", "cam", "pyramid_gem"}
    assert set(POOLINGS) - set(AGGREGATIONS) == left_out
    with pytest.raises(RecipeError, match="pooling 'cam' cannot be trained: it needs more than one feature map"):
        Pooled(C, "cam")
