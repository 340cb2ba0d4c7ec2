"""The contract of every pooling: a literal oracle, NumPy and PyTorch alike, gradients, odd maps."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes
from hypothesis.extra.numpy import arrays as some_array
from numpy.typing import NDArray

from kindred.arrays import l2_normalise
from kindred.errors import RecipeError, UsageError
from kindred.pooling import (
    POOLINGS,
    average_pool,
    crow,
    gem,
    max_pool,
    pool,
    rmac,
    rmac_regions,
    scda,
    spoc,
    window_average,
    window_max,
    window_sum,
)
from kindred.whitening import PCAWhitening

Maps = NDArray[np.float64]
Channel = list[list[float]]
"""One channel of one map: rows of cells."""


# The oracles: straight from the definitions, one map (C, H, W) as nested lists, one cell after the other.


def _cells(channel: Channel) -> list[float]:
    return [value for row in channel for value in row]


def _literal_windows(
    x: list[Channel], combine: Callable[[list[float]], float], window: int, stride: int | None
) -> list[float]:
    stride = stride or window
    height, width = len(x[0]), len(x[0][0])
    rows, columns = min(window, height), min(window, width)
    return [
        combine([channel[i + di][j + dj] for di in range(rows) for dj in range(columns)])
        for channel in x
        for i in range(0, height - rows + 1, stride)
        for j in range(0, width - columns + 1, stride)
    ]


def _literal_window_sum(x: list[Channel], *, window: int = 2, stride: int | None = None) -> list[float]:
    return _literal_windows(x, sum, window, stride)


def _literal_window_average(x: list[Channel], *, window: int = 2, stride: int | None = None) -> list[float]:
    return _literal_windows(x, lambda cells: sum(cells) / len(cells), window, stride)


def _literal_window_max(x: list[Channel], *, window: int = 2, stride: int | None = None) -> list[float]:
    return _literal_windows(x, max, window, stride)


def _literal_spoc(x: list[Channel], *, centre_prior: bool = True) -> list[float]:
    height, width = len(x[0]), len(x[0][0])
    sigma = min(height, width) / 6

    def weight(i: int, j: int) -> float:
        squared = (i + 0.5 - height / 2) ** 2 + (j + 0.5 - width / 2) ** 2
        return math.exp(-squared / (2 * sigma**2)) if centre_prior else 1.0

    return [sum(weight(i, j) * value for i, row in enumerate(c) for j, value in enumerate(row)) for c in x]


def _literal_gem(x: list[Channel], *, p: float = 3.0, eps: float = 1e-6) -> list[float]:
    return [(sum(max(v, eps) ** p for v in _cells(c)) / len(_cells(c))) ** (1 / p) for c in x]


def _literal_crow(x: list[Channel], *, a: float = 2.0, b: float = 2.0) -> list[float]:
    channels = [_cells(c) for c in x]
    sums = [max(sum(values), 0.0) for values in zip(*channels, strict=True)]
    z = sum(s**a for s in sums) ** (1 / a)
    alpha = [(s / z) ** (1 / b) if z > 0 else 0.0 for s in sums]
    q = [sum(v != 0 for v in c) / len(c) for c in channels]
    weights = [math.log(sum(q) / q_c) if q_c > 0 else 0.0 for q_c in q]
    return [w * sum(s * v for s, v in zip(alpha, c, strict=True)) for w, c in zip(weights, channels, strict=True)]


def _literal_unit(vector: list[float]) -> list[float]:
    norm = math.sqrt(sum(v * v for v in vector))
    return [v / norm if norm > 0 else 0.0 for v in vector]


def _literal_grid(width: int, height: int, levels: int) -> list[tuple[int, int, int]]:
    """Squares as x, y, side, in the steps of the authors' code."""
    w = min(width, height)
    gaps = [(max(width, height) - w) / (s - 1) for s in range(2, 8)]
    misses = [abs((w**2 - w * b) / w**2 - 0.4) for b in gaps]
    idx = misses.index(min(misses)) + 1
    wd, hd = (idx if height < width else 0), (idx if height > width else 0)
    squares = []
    for level in range(1, levels + 1):
        wl = math.floor(2 * w / (level + 1))
        wl2 = math.floor(wl / 2 - 1)
        bx = 0.0 if level + wd == 1 else (width - wl) / (level + wd - 1)
        by = 0.0 if level + hd == 1 else (height - wl) / (level + hd - 1)
        squares += [
            (math.floor(wl2 + i * bx) - wl2, math.floor(wl2 + j * by) - wl2, wl)
            for j in range(level + hd)
            for i in range(level + wd)
            if wl > 0
        ]
    return squares


