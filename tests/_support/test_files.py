"""Files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from kindred._support.files import replacing, write_whole
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
    reason = "No such file or directory; give a file in a folder that can"
    assert str(caught.value) == f"list {missing} cannot be written: {reason}"
    assert list(tmp_path.iterdir()) == [file]
