"""Several examples, each wanted or not; answers that were right or wrong; and why an image was found."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kindred.arrays import Vectors, l2_normalise
from kindred.calibration import Calibration
from kindred.describer import Describer, save_fitted
from kindred.describer.fitted import fit_record
from kindred.errors import UsageError
from kindred.features import ConvMap
from kindred.library import Example, Library
from kindred.library.examples import RIGHT_WEIGHT, WRONG_WEIGHT, doubted, rocchio
from kindred.library.explaining import AgreeingPoints, AlikeParts, alike_parts
from kindred.library.stored_query import stored_query
from kindred.ranking import Ranking
from kindred.recipe import Recipe
from kindred.store import Filter
from pictures import make_folder

pytestmark = pytest.mark.usefixtures("recipe")
COUNT = 12


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_folder(tmp_path_factory.mktemp("photos"), COUNT)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe, photos: list[Path]) -> Path:
    folder = tmp_path_factory.mktemp("made") / "library"
    with Library.create(folder, recipe=recipe) as library:
        library.index(photos)
    return folder


def unit(*components: float) -> Vectors:
    return l2_normalise(np.array([components], np.float32))


def test_one_example_is_a_plain_search(made: Path, photos: list[Path]) -> None:
    with Library.open(made) as library:
        plain = library.search(photos[3], k=5, where=Filter(folder=photos[0].parent))
        for query in (photos[3], library.get(photos[3]).id, library.describe(photos[3])[0]):
            found = library.search_examples([Example(query)], k=5)
            assert [hit.path for hit in found] == [hit.path for hit in plain]
            np.testing.assert_allclose(found.scores, plain.scores, atol=1e-4)


def test_examples_are_added_with_their_weights(made: Path, photos: list[Path]) -> None:
    with Library.open(made) as library:
        first, second, third = library.describe(photos[:3])
        by_hand = library.search(l2_normalise((first + 0.5 * second - 0.3 * third)[None])[0], k=COUNT)
        examples = [Example(photos[0]), Example(library.get(photos[1]).id, 0.5), Example(third, -0.3)]
        found = library.search_examples(examples, k=COUNT)
        assert [hit.path for hit in found] == [hit.path for hit in by_hand]
        np.testing.assert_allclose(found.scores, by_hand.scores, atol=1e-3)


def test_examples_that_cannot_be_searched_for(made: Path, photos: list[Path]) -> None:
    with Library.open(made) as library:
        vector = library.describe(photos[0])[0]
        with pytest.raises(UsageError, match="cancel one another"):
            library.search_examples([Example(vector), Example(vector, -1.0)])
        with pytest.raises(UsageError, match="no example is wanted"):
            library.search_examples([Example(vector, -1.0)])
        with pytest.raises(UsageError, match="the query is empty"):
            library.search_examples([])
        with pytest.raises(UsageError, match="not the id of an image"):
            library.search_examples([Example(vector)], right=["0" * 16])
        with pytest.raises(UsageError, match="at most 50"):
            library.search_examples([Example(vector)] * 51)
    for weight in (0.0, 1.5, float("nan"), True):
        with pytest.raises(UsageError, match="from -1 to 1"):
            Example(vector, weight)


def test_rocchio_moves_by_the_means() -> None:
    query, right, wrong = unit(1, 0, 0), [unit(0, 1, 0), unit(0, 0, 1)], [unit(0, 0, 1)]
    expected = l2_normalise(np.array([[1, RIGHT_WEIGHT / 2, RIGHT_WEIGHT / 2 - WRONG_WEIGHT]], np.float32))
    np.testing.assert_allclose(rocchio(query, right, wrong), expected, atol=1e-6)
    np.testing.assert_allclose(rocchio(query, [], []), query)


def test_right_answers_bring_their_neighbours(made: Path, photos: list[Path]) -> None:
    with Library.open(made) as library:
        query, far = library.get(photos[0]), library.search(photos[0], k=COUNT)[-1]
        before = [hit.id for hit in library.search_examples([Example(query.id)], k=COUNT)]
        found = library.search_examples([Example(query.id)], right=[far.id], k=COUNT)
        assert [hit.id for hit in found].index(far.id) < before.index(far.id)
        # Its own nearest neighbour is found by the right answer as a query.
        neighbour = library.search(far.id, k=2)[1]
        assert {hit.id: hit.score for hit in found}[neighbour.id] >= neighbour.score - 1e-4
        alone = library.search_examples([], right=[far.id], k=1)
        assert alone[0].id == far.id


def test_wrong_answers_and_their_neighbours_sink(made: Path, photos: list[Path]) -> None:
    with Library.open(made) as library:
        query = library.get(photos[0]).id
        before = [hit.id for hit in library.search_examples([Example(query)], k=COUNT)]
        found = [hit.id for hit in library.search_examples([Example(query)], wrong=[before[1]], k=COUNT)]
        assert found[0] == query
        assert found.index(before[1]) == COUNT - 1
        assert sorted(found) == sorted(before)


def test_a_doubt_lowers_a_probability_in_proportion() -> None:
    ranking = Ranking(
        np.array([[1, 2, 3, 4]]), np.array([[0.9, 0.8, 0.5, 0.4]]), None, np.array([[0.9, 0.8, 0.5, 0.4]])
    )
    wrong = Ranking(np.array([[9, 2, 1]]), np.array([[1.0, 0.75, 0.0]]), None, np.array([[1.0, 0.75, 0.0]]))
    found = doubted(ranking, [wrong], right_ids=[4], wrong_ids=[3])
    assert found.ids.tolist() == [[4, 1, 2, 3]]
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities, [[1.0, 0.9, 0.2, 0.0]], atol=1e-6)


@pytest.fixture(scope="module")
def textured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with many corners, which local features can hold on to."""
    folder = tmp_path_factory.mktemp("textured")
    random = np.random.default_rng(5)
    for number in range(6):
        pixels = np.repeat(np.repeat(random.integers(0, 256, (24, 32, 3), np.uint8), 10, axis=0), 10, axis=1)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


