from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kindred.errors import LibraryDamaged
from kindred.index.container import Sink, read_container, write_container
from kindred.index.id_map import IdMap


def test_facts_ids_and_payload_come_back(tmp_path: Path) -> None:
    live = IdMap().extended(np.array([3, 8, 10])).without([8])
    file = tmp_path / "index"
    checksum = write_container(file, {"kind": "toy", "m": 4}, live, payload=lambda sink: _write(sink, b"payload"))
    found = read_container(file, "toy")
    assert (found.metadata["m"], found.payload.tobytes(), found.checksum) == (4, b"payload", checksum)
    assert (found.live.ids.tolist(), found.live.alive.tolist()) == ([3, 8, 10], [True, False, True])
    assert file.read_bytes().startswith(b"payload")
    with pytest.raises(LibraryDamaged, match="is an index of kind 'toy'; expected 'other'"):
        read_container(file, "other")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "index"
    file.write_bytes(b"old")

    def fail(sink: Sink) -> None:
        sink.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_container(file, {"kind": "toy"}, IdMap(), payload=fail)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    assert file.read_bytes() == b"old"


def _write(sink: Sink, data: bytes) -> None:
    sink.write(data)
