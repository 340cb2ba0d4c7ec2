from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred import proposals
from kindred.errors import UsageError
from kindred.proposals import activation_proposals, boxes_to_pixels, non_maximum_suppression, objectness

Maps = NDArray[np.float32]


def blob(height: int, width: int, box: tuple[int, int, int, int], value: float = 1.0) -> Maps:
    """One channel (1, H, W), active in a box alone."""
    x0, y0, x1, y1 = box
    maps = np.zeros((1, height, width), np.float32)
    maps[0, y0:y1, x0:x1] = value
    return maps


def random_maps(channels: int = 16, height: int = 9, width: int = 12, seed: int = 3) -> Maps:
    return np.maximum(np.random.default_rng(seed).normal(size=(channels, height, width)), 0).astype(np.float32)


def overlap(a: NDArray[Any], b: NDArray[Any]) -> float:
    across, down = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    areas = [float(np.prod(box[2:] - box[:2])) for box in (a, b)]
    return float(across * down / (sum(areas) - across * down))


def test_the_first_box_is_around_the_object() -> None:
    boxes, scores = activation_proposals(blob(10, 12, (3, 2, 8, 7)))
    assert boxes.dtype == scores.dtype == np.float32
    assert np.abs(boxes[0] - [3, 2, 8, 7]).max() <= 0.5  # half a cell: the energy is interpolated
    assert scores[0] > 5


def test_two_objects_have_a_box_each() -> None:
    boxes, _ = activation_proposals(blob(12, 16, (1, 2, 6, 8)) + blob(12, 16, (10, 4, 14, 11), value=0.6))
    for box in ([1, 2, 6, 8], [10, 4, 14, 11]):
        assert max(overlap(found, np.array(box)) for found in boxes[:3]) > 0.8


def test_an_object_active_in_a_single_channel() -> None:
    whole, part = blob(12, 12, (2, 2, 10, 10)), blob(12, 12, (3, 3, 6, 6), value=0.2)
    maps = np.concatenate([whole, 1 - 0.1 * whole, part])
    with_channels, _ = activation_proposals(maps, channels=3)
    without, _ = activation_proposals(maps, channels=0)
    best = [max(overlap(box, np.array([3, 3, 6, 6])) for box in boxes) for boxes in (with_channels, without)]
    assert best[0] > 0.7 > best[1]


def test_the_sign_of_activations_has_no_effect() -> None:
    boxes, scores = activation_proposals(blob(10, 12, (3, 2, 8, 7)), channels=0)
    negative, its_scores = activation_proposals(-blob(10, 12, (3, 2, 8, 7)), channels=0)
    assert np.array_equal(boxes, negative)
    assert np.array_equal(scores, its_scores)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 1, 30), (5, 30, 1), (3, 2, 2), (64, 10, 10)])
def test_contract(shape: tuple[int, int, int]) -> None:
    maps = random_maps(*shape)
    boxes, scores = activation_proposals(maps, count=7)
    assert 1 <= len(boxes) <= 7
    assert boxes.shape == (len(scores), 4)
    x0, y0, x1, y1 = boxes.T
    assert (x0 >= 0).all()
    assert (y0 >= 0).all()
    assert (x1 <= shape[2]).all()
    assert (y1 <= shape[1]).all()
    assert ((x1 - x0) * (y1 - y0) >= 0.02 * shape[1] * shape[2]).all()
    assert scores.tolist() == sorted(scores, reverse=True)
    pairs = [(a, b) for a in range(len(boxes)) for b in range(a)]
    assert all(overlap(boxes[a], boxes[b]) <= 0.6 + 1e-6 for a, b in pairs)
    again = activation_proposals(maps, count=7)
    assert np.array_equal(boxes, again[0])
    assert np.array_equal(scores, again[1])


@pytest.mark.parametrize(
    "maps",
    [np.zeros((4, 5, 8)), np.full((4, 5, 8), 3.0), np.full((7, 5, 8), 0.1), np.ones((2, 5, 8), np.float16)],
)
def test_a_constant_map_has_one_box(maps: NDArray[Any]) -> None:
    boxes, scores = activation_proposals(maps)
    assert boxes.tolist() == [[0, 0, 8, 5]]
    assert scores.tolist() == [0]


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(UsageError, match=r"maps: got shape \(4, 5\); expected \(C, H, W\)"):
        activation_proposals(np.ones((4, 5)))
    with pytest.raises(UsageError, match=r"maps: got shape \(4, 0, 5\)"):
        activation_proposals(np.ones((4, 0, 5)))
    with pytest.raises(UsageError, match="maps: got NaN or infinity"):
        activation_proposals(np.full((1, 2, 2), np.nan))
    with pytest.raises(UsageError, match="count: got 0; expected a whole number of at least 1"):
        activation_proposals(random_maps(), count=0)
    with pytest.raises(UsageError, match="channels: got -1; expected at least 0"):
        activation_proposals(random_maps(), channels=-1)


