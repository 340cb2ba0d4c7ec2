"""A query of several or of small objects: its regions are searched, too."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kindred.errors import UsageError
from kindred.library import Example, Library, Results
from kindred.library.query_regions import centre_boxes, described_regions, large_boxes, small_boxes, union_of
from kindred.ranking import Ranking
from kindred.recipe import Recipe
from kindred.store import Filter, SqliteStore
from pictures import label, picture

COUNT = 30
NONE = -np.inf


def scene(number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    tiles = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(tiles).resize((160, 120), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    for number in range(COUNT):
        Image.fromarray(scene(number)).save(folder / f"{number:02}.png")
    return folder


def several() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Four of the scenes side by side, and where they meet something else."""
    top, bottom = (np.concatenate([scene(one), scene(other)], axis=1) for one, other in ((3, 7), (11, 19)))
    picture = np.concatenate([top, bottom])
    return np.array(Image.fromarray(picture).resize((400, 300)))


def test_objects_beside_others_are_found_by_the_regions(tmp_path: Path, recipe: Recipe, scenes: Path) -> None:
    sharp = dataclasses.replace(recipe, pooling="max", taps=("shallow",))
    with Library.create(tmp_path / "library", recipe=sharp) as library:
        library.index(scenes)

        def places(*, regions: bool) -> list[int]:
            found = [hit.path.name for hit in library.search(several(), k=COUNT, regions=regions)]
            assert len(found) == len(set(found)) == COUNT
            return [found.index(f"{number:02}.png") for number in (3, 7, 11, 19)]

        whole, parts = places(regions=False), places(regions=True)
        assert sum(parts) < sum(whole)
        scores = library.search(several(), k=COUNT, regions=True).scores
        alone = library.search(several(), k=COUNT).scores  # without probabilities nothing is searched by default
        np.testing.assert_array_equal(alone, library.search(several(), k=COUNT, regions=False).scores)
        assert (scores >= alone).all()
        assert len(library.search(several(), k=3, regions=True)) == 3
        with pytest.raises(UsageError, match="regions are those of one query image"):
            library.search(library.describe(scene(3)), regions=True)
        with pytest.raises(UsageError, match="no negative examples"):
            library.search(scene(3), negatives=[scene(4)], regions=True)


def test_large_regions_lie_in_the_corners_and_the_centre() -> None:
    boxes = large_boxes(400, 300)
    assert boxes[0] == (0, 0, 240, 180)
    assert boxes[3] == pytest.approx((160, 120, 400, 300))
    assert boxes[4] == pytest.approx((80, 60, 320, 240))
    assert len(boxes) == 5
    assert large_boxes(640, 60) == []
    assert centre_boxes(400, 300) == boxes[4:]
    assert centre_boxes(3000, 1000) == []


@pytest.mark.parametrize(("regions", "count"), [(None, 26), (True, 31)])
def test_the_centre_is_one_of_the_regions_whether_large_ones_are_searched_for_or_not(
    labels: Path, regions: bool | None, count: int
) -> None:
    image = np.asarray(wall())
    with Library.open(labels) as library:
        parts = described_regions(image, library.describer, regions=regions, calibrated=True)
    centre = [each for each in parts if np.array_equal(each.image, image[300:1200, 400:1600])]  # type: ignore[arg-type]
    assert len(centre) == 1
    assert centre[0].is_large
    assert sum(each.is_large for each in parts) == count - 25 - bool(regions)  # nor is the query reduced
    assert [each.one_of for each in parts] == [count] * count


def test_every_object_of_an_eighth_of_the_width_and_height_is_whole_in_a_small_region() -> None:
    boxes = np.array(small_boxes(1600, 1200))
    assert boxes.min() == 0
    assert boxes[:, 2:].max(axis=0).tolist() == [1600, 1200]
    for left, top in np.random.default_rng(0).uniform(0, (1400, 1050), (100, 2)).tolist():
        whole = (boxes[:, :2] <= (left, top)).all(axis=1) & (boxes[:, 2:] >= (left + 200, top + 150)).all(axis=1)
        assert whole.any()
    assert small_boxes(210, 400) == []


@pytest.mark.parametrize(("width", "height"), [(6000, 400), (400, 6000), (3000, 1000), (2010, 1000)])
def test_every_large_object_of_a_panorama_is_whole_in_a_region(width: int, height: int) -> None:
    boxes = np.array(large_boxes(width, height) + small_boxes(width, height))
    assert len(boxes) <= 30
    assert boxes.min() == 0
    assert boxes[:, 2:].max(axis=0).tolist() == [width, height]
    size = np.minimum(0.3 * max(width, height), np.array((width, height))) * 0.4
    for corner in np.random.default_rng(0).uniform(0, 1, (100, 2)) * ((width, height) - size):
        whole = (boxes[:, :2] <= corner).all(axis=1) & (boxes[:, 2:] >= corner + size).all(axis=1)
        assert whole.any()


def test_each_image_counts_with_its_best_score_and_its_box_there() -> None:
    box = np.array([[[0, 0, 2, 2], [np.nan] * 4]], np.float32)
    whole = Ranking(np.array([[5, 2, -1]]), np.array([[0.9, 0.4, NONE]], np.float32))
    part = Ranking(np.array([[2, 7]]), np.array([[0.8, 0.4]], np.float32), box, np.array([[0.7, 0.1]], np.float32))
    found = union_of([whole, part])
    assert found.ids.tolist() == [[5, 2, 7]]
    np.testing.assert_allclose(found.scores, [[0.9, 0.8, 0.4]])
    assert found.boxes is not None
    assert found.probabilities is not None
    np.testing.assert_array_equal(found.boxes[0, 1], [0, 0, 2, 2])
    assert np.isnan(found.boxes[0, [0, 2]]).all()
    np.testing.assert_allclose(found.probabilities, [[np.nan, 0.7, 0.1]])
    assert union_of([whole]).boxes is None


