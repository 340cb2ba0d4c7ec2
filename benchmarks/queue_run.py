"""Real runs of processes that take batches of images from a queue, as small as this machine allows.

Used by `scaling.py queue` to check the simulation: a coordinator hands out batches under leases, processes describe
them, each on one core, and one may be killed, slowed or given an image that kills it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

BATCH, LEASE_SECONDS, TRIES = 8, 2.0, 2
RECIPE = "kin-whitened"
DUTY = 0.25  # seconds that a slow process is stopped, and then runs
Batch = tuple[list[int], int]


@dataclass(frozen=True)
class Run:
    """A run.

    slow: how many processes are stopped half of the time. kill_after: the share of the images after which one is
    killed. poison: whether the middle image kills the process that describes it.
    """

    name: str
    workers: int
    slow: int = 0
    kill_after: float | None = None
    poison: bool = False


@dataclass
class Real:
    """What was seen; times by the clock, from when all processes were ready.

    factors: how much slower each process was than the fastest. start_seconds: from a failure of a process until
    another one was ready in its place.
    """

    seconds: float = 0.0
    image_seconds: float = 0.0
    image_deviation: float = 0.0
    start_seconds: float = 0.0
    lease_seconds: float = LEASE_SECONDS
    factors: list[float] = field(default_factory=list)
    twice: int = 0
    skipped: int = 0
    killed_at: list[tuple[int, float]] = field(default_factory=list)


class _Coordinator:
    def __init__(self, run: Run, files: Sequence[Path]) -> None:
        self.run, self.files = run, files
        numbers = list(range(len(files)))
        self.queue: deque[Batch] = deque((numbers[at : at + BATCH], 0) for at in range(0, len(numbers), BATCH))
        self.poison = len(files) // 2 if run.poison else -1
        self.context = multiprocessing.get_context("spawn")
        self.processes: dict[int, tuple[BaseProcess, Connection]] = {}
        self.held: dict[int, tuple[Batch, float]] = {}
        self.expiring: list[tuple[float, Batch]] = []
        self.times: dict[int, list[float]] = {}
        self.real = Real()
        self.done = 0
        self.starts: list[float] = []
        self.ready: set[int] = set()

    def start(self, worker: int) -> None:
        ours, theirs = self.context.Pipe()
        arguments = (theirs, [str(file) for file in self.files], worker % (os.cpu_count() or 1), self.poison)
        process = self.context.Process(target=_describe, args=arguments, daemon=True)
        process.start()
        theirs.close()
        self.processes[worker] = process, ours

    def execute(self) -> Real:
        for worker in range(self.run.workers):
            self.start(worker)
        for _, connection in self.processes.values():
            connection.recv()  # ready: its network is loaded
        self.ready = set(self.processes)
        self.began, stop = time.monotonic(), threading.Event()
        slowed = [threading.Thread(target=self.slow, args=(worker, stop)) for worker in range(self.run.slow)]
        for thread in slowed:
            thread.start()
        for worker in list(self.processes):
            self.give(worker)
        while self.held or self.expiring or self.queue:
            self.step()
        self.real.seconds = time.monotonic() - self.began
        stop.set()
        for thread in slowed:
            thread.join()
        for process, connection in self.processes.values():
            connection.close()
            process.join()
        return self.finished()

    def step(self) -> None:
        connections = {connection: worker for worker, (_, connection) in self.processes.items()}
        for ready in wait(list(connections), timeout=0.02):
            assert isinstance(ready, Connection)
            self.answered(connections[ready], ready)
        now = time.monotonic()
        for at, batch in [each for each in self.expiring if each[0] <= now]:
            self.expiring.remove((at, batch))
            self.requeue(batch)
        for worker in set(self.processes) - set(self.held):
            self.give(worker)
        share = self.run.kill_after
        if share is not None and not self.real.killed_at and self.done >= share * len(self.files):
            process, _ = self.processes[self.run.workers - 1]
            process.kill()
            self.real.killed_at.append((self.run.workers - 1, now - self.began))

    def answered(self, worker: int, connection: Connection) -> None:
        process, _ = self.processes[worker]
        try:
            answer = connection.recv()
        except EOFError:
            del self.processes[worker]
            self.ready.discard(worker)
            process.join()
            if worker in self.held:
                batch, _ = self.held.pop(worker)
                self.real.twice += len(batch[0])
                self.expiring.append((time.monotonic() + LEASE_SECONDS, batch))
            if not self.real.killed_at or worker != self.real.killed_at[0][0]:
                self.starts.append(-time.monotonic())
                self.start(worker)
            return
        if answer == "ready":
            self.starts[-1] += time.monotonic()
            self.ready.add(worker)
            return
        batch, began = self.held.pop(worker)
        self.done += len(batch[0])
        if len(batch[0]) == BATCH:
            self.times.setdefault(worker, []).append((time.monotonic() - began) / len(batch[0]))

    def give(self, worker: int) -> None:
        if self.queue and worker in self.ready:
            batch = self.queue.popleft()
            self.held[worker] = batch, time.monotonic()
            self.processes[worker][1].send(batch[0])

    def requeue(self, batch: Batch) -> None:
        numbers, tries = batch[0], batch[1] + 1
        if tries < TRIES:
            self.queue.appendleft((numbers, tries))
        elif len(numbers) > 1:
            self.queue.extendleft(([number], 0) for number in reversed(numbers))
        else:
            self.real.skipped += 1

    def slow(self, worker: int, stop: threading.Event) -> None:
        process = self.processes[worker][0]
        assert process.pid is not None
        while not stop.is_set():
            os.kill(process.pid, signal.SIGSTOP)
            stop.wait(DUTY)
            os.kill(process.pid, signal.SIGCONT)
            stop.wait(DUTY)

    def finished(self) -> Real:
        means = {worker: float(np.mean(times)) for worker, times in self.times.items()}
        least = min(means.values())
        ratios = [time / means[worker] for worker, times in self.times.items() for time in times]
        self.real.factors = [means.get(worker, least) / least for worker in range(self.run.workers)]
        self.real.image_seconds = least
        self.real.image_deviation = float(np.std(ratios)) * least * BATCH**0.5
        self.real.start_seconds = float(np.mean(self.starts)) if self.starts else 0.0
        return self.real


def execute(run: Run, files: Sequence[Path]) -> Real:
    """Describe files as a run says, and return what was seen."""
    return _Coordinator(run, files).execute()


def _describe(connection: Connection, files: Sequence[str], core: int, poison: int) -> None:
    """A process: describe the batches that come, on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    from kindred.describer import Describer
    from kindred.recipe import Recipe

    describer = Describer(Recipe.load(RECIPE), workers=1)
    describer.describe(files[0])
    connection.send("ready")
    while True:
        try:
            numbers = connection.recv()
        except EOFError:
            return
        for number in numbers:
            if number == poison:
                os._exit(9)
            describer.describe(files[number])
        connection.send(len(numbers))
