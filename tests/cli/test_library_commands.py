"""info, tag, untag, remove and duplicates."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from commands import COUNT, Kindred
from kindred.library import Library
from lookalikes import photograph

pytestmark = pytest.mark.usefixtures("library")


def test_info_counts_images_and_vectors(kindred: Kindred, photos: Path, library: Path) -> None:
    kindred("tag", "sea", photos / "a")
    facts = kindred("info", "--json").json
    assert {key: facts[key] for key in ("path", "images", "skipped", "vectors", "tags")} == {
        "path": str(library),
        "images": COUNT,
        "skipped": [],
        "vectors": COUNT,
        "tags": {"sea": COUNT // 2},
    }
    assert facts["recipe"]["name"] == "tiny"
    assert facts["dimension"] == 32
    shown = dict(line.split(maxsplit=1) for line in kindred("info").out.splitlines())
    assert shown["images"] == str(COUNT)
    assert shown["vectors"] == f"{COUNT} of dimension 32"
    assert shown["tags"] == f"sea ({COUNT // 2})"


def test_info_names_the_files_that_could_not_be_used(kindred: Kindred, own_folder: Path, recipe: Path) -> None:
    (own_folder / "bad").mkdir()
    (own_folder / "bad" / "x.jpg").touch()
    kindred("index", "bad", "--library", "lib", "--recipe", recipe)
    assert kindred("info", "--library", "lib").out.endswith("\n\nSkipped 1 file:\n  empty file  bad/x.jpg\n")
    skipped = kindred("info", "--library", "lib", "--json").json["skipped"]
    assert skipped == [{"path": str(own_folder / "bad" / "x.jpg"), "reason": "empty file"}]


def test_tags_are_added_and_removed(kindred: Kindred, photos: Path) -> None:
    one = photos / "a" / "00000.jpg"
    assert kindred("tag", "sea", one, photos / "b").out == f"Added tag 'sea' to {1 + COUNT // 2} images.\n"
    assert kindred("untag", "sea", photos / "b", "--json").json == {"untagged": COUNT // 2, "not_in_library": []}
    assert kindred("untag", "sea", photos / "a").out == "Removed tag 'sea' from 1 image.\n"
    assert kindred("info", "--json").json["tags"] == {}


def test_paths_may_be_relative_or_absolute(kindred: Kindred, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Path.cwd() / ".kindred"
    monkeypatch.chdir(photos / "a")
    assert kindred("tag", "x", "../b/00007.jpg", "--library", library, "--json").json["tagged"] == 1


def test_images_that_are_not_in_the_library_are_listed(kindred: Kindred, photos: Path, own_folder: Path) -> None:
    done = kindred("tag", "sea", photos / "a" / "00000.jpg", "other.jpg")
    assert (done.code, done.out) == (0, "Added tag 'sea' to 1 image.\n")
    assert done.err == "Not in the library: other.jpg\n"
    done = kindred("tag", "sea", "other.jpg")
    assert (done.code, done.out) == (2, "")
    assert done.err == "kindred: .kindred contains none of other.jpg; index them first with kindred index FOLDER\n"
    found = kindred("remove", photos / "a" / "00000.jpg", "other.jpg", "--json").json
    assert found == {"removed": 1, "not_in_library": [str(own_folder / "other.jpg")]}


def test_remove_forgets_images_but_not_files(kindred: Kindred, photos: Path, library: Path) -> None:
    assert kindred("remove", photos / "b").out == f"Removed {COUNT // 2} images; the files were not deleted.\n"
    with Library.open(library) as opened:
        assert len(opened) == COUNT // 2
    assert len(list((photos / "b").iterdir())) == COUNT // 2


def test_a_second_run_gets_one_line_and_a_tag_does_not_wait_for_the_first(
    kindred: Kindred, photos: Path, library: Path
) -> None:
    with Library.open(library) as opened, opened.store.indexing():
        opened.tag([photos / "a" / "00000.jpg"], "mine")
        assert kindred("tag", "sea", photos / "a").code == 0
        done = kindred("index", photos)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "is indexing into this library; wait for it or stop it" in done.err


def test_duplicates_are_grouped(kindred: Kindred, photos: Path, recipe: Path, own_folder: Path) -> None:
    shutil.copytree(photos / "a", own_folder / "mine")
    shutil.copy(own_folder / "mine" / "00001.jpg", own_folder / "mine" / "again.jpg")
    kindred("index", "mine", "--recipe", recipe, "--library", "lib")
    found = kindred("duplicates", "--library", "lib", "--threshold", "1", "--json").json
    assert list(found) == ["threshold", "most", "groups", "seconds"]
    copies = [str(own_folder / "mine" / name) for name in ("00001.jpg", "again.jpg")]
    (group,) = found["groups"]
    assert {key: group[key] for key in ("kind", "score", "paths")} == {
        "kind": "same_bytes",
        "score": 1.0,
        "paths": copies,
    }
    with Library.open(own_folder / "lib") as opened:
        again = opened.get(copies[1])
    assert group["images"][1].pop("modified").startswith("20")
    assert group["images"][1] == {
        "id": again.id,
        "path": copies[1],
        "relation": "same_bytes",
        "score": 1.0,
        "turned": 0,
        "mirrored": False,
        "copy_of": None,
        "width": 48,
        "height": 64,
        "frames": 1,
        "size": Path(copies[1]).stat().st_size,
        "taken": None,
        "shot": 1,
        "more": 0,
        "companions": [],
        "keep": None,
    }
    shown = kindred("duplicates", "--library", "lib", "--threshold", "1").out
    assert shown.splitlines() == [
        "Identical files",
        "1.000  mine/00001.jpg  48 × 64",
        "       mine/again.jpg  48 × 64  identical file",
        "",
        "1 group of identical files among 7 images.",
    ]


def test_duplicates_of_one_kind(kindred: Kindred, own_folder: Path, recipe: Path) -> None:
    picture = photograph(1)
    (own_folder / "mine").mkdir()
    picture.save(own_folder / "mine" / "whole.png")
    picture.rotate(-90, expand=True).resize((240, 320)).save(own_folder / "mine" / "turned.jpg")
    frames = [photograph(number) for number in (2, 3)]
    for name in ("a.tif", "b.tif"):
        frames[0].save(own_folder / "mine" / name, save_all=True, append_images=frames[1:])
        frames = frames[:1] * 3
    kindred("index", "mine", "--recipe", recipe, "--library", "lib")
    done = kindred("duplicates", "--library", "lib", "--kind", "same_picture", "--kind", "same_bytes")
    assert done.out.splitlines()[0] == "Same picture, other file"
    assert done.out.splitlines()[2] == "       mine/turned.jpg  240 × 320  same picture, rotated 90°"
    assert done.out.splitlines()[-1].startswith("1 group of the same picture among 4 images.")
    alike = kindred("duplicates", "--library", "lib", "--kind", "alike", "--threshold", "0.99").out
    assert "mine/a.tif  640 × 480" in alike
    wrong = kindred("duplicates", "--library", "lib", "--kind", "copies")
    assert (wrong.code, wrong.out) == (2, "")
    known = "same_bytes, same_picture, same_shot, burst, alike"
    assert f"--kind: unknown kind of duplicates 'copies'; known: {known}" in wrong.err


def test_duplicates_has_the_threshold_of_the_library(kindred: Kindred) -> None:
    assert kindred("duplicates", "--json").json["threshold"] == 0.95
    done = kindred("duplicates", "--threshold", "2")
    assert done.code == 2
    assert "threshold is 2.0" in done.err


@pytest.fixture
def copies(kindred: Kindred, own_folder: Path, recipe: Path) -> Path:
    """A folder with a picture, its exact copy, a smaller one and another picture, in the library `lib`."""
    folder = own_folder / "mine"
    folder.mkdir()
    photograph(1).save(folder / "whole.png")
    shutil.copy(folder / "whole.png", folder / "again.png")
    photograph(1).resize((320, 240)).save(folder / "small.jpg")
    photograph(2).save(folder / "other.png")
    (folder / "small.mov").write_bytes(b"film")
    kindred("index", "mine", "--recipe", recipe, "--library", "lib")
    return folder


def groups(kindred: Kindred, *options: object) -> list[list[str]]:
    found = kindred("duplicates", "--library", "lib", "--kind", "same_picture", *options, "--json").json
    return [sorted(Path(path).name for path in group["paths"]) for group in found["groups"]]


def test_pairs_that_are_not_the_same_are_never_listed_again(kindred: Kindred, copies: Path) -> None:
    everything = ["again.png", "small.jpg", "whole.png"]
    assert groups(kindred) == [everything]
    done = kindred("duplicates", "--library", "lib", "--not-same", copies / "whole.png", copies / "small.jpg")
    assert (done.code, done.out) == (0, "Marked as not the same; undo it with --may-be-same.\n")
    assert groups(kindred) == []  # two identical files remain
    assert groups(kindred, "--all") == [everything]
    undo = ("duplicates", "--library", "lib", "--may-be-same", copies / "small.jpg", copies / "whole.png")
    assert kindred(*undo, "--json").json == {"unmarked": 1}
    assert kindred(*undo).out == "They were not marked.\n"
    assert groups(kindred) == [everything]


def test_pairs_that_cannot_be_marked_are_refused(kindred: Kindred, copies: Path) -> None:
    mark = ("duplicates", "--library", "lib", "--not-same", copies / "whole.png")
    assert "is not an image of this library" in kindred(*mark, copies / "none.png").err
    assert "is given twice; expected two images" in kindred(*mark, copies / "whole.png").err
    both = kindred(*mark, copies / "again.png", "--may-be-same", "a", "b")
    assert (both.code, both.err.count("\n")) == (2, 1)
    assert "exclude each other" in both.err


def test_the_images_to_keep_are_chosen_tagged_and_listed(kindred: Kindred, copies: Path, own_folder: Path) -> None:
    options = ("--keep", "format,larger", "--tag", "best", "--tag-others", "spare", "--csv", "list.csv")
    done = kindred("duplicates", "--library", "lib", "--kind", "same_picture", *options)
    assert done.out.splitlines()[:4] == [
        "Same picture, other file",
        f"{done.out.splitlines()[1][:5]}  keep  mine/again.png  640 × 480",
        "             mine/small.jpg  320 × 240  same picture",
        "             mine/whole.png  640 × 480  identical file",
    ]
    assert done.out.splitlines()[-3:] == [
        "Added tag best to 1 image.",
        "Added tag spare to 2 images of the others.",
        "Wrote list.csv.",
    ]
    with Library.open(own_folder / "lib") as opened:
        tags = {path.name: opened.get(path).tags for path in copies.iterdir() if path.suffix != ".mov"}
    assert tags == {"again.png": ("best",), "small.jpg": ("spare",), "whole.png": ("spare",), "other.png": ()}
    rows = (own_folder / "list.csv").read_text().splitlines()
    assert len(rows) == 4
    assert rows[2].endswith(f"{copies / 'small.mov'}")
    assert sorted(path.name for path in copies.iterdir()) == [
        *("again.png", "other.png", "small.jpg", "small.mov", "whole.png"),
    ]


def test_a_folder_is_preferred(kindred: Kindred, copies: Path) -> None:
    (copies / "sub").mkdir()
    shutil.move(copies / "whole.png", copies / "sub" / "whole.png")
    kindred("index", "mine", "--library", "lib")
    found = kindred("duplicates", "--library", "lib", "--keep", "folder", "--prefer", "mine/sub", "--json").json
    kept = [Path(each["path"]).name for each in found["groups"][0]["images"] if each["keep"]]
    assert kept == ["whole.png"]


@pytest.mark.usefixtures("copies")
def test_the_upper_bound_leaves_out_copies(kindred: Kindred) -> None:
    def alike(*options: str) -> list[list[str]]:
        given = ("--kind", "alike", "--threshold", "0.5", *options, "--json")
        found = kindred("duplicates", "--library", "lib", *given).json
        return [sorted(Path(path).name for path in group["paths"]) for group in found["groups"]]

    assert [name for group in alike() for name in group if name in ("again.png", "whole.png")] == [
        *("again.png", "whole.png"),
    ]
    assert not any({"again.png", "whole.png"} <= set(group) for group in alike("--most", "0.9999"))
    wrong = kindred("duplicates", "--library", "lib", "--threshold", "0.9", "--most", "0.8")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "most is 0.8; expected a cosine from the threshold 0.9 to 1" in wrong.err


def test_options_of_what_to_keep_are_checked_before_the_search(kindred: Kindred, library: Path) -> None:  # noqa: ARG001
    assert "need --keep RULES" in kindred("duplicates", "--tag", "best").err
    assert "unknown rule of what to keep 'bigger'" in kindred("duplicates", "--keep", "larger,bigger").err
    assert "needs the folders to prefer" in kindred("duplicates", "--keep", "folder").err


def test_verify_names_damaged_images_and_how_to_mend_them(kindred: Kindred, photos: Path, library: Path) -> None:
    with closing(sqlite3.connect(library / "store.sqlite")) as database, database:
        database.execute("DELETE FROM vectors WHERE id <= 7")
    done = kindred("verify")
    lines = done.out.splitlines()
    assert done.code == 1
    assert lines[0] == f"{COUNT} images, {COUNT - 7} vectors, 7 of them not readable."
    assert lines[1] == f"{photos / 'a' / '00000.jpg'}: its vector is missing."
    assert lines[6] == "2 more damaged images."
    assert (
        lines[-1]
        == "Something is wrong: describe the damaged images with kindred index FILE --force, and verify again."
    )
    assert '"reason": "its vector is missing"' in kindred("verify", "--json").out
    assert kindred("index", photos, "--force").code == 0
    form = kindred("verify", "--json").json
    assert (form["sound"], form["damaged"], form["without_features"]) == (True, [], 0)
