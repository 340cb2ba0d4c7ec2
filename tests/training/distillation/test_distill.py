"""`distill`: teachers and folders in, a backbone with its card out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kindred.backbones import load
from kindred.backbones.card import Card
from kindred.errors import ModelError, TrainingError, UsageError
from kindred.training.distillation.distill import distill
from kindred.training.loop import Progress
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
        student: list[tuple[int, int]] = []
        card = distill(
            teachers,
            [photos],
            output=tmp_path / "mine.onnx",
            steps=3,
            batch=4,
            seed=5,
            licence="mine",
            threads=1,
            progress=lambda here: student.append((here.step, here.steps)) if here.stage == "training" else None,
        )
        (maps,) = load(tmp_path / "mine.onnx").run(np.zeros((2, 64, 96, 3), np.uint8))
    assert student == [(1, 3), (2, 3), (3, 3), (3, 3)]  # and once more with the validation
    assert maps.shape == (2, 64, 4, 6)
    assert Card.load(tmp_path / "mine.toml") == card
    assert card.licence == "mine"
    assert card.training["images"] == 20
    command = str(card.training["command"])
    assert command.startswith("kindred distill ")
    options = (
        "--steps=3 --batch=4 --blockwise=0.6 --rate=0.002 --relational=25.0 --seed=5 --strengths=2 --sizes=128,160"
    )
    assert command.endswith(options)
    assert (tmp_path / "mine.run" / "log.csv").exists()


@pytest.mark.parametrize("there", ["mine.onnx", "mine.toml"])
def test_what_is_there_is_not_overwritten(there: str, photos: Path, tmp_path: Path) -> None:
    (tmp_path / there).write_bytes(b"precious")
    with pytest.raises(UsageError, match=f"{there}: exists already; choose another name or remove it"):
        distill(["any"], [photos], output=tmp_path / "mine.onnx", read_progress=lambda *_: pytest.fail("read"))
    assert (tmp_path / there).read_bytes() == b"precious"


def test_an_unknown_teacher_is_named(photos: Path, tmp_path: Path) -> None:
    with home(tmp_path / "home"), pytest.raises(ModelError, match="nobody"):
        distill(["nobody"], [photos], output=tmp_path / "mine.onnx")


def test_bad_and_excluded_images_are_left_out(photos: Path, tmp_path: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"no image")
    with home(tmp_path / "home"):
        teacher = str(make_model(tmp_path / "teachers", name="a", seed=1))
        card = distill(
            [teacher],
            [photos],
            output=tmp_path / "mine.onnx",
            exclude=["1[0-2].png"],
            steps=1,
            batch=2,
            sizes=[32],
            threads=1,
        )
        assert card is not None
        assert card.training["images"] == 17
        with pytest.raises(TrainingError, match="2 usable images; training needs at least 16"):
            distill([teacher], [photos], output=tmp_path / "other.onnx", exclude=["1*.png", "[2-8].png"], threads=1)


def test_a_student_can_be_trained_on(photos: Path, tmp_path: Path) -> None:
    with home(tmp_path / "home"):
        teacher = str(make_model(tmp_path / "teachers", name="a", seed=1))
        options = {"steps": 1, "batch": 2, "sizes": [64], "threads": 1}
        distill([teacher], [photos], output=tmp_path / "one.onnx", **options)  # type: ignore[arg-type]
        card = distill([teacher], [photos], output=tmp_path / "two.onnx", start=tmp_path / "one.onnx", **options)  # type: ignore[arg-type]
    assert card is not None
    assert f"--from {tmp_path / 'one.onnx'}" in str(card.training["command"])
    assert (card.training["blockwise"], card.training["shallow"]) == ("0.0", "0.0")


def test_a_teacher_can_be_added(photos: Path, tmp_path: Path) -> None:
    with home(tmp_path / "home"):
        teachers = [str(make_model(tmp_path / "teachers", name=name, seed=ord(name))) for name in "abc"]
        options: dict[str, Any] = {"steps": 1, "batch": 2, "sizes": [64], "threads": 1}
        start = tmp_path / "one.onnx"
        distill(teachers[:2], [photos], output=start, **options)
        card = distill(
            teachers, [photos], output=tmp_path / "two.onnx", start=start, freeze=32, strengths=[2, 1, 3], **options
        )
        with pytest.raises(UsageError, match="freeze was given without an earlier student; name one with --from"):
            distill(teachers, [photos], output=tmp_path / "three.onnx", freeze=32, **options)
        images = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
        (before,), (after,) = load(start).run(images), load(tmp_path / "two.onnx").run(images)
    assert card is not None
    assert f"--from {start} --freeze=32 " in str(card.training["command"])
    assert "--strengths=2,1,3 " in str(card.training["command"])
    assert card.training["blockwise"] == "0.6"  # the new branch starts from nothing
    kept = before.shape[1]
    for earlier, later in zip(before, after[:, :kept], strict=True):  # but for the scale of each head
        assert np.corrcoef(earlier[:32].ravel(), later[:32].ravel())[0, 1] > 0.99
    assert after.shape[1] == kept + 32


def _stopped(teacher: str, photos: Path, output: Path, **more: Any) -> None:
    """Distil for two epochs, and stop in the second one."""

    def stop(here: Progress) -> None:
        if here.epoch == 1 and here.step:
            raise Stopped

    with pytest.raises(Stopped):
        distill([teacher], [photos], output=output, progress=stop, **OPTIONS, **more)


class Stopped(Exception):
    pass


OPTIONS: dict[str, Any] = {"steps": 2, "batch": 2, "sizes": [32], "threads": 1}


@pytest.fixture
def short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kindred.training.distillation.settings.EPOCH", 1)


@pytest.mark.usefixtures("short_epochs")
def test_a_run_is_not_resumed_with_other_images_of_the_same_names(photos: Path, tmp_path: Path) -> None:
    with home(tmp_path / "home"):
        teacher = str(make_model(tmp_path / "teachers", name="a", seed=1))
        _stopped(teacher, photos, tmp_path / "mine.onnx")
        other = (photos / "3.png").read_bytes()
        (photos / "3.png").write_bytes((photos / "4.png").read_bytes())  # as many images, with the same names
        with pytest.raises(TrainingError, match=r"belongs to another run \(images '20, \w{16}', now '20, \w{16}'\)"):
            distill([teacher], [photos], output=tmp_path / "mine.onnx", **OPTIONS)
        (photos / "3.png").write_bytes(other)
        photos.rename(tmp_path / "moved")  # the same images, elsewhere
        assert distill([teacher], [tmp_path / "moved"], output=tmp_path / "mine.onnx", **OPTIONS) is not None


@pytest.mark.usefixtures("short_epochs")
def test_a_run_is_not_resumed_with_a_retrained_teacher_of_the_same_name(photos: Path, tmp_path: Path) -> None:
    with home(tmp_path / "home"):
        first = make_model(tmp_path / "first", name="a", seed=1)
        second = make_model(tmp_path / "second", name="a", seed=2)
        assert Card.load(first.with_suffix(".toml")).name == Card.load(second.with_suffix(".toml")).name
        _stopped(str(first), photos, tmp_path / "mine.onnx")
        with pytest.raises(TrainingError, match=r"belongs to another run \(teachers \['a \w+"):
            distill([str(second)], [photos], output=tmp_path / "mine.onnx", **OPTIONS)
        assert distill([str(first)], [photos], output=tmp_path / "mine.onnx", **OPTIONS) is not None


@pytest.mark.usefixtures("short_epochs")
def test_a_run_is_not_resumed_from_another_student(photos: Path, tmp_path: Path) -> None:
    with home(tmp_path / "home"):
        teacher = str(make_model(tmp_path / "teachers", name="a", seed=1))
        for name, seed in (("one", 1), ("two", 2)):
            distill([teacher], [photos], output=tmp_path / f"{name}.onnx", seed=seed, **OPTIONS)
        start = tmp_path / "start.onnx"
        start.write_bytes((tmp_path / "one.onnx").read_bytes())
        _stopped(teacher, photos, tmp_path / "mine.onnx", start=start)
        start.write_bytes((tmp_path / "two.onnx").read_bytes())
        with pytest.raises(TrainingError, match=r"belongs to another run \(start '\w+"):
            distill([teacher], [photos], output=tmp_path / "mine.onnx", start=start, **OPTIONS)
        with pytest.raises(UsageError, match=r"none\.onnx: no such file; expected the \.onnx of an earlier student"):
            distill([teacher], [photos], output=tmp_path / "mine.onnx", start=tmp_path / "none.onnx", **OPTIONS)