def test_channels_above_their_number() -> None:
    maps = random_maps(3)
    assert np.array_equal(activation_proposals(maps, channels=99)[0], activation_proposals(maps, channels=3)[0])


def _literal_objectness(energy: list[list[float]], box: tuple[int, int, int, int]) -> float:
    height, width = len(energy), len(energy[0])
    x0, y0, x1, y1 = box
    across, down = max(1, round((x1 - x0) / 4)), max(1, round((y1 - y0) / 4))
    inside, ring = [], []
    for y in range(height):
        for x in range(width):
            if x0 <= x < x1 and y0 <= y < y1:
                inside.append(energy[y][x])
            elif x0 - across <= x < x1 + across and y0 - down <= y < y1 + down:
                ring.append(energy[y][x])
    if not ring:
        return 0.0
    cells = [value for row in energy for value in row]
    mean = sum(cells) / len(cells)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in cells) / len(cells))
    n, m = len(inside), len(ring)
    return (sum(inside) / n - sum(ring) / m) / deviation * math.sqrt(n * m / (n + m))


def test_objectness_equals_its_definition() -> None:
    energy = np.random.default_rng(2).random((6, 9))
    boxes = [
        (x0, y0, x1, y1) for x0 in range(9) for x1 in range(x0 + 1, 10) for y0 in range(6) for y1 in range(y0 + 1, 7)
    ]
    expected = [_literal_objectness(energy.tolist(), box) for box in boxes]
    np.testing.assert_allclose(objectness(energy, np.array(boxes)), expected, rtol=1e-9, atol=1e-9)


def test_the_energy_is_interpolated_between_cell_centres() -> None:
    layers = np.array([[[0.0, 4.0, 8.0]], [[1.0, 1.0, 5.0]]])
    finer = proposals._upsampled(layers)
    assert finer.tolist() == [[[0, 1, 3, 5, 7, 8]] * 2, [[1, 1, 1, 2, 4, 5]] * 2]


def test_candidates_are_the_boxes_of_components_above_each_threshold() -> None:
    layer = np.array([[[3.0, 0, 0, 0], [3, 1, 0, 2], [0, 1, 0, 2]]])
    # above 0.75: all that is not 0; above 1.5: the 3s, the 2s; above 2.25: the 3s
    found = proposals._candidates(layer, 3).tolist()
    assert found == [[0, 0, 1, 2], [0, 0, 2, 3], [3, 1, 4, 3]]


def test_boxes_of_a_map_in_the_pixels_of_an_image() -> None:
    boxes, scores = activation_proposals(blob(10, 12, (4, 2, 8, 7)))
    first = non_maximum_suppression(boxes, scores, iou=0.0)[0]
    x0, y0, x1, y1 = boxes_to_pixels(boxes, (12, 10), (384, 320))[first].tolist()
    assert abs(x0 - 128) <= 16
    assert abs(y0 - 64) <= 16
    assert abs(x1 - 256) <= 16
    assert abs(y1 - 224) <= 16


@pytest.mark.parametrize(
    ("name", "box"),
    [("flamingo_0021.jpg", (0.0, 0.0, 1.0, 1.0)), ("sunflower_0030.jpg", (0.12, 0.08, 0.88, 0.98))],
)
def test_real_photos(
    shared: Path, name: str, box: tuple[float, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kindred.backbones import load
    from kindred.images import decode, resize

    monkeypatch.setenv("KINDRED_HOME", str(tmp_path))
    path = next((shared / "data" / "photos").rglob(name))
    pixels = resize(decode(path.read_bytes(), longest=320).pixels, longest=320, multiple=32)
    engine = load(shared / "weights" / "mobilenet_v2.onnx", precision="f32")
    (maps,) = engine.run(pixels[None])
    boxes, _ = activation_proposals(maps[0])
    size = np.array([maps.shape[3], maps.shape[2]] * 2)
    assert max(overlap(found, np.array(box)) for found in boxes[:3] / size) > 0.6
