"""A library whose local features have a matcher in their card: searches verify by it, and calibrations depend on it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("onnx")

from kindred.calibration import Calibration
from kindred.describer import Describer, save_fitted
from kindred.describer.fitted import fit_record
from kindred.errors import ModelError, RecipeError
from kindred.evaluation import evaluate
from kindred.evaluation.calibrating import labelled_candidates
from kindred.evaluation.datasets import read_dataset
from kindred.evaluation.evaluate import Bench
from kindred.evaluation.files import Files
from kindred.features import LearnedMatcher, LocalFeatures, Pairs
from kindred.library import Example, Library
from kindred.library.explaining import AgreeingPoints
from kindred.recipe import Recipe
from tiny_local import make_local_model
from tiny_matcher import make_matcher, set_matcher

COUNT = 25
SOUGHT = 17


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with many corners, alike as a whole."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(COUNT):
        tiles = np.random.default_rng(number).integers(0, 256, (16, 20, 3), np.uint8)
        Image.fromarray(tiles).resize((160, 128), Image.Resampling.BICUBIC).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def part(photos: Path) -> NDArray[np.uint8]:
    with Image.open(photos / f"{SOUGHT:02}.png") as image:
        return np.asarray(image.convert("RGB").crop((32, 16, 160, 128)))


@pytest.fixture(scope="module")
def blind(recipe: Recipe) -> Recipe:
    """A recipe whose vectors are nearly equal for all pictures, so that inliers decide."""
    return dataclasses.replace(recipe, pooling="window_average", shape="stretch", size=32)


@pytest.fixture
def keypoints(tmp_path: Path) -> Path:
    """A model with a local head that has a matcher."""
    model = make_local_model(tmp_path / "models")
    return set_matcher(model, make_matcher(tmp_path / "models" / "matcher.onnx"))


@pytest.fixture
def paired(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of points of the query for each call of a matcher."""
    calls: list[int] = []
    pair = LearnedMatcher.__call__

    def counted(self: LearnedMatcher, query: LocalFeatures, candidate: LocalFeatures) -> Pairs:
        calls.append(len(query))
        return pair(self, query, candidate)

    monkeypatch.setattr(LearnedMatcher, "__call__", counted)
    return calls


@pytest.fixture
def calibrated(blind: Recipe, keypoints: Path, tmp_path: Path) -> Recipe:
    recipe = dataclasses.replace(blind, features=str(keypoints))
    model = Calibration(-4.0, 1.0, 0.0, 0.0, 4.0, 4.0, 0.4, 0.1, -4.0, 1.0, 0.0, 0.0)
    file = tmp_path / "calibration.npz"
    save_fitted(file, [model], recipe, fit_record(recipe, "calibration", Describer(recipe).extractor.identity))
    return dataclasses.replace(recipe, calibration=str(file))


def names(results: object) -> list[str]:
    return [hit.path.name for hit in results]  # type: ignore[attr-defined]


