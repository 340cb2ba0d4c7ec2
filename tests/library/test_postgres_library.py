"""A library in PostgreSQL: the same results as one in a folder, from any machine, by any number of writers."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from forked import in_fork
from kindred.describer import DescriberOptions
from kindred.errors import LibraryError, LibraryReplaced, RecipeMismatch, UsageError
from kindred.library import Library
from kindred.recipe import Recipe
from kindred.store import STORES, Filter, Place, PostgresUrl
from lookalikes import photograph
from pictures import make_folder
from tiny_model import home, make_recipe

pytest.importorskip("psycopg")

PlaceFor = Callable[[str], Place]
COUNT = 10


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    make_folder(tmp_path / "photos", COUNT)
    return tmp_path / "photos"


def test_the_default_recipe_gives_the_same_results_in_both_places(place_for: PlaceFor, tmp_path: Path) -> None:
    """Descriptors, keypoints, visual words and the calibrated order, by every way of searching."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(8):
        photograph(number).save(folder / f"{number}.jpg", quality=90)
    query = tmp_path / "query.jpg"
    part = photograph(3)
    part.crop((part.width // 10, part.height // 10, part.width, part.height * 9 // 10)).save(query)
    found: list[list[object]] = []
    for kind in STORES:
        with Library.create(place_for(kind), options=DescriberOptions(workers=1)) as library:
            library.index(folder)
            each = [
                library.search(query),
                library.search(query, rerank="none"),
                library.search(folder / "5.jpg", k=3, negatives=folder / "6.jpg"),
                library.search(query, regions=True, k=4),
                library.search(query, where=Filter(folder=folder), rerank="verify"),
                library.search(library.get(folder / "2.jpg").id),
            ]
            assert each[0][0].path.name == "3.jpg"
            found.append([[(hit.path, hit.score, hit.box, hit.probability) for hit in results] for results in each])
            info = library.info()
            found[-1].append((info.images, info.vectors, info.dimension, info.roots))
            assert info.bytes > 10_000
    assert found[0] == found[1]


def test_another_machine_gets_the_fitted_files(url: PostgresUrl, photos: Path, tmp_path: Path) -> None:
    with home(tmp_path / "one") as folder:
        recipe = make_recipe(folder)
        with Library.create(url, recipe=recipe) as library:
            library.index(photos)
            before = [hit.path for hit in library.search(photos / "00001.jpg")]
            own = library.path
            assert library.place == url
            assert library.name == url.library
            assert own.is_relative_to(tmp_path / "one")
    with home(tmp_path / "two") as folder:
        make_recipe(folder)
        with Library.open(str(url)) as library:
            assert library.path.is_relative_to(tmp_path / "two")
            assert [hit.path for hit in library.search(photos / "00001.jpg")] == before
            files = sorted(path.name for path in library.path.glob("fitted-*"))
            assert files == sorted(path.name for path in own.glob("fitted-*"))
            for name in files:
                (library.path / name).write_bytes(b"damaged")
        with Library.open(url) as library:
            assert [hit.path for hit in library.search(photos / "00001.jpg")] == before


def test_a_recipe_must_be_that_of_the_library_unless_it_is_empty(
    url: PostgresUrl, recipe: Recipe, photos: Path
) -> None:
    other = recipe.with_settings(["size=96"])
    with Library.create(url, recipe=recipe):
        pass
    with Library.open(url, recipe=other) as library:
        library.index(photos)
    with pytest.raises(RecipeMismatch, match="library="):
        Library.open(url, recipe=recipe)
    with pytest.raises(LibraryError, match="exists already"):
        Library.create(url, recipe=recipe)


def test_several_index_overlapping_folders_at_once(url: PostgresUrl, recipe: Recipe, photos: Path) -> None:
    """Each image is stored once, with the vector that a single run gives it."""
    Library.create(url, recipe=recipe).close()
    faults: list[BaseException] = []

    def index() -> None:
        try:
            with Library.open(url) as library:
                library.index(photos)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=index) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    with Library.open(url) as library:
        assert len(library) == library.store.counts().vectors == COUNT
        ((ids, rows),) = library.store.vectors()
        paths = {number: row.path for number, row in library.store.rows(ids.tolist()).items()}
        alone = library.describe([paths[number] for number in ids.tolist()])
        np.testing.assert_allclose(rows, alone, atol=1e-5)
        assert library.index(photos).unchanged == COUNT
        assert all(run.finished for run in library.store.runs())


def test_a_library_is_opened_again_where_it_is_sent_and_in_a_fork(
    url: PostgresUrl, recipe: Recipe, photos: Path
) -> None:
    with Library.create(url, recipe=recipe) as library:
        library.index(photos)
        expected = [hit.path for hit in library.search(photos / "00002.jpg", k=3)]
        with pickle.loads(pickle.dumps(library)) as again:
            assert [hit.path for hit in again.search(photos / "00002.jpg", k=3)] == expected
        assert in_fork(lambda: [hit.path for hit in library.search(photos / "00002.jpg", k=3)] == expected)
        assert "s3cret" not in repr(library)


def test_a_library_made_again_must_be_opened_again(url: PostgresUrl, recipe: Recipe, photos: Path) -> None:
    with Library.create(url, recipe=recipe) as library:
        library.index(photos)
        library.search(photos / "00001.jpg")
        with Library.open(url) as other:
            other.store.delete()  # type: ignore[attr-defined]
        Library.create(url, recipe=recipe).close()
        with pytest.raises(LibraryReplaced):
            library.search(photos / "00001.jpg")


def test_an_address_as_a_path_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="expected text"):
        Library.create(Path("postgresql://h/d?library=x"))
    assert list(tmp_path.iterdir()) == []
