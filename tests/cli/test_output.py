from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from kindred.cli import options
from kindred.cli.options import parse_box, parse_day
from kindred.cli.output import columns, counted, duration, grouped, shown, size
from kindred.fusion import FUSIONS
from kindred.library import DEFAULT_LIBRARY
from kindred.library.places import STORE
from kindred.rerank import RERANKERS


def test_the_default_library_is_that_of_the_library() -> None:
    assert options.DEFAULT_LIBRARY == DEFAULT_LIBRARY


def test_the_file_that_makes_a_folder_a_library_is_that_of_the_store() -> None:
    assert options.STORE == STORE


def test_the_help_names_the_fusions() -> None:
    (option,) = options.FusionName.__metadata__  # type: ignore[attr-defined]
    assert option.help == f"How rankings are fused: {', '.join(FUSIONS)}."


def test_the_help_names_the_re_rankers() -> None:
    assert [*options.RERANKERS.split(", "), "localise"] == list(RERANKERS)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (7500, "2 h 5 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (3.21e8, "321 MB"), (5e12, "5000 GB")]
)
def test_sizes(count: float, text: str) -> None:
    assert size(count) == text


def test_counts() -> None:
    assert [counted(number, "image") for number in (0, 1, 1000)] == ["0 images", "1 image", "1,000 images"]


def test_paths_are_shown_relative_and_escaped(own_folder: Path) -> None:
    assert shown(own_folder / "a" / "b.jpg") == str(Path("a/b.jpg"))
    assert shown("/elsewhere/Sacré-Cœur 日本.jpg") == "/elsewhere/Sacré-Cœur 日本.jpg"
    assert shown("/x/a\nb\x1b[31m\udce9\u202e.jpg") == "/x/a\\nb\\x1b[31m\\udce9\\u202e.jpg"


def test_columns_align_by_width_and_empty_ones_are_omitted() -> None:
    rows = [("1", "日本", "", "x"), ("10", "a", "", "")]
    assert columns(rows, right=(0,)) == " 1  日本  x\n10  a"
    assert columns([("a", "b")], heads=("one", "two")).splitlines()[1] == "a    b"
    assert columns([]) == ""


def test_skipped_files_are_grouped_the_most_frequent_first() -> None:
    skipped = [(Path(f"{number}.jpg"), "empty file") for number in range(5)]
    skipped.append((Path("text.jpg"), "not an image"))
    lines = grouped([skipped[-1], *skipped[:-1]], verbose=False).splitlines()
    assert lines == [
        "  empty file (5)  0.jpg",
        "                  1.jpg",
        "                  2.jpg",
        "                  … and 2 more (--verbose lists all)",
        "  not an image    text.jpg",
    ]
    assert len(grouped(skipped, verbose=True).splitlines()) == 6


def test_boxes_and_days_are_read() -> None:
    assert parse_box("1,2.5,30,40", option="--crop") == (1, 2.5, 30, 40)
    assert parse_day("2024-05-31", option="--after") == date(2024, 5, 31)
    assert parse_day(None, option="--after") is None
