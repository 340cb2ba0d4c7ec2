"""The kinds of duplicates, on files with given vectors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kindred.duplicates import DuplicateGroup, Kind, find_duplicates
from kindred.errors import UsageError
from kindred.library import Library
from kindred.recipe import Recipe
from kindred.store import Entry, SqliteStore
from lookalikes import jpeg, page, photograph, product


def make_library(folder: Path) -> Library:
    folder.mkdir(parents=True)
    SqliteStore.create(folder / "store.sqlite", {"recipe": Recipe("made", "none").to_toml()}).close()
    return Library.open(folder)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with make_library(tmp_path / "library") as made:
        yield made


def put(library: Library, path: Path, vector: list[float]) -> None:
    with SqliteStore.open(library.path / "store.sqlite") as writer:
        writer.put([Entry(path, 1, 1, vectors=np.array([vector], np.float32))])


def add(library: Library, contents: Mapping[str, bytes | Image.Image], *, alike: bool = False) -> None:
    """Write files and add them to the library, with vectors that are all different, or all equal."""
    for place, (name, content) in enumerate(contents.items()):
        path = library.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(jpeg(content) if isinstance(content, Image.Image) else content)
        vector = np.eye(len(contents))[0 if alike else place].tolist()
        put(library, path, vector)


def found(library: Library, *kinds: Kind) -> list[tuple[Kind, list[str]]]:
    return [
        (group.kind, [path.name for path in group.paths]) for group in find_duplicates(library, kinds=kinds or None)
    ]


def relations(group: DuplicateGroup) -> dict[str, tuple[str, int, bool]]:
    return {each.path.name: (each.relation, each.turned, each.mirrored) for each in group.members}


def test_a_file_that_cannot_be_reached_is_left_out(library: Library) -> None:
    """A path longer than the system allows fails like a folder without permission."""
    picture = photograph(1)
    add(library, {"a.jpg": picture, "b.jpg": jpeg(picture)})
    put(library, library.path / ("x" * 300) / "c.jpg", [0.0, 1.0])
    assert found(library, "same_bytes", "same_picture") == [("same_bytes", ["a.jpg", "b.jpg"])]


def test_kinds_are_distinguished(library: Library) -> None:
    picture = photograph(1)
    whole = jpeg(picture)
    contents: dict[str, bytes | Image.Image] = {
        "whole.jpg": whole,
        "copy.jpg": whole,
        "small.jpg": picture.resize((160, 120)),
        "page-1.jpg": page(1),
        "page-2.jpg": page(2),
        "other.jpg": photograph(2),
        "other-again.jpg": photograph(2),
    }
    add(library, contents, alike=True)
    groups = find_duplicates(library)
    assert [(group.kind, [path.name for path in group.paths]) for group in groups] == [
        ("same_bytes", ["other-again.jpg", "other.jpg"]),
        ("same_picture", ["copy.jpg", "small.jpg", "whole.jpg"]),
        ("alike", ["page-1.jpg", "copy.jpg", "other-again.jpg", "page-2.jpg"]),
    ]
    assert relations(groups[1]) == {
        "copy.jpg": ("reference", 0, False),
        "small.jpg": ("same_picture", 0, False),
        "whole.jpg": ("same_bytes", 0, False),
    }
    assert 0.8 < groups[1].score < 1
    assert (groups[1].members[1].width, groups[1].members[1].height) == (160, 120)
    assert groups[0].score == groups[2].score == 1


def test_exact_copies_of_a_smaller_picture_are_marked(library: Library) -> None:
    small = jpeg(photograph(1, size=(320, 240)))
    add(library, {"large.jpg": photograph(1, size=(320, 240)).resize((640, 480)), "a.jpg": small, "b.jpg": small})
    (group,) = find_duplicates(library)
    assert [path.name for path in group.paths] == ["large.jpg", "a.jpg", "b.jpg"]
    assert [each.copy_of for each in group.members] == [None, None, library.path / "a.jpg"]
    assert group.members[2].relation == "same_picture"


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_turned_and_mirrored_copies_are_found_without_vectors(library: Library, degrees: int, mirrored: bool) -> None:
    picture = photograph(3)
    changed = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else picture
    changed = changed.rotate(-degrees, expand=True).resize(
        (240, 320) if degrees in (90, 270) else (320, 240), Image.Resampling.LANCZOS
    )
    others = {f"{number}.jpg": photograph(number) for number in range(10, 20)}
    add(library, {"picture.jpg": picture, "changed.jpg": changed, **others})
    (group,) = find_duplicates(library)
    assert relations(group) == {
        "picture.jpg": ("reference", 0, False),
        "changed.jpg": ("same_picture", degrees, mirrored),
    }


def test_turns_add_up_along_a_group(library: Library) -> None:
    picture = photograph(4)
    turned = {f"{degrees}.jpg": picture.rotate(-degrees, expand=True) for degrees in (90, 180, 270)}
    add(library, {"0.jpg": picture, **turned})
    (group,) = find_duplicates(library)
    by_name = {each.path.name: each for each in group.members}
    reference = int(group.members[0].path.stem)
    assert {name: each.turned for name, each in by_name.items()} == {
        f"{degrees}.jpg": (degrees - reference) % 360 for degrees in (0, 90, 180, 270)
    }


def test_pages_labels_and_colours_that_differ_are_at_most_alike(library: Library) -> None:
    contents = {f"page-{number}.jpg": page(number) for number in range(3)}
    contents |= {
        "apple.jpg": product("apple"),
        "orange.jpg": product("orange"),
        "blue.jpg": product("apple", colour=(50, 90, 190)),
    }
    add(library, contents, alike=True)
    assert [kind for kind, _ in found(library)] == ["alike"]
    assert found(library, "same_picture", "same_bytes") == []


def test_a_file_of_several_pages_is_never_the_same_picture(library: Library) -> None:
    paths = [library.path / name for name in ("one.tif", "two.tif", "single.png")]
    first = photograph(5)
    for number, path in enumerate(paths[:2]):
        first.save(path, save_all=True, append_images=[photograph(50 + number)])
    first.save(paths[2])
    for path in paths:
        put(library, path, [1.0, 0.0])
    (group,) = find_duplicates(library)
    assert group.kind == "alike"
    assert {each.path.name: each.frames for each in group.members} == {"one.tif": 2, "two.tif": 2, "single.png": 1}
    paths[1].write_bytes(paths[0].read_bytes())
    assert found(library)[0] == ("same_bytes", ["one.tif", "two.tif"])


def test_blank_pictures_are_the_same_only_by_bytes(library: Library) -> None:
    white = Image.new("RGB", (300, 200), "white")
    add(library, {"a.jpg": white, "b.jpg": white, "larger.jpg": white.resize((600, 400)), "c.jpg": photograph(1)})
    assert found(library) == [("same_bytes", ["a.jpg", "b.jpg"])]


def test_links_to_one_file_are_not_duplicates(library: Library) -> None:
    add(library, {"a.jpg": photograph(1), "hard.jpg": b"", "symbolic.jpg": b""}, alike=True)
    for name in ("hard.jpg", "symbolic.jpg"):
        (library.path / name).unlink()
    os.link(library.path / "a.jpg", library.path / "hard.jpg")
    (library.path / "symbolic.jpg").symlink_to(library.path / "a.jpg")
    assert found(library) == []
    (library.path / "copy.jpg").write_bytes((library.path / "a.jpg").read_bytes())
    put(library, library.path / "copy.jpg", [0, 0, 1])
    assert found(library) == [("same_bytes", ["a.jpg", "copy.jpg"])]


def test_raw_or_heic_and_jpeg_of_one_name_are_one_shot(library: Library) -> None:
    add(
        library,
        {
            "IMG_1.HEIC": jpeg(photograph(1), 95),  # what it holds does not matter here
            "IMG_1.jpg": photograph(1),
            "IMG_2.dng": jpeg(photograph(2), 95),
            "img_2.JPG": photograph(2),
            "scan.png": jpeg(photograph(3), 95),
            "scan.jpg": photograph(3),
        },
    )
    assert found(library) == [
        ("same_picture", ["scan.png", "scan.jpg"]),
        ("same_shot", ["IMG_1.HEIC", "IMG_1.jpg"]),
        ("same_shot", ["IMG_2.dng", "img_2.JPG"]),
    ]
    assert found(library, "same_picture") == [("same_picture", ["scan.png", "scan.jpg"])]
    (library.path / "small.jpg").write_bytes(jpeg(photograph(1).resize((320, 240))))
    put(library, library.path / "small.jpg", [1, 0, 0, 0, 0, 0])
    group = next(each for each in find_duplicates(library) if library.path / "small.jpg" in each.paths)
    assert group.kind == "same_picture"
    assert relations(group)["IMG_1.jpg"] == ("same_shot", 0, False)
    assert relations(group)["small.jpg"][0] in ("same_picture", "same_shot")


def test_kinds_that_are_not_requested_are_not_listed(library: Library) -> None:
    picture = photograph(1)
    add(library, {"a.jpg": picture, "b.jpg": picture, "small.jpg": picture.resize((320, 240))}, alike=True)
    assert found(library, "same_bytes") == [("same_bytes", ["a.jpg", "b.jpg"])]
    assert found(library, "same_picture") == [("same_picture", ["a.jpg", "b.jpg", "small.jpg"])]
    assert found(library, "alike") == [("alike", ["a.jpg", "b.jpg", "small.jpg"])]


@pytest.mark.parametrize("kinds", [[], ["copy"], ["alike", "copy"]])
def test_unknown_kinds_are_refused(library: Library, kinds: list[Kind]) -> None:
    with pytest.raises(UsageError, match="same_bytes, same_picture, same_shot, burst, alike"):
        find_duplicates(library, kinds=kinds)


def test_an_interrupted_run_ends_at_once(library: Library) -> None:
    add(library, {f"{number}.jpg": photograph(number) for number in range(4)})

    def stop(what: str, done: int, total: int) -> None:  # noqa: ARG001
        if what == "Reading images":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_duplicates(library, progress=stop)


def test_a_file_that_vanishes_or_is_not_an_image_is_skipped(library: Library) -> None:
    add(library, {"a.jpg": photograph(1), "b.jpg": photograph(1).resize((320, 240)), "text.jpg": b"no image"})
    (library.path / "b.jpg").unlink()
    assert found(library) == []
