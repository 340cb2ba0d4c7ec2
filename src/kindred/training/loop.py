"""The training loop, the same for all tasks: plan an epoch, take its steps, validate, checkpoint.

Read `fit` and `_Run` from top to bottom. What is trained, on which batches and by which loss is the `Task`'s.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from kindred._support.prefetch import prefetched
from kindred.errors import TrainingError
from kindred.training.checkpointer import Checkpointer, RunState
from kindred.training.log import Log
from kindred.training.process_group import ProcessGroup
from kindred.training.run_folder import LOG, exclusive_run_folder

__all__ = ["FitResult", "Progress", "Schedule", "Task", "fit"]

BatchT = TypeVar("BatchT")
LOG_EVERY = 10  # updates
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "ALLOC_FAILED")


@dataclass(frozen=True)
class Schedule:
    """How long and at which learning rate to train; with the task it decides the result.

    epochs: how many. rate: the largest learning rate, of AdamW (Loshchilov and Hutter 2019). warmup: the share of the
    run over which it rises linearly; then it falls to zero as a cosine. restart_at: the share of the run after which
    warm-up and cosine begin again, with `restart_rate` as the largest rate; 0 for none. decay: weight decay.
    accumulate: batches whose gradients are summed up for one update. clip: the largest norm of a gradient. patience:
    the run ends after this many epochs without a better validation; 0 for never. seed: of all random choices.
    """

    epochs: int = 10
    rate: float = 1e-4
    warmup: float = 0.05
    restart_at: float = 0.0
    restart_rate: float = 0.0
    decay: float = 1e-4
    accumulate: int = 1
    clip: float = 5.0
    patience: int = 0
    seed: int = 0

    def rate_at(self, done: float) -> float:
        """Return the learning rate after a share `done` of the run, 0 to 1."""
        if done < self.restart_at:
            highest, part = self.rate, done / self.restart_at
        else:
            highest = self.restart_rate if self.restart_at else self.rate
            part = (done - self.restart_at) / (1 - self.restart_at)
        warm = min(1.0, (part + 1e-3) / self.warmup) if self.warmup else 1.0
        return highest * warm * 0.5 * (1 + math.cos(math.pi * min(part, 1.0)))


class Task(Protocol[BatchT]):
    """What is trained, on which batches, by which loss."""

    @property
    def module(self) -> nn.Module:
        """All that is trained and stored in a checkpoint, already on its device."""

    @property
    def identity(self) -> Mapping[str, object]:
        """The values that must be equal for a run to resume from a checkpoint: options, and digests of the data."""

    @property
    def monitor(self) -> str:
        """The metric of `validate` that chooses the best epoch, higher is better; "" takes the last epoch."""

    def parameter_groups(self) -> Sequence[Mapping[str, object]]:
        """Return the optimiser's groups of parameters; the key "scale" multiplies the learning rate of a group."""

    def begin_epoch(self, epoch: int) -> Mapping[str, float]:
        """Plan an epoch, from 0; return numbers for the log."""

    @property
    def steps(self) -> int:
        """How many batches the current epoch has."""

    def make_batch(self, step: int) -> BatchT:
        """Make a batch of the current epoch; called from other threads, ahead of time."""

    def losses(self, batch: BatchT, *, done: float) -> Mapping[str, Tensor]:
        """Return the losses of a batch by name, whose sum is minimised; `done` is the share of the run, 0 to 1."""

    def describe_batch(self, batch: BatchT) -> str:
        """Describe in a few words what a batch consists of, for an error."""

    def validate(self) -> Mapping[str, float]:
        """Return metrics of the current module; empty if there is nothing to validate on."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return what the current epoch needs to resume, beside the module."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned; raises ValueError or KeyError for anything else."""


Stage: TypeAlias = Literal["preparing", "planning", "training", "validating", "exporting"]


