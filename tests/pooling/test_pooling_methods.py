"""Tests of individual poolings: worked examples, order, invalid arguments."""

from __future__ import annotations

import inspect
import math
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given as given_some
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from hypothesis.extra.numpy import arrays as some_array
from numpy.typing import NDArray

from kindred.arrays import l2_normalise
from kindred.errors import RecipeError, UsageError
from kindred.pooling import (
    POOLINGS,
    average_pool,
    gem,
    max_pool,
    pool,
    rgem_regions,
    rmac,
    rmac_regions,
    scda,
    superglobal,
    window_average,
    window_max,
    window_sum,
)
from kindred.whitening import PCAWhitening
from pooling_oracles import Maps, after_relu, given, literal_gem, literal_grid, literal_scda


class TestWindows:
    """The worked example of the lecture, on a 4 × 4 map."""

    MAP = np.array([[[[5, 3, 1, 2], [1, 2, 3, 2], [4, 2, 2, 5], [3, 6, 1, 1]]]], dtype=np.float32)

    def test_average(self) -> None:
        assert window_average(self.MAP).tolist() == [[2.75, 2, 3.75, 2.25]]

    def test_max(self) -> None:
        assert window_max(self.MAP).tolist() == [[5, 3, 6, 5]]

    def test_sum_is_the_window_size_times_the_average(self) -> None:
        np.testing.assert_array_equal(window_sum(self.MAP), 4 * window_average(self.MAP))

    def test_incomplete_windows_are_ignored(self) -> None:
        assert window_sum(self.MAP, window=3).tolist() == [[5 + 3 + 1 + 1 + 2 + 3 + 4 + 2 + 2]]

    @pytest.mark.parametrize("parameters", [{"window": 0}, {"stride": 0}, {"window": 1.5}])
    def test_parameters_out_of_range(self, parameters: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match="expected a whole number of at least 1"):
            window_max(self.MAP, **parameters)


class TestGem:
    def test_lies_between_average_and_maximum_and_rises_with_p(self) -> None:
        maps = after_relu((1, 5, 6, 7)) + 0.01
        steps = [average_pool(maps), *(gem(maps, p=p) for p in (2, 3, 8, 100)), max_pool(maps)]
        for lower, higher in pairwise(steps):
            assert (lower <= higher + 1e-12).all()

    def test_a_large_p_approaches_the_maximum_without_overflow(self) -> None:
        maps = (60 * after_relu((1, 3, 8, 8))).astype(np.float32)
        np.testing.assert_allclose(gem(maps, p=1000.0)[:, 1:], max_pool(maps)[:, 1:], rtol=0.01)

    def test_the_fast_cube_equals_the_general_power(self) -> None:
        maps = after_relu((2, 3, 5, 4))
        np.testing.assert_allclose(gem(maps), gem(maps, p=3 + 1e-12), rtol=1e-9)

    @pytest.mark.parametrize("parameters", [{"p": 0}, {"p": float("inf")}, {"p": float("nan")}, {"eps": 0.0}])
    def test_parameters_out_of_range(self, parameters: dict[str, float]) -> None:
        with pytest.raises(UsageError, match="expected a finite number above 0"):
            gem(np.ones((1, 1, 2, 2)), **parameters)

    def test_one_exponent_per_channel(self, torch: ModuleType) -> None:
        maps = after_relu((2, 3, 4, 5)) + 0.1
        powers = np.array([1.0, 3.0, 4.5])
        expected = np.stack([gem(maps, p=p)[:, c] for c, p in enumerate(powers.tolist())], axis=1)
        np.testing.assert_allclose(gem(maps, p=powers), expected, rtol=1e-12)
        tensors = gem(torch.from_numpy(maps), p=torch.from_numpy(powers))
        np.testing.assert_allclose(tensors.numpy(), expected, rtol=1e-12)

    @pytest.mark.parametrize("shape", [(3,), (1,), ()])
    def test_gradients_reach_the_exponents(self, shape: tuple[int, ...], torch: ModuleType) -> None:
        maps = torch.from_numpy(after_relu((2, 3, 4, 5)) + 0.1).requires_grad_()
        powers = torch.full(shape, 3.0, dtype=torch.float64).requires_grad_()
        np.testing.assert_allclose(gem(maps, p=powers).detach(), gem(maps.detach(), p=3.0), rtol=1e-12)
        assert torch.autograd.gradcheck(lambda x, p: gem(x, p=p), (maps, powers))

    def test_exponents_match_their_channels_across_blocks(self) -> None:
        maps = after_relu((2, 3000, 6, 6)).astype(np.float32)
        powers = np.linspace(1, 5, 3000)
        for channel in (1, 1500, 2999):
            single = gem(maps[:, channel : channel + 1], p=float(powers[channel]))
            np.testing.assert_allclose(gem(maps, p=powers)[:, channel], single[:, 0], rtol=1e-5)

    def test_other_exponents_are_refused(self) -> None:
        with pytest.raises(UsageError, match=r"p: got shape \(2,\); expected one for each channel, \(3,\)"):
            gem(np.ones((1, 3, 2, 2)), p=np.ones(2))
        for bad in (0.0, math.nan, math.inf):
            with pytest.raises(UsageError, match=r"p: got .*; expected a finite number above 0"):
                gem(np.ones((1, 3, 2, 2)), p=np.array([3.0, bad, 3.0]))