def calibrated(folder: Path, recipe: Recipe) -> Recipe:
    """A recipe that verifies and is calibrated; its vector is nearly blind, so that inliers decide."""
    blind = dataclasses.replace(recipe, pooling="window_average", shape="stretch", size=32, features="sift")
    model = Calibration(-4.0, 1.0, 0.0, 0.0, 4.0, 4.0, 0.4, 0.1, -4.0, 1.0, 0.0, 0.0)
    file = folder / "calibration.npz"
    save_fitted(file, [model], blind, fit_record(blind, "calibration", Describer(blind).extractor.identity))
    return dataclasses.replace(blind, calibration=str(file))


def test_marks_change_probabilities(tmp_path: Path, recipe: Recipe, textured: Path) -> None:
    pytest.importorskip("cv2")
    with Library.create(tmp_path / "library", recipe=calibrated(tmp_path, recipe)) as library:
        library.index(textured)
        ids = [library.get(textured / f"{number:02}.png").id for number in range(6)]
        plain = library.search_examples([Example(ids[0])], k=6)
        assert [hit.probable for hit in plain] == [True] + [False] * 5
        marked = library.search_examples([Example(ids[0])], right=[ids[1]], wrong=[ids[2]], k=6)
        assert {hit.id for hit in marked if hit.probable} == {ids[0], ids[1]}
        assert marked[-1].id == ids[2]
        assert marked[-1].probability == 0
        # A wrong answer takes the certainty even of the query's own image.
        doubt = library.search_examples([Example(ids[0])], wrong=[ids[0]], k=6)
        assert not any(hit.probable for hit in doubt)
        likely = library.search_examples([Example(ids[0])], right=[ids[1]], k=6, min_probability=0.5)
        assert {hit.id for hit in likely} == {ids[0], ids[1]}