def _literal_rmac(x: list[Channel], *, levels: int = 3) -> list[float]:
    total = [0.0] * len(x)
    for left, top, side in _literal_grid(len(x[0][0]), len(x[0]), levels):
        mac = [max(max(row[left : left + side]) for row in c[top : top + side]) for c in x]
        total = [t + v for t, v in zip(total, _literal_unit(mac), strict=True)]
    return _literal_unit(total)


def _literal_parts(mask: list[list[bool]]) -> list[list[tuple[int, int]]]:
    """The 4-connected parts of a mask by flood fill, in reading order of their first cells."""
    left = {(i, j) for i, row in enumerate(mask) for j, value in enumerate(row) if value}
    parts = []
    while left:
        part, front = [], [min(left)]
        left.discard(front[0])
        while front:
            i, j = front.pop()
            part.append((i, j))
            near = {(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)} & left
            left -= near
            front += near
        parts.append(part)
    return parts


def _literal_scda(x: list[Channel]) -> list[float]:
    height, width = len(x[0]), len(x[0][0])
    sums = [[sum(c[i][j] for c in x) for j in range(width)] for i in range(height)]
    mean = sum(_cells(sums)) / (height * width)
    mask = [[s > mean for s in row] for row in sums]
    parts = _literal_parts(mask) or _literal_parts([[True] * width] * height)
    part = max(parts, key=len)
    chosen = [[c[i][j] for i, j in part] for c in x]
    return [sum(c) / len(c) for c in chosen] + [max(c) for c in chosen]


ORACLES: dict[str, Callable[..., list[float]]] = {
    "sum": lambda x: [sum(_cells(c)) for c in x],
    "average": lambda x: [sum(_cells(c)) / len(_cells(c)) for c in x],
    "max": lambda x: [max(_cells(c)) for c in x],
    "mac": lambda x: [max(_cells(c)) for c in x],
    "window_sum": _literal_window_sum,
    "window_average": _literal_window_average,
    "window_max": _literal_window_max,
    "spoc": _literal_spoc,
    "gem": _literal_gem,
    "crow": _literal_crow,
    "rmac": _literal_rmac,
    "scda": _literal_scda,
}

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in POOLINGS),
    ("window_sum", {"window": 3, "stride": 1}),
    ("window_average", {"window": 3}),
    ("window_max", {"window": 1, "stride": 2}),
    ("spoc", {"centre_prior": False}),
    ("gem", {"p": 1.0}),
    ("gem", {"p": 2.6, "eps": 1e-3}),
    ("crow", {"a": 1.0, "b": 3.0}),
    ("rmac", {"levels": 2}),
]

SHAPES = [(2, 3, 5, 4), (1, 4, 7, 10), (3, 2, 9, 5), (1, 2, 6, 6), (2, 3, 1, 1), (1, 2, 1, 7), (1, 2, 6, 1)]

every_variant = pytest.mark.parametrize(("name", "parameters"), VARIANTS, ids=lambda v: str(v).strip("{}"))
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@pytest.fixture(scope="module")
def torch() -> ModuleType:
    module: ModuleType = pytest.importorskip("torch")
    return module


def _signed(shape: tuple[int, ...], seed: int = 0) -> Maps:
    return np.random.default_rng(seed).standard_normal(shape)


def _after_relu(shape: tuple[int, ...], seed: int = 0) -> Maps:
    """Maps as a network gives them: half of the cells are 0, the first channel is dead."""
    maps = np.maximum(_signed(shape, seed), 0)
    maps[:, 0] = 0
    return maps


def test_every_pooling_has_an_oracle() -> None:
    assert ORACLES.keys() == POOLINGS.keys()


