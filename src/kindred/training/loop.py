"""The loop: plan an epoch, take its steps, look how good it is, keep what is needed to go on. The same for all tasks.

Read `fit` from top to bottom; what is learned, from which batches and by which loss is the task's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from kindred._support.prefetch import prefetched
from kindred.errors import TrainingError
from kindred.training.checkpointer import Keeper, State, keeping
from kindred.training.log import Log
from kindred.training.process_group import Place

__all__ = ["Outcome", "Progress", "Schedule", "Task", "fit"]

BatchT = TypeVar("BatchT")
LOG = "log.csv"
LOG_EVERY = 10  # updates
NO_MEMORY = ("out of memory", "can't allocate memory", "ALLOC_FAILED")


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn; with the task it decides the result.

    epochs: of the task. rate: the largest learning rate, of AdamW (Loshchilov and Hutter 2019). warmup: the share of
    the run over which it rises; then it falls as a cosine to zero. decay: weight decay. accumulate: batches to one
    update. clip: the largest norm of a gradient. patience: so many epochs without a better validation end the run;
    0 never does. seed: of all that is drawn.
    """

    epochs: int = 10
    rate: float = 1e-4
    warmup: float = 0.05
    restart: float = 0.0
    again: float = 0.0
    decay: float = 1e-4
    accumulate: int = 1
    clip: float = 5.0
    patience: int = 0
    seed: int = 0

    def rate_at(self, done: float) -> float:
        """Return the learning rate after a share `done` of the run, 0 to 1."""
        if done < self.restart:
            highest, part = self.rate, done / self.restart
        else:
            highest, part = self.again if self.restart else self.rate, (done - self.restart) / (1 - self.restart)
        warm = min(1.0, (part + 1e-3) / self.warmup) if self.warmup else 1.0
        return highest * warm * 0.5 * (1 + math.cos(math.pi * min(part, 1.0)))


class Task(Protocol[BatchT]):
    """What is learned, from which batches, by which loss."""

    @property
    def module(self) -> nn.Module:
        """All that learns: what a checkpoint keeps. Already where it is to be computed."""

    @property
    def identity(self) -> Mapping[str, object]:
        """What a checkpoint must agree with before a run may go on from it."""

    @property
    def watched(self) -> str:
        """The figure of `validate` by which the best epoch is told, the higher the better; "" takes the last epoch."""

    def groups(self) -> Sequence[Mapping[str, object]]:
        """Return the optimiser's groups of parameters; a "scale" multiplies the learning rate."""

    def begin(self, epoch: int) -> Mapping[str, float]:
        """Plan an epoch, from 0; return what is worth a line in the log."""

    @property
    def steps(self) -> int:
        """How many batches the epoch that was begun, or restored, has."""

    def batch(self, step: int) -> BatchT:
        """Make a batch of the epoch; called from other threads, ahead of time."""

    def losses(self, batch: BatchT, *, done: float) -> Mapping[str, Tensor]:
        """Return the losses of a batch by name, their sum being what is made small; `done` is the run's share."""

    def describe(self, batch: BatchT) -> str:
        """Say in a few words what a batch is made of, for an error."""

    def validate(self) -> Mapping[str, float]:
        """Return figures of how good the module is now; empty where there is nothing to tell it by."""

    def state(self) -> Mapping[str, Tensor]:
        """Return what an epoch that was begun needs to go on, beside the module."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands: after `step` of the `steps` updates of an epoch, from 0."""

    epoch: int
    epochs: int
    step: int
    steps: int
    losses: Mapping[str, float]
    validation: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `before` and `after` are validations: of what it started with, and of what it returns.

    seconds: over all parts of a run, of which `planned` went into plans and `validated` into validations.
    """

    epochs: int
    best_epoch: int
    updates: int
    seconds: float
    planned: float
    validated: float
    before: Mapping[str, float]
    after: Mapping[str, float]


def fit(
    task: Task[BatchT],
    schedule: Schedule,
    folder: Path,
    *,
    place: Place,
    progress: Callable[[Progress], None] | None = None,
    checkpoint_every: float = 120.0,
) -> Outcome:
    """Train `task.module` in place, and leave it as it was after its best epoch.

    `folder` holds the checkpoint, written every so many seconds and after each epoch, from which a run that was
    stopped or killed goes on exactly; the module after the best epoch so far; and `log.csv`. Raises `TrainingError`
    where the checkpoint belongs to another run or cannot be written, where another process trains there, where a loss
    or a gradient is no number (the checkpoint is then from before that), and where memory ran out.
    """
    optimiser = torch.optim.AdamW(_groups(task, schedule), lr=schedule.rate, weight_decay=schedule.decay, fused=True)
    parameters = [each for group in optimiser.param_groups for each in group["params"]]
    identity = {**task.identity, **asdict(schedule)}
    with keeping(folder, leads=place.leads), _enough_memory():
        keeper = Keeper(folder, task, optimiser, identity=identity, place=place)
        state = keeper.restored()
        clock = _Clock(state)
        log = Log(folder / LOG, step=state.updates) if place.leads else _NoLog()
        if not state.before and not state.updates:
            state.before = _validated(task, state, log)
        while state.epoch < schedule.epochs and not _is_over(state, schedule):
            if state.update == 0:
                with clock.counting("planned"):
                    facts = task.begin(state.epoch)
                log.write(state.updates, state.epoch, state.seconds, "plan", facts)
            task.module.train()
            steps = task.steps
            share = schedule.accumulate * place.world
            updates = -(-steps // share)
            # The last update takes batches from the epoch's beginning where there are none left.
            mine = (
                (update * share + turn * place.world + place.rank) % steps
                for update in range(state.update, updates)
                for turn in range(schedule.accumulate)
            )
            with closing(prefetched(task.batch, mine)) as batches:
                while state.update < updates:
                    done = (state.epoch + state.update / updates) / schedule.epochs
                    for group in optimiser.param_groups:
                        group["lr"] = schedule.rate_at(done) * group["scale"]
                    with _named(f"epoch {state.epoch + 1}, update {state.update + 1}"):
                        losses, norm = _gradients(task, batches, parameters, schedule, place, done)
                    optimiser.step()
                    optimiser.zero_grad()
                    state.update, state.updates = state.update + 1, state.updates + 1
                    clock.tick()
                    if state.updates % LOG_EVERY == 0 or state.update == updates:
                        epoch = state.epoch + state.update / updates
                        log.write(state.updates, epoch, state.seconds, "training", {**losses, "gradient": norm})
                    if progress is not None:
                        progress(Progress(state.epoch, schedule.epochs, state.update, updates, losses))
                    if state.update < updates and clock.is_due(checkpoint_every):
                        keeper.save(state)
            state.epoch, state.update = state.epoch + 1, 0
            with clock.counting("validated"):
                validation = _validated(task, state, log)
            if not task.watched or not validation or validation[task.watched] > state.best:
                state.best = validation.get(task.watched, -math.inf)
                state.best_epoch, state.after = state.epoch, validation
                keeper.save_best()
            if progress is not None:
                progress(Progress(state.epoch - 1, schedule.epochs, updates, updates, {}, validation))
            clock.tick()
            keeper.save(state)
        if state.best_epoch != state.epoch:
            keeper.restore_best()
    task.module.eval()
    times = (state.seconds, state.planned, state.validated)
    return Outcome(state.epoch, state.best_epoch, state.updates, *times, state.before, state.after)


def _gradients(
    task: Task[BatchT],
    batches: Iterator[BatchT],
    parameters: Sequence[nn.Parameter],
    schedule: Schedule,
    place: Place,
    done: float,
) -> tuple[dict[str, float], float]:
    """Lay down the gradients of one update; return its losses and the gradients' norm before it was clipped."""
    sums: dict[str, float] = {}
    seen: list[str] = []
    for _ in range(schedule.accumulate):
        batch = next(batches)
        losses = task.losses(batch, done=done)
        (torch.stack(list(losses.values())).sum() / schedule.accumulate).backward()  # type: ignore[no-untyped-call]
        for name, loss in losses.items():
            sums[name] = sums.get(name, 0.0) + loss.item() / schedule.accumulate
        seen.append(task.describe(batch))
    place.average_gradients(parameters)
    norm = nn.utils.clip_grad_norm_(parameters, schedule.clip).item()
    if not math.isfinite(norm + sum(sums.values())):
        told = ", ".join(f"{name} {loss:.4g}" for name, loss in sums.items())
        raise TrainingError(
            f"the loss ({told}) or its gradient ({norm:.4g}) is no finite number, on {'; '.join(seen)}; "
            f"the checkpoint is from before that: lower the rate ({schedule.rate:g})"
        )
    return sums, norm


