"""Extractors other than a single network: keypoints, and ensembles of recipes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from kindred.arrays import l2_normalise
from kindred.describer import Describer, fit_recipe
from kindred.embedding import embed
from kindred.errors import ImageError, RecipeError
from kindred.features import sift
from kindred.images import decode
from kindred.recipe import Recipe
from pictures import save_picture

pytest.importorskip("cv2")

KEYPOINTS = Recipe(name="words", backbone="sift", size=256, pooling="", embedding="vlad", positions=60)


@pytest.fixture(scope="module")
def textured(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures of some hundred pixels: smaller ones have no keypoints."""
    folder = tmp_path_factory.mktemp("textured")
    return [save_picture(folder / f"{at}.png", at, width=320, height=240) for at in range(8)]


def test_keypoints_are_embedded(textured: list[Path]) -> None:
    fitted = fit_recipe(KEYPOINTS, textured, words=4, whiten=False)
    describer = Describer(fitted.recipe, fitted=fitted.fitted)
    rows = [sift(decode(path, longest=256).pixels, count=60, longest=256).descriptors for path in textured]
    stacked = np.concatenate(rows).astype(np.float32)
    expected = l2_normalise(embed(stacked, [len(each) for each in rows], "vlad", fitted.fitted.codebooks[0]))
    assert describer.dimension == 4 * 128
    assert np.abs(describer.describe(textured) - expected).max() < 1e-5
    assert describer.passes == 1


def test_an_image_without_keypoints_has_a_zero_vector(textured: list[Path], tmp_path: Path) -> None:
    fitted = fit_recipe(KEYPOINTS, textured, words=4, whiten=False)
    describer = Describer(fitted.recipe, fitted=fitted.fitted)
    grey = np.full((100, 100, 3), 128, np.uint8)
    assert not describer.describe(grey).any()
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(ImageError):
        describer.describe([tmp_path / "bad.jpg"])


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            {"embedding": "", "positions": 0, "pooling": "gem"},
            "extracts keypoints, which pooling, taps and passes do not",
        ),
        ({"flip": True}, "flip has no effect on 'sift'; leave it out"),
        ({"shape": "stretch"}, "shape has no effect on 'sift'; leave it out"),
        ({"passes": "grid"}, "extracts keypoints, which pooling, taps and passes do not"),
        ({"passes_options": {"contrst": 0.02}}, "sift: unknown option 'contrst'; did you mean 'contrast'?"),
        ({"features": "conv"}, "come from the feature map of a network"),
        ({"features": "sfit"}, "unknown features 'sfit'; did you mean 'sift'?"),
    ],
)
def test_recipe_keys_that_need_a_network_are_refused_for_keypoints(keys: dict[str, object], expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Describer(dataclasses.replace(KEYPOINTS, **keys))  # type: ignore[arg-type]
    assert expected in str(caught.value)


def test_an_ensemble_concatenates_the_vectors_of_its_recipes(tiny: Recipe, pictures_folder: list[Path]) -> None:
    parts = (
        dataclasses.replace(tiny, pooling="max", weight=3.0),
        dataclasses.replace(tiny, taps=("shallow",), size=96),
    )
    describer = Describer(Recipe(name="both", ensemble=parts))
    assert describer.dimension == 48
    rows = describer.describe(pictures_folder)
    for part, slot in zip(parts, (slice(0, 32), slice(32, 48)), strict=True):
        alone = Describer(part).describe(pictures_folder)
        assert np.abs(rows[:, slot] - np.sqrt(part.weight / 4) * alone).max() < 0.015
    assert describer.passes == 2
    other = Describer(Recipe(name="both", ensemble=(dataclasses.replace(parts[0], weight=2.0), parts[1])))
    assert other.fingerprint != describer.fingerprint


def test_an_ensemble_yields_an_unusable_image_with_its_error(
    tiny: Recipe, pictures_folder: list[Path], tmp_path: Path
) -> None:
    describer = Describer(Recipe(name="both", ensemble=(tiny, dataclasses.replace(tiny, pooling="max"))))
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    found = {each.key: each for each in describer.stream([(0, pictures_folder[0]), (1, tmp_path / "bad.jpg")])}
    assert found[1].error is not None
    assert found[0].error is None
    assert (found[0].width, found[0].height) == (64, 48)


def test_the_concatenated_vector_of_an_ensemble_can_be_whitened(
    tiny: Recipe, pictures_folder: list[Path], tmp_path: Path
) -> None:
    fused = Recipe(name="both", ensemble=(tiny, dataclasses.replace(tiny, pooling="max")))
    fitted = fit_recipe(fused, pictures_folder, dimension=8)
    fitted.save(tmp_path / "fused.toml")
    describer = Describer(Recipe.load(tmp_path / "fused.toml"))
    expected = fitted.fitted.whitenings[0].transform(Describer(fused).describe(pictures_folder))
    assert np.abs(describer.describe(pictures_folder) - expected).max() < 0.05


def test_local_features_are_returned_with_the_vector(tiny: Recipe, textured: list[Path]) -> None:
    (described,) = Describer(dataclasses.replace(tiny, features="sift")).stream([(0, textured[2])])
    assert described.features is not None
    assert described.features.descriptors.shape[1] == 128
    assert described.features.points.max(axis=0)[0] > 150  # in pixels of the original, not of the network's 64
    (described,) = Describer(dataclasses.replace(tiny, features="conv")).stream([(0, textured[2])])
    assert described.features is not None
    assert described.features.descriptors.shape[1] == 32
    assert described.features.points.max(axis=0)[0] > 150
