"""The loop: it learns, it goes on exactly where it was stopped or killed, and it says what is wrong."""

from __future__ import annotations

import errno
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import kindred.training.loop as loop_module
import tiny_task
from kindred.errors import TrainingError
from kindred.training.checkpoint import load_checkpoint
from kindred.training.log import read_log
from kindred.training.loop import FitResult, Progress, Schedule, fit
from kindred.training.run_folder import BEST, CHECKPOINT, LOCK, LOG
from tiny_task import HERE, SCHEDULE, Points, TinyTask

UPDATES = 4  # of an epoch of the tiny task
EVENTS = SCHEDULE.epochs * (UPDATES + 1)  # calls of progress: one for each update, one for each validation


class Stopped(Exception):
    """Whatever ends a run."""


def _fit(task: TinyTask, folder: Path, schedule: Schedule = SCHEDULE, **options: Any) -> FitResult:
    return fit(task, schedule, folder, processes=HERE, **options)


def _weights(task: TinyTask) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in task.module.state_dict().items()}


def _assert_equal(some: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> None:
    assert some.keys() == others.keys()
    for name, value in some.items():
        assert torch.equal(value, others[name]), name


def _timeless(outcome: FitResult) -> FitResult:
    return replace(outcome, seconds=0, planning_seconds=0, validation_seconds=0)


def _rows(folder: Path) -> list[tuple[object, ...]]:
    """The log without its seconds."""
    return [(row.step, row.epoch, row.part, row.name, row.value) for row in read_log(folder / LOG)]


@pytest.fixture
def every_update(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "LOG_EVERY", 1)


@pytest.fixture
def straight(every_update: None, tmp_path: Path) -> tuple[dict[str, Tensor], list[tuple[object, ...]], FitResult]:  # noqa: ARG001
    """A run that nobody disturbs: its weights, its log and its outcome."""
    task = TinyTask()
    outcome = _fit(task, tmp_path / "straight")
    return _weights(task), _rows(tmp_path / "straight"), _timeless(outcome)


def test_it_learns_and_tells_how_far_it_is(tmp_path: Path) -> None:
    seen: list[Progress] = []
    task = TinyTask()
    outcome = _fit(task, tmp_path, replace(SCHEDULE, epochs=10, rate=0.1), progress=seen.append)
    assert outcome.before["score"] < -0.3
    assert outcome.after["score"] > 0.5 * outcome.before["score"]
    assert (outcome.epochs, outcome.updates) == (10, 40)
    assert not task.module.training
    assert task.begun == list(range(10))
    begun = [(here.epoch, here.stage) for here in seen if here.stage != "training"]
    stages = [(epoch, stage) for epoch in range(10) for stage in ("planning", "validating")]
    assert begun == [(0, "validating")] + [(epoch + (stage == "validating"), stage) for epoch, stage in stages]
    seen = [here for here in seen if here.stage == "training"]
    assert [(here.epoch, here.step) for here in seen] == [
        (epoch, step) for epoch in range(10) for step in (1, 2, 3, 4, 4)
    ]
    assert {(here.epochs, here.steps) for here in seen} == {(10, 4)}
    assert [bool(here.validation) for here in seen] == [False, False, False, False, True] * 10
    assert seen[0].losses.keys() == {"square", "weights"}
    assert 0 <= outcome.planning_seconds + outcome.validation_seconds <= outcome.seconds


def test_the_log_has_plans_losses_and_validations(tmp_path: Path) -> None:
    task = TinyTask()
    outcome = _fit(task, tmp_path)
    rows = _rows(tmp_path)
    assert [row[:4] for row in rows[:5]] == [
        (0, 0.0, "validation", "score"),
        (0, 0.0, "plan", "hardest"),
        (4, 1.0, "training", "square"),
        (4, 1.0, "training", "weights"),
        (4, 1.0, "training", "gradient"),
    ]
    scores = [row[4] for row in rows if row[2] == "validation"]
    assert scores[0] == pytest.approx(outcome.before["score"], abs=1e-5)
    assert scores[outcome.best_epoch] == pytest.approx(outcome.after["score"], abs=1e-5)


def test_the_rate_rises_and_falls() -> None:
    schedule = Schedule(rate=2.0, warmup=0.1)
    assert schedule.rate_at(0) == pytest.approx(0.02)
    assert schedule.rate_at(0.05) == pytest.approx(0.51 * (1 + math.cos(0.05 * math.pi)))
    assert schedule.rate_at(0.1) == pytest.approx(1 + math.cos(0.1 * math.pi))
    assert schedule.rate_at(0.5) == pytest.approx(1.0)
    assert schedule.rate_at(1.0) == pytest.approx(0.0)
    assert replace(schedule, warmup=0).rate_at(0) == 2.0


def test_the_rate_may_rise_once_more() -> None:
    schedule = Schedule(rate=2.0, warmup=0.1, restart_at=0.25, restart_rate=0.5)
    assert schedule.rate_at(0.025) == pytest.approx(1 + math.cos(0.1 * math.pi))
    assert schedule.rate_at(0.25 - 1e-9) == pytest.approx(0.0)
    assert schedule.rate_at(0.25) == pytest.approx(0.005)
    assert schedule.rate_at(0.625) == pytest.approx(0.25)
    assert schedule.rate_at(1.0) == pytest.approx(0.0)


def test_each_group_learns_at_its_own_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[float]] = []

    class Spied(torch.optim.AdamW):
        def step(self, closure: Any = None) -> Any:
            seen.append([group["lr"] for group in self.param_groups])
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "AdamW", Spied)
    _fit(TinyTask(), tmp_path)
    expected = [SCHEDULE.rate_at(update / 12) for update in range(12)]
    assert [first for first, _ in seen] == pytest.approx(expected)
    assert [second for _, second in seen] == pytest.approx([2 * rate for rate in expected])


