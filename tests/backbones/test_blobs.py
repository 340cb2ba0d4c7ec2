from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from kindred.backbones.blobs import load_blob, store_blob


def test_a_stored_blob_is_loaded_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "new" / "net.blob"
    store_blob(path, b"compiled")
    found = load_blob(path)
    assert found is not None
    assert found.tobytes() == b"compiled"
    assert [entry.name for entry in path.parent.iterdir()] == ["net.blob"]


def test_a_blob_can_be_used_where_it_lies(tmp_path: Path) -> None:
    """OpenVINO copies memory that it may not write to, and reads vectors of 64 bytes."""
    for size in (1, 63, 64, 100_000):
        store_blob(tmp_path / "net.blob", bytes(size))
        found = load_blob(tmp_path / "net.blob")
        assert found is not None
        assert found.flags.writeable
        assert (found.size, found.ctypes.data % 64) == (size, 0)


def test_a_missing_or_damaged_blob_is_none(tmp_path: Path) -> None:
    path = tmp_path / "net.blob"
    assert load_blob(path) is None
    store_blob(path, b"compiled")
    whole = path.read_bytes()
    for damaged in (b"", whole[:20], whole[:-1], whole[:-1] + b"x"):
        path.write_bytes(damaged)
        assert load_blob(path) is None


def test_an_unwritable_folder_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "net.blob"
    store_blob(path, b"compiled")
    assert load_blob(path) is None


def test_the_least_recently_used_blobs_are_deleted(tmp_path: Path) -> None:
    for at in range(16):
        path = tmp_path / f"{at}.blob"
        store_blob(path, b"compiled")
        os.utime(path, (1000 + at, 1000 + at))
    assert np.array_equal(load_blob(tmp_path / "0.blob"), np.frombuffer(b"compiled", np.uint8))  # type: ignore[arg-type]
    store_blob(tmp_path / "new.blob", b"compiled")
    kept = {path.stem for path in tmp_path.glob("*.blob")}
    assert kept == {"new", "0", *map(str, range(2, 16))}
