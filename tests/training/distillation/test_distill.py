"""`distill_model`: teachers and folders in, a backbone with its card out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kindred.backbones import load
from kindred.backbones.card import Card
from kindred.errors import ModelError, TrainingError, UsageError
from kindred.training.distillation.distill import distill
from tiny_model import home, make_model

pytest.importorskip("onnx")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for index in range(20):
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize((96, 72)).save(
            folder / f"{index}.png"
        )
    return folder


def test_the_student_is_a_backbone_like_any_other(photos: Path, tmp_path: Path) -> None:
    with home(tmp_path / "home"):
        teachers = [str(make_model(tmp_path / "teachers", name=name, seed=seed)) for name, seed in (("a", 1), ("b", 2))]
        seen: list[tuple[int, int]] = []
        card = distill(
            teachers,
            [photos],
            tmp_path / "mine.onnx",
            steps=3,
            batch=4,
            seed=5,
            licence="mine",
            threads=1,
            progress=lambda here: seen.append((here.step, here.steps)),
        )
        (maps,) = load(tmp_path / "mine.onnx").run(np.zeros((2, 64, 96, 3), np.uint8))
    assert seen == [(1, 3), (2, 3), (3, 3), (3, 3)]  # and once more with the validation
    assert maps.shape == (2, 64, 4, 6)
    assert Card.load(tmp_path / "mine.toml") == card
    assert card.licence == "mine"
    assert card.training["images"] == 20
    command = str(card.training["command"])
    assert command.startswith("kindred distill ")
    assert command.endswith("--steps=3 --batch=4 --alone=0.6 --rate=0.002 --relational=25.0 --seed=5 --sizes=128,160")
    assert (tmp_path / "mine.run" / "log.csv").exists()


@pytest.mark.parametrize("there", ["mine.onnx", "mine.toml"])
def test_what_is_there_is_not_overwritten(there: str, photos: Path, tmp_path: Path) -> None:
    (tmp_path / there).write_bytes(b"precious")
    with pytest.raises(UsageError, match=f"{there}: exists already; choose another name or remove it"):
        distill(["any"], [photos], tmp_path / "mine.onnx", read_progress=lambda *_: pytest.fail("read"))
    assert (tmp_path / there).read_bytes() == b"precious"


def test_an_unknown_teacher_is_named(photos: Path, tmp_path: Path) -> None:
    with home(tmp_path / "home"), pytest.raises(ModelError, match="nobody"):
        distill(["nobody"], [photos], tmp_path / "mine.onnx")


def test_bad_and_excluded_images_are_left_out(photos: Path, tmp_path: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"no image")
    with home(tmp_path / "home"):
        teacher = str(make_model(tmp_path / "teachers", name="a", seed=1))
        card = distill(
            [teacher], [photos], tmp_path / "mine.onnx", exclude=["1[0-2].png"], steps=1, batch=2, sizes=[32], threads=1
        )
        assert card.training["images"] == 17
        with pytest.raises(TrainingError, match="2 usable images; training needs at least 16"):
            distill([teacher], [photos], tmp_path / "other.onnx", exclude=["1*.png", "[2-8].png"], threads=1)


def test_a_student_can_be_trained_on(photos: Path, tmp_path: Path) -> None:
    with home(tmp_path / "home"):
        teacher = str(make_model(tmp_path / "teachers", name="a", seed=1))
        options = {"steps": 1, "batch": 2, "sizes": [64], "threads": 1}
        distill([teacher], [photos], tmp_path / "one.onnx", **options)  # type: ignore[arg-type]
        card = distill([teacher], [photos], tmp_path / "two.onnx", start=tmp_path / "one.onnx", **options)  # type: ignore[arg-type]
    assert f"--from {tmp_path / 'one.onnx'}" in str(card.training["command"])
    assert (card.training["alone"], card.training["part"]) == ("0.0", "0.0")
