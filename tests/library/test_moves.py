"""Files that are moved, renamed, touched or exchanged between two runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from kindred._support.digests import HEAD, digest_of
from kindred.errors import UsageError
from kindred.library import Library
from kindred.recipe import Recipe
from kindred.store import Entry, FileStamp, Known
from pictures import make_folder, save_picture

COUNT = 12


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    make_folder(tmp_path / "photos", COUNT)
    return tmp_path / "photos"


@pytest.fixture
def library(tmp_path: Path, recipe: Recipe, photos: Path) -> Iterator[Library]:
    with Library.create(tmp_path / "library", recipe=recipe) as made:
        made.index(photos)
        for number in range(COUNT):
            made.tag(photos / name(number), f"tag {number}")
            made.set_metadata(photos / name(number), {"number": number})
        yield made


def name(number: int) -> str:
    return f"{number:05}.jpg"


def known(library: Library) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the id and tags of each image by its path below the temporary folder."""
    rows = library.store.images(range(1, 1000))
    return {f"{row.path.parent.name}/{row.path.name}": (row.uid, row.tags) for row in rows.values()}


def described(library: Library, photos: Path) -> tuple[int, int, int]:
    report = library.index(photos)
    return report.indexed, report.moved, report.unchanged


def test_renamed_and_moved_files_are_recognised_and_not_described_again(library: Library, photos: Path) -> None:
    before, vectors = known(library), library.store.vectors_revision
    (photos / "sub").mkdir()
    (photos / name(3)).rename(photos / "renamed.jpg")
    (photos / name(4)).rename(photos / "sub" / name(4))
    assert described(library, photos) == (0, 2, COUNT - 2)
    after = known(library)
    assert after["photos/renamed.jpg"] == before[f"photos/{name(3)}"]
    assert after[f"sub/{name(4)}"] == before[f"photos/{name(4)}"]
    assert len(after) == COUNT
    assert library.store.vectors_revision == vectors
    record = library.get(photos / "renamed.jpg")
    assert (record.tags, record.metadata, record.missing) == (("tag 3",), {"number": 3}, False)
    assert library.store.runs(1)[0].moved == 2
    assert described(library, photos) == (0, 0, COUNT)


def test_a_renamed_folder_keeps_all_its_images(library: Library, photos: Path, tmp_path: Path) -> None:
    before = {uid for uid, _ in known(library).values()}
    photos.rename(tmp_path / "pictures")
    assert described(library, tmp_path / "pictures") == (0, COUNT, 0)
    assert {uid for uid, _ in known(library).values()} == before
    assert library.search(tmp_path / "pictures" / name(5))[0].path == tmp_path / "pictures" / name(5)


def test_each_file_of_a_renamed_folder_is_counted_once(library: Library, photos: Path, tmp_path: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"no image")
    library.index(photos)
    report = library.index(photos.rename(tmp_path / "elsewhere"))
    assert (report.found, report.moved, report.indexed, len(report.skipped)) == (COUNT + 1, COUNT, 0, 1)
    report = library.index((tmp_path / "elsewhere").rename(photos), force=True)
    assert (report.found, report.moved, report.indexed, len(report.skipped)) == (COUNT + 1, 0, COUNT, 1)


def test_a_copy_is_an_image_of_its_own(library: Library, photos: Path) -> None:
    before = known(library)
    shutil.copy2(photos / name(3), photos / "copy.jpg")
    assert described(library, photos) == (1, 0, COUNT)
    after = known(library)
    assert after[f"photos/{name(3)}"] == before[f"photos/{name(3)}"]
    assert after["photos/copy.jpg"][1] == ()


