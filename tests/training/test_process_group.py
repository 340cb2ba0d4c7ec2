"""Processes: several take the updates that one takes with larger batches; devices that are not there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tiny_task
from kindred.errors import UsageError
from kindred.training.log import read_log
from kindred.training.process_group import ProcessGroup, join_process_group
from kindred.training.run_folder import BEST, CHECKPOINT, LOCK, LOG

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(autouse=True)
def few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "KINDRED_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)


def _train(folder: Path, *, processes: int) -> list[dict[str, Tensor]]:
    """Let processes train the tiny task; return what each of them came to."""
    folder.mkdir()
    start = TORCHRUN if processes == 2 else (sys.executable,)
    accumulate = str(2 // processes)
    done = subprocess.run(
        [*start, tiny_task.__file__, str(folder), "never", accumulate],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"rank{rank}.pth") for rank in range(processes)]


def _of_module(kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in kept.items() if name != "writes"}


def test_two_processes_take_the_updates_of_one_with_twice_the_batches(tmp_path: Path) -> None:
    (one,) = _train(tmp_path / "one", processes=1)
    first, second = _train(tmp_path / "two", processes=2)
    for name, value in _of_module(first).items():
        torch.testing.assert_close(value, one[name], rtol=1e-5, atol=1e-5)
        assert torch.equal(value, second[name])
    # Two updates an epoch: a checkpoint amid it and one after it; the best module, where the epoch was the best.
    assert int(first["writes"]) == int(one["writes"]) >= 7
    assert int(second["writes"]) == 0
    files = {file.name for file in (tmp_path / "two").iterdir()}
    assert files == {CHECKPOINT, BEST, LOCK, LOG, "rank0.pth", "rank1.pth"}
    rows, alone = (read_log(tmp_path / name / LOG) for name in ("two", "one"))
    assert [(row.step, row.part, row.name) for row in rows] == [(row.step, row.part, row.name) for row in alone]
    # The losses in the log are those of the first process, the gradients those of all.
    for name in ("score", "gradient"):
        values = [[row.value for row in each if row.name == name] for each in (rows, alone)]
        assert values[0] == pytest.approx(values[1], abs=1e-4)


REMEMBERING = """
import sys, torch
from kindred.training.tuning.objective import build_objective
from kindred.training.process_group import join_process_group

with join_process_group("cpu", threads=1) as processes:
    objective = build_objective(
        "contrastive", classes=0, dimension=2, memory=12, options={}, gather=processes.gather
    )
    for step in range(2):
        count = 3 - processes.rank  # as where an image of the second process could not be read
        numbers = 100 * step + 10 * processes.rank + torch.arange(count)
        vectors = torch.stack([numbers, -numbers], dim=1).float().requires_grad_()
        objective(vectors, numbers, torch.zeros(count, count, dtype=torch.int8), numbers + 1)
    torch.save(objective.state_dict(), f"{sys.argv[1]}/memory{processes.rank}.pth")
"""


def test_all_processes_remember_what_each_has_seen(tmp_path: Path) -> None:
    script = tmp_path / "remembering.py"
    script.write_text(REMEMBERING)
    done = subprocess.run([*TORCHRUN, script, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"memory{rank}.pth") for rank in range(2))
    assert first["memory.images"].tolist() == [0, 1, 2, 10, 11, 100, 101, 102, 110, 111, -1, -1]
    assert first["memory.labels"][:10].tolist() == [1, 2, 3, 11, 12, 101, 102, 103, 111, 112]
    assert first["memory.vectors"][:10, 1].tolist() == [0, -1, -2, -10, -11, -100, -101, -102, -110, -111]
    for name, value in first.items():
        assert torch.equal(value, second[name])


def test_one_process_is_by_itself() -> None:
    with join_process_group("cpu") as processes:
        assert processes == ProcessGroup(torch.device("cpu"))
        assert processes.is_main
        parameter = torch.nn.Parameter(torch.ones(2))
        processes.average_gradients([parameter])
        assert parameter.grad is None
        values = torch.arange(3.0)
        assert processes.sum(values) is values
        assert processes.gather(values) is values
        processes.barrier()


def test_only_the_first_process_leads() -> None:
    assert not ProcessGroup(torch.device("cpu"), rank=1, world_size=2).is_main


def test_the_environment_names_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("KINDRED_DEVICE", "cpu")
    with join_process_group() as processes:
        assert processes.device == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "tpu:0", "", "cuda:one", "cpu:x"])
def test_an_unknown_device_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINDRED_DEVICE", "npu")
    with pytest.raises(UsageError) as raised, join_process_group(name):
        pass
    assert str(raised.value) == f"device is {name or 'npu'!r}; expected 'cpu', 'cuda' or 'cuda:1'"


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_device_that_is_not_there_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError) as raised, join_process_group(name):
        pass
    assert str(raised.value) == f"device is {name!r}; this PyTorch finds 0 CUDA devices; use 'cpu'"


@pytest.mark.parametrize(("local", "given"), [(4, None), (1, 3)], ids=["shared", "given"])
def test_threads_are_an_equal_share_or_as_given(local: int, given: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(local))
    with join_process_group("cpu", threads=given):
        assert told == [3]
