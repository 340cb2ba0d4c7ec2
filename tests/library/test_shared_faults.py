"""Faults while several processes index one library: each image is described and stored once, whatever is killed.

Marked, since they take minutes: pytest -m faults tests/library/test_shared_faults.py -s
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from kindred.errors import LibraryUnreachable
from kindred.store import PostgresUrl
from postgres_server import Server
from shared_run import Content, check, share
from tcp_proxy import FAULTS, Proxy

pytest.importorskip("psycopg")
from kindred.store.postgres.store import PostgresStore

pytestmark = pytest.mark.faults

SECONDS = float(os.environ.get("KINDRED_FAULT_SECONDS", "120"))
EVERY, KILLS, TRIES = 5.0, 10, 100
LEASE = 10.0
PAUSE = 0.05  # seconds that an image takes
PATIENCE = 600.0  # after which a run hangs
POISON = "00100.jpg"


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of its own, to be killed."""
    made = Server()
    yield made
    made.remove()


def library(server: Server, name: str) -> PostgresUrl:
    url = server.url(name, timeout=10)
    PostgresStore.create(url, {"recipe": "test"}).close()
    return url


def photos(folder: Path, seconds: float) -> Path:
    """Make files that two processes take so many seconds to describe."""
    (folder / "photos").mkdir()
    for number in range(int(2 * seconds / PAUSE)):
        (folder / "photos" / f"{number:05}.jpg").write_bytes(number.to_bytes(4, "big"))
    return folder / "photos"


def see(path: Path, poison: str) -> None:
    time.sleep(PAUSE)
    if path.name == poison:
        os._exit(7)


def take_part(url: PostgresUrl, folder: Path, notes: Path, poison: str = "") -> None:
    """Do what a scheduler does with `kindred index --shared`: start it again after an error, until it is done."""
    with notes.open("a") as written:
        while True:
            content = Content(sees=lambda path: see(path, poison))
            try:
                share(url, content, folder, lease=LEASE)
                return
            except LibraryUnreachable as error:
                print("error", repr(str(error)), file=written, flush=True)
            finally:
                print("described", len(content.described), file=written, flush=True)


class Workers:
    """Processes that take part in a run, each started again if it was killed."""

    def __init__(self, count: int, url: PostgresUrl, folder: Path, poison: str = "") -> None:
        self.given, self.folder = (url, folder, folder.parent / "notes", poison), folder
        self.killed, self.began = 0, time.monotonic()
        self.running = [self.started() for _ in range(count)]

    def started(self) -> BaseProcess:
        process = multiprocessing.get_context("spawn").Process(target=take_part, args=self.given)
        process.start()
        return process

    def kill(self, number: int) -> None:
        """End one of them at once, and start another."""
        self.running[number].kill()
        self.running[number].join()
        self.killed += 1
        self.running[number] = self.started()

    @property
    def busy(self) -> bool:
        """Whether any has work; those that an image has ended are started again."""
        assert time.monotonic() - self.began < PATIENCE, "the run hangs"
        for number, process in enumerate(self.running):
            if process.exitcode is not None and process.exitcode != 0:
                assert process.exitcode == 7
                self.killed += 1
                self.running[number] = self.started()
        return any(process.exitcode is None for process in self.running)

    def finish(self) -> None:
        """Wait for the end of the run."""
        while self.busy:
            time.sleep(0.1)

    def end(self) -> None:
        """End what still runs, after a failed test."""
        for process in self.running:
            with suppress(ValueError):
                process.kill()

    def check(self, url: PostgresUrl, *, skipped: tuple[str, ...] = ()) -> None:
        """All images are there once, each with its own vector."""
        with closing(PostgresStore.open(url)) as store:
            check(store, self.folder, skipped=skipped)
            assert len(store.runs()) >= len(self.running)
        lines = self.given[2].read_text().splitlines()
        described = sum(int(line.split()[1]) for line in lines if line.startswith("described"))
        errors = [line for line in lines if line.startswith("error")]
        assert not any("\\n" in line for line in errors)
        count = len(list(self.folder.iterdir()))
        print(
            f"\n{count} files, {self.killed} processes killed, {len(errors)} errors, {described} described by those "
            f"that were not killed, {time.monotonic() - self.began:.0f} s\n" + "\n".join(sorted(set(errors))[:3])
        )


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Callable[..., Workers]]:
    made: list[Workers] = []

    def make(count: int, url: PostgresUrl, seconds: float, poison: str = "") -> Workers:
        made.append(Workers(count, url, photos(tmp_path, seconds), poison))
        return made[-1]

    yield make
    for each in made:
        each.end()


