"""Assembling: what the options say of images, network and schedule is what the loop gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from class_folders import make_classes
from kindred.training.aggregation import GeM
from kindred.training.loop import Schedule
from kindred.training.tuning import assemble as module
from kindred.training.tuning.assemble import TrainingSetup, assemble
from kindred.training.tuning.options import TrainingOptions
from tiny_backbone import TinyBackbone
from tiny_task import HERE

OPTIONS = TrainingOptions(backbone="tiny", size=32, batch=8)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Let every backbone be the tiny one, which has batch norms; return what was asked for."""
    asked: list[dict[str, object]] = []

    def build(name: str, **options: object) -> TinyBackbone:
        asked.append({"name": name, **options})
        return TinyBackbone()

    monkeypatch.setattr(module, "build_backbone", build)
    return asked


@pytest.fixture
def images(tmp_path: Path) -> Path:
    make_classes(tmp_path / "images")
    return tmp_path / "images"


def _assemble(images: Path, **changes: object) -> TrainingSetup:
    return assemble(images, replace(OPTIONS, **changes), processes=HERE)  # type: ignore[arg-type]


def _norms(made: TrainingSetup) -> list[bool]:
    """Whether each batch norm learns new statistics in training."""
    made.task.module.train()
    return [each.training for each in made.task.embedder.modules() if isinstance(each, nn.BatchNorm2d)]


def test_norms_keep_their_statistics_unless_told_otherwise(images: Path) -> None:
    assert _norms(_assemble(images)) == [False, False]
    assert _norms(_assemble(images, tune_norms=True)) == [True, True]
    assert _norms(_assemble(images, tune_norms=True, freeze="first")) == [False, True]


def test_what_is_frozen_does_not_learn(images: Path) -> None:
    parameters = _assemble(images, freeze="shallow").task.embedder.named_parameters()
    learned = {name for name, each in parameters if each.requires_grad}
    assert {name.split(".")[1] for name in learned if name.startswith("backbone")} == {"second"}
    assert any(name.startswith("aggregation") for name in learned)


@pytest.mark.parametrize(
    ("backbone", "weights", "given"),
    [
        ("kin", "", None),
        ("kin", "mine.safetensors", "mine.safetensors"),
        ("resnet18", "random", None),
        ("resnet18", "published", "published"),
    ],
)
def test_weights_are_those_asked_for(
    backbone: str, weights: str, given: str | None, images: Path, tiny: list[dict[str, object]]
) -> None:
    _assemble(images, backbone=backbone, weights=weights, seed=5)
    assert tiny == [{"name": backbone, "weights": given, "seed": 5}]


def test_the_aggregation_takes_its_options_and_starts_from_the_images(images: Path) -> None:
    made = _assemble(images, aggregation_options={"p": 4.0, "dimension": 5}, hold_out=0)
    aggregation = made.task.embedder.aggregation
    assert isinstance(aggregation, GeM)
    assert made.task.embedder.dimension == 5
    other = _assemble(images, aggregation_options={"p": 4.0, "dimension": 5}, hold_out=0, seed=1)
    # The whitening is learned from the images, all of them: no seed has a part in it.
    for (name, one), (_, two) in zip(
        aggregation.state_dict().items(), other.task.embedder.aggregation.state_dict().items(), strict=True
    ):
        torch.testing.assert_close(one, two, msg=name)


def test_the_schedule_is_that_of_the_options(images: Path) -> None:
    made = _assemble(images, epochs=3, rate=0.5, warmup=0.2, decay=0.3, accumulate=4, patience=6, seed=7)
    assert made.schedule == Schedule(epochs=3, rate=0.5, warmup=0.2, decay=0.3, accumulate=4, patience=6, seed=7)


def test_plans_follow_from_the_seed(images: Path) -> None:
    plans = []
    for seed in (1, 1, 2):
        task = _assemble(images, seed=seed, hold_out=0).task
        task.begin_epoch(0)
        plans.append(task.plan.indices.tolist())
    assert plans[0] == plans[1] != plans[2]


