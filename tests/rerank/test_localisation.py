from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.features import ConvMap
from kindred.ranking import Ranking
from kindred.rerank.context import Context
from kindred.rerank.localisation import (
    IntegralMap,
    coarse_boxes,
    localise,
    most_similar_box,
    quantised,
    refined,
)

Box = tuple[int, int, int, int]
Map = NDArray[np.float32]


def _map(channels: int, height: int, width: int, *, seed: int = 0) -> Map:
    """Responses after a ReLU, a third of them 0."""
    values = np.random.default_rng(seed).standard_normal((channels, height, width)) + 0.4
    return np.maximum(values, 0).astype(np.float32)


def _framed(values: Map) -> ConvMap:
    return ConvMap(values, (0.0, 0.0, float(values.shape[2]), float(values.shape[1])))


def _scene(channels: int = 24) -> tuple[Map, Map, Box]:
    """A map, an image in whose middle it lies, and where."""
    thing = _map(channels, 4, 6, seed=1) * 3
    image = _map(channels, 14, 20, seed=2)
    box = (7, 5, 13, 9)
    image[:, box[1] : box[3], box[0] : box[2]] = thing
    return thing, image, box


def _literal_maximum(channel: Map, box: Box, exponent: float) -> float:
    x0, y0, x1, y1 = box
    powers = [float(channel[y, x]) ** exponent for y in range(y0, y1) for x in range(x0, x1)]
    return math.pow(sum(powers), 1 / exponent)


def _literal_cosine(query: Map, image: Map, box: Box, exponent: float) -> float:
    wanted = [float(channel.max()) for channel in query]
    found = [_literal_maximum(channel, box, exponent) for channel in image]
    norms = math.sqrt(sum(a * a for a in wanted)) * math.sqrt(sum(b * b for b in found))
    return sum(a * b for a, b in zip(wanted, found, strict=True)) / norms if norms else 0.0


def _every_box(width: int, height: int, lines_x: list[int], lines_y: list[int]) -> list[Box]:
    return [
        (x0, y0, x1, y1)
        for x0, y0, x1, y1 in product(range(width), range(height), range(1, width + 1), range(1, height + 1))
        if x0 < x1 and y0 < y1 and {x0, x1} <= set(lines_x) and {y0, y1} <= set(lines_y)
    ]


def _literal_search(query: Map, image: Map, *, step: int, aspect: float, exponent: float) -> tuple[float, Box]:
    """The best of the coarse boxes, by brute force."""
    _, height, width = image.shape
    shape = query.shape[2] / query.shape[1]
    lines = [[*range(0, side, step), side] for side in (width, height)]
    boxes = [
        (x0, y0, x1, y1)
        for x0, y0, x1, y1 in _every_box(width, height, *lines)
        if 1 / aspect - 1e-12 <= (x1 - x0) / (y1 - y0) / shape <= aspect + 1e-12
    ]  # fmt: skip
    scored = [(_literal_cosine(query, image, box, exponent), box) for box in boxes]
    return max(scored)


@pytest.mark.parametrize(("step", "aspect"), [(1, 1.1), (1, 2.0), (2, 1.5), (3, 1.25)])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_coarse_search_is_that_over_all_boxes(step: int, aspect: float, seed: int) -> None:
    query, image = _map(6, 3, 4, seed=seed + 10), _map(6, 6, 8, seed=seed)
    expected, box = _literal_search(query, image, step=step, aspect=aspect, exponent=10)
    score, found = most_similar_box(
        _framed(query), _framed(image), step=step, aspect=aspect, exponent=10, refinements=0
    )
    assert score == pytest.approx(expected, abs=1e-5)
    assert _literal_cosine(query, image, tuple(found.tolist()), 10) == pytest.approx(expected, abs=1e-5)
    assert tuple(found.tolist()) == box


def _literal_descent(query: Map, image: Map, box: Box, *, step: int, rounds: int) -> tuple[float, Box]:
    """Each side in turn goes to the best of the places up to `step` cells away; until nothing changes."""
    _, height, width = image.shape
    score = _literal_cosine(query, image, box, 10)
    for _ in range(rounds):
        before = score
        for side in range(4):
            moved = [(*box[:side], box[side] + by, *box[side + 1 :]) for by in range(-step, step + 1)]
            allowed = [(x0, y0, x1, y1) for x0, y0, x1, y1 in moved if 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height]
            best, there = max((_literal_cosine(query, image, each, 10), each) for each in allowed)
            if best > score:
                score, box = best, there
        if score == before:
            break
    return score, box


@pytest.mark.parametrize(("step", "rounds"), [(1, 5), (3, 1), (3, 5)])
@pytest.mark.parametrize("seed", [3, 4])
def test_refining_is_coordinate_descent(step: int, rounds: int, seed: int) -> None:
    query, image = _map(6, 3, 4, seed=11), _map(6, 7, 9, seed=seed)
    wanted = query.max(axis=(1, 2)) / np.linalg.norm(query.max(axis=(1, 2)))
    integral = IntegralMap.of(image, 10.0)
    start = np.array([3, 2, 6, 5])
    before = float(integral.similarities(start[None], wanted)[0])
    score, box = refined(integral, wanted, start, before, step=step, refinements=rounds)
    expected, there = _literal_descent(query, image, (3, 2, 6, 5), step=step, rounds=rounds)
    assert score == pytest.approx(expected, abs=1e-4)
    assert tuple(box.tolist()) == there
    assert score > before


