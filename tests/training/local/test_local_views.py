"""Views of an image: their homographies carry the keypoints to what they show."""

from __future__ import annotations

import numpy as np
import pytest

from kindred.training.local.settings import LocalSettings
from kindred.training.local.views import carried, draw_views, relit

SETTINGS = LocalSettings(size=96, zoom=(0.8, 2.0))


def _dots(places: list[tuple[int, int]]) -> np.ndarray:
    image = np.full((90, 120, 3), 30, np.uint8)
    for x, y in places:
        image[y - 3 : y + 4, x - 3 : x + 4] = 220
    return image


@pytest.mark.parametrize("seed", range(6))
def test_the_matrix_carries_a_dot_to_where_the_view_shows_it(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kindred.training.local.views.relit", lambda pixels, _: pixels)
    place = (60, 45)
    seen = 0
    for attempt in range(5):
        for view in draw_views(_dots([place]), SETTINGS, 1.0, np.random.default_rng([seed, attempt])):
            assert view.pixels.shape == (96, 96, 3)
            ((x, y),) = carried(view.matrix, np.array([(place[0] + 0.5, place[1] + 0.5)], np.float32)).tolist()
            bright = (np.abs(view.pixels.astype(int) - 220) < 40).all(axis=2)
            ys, xs = np.nonzero(bright)
            if not 12 < min(x, y) <= max(x, y) < 84 or not 0 < len(xs) < 500:
                continue  # not in the view, or the colour around the image is that of the dot
            assert np.hypot(xs.mean() + 0.5 - x, ys.mean() + 0.5 - y) < 1.0
            seen += 1
    assert seen > 2


def test_views_are_determined_by_the_generator() -> None:
    image = _dots([(20, 20), (90, 70)])
    first = draw_views(image, SETTINGS, 0.5, np.random.default_rng(4))
    again = draw_views(image, SETTINGS, 0.5, np.random.default_rng(4))
    other = draw_views(image, SETTINGS, 0.5, np.random.default_rng(5))
    assert np.array_equal(first[1].pixels, again[1].pixels)
    assert not np.array_equal(first[1].pixels, other[1].pixels)


def test_the_zoom_stays_in_its_range() -> None:
    image = _dots([(20, 20)])
    zooms = [view.zoom for seed in range(40) for view in draw_views(image, SETTINGS, 0.5, np.random.default_rng(seed))]
    assert min(zooms) >= 0.8 - 1e-9
    assert max(zooms) <= 2.0 + 1e-9
    assert max(zooms) / min(zooms) > 2


def test_other_light_keeps_shape_and_kind() -> None:
    image = _dots([(20, 20)])
    found = [relit(image, np.random.default_rng(seed)) for seed in range(20)]
    assert all(each.shape == image.shape and each.dtype == np.uint8 for each in found)
    assert any((each[..., 0] == each[..., 1]).all() for each in found)  # some are grey
    assert len({each.tobytes() for each in found}) == 20