class TestSuperglobal:
    def test_borders_are_mirrored(self) -> None:
        # Around 1 lie 3 2 1 2 3, around 2 lie 2 1 2 3 2, around 3 lie 1 2 3 2 1.
        maps = np.array([[[[1.0], [2.0], [3.0]]]])
        both = [(1 + 11 / 5) / 2, (2 + 10 / 5) / 2, (3 + 9 / 5) / 2]
        np.testing.assert_allclose(superglobal(maps, p=1.0, window_p=1.0), [[sum(both) / 3]], rtol=1e-12)

    def test_a_window_of_one_cell_is_gem(self) -> None:
        maps = after_relu((2, 3, 5, 4))
        np.testing.assert_allclose(superglobal(maps, window=1, p=4.6), gem(maps, p=4.6, eps=1e-8), rtol=1e-12)

    @pytest.mark.parametrize("parameters", [{"window": 4}, {"window_p": 0.5}, {"window_p": math.nan}])
    def test_parameters_out_of_range(self, parameters: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match="expected an odd number of cells and at least 1"):
            superglobal(np.ones((1, 1, 2, 2)), **parameters)

    def test_large_exponents_do_not_underflow_or_overflow(self, torch: ModuleType) -> None:
        maps = torch.from_numpy(1e3 * after_relu((1, 2, 6, 6)).astype(np.float32)).requires_grad_()
        superglobal(maps, p=60.0, window_p=40.0).sum().backward()
        assert torch.isfinite(maps.grad).all()


class TestRmac:
    def test_regions_are_in_the_order_of_the_grid(self) -> None:
        maps = after_relu((2, 3, 7, 10))
        regions = rmac_regions(maps)
        squares = literal_grid(10, 7, 3)
        assert regions.shape == (2, 20, 3)
        for index, (x, y, side) in enumerate(squares):
            expected = maps[:, :, y : y + side, x : x + side].max(axis=(2, 3))
            np.testing.assert_array_equal(regions[:, index], expected)

    def test_regional_gem_takes_the_mean_of_each_region(self) -> None:
        maps = after_relu((2, 3, 7, 10))
        regions = rgem_regions(maps, p=2.5)
        assert regions.shape == (2, 20, 3)
        for index, (x, y, side) in enumerate(literal_grid(10, 7, 3)):
            region = maps[1, :, y : y + side, x : x + side].tolist()
            np.testing.assert_allclose(regions[1, index], literal_gem(region, p=2.5), rtol=1e-12)

    def test_blocks_of_channels_give_the_same(self, torch: ModuleType) -> None:
        maps = after_relu((3, 3000, 4, 6)).astype(np.float32)  # NumPy works through them block by block
        tensors = torch.from_numpy(maps)
        np.testing.assert_array_equal(rmac_regions(maps), rmac_regions(tensors).numpy())
        np.testing.assert_allclose(gem(maps), gem(tensors).numpy(), rtol=1e-5)

    def test_every_vector_has_unit_length(self) -> None:
        np.testing.assert_allclose(np.linalg.norm(rmac(after_relu((4, 6, 9, 5))), axis=1), 1, rtol=1e-12)

    def test_whitening_comes_before_the_sum(self) -> None:
        fitting = l2_normalise(rmac_regions(after_relu((30, 4, 7, 7), seed=1).astype(np.float32)))
        whitening = PCAWhitening.fit(fitting.reshape(-1, 4), dimension=3)
        maps = after_relu((2, 4, 7, 10)).astype(np.float32)
        expected = []
        for x in maps:
            total = np.zeros(3)
            for left, top, side in literal_grid(10, 7, 3):
                mac = x[:, top : top + side, left : left + side].max(axis=(1, 2))
                white = whitening.projection @ (mac / np.linalg.norm(mac) - whitening.mean)
                total += white / np.linalg.norm(white)
            expected.append(total / np.linalg.norm(total))
        pooled = pool(maps, "rmac", whitening=whitening.transform)
        np.testing.assert_allclose(pooled, expected, rtol=1e-4, atol=1e-5)

    def test_whitened_vectors_are_normalised(self) -> None:
        maps = after_relu((1, 3, 4, 4))
        np.testing.assert_allclose(rmac(maps, whitening=lambda rows: 7 * rows), rmac(maps), rtol=1e-12)