def test_crops_are_as_large_as_asked_and_as_told(images: Path) -> None:
    made = _assemble(images, crop=48, area=(1.0, 1.0), flip=False, colour=0)
    made.task.begin_epoch(0)
    batch, again = made.task.make_batch(0), made.task.make_batch(0)
    assert batch.pixels.shape == (8, 48, 48, 3)
    assert torch.equal(batch.pixels, again.pixels)


def test_what_is_validated_on_is_not_learned_from(images: Path) -> None:
    made = _assemble(images, hold_out=0.3)
    assert made.task.validation_data is not None
    validation = made.task.validation_data.validation
    asked = {validation.paths[number] for number in validation.queries}
    assert len(asked) == 8
    assert not asked & set(made.data.paths)
    assert {validation.paths[number] for number in validation.database} == set(made.data.paths)
    assert len(made.data) == 16
    made.task.begin_epoch(0)
    assert made.task.plan.indices.max() < 16
    batch = made.task.make_batch(0)
    assert batch.labels is not None
    names = [made.data.paths[number].parent.name for number in batch.indices.tolist()]
    assert [made.data.classes[label] for label in batch.labels.tolist()] == names


def test_what_a_run_must_agree_with_is_all_that_decides_it(images: Path) -> None:
    identity = _assemble(images).task.identity
    assert identity.items() >= OPTIONS.as_json().items()
    assert str(identity["images"]).startswith("24, ")
    (images / "dill" / "0.png").unlink()
    assert _assemble(images).task.identity["images"] != identity["images"]


def test_notes_say_what_was_left_out(images: Path) -> None:
    for number in range(3):
        (images / "dill" / f"bad{number}.png").write_bytes(b"no picture")
    (images / "none").mkdir()
    assert _assemble(images).notes == (
        "1 empty classes left out: none",
        "3 unreadable images skipped: bad0.png (not an image), and 2 more",
    )


def test_the_start_may_be_gone_through_twice(images: Path) -> None:
    made = _assemble(images, hold_out=0)
    start = module._StartImages.drawn(made.task._images, OPTIONS)
    counts = [sum(len(pixels) for pixels in start) for _ in range(2)]
    assert counts == [24, 24]
    assert np.array_equal(start.indices, np.arange(24))


def test_other_content_is_another_run(images: Path, tmp_path: Path) -> None:
    table, set_ = tmp_path / "pairs.csv", tmp_path / "validation"
    make_classes(set_, {"elder": 3, "fennel": 3})
    rows = [f"anise/{number}.png,anise/{number + 1}.png,1" for number in range(3)]
    rows += [f"anise/{number}.png,dill/{number}.png,0" for number in range(3)]

    def identity(**changes: Any) -> dict[str, object]:
        table.write_text("\n".join(["a,b,same", *rows]))
        return dict(_assemble(images, method="siamese", pairs=str(table), validate=str(set_), **changes).task.identity)

    before = identity()
    assert identity() == before
    (images / "dill" / "0.png").write_bytes((images / "dill" / "1.png").read_bytes())
    assert _differences(before, identity()) == {"images"}  # of the same name and number
    before = identity()
    rows[0] = "anise/0.png,anise/5.png,1"
    assert _differences(before, identity()) == {"listed pairs"}
    before = identity()
    (set_ / "elder" / "0.png").write_bytes((set_ / "elder" / "1.png").read_bytes())
    assert _differences(before, identity()) == {"validation"}


def test_other_weights_of_the_same_name_are_another_run(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identities = []
    for change in (0.0, 0.0, 0.1):
        backbone = TinyBackbone()
        with torch.no_grad():
            next(backbone.parameters()).add_(change)
        monkeypatch.setattr(module, "build_backbone", lambda *_, found=backbone, **__: found)
        identities.append(_assemble(images).task.identity)
    assert _differences(identities[0], identities[1]) == set()
    assert _differences(identities[0], identities[2]) == {"initial weights"}


def _differences(first: Mapping[str, object], second: Mapping[str, object]) -> set[str]:
    return {key for key in {**first, **second} if first.get(key) != second.get(key)}
