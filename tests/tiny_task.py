"""A task for the training loop that takes milliseconds: numbers to a curve, from batches that follow from the module.

Run as a program it trains in a folder, as one process or as one of several that torchrun started, and may be killed:
`python tiny_task.py FOLDER KILL_AT ACCUMULATE`. `KILL_AT` is an update of the run, or "write" for amid the third file
that is written, or "never".
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from kindred.training.loop import FitResult, Progress, Schedule, fit
from kindred.training.process_group import ProcessGroup, join_process_group

__all__ = ["HERE", "SCHEDULE", "Points", "TinyTask"]

HERE = ProcessGroup(torch.device("cpu"))
SCHEDULE = Schedule(epochs=3, rate=0.02, seed=3)
COUNT = 24


@dataclass(frozen=True, eq=False)
class Points:
    """Numbers (B,) of the points of a batch, where they are (B, 3), and their values (B,)."""

    numbers: Tensor
    x: Tensor
    y: Tensor


class TinyTask:
    """Points to values, by a network without batch norm; an epoch's plan begins with what the network knows least.

    scores: those of the validations, the first of them before the training; None for the true ones.
    """

    def __init__(
        self,
        *,
        seed: int = 3,
        batches: int = 4,
        scores: Sequence[float] | None = None,
        monitor: str = "score",
        identity: Mapping[str, object] | None = None,
    ) -> None:
        rng = torch.Generator().manual_seed(seed)
        self.module: nn.Module = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
        with torch.no_grad():
            for parameter in self.module.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=rng) * 0.3)
        same = torch.Generator().manual_seed(0)
        self.x = torch.randn(COUNT, 3, generator=same)
        self.y = torch.sin(self.x.sum(dim=1))
        self.monitor, self.identity = monitor, dict(identity or {"task": "tiny"})
        self.begun: list[int] = []
        self.made: list[int] = []
        self._batches, self._seed, self._scores = batches, seed, scores
        self._plan = torch.zeros(0, 0, dtype=torch.int64)
        self._validated = 0

    def parameter_groups(self) -> Sequence[Mapping[str, object]]:
        first, _, last = self.module.children()
        return [{"params": list(first.parameters())}, {"params": list(last.parameters()), "scale": 2.0}]

    def begin_epoch(self, epoch: int) -> Mapping[str, float]:
        self.begun.append(epoch)
        noise = np.random.default_rng([self._seed, epoch]).uniform(0, 0.1, COUNT)
        order = np.argsort(noise - self._errors().numpy())
        self._plan = torch.from_numpy(order.reshape(self._batches, -1))
        return {"hardest": float(order[0])}

    @property
    def steps(self) -> int:
        return len(self._plan)

    def make_batch(self, step: int) -> Points:
        self.made.append(step)
        numbers = self._plan[step]
        return Points(numbers, self.x[numbers], self.y[numbers])

    def losses(self, batch: Points, *, done: float) -> Mapping[str, Tensor]:
        del done
        found = self.module(batch.x)[:, 0]
        large = torch.stack([parameter.square().sum() for parameter in self.module.parameters()]).sum()
        return {"square": (found - batch.y).square().mean(), "weights": 0.001 * large}

    def describe_batch(self, batch: Points) -> str:
        return f"points {' '.join(map(str, batch.numbers.tolist()))}"

    def validate(self) -> Mapping[str, float]:
        self._validated += 1
        if self._scores is not None:
            return {"score": self._scores[self._validated - 1]}
        return {"score": -float(self._errors().mean())}

    def state_dict(self) -> Mapping[str, Tensor]:
        return {"plan": self._plan, "validated": torch.tensor(self._validated)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._plan, self._validated = state["plan"], int(state["validated"])

    def _errors(self) -> Tensor:
        with torch.no_grad():
            found: Tensor = (self.module(self.x)[:, 0] - self.y).square()
        return found


def _train(folder: Path, kill_at: str, accumulate: int) -> FitResult:
    """Train with a checkpoint after each update; keep the weights, and how many files were written, for each rank."""
    updates = writes = 0
    fsync = os.fsync

    def count(here: Progress) -> None:
        nonlocal updates
        updates += not here.validation
        if str(updates) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def written(file: int) -> None:
        nonlocal writes
        writes += 1
        if (kill_at, writes) == ("write", 3):
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(file)

    os.fsync = written  # type: ignore[assignment]
    task, schedule = TinyTask(), replace(SCHEDULE, accumulate=accumulate)
    with join_process_group("cpu", threads=1) as processes:
        done = fit(task, schedule, folder, processes=processes, progress=count, checkpoint_every=0)
        torch.save({**task.module.state_dict(), "writes": torch.tensor(writes)}, folder / f"rank{processes.rank}.pth")
    return done


if __name__ == "__main__":
    _train(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
