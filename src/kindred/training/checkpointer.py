"""The checkpointer: saves and restores the state of a run and the module after the best epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from kindred.errors import TrainingError, UsageError
from kindred.training.checkpoint import load_checkpoint, save_checkpoint
from kindred.training.process_group import ProcessGroup
from kindred.training.run_folder import BEST, CHECKPOINT

__all__ = ["Checkpointable", "Checkpointer", "RunState"]

FORMAT = "2"  # of the checkpoint; incremented with every incompatible change
MAX_TASK_BYTES = 2 * 2**30  # of a task's own state: the plan of an epoch of millions of images
MAX_HEADER_BYTES = 2**27  # safetensors itself takes 100 MB
MAX_METRICS, MAX_NAME = 1000, 200
OPTIMISER_KEYS = {"step", "exp_avg", "exp_avg_sq"}  # of AdamW, for each parameter


class Checkpointable(Protocol):
    """The part of a task that is stored; see `kindred.training.loop.Task`."""

    @property
    def module(self) -> nn.Module:
        """All that is trained."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the state beside the module."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""


@dataclass
class RunState:
    """The progress of a run; together with the tensors it is the content of a checkpoint.

    epoch: number of complete epochs. update: updates within the current epoch. updates: of the whole run. seconds: over
    all sessions, including `planning_seconds` and `validation_seconds`. best, best_epoch: the best value of the
    monitored metric, and its epoch. before, after: metrics of the initial and of the best module.
    """

    epoch: int = 0
    update: int = 0
    updates: int = 0
    seconds: float = 0.0
    planning_seconds: float = 0.0
    validation_seconds: float = 0.0
    best: float = -math.inf
    best_epoch: int = 0
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> RunState:
        """Restore from `json.dumps(asdict(state))`; raises ValueError for anything else."""
        stored = json.loads(text)
        if not isinstance(stored, dict) or stored.keys() != {each.name for each in fields(cls)}:
            raise ValueError("the state of the run has other fields than expected")
        for name in ("epoch", "update", "updates", "best_epoch"):
            if type(stored[name]) is not int or not 0 <= stored[name] < 2**53:
                raise ValueError(f"{name} is not a number from 0")
        for name in ("seconds", "planning_seconds", "validation_seconds"):
            if not _is_number(stored[name]) or not 0 <= stored[name] < math.inf:
                raise ValueError(f"{name} is not a duration")
        if not _is_number(stored["best"]):
            raise ValueError("best is not a number")
        for name in ("before", "after"):
            _check_metrics(name, stored[name])
        return cls(**stored)


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _check_metrics(name: str, metrics: object) -> None:
    if not isinstance(metrics, dict) or len(metrics) > MAX_METRICS or not all(map(_is_number, metrics.values())):
        raise ValueError(f"{name} is not a table of metrics")
    if any(len(key) > MAX_NAME or not key.isprintable() for key in metrics):
        raise ValueError(f"{name} has an unprintable name")


