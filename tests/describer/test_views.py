from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from kindred.backbones import Engine, load
from kindred.describer.views import PASSES, View, Viewer
from kindred.errors import RecipeError
from kindred.images import Decoded, decode, resize
from kindred.proposals import activation_proposals
from kindred.recipe import Recipe
from kindred.regions import boxes_to_pixels, divide
from pictures import picture

WHOLE = (np.nan,) * 4


def viewer(recipe: Recipe, **keys: object) -> Viewer:
    changed = dataclasses.replace(recipe, **keys)  # type: ignore[arg-type]
    return Viewer(changed, load(changed.backbone))


def views(recipe: Recipe, decoded: Decoded, **keys: object) -> list[View]:
    return viewer(recipe, **keys).views(decoded)


def boxes_of(found: list[View]) -> list[list[float]]:
    return [list(view.box) for view in found if not np.isnan(view.box[0])]


@pytest.fixture
def decoded() -> Decoded:
    return decode(picture(5, width=96, height=64))


def test_a_single_pass_is_the_whole_image_at_the_recipes_size(tiny: Recipe, decoded: Decoded) -> None:
    (view,) = views(tiny, decoded)
    assert np.array_equal(view.pixels, resize(decoded.pixels, longest=64, multiple=16))
    assert np.isnan(view.box).all()
    assert view.level == 0


@pytest.mark.parametrize("name", ["grid", "pyramid", "dense"])
def test_regions_follow_the_whole_image(tiny: Recipe, decoded: Decoded, name: str) -> None:
    found = views(tiny, decoded, passes=name)
    regions = divide(96, 64, name)
    assert boxes_of(found) == regions.boxes.tolist()
    assert [view.level for view in found] == [0, *(regions.levels + 1).tolist()]
    x0, y0, x1, y1 = regions.boxes[3]
    expected = resize(np.ascontiguousarray(decoded.pixels[y0:y1, x0:x1]), longest=64, multiple=16, enlarge=True)
    assert np.array_equal(found[4].pixels, expected)
    assert max(found[4].pixels.shape[:2]) == 64


def test_boxes_are_in_pixels_of_the_original(tiny: Recipe, decoded: Decoded) -> None:
    larger = dataclasses.replace(decoded, width=960, height=640)
    found = boxes_of(views(tiny, larger, passes="grid", passes_options={"cells": 2}))
    assert found == [[0, 0, 480, 320], [480, 0, 960, 320], [0, 320, 480, 640], [480, 320, 960, 640]]


def test_scales_and_mirror_images_multiply_the_passes(tiny: Recipe, decoded: Decoded) -> None:
    found = views(tiny, decoded, scales=[1.0, 0.5, 2.0], flip=True)
    sizes = [max(view.pixels.shape[:2]) for view in found]
    assert sizes == [64, 32, 128] * 2
    for view, mirrored in zip(found[:3], found[3:], strict=True):
        assert np.array_equal(view.pixels[:, ::-1], mirrored.pixels)
    regions = views(tiny, decoded, passes="grid", passes_options={"cells": 2}, scales=[1.0, 0.5], flip=True)
    assert len(regions) == 2 * 2 * (1 + 4)


def test_options_whole_and_side(tiny: Recipe, decoded: Decoded) -> None:
    found = views(tiny, decoded, passes="grid", passes_options={"cells": 2, "whole": False, "side": 32})
    assert len(found) == 4
    assert {max(view.pixels.shape[:2]) for view in found} == {32}


def test_small_images_are_enlarged_unless_the_recipe_disables_it(tiny: Recipe) -> None:
    small = decode(picture(1, width=32, height=32))
    assert views(tiny, small)[0].pixels.shape == (64, 64, 3)
    assert views(tiny, small, enlarge=False)[0].pixels.shape == (32, 32, 3)
    scaled = [view.pixels.shape[0] for view in views(tiny, small, enlarge=False, scales=[1.0, 2.0])]
    assert scaled == [32, 64]
    assert views(tiny, small, shape="stretch")[0].pixels.shape == (64, 64, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (3, 2)])
@pytest.mark.parametrize("name", [name for name in PASSES if name != "detector"])
def test_the_smallest_images_have_views(tiny: Recipe, name: str, size: tuple[int, int]) -> None:
    found = views(tiny, decode(picture(2, width=size[0], height=size[1])), passes=name)
    assert all(min(view.pixels.shape[:2]) >= 16 for view in found)
    for x0, y0, x1, y1 in boxes_of(found):
        assert 0 <= x0 < x1 <= size[0]
        assert 0 <= y0 < y1 <= size[1]


def test_proposals_come_from_the_backbones_own_map(tiny: Recipe, decoded: Decoded) -> None:
    looking = viewer(tiny, passes="proposals", passes_options={"count": 4})
    found = looking.views(decoded)
    (maps,) = looking.engine.run(resize(decoded.pixels, longest=64, multiple=16)[None])
    boxes, _ = activation_proposals(maps[0], count=4)
    expected = boxes_to_pixels(boxes, (maps.shape[3], maps.shape[2]), (96, 64))
    assert boxes_of(found) == expected.tolist()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"passes": "gird"}, "unknown passes 'gird'; did you mean 'grid'?"),
        ({"passes": "grid", "passes_options": {"cell": 2}}, "unknown option 'cell'; did you mean 'cells'?"),
        ({"passes": "whole", "passes_options": {"cells": 2}}, "passes 'whole': unknown option 'cells'"),
        ({"passes": "whole", "passes_options": {"side": 64}}, "passes 'whole': unknown option 'side'; it takes none"),
        ({"passes": "grid", "passes_options": {"whole": 1}}, "passes_options.whole is 1; expected true or false"),
        (
            {"passes": "grid", "passes_options": {"whole": False}, "aggregate": "multi_vector"},
            "passes_options.whole is False; expected true",
        ),
        ({"passes": "proposals", "passes_options": {"cuont": 2}}, "unknown option 'cuont'; did you mean 'count'?"),
        (
            {"passes": "grid", "passes_options": {"side": "big"}},
            "passes_options.side is 'big'; expected a whole number",
        ),
    ],
)
def test_wrong_passes_are_refused_at_once(tiny: Recipe, keys: dict[str, object], expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        viewer(tiny, **keys)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "keys", [{"scales": [1.0, 0.5]}, {"passes": "grid", "passes_options": {"side": 32}}], ids=["scales", "side"]
)
def test_sizes_are_refused_for_a_network_of_fixed_input_size(tiny: Recipe, keys: dict[str, object]) -> None:
    engine = load(tiny.backbone)
    fixed = cast(Engine, SimpleNamespace(card=dataclasses.replace(engine.card, input_size=(48, 64)), taps=engine.taps))
    assert Viewer(tiny, fixed).views(decode(picture(1, width=32, height=32)))[0].pixels.shape == (48, 64, 3)
    with pytest.raises(RecipeError, match="expected nothing, as tiny takes only 64 × 48 pixels"):
        Viewer(dataclasses.replace(tiny, **keys), fixed)  # type: ignore[arg-type]
