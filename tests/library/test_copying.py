"""Copies of libraries between a folder and PostgreSQL: complete, resumable, brought up to date, and verified."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kindred.errors import LibraryDamaged, LibraryError
from kindred.library import Library, copying
from kindred.library.copying import CopyReport, copy_library
from kindred.library.places import open_store
from kindred.library.verifying import Damaged, Phase, verify_library
from kindred.recipe import Recipe
from kindred.store import STORES, Entry, Filter, Place, PostgresUrl, Store, VisualWords
from pictures import make_folder, save_picture
from postgres_server import execute

pytest.importorskip("psycopg")

PlaceFor = Callable[..., Place]
COUNT = 8


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    make_folder(tmp_path / "photos", COUNT)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path / "photos"


@pytest.fixture
def library(tmp_path: Path, recipe: Recipe, photos: Path) -> Library:
    made = Library.create(tmp_path / "first", recipe=recipe)
    made.index(photos)
    names = [photos / f"{number:05}.jpg" for number in range(COUNT)]
    made.tag(names[:3], "sea")
    made.tag(names[2], "sky")
    made.set_metadata(names[:2], {"price": 20, "maker": "Leica"})
    made.set_metadata(names[4], {"price": 7.5})
    made.store.set_not_same([(names[0], names[5])])
    made.store.save_search("blue", {"k": 3})
    return made


def content(store: Store) -> Any:
    """Everything in a store, by the public ids of images."""
    rows = store.images(store.select_images(Filter()).tolist()).values()
    known = {each.uid: each for each in store.lookup(row.path for row in rows).values()}
    uids = {row.image_id: row.uid for row in rows}
    facts = {row.uid: (row.path, row.tags, dict(row.metadata), row.width, row.taken, row.frames) for row in rows}
    files = {uid: (each.size, each.mtime_ns, each.digest, each.state, each.final) for uid, each in known.items()}
    vectors = {
        uids[number]: (batch.rows[batch.owners == number].tobytes(), str(batch.words))
        for batch in store.parts()
        for number in batch.owners.tolist()
    }
    return (
        facts,
        files,
        vectors,
        store.skipped(),
        store.roots(),
        {frozenset(uids[number] for number in pair) for pair in store.not_same().tolist()},
        [(each.name, each.search) for each in store.saved_searches()],
    )


def test_a_copy_on_a_server_and_back_has_everything(
    library: Library, photos: Path, place_for: PlaceFor, tmp_path: Path
) -> None:
    there, back = place_for("postgres"), tmp_path / "back"
    assert copy_library(library.path, there) == CopyReport(copied=COUNT, skipped=1)
    assert copy_library(there, back) == CopyReport(copied=COUNT, skipped=1)
    expected = content(library.store)
    queries = [photos / f"{number:05}.jpg" for number in range(3)]
    hits = [[(hit.id, hit.score) for hit in library.search(query)] for query in queries]
    for place in (there, back):
        with Library.open(place) as copied:
            assert content(copied.store) == expected
            assert [[(hit.id, hit.score) for hit in copied.search(query)] for query in queries] == hits
            assert copied.index(photos).unchanged == COUNT
            report = verify_library(copied, library)
            assert report.sound, report
            assert (report.images, report.skipped, report.others) == (COUNT, 1, (COUNT, 1))
            assert (report.recall, report.same_rankings, report.related) == (1.0, 1.0, True)


def test_copying_again_brings_a_copy_up_to_date(
    library: Library, photos: Path, place_for: PlaceFor, tmp_path: Path
) -> None:
    there = place_for("postgres")
    copy_library(library.path, there)
    one, two, three = (photos / f"{number:05}.jpg" for number in (0, 1, 2))
    library.remove(photos / "00005.jpg")
    library.untag(one, "sea")
    library.unset_metadata(one, "maker")
    library.set_metadata(two, {"price": 21})
    save_picture(photos / "00003.jpg", 77)  # other content
    save_picture(photos / "new.jpg", 78)
    library.index(photos)
    # Two images swap their paths.
    aside = tmp_path / "aside.jpg"
    two.rename(aside)
    three.rename(two)
    aside.rename(three)
    library.index(photos)
    report = copy_library(library.path, there)
    assert report.removed == 0 or report.removed == 1
    assert report.copied < 6
    with Library.open(there) as copied:
        assert content(copied.store)[:5] == content(library.store)[:5]
        assert verify_library(copied, library).sound


def test_an_interrupted_copy_goes_on(
    library: Library, place_for: PlaceFor, monkeypatch: pytest.MonkeyPatch, photos: Path
) -> None:
    monkeypatch.setattr(copying, "BATCH", 2)
    there = place_for("postgres")

    def stop(done: int, _: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_library(library.path, there, progress=stop)
    save_picture(photos / "00000.jpg", 99)  # of the part that was copied
    library.index(photos)
    report = copy_library(library.path, there)
    assert (report.copied, report.unchanged, report.skipped) == (COUNT - 3, 3, 1)
    with Library.open(there) as copied:
        assert content(copied.store) == content(library.store)


def test_regions_words_and_features_are_copied(recipe: Recipe, tmp_path: Path, place_for: PlaceFor) -> None:
    random = np.random.default_rng(0)
    boxes = np.array([[0, 0, 5, 5], [np.nan] * 4], np.float32)
    words = VisualWords(np.arange(4, dtype=np.uint16), np.arange(4, dtype=np.uint64))
    some = random.standard_normal((3, 2, 6)).astype(np.float32)
    for name, entries in {
        "regions": [Entry(Path("/a.jpg"), 1, 1, vectors=some[0], boxes=boxes)],
        "words": [Entry(Path("/b.jpg"), 1, 1, vectors=some[1], words=np.array([3, 1]))],
        "visual": [Entry(Path("/c.jpg"), 1, 1, vectors=some[2][:1], visual_words=words, features=b"abc")],
    }.items():
        with Library.create(tmp_path / name, recipe=recipe) as library:
            library.store.put(entries)
            copy_library(library.path, place_for("postgres", name))
            copied = open_store(place_for("postgres", name))
            copying._Copy(library.store, copied, words=True).copy_images([1], {1})
            for mine, theirs in zip(library.store.parts(), copied.parts(), strict=True):
                np.testing.assert_array_equal(mine.rows, theirs.rows)
                np.testing.assert_array_equal(np.array(mine.boxes), np.array(theirs.boxes))
                np.testing.assert_array_equal(np.array(mine.words), np.array(theirs.words))
            assert library.store.features(1) == copied.features(1)
            visual = [[each.words.tolist() for _, each in store.visual_words()] for store in (library.store, copied)]
            assert visual[0] == visual[1]
            copied.close()


def test_only_a_copy_is_written_to(library: Library, recipe: Recipe, place_for: PlaceFor) -> None:
    there = place_for("postgres")
    Library.create(there, recipe=recipe).close()
    with pytest.raises(LibraryError, match="is not a copy of this one"):
        copy_library(library.path, there)
    with pytest.raises(LibraryError, match="both the library and its copy"):
        copy_library(library.path, library.path)


def test_verifying_names_what_differs(library: Library, photos: Path, tmp_path: Path) -> None:
    copy_library(library.path, tmp_path / "copy")
    with Library.open(tmp_path / "copy") as copied:
        uid = copied.get(photos / "00001.jpg").id
        copied.tag(photos / "00001.jpg", "only here")
        report = verify_library(copied, library)
        assert [each.bucket for each in report.unlike] == [int(uid, 16) % 64]
        assert not report.sound
        copied.untag(photos / "00001.jpg", "only here")
        assert verify_library(copied, library).sound
        known = copied.store.lookup([photos / "00002.jpg"])[photos / "00002.jpg"]
        vector = np.eye(1, copied.store.dimension, dtype=np.float32)
        copied.store.put([Entry(known.path, known.size, known.mtime_ns, digest=known.digest, vectors=vector)])
        report = verify_library(copied, library)
        assert [each.bucket for each in report.unlike] == [int(known.uid, 16) % 64]
        assert report.same_rankings is not None
        assert report.same_rankings < 1


def test_an_image_whose_vector_is_gone_is_reported(library: Library, photos: Path) -> None:
    gone = library.store.lookup([photos / "00002.jpg"])[photos / "00002.jpg"].uid
    with closing(sqlite3.connect(library.path / "store.sqlite")) as database, database:
        database.execute("DELETE FROM vectors WHERE image_id = (SELECT id FROM images WHERE uid = ?)", (gone,))
    report = verify_library(library)
    assert (report.images, report.unreadable, report.sound) == (COUNT, 1, False)
    assert report.damaged == (Damaged(photos / "00002.jpg", "its vector is missing"),)
    library.index(photos, force=True)
    assert verify_library(library).sound


@pytest.mark.parametrize("kind", STORES)
def test_damaged_vectors_are_named(kind: str, recipe: Recipe, photos: Path, place_for: PlaceFor) -> None:
    """One in each half of the images, and only these."""
    place = place_for(kind)
    with Library.create(place, recipe=recipe) as library:
        library.index(photos)
        copy_library(place, place_for("sqlite", "sound"))
        paths = [photos / f"{number:05}.jpg" for number in (1, 6)]
        numbers = [known.id for known in library.store.lookup(paths).values()]
        if isinstance(place, PostgresUrl):
            execute(place, f"UPDATE vectors SET data = '[1, 2]' WHERE image_id IN ({numbers[0]}, {numbers[1]})")
        else:
            with closing(sqlite3.connect(library.path / "store.sqlite")) as database, database:
                database.execute("UPDATE vectors SET data = zeroblob(8) WHERE image_id IN (?, ?)", numbers)
        with Library.open(place_for("sqlite", "sound")) as sound:
            report = verify_library(library, sound)
        assert [each.path for each in report.damaged] == paths
        assert all(re.search(r"vector \d has 8 bytes, expected 128 bytes", each.reason) for each in report.damaged)
        assert (report.images, report.unreadable, report.recall, report.others) == (COUNT, 2, None, None)
        assert not report.sound
    with Library.open(place) as library:
        with pytest.raises(LibraryDamaged, match=r"; kindred verify names (its image|their images), which"):
            library.search(photos / "00003.jpg")
        library.index(paths, force=True)
        assert verify_library(library).sound


def test_a_library_whose_vectors_are_all_damaged(library: Library) -> None:
    with closing(sqlite3.connect(library.path / "store.sqlite")) as database, database:
        database.execute("UPDATE vectors SET data = x'00'")
    with pytest.raises(LibraryDamaged, match="vector 1 has 1 bytes"):
        verify_library(library)


def test_damaged_local_features_are_named(recipe: Recipe, photos: Path, tmp_path: Path) -> None:
    with Library.create(tmp_path / "verified", recipe=replace(recipe, features="sift")) as made:
        made.index(photos)
        images = [row.path for row in made.store.images(made.store.select_images(Filter()).tolist()).values()]
        damaged, without = sorted(images)[:2]
        numbers = {path: known.id for path, known in made.store.lookup([damaged, without]).items()}
        with closing(sqlite3.connect(made.path / "store.sqlite")) as database, database:
            database.execute("UPDATE features SET data = x'01' WHERE image_id = ?", (numbers[damaged],))
            database.execute("DELETE FROM features WHERE image_id = ?", (numbers[without],))
        phases = list[Phase]()
        report = verify_library(made, progress=lambda phase, *_: phases.append(phase))
        assert report.damaged == (Damaged(damaged, "local features: 1 bytes that hold none"),)
        assert (report.unreadable, report.without_features, report.sound) == (0, 1, False)
        assert {phase.title: phase.unit for phase in phases} == {
            "Reading vectors": "vectors", "Reading local features": "images", "Checking rankings": "rankings",
        }  # fmt: skip
        named = f"^{re.escape(str(damaged))}: local features: 1 bytes that hold none; "
        with pytest.raises(LibraryDamaged, match=named):
            made.search(images[-1], rerank="verify")
        made.index([damaged, without], force=True)
        report = verify_library(made)
        assert (report.sound, report.without_features) == (True, 0)


def test_skipped_files_are_counted_by_themselves(library: Library, photos: Path, tmp_path: Path) -> None:
    copy_library(library.path, tmp_path / "copy")
    with Library.open(tmp_path / "copy") as copied:
        uid = library.store.lookup([photos / "broken.jpg"])[photos / "broken.jpg"].uid
        bucket = int(uid, 16) % 64
        (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xff")
        library.index(photos)
        report = verify_library(copied, library)
        assert not report.sound
        (unlike,) = report.unlike
        assert (unlike.bucket, unlike.skipped) == (bucket, (1, 1))
        (photos / "broken.jpg").unlink()
        library.index(photos, prune="gone")
        report = verify_library(copied, library)
        (unlike,) = report.unlike
        assert (unlike.bucket, unlike.skipped) == (bucket, (1, 0))
        assert unlike.images[0] == unlike.images[1]
        assert (report.images, report.skipped, report.others) == (COUNT, 1, (COUNT, 0))
        assert report.same_rankings == 1.0
        assert copy_library(library.path, tmp_path / "copy") == CopyReport(unchanged=COUNT)
        report = verify_library(copied, library)
        assert report.sound
        assert (report.skipped, report.others) == (0, (COUNT, 0))


def test_libraries_that_are_no_copies_are_named(library: Library, recipe: Recipe, photos: Path, tmp_path: Path) -> None:
    with Library.create(tmp_path / "second", recipe=recipe) as second:
        second.index(photos)
        report = verify_library(second, library)
        assert (report.sound, report.related, report.same_rankings) == (False, False, 0.0)
        with Library.create(tmp_path / "empty", recipe=recipe) as empty:
            report = verify_library(empty, second)
            assert (report.sound, report.related) == (False, True)


def test_images_that_change_during_the_check_are_not_unreadable(
    library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = library.store.vectors

    def changed_meanwhile(**options: int) -> Iterator[Any]:
        library.remove(photos / "00001.jpg")
        save_picture(photos / "new.jpg", 78)
        library.add(photos / "new.jpg")
        yield from read(**options)

    monkeypatch.setattr(library.store, "vectors", changed_meanwhile)
    report = verify_library(library)
    assert (report.vectors, report.unreadable, report.sound) == (COUNT, 0, True)
