"""Export: the exported file gives the same vectors as the student."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kindred.backbones.card import Card
from kindred.backbones.openvino import OpenVINOEngine
from kindred.training.augment import Augmentation
from kindred.training.distillation.export import export_student
from kindred.training.distillation.settings import DistillationSettings
from kindred.training.distillation.task import DistillationTask
from kindred.training.image_cache import ImageCache
from kindred.training.loop import fit
from kindred.training.process_group import ProcessGroup
from tiny_teacher import TinyTeacher

pytest.importorskip("onnx")


@pytest.fixture
def exported(pictures: ImageCache, tmp_path: Path) -> tuple[Card, Path, torch.nn.Module, list[str]]:
    teachers = [TinyTeacher("one", seed=1), TinyTeacher("two", seed=2)]
    processes = ProcessGroup(torch.device("cpu"))
    task = DistillationTask(
        teachers,
        pictures,
        DistillationSettings(steps=4, batch=4, sizes=(32,), blockwise_rate=1e-3, rate=1e-3),
        processes=processes,
    )
    fit(task, task.settings.schedule(), tmp_path / "run", processes=processes)
    file = tmp_path / "small.onnx"
    card = export_student(
        task.student,
        file,
        crops=task.validation_crops,
        strengths=[3.0],
        name="small",
        licence="ours",
        source="a test",
        description="Small.",
        training={"steps": 4},
    )
    return card, file, task.student, [teacher.name for teacher in teachers]


def test_the_file_gives_the_vectors_of_the_student(
    exported: tuple[Card, Path, torch.nn.Module, list[str]], tmp_path: Path
) -> None:
    card, file, student, names = exported
    batch = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), dtype=np.uint8)
    engine = OpenVINOEngine(card, file, taps=[tap.name for tap in card.taps], precision="f32", cache_dir=tmp_path)
    *inner, joined = engine.run(batch)
    with torch.no_grad():
        maps = student((torch.from_numpy(batch).float().permute(0, 3, 1, 2) - 127.5) / 64)
    assert joined.shape == (2, 20, 6, 8)
    for shallow, name in zip((joined[:, :10], joined[:, 10:]), names, strict=True):
        own = maps[name].numpy()
        cosine = (shallow * own).sum() / np.linalg.norm(shallow) / np.linalg.norm(own)
        assert cosine > 0.9999
    assert [tap.stride for tap in card.taps] == [8]
    assert not inner


def test_the_card_says_what_it_is(exported: tuple[Card, Path, torch.nn.Module, list[str]]) -> None:
    card, file, _, _ = exported
    assert Card.load(file.with_suffix(".toml")) == card
    assert card.default_tap == "features"
    assert card.training == {"steps": 4}
    assert replace(card, name="other").digest == card.digest


def test_the_first_head_is_as_strong_as_asked_for(
    exported: tuple[Card, Path, torch.nn.Module, list[str]], pictures: ImageCache, tmp_path: Path
) -> None:
    card, file, _, _ = exported
    (maps,) = OpenVINOEngine(card, file, precision="f32", cache_dir=tmp_path).run(
        np.stack([Augmentation().crop(pictures[number], 32, np.random.default_rng(number)) for number in range(16)])
    )
    descriptors = np.cbrt((np.maximum(maps, 1e-6) ** 3).mean(axis=(2, 3)))
    one, two = (np.linalg.norm(shallow, axis=1).mean() for shallow in (descriptors[:, :10], descriptors[:, 10:]))
    assert 2 < one / two < 4.5