class Checkpointer:
    """Saves and restores the checkpoint of a run and its best module; only the main process writes.

    identity: values that must be equal for a run to resume: options, and digests of the data.
    """

    def __init__(
        self,
        folder: Path,
        task: Checkpointable,
        optimiser: torch.optim.Optimizer,
        *,
        identity: Mapping[str, object],
        processes: ProcessGroup,
    ) -> None:
        self._file, self._best = folder / CHECKPOINT, folder / BEST
        self._task, self._optimiser, self._processes = task, optimiser, processes
        self._identity = json.dumps(identity, sort_keys=True)
        self._module_bytes = sum(each.nbytes for each in task.module.state_dict().values())

    def save(self, state: RunState) -> None:
        """Write the checkpoint; the previous one remains until the new one is complete."""
        if not self._processes.is_main:
            return
        tensors = {f"module.{name}": value for name, value in self._task.module.state_dict().items()}
        for number, values in self._optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{key}": value for key, value in values.items()}
        tensors |= {f"task.{name}": value for name, value in self._task.state_dict().items()}
        save_checkpoint(self._file, tensors, {**self._metadata(), "state": json.dumps(asdict(state))})

    def save_best(self) -> None:
        """Store the current module as the best one."""
        if self._processes.is_main:
            save_checkpoint(self._best, self._task.module.state_dict(), self._metadata())

    def restore_best(self) -> None:
        """Load the best module; raises TrainingError if its file is damaged or belongs to another run."""
        self._processes.barrier()
        tensors, metadata = load_checkpoint(self._best, max_bytes=self._module_bytes + MAX_HEADER_BYTES)
        self._check_identity(self._best, metadata)
        self._restore_module(self._best, tensors)

    def restore(self) -> RunState:
        """Load the checkpoint and return the state of the run; a new state if there is no checkpoint.

        Raises TrainingError if the checkpoint belongs to another run, another network or another version of Kindred, or
        is damaged.
        """
        if not self._file.is_symlink() and not self._file.exists():
            return RunState()
        # The optimiser stores two averages per parameter.
        tensors, metadata = load_checkpoint(
            self._file, max_bytes=3 * self._module_bytes + MAX_TASK_BYTES + MAX_HEADER_BYTES
        )
        self._check_identity(self._file, metadata)

        def part(prefix: str) -> dict[str, Tensor]:
            return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}

        try:
            state = RunState.from_json(metadata["state"])
            self._restore_module(self._file, part("module."))
            self._restore_optimiser(part("optimiser."))
            self._task.load_state_dict(part("task."))
        except (KeyError, ValueError, TypeError, IndexError, RuntimeError, RecursionError, UsageError) as error:
            if isinstance(error, RuntimeError) and "memory" in str(error):
                raise
            reason = " ".join(str(error).split())[:200]
            raise TrainingError(f"{self._file}: a damaged checkpoint ({reason}); remove it to start again") from error
        return state

    def _metadata(self) -> dict[str, str]:
        return {"format": FORMAT, "identity": self._identity}

    def _check_identity(self, file: Path, metadata: Mapping[str, str]) -> None:
        if metadata.get("format") != FORMAT:
            raise TrainingError(
                f"{file}: written by another version of Kindred, whose runs cannot be resumed; remove {file.parent}, "
                "or give another output"
            )
        if metadata.get("identity") != self._identity:
            raise TrainingError(
                f"{file}: belongs to another run ({self._differences(metadata)}); give another output, or remove "
                f"{file.parent}"
            )

    def _restore_module(self, file: Path, tensors: Mapping[str, Tensor]) -> None:
        stored, expected = _shapes(tensors), _shapes(self._task.module.state_dict())
        different = [name for name in {**expected, **stored} if stored.get(name) != expected.get(name)]
        if different:
            name = different[0]
            raise TrainingError(
                f"{file}: belongs to another network ({_shown(name)} {stored.get(name)}, now {expected.get(name)}); "
                f"give another output, or remove {file.parent}"
            )
        if not all(value.isfinite().all() for value in tensors.values() if value.is_floating_point()):
            raise TrainingError(f"{file}: a damaged checkpoint (weights are not finite); remove it to start again")
        self._task.module.load_state_dict(tensors)

    def _restore_optimiser(self, tensors: Mapping[str, Tensor]) -> None:
        parameters = [each for group in self._optimiser.param_groups for each in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            number, key = name.split(".", 1)
            parameter = parameters[int(number)]
            if key not in OPTIMISER_KEYS or value.shape != (() if key == "step" else parameter.shape):
                raise ValueError(f"the optimiser has no {name} {tuple(value.shape)}")
            # The fused optimiser walks memory: its averages must have the memory layout of their parameter.
            laid = value if key == "step" else torch.empty_like(parameter).copy_(value)
            state.setdefault(int(number), {})[key] = laid
        if any(values.keys() != OPTIMISER_KEYS for values in state.values()):
            raise ValueError("the optimiser's state is incomplete")
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": state, "param_groups": groups})

    def _differences(self, metadata: Mapping[str, str]) -> str:
        """Return what differs between the run of the checkpoint and this one, at most three keys."""
        ours = json.loads(self._identity)
        try:
            theirs = json.loads(metadata.get("identity", "{}"))
        except (ValueError, RecursionError):
            theirs = None
        if not isinstance(theirs, dict):
            return "its identity cannot be read"
        keys = [key for key in {**theirs, **ours} if theirs.get(key) != ours.get(key)]
        return ", ".join(
            f"{_shown(key)} {_shown(repr(theirs.get(key)))}, now {_shown(repr(ours.get(key)))}" for key in keys[:3]
        )


def _shown(text: str, most: int = 100) -> str:
    """Return text from a file for display: printable and shortened."""
    printable = text if text.isprintable() else repr(text)
    return printable if len(printable) <= most else f"{printable[: most - 1]}…"


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in tensors.items()}