@dataclass(frozen=True)
class Progress:
    """The progress of a run: after update `step` of the `steps` of an epoch, from 0; with validation metrics.

    In the stage "training" it comes after what it reports, in all others before it.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    losses: Mapping[str, float]
    validation: Mapping[str, float] = field(default_factory=dict)
    stage: Stage = "training"


def announce(progress: Callable[[Progress], None] | None, stage: Stage) -> None:
    """Report that a stage outside the epochs of a run begins."""
    if progress is not None:
        progress(Progress(0, 0, 0, 0, {}, stage=stage))


@dataclass(frozen=True)
class FitResult:
    """The result of a run.

    epochs: that were trained. best_epoch: from 1, the one whose module is returned. updates: of the optimiser.
    seconds: over all sessions of the run, of which `planning_seconds` and `validation_seconds` went there. before,
    after: metrics of the initial and of the returned module.
    """

    epochs: int
    best_epoch: int
    updates: int
    seconds: float
    planning_seconds: float
    validation_seconds: float
    before: Mapping[str, float]
    after: Mapping[str, float]


def fit(
    task: Task[BatchT],
    schedule: Schedule,
    folder: Path,
    *,
    processes: ProcessGroup,
    progress: Callable[[Progress], None] | None = None,
    checkpoint_every: float = 120.0,
) -> FitResult:
    """Train `task.module` in place; it ends with the weights of the best epoch.

    `folder` contains the checkpoint, written every `checkpoint_every` seconds and after each epoch, from which a
    stopped or killed run resumes exactly; the module after the best epoch so far; and `log.csv`. Raises TrainingError
    if the checkpoint belongs to another run, is damaged or cannot be written, if another process trains in the folder,
    if a loss or a gradient is not finite (the checkpoint is then from before that), and if memory runs out.
    """
    with exclusive_run_folder(folder, is_main=processes.is_main), _explain_out_of_memory():
        run = _Run(task, schedule, folder, processes, progress, checkpoint_every)
        state = run.state
        if not state.before and not state.updates:
            state.before = run.validate()
        while state.epoch < schedule.epochs and not run.is_out_of_patience():
            if state.update == 0:
                run.plan_epoch()
            run.train_epoch()
            run.finish_epoch()
        if state.best_epoch != state.epoch:
            run.checkpointer.restore_best()
    task.module.eval()
    times = (state.seconds, state.planning_seconds, state.validation_seconds)
    return FitResult(state.epoch, state.best_epoch, state.updates, *times, state.before, state.after)


class _Run(Generic[BatchT]):
    """One session of a run, from its checkpoint or from the beginning."""

    def __init__(
        self,
        task: Task[BatchT],
        schedule: Schedule,
        folder: Path,
        processes: ProcessGroup,
        progress: Callable[[Progress], None] | None,
        checkpoint_every: float,
    ) -> None:
        self._task, self._schedule, self._processes = task, schedule, processes
        self._progress, self._checkpoint_every = progress, checkpoint_every
        self._optimiser = torch.optim.AdamW(
            _parameter_groups(task, schedule), lr=schedule.rate, weight_decay=schedule.decay, fused=True
        )
        self._parameters = [each for group in self._optimiser.param_groups for each in group["params"]]
        identity = {**task.identity, **asdict(schedule)}
        self.checkpointer = Checkpointer(folder, task, self._optimiser, identity=identity, processes=processes)
        self.state = self.checkpointer.restore()
        self._clock = _Clock(self.state)
        self._log = Log(folder / LOG, step=self.state.updates) if processes.is_main else None

    def is_out_of_patience(self) -> bool:
        """Return whether `patience` epochs have passed without a better validation."""
        patience = self._schedule.patience
        return bool(patience) and self.state.epoch - self.state.best_epoch >= patience

    def plan_epoch(self) -> None:
        """Let the task plan the epoch, and log the facts of the plan."""
        self._report(Progress(self.state.epoch, self._schedule.epochs, 0, 0, {}, stage="planning"))
        with self._clock.measure("planning_seconds"):
            facts = self._task.begin_epoch(self.state.epoch)
        self._write_log(self.state.epoch, "plan", facts)

    def train_epoch(self) -> None:
        """Take the updates of the epoch that are left."""
        task, state, schedule = self._task, self.state, self._schedule
        task.module.train()
        steps, per_update = task.steps, schedule.accumulate * self._processes.world_size
        updates = -(-steps // per_update)
        # If the batches do not suffice for the last update, it continues with those at the beginning of the epoch.
        own = (
            (update * per_update + turn * self._processes.world_size + self._processes.rank) % steps
            for update in range(state.update, updates)
            for turn in range(schedule.accumulate)
        )
        with closing(prefetched(task.make_batch, own)) as batches:
            while state.update < updates:
                losses, norm = self._update(batches, updates)
                if state.updates % LOG_EVERY == 0 or state.update == updates:
                    epoch = state.epoch + state.update / updates
                    self._write_log(epoch, "training", {**losses, "gradient": norm})
                self._report(Progress(state.epoch, schedule.epochs, state.update, updates, losses))
                if state.update < updates and self._clock.is_due(self._checkpoint_every):
                    self.checkpointer.save(state)

    def finish_epoch(self) -> None:
        """Validate, store the module if it is the best so far, and write the checkpoint."""
        task, state = self._task, self.state
        updates, state.epoch, state.update = state.update, state.epoch + 1, 0
        with self._clock.measure("validation_seconds"):
            metrics = self.validate()
        if not task.monitor or not metrics or metrics[task.monitor] > state.best:
            state.best = metrics.get(task.monitor, -math.inf)
            state.best_epoch, state.after = state.epoch, metrics
            self.checkpointer.save_best()
        self._report(Progress(state.epoch - 1, self._schedule.epochs, updates, updates, {}, metrics))
        self._clock.tick()
        self.checkpointer.save(state)

    def validate(self) -> dict[str, float]:
        """Return the metrics of the current module, and log them."""
        self._report(Progress(self.state.epoch, self._schedule.epochs, 0, 0, {}, stage="validating"))
        self._task.module.eval()
        metrics = dict(self._task.validate())
        self._write_log(self.state.epoch, "validation", metrics)
        return metrics

    def _update(self, batches: Iterator[BatchT], updates: int) -> tuple[dict[str, float], float]:
        """Take one update; return its losses, and the norm of the gradient before it was clipped."""
        state = self.state
        done = (state.epoch + state.update / updates) / self._schedule.epochs
        for group in self._optimiser.param_groups:
            group["lr"] = self._schedule.rate_at(done) * group["scale"]
        with _errors_located_at(f"epoch {state.epoch + 1}, update {state.update + 1}"):
            losses, norm = self._gradients(batches, done)
        self._optimiser.step()
        self._optimiser.zero_grad()
        state.update, state.updates = state.update + 1, state.updates + 1
        self._clock.tick()
        return losses, norm

    def _gradients(self, batches: Iterator[BatchT], done: float) -> tuple[dict[str, float], float]:
        """Compute the gradients of one update; return its losses, and the gradients' norm before clipping."""
        task, schedule = self._task, self._schedule
        sums: dict[str, float] = {}
        contents: list[str] = []
        for _ in range(schedule.accumulate):
            batch = next(batches)
            losses = task.losses(batch, done=done)
            (torch.stack(list(losses.values())).sum() / schedule.accumulate).backward()  # type: ignore[no-untyped-call]
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0.0) + loss.item() / schedule.accumulate
            contents.append(task.describe_batch(batch))
        self._processes.average_gradients(self._parameters)
        norm = nn.utils.clip_grad_norm_(self._parameters, schedule.clip).item()
        if not math.isfinite(norm + sum(sums.values())):
            shown = ", ".join(f"{name} {loss:.4g}" for name, loss in sums.items())
            raise TrainingError(
                f"the loss ({shown}) or its gradient ({norm:.4g}) is not finite, on {'; '.join(contents)}; "
                f"the checkpoint is from before that: lower the rate ({schedule.rate:g})"
            )
        return sums, norm

    def _write_log(self, epoch: float, part: str, values: Mapping[str, float]) -> None:
        if self._log is not None:
            self._log.write(self.state.updates, epoch, self.state.seconds, part, values)

    def _report(self, here: Progress) -> None:
        if self._progress is not None:
            self._progress(here)


