"""Simulate the indexing of very many images by many processes that take batches from one queue.

    python benchmarks/simulation.py

Plain Python: an event for each batch that ends and each process that fails or comes back. A process takes a batch under
a lease, reads and describes its images, and commits. Reading overlaps with describing, and all processes share the
bandwidth of the store of the originals; commits are one after another on the database, and a process waits for its own.
If a process fails, its batch is given to another one when the lease has run out; after two tries its images are given
out one by one, and an image that failed twice is skipped. Service times are normal with the measured mean and an
assumed deviation of an image; times to a failure are exponential.

The runs of docs/scaling.md are in `runs`; the script writes their results into docs/scaling.json. Without times to
failures and with the times of a real run, the same code is compared with that run (`scaling.py queue`).
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "docs" / "scaling.json"
TRIES = 2


@dataclass(frozen=True)
class Job:
    """What is to be indexed. poison: images that kill the process that describes them. bytes_read: of an image."""

    images: int
    batch: int = 1000
    lease_seconds: float = 60.0
    poison: int = 0
    bytes_read: float = 0.0


@dataclass(frozen=True)
class Machines:
    """The processes and what they share; times in seconds.

    image_seconds, image_deviation: of one image on one process. start_seconds: from a failure of a process until it
    takes a batch again. slow: how many are slower, by slow_factor; or factors, one for each. hours_to_failure: the mean
    of each process. bandwidth: bytes a second of the store of the originals. commit_seconds: of the database, for an
    image.
    """

    count: int
    image_seconds: float
    image_deviation: float = 0.0
    start_seconds: float = 0.0
    slow: int = 0
    slow_factor: float = 1.0
    factors: Sequence[float] = ()
    hours_to_failure: float = math.inf
    bandwidth: float = math.inf
    commit_seconds: float = 0.0


@dataclass
class Outcome:
    """What happened.

    seconds: until the last commit. busy_seconds: of all processes. twice: images whose description was lost with a
    process and begun again. tail_seconds: from when the queue was first empty to the end. idle: the share of the
    processes' time without a batch. reading: the share of batches that took longer to read than to describe.
    """

    seconds: float = 0.0
    busy_seconds: float = 0.0
    twice: int = 0
    skipped: int = 0
    failures: int = 0
    tail_seconds: float = 0.0
    idle: float = 0.0
    reading: float = 0.0


@dataclass(order=True)
class _Event:
    at: float
    order: int
    what: str = field(compare=False)
    worker: int = field(compare=False, default=-1)
    batch: _Batch | None = field(compare=False, default=None)


@dataclass
class _Batch:
    size: int
    tries: int = 0
    poison: bool = False


class _Queue:
    """The state of a run."""

    def __init__(self, job: Job, machines: Machines, random_: random.Random) -> None:
        self.job, self.machines, self.random = job, machines, random_
        self.events: list[_Event] = []
        self.number = 0
        self.left, self.poison_left = job.images, job.poison
        self.again: deque[_Batch] = deque()
        self.leased = self.busy = 0
        self.waiting: set[int] = set()
        self.database_free = 0.0
        self.empty_at = math.inf
        self.batches = self.read_bound = 0
        self.gone: set[int] = set()
        self.ends_of: dict[int, int] = {}
        self.outcome = Outcome()

    def add(self, at: float, what: str, worker: int = -1, batch: _Batch | None = None) -> int:
        self.number += 1
        heapq.heappush(self.events, _Event(at, self.number, what, worker, batch))
        return self.number

    def factor(self, worker: int) -> float:
        machines = self.machines
        if machines.factors:
            return machines.factors[worker]
        return machines.slow_factor if worker < machines.slow else 1.0

    def next_batch(self) -> _Batch | None:
        if self.again:
            return self.again.popleft()
        if not self.left:
            return None
        size = min(self.job.batch, self.left)
        # Poison images are spread evenly over what is left.
        poison = self.poison_left > 0 and self.random.random() < self.poison_left * size / self.left
        self.left -= size
        self.poison_left -= poison
        return _Batch(size, poison=poison)

    def take(self, now: float, worker: int) -> None:
        batch = self.next_batch()
        if batch is None:
            self.empty_at = min(self.empty_at, now)
            self.waiting.add(worker)
            return
        self.leased += 1
        self.busy += 1
        machines, factor = self.machines, self.factor(worker)
        mean, deviation = batch.size * machines.image_seconds, math.sqrt(batch.size) * machines.image_deviation
        describing = factor * max(0.2 * mean, self.random.gauss(mean, deviation))
        reading = batch.size * self.job.bytes_read * self.busy / machines.bandwidth
        self.batches += 1
        self.read_bound += reading > describing
        spent = max(describing, reading)
        fails = self.random.expovariate(1 / (3600 * machines.hours_to_failure)) if self.may_fail else math.inf
        if batch.poison:
            fails = min(fails, spent * self.random.random())
        if fails < spent:
            self.add(now + fails, "fail", worker, batch)
            self.outcome.busy_seconds += fails
        else:
            self.ends_of[worker] = self.add(now + spent, "end", worker, batch)
            self.outcome.busy_seconds += spent

    @property
    def may_fail(self) -> bool:
        return math.isfinite(self.machines.hours_to_failure)

    def end(self, event: _Event) -> None:
        assert event.batch is not None
        commit = event.batch.size * self.machines.commit_seconds
        self.database_free = max(self.database_free, event.at) + commit
        self.outcome.seconds = max(self.outcome.seconds, self.database_free)
        self.leased -= 1
        self.busy -= 1
        # A process waits for its commit.
        self.take(self.database_free if commit else event.at, event.worker)

    def fail(self, event: _Event, *, comes_back: bool = True) -> None:
        assert event.batch is not None
        self.busy -= 1
        self.outcome.failures += 1
        self.outcome.twice += event.batch.size
        self.add(event.at + self.job.lease_seconds, "expire", batch=event.batch)
        if comes_back:
            self.add(event.at + self.machines.start_seconds, "start", event.worker)

    def expire(self, event: _Event) -> None:
        batch = event.batch
        assert batch is not None
        self.leased -= 1
        batch.tries += 1
        if batch.tries < TRIES:
            self.again.append(batch)
        elif batch.size > 1:
            place = self.random.randrange(batch.size) if batch.poison else -1
            self.again.extend(_Batch(1, poison=at == place) for at in range(batch.size))
        else:
            self.outcome.skipped += 1
            self.outcome.seconds = max(self.outcome.seconds, event.at)
        for worker in list(self.waiting)[: len(self.again)]:
            self.waiting.discard(worker)
            self.take(event.at, worker)

    def kill(self, event: _Event) -> None:
        """A process is killed for good, whatever it does."""
        self.gone.add(event.worker)
        self.waiting.discard(event.worker)
        number = self.ends_of.pop(event.worker, None)
        running = next((each for each in self.events if each.order == number), None)
        if running is not None:
            self.events.remove(running)
            heapq.heapify(self.events)
            self.fail(replace(running, at=event.at), comes_back=False)


def simulate(job: Job, machines: Machines, *, seed: int = 0, kill_at: Sequence[tuple[int, float]] = ()) -> Outcome:
    """Run a job to its end. kill_at: processes (by number) that are killed for good, and when."""
    queue = _Queue(job, machines, random.Random(seed))
    for worker in range(machines.count):
        queue.add(0.0, "start", worker)
    for worker, at in kill_at:
        queue.add(at, "kill", worker)
    while queue.events:
        event = heapq.heappop(queue.events)
        if event.what == "start":
            if event.worker not in queue.gone:
                queue.take(event.at, event.worker)
        elif event.what == "end":
            queue.end(event)
        elif event.what == "fail":
            queue.fail(event)
        elif event.what == "kill":
            queue.kill(event)
        else:
            queue.expire(event)
        if not (queue.left or queue.again or queue.leased):
            break
    outcome = queue.outcome
    outcome.tail_seconds = max(0.0, outcome.seconds - queue.empty_at)
    outcome.idle = 1 - outcome.busy_seconds / (machines.count * outcome.seconds)
    outcome.reading = queue.read_bound / max(1, queue.batches)
    return outcome


# The runs of docs/scaling.md


def runs(document: dict[str, dict[str, object]]) -> list[tuple[str, Job, Machines]]:
    """Return the runs for a billion images: a name, the job, the machines; times from the measured rows."""
    from scaling_tables import commit_seconds, described

    million = 1_000_000
    large, copies = described(document, "kin", "12 megapixels"), described(document, "kin", "256 pixels")
    deviation = 0.5  # of an image, as a share of its mean: photos of one camera vary less, mixed ones more
    originals = Job(1000 * million, batch=4000, lease_seconds=120, poison=100, bytes_read=3.2e6)
    thousand = Machines(
        1000,
        large["core_seconds"],
        deviation * large["core_seconds"],
        start_seconds=30,
        hours_to_failure=200,
        bandwidth=1e9,
        commit_seconds=commit_seconds(document),
    )
    wide = replace(thousand, bandwidth=50e9)
    small = replace(
        wide, image_seconds=copies["core_seconds"], image_deviation=deviation * copies["core_seconds"], bandwidth=1e9
    )
    resized = replace(originals, bytes_read=copies["bytes_read"])
    return [
        ("originals, 1 GB/s", originals, thousand),
        ("originals, 50 GB/s", originals, wide),
        ("the same, no process fails", replace(originals, poison=0), replace(wide, hours_to_failure=math.inf)),
        ("the same, each fails every 10 hours", originals, replace(wide, hours_to_failure=10)),
        ("the same, 5 % are four times slower", originals, replace(wide, slow=50, slow_factor=4)),
        ("resized copies, 1 GB/s", resized, small),
        (
            "resized copies, ten thousand processes, 10 GB/s",
            resized,
            replace(small, count=10_000, bandwidth=10e9),
        ),
        (
            "the same, ten libraries on ten databases",
            resized,
            replace(small, count=10_000, bandwidth=10e9, commit_seconds=small.commit_seconds / 10),
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", help="which runs, by number from 0; default: all")
    chosen = parser.parse_args().runs
    for at, (name, job, machines) in enumerate(runs(json.loads(DATA.read_text(encoding="utf-8")))):
        if chosen is None or at in chosen:
            began = time.monotonic()
            outcome = simulate(job, machines)
            print(f"{name}: {outcome}, simulated in {time.monotonic() - began:.0f} s", flush=True)
            save({"run": name, "processes": machines.count, "images": job.images, **asdict(outcome)})
    return 0


def save(row: dict[str, object]) -> None:
    """Write a row, in place of an earlier one of the same run; the file is read again, as others may write to it."""
    document = json.loads(DATA.read_text(encoding="utf-8"))
    names = [name for name, _, _ in runs(document)]
    rows = [row, *(each for each in document.get("simulated", {}).get("rows", ()) if each["run"] != row["run"])]
    rows = sorted((each for each in rows if each["run"] in names), key=lambda each: names.index(each["run"]))
    document["simulated"] = {"command": "python benchmarks/simulation.py", "rows": rows}
    DATA.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