def _groups(task: Task[Any], schedule: Schedule) -> list[dict[str, object]]:
    """Return the task's groups of what learns, each with its scale."""
    groups = [{"scale": 1.0, "lr": schedule.rate, **group} for group in task.groups()]
    return [{**group, "params": [each for each in group["params"] if each.requires_grad]} for group in groups]  # type: ignore[attr-defined]


def _is_over(state: State, schedule: Schedule) -> bool:
    return bool(schedule.patience) and state.epoch - state.best_epoch >= schedule.patience


def _validated(task: Task[Any], state: State, log: Log | _NoLog) -> dict[str, float]:
    task.module.eval()
    figures = dict(task.validate())
    log.write(state.updates, state.epoch, state.seconds, "validation", figures)
    return figures


class _Clock:
    """The seconds of a run, over all its parts."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._began = time.monotonic() - state.seconds
        self._saved = time.monotonic()

    def tick(self) -> None:
        self._state.seconds = time.monotonic() - self._began

    def is_due(self, every: float) -> bool:
        due = time.monotonic() - self._saved > every
        if due:
            self._saved = time.monotonic()
        return due

    @contextmanager
    def counting(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        setattr(self._state, name, getattr(self._state, name) + time.monotonic() - began)
        self.tick()


class _NoLog:
    """What processes that do not lead write to."""

    def write(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Say where in the run an error came up."""
    try:
        yield
    except TrainingError as error:
        raise TrainingError(f"{where}: {error}") from error


@contextmanager
def _enough_memory() -> Iterator[None]:
    """Say which setting to lower where memory ran out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        told = str(error).partition("\n")[0] or "allocation failed"
        # PyTorch has an error of its own for CUDA alone, and many messages that speak of memory otherwise.
        if isinstance(error, RuntimeError) and not any(words in told for words in NO_MEMORY):
            raise
        raise TrainingError(
            f"out of memory ({told}); lower the batch or the size of the images "
            "(and raise accumulate to make up for the batch)"
        ) from error
