"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kindred._support.files import (
    check_plain,
    is_file,
    is_folder,
    is_link,
    is_there,
    open_bounded,
    read_bounded,
    replacing,
    within,
    write_whole,
)
from kindred.errors import UsageError


def test_the_file_is_replaced_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old", encoding="utf-8")
    with replacing(file) as part:
        part.write_text("new", encoding="utf-8")
        assert file.read_text(encoding="utf-8") == "old"
    assert file.read_text(encoding="utf-8") == "new"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_and_no_part(tmp_path: Path, error: BaseException) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old", encoding="utf-8")

    def interrupted() -> None:
        with replacing(file) as part:
            part.write_text("half", encoding="utf-8")
            raise error

    with pytest.raises(type(error)):
        interrupted()
    assert file.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "no" / "a.txt") as part:
        part.write_bytes(b"")


def test_two_writers_have_parts_of_their_own(tmp_path: Path) -> None:
    from threading import Thread

    parts: list[Path] = []

    def take() -> None:
        with replacing(tmp_path / "a.txt") as part:
            parts.append(part)
            part.touch()

    with replacing(tmp_path / "a.txt") as mine:
        thread = Thread(target=take)
        thread.start()
        thread.join()
        mine.touch()
    assert mine not in parts


def test_what_a_user_asked_for_is_written_whole_or_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_whole(file, "list", lambda part: part.write_text("new", encoding="utf-8"))
    assert file.read_text(encoding="utf-8") == "new"
    missing = tmp_path / "no" / "a.txt"
    with pytest.raises(UsageError) as caught:
        write_whole(missing, "list", lambda part: part.write_bytes(b""))
    reason = "no such file or folder; give a file in a folder that can"
    assert str(caught.value) == f"list {missing} cannot be written: {reason}"
    assert list(tmp_path.iterdir()) == [file]


def test_a_regular_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"12345")
    assert read_bounded(file, 5) == b"12345"
    with open_bounded(file, 5) as stream:
        assert stream.read() == b"12345"
    with pytest.raises(OSError, match="larger than the 4 bytes that it may have"):
        read_bounded(file, 4)
    link = tmp_path / "link"
    link.symlink_to(file)
    assert read_bounded(str(link), 5) == b"12345"


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    fifo, zero = tmp_path / "fifo", tmp_path / "zero"
    os.mkfifo(fifo)
    zero.symlink_to("/dev/zero")
    for path in (fifo, zero, Path("/dev/null")):
        with pytest.raises(OSError, match="not a regular file"):
            open_bounded(path, 100)
    with pytest.raises(IsADirectoryError):
        open_bounded(tmp_path, 100)
    with pytest.raises(FileNotFoundError, match="no file can have this name"):
        open_bounded("a\0b", 100)


def test_a_file_without_a_size_of_its_own_is_bounded_too() -> None:
    if not Path("/proc/self/maps").exists():
        pytest.skip("no /proc here")
    assert Path("/proc/self/maps").stat().st_size == 0
    with pytest.raises(OSError, match="larger than"):
        read_bounded("/proc/self/maps", 10)


@pytest.mark.parametrize("name", ["..", "../x", ".", "", "a/../../x", "/etc/passwd", "out", "a\0b", "loop/x"])
def test_a_name_that_leaves_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "out").symlink_to(tmp_path)
    (folder / "loop").symlink_to(folder / "loop")
    with pytest.raises(OSError, match="leaves the folder"):
        within(folder, name)
    assert within(folder, "a.npz") == folder / "a.npz"


@pytest.mark.parametrize("ask", [is_file, is_folder, is_link, is_there])
def test_a_place_that_cannot_be_asked_about_is_none(ask: Callable[[Path], bool]) -> None:
    """`Path.is_file` and its like raise OSError there: a name is too long, or a folder may not be entered."""
    assert not ask(Path("x" * 300))
    assert not ask(Path("x" * 10_000))
    assert not ask(Path("a\0b"))


def test_what_is_at_a_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "broken").symlink_to("nothing")
    names = ("file", "link", "broken", "nothing", ".")
    found = [[ask(tmp_path / name) for name in names] for ask in (is_file, is_folder, is_link, is_there)]
    assert found == [
        [True, True, False, False, False],
        [False, False, False, False, True],
        [False, True, True, False, False],
        [True, True, False, False, True],
    ]


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_of_its_own_is_refused(tmp_path: Path, kind: str) -> None:
    check_plain(tmp_path / "nothing")
    (tmp_path / "file").touch()
    check_plain(tmp_path / "file")
    place = tmp_path / "place"
    if kind == "link":
        place.symlink_to("file")
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    with pytest.raises(OSError, match=r"a link|not a regular file|[Ii]s a directory"):
        check_plain(place)