def test_large_gradients_are_clipped_and_logged_as_they_were(tmp_path: Path) -> None:
    plain, clipped = TinyTask(), TinyTask()
    _fit(plain, tmp_path / "plain", replace(SCHEDULE, clip=1e9))
    _fit(clipped, tmp_path / "clipped", replace(SCHEDULE, clip=1e-3))
    assert not torch.allclose(_weights(plain)["0.weight"], _weights(clipped)["0.weight"], atol=1e-5)
    norms = [row[4] for row in _rows(tmp_path / "clipped") if row[3] == "gradient"]
    assert len(norms) >= SCHEDULE.epochs
    assert min(norms) > 0.01  # type: ignore[type-var, operator]


def test_what_does_not_learn_is_left_alone(tmp_path: Path) -> None:
    task = TinyTask()
    before = _weights(task)
    task.module[0].weight.requires_grad_(False)  # type: ignore[index]
    _fit(task, tmp_path)
    after = _weights(task)
    assert torch.equal(before["0.weight"], after["0.weight"])
    assert not torch.equal(before["0.bias"], after["0.bias"])


@pytest.mark.parametrize("times", [2, 4])
def test_accumulated_batches_are_one_large_batch(times: int, tmp_path: Path) -> None:
    # The plans are alike, cut into batches of another size.
    large, parts = TinyTask(batches=2), TinyTask(batches=2 * times)
    _fit(large, tmp_path / "large")
    outcome = _fit(parts, tmp_path / "parts", replace(SCHEDULE, accumulate=times))
    assert outcome.updates == 2 * SCHEDULE.epochs
    for name, value in _weights(large).items():
        torch.testing.assert_close(value, _weights(parts)[name], rtol=1e-4, atol=1e-5)
    large_rows, rows = _rows(tmp_path / "large"), _rows(tmp_path / "parts")
    assert [row[:4] for row in large_rows] == [row[:4] for row in rows]
    assert [row[4] for row in large_rows] == pytest.approx([row[4] for row in rows], abs=1e-3)


def test_the_last_update_is_filled_up_from_the_beginning(tmp_path: Path) -> None:
    task = TinyTask(batches=4)
    outcome = _fit(task, tmp_path, replace(SCHEDULE, epochs=1, accumulate=3))
    assert outcome.updates == 2
    assert sorted(task.made) == [0, 0, 1, 1, 2, 3]


