"""Local features from the head of a network: of the recipe's own, in the same pass, or of another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.backbones import Card
from kindred.describer import Describer
from kindred.describer.local import check_features
from kindred.errors import ModelError, RecipeError
from kindred.features import LocalNetwork, from_bytes, stored_bits, to_bytes
from kindred.images import decode, resize
from kindred.recipe import Recipe
from kindred.rerank.verification import match
from pictures import picture, save_picture
from tiny_local import make_local_model, make_local_pair
from tiny_model import change_card, home, make_model


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path) -> Iterator[None]:
    with home(tmp_path / "home"):
        yield


def _recipe(folder: Path, **changes: object) -> Recipe:
    model = str(make_local_model(folder))
    return replace(Recipe(name="eyes", backbone=model, size=96, features=model), **changes)  # type: ignore[arg-type]


def test_features_come_from_the_pass_that_describes_the_image(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path)
    describer = Describer(recipe)
    image = picture(1, width=192, height=128)
    (described,) = describer.one_by_one([(0, image)])
    reduced = resize(decode(image, longest=96).pixels, longest=96)
    expected = LocalNetwork(recipe.features).find(reduced, count=150, longest=96).scaled(2, 2)
    assert described.features is not None
    assert len(described.features) > 5
    assert described.features.points == pytest.approx(expected.points, abs=0.02)
    assert described.features.descriptors == pytest.approx(expected.descriptors, abs=1e-3)
    assert described.features.frame == (0, 0, 192, 128)


def test_a_batch_of_images_keeps_the_features_apart(tmp_path: Path) -> None:
    describer = Describer(_recipe(tmp_path))
    images = [picture(number, width=96, height=64) for number in range(5)]
    many = {each.key: each.features for each in describer.stream(enumerate(images))}
    for number, image in enumerate(images):
        (alone,) = describer.one_by_one([(0, image)])
        own = many[number]
        assert own is not None
        assert alone.features is not None
        assert own.points == pytest.approx(alone.features.points, abs=0.02)


def test_they_change_no_vector_and_no_fingerprint(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path)
    bare = replace(recipe, features="")
    image = picture(2, width=120, height=80)
    assert Describer(recipe).fingerprint == Describer(bare).fingerprint
    assert np.array_equal(Describer(recipe).describe(image), Describer(bare).describe(image))


def test_a_query_is_looked_at_turned_by_itself(tmp_path: Path) -> None:
    describer = Describer(_recipe(tmp_path))
    image = picture(3, width=120, height=80)
    (query,) = describer.one_by_one([(0, image)], is_query=True)
    (indexed,) = describer.one_by_one([(0, image)])
    assert query.features is not None
    assert indexed.features is not None
    assert len(query.features) > 2 * len(indexed.features)
    assert len(query.features.passes) == 5


def test_the_first_look_at_a_query_is_the_pass_that_describes_it(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path)
    image = picture(3, width=240, height=160)
    (query,) = Describer(recipe).one_by_one([(0, image)], is_query=True)
    assert query.features is not None
    first, others = query.features.looks
    network = LocalNetwork(recipe.features)
    own = network.find(resize(image, longest=96), count=500, longest=96).scaled(2.5, 2.5)
    assert first.points == pytest.approx(own.points, abs=0.05)
    again = network.find(image, count=500, longest=480, turns=4)
    assert others.passes == again.passes
    assert others.points == pytest.approx(again.points, abs=0.05)
    assert others.frame == pytest.approx((0, 0, 240, 160))


@pytest.mark.parametrize("make", [make_local_model, make_local_pair])
def test_another_network_finds_them_in_a_pass_of_its_own(tmp_path: Path, make: object) -> None:
    assert callable(make)
    recipe = Recipe(name="both", backbone=str(make_model(tmp_path / "a")), size=64, features=str(make(tmp_path / "b")))
    (described,) = Describer(recipe).one_by_one([(0, picture(4, width=120, height=80))])
    assert described.features is not None
    assert len(described.features) > 5


def test_stretched_images_and_pooled_heads_get_a_pass_of_their_own(tmp_path: Path) -> None:
    image = picture(5, width=160, height=80)
    for changes in ({"shape": "stretch"}, {"taps": ("descriptors",)}, {"scales": (0.5, 1.0)}):
        (described,) = Describer(_recipe(tmp_path, **changes)).one_by_one([(0, image)])
        expected = LocalNetwork(_recipe(tmp_path).features).find(image, count=150, longest=320)
        assert described.features is not None
        assert described.features.points == pytest.approx(expected.points, abs=0.02)


def test_features_that_there_are_not(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path)
    with pytest.raises(RecipeError, match="features"):
        Describer(replace(recipe, features="sifd"))
    with pytest.raises(ModelError, match=r"no table \[local\]"):
        Describer(replace(recipe, features=str(make_model(tmp_path))))
    with pytest.raises(ModelError, match=r"gone\.onnx"):
        Describer(replace(recipe, features=str(tmp_path / "gone.onnx")))


def test_a_head_that_is_not_as_its_card_says(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path)
    card = Card.load(Path(recipe.features).with_suffix(".toml"))
    taps = tuple(replace(tap, channels=23) if tap.name == "descriptors" else tap for tap in card.taps)
    change_card(Path(recipe.features), taps=taps)
    with pytest.raises(ModelError, match="23"):
        list(Describer(recipe).one_by_one([(0, picture(1))]))


def test_a_library_verifies_by_them(tmp_path: Path) -> None:
    from kindred.library import Library

    photos = tmp_path / "photos"
    for number in range(4):
        save_picture(photos / f"{number}.png", number, width=192, height=144)
    with Library.create(tmp_path / "library", recipe=_recipe(tmp_path, size=192)) as library:
        library.index(photos)
        results = library.search(photos / "2.png", rerank="verify")
    best = results[0]
    assert Path(best.path).name == "2.png"
    assert best.score > 8


def test_features_of_a_map_go_with_the_bundled_network() -> None:
    entry = check_features(Recipe(name="maps", backbone="kin", features="conv"))
    assert entry is not None
    assert entry.needs == "map"


@pytest.mark.parametrize("quarter", range(4))
def test_the_bundled_network_verifies_a_picture_turned_and_half_as_large(quarter: int) -> None:
    describer = Describer(Recipe(name="kin", backbone="kin", features="kin"))
    pictures = [textured(number) for number in range(3)]
    stored = []
    for image in pictures:
        (indexed,) = describer.one_by_one([(0, image)])
        assert indexed.features is not None
        assert len(indexed.features) <= 150
        data = to_bytes(indexed.features, bits=stored_bits("kin"))
        assert len(data) <= 4000
        stored.append(from_bytes(data))
    turned = np.ascontiguousarray(np.rot90(resize(pictures[1], longest=240), quarter))
    (query,) = describer.one_by_one([(0, turned)], is_query=True)
    assert query.features is not None
    counts = [0 if (found := match(query.features, image)) is None else found.inliers for image in stored]
    assert counts[1] >= 20
    assert max(counts[0], counts[2]) < 8


def textured(number: int) -> NDArray[np.uint8]:
    """Draw (240, 320, 3): many small shapes on a ground, with corners everywhere."""
    random = np.random.default_rng(number)
    image = np.full((240, 320, 3), random.integers(60, 200, 3), np.uint8)
    for _ in range(160):
        y, x = random.integers(0, 225), random.integers(0, 300)
        height, width = random.integers(5, 30, 2)
        image[y : y + height, x : x + width] = random.integers(0, 256, 3)
    return image


def test_a_query_may_be_looked_at_again_only_if_asked(tmp_path: Path) -> None:
    describer = Describer(_recipe(tmp_path))
    image = picture(3, width=240, height=160)
    (whole,) = describer.one_by_one([(0, image)], is_query=True)
    (lazy,) = describer.one_by_one([(0, image)], is_query=True, lazy=True)
    assert whole.features is not None
    assert lazy.features is not None
    assert whole.more is None
    assert np.array_equal(lazy.features.points, whole.features.looks[0].points)
    complete = describer.looked_again(lazy)
    assert complete.more is None
    assert complete.features is not None
    assert complete.features.passes == whole.features.passes
    assert np.array_equal(complete.features.points, whole.features.points)
    assert describer.looked_again(whole) is whole
    (indexed,) = describer.one_by_one([(0, image)], lazy=True)
    assert indexed.more is None
