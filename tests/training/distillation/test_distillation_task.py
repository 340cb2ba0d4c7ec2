"""Distilling: it learns what its teachers do, goes on exactly where it stopped, and starts from an earlier student."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from kindred.errors import TrainingError, UsageError
from kindred.training.distillation.export import export_student
from kindred.training.distillation.settings import DistillationSettings
from kindred.training.distillation.task import DistillationTask, images_to_input
from kindred.training.distillation.warm_start import FILTER_SIZE, warm_start
from kindred.training.image_cache import ImageCache
from kindred.training.log import read_log
from kindred.training.loop import FitResult, Progress, fit
from kindred.training.process_group import ProcessGroup
from tiny_teacher import TinyTeacher

HERE = ProcessGroup(torch.device("cpu"))
SETTINGS = DistillationSettings(
    steps=150,
    batch=8,
    sizes=(32,),
    blockwise=0.5,
    warmup=0.05,
    rate=4e-3,
    blockwise_rate=4e-3,
    pooled=0.5,
    relational=1.0,
    noisy=0.0,
    seed=3,
)


class StopHereError(Exception):
    pass


def run(task: DistillationTask, folder: Path, progress: object = None) -> FitResult:
    return fit(task, task.settings.schedule(), folder, processes=HERE, progress=progress, checkpoint_every=0)  # type: ignore[arg-type]


def exported(task: DistillationTask, folder: Path) -> Path:
    """Write the student of `task` as a graph, and say where it is."""
    file = folder / "student.onnx"
    export_student(
        task.student, file, crops=task.validation_crops, name="tiny", licence="", source="", description="", training={}
    )
    return file


def test_it_learns_what_the_teacher_does(teacher: TinyTeacher, pictures: ImageCache, tmp_path: Path) -> None:
    student: list[Progress] = []
    outcome = run(DistillationTask([teacher], pictures, SETTINGS, processes=HERE), tmp_path, student.append)
    *_, last = (here for here in student if here.losses)
    assert last.losses["tiny/inner"] < 0.5 * outcome.before["tiny/inner"]
    assert set(outcome.after) == {"tiny", "tiny/inner", "tiny.gem", "tiny.relations"}
    for name in outcome.after:
        assert outcome.after[name] < 0.8 * outcome.before[name], name
    assert {row.name for row in read_log(tmp_path / "log.csv") if row.part == "validation"} == set(outcome.after)


def test_at_first_every_stage_learns_alone(teacher: TinyTeacher, pictures: ImageCache) -> None:
    task = DistillationTask([teacher], pictures, SETTINGS, processes=HERE)
    task.begin_epoch(0)
    reached = {}
    for done in (0.49, 0.51):
        task.student.zero_grad()
        task.losses(task.make_batch(0), done=done)["tiny"].backward()  # type: ignore[no-untyped-call]
        reached[done] = task.student.stem.conv.weight.grad
    assert reached[0.49] is None or not reached[0.49].any()
    assert reached[0.51] is not None
    assert reached[0.51].any()


def test_the_deepest_pieces_learn_always_the_others_by_what_they_leave(
    teacher: TinyTeacher, pictures: ImageCache
) -> None:
    task = DistillationTask([teacher, TinyTeacher("two")], pictures, replace(SETTINGS, steps=400), processes=HERE)
    task.begin_epoch(0)
    assert [piece.name for piece in task.student.segments] == ["tiny/inner", "tiny", "two/inner", "two"]
    task.load_state_dict({**task.state_dict(), "errors": torch.tensor([0.9, 0.5, 0.1, 0.5])})
    drawn = [name for step in range(200) for name in task.trained_segments(step / 400)]
    assert drawn.count("tiny") == drawn.count("two") == 200
    assert 150 < drawn.count("tiny/inner") < 195
    assert drawn.count("tiny/inner") + drawn.count("two/inner") == 200
    assert task.trained_segments(0.25) == task.trained_segments(0.25)
    losses = task.losses(task.make_batch(0), done=0.0)
    assert {name for name in losses if "." not in name} == task.trained_segments(0.0)
    assert len(losses) < len(task.losses(task.make_batch(0), done=0.9)) == 8
    resting = DistillationTask([teacher], pictures, replace(SETTINGS, shallow=0.0), processes=HERE)
    assert resting.trained_segments(0.0) == {"tiny"}


@pytest.mark.parametrize("stop", [3, 7])
def test_a_stopped_run_goes_on_exactly(teacher: TinyTeacher, pictures: ImageCache, tmp_path: Path, stop: int) -> None:
    settings = replace(SETTINGS, steps=10)
    straight = DistillationTask([teacher], pictures, settings, processes=HERE)
    run(straight, tmp_path / "straight")

    def halt(here: Progress) -> None:
        if here.step == stop:
            raise StopHereError

    with pytest.raises(StopHereError):
        run(DistillationTask([teacher], pictures, settings, processes=HERE), tmp_path / "cut", halt)
    again = DistillationTask([teacher], pictures, settings, processes=HERE)
    run(again, tmp_path / "cut")
    for name, value in straight.student.state_dict().items():
        assert torch.equal(value, again.student.state_dict()[name]), name


def test_other_settings_are_refused(teacher: TinyTeacher, pictures: ImageCache, tmp_path: Path) -> None:
    run(DistillationTask([teacher], pictures, replace(SETTINGS, steps=2), processes=HERE), tmp_path)
    with pytest.raises(TrainingError, match=r"relational 1.0, now 2.0"):
        run(DistillationTask([teacher], pictures, replace(SETTINGS, steps=2, relational=2.0), processes=HERE), tmp_path)


def test_a_teacher_that_gives_no_numbers_stops_the_run(pictures: ImageCache, tmp_path: Path) -> None:
    class Broken(TinyTeacher):
        def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
            return tuple(np.full_like(maps, np.nan) for maps in super().run(batch))

    with pytest.raises(TrainingError, match=r"epoch 1, update 1: .*on 8 crops of 32 pixels"):
        run(DistillationTask([Broken()], pictures, replace(SETTINGS, steps=2), processes=HERE), tmp_path)


def test_crops_follow_from_seed_and_step(teacher: TinyTeacher, pictures: ImageCache) -> None:
    settings = replace(SETTINGS, steps=1500, sizes=(32, 48))
    tasks = [DistillationTask([teacher], pictures, replace(settings, seed=seed), processes=HERE) for seed in (1, 1, 2)]
    for task in tasks:
        task.begin_epoch(1)
    one, same, other = (task.make_batch(4) for task in tasks)
    assert np.array_equal(one.teacher, same.teacher)
    assert np.array_equal(one.student, same.student)
    assert one.teacher.shape != other.teacher.shape or not np.array_equal(one.teacher, other.teacher)
    assert {task.make_batch(step).teacher.shape[1] for task in tasks for step in range(8)} == {32, 48}


def test_once_it_is_whole_the_student_sees_some_crops_worse(teacher: TinyTeacher, pictures: ImageCache) -> None:
    settings = replace(SETTINGS, steps=40, blockwise=0.5, noisy=0.5)
    task = DistillationTask([teacher], pictures, settings, processes=HERE)
    task.begin_epoch(0)
    blockwise, whole = task.make_batch(19), task.make_batch(20)
    assert np.array_equal(blockwise.teacher, blockwise.student)
    changed = [
        not np.array_equal(teacher, student) for teacher, student in zip(whole.teacher, whole.student, strict=True)
    ]
    assert changed == (~whole.same).tolist()
    assert sum(changed) == len(changed) // 2
    never = DistillationTask([teacher], pictures, replace(settings, noisy=0.0), processes=HERE).make_batch(30)
    assert np.array_equal(never.teacher, never.student)


@pytest.mark.parametrize("wrong", [{"sizes": ()}, {"sizes": (16,)}, {"steps": 0}, {"batch": 1}])
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="expected at least 1 step, 2 crops and 32 pixels"):
        replace(SETTINGS, **wrong)  # type: ignore[arg-type]


def test_a_student_goes_on_from_the_graph_it_was_exported_to(
    teacher: TinyTeacher, pictures: ImageCache, tmp_path: Path
) -> None:
    teachers = [teacher, TinyTeacher("two", seed=2)]
    first = DistillationTask(teachers, pictures, replace(SETTINGS, steps=20), processes=HERE)
    run(first, tmp_path / "run")
    file = exported(first, tmp_path)
    second = DistillationTask(teachers, pictures, replace(SETTINGS, seed=9), processes=HERE)
    images = images_to_input(second.validation_crops)
    warm_start(second.student, file, images)
    with torch.no_grad():
        before, after = first.student.eval()(images), second.student.eval()(images)
        trained_segments = second.student.train()(images)
    for name, maps in before.items():
        assert (after[name] - maps).norm() <= 0.02 * maps.norm(), name
        assert (trained_segments[name] - maps).norm() <= 0.05 * maps.norm(), name


def test_its_filters_are_as_large_as_trained_ones_where_a_norm_allows(
    teacher: TinyTeacher, pictures: ImageCache, tmp_path: Path
) -> None:
    first = DistillationTask([teacher], pictures, replace(SETTINGS, steps=10, blockwise=0.0), processes=HERE)
    run(first, tmp_path / "run")
    file = exported(first, tmp_path)
    warm_start(first.student, file, images_to_input(first.validation_crops))
    normed = [
        before.weight
        for before, after in pairwise(first.student.modules())
        if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d)
    ]
    assert len(normed) >= 3
    for weight in normed:
        assert weight.square().mean((1, 2, 3)).sqrt().tolist() == pytest.approx([FILTER_SIZE] * len(weight), rel=1e-4)


def test_a_teacher_is_added_to_a_frozen_student(teacher: TinyTeacher, pictures: ImageCache, tmp_path: Path) -> None:
    teachers = [teacher, TinyTeacher("two", seed=2)]
    first = DistillationTask(teachers, pictures, replace(SETTINGS, steps=20), processes=HERE)
    run(first, tmp_path / "first")
    file = exported(first, tmp_path)

    class Silent(TinyTeacher):
        def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
            raise AssertionError(f"asked for {len(batch)} crops: the teachers of frozen chains are not run")

    silent = [Silent(), Silent("two", seed=2)]
    settings = replace(SETTINGS, steps=60, freeze=8, noisy=0.25)
    second = DistillationTask([*silent, TinyTeacher("three", seed=3)], pictures, settings, processes=HERE, start=file)
    assert [piece.name for piece in second.student.trainable] == ["three/inner", "three"]
    outcome = run(second, tmp_path / "second")
    assert set(outcome.after) == {"three/inner", "three", "three.gem", "three.relations"}
    assert outcome.after["three"] < 0.9 * outcome.before["three"]
    images = images_to_input(first.validation_crops)
    with torch.no_grad():
        before, after = first.student.eval()(images), second.student.eval()(images)
    for name, maps in before.items():
        assert (after[name] - maps).norm() <= 0.02 * maps.norm(), name
    with pytest.raises(TrainingError, match="has the heads of all 2 teachers, and all its layers are frozen"):
        DistillationTask(silent, pictures, settings, processes=HERE, start=file)


def test_only_the_deep_layers_of_a_student_are_trained_on(
    teacher: TinyTeacher, pictures: ImageCache, tmp_path: Path
) -> None:
    teachers = [teacher, TinyTeacher("two", seed=2)]
    first = DistillationTask(teachers, pictures, replace(SETTINGS, steps=20), processes=HERE)
    run(first, tmp_path / "first")
    file = exported(first, tmp_path)
    settings = replace(SETTINGS, steps=20, freeze=4, blockwise=0.0)
    second = DistillationTask(teachers, pictures, settings, processes=HERE, start=file)
    outcome = run(second, tmp_path / "second")
    assert {name for name in outcome.after if "." not in name} == {"tiny", "two"}
    assert outcome.after["two"] < outcome.before["two"]
    images = images_to_input(first.validation_crops)
    with torch.no_grad():
        before, after = first.student.eval()(images), second.student.eval()(images)
    assert (after["two/inner"] - before["two/inner"]).norm() <= 0.02 * before["two/inner"].norm()
    assert (after["two"] - before["two"]).norm() > 0.05 * before["two"].norm()


def test_layers_that_were_added_to_the_graph_are_left_out(
    teacher: TinyTeacher, pictures: ImageCache, tmp_path: Path
) -> None:
    task = DistillationTask([teacher], pictures, SETTINGS, processes=HERE)
    file = exported(task, tmp_path)
    model = onnx.load(str(file))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "extra"))
    model.graph.node.insert(0, onnx.helper.make_node("Conv", ["image", "extra"], ["local"]))
    file.write_bytes(model.SerializeToString())
    assert warm_start(task.student, file, images_to_input(task.validation_crops)) == 1


def test_a_student_of_other_teachers_is_refused(teacher: TinyTeacher, pictures: ImageCache, tmp_path: Path) -> None:
    task = DistillationTask([teacher], pictures, SETTINGS, processes=HERE)
    two = DistillationTask([teacher, TinyTeacher("two")], pictures, SETTINGS, processes=HERE)
    file = exported(two, tmp_path)
    images = images_to_input(task.validation_crops)
    with pytest.raises(TrainingError, match="it was made for other teachers"):
        warm_start(task.student, file, images)
    file.write_bytes(b"no graph")
    with pytest.raises(TrainingError, match="cannot be read as a student"):
        warm_start(task.student, file, images)


def _damaged() -> dict[str, dict[str, torch.Tensor]]:
    return {
        "an epoch beyond the run": {"epoch": torch.tensor(99)},
        "an epoch of several numbers": {"epoch": torch.tensor([0, 1])},
        "too few errors": {"errors": torch.ones(1)},
        "errors that are not finite": {"errors": torch.full((2,), torch.nan)},
        "statistics of another map": {"mean.other": torch.ones(6)},
        "statistics of other channels": {"std.tiny/inner": torch.ones(7)},
        "statistics that are not finite": {"mean.tiny": torch.full((1,), torch.inf)},
    }


@pytest.mark.parametrize("change", _damaged().values(), ids=_damaged())
def test_a_state_that_is_not_the_tasks_is_refused(
    change: dict[str, torch.Tensor], teacher: TinyTeacher, pictures: ImageCache
) -> None:
    task = DistillationTask([teacher], pictures, SETTINGS, processes=HERE)
    task.begin_epoch(0)
    state = task.state_dict()
    task.load_state_dict(state)
    with pytest.raises(ValueError, match=r"epoch|errors|statistics"):
        task.load_state_dict({**state, **change})
    with pytest.raises(KeyError):
        task.load_state_dict({name: value for name, value in state.items() if name != "errors"})


def test_a_hostile_student_is_one_clear_line(teacher: TinyTeacher, pictures: ImageCache, tmp_path: Path) -> None:
    task = DistillationTask([teacher], pictures, SETTINGS, processes=HERE)
    file = exported(task, tmp_path)
    images = images_to_input(task.validation_crops)
    model = onnx.load(str(file))
    secret = tmp_path / "secret"
    secret.write_bytes(b"\0" * 10**6)
    first = next(each for each in model.graph.initializer if len(each.dims) == 4)
    kept = onnx.TensorProto()
    kept.CopyFrom(first)

    def refused(message: str) -> None:
        file.write_bytes(model.SerializeToString())
        with pytest.raises(TrainingError, match=message) as raised:
            warm_start(task.student, file, images)
        assert "\n" not in str(raised.value)
        first.CopyFrom(kept)

    first.ClearField("raw_data")
    first.data_location = onnx.TensorProto.EXTERNAL
    first.external_data.add(key="location", value="secret")
    refused(r"cannot be read as a student \(its weights are in another file\)")
    first.dims[0] = 2**40
    refused("cannot be read as a student")
    kind = onnx.helper.tensor_dtype_to_np_dtype(first.data_type)
    first.raw_data = np.full(len(first.raw_data) // kind.itemsize, np.nan, kind).tobytes()
    refused(r"convolution \d+ has weights that are not finite")
    file.unlink()
    file.symlink_to(tmp_path / "nowhere")
    with pytest.raises(TrainingError, match=r"no such file; expected the \.onnx of an earlier student"):
        warm_start(task.student, file, images)