@pytest.mark.parametrize("exponent", [1.0, 3.0, 10.0])
def test_integral_maxima_equal_their_definition(exponent: float) -> None:
    image = _map(5, 6, 7) * 40
    boxes = np.array(_every_box(7, 6, list(range(8)), list(range(7))))
    found = IntegralMap.of(image, exponent).maxima(boxes)
    for box, row in zip(boxes.tolist(), found.tolist(), strict=True):
        for channel, value in zip(image, row, strict=True):
            lost = 0.06 * float(channel.max()) if exponent == 10 else 1e-4 * float(channel.max())
            assert value == pytest.approx(_literal_maximum(channel, tuple(box), exponent), rel=1e-4, abs=lost)


def test_the_larger_the_exponent_the_nearer_to_the_maximum() -> None:
    image = _map(8, 9, 9)
    box = np.array([[2, 1, 8, 7]])
    true = image[:, 1:7, 2:8].max(axis=(1, 2))
    misses = [np.abs(IntegralMap.of(image, p).maxima(box)[0] - true).max() for p in (3.0, 10.0, 30.0)]
    assert misses[0] > misses[1] > misses[2]
    assert misses[1] < 0.15 * true.max()


def test_coarse_boxes_lie_on_the_lines() -> None:
    found = coarse_boxes(10, 7, step=3, shape=10 / 7, aspect=1.1)
    expected = [
        box for box in _every_box(10, 7, [0, 3, 6, 9, 10], [0, 3, 6, 7])
        if 1 / 1.1 <= (box[2] - box[0]) / (box[3] - box[1]) / (10 / 7) <= 1.1
    ]  # fmt: skip
    assert sorted(map(tuple, found.tolist())) == sorted(expected)
    assert (0, 0, 10, 7) in expected


def test_if_no_box_has_the_shape_the_nearest_are_tried() -> None:
    found = coarse_boxes(4, 4, step=3, shape=50.0, aspect=1.1)
    assert found.tolist() == [[0, 3, 4, 4]]


def test_quantised_responses() -> None:
    given = np.array([-3, 0, 0.5, 1, 16, 17, 32, 33, 127, 128, 129, 5000], np.float32)
    assert quantised(given).tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 8, 8, 8, 8]
    assert quantised(given).tolist() == [math.floor((15 + min(max(x, 0), 128)) / 16) for x in given.tolist()]


def _context(query: Map, images: list[Map]) -> Context:
    nothing: Any = None
    framed = [ConvMap(image, (0, 0, 16.0 * image.shape[2], 8.0 * image.shape[1])) for image in images]
    return Context(
        np.zeros((1, 2), np.float32), nothing, query_maps=lambda _: _framed(query), image_maps=framed.__getitem__
    )


def test_the_thing_is_found_where_it_lies() -> None:
    thing, image, box = _scene()
    score, found = most_similar_box(_framed(thing), _framed(image))
    assert score > 0.97
    assert np.abs(found - box).max() <= 1


@pytest.mark.parametrize("quantise", [False, True])
def test_results_are_ordered_by_their_best_box(quantise: bool) -> None:
    thing, image, box = _scene()
    images = [12 * _map(24, 14, 20, seed=7), 12 * image, 12 * _map(24, 14, 20, seed=8)]
    ranking = Ranking(np.array([[0, 1, 2]]), np.array([[0.9, 0.8, 0.7]], np.float32))
    found = localise(ranking, _context(12 * thing, images), depth=2, quantise=quantise)
    assert found.ids.tolist() == [[1, 0, 2]]
    assert found.scores[0, 0] > found.scores[0, 1] >= found.scores[0, 2]
    assert found.boxes is not None
    in_pixels = np.array(box) * (16, 8, 16, 8)
    assert (np.abs(found.boxes[0, 0] - in_pixels) <= (16, 8, 16, 8)).all()
    assert np.isnan(found.boxes[0, 2]).all()


def test_maps_without_any_response_come_last() -> None:
    thing, image, _ = _scene()
    ranking = Ranking(np.array([[0, 1]]), np.array([[0.9, 0.8]], np.float32))
    found = localise(ranking, _context(thing, [np.zeros_like(image), image]))
    assert found.ids.tolist() == [[1, 0]]
    assert found.scores[0, 1] == 0


def test_one_cell() -> None:
    score, box = most_similar_box(_framed(np.ones((3, 1, 1), np.float32)), _framed(np.ones((3, 1, 1), np.float32)))
    assert score == pytest.approx(1)
    assert box.tolist() == [0, 0, 1, 1]


def test_bad_input() -> None:
    nothing: Any = None
    ranking = Ranking(np.array([[0]]), np.array([[0.9]], np.float32))
    with pytest.raises(UsageError, match="feature maps"):
        localise(ranking, Context(np.zeros((1, 2), np.float32), nothing))
    thing = _framed(_map(3, 4, 4))
    with pytest.raises(UsageError, match="3 and 2 channels"):
        most_similar_box(thing, _framed(_map(2, 4, 4)))
    for options in ({"step": 0}, {"exponent": 0.0}, {"aspect": 0.9}, {"refinements": -1}):
        with pytest.raises(UsageError, match=next(iter(options))):
            most_similar_box(thing, thing, **options)
    with pytest.raises(UsageError, match="depth"):
        localise(ranking, _context(_map(3, 4, 4), [_map(3, 4, 4)]), depth=0)
