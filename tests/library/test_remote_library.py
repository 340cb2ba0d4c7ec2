"""A library of remote images: indexed by ETag, pruned by complete listings only, never read unless allowed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kindred import allow_remote
from kindred._support.remote_path import RemotePath
from kindred.duplicates import find_duplicates
from kindred.errors import ImageError, RemoteError
from kindred.library import Library, reading_ahead
from kindred.library.paths import remote_roots
from kindred.library.pruning import PRUNE_COUNT
from kindred.recipe import Recipe
from pictures import encoded
from tagged_store import ROOT, TaggedStore, delete, disallow, put, tagged_store


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[TaggedStore]]:
    with tagged_store(monkeypatch, images=6) as opened:
        yield opened


@pytest.fixture
def library(tmp_path: Path, recipe: Recipe, store: type[TaggedStore]) -> Iterator[Library]:
    with Library.create(tmp_path / "library", recipe=recipe) as opened:
        opened.index(ROOT)
        store.reads.clear()
        yield opened


def address(name: str) -> RemotePath:
    return RemotePath(f"{ROOT}/{name}")


def test_each_image_is_read_once_and_found_by_its_address(
    tmp_path: Path, recipe: Recipe, store: type[TaggedStore]
) -> None:
    with Library.create(tmp_path / "library", recipe=recipe) as library:
        report = library.index(ROOT)
        assert (report.found, report.indexed, report.skipped) == (6, 6, [])
        assert sorted(store.reads) == [f"/bucket/photos/{number}.jpg" for number in range(6)]
        best = library.search(encoded(3), k=1)[0]
        assert (str(best.path), best.missing) == (f"{ROOT}/3.jpg", False)
        assert str(library.get(f"{ROOT}/3.jpg").path) == f"{ROOT}/3.jpg"
        assert library.tag(f"{ROOT}/3.jpg", "liked") == 1
        assert [str(each) for each in remote_roots(library.store)] == [ROOT]
    with Library.open(tmp_path / "library") as again:
        assert isinstance(again.get(f"{ROOT}/3.jpg").path, RemotePath)


def test_large_images_are_read_once_as_well(
    tmp_path: Path, recipe: Recipe, store: type[TaggedStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_ahead, "MOST_BYTES", 10)
    with Library.create(tmp_path / "library", recipe=recipe) as library:
        assert library.index(ROOT).indexed == 6
    assert len(store.reads) == 6


def test_unchanged_images_are_not_read_again(library: Library, store: type[TaggedStore]) -> None:
    put("bucket/photos/1.jpg", encoded(1))  # written again, with the same content and another time
    report = library.index(ROOT)
    assert (report.unchanged, report.indexed, store.reads) == (6, 0, [])
    put("bucket/photos/1.jpg", encoded(21))
    report = library.index(ROOT)
    assert (report.unchanged, report.indexed, store.reads) == (5, 1, ["/bucket/photos/1.jpg"])


def test_an_image_that_cannot_be_read_is_skipped_and_tried_again(
    tmp_path: Path, recipe: Recipe, store: type[TaggedStore]
) -> None:
    put("bucket/photos/broken.jpg", b"no image")
    put("bucket/photos/empty.jpg", b"")
    with Library.create(tmp_path / "library", recipe=recipe) as library:
        reasons = {path.name: reason for path, reason in library.index(ROOT).skipped}
        assert reasons == {"broken.jpg": "not an image", "empty.jpg": "empty file"}
        put("bucket/photos/7.jpg", encoded(7))
        assert library.index(ROOT).indexed == 1
        assert store.reads.count("/bucket/photos/broken.jpg") == 1


def test_a_moved_image_keeps_its_id_and_is_not_read(library: Library, store: type[TaggedStore]) -> None:
    before = library.get(f"{ROOT}/1.jpg")
    library.tag(before.id, "liked")
    delete("bucket/photos/1.jpg")
    put("bucket/photos/sub/moved.jpg", encoded(1))
    put("bucket/photos/sub/copy.jpg", encoded(2))
    report = library.index(ROOT)
    assert (report.moved, report.indexed, report.missing) == (1, 1, 0)
    after = library.get(f"{ROOT}/sub/moved.jpg")
    assert (after.id, after.tags) == (before.id, ("liked",))
    assert store.reads == ["/bucket/photos/sub/copy.jpg"]


def test_images_that_swapped_names_follow_their_content(library: Library) -> None:
    one, two = library.get(f"{ROOT}/1.jpg").id, library.get(f"{ROOT}/2.jpg").id
    put("bucket/photos/1.jpg", encoded(2))
    put("bucket/photos/2.jpg", encoded(31))
    assert library.index(ROOT).moved == 1
    assert library.get(f"{ROOT}/1.jpg").id == two
    assert library.get(f"{ROOT}/2.jpg").id not in (one, two)


def test_pruning_follows_a_complete_listing(library: Library, store: type[TaggedStore]) -> None:
    delete("bucket/photos/1.jpg")
    report = library.index(ROOT)
    assert (report.missing, report.removed) == (1, 0)
    store.failures += [PermissionError("denied")]
    with pytest.raises(RemoteError, match="access was denied"):
        library.index(ROOT, prune="all")
    assert len(library) == 6
    report = library.index(ROOT, exclude="2.jpg", prune="gone")
    assert (report.missing, report.removed, len(library)) == (1, 1, 5)  # an excluded file is still there


def test_an_empty_listing_removes_nothing(library: Library, store: type[TaggedStore]) -> None:
    for number in range(6):
        delete(f"bucket/photos/{number}.jpg")
    with pytest.raises(RemoteError, match="no object is listed"):
        library.index(ROOT, prune="all")
    assert len(library) == 6
    assert store.reads == []


def test_many_missing_images_are_doubted(library: Library) -> None:
    count = PRUNE_COUNT + 4
    for number in range(100, 100 + count):
        put(f"bucket/photos/{number}.jpg", encoded(number))
    library.index(ROOT)
    for number in range(100, 100 + count - 1):
        delete(f"bucket/photos/{number}.jpg")
    report = library.index(ROOT, prune="gone")
    assert (report.missing, report.removed) == (count - 1, 0)
    assert report.held == [f"{count - 1} of the {count + 6} images of {ROOT} are gone"]
    assert library.index(ROOT, prune="all").removed == count - 1


def test_a_stopped_run_prunes_nothing(library: Library) -> None:
    delete("bucket/photos/1.jpg")
    assert library.index(ROOT, prune="all", stop=lambda: True).removed == 0
    assert len(library) == 6


def test_a_library_alone_allows_nothing(
    library: Library, store: type[TaggedStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    disallow(monkeypatch)
    with pytest.raises(RemoteError, match="not allowed"):
        library.index(remote_roots(library.store))  # as a server does
    assert library.add(address("1.jpg")).skipped[0][1].startswith("remote, and reading it was not allowed")
    uid = library.get(f"{ROOT}/1.jpg").id
    assert str(library.search(uid, k=1)[0].path) == f"{ROOT}/1.jpg"  # by its stored vector
    small = encoded(1, width=16, height=12)
    assert len(library.search(small, k=3)) == 3
    with pytest.raises(ImageError, match="not allowed"):
        library.describer.describe(address("1.jpg"))
    assert store.reads == []
    allow_remote(ROOT)
    assert library.describer.describe(address("1.jpg")).shape[0] == 1


def test_duplicates_by_etag_without_reading_and_by_pixels_if_allowed(
    library: Library, store: type[TaggedStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    put("bucket/photos/copy.jpg", encoded(1))
    put("bucket/photos/png.png", encoded(2, "PNG"))
    library.index(ROOT)
    store.reads.clear()
    disallow(monkeypatch)
    (group,) = find_duplicates(library, kinds=["same_bytes"])
    assert [path.name for path in group.paths] == ["1.jpg", "copy.jpg"]
    assert all(member.size == len(encoded(1)) for member in group.members)
    assert find_duplicates(library, kinds=["same_picture"]) == []
    assert store.reads == []
    allow_remote(ROOT)
    found = {tuple(path.name for path in each.paths) for each in find_duplicates(library, kinds=["same_picture"])}
    assert ("2.jpg", "png.png") in found or ("png.png", "2.jpg") in found


def test_a_hostile_address_in_a_library_is_damage(library: Library) -> None:
    import sqlite3

    from kindred.errors import LibraryDamaged

    place = library.path / "store.sqlite"
    library.close()
    with sqlite3.connect(place) as database:
        database.execute("UPDATE images SET path = ? WHERE path = ?", (b"file:///etc/x", f"{ROOT}/1.jpg".encode()))
    with Library.open(library.path) as again, pytest.raises(LibraryDamaged, match="expected an absolute path"):
        again.search(encoded(1), k=6)
