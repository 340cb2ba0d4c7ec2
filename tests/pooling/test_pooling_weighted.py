"""Tests of the weighted sums: worked examples, order, invalid arguments."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from kindred.errors import UsageError
from kindred.pooling import (
    POOLINGS,
    cam,
    cam_vectors,
    crow,
    pool,
    pwa,
    pwa_channels,
    spoc,
    sum_pool,
)
from pooling_oracles import after_relu, literal_unit


class TestCrow:
    def test_a_channel_that_is_always_active_has_the_smallest_weight(self) -> None:
        maps = np.zeros((1, 3, 2, 2))
        maps[0, 1] = 1  # everywhere
        maps[0, 2, 0, 0] = 1  # in one place
        # S = [2, 1, 1, 1], |S| = √7; q = 0, 1, ¼.
        root = 7**0.25
        expected = [0, math.log(1.25) * (math.sqrt(2) + 3) / root, math.log(5) * math.sqrt(2) / root]
        np.testing.assert_allclose(crow(maps)[0], expected, rtol=1e-12)


class TestPwa:
    def test_weights_are_those_of_the_detector_channel(self) -> None:
        maps = np.array([[[[3.0, 4.0]], [[1.0, 2.0]]]])
        root = [math.sqrt(3 / 5), math.sqrt(4 / 5)]  # the detector is channel 0, its norm 5
        expected = [[3 * root[0] + 4 * root[1], root[0] + 2 * root[1]]]
        np.testing.assert_allclose(pwa(maps, channels=[0]), expected, rtol=1e-12)

    def test_parts_are_in_the_order_of_the_channels(self) -> None:
        maps = after_relu((2, 4, 3, 3))
        both = pwa(maps, channels=[3, 1])
        np.testing.assert_allclose(both, np.hstack([pwa(maps, channels=[3]), pwa(maps, channels=[1])]), rtol=1e-12)

    @pytest.mark.parametrize(
        ("channels", "message"),
        [
            (None, "pwa: got no channels; fit them on other images"),
            ([0, 2], "channels: got 0 to 2; the maps have 0 to 1"),
            ([-1], "channels: got -1 to -1; the maps have 0 to 1"),
            ([], r"channels: got float64 \(0,\); expected whole numbers"),
            ([0.5], "expected whole numbers"),
            ([[0]], r"channels: got int64 \(1, 1\); expected whole numbers \(n,\)"),
        ],
    )
    def test_invalid_channels(self, channels: object, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            pool(np.ones((1, 2, 3, 3)), "pwa", channels=channels)  # type: ignore[arg-type]


class TestPwaChannels:
    ROWS = (np.random.default_rng(0).standard_normal((50, 6)) * [1, 5, 2, 0, 3, 4] + 1000).astype(np.float32)

    def test_the_largest_variances_come_first(self) -> None:
        expected = np.argsort(-self.ROWS.astype(np.float64).var(axis=0))[:4]
        assert pwa_channels(self.ROWS, count=4).tolist() == expected.tolist() == [1, 5, 4, 2]

    @pytest.mark.parametrize("size", [1, 7, 50])
    def test_batches_give_the_same_as_all_at_once(self, size: int) -> None:
        batches = (self.ROWS[i : i + size] for i in range(0, 50, size))
        assert pwa_channels(batches, count=6).tolist() == [1, 5, 4, 2, 0, 3]

    def test_equal_variances_are_ordered_by_index(self) -> None:
        assert pwa_channels(self.ROWS[:, [3, 1, 1]], count=2).tolist() == [1, 2]

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            (ROWS, "got 50 rows of 6 channels to select 25 from; expected at least 2 and 25"),
            (ROWS[:1], "got 1 rows"),
            (ROWS[:0], "got 0 rows"),
            ([ROWS, ROWS[:, :5]], "rows: got 5 components after 6; expected all alike"),
        ],
    )
    def test_invalid_rows_are_refused(self, rows: Any, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            pwa_channels(rows)

    def test_the_fitted_arrays_are_parameters_of_the_function(self) -> None:
        learning = POOLINGS["pwa"].fitted
        assert learning is not None
        maps = after_relu((8, 30, 3, 3)).astype(np.float32)
        rows = learning.gather(maps)
        np.testing.assert_array_equal(rows, sum_pool(maps))
        learned = learning.fit(iter([rows]))
        assert tuple(learned) == learning.names
        assert learned["channels"].shape == (25,)
        pooled: Any = pool(maps, "pwa", **dict(learned))
        assert pooled.shape[1] == POOLINGS["pwa"].dimension(30, 3, 3) == 750


class TestCam:
    MAPS = after_relu((2, 3, 4, 5))
    WEIGHTS = np.random.default_rng(1).standard_normal((6, 3))

    def test_accepts_class_maps_instead_of_weights(self) -> None:
        made = np.einsum("kc,bchw->bkhw", self.WEIGHTS, self.MAPS)
        expected = cam(self.MAPS, weights=self.WEIGHTS, classes=3)
        np.testing.assert_allclose(cam(self.MAPS, class_maps=made, classes=3), expected, rtol=1e-12)

    def test_the_most_probable_classes_come_first(self) -> None:
        scores = self.MAPS.mean(axis=(2, 3)) @ self.WEIGHTS.T
        vectors = cam_vectors(self.MAPS, weights=self.WEIGHTS, classes=2)
        for image, best in enumerate(np.argsort(-scores, axis=1)[:, :2]):
            for place, k in enumerate(best):
                single = cam_vectors(self.MAPS[image : image + 1], weights=self.WEIGHTS[k : k + 1])
                np.testing.assert_allclose(vectors[image, place], single[0, 0], rtol=1e-12)

    def test_a_class_without_activation_adds_nothing(self) -> None:
        weights = np.stack([self.WEIGHTS[0] ** 2, -np.ones(3)])
        expected = cam(self.MAPS, weights=weights[:1])
        np.testing.assert_allclose(cam(self.MAPS, weights=weights), expected, rtol=1e-12)

    def test_whitening_comes_before_the_sum(self) -> None:
        vectors = cam_vectors(self.MAPS, weights=self.WEIGHTS)[0].tolist()
        matrix = np.random.default_rng(2).standard_normal((2, 3))
        whitened = [literal_unit((matrix @ literal_unit(vector)).tolist()) for vector in vectors]
        expected = literal_unit(np.sum(whitened, axis=0).tolist())
        pooled = cam(self.MAPS, weights=self.WEIGHTS, whitening=lambda rows: rows @ matrix.T)
        np.testing.assert_allclose(pooled[0], expected, rtol=1e-10)

    def test_gradients_reach_the_weights(self, torch: ModuleType) -> None:
        weights = torch.from_numpy(self.WEIGHTS).requires_grad_()
        maps = torch.from_numpy(self.MAPS)
        assert torch.autograd.gradcheck(lambda w: cam(maps, weights=w, classes=3), (weights,))

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({}, r"cam: expected the weights of the network's classifier \(K, C\), or class_maps: one"),
            ({"weights": WEIGHTS, "class_maps": MAPS}, "one of the two"),
            ({"weights": WEIGHTS.T}, r"weights: got shape \(3, 6\); expected \(K, 3\), K classes"),
            ({"class_maps": MAPS[:, :, 1:]}, r"class_maps: got shape \(2, 3, 3, 5\); expected \(2, K, 4, 5\)"),
            ({"weights": WEIGHTS, "classes": 0}, "classes: got 0"),
        ],
    )
    def test_invalid_arguments(self, parameters: dict[str, Any], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            cam(self.MAPS, **parameters)


class TestSpoc:
    def test_the_prior_is_one_in_the_centre_and_symmetric(self) -> None:
        weights = np.array([spoc(np.eye(20)[i].reshape(1, 1, 5, 4))[0, 0] for i in range(20)]).reshape(5, 4)
        np.testing.assert_allclose(weights, weights[::-1, ::-1], rtol=1e-12)
        assert spoc(np.ones((1, 1, 1, 1)))[0, 0] == 1.0
        # σ = 4 / 6; cell (0, 0) lies 2 rows and 1.5 columns from the centre.
        assert weights[0, 0] == pytest.approx(math.exp(-(2**2 + 1.5**2) / (2 * (4 / 6) ** 2)))