@pytest.mark.parametrize("how", ["kill", "immediate_stop"])
def test_the_server_is_killed_every_five_seconds(server: Server, workers: Callable[..., Workers], how: str) -> None:
    url = library(server, "killed")
    run = workers(2, url, SECONDS)
    kills = 0
    while run.busy:
        time.sleep(EVERY)
        getattr(server, how)()
        server.restart()
        kills += 1
    print(f"\nthe server was ended {kills} times")
    run.check(url)


def test_processes_are_killed_at_random_moments(server: Server, workers: Callable[..., Workers]) -> None:
    url, chance = library(server, "processes"), random.Random(7)
    run = workers(3, url, 45)
    for _ in range(KILLS):
        time.sleep(chance.uniform(1, 6))
        assert run.busy
        run.kill(chance.randrange(3))
    run.finish()
    run.check(url)


def test_an_image_ends_every_process_that_describes_it(server: Server, workers: Callable[..., Workers]) -> None:
    url = library(server, "poison")
    run = workers(3, url, 15, POISON)
    run.finish()
    assert run.killed == 4
    run.check(url, skipped=(POISON,))


@pytest.mark.parametrize("what", ["a process", "the server"])
def test_something_is_frozen_for_20_seconds(server: Server, workers: Callable[..., Workers], what: str) -> None:
    """A process for longer than its lease: others describe its files, and what it then stores changes nothing."""
    url = library(server, "frozen")
    run = workers(2, url, 40)
    time.sleep(10)
    frozen = [run.running[0].pid] if what == "a process" else [server.main, *server.children()]
    for pid in frozen:
        assert pid is not None
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    time.sleep(20)
    for pid in frozen:
        assert pid is not None
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    run.finish()
    run.check(url)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_network_fails_for_30_seconds(server: Server, workers: Callable[..., Workers], fault: str) -> None:
    url = library(server, f"network_{fault}")
    proxy = Proxy(server.port)
    try:
        run = workers(2, server.url(f"network_{fault}", port=proxy.port, timeout=10), 40)
        time.sleep(10)
        proxy.fail(fault, 30.0)
        run.finish()
        run.check(url)
    finally:
        proxy.close()


def test_two_processes_on_overlapping_folders_a_hundred_times(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for number in range(24):
        (folder / "abc"[number // 8]).mkdir(parents=True, exist_ok=True)
        (folder / "abc"[number // 8] / f"{number}.jpg").write_bytes(number.to_bytes(4, "big"))
    for trial in range(TRIES):
        url = library(server, f"trial_{trial}")
        contents, together = [Content(), Content()], threading.Barrier(2)
        problems: list[BaseException] = []

        def run(
            content: Content,
            roots: tuple[Path, ...],
            url: PostgresUrl = url,
            together: threading.Barrier = together,
            problems: list[BaseException] = problems,
        ) -> None:
            try:
                together.wait()
                share(url, content, *roots)
            except BaseException as problem:
                problems.append(problem)

        roots = ((folder / "a", folder / "b"), (folder / "b", folder / "c"))
        threads = [threading.Thread(target=run, args=pair) for pair in zip(contents, roots, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a call hangs"
        assert problems == []
        assert sorted(path for content in contents for path in content.described) == sorted(folder.rglob("*.jpg"))
        with closing(PostgresStore.open(url)) as store:
            check(store, folder)
            store.delete()