class TestScda:
    def test_pools_over_the_largest_component(self) -> None:
        maps = np.zeros((1, 1, 3, 5))
        maps[0, 0, 0, :2] = [8, 9]  # two cells, touching the three below only by a corner
        maps[0, 0, 1, 2:] = [3, 4, 5]
        plain = scda(maps, unit_halves=False, connectivity=4)
        np.testing.assert_allclose(plain, [[4.0, 5.0]], rtol=1e-12)
        # The corner connects them: MATLAB's bwconncomp, which the authors call, takes 8 neighbours.
        np.testing.assert_allclose(scda(maps, unit_halves=False), [[29 / 5, 9.0]], rtol=1e-12)

    def test_each_half_is_a_unit_vector(self) -> None:
        """As in the authors' SCDA_Aggregation.m: the maximum, several times the mean, would outweigh it."""
        maps = np.zeros((1, 2, 1, 2))
        maps[0, :, 0, 0] = [3, 4]
        maps[0, :, 0, 1] = [1, 0]
        np.testing.assert_allclose(scda(maps), [[0.6, 0.8, 0.6, 0.8]])
        np.testing.assert_allclose(scda(maps, unit_halves=False), [[3.0, 4.0, 3.0, 4.0]])
        with pytest.raises(UsageError, match="connectivity: got 6; expected 4 or 8"):
            scda(maps, connectivity=6)

    def test_the_first_of_equal_components_is_used(self) -> None:
        maps = np.array([[[[1.0, 0.0, 2.0]]]])
        maps[0, 0, 0, 0] = 3
        assert scda(maps, unit_halves=False).tolist() == [[3.0, 3.0]]
        assert scda(maps[..., ::-1].copy(), unit_halves=False).tolist() == [[2.0, 2.0]]

    def test_a_winding_component_is_connected(self) -> None:
        snake = np.array([[1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1.0]])
        values = snake * np.arange(26, 51).reshape(5, 5)
        expected = [values.sum() / snake.sum(), values.max()]
        np.testing.assert_allclose(scda(values[None, None], unit_halves=False), [expected])

    @given_some(some_array(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=7)), st.sampled_from([4, 8]))
    def test_equals_a_flood_fill(self, mask: NDArray[np.bool_], connectivity: int) -> None:
        # Whole numbers, so that no sum depends on its order.
        values = np.where(mask, 1000.0 + np.arange(mask.size).reshape(mask.shape), 0.0)
        options: dict[str, Any] = {"unit_halves": False, "connectivity": connectivity}
        expected = literal_scda([values.tolist()], **options)
        np.testing.assert_allclose(scda(values[None, None], **options)[0], expected, rtol=1e-12)


class TestPool:
    def test_accepts_a_custom_function(self) -> None:
        def middle(maps: Maps, *, row: int) -> Maps:
            return maps[:, :, row, 0]

        assert pool(np.arange(6.0).reshape(1, 2, 3, 1), middle, row=1).tolist() == [[1.0, 4.0]]

    @pytest.mark.parametrize(
        ("name", "parameters", "message"),
        [
            ("gemm", {}, "unknown pooling 'gemm'; did you mean 'gem'?"),
            ("zzz", {}, "unknown pooling 'zzz'; known: sum, average, max"),
            ("gem", {"pp": 3}, "pooling 'gem': unknown option 'pp'; did you mean 'p'?"),
            (
                "rmac",
                {"steps": 3},
                "pooling 'rmac': unknown option 'steps'; known: levels, whole, whitening",
            ),
            ("sum", {"p": 3}, "pooling 'sum': unknown option 'p'; it takes none"),
        ],
    )
    def test_unknown_names_and_parameters(self, name: str, parameters: dict[str, float], message: str) -> None:
        with pytest.raises(RecipeError) as caught:
            pool(np.ones((1, 1, 2, 2)), name, **parameters)
        assert str(caught.value).startswith(message)

    def test_mac_equals_max(self) -> None:
        assert POOLINGS["mac"].function is POOLINGS["max"].function

    def test_every_entry_is_documented(self) -> None:
        for entry in POOLINGS.values():
            assert entry.summary
            assert entry.source[-4:].isdigit()

    @pytest.mark.parametrize("name", [name for name, entry in POOLINGS.items() if entry.parts])
    def test_parts_are_normalised_whitened_and_summed(self, name: str) -> None:
        parts = POOLINGS[name].parts
        assert parts is not None
        maps, parameters = after_relu((2, 3, 5, 6)), given(name, 3)
        matrix = np.random.default_rng(0).standard_normal((4, 3))
        units: Any = l2_normalise(parts(maps, **parameters))
        expected = l2_normalise(l2_normalise(units @ matrix.T).sum(axis=1))
        pooled = pool(maps, name, whitening=lambda rows: rows @ matrix.T, **parameters)
        np.testing.assert_allclose(pooled, expected, rtol=1e-10)

    def test_fitted_and_network_parameters_are_parameters_of_the_function(self) -> None:
        for name, entry in POOLINGS.items():
            known = inspect.signature(entry.function).parameters
            learned = set(entry.fitted.names) if entry.fitted else set()
            assert {*entry.network, *learned, *entry.options} <= set(known)
            assert not {*entry.network, *learned, "whitening"} & set(entry.options)
            assert ("whitening" in known) == (entry.parts is not None), name