def test_images_with_equal_scores_keep_their_order() -> None:
    whole = Ranking(np.array([[9, 5, 2]]), np.array([[1.0, 1.0, 0.4]], np.float32))
    part = Ranking(np.array([[3, 2]]), np.array([[1.0, 0.4]], np.float32))
    assert union_of([whole, part]).ids.tolist() == [[9, 5, 3, 2]]


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of four labels."""
    folder = tmp_path_factory.mktemp("labels")
    (folder / "images").mkdir()
    for number in range(4):
        label(number).save(folder / "images" / f"{number}.png")
    with Library.create(folder / "library", recipe="kin") as library:
        library.index(folder / "images")
    return folder / "library"


def wall(*, large: int | None = None) -> Image.Image:
    """Draw a picture with two labels, 1 and 2, a fifth as wide, and perhaps another, three fifths as wide."""
    drawn = Image.fromarray(picture(60, width=2000, height=1500))
    if large is not None:
        drawn.paste(label(large).resize((1200, 900)), (400, 300))
    drawn.paste(label(1), (100, 1180))
    drawn.paste(label(2), (1580, 20))
    return drawn


def names(results: Results) -> set[str]:
    """Return the names of the images that are probably found."""
    return {hit.path.name for hit in results.likely(0.5)}


def test_where_nothing_is_probable_small_regions_are_searched_each_image_read_once(
    labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = np.asarray(wall())
    read: list[int] = []
    features_of = SqliteStore.features_of

    def counted(store: SqliteStore, ids: Sequence[int]) -> dict[int, bytes]:
        read.extend(ids)
        return features_of(store, ids)

    with Library.open(labels) as library:
        assert not names(library.search(query, k=4, regions=False))
        monkeypatch.setattr(SqliteStore, "features_of", counted)
        assert names(library.search(query, k=4)) == {"1.png", "2.png"}
        assert sorted(read) == [1, 2, 3, 4]
        assert names(library.search_examples([Example(query)])) == {"1.png", "2.png"}
        assert not names(library.search(query, k=4, rerank="verify"))
        (whole,) = library.search_each([query], k=4)
        (parts,) = library.search_each([query], k=4, regions=None)
        assert whole.results is not None
        assert parts.results is not None
        assert not names(whole.results)
        assert names(parts.results) == {"1.png", "2.png"}


def test_the_probability_of_what_a_region_shows_does_not_depend_on_the_number_of_results(
    labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindred.library.reranking.REGION_DEPTH", 2)
    with Library.open(labels) as library:
        few, many = (library.search(np.asarray(wall()), k=k).hits[0] for k in (1, 4))
        assert few.path == many.path
        assert few.probability == many.probability
        assert few.box is not None


def test_where_the_whole_is_found_regions_are_searched_only_if_requested(labels: Path) -> None:
    query = np.asarray(wall(large=3))
    with Library.open(labels) as library:
        assert names(library.search(query, k=4)) == {"3.png"}
        assert names(library.search(query, k=4, regions=True)) == {"1.png", "2.png", "3.png"}


def test_an_image_of_one_colour_has_no_regions(labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kindred.library.query_regions.small_boxes", lambda *_: pytest.fail("regions were searched"))
    with Library.open(labels) as library:
        assert not names(library.search(np.full((600, 800, 3), 90, np.uint8)))


def test_no_regions_are_searched_where_no_image_is_admitted_nor_with_negative_examples(
    labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindred.library.query_regions.small_boxes", lambda *_: pytest.fail("regions were searched"))
    query, nowhere = np.asarray(wall()), Filter(ids=("0" * 16,))
    with Library.open(labels) as library:
        assert not library.search(query, where=nowhere)
        assert not library.search(query, where=nowhere, regions=True)
        assert not library.search_examples([Example(query)], where=nowhere)
        assert not names(library.search(query, negatives=[np.asarray(label(2))], rerank="calibrated"))


def test_an_image_of_the_library_whose_file_is_damaged_is_searched_for_as_a_whole(labels: Path, tmp_path: Path) -> None:
    label(5).save(tmp_path / "5.png")
    shutil.copytree(labels, tmp_path / "library")
    with Library.open(tmp_path / "library") as library:
        library.index(tmp_path / "5.png")
        (tmp_path / "5.png").write_bytes(b"damaged")
        (uid,) = (hit.id for hit in library.search(np.asarray(label(5)), k=5) if hit.path.name == "5.png")
        others = Filter(folder=labels.parent / "images")
        for regions in (None, True):
            assert len(library.search(uid, where=others, regions=regions)) == 4
            assert len(library.search_examples([Example(uid)], where=others, regions=regions)) == 4


def test_what_is_small_in_an_image_of_the_library_is_found_by_the_query_reduced(tmp_path: Path) -> None:
    """A label fills a ninth of one image; it is found, with its box, but only with regions."""
    (tmp_path / "images").mkdir()
    for number in range(3):
        wide = Image.fromarray(picture(50 + number, width=1200, height=900))
        wide.paste(label(number), (700, 500))
        wide.save(tmp_path / "images" / f"{number}.png")
    with Library.create(tmp_path / "library", recipe="kin") as library:
        library.index(tmp_path / "images")
        assert not names(library.search(np.asarray(label(1)), k=1, regions=False))
        found = library.search(np.asarray(label(1)), k=1, regions=True).hits[0]
    assert found.path.name == "1.png"
    assert found.probability is not None
    assert found.probability >= 0.5
    assert found.box == pytest.approx((700, 500, 1100, 800), abs=20)
