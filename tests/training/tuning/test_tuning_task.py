"""Tuning: batches follow from the plan, and what an epoch needs to go on is kept."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from class_folders import make_classes, member
from kindred.arrays import Vectors
from kindred.errors import TrainingError
from kindred.training.aggregation import build_aggregation
from kindred.training.augment import Augmentation
from kindred.training.image_cache import ImageCache, read_images
from kindred.training.log import read_log
from kindred.training.loop import Schedule, fit
from kindred.training.mining import ClassBalanced, HardNegatives, Plan, Planner, Shuffled
from kindred.training.run_folder import LOG
from kindred.training.tuning.embedder import Embedder
from kindred.training.tuning.labels import read_classes
from kindred.training.tuning.objective import build_objective
from kindred.training.tuning.task import REPORTED_RESULTS, TuningTask, ValidationData
from kindred.training.tuning.validation import class_validation
from tiny_backbone import TinyBackbone
from tiny_task import HERE

LABELS = np.repeat(np.arange(4), 6)


@pytest.fixture
def pictures() -> ImageCache:
    return ImageCache.from_arrays([member(of, number) for number, of in enumerate(LABELS.tolist())])


def _tuning(
    pictures: ImageCache, planner: Planner | None = None, *, loss: str = "contrastive", **options: Any
) -> TuningTask:
    torch.manual_seed(0)
    embedder = Embedder(TinyBackbone(), build_aggregation("gem", 10))
    objective = build_objective(loss, classes=4, dimension=10, memory=0, options={})
    return TuningTask(
        embedder, objective, planner or ClassBalanced(LABELS, 2, 3), pictures, size=32, processes=HERE, **options
    )


@dataclass(frozen=True)
class Fixed:
    """A planner of one plan; remembers the vectors it was given."""

    plan: Plan
    needs_vectors: bool = False
    given: list[Vectors | None] = field(default_factory=list)

    def __call__(self, *, epoch: int, seed: int, vectors: Vectors | None = None) -> Plan:
        del epoch, seed
        self.given.append(vectors)
        return self.plan


def test_a_batch_is_what_the_plan_says(pictures: ImageCache) -> None:
    task = _tuning(pictures)
    facts = task.begin_epoch(0)
    assert facts["batches"] == task.steps == 4
    assert facts["classes"] == 4
    for step in range(task.steps):
        batch = task.make_batch(step)
        assert batch.indices.tolist() == task.plan.indices[step].tolist()
        assert batch.labels is not None
        assert batch.labels.tolist() == LABELS[task.plan.indices[step]].tolist()
        assert batch.relation.tolist() == task.plan.relation(step).tolist()
        assert (batch.pixels.shape, batch.pixels.dtype) == ((6, 32, 32, 3), torch.uint8)


def test_crops_follow_from_the_seed_the_epoch_and_the_step(pictures: ImageCache) -> None:
    def crops(epoch: int, step: int, **options: Any) -> torch.Tensor:
        task = _tuning(pictures, Fixed(Plan(np.zeros((2, 2), np.int64), np.zeros((2, 2), np.int64))), **options)
        task.begin_epoch(epoch)
        return task.make_batch(step).pixels

    first = crops(0, 0)
    assert torch.equal(first, crops(0, 0))
    assert not torch.equal(first[0], first[1])
    for other in (crops(1, 0), crops(0, 1), crops(0, 0, seed=1)):
        assert not torch.equal(first, other)
    plain = Augmentation(area=(1, 1), aspect=1, flip=False, colour=0)
    assert torch.equal(crops(0, 0, augmentation=plain), crops(1, 1, augmentation=plain))
    assert crops(0, 0, crop=48).shape == (2, 48, 48, 3)


def test_an_image_that_went_away_is_left_out_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    data = read_classes(_classes(tmp_path))
    pictures, _ = read_images(data.paths, longest=64, memory=0)
    task = _tuning(pictures, ClassBalanced(data.labels, 2, 3))
    task.begin_epoch(0)
    indices = task.plan.indices[0]
    whole = task.make_batch(0)
    for row in (1, 4):
        pictures.paths[indices[row]].unlink()
    batch, kept = task.make_batch(0), [0, 2, 3, 5]
    assert batch.indices.tolist() == indices[kept].tolist()
    assert torch.equal(batch.pixels, whole.pixels[kept])
    assert torch.equal(batch.relation, whole.relation[kept][:, kept])
    assert batch.labels is not None
    assert whole.labels is not None
    assert torch.equal(batch.labels, whole.labels[kept])
    assert torch.stack(list(task.losses(batch, done=0).values())).isfinite().all()
    for number in indices[kept]:
        pictures.paths[number].unlink(missing_ok=True)
    with pytest.raises(TrainingError, match="none of the images of a batch can be read any more; are their files st"):
        task.make_batch(0)


def _classes(folder: Path) -> Path:
    make_classes(folder / "images")
    return folder / "images"


def test_relations_without_labels_are_cut_as_well(tmp_path: Path) -> None:
    data = read_classes(_classes(tmp_path))
    pictures, _ = read_images(data.paths, longest=64, memory=0)
    relations = np.random.default_rng(0).integers(-1, 2, (1, 4, 4)).astype(np.int8)
    np.fill_diagonal(relations[0], 0)
    task = _tuning(pictures, Fixed(Plan(np.array([[0, 5, 9, 20]]), None, relations)))
    task.begin_epoch(0)
    pictures.paths[5].unlink()
    batch = task.make_batch(0)
    assert batch.labels is None
    assert batch.relation.tolist() == relations[0][np.ix_([0, 2, 3], [0, 2, 3])].tolist()


def test_mining_sees_the_vectors_of_all_images(pictures: ImageCache) -> None:
    planner = Fixed(Plan(np.zeros((1, 2), np.int64), np.zeros((1, 2), np.int64)), needs_vectors=True)
    task = _tuning(pictures, planner)
    task.begin_epoch(0)
    (vectors,) = planner.given
    assert vectors is not None
    assert vectors.shape == (24, 10)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    other = Fixed(planner.plan)
    _tuning(pictures, other).begin_epoch(0)
    assert other.given == [None]


def test_norms_and_biases_do_not_decay_and_the_head_learns_faster(pictures: ImageCache) -> None:
    task = _tuning(pictures, Shuffled(LABELS, 8), loss="normalised_softmax", head_scale=7.0)
    weights, others, head = task.parameter_groups()
    assert {each.ndim for each in weights["params"]} == {4}  # type: ignore[attr-defined]
    assert max(each.ndim for each in others["params"]) <= 1  # type: ignore[attr-defined]
    assert others["weight_decay"] == 0.0
    assert "weight_decay" not in weights
    assert [each.shape for each in head["params"]] == [(4, 10)]  # type: ignore[attr-defined]
    assert head["scale"] == 7.0
    counted = sum(len(group["params"]) for group in task.parameter_groups())  # type: ignore[arg-type, misc]
    assert counted == len(list(task.module.parameters()))


def test_a_batch_is_described_by_its_first_images(pictures: ImageCache) -> None:
    task = _tuning(pictures, Fixed(Plan(np.array([[3, 1, 2, 0, 5]]), np.zeros((1, 5), np.int64))))
    task.begin_epoch(0)
    batch = task.make_batch(0)
    assert task.describe_batch(batch) == "image 3, image 1, image 2 and 2 more"
    assert task.describe_batch(replace(batch, indices=batch.indices[:2])) == "image 3, image 1"


def _examined(pictures: ImageCache) -> ValidationData:
    return ValidationData(class_validation(pictures.paths, LABELS, np.arange(0, 24, 2), np.arange(24)), pictures)


def test_the_first_and_the_last_results_are_kept(pictures: ImageCache) -> None:
    task = _tuning(pictures, validation_data=_examined(pictures))
    assert _tuning(pictures).validate() == {}
    figures = task.validate()
    assert figures.keys() == {"mAP", "recall@1", "recall@10"}
    assert task.before is task.after
    before = task.before
    assert before is not None
    assert before.shape == (12, REPORTED_RESULTS)
    assert (before >= 0).all()
    with torch.no_grad():
        for parameter in task.embedder.parameters():
            parameter.add_(torch.rand(parameter.shape, generator=torch.Generator().manual_seed(1)))
    task.validate()
    assert task.before is before
    assert task.after is not before


def test_fewer_results_than_are_shown_are_filled_up(pictures: ImageCache) -> None:
    validation = class_validation(pictures.paths, LABELS, np.array([0]), np.array([0, 1, 7]))
    task = _tuning(pictures, validation_data=ValidationData(validation, pictures))
    task.validate()
    assert task.after is not None
    assert sorted(task.after[0, :2].tolist()) == [1, 2]
    assert task.after[0, 2:].tolist() == [-1] * (REPORTED_RESULTS - 2)


@pytest.mark.parametrize("known", ["labels", "relations"])
def test_what_is_restored_is_what_was_kept(known: str, pictures: ImageCache) -> None:
    plan = Plan(
        np.arange(8).reshape(2, 4),
        np.arange(8).reshape(2, 4) // 2 if known == "labels" else None,
        np.ones((2, 4, 4), np.int8) if known == "relations" else None,
    )
    task = _tuning(pictures, Fixed(plan), validation_data=_examined(pictures))
    task.validate()
    task.begin_epoch(3)
    again = _tuning(pictures, Fixed(plan), validation_data=_examined(pictures))
    again.load_state_dict({name: value.clone() for name, value in task.state_dict().items()})
    assert again.steps == 2
    assert torch.equal(again.make_batch(1).pixels, task.make_batch(1).pixels)
    assert torch.equal(again.make_batch(1).relation, task.make_batch(1).relation)
    assert (again.plan.labels is None, again.plan.relations is None) == (known != "labels", known != "relations")
    assert task.before is not None
    assert again.before is not None
    np.testing.assert_array_equal(again.before, task.before)


def test_nothing_begun_is_nothing_to_take_from(pictures: ImageCache) -> None:
    task = _tuning(pictures)
    assert task.state_dict().keys() == {"epoch"}
    task.load_state_dict(task.state_dict())
    with pytest.raises(RuntimeError, match="no epoch was begun"):
        _ = task.steps


class Stopped(Exception):
    """Whatever ends a run."""


@pytest.mark.parametrize("mined", [False, True], ids=["by class", "mined"])
def test_a_stopped_tuning_goes_on_exactly(mined: bool, pictures: ImageCache, tmp_path: Path) -> None:
    def made() -> TuningTask:
        planner = (
            HardNegatives(LABELS, 2, negatives=2, queries=8, labels_known=True)
            if mined
            else ClassBalanced(LABELS, 2, 3)
        )
        return _tuning(pictures, planner, validation_data=_examined(pictures))

    def run(folder: Path, stop_at: int = 0) -> tuple[TuningTask, object]:
        seen: list[object] = []

        def stop(here: object) -> None:
            seen.append(here)
            if len(seen) == stop_at:
                raise Stopped

        task = made()
        done = fit(task, Schedule(epochs=2, rate=0.01), folder, processes=HERE, progress=stop, checkpoint_every=0)
        return task, replace(done, seconds=0, planning_seconds=0, validation_seconds=0)

    straight, outcome = run(tmp_path / "straight")
    for stop_at in (2, 5, 7):
        folder = tmp_path / str(stop_at)
        with pytest.raises(Stopped):
            run(folder, stop_at)
        again, also = run(folder)
        assert also == outcome
        for name, value in straight.module.state_dict().items():
            assert torch.equal(value, again.module.state_dict()[name]), name
        assert straight.before is not None
        assert again.before is not None
        np.testing.assert_array_equal(again.before, straight.before)
        assert _values(folder) == _values(tmp_path / "straight")


def _values(folder: Path) -> list[tuple[object, ...]]:
    return [(row.step, row.part, row.name, row.value) for row in read_log(folder / LOG)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"indices": torch.full((2, 6), 10**6)}, "indices are not whole numbers from 0 to"),
        ({"indices": torch.full((2, 6), -1)}, "indices are not whole numbers from 0 to"),
        ({"indices": torch.zeros(2, 6)}, "indices are not whole numbers from 0 to"),
        ({"labels": torch.full((2, 6), -7)}, "labels are not whole numbers from -1 to"),
        ({"relations": torch.zeros((2, 6, 6), dtype=torch.int64)}, "relations are not of type int8"),
        ({"relations": torch.full((2, 6, 6), 5, dtype=torch.int8)}, "relations are not whole numbers from -1 to 1"),
        ({"before": torch.zeros((1, 10), dtype=torch.int64)}, "results"),
        ({"epoch": torch.tensor(-1)}, "epoch is not a number from 0"),
        ({"epoch": torch.zeros(3)}, "epoch is not a number from 0"),
        ({"other": torch.zeros(3)}, "unknown tensor 'other'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_state_that_is_not_the_tasks_is_refused(
    change: dict[str, torch.Tensor], message: str, pictures: ImageCache
) -> None:
    task = _tuning(pictures)
    task.begin_epoch(0)
    state = task.state_dict()
    task.load_state_dict(state)
    with pytest.raises(ValueError, match=message):
        task.load_state_dict({**state, **change})