def test_results_are_verified_by_the_matcher(
    tmp_path: Path, blind: Recipe, keypoints: Path, photos: Path, part: NDArray[np.uint8], paired: list[int]
) -> None:
    recipe = dataclasses.replace(blind, features=str(keypoints))
    with Library.create(tmp_path / "library", recipe=recipe) as library:
        library.index(photos)
        assert paired == []
        library.search(part, k=3, rerank="aqe:n=2")
        assert paired == []
        before = names(library.search(part, k=COUNT))
        found = library.search(part, k=COUNT, rerank="verify:depth=25")
        assert found[0].path.name == f"{SOUGHT:02}.png"
        assert found[0].score > 20
        assert found[0].box is not None
        np.testing.assert_allclose(found[0].box, (32, 16, 160, 128), atol=2)
        assert len(paired) == 25 * 4  # each candidate is compared with the query as it is turned
        paired.clear()
        usual = library.search(part, k=COUNT, rerank="verify")
        assert len(paired) == 20 * 4
        assert (usual[0].path.name == f"{SOUGHT:02}.png") == (f"{SOUGHT:02}.png" in before[:20])
        paired.clear()
        library.search(part, k=COUNT, rerank="verify:depth=25,enough=10")
        assert len(paired) <= (before.index(f"{SOUGHT:02}.png") // 4 + 1) * 4 * 4
        paired.clear()
        plain = library.search(part, k=3, rerank="verify:learned=false")
        assert plain[0].path.name == f"{SOUGHT:02}.png"
        assert paired == []
        explained = library.explain(Example(part), found[0].id)
        assert isinstance(explained, AgreeingPoints)
        assert explained.inliers > 20
        assert paired
    set_matcher(keypoints, make_matcher(keypoints.with_name("none.onnx"), least=2.0))
    with Library.open(tmp_path / "library") as library:  # vectors and keypoints do not depend on the matcher
        assert names(library.search(part, k=COUNT, rerank="verify:depth=25")) == before
        assert library.index(photos).indexed == 0


def test_results_are_ordered_by_what_the_matcher_pairs_unless_asked_otherwise(
    tmp_path: Path, calibrated: Recipe, photos: Path, part: NDArray[np.uint8], paired: list[int]
) -> None:
    with Library.create(tmp_path / "library", recipe=calibrated) as library:
        library.index(sorted(photos.glob("*.png"))[10:])
        found = library.search(part, k=3)
        assert found[0].path.name == f"{SOUGHT:02}.png"
        assert found[0].probability is not None
        assert found[0].probability > 0.9
        assert [hit.probable for hit in found] == [True, False, False]
        assert paired
        paired.clear()
        assert library.search(found[0].id, k=1)[0].path.name == f"{SOUGHT:02}.png"
        assert len(paired) % 14 == 0  # all others
        (each,) = library.search_each([part], k=1)
        assert each.results is not None
        assert names(each.results) == [f"{SOUGHT:02}.png"]


def test_a_calibration_is_refused_with_another_matcher(
    tmp_path: Path, calibrated: Recipe, keypoints: Path, photos: Path, part: NDArray[np.uint8]
) -> None:
    with Library.create(tmp_path / "library", recipe=calibrated) as library:
        library.index([photos / "03.png"])
    set_matcher(keypoints, make_matcher(keypoints.with_name("other.onnx"), least=0.1))
    with (
        Library.open(tmp_path / "library") as library,
        pytest.raises(RecipeError, match=r"its calibration .* was fitted for .* differs: features\.matcher '.*', not"),
    ):
        library.search(part)


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"another")])
def test_a_library_is_not_created_without_the_matcher(
    tmp_path: Path, blind: Recipe, keypoints: Path, damage: Callable[[Path], object]
) -> None:
    damage(keypoints.with_name("matcher.onnx"))
    with pytest.raises(ModelError, match=r"matcher\.onnx"):
        Library.create(tmp_path / "library", recipe=dataclasses.replace(blind, features=str(keypoints)))
    assert not (tmp_path / "library").exists()


def test_a_calibration_is_fitted_on_as_many_candidates_as_a_search_verifies(
    tmp_path: Path, blind: Recipe, keypoints: Path, photos: Path, part: NDArray[np.uint8], paired: list[int]
) -> None:
    Image.fromarray(part).save(tmp_path / "part.png")
    database = [str(photos / f"{number:02}.png") for number in range(COUNT)]
    queries = {str(tmp_path / "part.png"): {"relevant": [database[SOUGHT]]}}
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"name": "parts", "database": database, "queries": queries}))
    recipe = dataclasses.replace(blind, features=str(keypoints))
    bench = Bench(read_dataset(truth), Files.of(read_dataset(truth), Path("/"), ()), recipe)
    found = labelled_candidates(bench)
    assert len(found.evidence) == 2 * 20  # with the image that shows the same, and without it
    assert 20 <= len(paired) <= 21 * 4
    cosines = bench.described[0].first_rows() @ bench.described[1].first_rows()[0]
    descending = np.sort(cosines)[::-1]
    assert found.evidence.margin[0] == pytest.approx(descending[0] - descending[20], abs=1e-6)


def test_an_evaluation_verifies_by_the_matcher(
    tmp_path: Path, blind: Recipe, keypoints: Path, photos: Path, part: NDArray[np.uint8], paired: list[int]
) -> None:
    Image.fromarray(part).save(tmp_path / "part.png")
    database = [str(photos / f"{number:02}.png") for number in range(12, 20)]
    queries = {str(tmp_path / "part.png"): {"relevant": [database[SOUGHT - 12]]}}
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"name": "parts", "database": database, "queries": queries}))
    recipe = dataclasses.replace(blind, features=str(keypoints))
    cache = tmp_path / "cache"
    found = evaluate(truth, recipe=recipe, images=Path("/"), rerank="verify", cache=cache)
    assert found.metrics["recall@1"] == 1
    assert len(paired) == 8 * 4
    described = sorted(cache.iterdir())
    set_matcher(keypoints, make_matcher(keypoints.with_name("none.onnx"), least=2.0))
    evaluate(truth, recipe=recipe, images=Path("/"), rerank="verify", cache=cache)
    assert len(paired) == 8 * 4 * 2
    assert sorted(cache.iterdir()) == described
