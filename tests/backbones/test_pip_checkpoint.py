"""Checkpoints of old PyTorch: read as PyTorch reads them, without running anything, and never beyond their bounds."""

from __future__ import annotations

import io
import os
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from kindred.backbones import checkpoint
from kindred.backbones.checkpoint import read_checkpoint
from kindred.errors import ModelError

torch = pytest.importorskip("torch")


@pytest.fixture
def save(tmp_path: Path) -> Callable[[object], Path]:
    def save(content: object) -> Path:
        file = tmp_path / "weights.pth"
        torch.save(content, file, _use_new_zipfile_serialization=False)
        return file

    return save


def test_tensors_of_every_kind_come_back(save: Callable[[object], Path]) -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    state = OrderedDict(
        plain=base,
        turned=base.permute(2, 0, 1),
        part=base[:, 1:, ::2],
        half=torch.tensor([0.5, -2.0], dtype=torch.float16),
        count=torch.tensor(7),
        empty=torch.zeros(0, 3),
    )
    found = read_checkpoint(save(state))
    assert list(found) == list(state)
    for name, value in state.items():
        assert found[name].dtype == value.numpy().dtype
        assert found[name].flags.c_contiguous
        np.testing.assert_array_equal(found[name], value.numpy())


def test_a_networks_state_with_its_versions(save: Callable[[object], Path]) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    found = read_checkpoint(save(network.state_dict()))
    assert found["0.weight"].shape == (4, 3, 3, 3)
    assert int(found["1.num_batches_tracked"]) == 0


class Touch:
    """Code in a pickle: it would make a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.file),)


def test_code_is_not_run(save: Callable[[object], Path], tmp_path: Path) -> None:
    file = save({"weight": torch.zeros(2), "more": Touch(tmp_path / "ran")})
    with pytest.raises(ModelError, match=r"refused: reading it would run (posix|nt)\.mkdir; expected a state dict"):
        read_checkpoint(file)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content", [{"a": {"b": 1}}, {"a": [1]}, [1, 2], 3, {"a": 2.5}], ids=["nested", "list", "row", "number", "real"]
)
def test_what_is_no_table_of_tensors_is_refused(content: object, save: Callable[[object], Path]) -> None:
    with pytest.raises(ModelError, match=r"refused: .*expected a state dict|not a whole checkpoint"):
        read_checkpoint(save(content))


def test_a_file_that_is_cut_or_changed_anywhere_is_one_clear_line(save: Callable[[object], Path]) -> None:
    file = save({"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(3)})
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    for cut in range(0, len(whole), 7):
        file.write_bytes(whole[:cut])
        with pytest.raises(ModelError) as raised:
            read_checkpoint(file)
        assert "\n" not in str(raised.value)
    for _ in range(300):  # a changed byte may be one of the numbers; it must not be another error
        changed = bytearray(whole)
        changed[rng.integers(len(whole))] = rng.integers(256)
        file.write_bytes(changed)
        with suppress(ModelError):
            read_checkpoint(file)


def header() -> bytes:
    out = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(part, out, protocol=2)
    return out.getvalue()


def tensor(*, size: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """A state dict of one tensor, as the instructions of a pickle, its keys and its numbers."""

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("k") + text("cpu") + b"J"
    storage += struct.pack("<i", size) + b"NtQ"
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"J" + struct.pack("<i", offset)
    rebuilt += numbers(shape) + numbers(strides) + b"\x89ccollections\nOrderedDict\n)RtR"
    state = b"\x80\x02}" + text("weight") + rebuilt + b"s."
    return header() + state + pickle.dumps(["k"], protocol=2) + struct.pack("<q", size) + b"\0" * (4 * size)


def test_views_stay_inside_their_storage(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(tensor(size=6, offset=0, shape=(2, 3), strides=(3, 1)))
    assert read_checkpoint(file)["weight"].shape == (2, 3)
    for wrong in (
        {"offset": 1, "shape": (2, 3), "strides": (3, 1)},
        {"offset": 0, "shape": (2, 3), "strides": (4, 1)},
        {"offset": 0, "shape": (3000, 3000), "strides": (0, 0)},
        {"offset": -1, "shape": (2,), "strides": (1,)},
        {"offset": 0, "shape": (2, 3), "strides": (1,)},
    ):
        file.write_bytes(tensor(size=6, **wrong))  # type: ignore[arg-type]
        with pytest.raises(ModelError, match="not a whole checkpoint of PyTorch"):
            read_checkpoint(file)


def test_a_pickle_has_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(header() + b"\x80\x02r\xff\xff\xff\x7f.")  # a memo of 2³¹ entries
    with pytest.raises(ModelError, match="not a whole checkpoint"):
        read_checkpoint(file)
    file.write_bytes(header() + b"\x80\x02" + b"N" * 200 + b".")
    monkeypatch.setattr(checkpoint, "MAX_STEPS", 100)
    with pytest.raises(ModelError, match="it has more than 100 instructions"):
        read_checkpoint(file)
    monkeypatch.setattr(checkpoint, "MAX_BYTES", 100)
    with pytest.raises(ModelError, match=r"weights\.pth"):
        read_checkpoint(file)
    with pytest.raises(ModelError, match=r"nowhere\.pth"):
        read_checkpoint(tmp_path / "nowhere.pth")


def test_the_files_of_newer_versions_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"weight": torch.zeros(2)}, file)  # a zip archive
    with pytest.raises(ModelError, match=r"not a whole checkpoint|refused"):
        read_checkpoint(file)