@every_variant
@every_shape
class TestContract:
    def test_equals_its_definition(self, name: str, parameters: dict[str, Any], shape: tuple[int, ...]) -> None:
        maps = _after_relu(shape)
        expected = np.array([ORACLES[name](x, **parameters) for x in maps.tolist()])
        np.testing.assert_allclose(pool(maps, name, **parameters), expected, rtol=1e-10, atol=1e-12)
        single = pool(maps.astype(np.float32), name, **parameters)
        np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-6)

    def test_has_its_declared_dimension(self, name: str, parameters: dict[str, Any], shape: tuple[int, ...]) -> None:
        pooled = pool(_after_relu(shape).astype(np.float32), name, **parameters)
        assert pooled.shape == (shape[0], POOLINGS[name].dimension(*shape[1:], **parameters))
        assert pooled.dtype == np.float32

    def test_torch_gives_the_same(
        self, name: str, parameters: dict[str, Any], shape: tuple[int, ...], torch: ModuleType
    ) -> None:
        maps = _after_relu(shape).astype(np.float32)
        tensors = pool(torch.from_numpy(maps), name, **parameters)
        assert tensors.dtype == torch.float32
        np.testing.assert_allclose(tensors.numpy(), pool(maps, name, **parameters), rtol=1e-5, atol=1e-5)

    def test_gradients_are_finite(
        self, name: str, parameters: dict[str, Any], shape: tuple[int, ...], torch: ModuleType
    ) -> None:
        for maps in (_after_relu(shape), _signed(shape), np.zeros(shape), np.ones(shape)):
            leaf = torch.from_numpy(maps).float().requires_grad_()
            (pool(leaf, name, **parameters) ** 2).sum().backward()
            assert torch.isfinite(leaf.grad).all()


