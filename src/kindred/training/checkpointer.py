"""Keeper: what a run needs to go on from, in its folder: the checkpoint, and the module after the best epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from kindred.errors import TrainingError
from kindred.training.checkpoint import load_checkpoint, save_checkpoint
from kindred.training.process_group import Place

__all__ = ["Keepable", "Keeper", "State", "keeping"]

CHECKPOINT, BEST, LOCK = "checkpoint.safetensors", "best.safetensors", "lock"


class Keepable(Protocol):
    """What is kept of a task; see `kindred.training.loop.Task`."""

    @property
    def module(self) -> nn.Module:
        """All that learns."""

    def state(self) -> Mapping[str, Tensor]:
        """Return what is needed beside it."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""


@dataclass
class State:
    """Where a run is; with the tensors it is what a checkpoint holds."""

    epoch: int = 0
    update: int = 0  # within the epoch
    updates: int = 0  # of the run
    seconds: float = 0.0
    planned: float = 0.0
    validated: float = 0.0
    best: float = -math.inf
    best_epoch: int = 0
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)


class Keeper:
    """Writes and reads the checkpoint of a run, and its best module; only the leading process writes.

    identity: what a checkpoint must agree with before a run may go on from it.
    """

    def __init__(
        self,
        folder: Path,
        task: Keepable,
        optimiser: torch.optim.Optimizer,
        *,
        identity: Mapping[str, object],
        place: Place,
    ) -> None:
        self._file, self._best = folder / CHECKPOINT, folder / BEST
        self._task, self._optimiser, self._place = task, optimiser, place
        self._identity = json.dumps(identity, sort_keys=True)

    def save(self, state: State) -> None:
        """Write the checkpoint; the one before stays whole until it is."""
        if not self._place.leads:
            return
        tensors = {f"module.{name}": value for name, value in self._task.module.state_dict().items()}
        for number, values in self._optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{key}": value for key, value in values.items()}
        tensors |= {f"task.{name}": value for name, value in self._task.state().items()}
        facts = {"identity": self._identity, "state": json.dumps(asdict(state))}
        save_checkpoint(self._file, tensors, facts)

    def save_best(self) -> None:
        """Keep the module as it is."""
        if self._place.leads:
            save_checkpoint(self._best, self._task.module.state_dict(), {"identity": self._identity})

    def restore_best(self) -> None:
        """Make the module what it was when it was best."""
        self._place.wait()
        tensors, _ = load_checkpoint(self._best)
        self._task.module.load_state_dict(tensors)

    def restored(self) -> State:
        """Return where the run was left, all tensors put back; a new one where there is no checkpoint.

        Raises TrainingError where the checkpoint belongs to another run or network, or is damaged.
        """
        if not self._file.exists():
            return State()
        tensors, facts = load_checkpoint(self._file)
        if facts.get("identity") != self._identity:
            raise TrainingError(
                f"{self._file}: belongs to another run ({self._unlike(facts)}); give another folder, or remove it"
            )

        def part(prefix: str) -> dict[str, Tensor]:
            return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}

        self._restore_module(part("module."))
        self._restore_optimiser(part("optimiser."))
        self._task.restore(part("task."))
        return State(**json.loads(facts["state"]))

    def _restore_module(self, tensors: Mapping[str, Tensor]) -> None:
        theirs, mine = _shapes(tensors), _shapes(self._task.module.state_dict())
        unlike = [name for name in {**mine, **theirs} if theirs.get(name) != mine.get(name)]
        if unlike:
            name = unlike[0]
            raise TrainingError(
                f"{self._file}: belongs to another network ({name} {theirs.get(name)}, now {mine.get(name)}); "
                "give another folder, or remove it"
            )
        self._task.module.load_state_dict(tensors)

    def _restore_optimiser(self, tensors: Mapping[str, Tensor]) -> None:
        parameters = [each for group in self._optimiser.param_groups for each in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            number, key = name.split(".", 1)
            like = parameters[int(number)]
            # The fused optimiser walks memory: its averages must lie in memory as their parameter does.
            laid = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
            state.setdefault(int(number), {})[key] = laid
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": state, "param_groups": groups})

    def _unlike(self, facts: Mapping[str, str]) -> str:
        """Name what differs between the run of the checkpoint and this one."""
        theirs, mine = json.loads(facts.get("identity", "{}")), json.loads(self._identity)
        keys = [key for key in {**theirs, **mine} if theirs.get(key) != mine.get(key)]
        return ", ".join(f"{key} {theirs.get(key)!r}, now {mine.get(key)!r}" for key in keys[:3])


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in tensors.items()}


@contextmanager
def keeping(folder: Path, *, leads: bool) -> Iterator[None]:
    """Keep a run's folder for this process alone, and clear what a kill left half written.

    Raises TrainingError where another process trains in it.
    """
    if not leads:
        yield
        return
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise TrainingError(f"{folder}: another process trains here; wait for it, or give another output") from None
    try:
        for part in folder.glob(".*.part"):
            with suppress(OSError):
                part.unlink()
        yield
    finally:
        lock.release()
