"""Errors of the operating system, each by its own name."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

import kindred
from kindred._support.os_errors import explain_os_error, lack_of_room, obstacle


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "its file system is read-only"),
        (errno.ENAMETOOLONG, "its name is too long"),
        (errno.EIO, "the disk reports an input/output error"),
        (errno.ENOENT, "no such file or folder"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EMFILE, "this process has too many files open"),
        (errno.ENOSPC, "the disk is full"),
    ],
)
def test_each_has_its_own_sentence(number: int, reason: str, tmp_path: Path) -> None:
    assert explain_os_error(OSError(number, os.strerror(number), str(tmp_path))) == reason


def test_real_ones(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="name too long") as raised:
        (tmp_path / ("x" * 300)).write_text("")
    assert explain_os_error(raised.value) == "its name is too long"
    with pytest.raises(IsADirectoryError) as folder:
        tmp_path.read_bytes()
    assert explain_os_error(folder.value) == "it is a folder"
    with pytest.raises(ValueError, match="null") as null:
        Path("a\0b").stat()
    assert explain_os_error(null.value) == "embedded null byte"


def test_others_keep_the_words_of_the_system() -> None:
    assert explain_os_error(OSError(errno.ECHILD, "No child processes")) == "no child processes"
    assert explain_os_error(OSError("two\nlines")) == "two lines"
    assert explain_os_error(OSError()) == "OSError"


def _disk(monkeypatch: pytest.MonkeyPatch, *, inodes: int, blocks: int) -> None:
    facts = SimpleNamespace(f_files=1000, f_favail=inodes, f_bavail=blocks, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: facts)


def test_no_inodes_is_called_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "not" / "there" / "yet"
    _disk(monkeypatch, inodes=0, blocks=10**6)
    full = OSError(errno.ENOSPC, "No space left on device", str(missing))
    assert explain_os_error(full) == "its disk holds as many files as it can (no inodes left)"
    assert explain_os_error(OSError(errno.ENOSPC, "No space left on device"), missing) == explain_os_error(full)
    _disk(monkeypatch, inodes=5, blocks=10)
    assert lack_of_room(missing) == "the disk is full"
    _disk(monkeypatch, inodes=5, blocks=10**6)
    assert lack_of_room(missing) is None
    assert explain_os_error(full) == "the disk is full"  # so the system says, and it may have been freed since


def test_a_file_system_without_inodes_is_not_out_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = SimpleNamespace(f_files=0, f_favail=0, f_bavail=10**6, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: facts)
    assert lack_of_room(tmp_path) is None


def test_a_reason_of_our_own_is_kept() -> None:
    assert explain_os_error(OSError(errno.EINVAL, "not a regular file", "x")) == "not a regular file"


def test_obstacles_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "store.sqlite"
    file.touch()
    assert obstacle(file) is None
    monkeypatch.setattr(os, "access", lambda path, mode: (Path(path), mode) != (tmp_path, os.W_OK))
    assert obstacle(file) == f"permission denied: {tmp_path} may not be written to"
    facts = SimpleNamespace(f_files=9, f_favail=9, f_bavail=10**6, f_frsize=4096, f_flag=os.ST_RDONLY)
    monkeypatch.setattr(os, "statvfs", lambda _: facts)
    assert obstacle(file) == "its file system is read-only"


def test_everything_explains_errors_with_it() -> None:
    """No module words an OSError by its `strerror`."""
    for file in sorted(Path(kindred.__file__).parent.rglob("*.py")):
        if file.name != "os_errors.py":
            text = file.read_text(encoding="utf-8").replace("os.strerror(", "")  # which words errors of our own
            assert ".strerror" not in text, file