@every_variant
class TestEveryPooling:
    def test_gradients_are_right(self, name: str, parameters: dict[str, Any], torch: ModuleType) -> None:
        # Away from 0 and with all cells apart, every pooling is smooth.
        cells = np.random.default_rng(3).permutation(2 * 2 * 4 * 3).reshape(2, 2, 4, 3) / 10 + 0.5
        leaf = torch.from_numpy(cells).requires_grad_()
        assert torch.autograd.gradcheck(lambda maps: pool(maps, name, **parameters), (leaf,))

    def test_a_batch_is_its_images(self, name: str, parameters: dict[str, Any]) -> None:
        maps = _after_relu((5, 4, 6, 8)).astype(np.float32)
        singles = [pool(maps[i : i + 1], name, **parameters)[0] for i in range(5)]
        np.testing.assert_allclose(pool(maps, name, **parameters), singles, rtol=1e-6, atol=1e-7)

    def test_no_images_give_no_vectors(self, name: str, parameters: dict[str, Any]) -> None:
        pooled = pool(np.zeros((0, 3, 5, 4)), name, **parameters)
        assert tuple(pooled.shape) == (0, POOLINGS[name].dimension(3, 5, 4, **parameters))

    @pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 2, 1, 1)])
    def test_an_empty_map_gives_nothing_but_the_floor(
        self, name: str, parameters: dict[str, Any], shape: tuple[int, ...]
    ) -> None:
        pooled = pool(np.zeros(shape, dtype=np.float32), name, **parameters)
        floor = parameters.get("eps", 1e-6) if name == "gem" else 0.0
        np.testing.assert_allclose(pooled, np.full_like(pooled, floor), rtol=1e-5)

    def test_signed_maps_give_finite_vectors(self, name: str, parameters: dict[str, Any]) -> None:
        assert np.isfinite(pool(_signed((3, 4, 6, 5)), name, **parameters)).all()
        assert np.isfinite(pool(-np.ones((1, 4, 6, 5)), name, **parameters)).all()

    def test_half_precision_is_pooled_in_single(self, name: str, parameters: dict[str, Any], torch: ModuleType) -> None:
        # 120³ and the sum of 20 cells of 60 000 are beyond float16.
        for scale in (120, 60000):
            maps = (_after_relu((2, 3, 5, 4)).clip(max=1) * scale).astype(np.float16)
            pooled = pool(maps, name, **parameters)
            assert pooled.dtype == np.float32
            assert np.isfinite(pooled).all()
            np.testing.assert_array_equal(pooled, pool(maps.astype(np.float32), name, **parameters))
            brain = torch.from_numpy(maps.astype(np.float32)).bfloat16()
            tensors = pool(brain, name, **parameters)
            assert tensors.dtype == torch.float32
            assert torch.equal(tensors, pool(brain.float(), name, **parameters))

    def test_maps_are_read_in_any_layout_and_left_alone(self, name: str, parameters: dict[str, Any]) -> None:
        maps = _after_relu((2, 3, 5, 4))
        turned = np.ascontiguousarray(maps.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        turned.flags.writeable = False
        expected = pool(maps, name, **parameters)
        np.testing.assert_allclose(pool(turned, name, **parameters), expected, rtol=1e-12)

    def test_other_shapes_are_refused(self, name: str, parameters: dict[str, Any]) -> None:
        for shape in ((3, 5, 4), (1, 0, 5, 4), (1, 3, 0, 4)):
            with pytest.raises(UsageError, match=r"maps: got shape .*; expected \(B, C, H, W\)"):
                pool(np.zeros(shape), name, **parameters)


class TestWindows:
    """The worked example of the lecture, on one 4 × 4 map."""

    MAP = np.array([[[[5, 3, 1, 2], [1, 2, 3, 2], [4, 2, 2, 5], [3, 6, 1, 1]]]], dtype=np.float32)

    def test_average(self) -> None:
        assert window_average(self.MAP).tolist() == [[2.75, 2, 3.75, 2.25]]

    def test_max(self) -> None:
        assert window_max(self.MAP).tolist() == [[5, 3, 6, 5]]

    def test_sum_is_the_window_size_times_the_average(self) -> None:
        np.testing.assert_array_equal(window_sum(self.MAP), 4 * window_average(self.MAP))

    def test_cells_that_fill_no_window_are_left_out(self) -> None:
        assert window_sum(self.MAP, window=3).tolist() == [[5 + 3 + 1 + 1 + 2 + 3 + 4 + 2 + 2]]

    @pytest.mark.parametrize("parameters", [{"window": 0}, {"stride": 0}, {"window": 1.5}])
    def test_parameters_out_of_range(self, parameters: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match="expected a whole number of at least 1"):
            window_max(self.MAP, **parameters)


class TestGem:
    def test_lies_between_average_and_maximum_and_rises_with_p(self) -> None:
        maps = _after_relu((1, 5, 6, 7)) + 0.01
        steps = [average_pool(maps), *(gem(maps, p=p) for p in (2, 3, 8, 100)), max_pool(maps)]
        for lower, higher in pairwise(steps):
            assert (lower <= higher + 1e-12).all()

    def test_a_large_p_is_nearly_the_maximum_and_does_not_overflow(self) -> None:
        maps = (60 * _after_relu((1, 3, 8, 8))).astype(np.float32)
        np.testing.assert_allclose(gem(maps, p=1000.0)[:, 1:], max_pool(maps)[:, 1:], rtol=0.01)

    def test_the_quick_cube_equals_the_general_power(self) -> None:
        maps = _after_relu((2, 3, 5, 4))
        np.testing.assert_allclose(gem(maps), gem(maps, p=3 + 1e-12), rtol=1e-9)

    @pytest.mark.parametrize("parameters", [{"p": 0}, {"p": float("inf")}, {"p": float("nan")}, {"eps": 0.0}])
    def test_parameters_out_of_range(self, parameters: dict[str, float]) -> None:
        with pytest.raises(UsageError, match="expected a finite number above 0"):
            gem(np.ones((1, 1, 2, 2)), **parameters)


class TestCrow:
    def test_a_channel_that_is_always_on_weighs_least(self) -> None:
        maps = np.zeros((1, 3, 2, 2))
        maps[0, 1] = 1  # everywhere
        maps[0, 2, 0, 0] = 1  # in one place
        # S = [2, 1, 1, 1], |S| = √7; q = 0, 1, ¼.
        root = 7**0.25
        expected = [0, math.log(1.25) * (math.sqrt(2) + 3) / root, math.log(5) * math.sqrt(2) / root]
        np.testing.assert_allclose(crow(maps)[0], expected, rtol=1e-12)


class TestSpoc:
    def test_the_prior_is_one_in_the_centre_and_symmetric(self) -> None:
        weights = np.array([spoc(np.eye(20)[i].reshape(1, 1, 5, 4))[0, 0] for i in range(20)]).reshape(5, 4)
        np.testing.assert_allclose(weights, weights[::-1, ::-1], rtol=1e-12)
        assert spoc(np.ones((1, 1, 1, 1)))[0, 0] == 1.0
        # σ = 4 / 6; cell (0, 0) lies 2 rows and 1.5 columns from the centre.
        assert weights[0, 0] == pytest.approx(math.exp(-(2**2 + 1.5**2) / (2 * (4 / 6) ** 2)))


class TestRmac:
    def test_regions_are_in_the_order_of_the_grid(self) -> None:
        maps = _after_relu((2, 3, 7, 10))
        regions = rmac_regions(maps)
        squares = _literal_grid(10, 7, 3)
        assert regions.shape == (2, 20, 3)
        for index, (x, y, side) in enumerate(squares):
            expected = maps[:, :, y : y + side, x : x + side].max(axis=(2, 3))
            np.testing.assert_array_equal(regions[:, index], expected)

    def test_blocks_of_channels_give_the_same(self, torch: ModuleType) -> None:
        maps = _after_relu((3, 3000, 4, 6)).astype(np.float32)  # NumPy works through them block by block
        tensors = torch.from_numpy(maps)
        np.testing.assert_array_equal(rmac_regions(maps), rmac_regions(tensors).numpy())
        np.testing.assert_allclose(gem(maps), gem(tensors).numpy(), rtol=1e-5)

    def test_every_vector_has_unit_length(self) -> None:
        np.testing.assert_allclose(np.linalg.norm(rmac(_after_relu((4, 6, 9, 5))), axis=1), 1, rtol=1e-12)

    def test_whitening_comes_before_the_sum(self) -> None:
        fitting = l2_normalise(rmac_regions(_after_relu((30, 4, 7, 7), seed=1).astype(np.float32)))
        whitening = PCAWhitening.fit(fitting.reshape(-1, 4), dimension=3)
        maps = _after_relu((2, 4, 7, 10)).astype(np.float32)
        expected = []
        for x in maps:
            total = np.zeros(3)
            for left, top, side in _literal_grid(10, 7, 3):
                mac = x[:, top : top + side, left : left + side].max(axis=(1, 2))
                white = whitening.projection @ (mac / np.linalg.norm(mac) - whitening.mean)
                total += white / np.linalg.norm(white)
            expected.append(total / np.linalg.norm(total))
        pooled = pool(maps, "rmac", whitening=whitening.transform)
        np.testing.assert_allclose(pooled, expected, rtol=1e-4, atol=1e-5)

    def test_what_the_whitening_returns_is_normalised(self) -> None:
        maps = _after_relu((1, 3, 4, 4))
        np.testing.assert_allclose(rmac(maps, whitening=lambda rows: 7 * rows), rmac(maps), rtol=1e-12)


class TestScda:
    def test_averages_and_maximises_over_the_largest_part(self) -> None:
        maps = np.zeros((1, 1, 3, 5))
        maps[0, 0, 0, :2] = [8, 9]  # two cells, touching the three below only by a corner
        maps[0, 0, 1, 2:] = [3, 4, 5]
        np.testing.assert_allclose(scda(maps), [[4.0, 5.0]], rtol=1e-12)

    def test_among_equal_parts_the_first_in_reading_order_counts(self) -> None:
        maps = np.array([[[[1.0, 0.0, 2.0]]]])
        maps[0, 0, 0, 0] = 3
        assert scda(maps).tolist() == [[3.0, 3.0]]
        assert scda(maps[..., ::-1].copy()).tolist() == [[2.0, 2.0]]

    def test_a_winding_part_is_followed_to_its_end(self) -> None:
        snake = np.array([[1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1.0]])
        values = snake * np.arange(26, 51).reshape(5, 5)
        expected = [values.sum() / snake.sum(), values.max()]
        np.testing.assert_allclose(scda(values[None, None]), [expected])

    @given(some_array(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=7)))
    def test_selects_what_a_flood_fill_finds(self, mask: NDArray[np.bool_]) -> None:
        # Whole numbers, so that no sum depends on its order.
        values = np.where(mask, 1000.0 + np.arange(mask.size).reshape(mask.shape), 0.0)
        np.testing.assert_allclose(scda(values[None, None])[0], _literal_scda([values.tolist()]), rtol=1e-12)


