"""The contract of every pooling: a literal oracle, NumPy and PyTorch alike, gradients, odd maps."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from kindred.errors import UsageError
from kindred.pooling import POOLINGS, pool
from pooling_oracles import ORACLES, after_relu, given, signed

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in POOLINGS),
    ("window_sum", {"window": 3, "stride": 1}),
    ("window_average", {"window": 3}),
    ("window_max", {"window": 1, "stride": 2}),
    ("spoc", {"centre_prior": False}),
    ("gem", {"p": 1.0}),
    ("gem", {"p": 2.6, "eps": 1e-3}),
    ("crow", {"a": 1.0, "b": 3.0}),
    ("gem", {"p": "each"}),
    ("superglobal", {"p": 3.0, "window": 3, "window_p": 2.0}),
    ("pwa", {"alpha": 1.0, "beta": 3.0}),
    ("cam", {"classes": 2}),
    ("rmac", {"levels": 2}),
    ("rgem", {"levels": 2, "p": 2.5, "eps": 1e-4}),
    ("rmac", {"whole": True}),
    ("rgem", {"levels": 2, "whole": True}),
    ("pyramid_gem", {"levels": 1}),
    ("pyramid_gem", {"levels": 3, "p": 2.5, "eps": 1e-4}),
    ("scda", {"unit_halves": False}),
    ("scda", {"connectivity": 4}),
]

SHAPES = [(2, 3, 5, 4), (1, 4, 7, 10), (3, 2, 9, 5), (1, 2, 6, 6), (2, 3, 1, 1), (1, 2, 1, 7), (1, 2, 6, 1)]

every_variant = pytest.mark.parametrize(("name", "parameters"), VARIANTS, ids=lambda v: str(v).strip("{}"))
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def complete(name: str, parameters: dict[str, Any], channels: int) -> dict[str, Any]:
    """Add the parameters that are fitted or come from the network, and one exponent per channel."""
    if parameters.get("p") == "each":
        parameters = {"p": [1.5 + channel for channel in range(channels)]}
    return {**given(name, channels), **parameters}


def run(maps: Any, name: str, parameters: dict[str, Any]) -> Any:
    return pool(maps, name, **complete(name, parameters, maps.shape[1] if maps.ndim == 4 else 3))


def dimension(shape: tuple[int, ...], name: str, parameters: dict[str, Any]) -> int:
    return POOLINGS[name].dimension(*shape, **complete(name, parameters, shape[0]))


def test_every_pooling_has_an_oracle() -> None:
    assert ORACLES.keys() == POOLINGS.keys()


@every_variant
@every_shape
class TestContract:
    def test_equals_its_definition(self, name: str, parameters: dict[str, Any], shape: tuple[int, ...]) -> None:
        maps = after_relu(shape)
        expected = np.array([ORACLES[name](x, **complete(name, parameters, len(x))) for x in maps.tolist()])
        np.testing.assert_allclose(run(maps, name, parameters), expected, rtol=1e-10, atol=1e-12)
        single = run(maps.astype(np.float32), name, parameters)
        np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-6)

    def test_has_its_declared_dimension(self, name: str, parameters: dict[str, Any], shape: tuple[int, ...]) -> None:
        pooled = run(after_relu(shape).astype(np.float32), name, parameters)
        assert pooled.shape == (shape[0], dimension(shape[1:], name, parameters))
        assert pooled.dtype == np.float32

    def test_torch_gives_the_same(
        self, name: str, parameters: dict[str, Any], shape: tuple[int, ...], torch: ModuleType
    ) -> None:
        maps = after_relu(shape).astype(np.float32)
        tensors = run(torch.from_numpy(maps), name, parameters)
        assert tensors.dtype == torch.float32
        np.testing.assert_allclose(tensors.numpy(), run(maps, name, parameters), rtol=1e-5, atol=1e-5)

    def test_gradients_are_finite(
        self, name: str, parameters: dict[str, Any], shape: tuple[int, ...], torch: ModuleType
    ) -> None:
        for maps in (after_relu(shape), signed(shape), np.zeros(shape), np.ones(shape)):
            leaf = torch.from_numpy(maps).float().requires_grad_()
            (run(leaf, name, parameters) ** 2).sum().backward()
            assert torch.isfinite(leaf.grad).all()


@every_variant
class TestEveryPooling:
    def test_gradients_are_correct(self, name: str, parameters: dict[str, Any], torch: ModuleType) -> None:
        # Away from 0 and with all cells apart, every pooling is smooth.
        cells = np.random.default_rng(3).permutation(2 * 2 * 4 * 3).reshape(2, 2, 4, 3) / 10 + 0.5
        leaf = torch.from_numpy(cells).requires_grad_()
        assert torch.autograd.gradcheck(lambda maps: run(maps, name, parameters), (leaf,))

    def test_a_batch_equals_its_images_one_by_one(self, name: str, parameters: dict[str, Any]) -> None:
        maps = after_relu((5, 4, 6, 8)).astype(np.float32)
        singles = [run(maps[i : i + 1], name, parameters)[0] for i in range(5)]
        np.testing.assert_allclose(run(maps, name, parameters), singles, rtol=1e-6, atol=1e-7)

    def test_no_images_give_no_vectors(self, name: str, parameters: dict[str, Any]) -> None:
        pooled = run(np.zeros((0, 3, 5, 4)), name, parameters)
        assert tuple(pooled.shape) == (0, dimension((3, 5, 4), name, parameters))

    @pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 2, 1, 1)])
    def test_a_map_of_zeros_gives_zeros_or_the_floor(
        self, name: str, parameters: dict[str, Any], shape: tuple[int, ...]
    ) -> None:
        pooled = run(np.zeros(shape, dtype=np.float32), name, parameters)
        floors = {"gem": parameters.get("eps", 1e-6), "superglobal": 1e-8}
        floors |= dict.fromkeys(("rgem", "pyramid_gem"), shape[1] ** -0.5)  # of unit vectors, all components alike
        floor = floors.get(name, 0.0)
        np.testing.assert_allclose(pooled, np.full_like(pooled, floor), rtol=1e-5)

    def test_signed_maps_give_finite_vectors(self, name: str, parameters: dict[str, Any]) -> None:
        assert np.isfinite(run(signed((3, 4, 6, 5)), name, parameters)).all()
        assert np.isfinite(run(-np.ones((1, 4, 6, 5)), name, parameters)).all()

    def test_half_precision_is_pooled_in_single(self, name: str, parameters: dict[str, Any], torch: ModuleType) -> None:
        # 120³ and the sum of 20 cells of 60 000 are beyond float16.
        for scale in (120, 60000):
            maps = (after_relu((2, 3, 5, 4)).clip(max=1) * scale).astype(np.float16)
            pooled = run(maps, name, parameters)
            assert pooled.dtype == np.float32
            assert np.isfinite(pooled).all()
            np.testing.assert_array_equal(pooled, run(maps.astype(np.float32), name, parameters))
            brain = torch.from_numpy(maps.astype(np.float32)).bfloat16()
            tensors = run(brain, name, parameters)
            assert tensors.dtype == torch.float32
            assert torch.equal(tensors, run(brain.float(), name, parameters))

    @pytest.mark.parametrize("scale", [1e13, 1e-13])
    def test_very_large_and_very_small_values_are_pooled_correctly(
        self, name: str, parameters: dict[str, Any], scale: float, torch: ModuleType
    ) -> None:
        """1e13³ is beyond float32, and so is 1e-13³ below; in float64 both are numbers like any."""
        smooth = {"eps": 1e-20} if name in ("gem", "rgem", "pyramid_gem") else {}  # no floor above what is there
        maps = (after_relu((2, 3, 5, 4)) + 0.1).astype(np.float32) * np.float32(scale)
        exact = run(maps.astype(np.float64), name, {**parameters, **smooth})
        if name == "superglobal" and scale < 1:
            return  # its floor is 1e-8
        for given_maps in (maps, torch.from_numpy(maps)):
            with np.errstate(over="raise"):
                pooled = np.asarray(run(given_maps, name, {**parameters, **smooth}))
            np.testing.assert_allclose(pooled, exact, rtol=1e-4)

    def test_maps_of_any_memory_layout_are_read_and_not_modified(self, name: str, parameters: dict[str, Any]) -> None:
        maps = after_relu((2, 3, 5, 4))
        turned = np.ascontiguousarray(maps.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        turned.flags.writeable = False
        expected = run(maps, name, parameters)
        np.testing.assert_allclose(run(turned, name, parameters), expected, rtol=1e-12)

    def test_other_shapes_are_refused(self, name: str, parameters: dict[str, Any]) -> None:
        for shape in ((3, 5, 4), (1, 0, 5, 4), (1, 3, 0, 4)):
            with pytest.raises(UsageError, match=r"maps: got shape .*; expected \(B, C, H, W\)"):
                run(np.zeros(shape), name, parameters)
