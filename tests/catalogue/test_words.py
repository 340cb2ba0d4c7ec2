"""Rows of words, boxes of regions and local features in the catalogue."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from kindred.catalogue import Catalogue, Entry, Filter
from kindred.catalogue.schema import MIGRATIONS, migrate
from kindred.errors import LibraryDamaged, UsageError

IMAGE = Path("/photos/a.jpg")


def entry(path: str = "/photos/a.jpg", **keys: object) -> Entry:
    values: dict[str, object] = {"size": 10, "mtime_ns": 10, "width": 64, "height": 48, **keys}
    return Entry(Path(path), **values)  # type: ignore[arg-type]


def test_words_come_back_with_their_rows_at_half_precision(catalogue: Catalogue) -> None:
    random = np.random.default_rng(0)
    rows = [random.standard_normal((count, 8)).astype(np.float32) for count in (3, 1)]
    words = [np.array([2, 5, 70_000]), np.array([1])]
    catalogue.put(
        [
            entry("/photos/a.jpg", vectors=rows[0], words=words[0]),
            entry("/photos/b.jpg", vectors=rows[1], words=words[1]),
        ]
    )
    (batch,) = catalogue.parts()
    assert batch.owners.tolist() == [1, 1, 1, 2]
    assert batch.words is not None
    assert batch.words.tolist() == [2, 5, 70_000, 1]
    assert batch.boxes is None
    assert np.array_equal(batch.rows, np.concatenate(rows).astype(np.float16))
    assert catalogue.counts().vectors == 0
    assert catalogue.dimension == 8


def test_regions_come_back_with_their_boxes_in_whole_images(catalogue: Catalogue) -> None:
    boxes = np.array([[np.nan] * 4, [0, 0, 32, 24]], np.float32)
    rows = np.eye(4, dtype=np.float32)
    catalogue.put(
        [entry(f"/photos/{name}.jpg", vectors=rows[at : at + 2], boxes=boxes) for at, name in enumerate("abc")]
    )
    batches = list(catalogue.parts(batch=2))
    assert [batch.owners.tolist() for batch in batches] == [[1, 1, 2, 2], [3, 3]]
    assert batches[0].boxes is not None
    assert np.isnan(batches[0].boxes[[0, 2]]).all()
    assert batches[0].boxes[[1, 3]].tolist() == [[0, 0, 32, 24]] * 2
    assert np.array_equal(batches[1].rows, rows[2:4])
    assert batches[0].words is None


def test_an_image_put_anew_or_forgotten_loses_its_words_and_features(catalogue: Catalogue) -> None:
    row = np.ones((1, 4), np.float32)
    catalogue.put([entry(vectors=row, words=np.array([3]), features=b"points")])
    assert catalogue.features(1) == b"points"
    catalogue.put([entry(vectors=row, words=np.array([4]))])
    (batch,) = catalogue.parts()
    assert batch.words is not None
    assert batch.words.tolist() == [4]
    assert catalogue.features(1) is None
    catalogue.forget([IMAGE])
    assert list(catalogue.parts()) == []


def test_images_are_asked_for_by_their_own_ids(catalogue: Catalogue) -> None:
    row = np.ones((1, 4), np.float32)
    catalogue.put([entry("/photos/a.jpg", vectors=row, words=np.array([3])), entry("/other/b.jpg", vectors=row)])
    catalogue.tag([IMAGE], "cat")
    found = catalogue.images([1, 2, 99])
    assert {number: (row.path.name, row.width, row.tags) for number, row in found.items()} == {
        1: ("a.jpg", 64, ("cat",)),
        2: ("b.jpg", 64, ()),
    }
    assert catalogue.select_images(Filter(folder=Path("/photos"))).tolist() == [1]
    assert catalogue.select_images(Filter(tags=("cat",))).tolist() == [1]
    assert catalogue.select_images(Filter()).tolist() == [1, 2]


def test_words_that_do_not_fit_their_rows_are_refused(catalogue: Catalogue) -> None:
    with pytest.raises(UsageError, match=r"a\.jpg: got words of shape \(2,\); expected \(1,\)"):
        catalogue.put([entry(vectors=np.ones((1, 4), np.float32), words=np.array([3, 4]))])
    assert catalogue.counts().images == 0


def test_words_that_were_cut_off_are_damage(catalogue: Catalogue) -> None:
    catalogue.put([entry(vectors=np.ones((2, 4), np.float32), words=np.array([3, 4]))])
    with sqlite3.connect(catalogue.file) as connection:
        connection.execute("UPDATE words SET data = x'00'")
    connection.close()
    with pytest.raises(LibraryDamaged, match="the words of image 1 are cut off"):
        list(catalogue.parts())


def test_a_catalogue_of_the_first_format_is_brought_up_to_date(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.sqlite"
    Catalogue.create(tmp_path / "other.sqlite", {}).close()
    connection = sqlite3.connect(file, isolation_level=None)
    migrate(connection, MIGRATIONS[:1])
    connection.close()
    with Catalogue.open(file) as catalogue:
        assert list(catalogue.parts()) == []
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    connection.close()