@pytest.mark.parametrize("every", [0.0, 1e9], ids=["each update", "each epoch"])
@pytest.mark.parametrize("event", range(1, EVENTS + 1))
def test_a_stopped_run_goes_on_exactly(
    event: int,
    every: float,
    straight: tuple[dict[str, Tensor], list[tuple[object, ...]], FitResult],
    tmp_path: Path,
) -> None:
    calls = 0

    def stop(_: Progress) -> None:
        nonlocal calls
        calls += 1
        if calls == event:
            raise Stopped

    with pytest.raises(Stopped):
        _fit(TinyTask(), tmp_path, progress=stop, checkpoint_every=every)
    task = TinyTask()
    outcome = _fit(task, tmp_path, checkpoint_every=every)
    _assert_equal(_weights(task), straight[0])
    assert _rows(tmp_path) == straight[1]
    assert _timeless(outcome) == straight[2]


@pytest.mark.parametrize("method", ["begin_epoch", "validate", "state_dict"])
def test_a_run_stopped_between_epochs_goes_on_exactly(
    method: str,
    straight: tuple[dict[str, Tensor], list[tuple[object, ...]], FitResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task, calls = TinyTask(), 0
    original: Callable[..., object] = getattr(task, method)

    def stop(*given: Any) -> object:
        nonlocal calls
        calls += 1
        found = original(*given)
        if calls == 3:
            raise Stopped
        return found

    monkeypatch.setattr(task, method, stop)
    with pytest.raises(Stopped):
        _fit(task, tmp_path)
    again = TinyTask()
    outcome = _fit(again, tmp_path)
    _assert_equal(_weights(again), straight[0])
    assert _rows(tmp_path) == straight[1]
    assert _timeless(outcome) == straight[2]


def test_a_run_stopped_again_and_again_goes_on_exactly(
    straight: tuple[dict[str, Tensor], list[tuple[object, ...]], FitResult], tmp_path: Path
) -> None:
    def stop(here: Progress) -> None:
        if calls[-1] == 2:
            raise Stopped
        calls[-1] += here.stage == "training"

    calls: list[int] = []
    while True:
        calls.append(0)
        task = TinyTask()
        try:
            outcome = _fit(task, tmp_path, progress=stop, checkpoint_every=0)
        except Stopped:
            continue
        break
    assert len(calls) > 4
    _assert_equal(_weights(task), straight[0])
    assert _rows(tmp_path) == straight[1]
    assert _timeless(outcome) == straight[2]


def test_a_run_that_is_over_is_not_run_again(tmp_path: Path) -> None:
    first, again = TinyTask(), TinyTask()
    outcome = _fit(first, tmp_path)
    rows = _rows(tmp_path)
    assert _fit(again, tmp_path) == outcome
    assert (again.begun, again.made) == ([], [])
    _assert_equal(_weights(first), _weights(again))
    assert _rows(tmp_path) == rows


@pytest.mark.parametrize("moment", ["6", "write"])
def test_a_killed_run_goes_on_exactly(moment: str, tmp_path: Path) -> None:
    task = TinyTask()
    outcome = _fit(task, tmp_path / "straight", checkpoint_every=0)
    folder = tmp_path / "killed"
    killed = subprocess.run([sys.executable, tiny_task.__file__, str(folder), moment, "1"], check=False)
    assert killed.returncode == -signal.SIGKILL
    again = TinyTask()
    resumed = _fit(again, folder, checkpoint_every=0)
    assert again.begun[0] in (1, 2) or moment == "write"
    _assert_equal(_weights(task), _weights(again))
    assert _timeless(resumed) == _timeless(outcome)
    assert _rows(folder) == _rows(tmp_path / "straight")


def test_the_best_epoch_is_returned(tmp_path: Path) -> None:
    kept: dict[int, dict[str, Tensor]] = {}
    task = TinyTask(scores=[0.1, 0.3, 0.5, 0.5, 0.4])

    def keep(here: Progress) -> None:
        if here.validation:
            kept[here.epoch + 1] = _weights(task)

    outcome = _fit(task, tmp_path, replace(SCHEDULE, epochs=4), progress=keep)
    assert (outcome.epochs, outcome.best_epoch) == (4, 2)
    assert (outcome.before, outcome.after) == ({"score": 0.1}, {"score": 0.5})
    _assert_equal(_weights(task), kept[2])
    assert not torch.equal(_weights(task)["0.weight"], kept[4]["0.weight"])


def test_nothing_watched_takes_the_last_epoch(tmp_path: Path) -> None:
    task = TinyTask(scores=[0.5, 0.4, 0.3, 0.2], monitor="")
    outcome = _fit(task, tmp_path)
    assert (outcome.best_epoch, outcome.after) == (3, {"score": 0.2})


def test_nothing_to_validate_on_takes_the_last_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = TinyTask()
    monkeypatch.setattr(task, "validate", dict)
    outcome = _fit(task, tmp_path, replace(SCHEDULE, patience=1))
    assert (outcome.best_epoch, outcome.before, outcome.after) == (3, {}, {})


def test_patience_ends_the_run(tmp_path: Path) -> None:
    scores = [0.1, 0.2, 0.5, 0.4, 0.5, 0.6, 0.7]
    task = TinyTask(scores=scores)
    schedule = replace(SCHEDULE, epochs=6, patience=2)
    outcome = _fit(task, tmp_path, schedule)
    assert (outcome.epochs, outcome.best_epoch, outcome.updates) == (4, 2, 16)
    again = TinyTask(scores=scores)
    assert _fit(again, tmp_path, schedule) == outcome
    _assert_equal(_weights(task), _weights(again))


def test_the_same_seed_gives_the_same_network(tmp_path: Path) -> None:
    tasks = [TinyTask(), TinyTask(), TinyTask(seed=4)]
    for number, task in enumerate(tasks):
        _fit(task, tmp_path / str(number))
    same, also, other = map(_weights, tasks)
    _assert_equal(same, also)
    assert not torch.equal(same["0.weight"], other["0.weight"])


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_a_loss_that_is_no_number_stops_with_the_checkpoint_from_before(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, seen = TinyTask(), [0]
    losses, kept = task.losses, [_weights(task)]

    def spoiled(batch: Points, *, done: float) -> Mapping[str, Tensor]:
        found = dict(losses(batch, done=done))
        seen[0] += 1
        if seen[0] == 7:
            first = task.module.state_dict(keep_vars=True)["0.weight"]
            found["square"] = found["square"] * math.nan if broken == "loss" else (first - first).sqrt().sum()
        return found

    monkeypatch.setattr(task, "losses", spoiled)
    with pytest.raises(TrainingError) as raised:
        _fit(task, tmp_path, progress=lambda _: kept.append(_weights(task)), checkpoint_every=0)
    message = str(raised.value)
    value = {"loss": "square nan", "gradient": "square 0"}[broken]
    assert message.startswith(f"epoch 2, update 3: the loss ({value}, weights ")
    assert f"or its gradient (nan) is not finite, on {task.describe_batch(task.make_batch(2))}; " in message
    assert message.endswith("the checkpoint is from before that: lower the rate (0.02)")
    stored, _ = load_checkpoint(tmp_path / CHECKPOINT)
    _assert_equal({f"module.{name}": value for name, value in kept[-1].items()}, _of_module(stored))
    assert all(value.isfinite().all() for value in stored.values())


def _of_module(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in tensors.items() if name.startswith("module.")}


def test_all_batches_of_an_update_are_named(tmp_path: Path) -> None:
    task = TinyTask()
    task.y[:] = math.inf
    with pytest.raises(TrainingError) as raised:
        _fit(task, tmp_path, replace(SCHEDULE, accumulate=2))
    first, second = (task.describe_batch(task.make_batch(step)) for step in (0, 1))
    assert f", on {first}; {second}; the checkpoint" in str(raised.value)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    _fit(TinyTask(identity={"task": "tiny", "loss": "square"}), tmp_path)
    before = (tmp_path / CHECKPOINT).read_bytes()
    other = TinyTask(identity={"task": "tiny", "loss": "round"})
    with pytest.raises(TrainingError) as raised:
        _fit(other, tmp_path, replace(SCHEDULE, rate=0.1))
    assert str(raised.value) == (
        f"{tmp_path / CHECKPOINT}: belongs to another run (loss 'square', now 'round', rate 0.02, now 0.1); "
        f"give another output, or remove {tmp_path}"
    )
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    _fit(TinyTask(), tmp_path)
    task = TinyTask()
    task.module[2] = torch.nn.Linear(8, 2)  # type: ignore[operator]
    with pytest.raises(TrainingError) as raised:
        _fit(task, tmp_path)
    assert str(raised.value) == (
        f"{tmp_path / CHECKPOINT}: belongs to another network (2.weight (1, 8), now (2, 8)); "
        f"give another output, or remove {tmp_path}"
    )


def test_a_damaged_checkpoint_is_said_to_be_one(tmp_path: Path) -> None:
    _fit(TinyTask(), tmp_path)
    file = tmp_path / CHECKPOINT
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(TrainingError, match="not a readable checkpoint"):
        _fit(TinyTask(), tmp_path)


@pytest.mark.parametrize("call", ["fsync", "write"])
@pytest.mark.parametrize("full_at", [2, 5])  # the checkpoint amid the first epoch; the best module after it
def test_a_full_disk_leaves_the_checkpoint_before(
    full_at: int, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = TinyTask()
    _fit(straight, tmp_path / "straight")
    writes = 0

    def full(*_: object) -> None:
        nonlocal writes
        writes += 1
        if writes >= full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = tmp_path / "full"
    with monkeypatch.context() as patch:
        if call == "fsync":
            patch.setattr(os, "fsync", full)
        else:
            patch.setattr(Path, "open", _opened_on_a_full_disk(Path.open, full))
        with pytest.raises(TrainingError, match=r"cannot be written \(the disk is full\); the previous one is intact"):
            _fit(TinyTask(), folder, checkpoint_every=0)
    _, facts = load_checkpoint(folder / CHECKPOINT)
    assert f'"updates": {min(full_at - 1, 3)}' in facts["state"]
    assert [file.name for file in folder.iterdir() if file.name.endswith(".part")] == []
    again = TinyTask()
    _fit(again, folder)
    _assert_equal(_weights(again), _weights(straight))


def _opened_on_a_full_disk(opened: Callable[..., Any], full: Callable[[], None]) -> Callable[..., Any]:
    def spied(self: Path, *given: Any, **options: Any) -> Any:
        file = opened(self, *given, **options)
        if self.name.endswith(".part") and "b" in given[0]:
            write = file.write

            class Full:
                def __enter__(self) -> Full:
                    return self

                def __exit__(self, *_: object) -> None:
                    file.close()

                def write(self, data: bytes) -> None:
                    write(data[: len(data) // 2])
                    full()
                    write(data[len(data) // 2 :])

                def flush(self) -> None:
                    file.flush()

                def fileno(self) -> int:
                    return int(file.fileno())

            return Full()
        return file

    return spied


MEMORY = (
    "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "allocation failed"),
        (RuntimeError(f"{MEMORY} Error code 12\nmore"), f"{MEMORY} Error code 12"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), "CUDA out of memory. Tried to all"),
    ],
    ids=["Python", "PyTorch", "CUDA"],
)
@pytest.mark.parametrize("method", ["make_batch", "losses", "begin_epoch", "validate"])
def test_no_memory_says_what_to_lower(
    method: str, error: Exception, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = TinyTask()
    _failing(task, method, error, monkeypatch)
    with pytest.raises(TrainingError) as raised:
        _fit(task, tmp_path)
    message = str(raised.value)
    assert message.startswith(f"out of memory ({told}")
    assert message.endswith("lower the batch or the size of the images (and raise accumulate to make up for the batch)")
    assert "\n" not in message


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (4x3 and 4x8)"),
        RuntimeError("required rank 4 tensor to use channels_last memory format"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        ValueError("out of memory"),
    ],
    ids=str,
)
def test_other_errors_pass_unchanged(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = TinyTask()
    _failing(task, "losses", error, monkeypatch)
    with pytest.raises(type(error)) as raised:
        _fit(task, tmp_path)
    assert raised.value is error


def _failing(task: TinyTask, method: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(task, method, fail)


def test_the_best_module_lies_beside_the_checkpoint(tmp_path: Path) -> None:
    task = TinyTask(scores=[0, 0.3, 0.2, 0.1])
    _fit(task, tmp_path)
    stored, _ = load_checkpoint(tmp_path / BEST)
    _assert_equal(stored, _weights(task))
    assert {file.name for file in tmp_path.iterdir()} == {CHECKPOINT, BEST, LOCK, LOG}


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    from filelock import FileLock

    (tmp_path / ".checkpoint.safetensors.1-2.part").write_bytes(b"left by a kill")
    with FileLock(tmp_path / LOCK), pytest.raises(TrainingError, match="another process trains here; wait for it"):
        fit(TinyTask(), SCHEDULE, tmp_path, processes=HERE)
    assert len(list(tmp_path.glob(".*.part"))) == 1  # it may be the other's
    fit(TinyTask(), SCHEDULE, tmp_path, processes=HERE)
    assert not list(tmp_path.glob(".*.part"))
