"""Checkpoints: written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kindred.errors import TrainingError
from kindred.training.checkpoint import load_checkpoint, save_checkpoint


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4), "b": torch.tensor(5)}
    save_checkpoint(tmp_path / "c.safetensors", tensors, {"step": "7"})
    loaded, facts = load_checkpoint(tmp_path / "c.safetensors")
    assert facts == {"step": "7"}
    assert {name: tensor.tolist() for name, tensor in loaded.items()} == {
        name: tensor.tolist() for name, tensor in tensors.items()
    }


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.safetensors").write_bytes(b"garbage")
    with pytest.raises(TrainingError, match=r"c\.safetensors: not a readable checkpoint"):
        load_checkpoint(tmp_path / "c.safetensors")


def test_when_the_disk_is_full_the_one_before_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "c.safetensors"
    save_checkpoint(file, {"a": torch.zeros(2)}, {"step": "1"})
    before = file.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kindred.training.checkpoint.os.fsync", full)
    with pytest.raises(TrainingError, match="the disk is full"):
        save_checkpoint(file, {"a": torch.ones(2)}, {"step": "2"})
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