def _parameter_groups(task: Task[BatchT], schedule: Schedule) -> list[dict[str, object]]:
    """Return the task's groups of the parameters that are trained, each with its scale."""
    groups = [{"scale": 1.0, "lr": schedule.rate, **group} for group in task.parameter_groups()]
    return [{**group, "params": [each for each in group["params"] if each.requires_grad]} for group in groups]  # type: ignore[attr-defined]


class _Clock:
    """Counts the seconds of a run over all its sessions, in its state."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._began = time.monotonic() - state.seconds
        self._saved = time.monotonic()

    def tick(self) -> None:
        """Bring the seconds of the state up to date."""
        self._state.seconds = time.monotonic() - self._began

    def is_due(self, every: float) -> bool:
        """Return whether `every` seconds have passed since this last returned True."""
        due = time.monotonic() - self._saved > every
        if due:
            self._saved = time.monotonic()
        return due

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the seconds of the block to this field of the state."""
        began = time.monotonic()
        yield
        setattr(self._state, name, getattr(self._state, name) + time.monotonic() - began)
        self.tick()


@contextmanager
def _errors_located_at(where: str) -> Iterator[None]:
    """Prefix the message of a TrainingError with the position in the run."""
    try:
        yield
    except TrainingError as error:
        raise TrainingError(f"{where}: {error}") from error


@contextmanager
def _explain_out_of_memory() -> Iterator[None]:
    """Name the settings to lower where memory runs out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        reason = str(error).partition("\n")[0] or "allocation failed"
        # PyTorch has its own error only for CUDA; others are RuntimeErrors with varying messages.
        if isinstance(error, RuntimeError) and not any(words in reason for words in OUT_OF_MEMORY):
            raise
        raise TrainingError(
            f"out of memory ({reason}); lower the batch or the size of the images "
            "(and raise accumulate to make up for the batch)"
        ) from error
