"""A run folder from a stranger: nothing is followed, nothing is executed, each damage is one clear line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kindred.errors import TrainingError
from kindred.training.checkpoint import load_checkpoint, save_checkpoint
from kindred.training.loop import FitResult, fit
from kindred.training.run_folder import BEST, CHECKPOINT, LOCK, LOG, check_file
from tiny_task import HERE, SCHEDULE, TinyTask


def _fit(folder: Path, **options: Any) -> FitResult:
    return fit(TinyTask(), SCHEDULE, folder, processes=HERE, **options)


class Stop(Exception):
    pass


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The folder of a run that was stopped in its second epoch."""

    def stop(here: object) -> None:
        if getattr(here, "epoch", 0) == 1:
            raise Stop

    with pytest.raises(Stop):
        _fit(tmp_path / "run", progress=stop, checkpoint_every=0)
    return tmp_path / "run"


Change = Callable[[dict[str, Tensor], dict[str, str]], object]


def _refused(folder: Path) -> str:
    """Return the message with which the folder is refused; it is one line, and names a file of the folder."""
    with pytest.raises(TrainingError) as raised:
        _fit(folder)
    message = str(raised.value)
    assert message.startswith(str(folder))
    assert message.isprintable()
    assert len(message) < 700 + len(str(folder))
    return message


def _changed(folder: Path, change: Change) -> None:
    tensors, metadata = load_checkpoint(folder / CHECKPOINT)
    change(tensors, metadata)
    save_checkpoint(folder / CHECKPOINT, tensors, metadata)


@pytest.mark.parametrize("name", [CHECKPOINT, LOG, LOCK])
def test_a_link_is_not_followed(name: str, stopped: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes((stopped / name).read_bytes() or b"precious")
    before = victim.read_bytes()
    (stopped / name).unlink()
    (stopped / name).symlink_to(victim)
    assert "not a regular file" in _refused(stopped)
    assert victim.read_bytes() == before


def test_the_best_module_is_not_read_through_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    task = TinyTask(scores=[0, 0.3, 0.2, 0.1])
    fit(task, SCHEDULE, folder, processes=HERE)
    (folder / BEST).rename(tmp_path / "elsewhere")
    (folder / BEST).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TrainingError, match=r"best\.safetensors: not a regular file"):
        fit(TinyTask(scores=[0, 0.3, 0.2, 0.1]), SCHEDULE, folder, processes=HERE)


def test_a_dangling_link_is_not_a_new_run(stopped: Path, tmp_path: Path) -> None:
    (stopped / CHECKPOINT).unlink()
    (stopped / CHECKPOINT).symlink_to(tmp_path / "nowhere")
    assert "not a regular file" in _refused(stopped)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_block(stopped: Path) -> None:
    (stopped / CHECKPOINT).unlink()
    os.mkfifo(stopped / CHECKPOINT)
    program = (
        "import sys; from pathlib import Path; from tiny_task import HERE, SCHEDULE, TinyTask, fit\n"
        "try: fit(TinyTask(), SCHEDULE, Path(sys.argv[1]), processes=HERE)\n"
        "except Exception as error: print(error)"
    )
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", program, str(stopped)],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert "checkpoint.safetensors: not a regular file" in done.stdout


@pytest.mark.parametrize("name", [CHECKPOINT, LOG])
def test_a_file_too_large_for_the_run_is_not_read(name: str, stopped: Path) -> None:
    with (stopped / name).open("r+b") as file:
        file.truncate(2**40)  # sparse: it takes no room
    assert "bytes; expected at most" in _refused(stopped)


def test_check_file_takes_up_to_the_bound(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    check_file(tmp_path / "file", max_bytes=5)
    with pytest.raises(TrainingError, match="5 bytes; expected at most 4 for this run"):
        check_file(tmp_path / "file", max_bytes=4)
    with pytest.raises(TrainingError, match="not a regular file"):
        check_file(tmp_path, max_bytes=5)


def test_a_folder_of_another_version_is_refused_with_what_to_do(stopped: Path) -> None:
    _changed(stopped, lambda _, metadata: metadata.pop("format"))
    message = _refused(stopped)
    assert "written by another version of Kindred, whose runs cannot be resumed; remove " in message


def _state(**changes: object) -> Change:
    def change(_: dict[str, Tensor], metadata: dict[str, str]) -> None:
        metadata["state"] = json.dumps({**json.loads(metadata["state"]), **changes})

    return change


def _text(text: str) -> Change:
    return lambda _, metadata: metadata.update(state=text)


def _tensor(name: str, value: Tensor) -> Change:
    return lambda tensors, _: tensors.update({name: value})


DAMAGED: dict[str, Change] = {
    "no JSON": _text("{"),
    "deep JSON": _text("[" * 100_000),
    "a list": _text("[]"),
    "no state": lambda _, metadata: metadata.pop("state"),
    "one more field": _state(more=1),
    "a negative epoch": _state(epoch=-1),
    "an epoch of text": _state(epoch="1"),
    "a huge number of updates": _state(updates=10**30),
    "no time": _state(seconds=float("nan")),
    "metrics of text": _state(before={"score": "good"}),
    "a metric with a control character": _state(before={"\x1b[31m": 1.0}),
    "a metric with a long name": _state(after={"x" * 10_000: 1.0}),
    "weights that are not finite": _tensor("module.0.weight", torch.full((8, 3), torch.nan)),
    "a parameter that the optimiser has not": _tensor("optimiser.99.exp_avg", torch.zeros(3)),
    "a state that the optimiser has not": _tensor("optimiser.0.other", torch.zeros(8, 3)),
    "an average of another shape": _tensor("optimiser.0.exp_avg", torch.zeros(8, 4)),
    "an optimiser without number": _tensor("optimiser.x.exp_avg", torch.zeros(8, 3)),
    "half a state of the optimiser": lambda tensors, _: tensors.pop("optimiser.0.exp_avg"),
    "no state of the task": lambda tensors, _: tensors.pop("task.plan"),
}


@pytest.mark.parametrize("change", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_one_clear_line(change: Change, stopped: Path) -> None:
    _changed(stopped, change)
    message = _refused(stopped)
    assert ": a damaged checkpoint (" in message
    assert message.endswith("remove it to start again")


@pytest.mark.parametrize("identity", ["{", "[]", "[" * 100_000, json.dumps({"\x1b]0;x\x07": "\x1b" * 9999})])
def test_the_identity_of_a_stranger_is_shown_escaped(identity: str, stopped: Path) -> None:
    _changed(stopped, lambda _, metadata: metadata.update(identity=identity))
    assert "belongs to another run (" in _refused(stopped)


@pytest.mark.parametrize(
    "rows",
    [
        b"a,b\n1,2\n",
        b"step,epoch,seconds,part,name,value\nx,1,1,plan,a,1\n",
        b"\xff\xfe\n\n",
        b"h\n" + b"9" * 5000 + b",\n",
    ],
)
def test_a_log_that_is_none_is_one_clear_line(rows: bytes, stopped: Path) -> None:
    (stopped / LOG).write_bytes(rows)
    assert "not the log of a run (" in _refused(stopped)


def test_only_unfinished_files_of_the_run_are_removed(stopped: Path) -> None:
    own, other = stopped / f".{CHECKPOINT}.1-2.part", stopped / ".someone.else.part"
    for file in (own, other):
        file.write_bytes(b"unfinished")
    _fit(stopped)
    assert (own.exists(), other.exists()) == (False, True)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TrainingError, match="the folder of the run cannot be created"):
        _fit(tmp_path / "file" / "run")