class TestPool:
    def test_takes_a_function_of_your_own(self) -> None:
        def middle(maps: Maps, *, row: int) -> Maps:
            return maps[:, :, row, 0]

        assert pool(np.arange(6.0).reshape(1, 2, 3, 1), middle, row=1).tolist() == [[1.0, 4.0]]

    @pytest.mark.parametrize(
        ("name", "parameters", "message"),
        [
            ("gemm", {}, "unknown pooling 'gemm'; did you mean 'gem'?"),
            ("zzz", {}, "unknown pooling 'zzz'; expected one of sum, average, max"),
            ("gem", {"pp": 3}, "pooling 'gem' has no parameter 'pp'; did you mean 'p'?"),
            (
                "rmac",
                {"steps": 3},
                "pooling 'rmac' has no parameter 'steps'; expected one of levels, whitening",
            ),
            ("sum", {"p": 3}, "pooling 'sum' has no parameter 'p'; it takes none"),
        ],
    )
    def test_unknown_names_and_parameters(self, name: str, parameters: dict[str, float], message: str) -> None:
        with pytest.raises(RecipeError) as caught:
            pool(np.ones((1, 1, 2, 2)), name, **parameters)
        assert str(caught.value).startswith(message)

    def test_mac_is_max(self) -> None:
        assert POOLINGS["mac"].function is POOLINGS["max"].function

    def test_every_entry_is_documented(self) -> None:
        for entry in POOLINGS.values():
            assert entry.summary
            assert entry.source[-4:].isdigit()
