"""Which image of a group is kept, and the files that belong to it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kindred.duplicates import KEEP_RULES, Companions, DuplicateGroup, Member, csv_of, kept
from kindred.errors import UsageError


def group(**facts: Sequence[Any]) -> DuplicateGroup:
    """A group of members with these facts, in order."""
    count = len(next(iter(facts.values())))
    names = [f"/p/{number}.jpg" for number in range(count)]
    given: dict[str, Sequence[Any]] = {"path": names, "shot": list(range(count)), **facts}
    members = []
    for at in range(count):
        own = {name: values[at] for name, values in given.items()}
        path = Path(str(own.pop("path")))
        members.append(Member(path, "reference" if at == 0 else "same_picture", 1.0, **own))
    return DuplicateGroup("same_picture", 1.0, tuple(members))


def test_the_largest_image_is_kept_and_of_equals_the_largest_file() -> None:
    assert kept(group(width=[10, 20, 20], height=[30, 20, 20], size=[9, 5, 6]), ["larger"]) == {2}


def test_the_oldest_and_the_newest_by_the_date_of_the_picture_or_else_of_the_file() -> None:
    taken = ["2024-05-31T10:00:01", "2024-05-31", None, None]
    modified = ["1999-01-01T00:00:00", None, "2024-05-30T00:00:00", None]
    dated = group(taken=taken, modified=modified)
    assert kept(dated, ["older"]) == {2}
    assert kept(dated, ["newer"]) == {0}
    for rule in ("older", "newer"):
        assert kept(group(taken=[None, None]), [rule]) == {0}
        assert kept(group(taken=[None, "2024-05-31"]), [rule]) == {1}


def test_the_format_that_loses_least_is_kept() -> None:
    names = ["a.gif", "a.webp", "a.JPG", "a.heic", "a.png", "a.tiff", "a.NEF", "a.xyz"]
    for at in range(len(names) - 1, 0, -1):
        expected = min(range(at), key=lambda each: -each if each < 7 else 0)
        assert kept(group(path=names[:at]), ["format"]) == {expected}
    assert kept(group(path=["a.xyz", "a.gif"]), ["format"]) == {1}


def test_the_first_of_the_preferred_folders_is_kept() -> None:
    places = group(path=["/photos/old/a.jpg", "/photos/best/sub/a.jpg", "/photosbest/a.jpg"])
    assert kept(places, ["folder"], folders=[Path("/photos/best"), Path("/photos")]) == {1}
    assert kept(places, ["folder"], folders=[Path("/photos")]) == {0}
    assert kept(places, ["folder"], folders=[Path("/photosbest")]) == {2}
    assert kept(places, ["folder"], folders=[Path("/elsewhere")]) == {0}


def test_of_equals_by_one_rule_the_next_decides() -> None:
    both = group(path=["a.jpg", "a.png", "b.png"], width=[9, 4, 5], height=[9, 4, 5])
    assert kept(both, ["format", "larger"]) == {2}
    assert kept(both, ["larger", "format"]) == {0}
    assert kept(both, []) == {0}


def test_the_files_of_one_shot_are_kept_together() -> None:
    shots = group(path=["a.jpg", "a.nef", "b.jpg", "b.nef"], shot=[0, 0, 1, 1], size=[1, 2, 3, 9])
    assert kept(shots, ["larger"]) == {2, 3}


@pytest.mark.parametrize("rule", KEEP_RULES)
def test_every_rule_keeps_one_of_equal_images(rule: str) -> None:
    assert kept(group(path=["a.jpg", "a.jpg"]), [rule], folders=[Path("/p")]) == {0}
    assert KEEP_RULES[rule].summary


def test_unknown_rules_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown rule of what to keep 'biggest'; known: folder, larger"):
        kept(group(size=[1, 2]), ["biggest"])
    with pytest.raises(UsageError, match="the rule folder needs the folders to prefer"):
        kept(group(size=[1, 2]), ["folder"])


def test_films_raw_files_and_sidecars_belong_to_an_image(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.MOV", "a.nef", "a.jpg.xmp", "a.txt", "b.mov", "aa.mov"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a.xmp").mkdir()
    beside = Companions()
    assert [path.name for path in beside.of(tmp_path / "a.jpg")] == ["a.MOV", "a.nef", "a.jpg.xmp"]
    assert [path.name for path in beside.of(tmp_path / "a.nef")] == ["a.MOV"]
    assert beside.of(tmp_path / "none" / "a.jpg") == beside.of(tmp_path / ("x" * 300) / "a.jpg") == ()


def test_a_list_has_a_row_for_each_image(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.mov"):
        (tmp_path / name).write_bytes(b"")
    made = group(path=[str(tmp_path / "a.jpg"), 'b "1", 2.jpg'], size=[5, 0], taken=["2024-05-31", None])
    rows = list(csv.DictReader(io.StringIO(csv_of([(made, {1}), (made, None)]).decode())))
    assert [(row["group"], row["keep"], Path(row["path"]).name) for row in rows] == [
        ("1", "no", "a.jpg"),
        ("1", "yes", 'b "1", 2.jpg'),
        ("2", "", "a.jpg"),
        ("2", "", 'b "1", 2.jpg'),
    ]
    assert (rows[0]["companions"], rows[0]["bytes"], rows[0]["date"]) == (str(tmp_path / "a.mov"), "5", "2024-05-31")
    assert rows[1]["bytes"] == ""


def test_names_that_are_not_utf8_are_unchanged() -> None:
    made = group(path=["/p/a\udcff.jpg", "/p/b.jpg"])
    assert b"/p/a\xff.jpg" in csv_of([(made, None)])
