"""A library of parts, of words, re-ranked, verified, and searched together with others."""

from __future__ import annotations

import dataclasses
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kindred.arrays import l2_normalise
from kindred.calibration import Calibration
from kindred.describer import Describer, FittedParameters, fit_recipe, fit_record, save_fitted
from kindred.duplicates import find_duplicates
from kindred.embedding import Codebook
from kindred.errors import RecipeError, UsageError
from kindred.fusion import reciprocal_rank
from kindred.index import SyncedIndex
from kindred.library import Library, search_many
from kindred.matching import ImageRows, match
from kindred.ranking import Ranking
from kindred.recipe import Recipe
from kindred.store import Filter
from pictures import make_folder, picture

pytestmark = pytest.mark.usefixtures("recipe")  # its home, also where no recipe is asked for
COUNT = 20


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    make_folder(folder, COUNT)
    return folder


@pytest.fixture(scope="module")
def textured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures large and rich enough to have keypoints."""
    folder = tmp_path_factory.mktemp("textured")
    for number in range(12):
        tiles = np.random.default_rng(number).integers(0, 256, (15, 20, 3), dtype=np.uint8)
        Image.fromarray(tiles).resize((320, 240), Image.Resampling.BICUBIC).save(folder / f"{number:02}.png")
    return folder


def made(folder: Path, recipe: Recipe, photos: Path) -> Library:
    library = Library.create(folder, recipe=recipe)
    library.index(photos)
    return library


PARTS = {"passes": "grid", "passes_options": {"cells": 2}, "aggregate": "multi_vector"}


def test_a_search_of_parts_finds_the_image_and_the_part_of_it(tmp_path: Path, recipe: Recipe, photos: Path) -> None:
    with made(tmp_path / "library", dataclasses.replace(recipe, **PARTS), photos) as library:  # type: ignore[arg-type]
        assert library.info().vectors == 5 * COUNT
        hit = library.search(photos / "00004.jpg", k=3)[0]
        assert (hit.path.name, hit.box) == ("00004.jpg", None)
        assert hit.score == pytest.approx(1, abs=0.01)
        with Image.open(photos / "00006.jpg") as image:  # 64 × 48
            corner = np.asarray(image.convert("RGB").crop((0, 0, 32, 24)).resize((64, 48)))
        hit = library.search(corner, k=1)[0]
        assert (hit.path.name, hit.box) == ("00006.jpg", (0.0, 0.0, 32.0, 24.0))
        found = library.search(photos / "00006.jpg", k=COUNT, box=(32, 24, 64, 48))
        assert len(found) == len({hit.path for hit in found}) == COUNT


@pytest.mark.parametrize("method", ["best", "patches"])
def test_parts_are_matched_as_the_recipe_says(tmp_path: Path, recipe: Recipe, photos: Path, method: str) -> None:
    parts = dataclasses.replace(recipe, **PARTS, matching=method)  # type: ignore[arg-type]
    with made(tmp_path / "library", parts, photos) as library:
        query = library.describer.image_rows(picture(77))
        if method == "best":
            query = dataclasses.replace(query, rows=query.rows[:1], owners=query.owners[:1], boxes=None)
        rows = [library.describer.image_rows(path) for path in sorted(photos.iterdir())]
        stacked = dataclasses.replace(
            rows[0],
            rows=np.concatenate([each.rows for each in rows]),
            owners=np.repeat(np.arange(COUNT), 5),
            boxes=np.concatenate([each.boxes for each in rows if each.boxes is not None]),
        )
        _, scores, _ = match(query, stacked, method)
        results = library.search(picture(77), k=COUNT)
        assert np.abs(results.scores - np.sort(scores)[::-1]).max() < 0.02


def test_changes_reach_a_search_of_parts(tmp_path: Path, recipe: Recipe, photos: Path) -> None:
    with made(tmp_path / "library", dataclasses.replace(recipe, **PARTS), photos) as library:  # type: ignore[arg-type]
        assert library.search(photos / "00003.jpg")[0].path.name == "00003.jpg"
        library.remove(photos / "00003.jpg")
        assert library.search(photos / "00003.jpg")[0].path.name != "00003.jpg"
        library.tag(photos / "00009.jpg", "nine")
        tagged = library.search(photos / "00003.jpg", where=Filter(tags=("nine",)))
        assert [(hit.path.name, hit.tags) for hit in tagged] == [("00009.jpg", ("nine",))]
        library.add(photos / "00003.jpg")
        assert library.search(photos / "00003.jpg")[0].path.name == "00003.jpg"


def test_searches_of_parts_take_one_image(tmp_path: Path, recipe: Recipe, photos: Path) -> None:
    with made(tmp_path / "library", dataclasses.replace(recipe, **PARTS), photos) as library:  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="compares parts of images; give one query image, not 2"):
            library.search([photos / "00001.jpg", photos / "00002.jpg"])
        with pytest.raises(UsageError, match="compares parts of images; give an image as the query"):
            library.search(np.ones(32, np.float32))
        with pytest.raises(RecipeError, match="stores several rows per image; re-rank by local features"):
            library.search(photos / "00001.jpg", rerank="aqe")


def test_images_are_found_by_their_words(tmp_path: Path, recipe: Recipe, photos: Path) -> None:
    words = dataclasses.replace(recipe, taps=("shallow",), embedding="asmk", positions=40)
    fitted = fit_recipe(words, sorted(photos.iterdir()), words=8, local_dimension=8, whiten=False)
    fitted.save(tmp_path / "words.toml")
    with made(tmp_path / "library", Recipe.load(tmp_path / "words.toml"), photos) as library:
        assert library.info().dimension == 8
        with pytest.raises(UsageError, match=r"duplicates: .* stores visual words \(asmk\), not vectors"):
            find_duplicates(library, kinds=["alike"])
        shutil.copy(photos / "00003.jpg", tmp_path / "again.jpg")
        library.add(tmp_path / "again.jpg")
        (group,) = find_duplicates(library)  # by bytes and pixels, whatever the recipe
        assert (group.kind, set(group.paths)) == ("same_bytes", {photos / "00003.jpg", tmp_path / "again.jpg"})
        for name in ("00000.jpg", "00013.jpg"):
            hit = library.search(photos / name, k=2)[0]
            assert (hit.path.name, hit.box) == (name, None)
            assert hit.score == pytest.approx(1, abs=0.01)
    with Library.open(tmp_path / "library") as again:  # its codebook was copied
        assert again.search(photos / "00005.jpg")[0].path.name == "00005.jpg"
        assert (tmp_path / "library" / "fitted-0.npz").is_file()


def test_an_image_without_words_is_skipped_and_refused_as_a_query(tmp_path: Path, textured: Path) -> None:
    pytest.importorskip("cv2")
    folder = tmp_path / "images"
    shutil.copytree(textured, folder)
    grey = Image.new("RGB", (320, 240), (128, 128, 128))
    grey.save(folder / "grey.png")
    words = Recipe(name="words", backbone="sift", embedding="asmk", positions=60)
    fit_recipe(words, sorted(textured.iterdir()), words=8, local_dimension=16).save(tmp_path / "words.toml")
    with made(tmp_path / "library", Recipe.load(tmp_path / "words.toml"), folder) as library:
        assert len(library) == 12
        assert library.skipped() == [(folder / "grey.png", "no local features found")]
        assert library.search(folder / "07.png")[0].path.name == "07.png"
        with pytest.raises(UsageError, match="the query has no local features to compare"):
            library.search(np.asarray(grey))


def test_words_are_weighted_by_idf(tmp_path: Path, recipe: Recipe, photos: Path) -> None:
    words = dataclasses.replace(recipe, taps=("shallow",), embedding="asmk", positions=40)
    fitted = fit_recipe(words, sorted(photos.iterdir()), words=8, local_dimension=8, whiten=False)
    (book,) = fitted.fitted.codebooks
    assert isinstance(book, Codebook)
    rare = dataclasses.replace(book, idf=np.linspace(0.1, 3, 8).astype(np.float32))
    dataclasses.replace(fitted, fitted=FittedParameters((rare,))).save(tmp_path / "words.toml")
    weighed = Recipe.load(tmp_path / "words.toml")
    paths = sorted(photos.iterdir())
    scores_of = []
    for name, options, idf in (("rare", {}, rare.idf), ("even", {"idf": False}, None)):
        with made(tmp_path / name, dataclasses.replace(weighed, matching_options=options), photos) as library:
            parts = [library.describer.image_rows(path) for path in paths]
            database = ImageRows(
                np.concatenate([each.rows for each in parts]),
                np.repeat(np.arange(COUNT), [len(each) for each in parts]),
                words=np.concatenate([each.words for each in parts if each.words is not None]),
            )
            _, scores, _ = match(library.describer.image_rows(picture(50)), database, "asmk", idf=idf)
            results = library.search(picture(50), k=COUNT)
            assert np.abs(results.scores - np.sort(scores)[::-1]).max() < 0.01
            scores_of.append(results.scores)
    assert np.abs(scores_of[0] - scores_of[1]).max() > 0.02


def test_bags_of_words_are_searched_by_their_words_alone(tmp_path: Path, recipe: Recipe, photos: Path) -> None:
    bag = dataclasses.replace(recipe, taps=("shallow",), embedding="bow")
    fit_recipe(bag, sorted(photos.iterdir()), words=64, local_dimension=8, whiten=False).save(tmp_path / "bow.toml")
    with made(tmp_path / "library", Recipe.load(tmp_path / "bow.toml"), photos) as library:
        searcher = library.searcher
        assert isinstance(searcher.index, SyncedIndex)
        rows = np.concatenate([rows for _, rows in library.store.vectors()])
        query = library.describe(picture(50))
        results = library.search(picture(50), k=COUNT)
        assert np.abs(results.scores - np.sort(rows @ query[0])[::-1]).max() < 1e-5
        assert searcher.index.nbytes == 8 * np.count_nonzero(rows)
        library.remove(photos / "00000.jpg")
        assert len(library.search(picture(50), k=COUNT)) == COUNT - 1


def test_results_are_re_ranked(tmp_path: Path, recipe: Recipe, photos: Path) -> None:
    with made(tmp_path / "library", recipe, photos) as library:
        rows = Describer(recipe).describe(sorted(photos.iterdir()))
        query = library.describe(picture(50))
        scores = (rows @ query.T)[:, 0]
        nearest = np.argsort(-scores)[:3]
        expanded = l2_normalise(query[0] + rows[nearest].sum(axis=0))
        results = library.search(picture(50), k=5, rerank="aqe:n=3")
        assert np.abs(results.scores - np.sort(rows @ expanded)[::-1][:5]).max() < 0.02
        assert len(library.search(picture(50), k=4, rerank=["alpha_qe", "k_reciprocal"])) == 4
        with pytest.raises(RecipeError, match="did you mean 'aqe'"):
            library.search(picture(50), rerank="aqee")
        with pytest.raises(
            RecipeError, match=r"needs local features, which recipe 'tiny' does not store; .* features=kin"
        ):
            library.search(picture(50), rerank="verify")
        with pytest.raises(UsageError, match="re-ranker 'localise' compares images; give one image"):
            library.search(query, rerank="localise")


def test_the_graph_of_diffusion_is_kept_with_the_library(tmp_path: Path, recipe: Recipe, photos: Path) -> None:
    pytest.importorskip("scipy")
    with made(tmp_path / "library", recipe, photos) as library:
        first = library.search(picture(50), k=5, rerank="diffusion:k=5,kq=3")
        kept = [path.name for path in (tmp_path / "library").glob("rerank-*.npz")]
        assert [name[:13] for name in kept] == ["rerank-graph-"]
        changed = (tmp_path / "library" / kept[0]).stat().st_mtime_ns
        again = library.search(picture(50), k=5, rerank="diffusion:k=5,kq=3")
        assert np.array_equal(first.ids, again.ids)
        assert (tmp_path / "library" / kept[0]).stat().st_mtime_ns == changed
        library.remove(photos / "00000.jpg")
        assert all(hit.path.name != "00000.jpg" for hit in library.search(picture(50), k=20, rerank="diffusion:k=5"))


GRAPHS = ["diffusion:k=5", "offline_diffusion:k=5", "spectral:dimension=4", "isomap:dimension=4"]


@pytest.mark.parametrize("rerank", GRAPHS)
def test_caches_of_re_rankers_include_images_added_later(
    tmp_path: Path, recipe: Recipe, photos: Path, rerank: str
) -> None:
    pytest.importorskip("scipy")
    with made(tmp_path / "library", recipe, photos) as library:
        library.search(picture(50), k=5, rerank=rerank)
        more = make_folder(tmp_path / "more", 10, first=300)
        library.index(tmp_path / "more")
        found = library.search(more[3], k=COUNT + 10, rerank=rerank)
        assert {hit.path for hit in found} >= set(more)
        for file in library.path.glob("rerank-*"):
            file.unlink()
        with Library.open(library.path) as fresh:
            afresh = fresh.search(more[3], k=COUNT + 10, rerank=rerank)
        assert [hit.path for hit in found] == [hit.path for hit in afresh]
        np.testing.assert_array_equal(found.scores, afresh.scores)


def test_a_tag_causes_no_recomputation(
    tmp_path: Path, recipe: Recipe, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with made(tmp_path / "library", recipe, photos) as library:
        library.search(picture(50), k=5, rerank="diffusion:k=5")
        library.search(picture(50), k=5, where=Filter(tags=("x",)))

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("all vectors are read again")

        monkeypatch.setattr(type(library.store), "vectors", refuse)
        (file,) = library.path.glob("rerank-*")
        changed = file.stat().st_mtime_ns
        library.tag(photos / "00003.jpg", "x")
        assert len(library.search(picture(50), k=5, rerank="diffusion:k=5")) == 5
        assert [hit.path.name for hit in library.search(picture(50), where=Filter(tags=("x",)))] == ["00003.jpg"]
        assert file.stat().st_mtime_ns == changed


def test_numbers_given_by_the_user_do_not_determine_memory(tmp_path: Path, recipe: Recipe, photos: Path) -> None:
    several = dataclasses.replace(recipe, **PARTS)  # type: ignore[arg-type]
    libraries = [made(tmp_path / "one", recipe, photos), made(tmp_path / "several", several, photos)]
    huge = 10**12
    for library in libraries:
        library.search(picture(50), k=1)
    tracemalloc.start()
    try:
        for library in libraries:
            assert len(library.search(picture(50), k=huge)) == COUNT
            assert len(library.search(picture(50), k=huge, where=Filter(folder=photos))) == COUNT
        assert len(libraries[0].search(picture(50), k=3, depth=huge, rerank=f"aqe:n={huge}")) == 3
        assert len(libraries[0].search(picture(50), k=huge, depth=huge, rerank="diffusion")) == COUNT
        assert len(search_many(libraries, picture(50), k=huge)) == COUNT
        assert tracemalloc.get_traced_memory()[1] < 200_000_000
    finally:
        tracemalloc.stop()
        for library in libraries:
            library.close()


def test_results_are_verified_by_local_features(tmp_path: Path, recipe: Recipe, textured: Path) -> None:
    pytest.importorskip("cv2")
    # A vector that says nothing: only verification can find the picture.
    blind = dataclasses.replace(recipe, pooling="window_average", shape="stretch", size=32, features="sift")
    with made(tmp_path / "library", blind, textured) as library:
        with Image.open(textured / "07.png") as image:
            turned = np.asarray(image.convert("RGB").rotate(90, expand=True))
        results = library.search(turned, k=3, rerank="verify")
        assert results[0].path.name == "07.png"
        assert results[0].box is not None
        x0, y0, x1, y1 = results[0].box
        assert (x0 < 40) & (y0 < 40) & (x1 > 280) & (y1 > 200)
        assert results[1].score < results[0].score


def calibrated(folder: Path, recipe: Recipe) -> Recipe:
    """A recipe that verifies and is calibrated; its vector is nearly blind, so that inliers decide."""
    blind = dataclasses.replace(recipe, pooling="window_average", shape="stretch", size=32, features="sift")
    model = Calibration(-4.0, 1.0, 0.0, 0.0, 4.0, 4.0, 0.4, 0.1, -4.0, 1.0, 0.0, 0.0)
    file = folder / "calibration.npz"
    save_fitted(file, [model], blind, fit_record(blind, "calibration", Describer(blind).extractor.identity))
    return dataclasses.replace(blind, calibration=str(file))


def test_results_have_the_probability_that_they_show_the_same_thing(
    tmp_path: Path, recipe: Recipe, textured: Path
) -> None:
    pytest.importorskip("cv2")
    with made(tmp_path / "library", calibrated(tmp_path, recipe), textured) as library:
        with Image.open(textured / "07.png") as image:
            turned = np.asarray(image.convert("RGB").rotate(90, expand=True))
        results = library.search(turned, k=3)
        assert results[0].path.name == "07.png"
        assert results[0].probability is not None
        assert results[0].probability > 0.9
        assert [hit.probable for hit in results] == [True, False, False]
        assert results[0].box is not None
        assert results.answered is True
        assert len(library.search(turned, k=3, min_probability=0.5)) == 1
        strange = library.search(np.zeros((60, 80, 3), np.uint8), k=3)
        assert strange.answered is False
        assert len(strange) == 3
        # A limit leaves hits out, and what the search has answered stays.
        nothing = library.search(np.zeros((60, 80, 3), np.uint8), k=3, min_probability=0.5)
        assert (len(nothing), nothing.answered) == (0, False)
        assert library.search(turned, k=3, min_probability=1.0).answered is True
        assert results.above(2.0).likely(0.5).answered is True
        (each,) = library.search_each([turned], k=3, min_probability=0.5)
        assert each.results is not None
        assert [hit.path.name for hit in each.results] == ["07.png"]
        by_id = library.search(results[0].id, k=1)
        assert by_id[0].probability is not None
        assert by_id[0].probability > 0.9


def test_the_recipe_says_how_results_are_ranked_unless_the_search_does(
    tmp_path: Path, recipe: Recipe, textured: Path
) -> None:
    pytest.importorskip("cv2")
    query = textured / "03.png"
    with made(tmp_path / "library", calibrated(tmp_path, recipe), textured) as library:
        plain = library.search(query, k=5, rerank="none")
        assert plain.answered is None
        assert [hit.probability for hit in plain] == [None] * 5
        assert library.search(query, k=5, rerank=()).scores.tolist() == plain.scores.tolist()
        away = library.search(query, k=5, negatives=textured / "05.png")
        assert away.answered is None
        vector = library.search(library.describe(query)[0], k=5)
        assert all(hit.probability is not None and hit.probability < 0.5 for hit in vector)
        with pytest.raises(UsageError, match="negative examples and other re-rankers give none"):
            library.search(query, min_probability=0.5, negatives=textured / "05.png")
        with pytest.raises(UsageError, match="min_probability is 2; expected a number from 0 to 1"):
            library.search(query, min_probability=2)
    with (
        made(tmp_path / "other", recipe, textured) as library,
        pytest.raises(UsageError, match="it has no calibration"),
    ):
        library.search(query, min_probability=0.5)


def test_the_most_similar_part_is_localised(tmp_path: Path, recipe: Recipe, textured: Path) -> None:
    shallow = dataclasses.replace(recipe, taps=("shallow",), pooling="max", size=320)
    with made(tmp_path / "library", shallow, textured) as library:
        results = library.search(textured / "03.png", k=4, rerank="localise:depth=4")
        assert results[0].path.name == "03.png"
        assert results[0].score == pytest.approx(1, abs=0.02)
        assert all(hit.box is not None for hit in results)
        (textured / "05.png").rename(tmp_path / "05.png")
        results = library.search(textured / "03.png", k=12, rerank="localise:depth=12")
        assert len(results) == 12
        assert [(hit.score, hit.box) for hit in results if hit.missing] == [(0, None)]
        (tmp_path / "05.png").rename(textured / "05.png")


def test_libraries_of_the_same_images_are_searched_together(tmp_path: Path, recipe: Recipe, photos: Path) -> None:
    recipes = (recipe, dataclasses.replace(recipe, pooling="max"), dataclasses.replace(recipe, **PARTS))  # type: ignore[arg-type]
    libraries = [made(tmp_path / f"library{at}", each, photos) for at, each in enumerate(recipes)]
    names = sorted(path.name for path in photos.iterdir())
    rankings = []
    for library in libraries:
        results = library.search(picture(50), k=COUNT)
        ids = np.array([[names.index(hit.path.name) for hit in results]])
        rankings.append(Ranking(ids, results.scores[None]))
    expected = reciprocal_rank(rankings)
    results = search_many(libraries, picture(50), k=COUNT)
    assert np.abs(results.scores - expected.scores[0]).max() < 1e-6
    assert {hit.path.name for hit in results[:3]} == {names[at] for at in expected.ids[0, :3]}
    assert [hit.rank for hit in results] == list(range(1, COUNT + 1))
    with pytest.raises(RecipeError, match="unknown fusion 'reciprocal'; did you mean 'reciprocal_rank'"):
        search_many(libraries, picture(50), fusion="reciprocal")
    with pytest.raises(UsageError, match="no library"):
        search_many([], picture(50))
    for library in libraries:
        library.close()