def test_new_files_are_looked_up_by_digest_together(
    library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    by_digest = library.store.by_digest

    def counted(digests: Iterable[bytes]) -> dict[bytes, list[Known]]:
        listed = list(digests)
        asked.append(len(listed))
        return by_digest(listed)

    monkeypatch.setattr(library.store, "by_digest", counted)
    (photos / name(3)).rename(photos / "renamed.jpg")
    make_folder(photos, 38, first=COUNT)
    assert described(library, photos) == (38, 1, COUNT - 1)
    assert sum(asked) == 39
    assert len(asked) <= 4


def test_a_copy_with_the_same_name_is_preferred_and_used_once(library: Library, photos: Path) -> None:
    for folder in ("a", "b"):
        (photos / folder).mkdir()
        shutil.copy2(photos / name(3), photos / folder / f"{folder}.jpg")
    library.index(photos)
    before = known(library)
    (photos / "c").mkdir()
    (photos / "b" / "b.jpg").rename(photos / "c" / "b.jpg")
    (photos / "a" / "a.jpg").unlink()
    assert described(library, photos) == (0, 1, COUNT)
    after = known(library)
    assert after["c/b.jpg"] == before["b/b.jpg"]
    assert after["a/a.jpg"] == before["a/a.jpg"]  # still known, its file missing
    shutil.copy2(photos / name(3), photos / "c" / "x.jpg")
    shutil.copy2(photos / name(3), photos / "c" / "y.jpg")
    assert described(library, photos) == (1, 1, COUNT + 1)  # one image was free, two files came
    assert known(library)["c/x.jpg"] == before["a/a.jpg"]


def test_a_path_taken_by_another_process_does_not_stop_the_run(
    library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / name(3)).rename(photos / "renamed.jpg")
    (photos / name(4)).rename(photos / "other.jpg")
    restamp, taken = library.store.restamp, list[bool]()

    def late(stamps: Iterable[FileStamp]) -> None:
        if not taken:
            taken.append(True)
            library.store.put([Entry(photos / "renamed.jpg", 1, 1, reason="put meanwhile")])
        restamp(stamps)

    monkeypatch.setattr(library.store, "restamp", late)
    report = library.index(photos)
    assert report.moved == 2
    after = known(library)
    assert after["photos/other.jpg"][1] == ("tag 4",)
    assert after[f"photos/{name(3)}"][1] == ("tag 3",)  # where it was, for the next run to find


def test_a_touched_file_is_not_described_again(library: Library, photos: Path) -> None:
    os.utime(photos / name(3), (1_000_000_000, 1_000_000_000))
    assert described(library, photos) == (0, 0, COUNT)
    assert library.store.lookup([photos / name(3)])[photos / name(3)].mtime_ns == 1_000_000_000 * 10**9


def test_swapped_and_renumbered_files_keep_their_images(library: Library, photos: Path) -> None:
    before = known(library)
    for old, new in ((1, "x"), (2, 1), ("x", 2)):  # exchanged
        (photos / (name(old) if isinstance(old, int) else old)).rename(
            photos / (name(new) if isinstance(new, int) else new)
        )
    (photos / name(8)).unlink()
    for number in (7, 6, 5):  # shifted by one, into a gap
        (photos / name(number)).rename(photos / name(number + 1))
    report = library.index(photos)
    after = known(library)
    moved = {1: 2, 2: 1, 5: 6, 6: 7, 7: 8}
    assert {new: after[f"photos/{name(new)}"] for new in moved.values()} == {
        new: before[f"photos/{name(old)}"] for old, new in moved.items()
    }
    # What was 8 is gone, and its name is another's: nothing of it is lost until it is pruned, or comes back.
    assert after["photos/00008 (replaced).jpg"] == before[f"photos/{name(8)}"]
    assert (report.indexed, report.moved, report.missing) == (0, 5, 1)
    save_picture(photos / "back.jpg", 8)
    assert described(library, photos) == (0, 1, COUNT - 1)
    assert known(library)["photos/back.jpg"] == before[f"photos/{name(8)}"]


def test_an_overwritten_file_is_described_under_its_own_path(library: Library, photos: Path) -> None:
    before = known(library)
    save_picture(photos / name(3), 500)
    assert described(library, photos) == (1, 0, COUNT - 1)
    assert known(library) == before


def test_files_on_an_unmounted_disk_do_not_count_as_moved(
    library: Library, photos: Path, tmp_path: Path, away: Callable[[], None]
) -> None:
    before = known(library)
    shutil.copytree(photos, tmp_path / "copies")
    shutil.rmtree(photos)
    away()
    assert described(library, tmp_path / "copies") == (COUNT, 0, 0)
    assert before.items() <= known(library).items()


@pytest.fixture
def away(library: Library) -> Callable[[], None]:
    """Makes the library believe that its images lay on another disk."""

    def other_disk() -> None:
        database = library.store._database  # type: ignore[attr-defined]
        with database.write() as connection:
            connection.execute("UPDATE images SET volume = volume + 1")

    return other_disk


def test_a_new_device_number_only_updates_the_device(library: Library, photos: Path, away: Callable[[], None]) -> None:
    away()
    assert described(library, photos) == (0, 0, COUNT)
    assert library.store.lookup([photos / name(1)])[photos / name(1)].volume == photos.stat().st_dev


def test_move_updates_paths(library: Library, photos: Path, tmp_path: Path) -> None:
    before, vectors = known(library), library.store.vectors_revision
    assert library.move(photos, tmp_path / "elsewhere") == COUNT  # before the files are there
    shutil.move(photos, tmp_path / "elsewhere")
    assert {key.replace("elsewhere", "photos"): value for key, value in known(library).items()} == before
    assert described(library, tmp_path / "elsewhere") == (0, 0, COUNT)
    assert library.store.vectors_revision == vectors
    assert library.info().roots == (tmp_path / "elsewhere",)
    assert library.move(tmp_path / "elsewhere" / name(1), tmp_path / "elsewhere" / "one.jpg") == 1
    with pytest.raises(UsageError, match="the library has no image at"):
        library.move(photos, tmp_path)
    assert library.move(tmp_path / "elsewhere", tmp_path / "elsewhere" / "deeper") == COUNT  # into itself
    assert library.move(tmp_path / "elsewhere" / "deeper", tmp_path / "elsewhere") == COUNT


def test_move_to_where_the_same_images_were_indexed_keeps_the_older_ones(
    library: Library, photos: Path, tmp_path: Path
) -> None:
    before = known(library)
    shutil.copytree(photos, tmp_path / "new")
    library.index(tmp_path / "new")
    library.tag(tmp_path / "new" / name(3), "later")
    assert library.move(photos, tmp_path / "new") == COUNT
    after = known(library)
    assert after[f"new/{name(3)}"] == (before[f"photos/{name(3)}"][0], ("later", "tag 3"))
    assert len(after) == len(library) == COUNT
    assert len(library.search(np.ones(library.store.dimension or 0, np.float32), k=50)) == COUNT


def test_move_onto_another_image_is_refused_and_changes_nothing(library: Library, photos: Path) -> None:
    before = known(library)
    with pytest.raises(UsageError, match="the library has another image at"):
        library.move(photos / name(1), photos / name(2))
    assert known(library) == before


def test_a_digest_covers_size_head_and_tail(tmp_path: Path) -> None:
    file = tmp_path / "file"
    contents = [b"", b"a", b"a" * 2000, bytes(HEAD), bytes(HEAD + 1), bytes(HEAD + 5000), bytes(HEAD + 4999) + b"x"]
    digests = []
    for content in contents:
        file.write_bytes(content)
        digests.append(digest_of(file))
    assert len({*digests}) == len(contents)
    assert all(digest is not None and len(digest) == 32 for digest in digests)
    assert digest_of(tmp_path / "none") is None
    assert digest_of(tmp_path) is None
    os.mkfifo(tmp_path / "pipe")
    assert digest_of(tmp_path / "pipe") is None


def test_a_folder_by_its_link_and_by_its_real_path_is_indexed_once(
    library: Library, photos: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(photos, target_is_directory=True)
    assert described(library, link) == (0, 0, COUNT)
    assert len(library) == COUNT
    assert library.tag(link / name(1), "by link") == 1
    assert library.get(link / name(1)).path == photos / name(1)
    from kindred.store import Filter

    assert len(library.search(photos / name(1), k=50, where=Filter(folder=link))) == COUNT
    assert library.add(link / name(1)).unchanged == 1


def test_a_link_to_a_file_is_an_image_of_its_own_and_shares_its_inode(library: Library, photos: Path) -> None:
    (photos / "album").mkdir()
    (photos / "album" / "favourite.jpg").symlink_to(photos / name(1))
    os.link(photos / name(2), photos / "album" / "hard.jpg")
    assert described(library, photos) == (2, 0, COUNT)
    rows = {row.path.name: row for row in library.store.images(range(1, 100)).values()}
    for one, other in (("favourite.jpg", name(1)), ("hard.jpg", name(2))):
        assert rows[one].uid != rows[other].uid
        assert (rows[one].device, rows[one].inode) == (rows[other].device, rows[other].inode)
