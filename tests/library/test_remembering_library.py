"""Images that are not the same, and saved searches, of a library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kindred.errors import UsageError
from kindred.library import Library
from kindred.library.remembering import MOST_PAIRS
from kindred.recipe import Recipe
from pictures import make_folder


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    make_folder(tmp_path / "photos", 4)
    return sorted((tmp_path / "photos").iterdir())


@pytest.fixture
def library(tmp_path: Path, recipe: Recipe, photos: list[Path]) -> Iterator[Library]:
    with Library.create(tmp_path / "library", recipe=recipe) as made:
        made.index(photos[0].parent)
        yield made


def marked(library: Library) -> list[set[int]]:
    """Return the pairs by the numbers in the names of the files."""
    pairs = [{int(library.get(each).path.stem) for each in pair} for pair in library.not_same()]
    return sorted(pairs, key=sorted)


def test_images_are_marked_with_each_other_or_with_others(library: Library, photos: list[Path]) -> None:
    ids = [library.get(path).id for path in photos]
    assert library.mark_not_same(photos[:3]) == 3
    assert marked(library) == [{0, 1}, {0, 2}, {1, 2}]
    assert library.unmark_not_same(ids[0], [photos[1], ids[2]]) == 2
    assert marked(library) == [{1, 2}]
    assert library.mark_not_same(photos[3], ids) == 3
    assert library.mark_not_same(photos[3]) == 0
    assert len(library.not_same()) == 4


def test_marks_outlast_the_move_of_a_folder_and_an_index_run(library: Library, photos: list[Path]) -> None:
    library.mark_not_same(photos[:2])
    before = library.not_same()
    moved = photos[0].parent.rename(photos[0].parent.with_name("moved"))
    report = library.index(moved)
    assert (report.moved, report.indexed) == (4, 0)
    assert library.not_same() == before
    library.remove(moved / photos[0].name)
    assert library.not_same() == []


def test_too_many_pairs_are_refused(library: Library) -> None:
    with pytest.raises(UsageError, match=f"got 50,086 pairs of images; expected at most {MOST_PAIRS:,}"):
        library.mark_not_same([f"{number:016x}" for number in range(317)])


def test_searches_are_saved(library: Library) -> None:
    saved = library.save_search("sea", {"k": 3})
    assert library.saved_searches() == [saved]
    assert library.remove_search(saved.id)
    assert library.saved_searches() == []