def test_a_stored_image_is_a_query_with_all_that_is_stored(tmp_path: Path, recipe: Recipe, textured: Path) -> None:
    with Library.create(tmp_path / "library", recipe=calibrated(tmp_path, recipe)) as library:
        library.index(textured)
        uid = library.get(textured / "03.png").id
        query = stored_query(library.store, library.recipe, uid)
        assert query.features is not None
        assert len(query.features) > 20
        assert query.vector is not None
        assert library.search(query.vector[0], k=1, rerank="none")[0].id == uid


@pytest.mark.parametrize("box", [None, (40.0, 30.0, 280.0, 210.0)])
def test_points_that_agree_are_in_pixels_of_both_originals(
    tmp_path: Path, recipe: Recipe, textured: Path, box: tuple[float, float, float, float] | None
) -> None:
    pytest.importorskip("cv2")
    with Library.create(tmp_path / "library", recipe=calibrated(tmp_path, recipe)) as library:
        library.index(textured)
        uid = library.get(textured / "03.png").id
        with Image.open(textured / "03.png") as image:
            smaller = np.asarray(image.convert("RGB").resize((160, 120)))
        found = library.explain(Example(textured / "03.png", box=box), uid)
        assert isinstance(found, AgreeingPoints)
        assert (found.query_size, found.image_size) == ((320, 240), (320, 240))
        assert found.inliers >= 10
        ours, theirs = found.points[:, :2], found.points[:, 2:]
        assert np.abs(ours - theirs).max() < 4  # the same image: every point lies where it is
        mapped = np.c_[ours, np.ones(len(ours))] @ found.homography.T
        assert np.abs(mapped[:, :2] / mapped[:, 2:] - theirs).max() < 4
        if box is not None:
            assert (ours >= np.array(box[:2]) - 1).all()
            assert (ours <= np.array(box[2:]) + 1).all()
            return
        halved = library.explain(Example(smaller), uid)
        assert isinstance(halved, AgreeingPoints)
        assert halved.query_size == (160, 120)
        assert np.abs(2 * halved.points[:, :2] - halved.points[:, 2:]).max() < 6


def test_images_without_agreeing_points_are_explained_by_their_parts(
    tmp_path: Path, recipe: Recipe, made: Path, photos: list[Path], textured: Path
) -> None:
    with Library.open(made) as library:
        uid = library.get(photos[1]).id
        for query in (photos[0], library.get(photos[0]).id):
            found = library.explain(Example(query), uid)
            assert isinstance(found, AlikeParts)
            assert found.query.min() >= 0
            assert found.query.max() <= 1
        same = library.explain(Example(photos[1]), uid)
        assert isinstance(same, AlikeParts)
        np.testing.assert_allclose(same.query, 1, atol=1e-4)
        with pytest.raises(UsageError, match="a vector cannot be explained"):
            library.explain(Example(library.describe(photos[0])[0]), uid)
        with pytest.raises(UsageError, match="not the id"):
            library.explain(Example(photos[0]), "0" * 16)
    with Library.create(tmp_path / "library", recipe=calibrated(tmp_path, recipe)) as library:
        library.index(textured)
        other = library.explain(Example(np.zeros((60, 80, 3), np.uint8)), library.get(textured / "00.png").id)
        assert isinstance(other, AlikeParts)


def test_alike_parts_are_the_best_cosines() -> None:
    query = ConvMap(np.array([[[1, 0]], [[0, 2]]], np.float32), (0, 0, 2, 1))  # two cells: (1, 0) and (0, 2)
    image = ConvMap(np.array([[[3], [1]], [[0], [1]]], np.float32), (0, 0, 1, 2))  # two cells: (3, 0) and (1, 1)
    found = alike_parts(query, image)
    np.testing.assert_allclose(found.query, [[1, np.sqrt(0.5)]], atol=1e-6)
    np.testing.assert_allclose(found.image, [[1], [np.sqrt(0.5)]], atol=1e-6)
