"""The queue of files that several processes describe: each is leased once, and freed when its process is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kindred.errors import UsageError
from kindred.store import Entry, Place, PostgresUrl, QueuedFile, SharesWork
from kindred.store.queue import ScanState
from postgres_server import execute

pytest.importorskip("psycopg")
from kindred.store.postgres.queue import PostgresQueue
from kindred.store.postgres.store import PostgresStore

PlaceFor = Callable[[str], Place]
LEASE = 60.0
PHOTOS = Path("/photos")
KEY = b"key"


def queued(name: str, **facts: int) -> QueuedFile:
    return replace(QueuedFile(PHOTOS / name, 10, 20, 1, 2**63 + 5, 3, b"digest"), **facts)  # type: ignore[arg-type]


@pytest.fixture
def store(place_for: PlaceFor) -> Iterator[PostgresStore]:
    place = place_for("postgres")
    assert isinstance(place, PostgresUrl)
    with PostgresStore.create(place, {"recipe": "test"}) as made:
        yield made


@pytest.fixture
def one(store: PostgresStore) -> PostgresQueue:
    return joined(store)


@pytest.fixture
def other(store: PostgresStore) -> PostgresQueue:
    return joined(store)


def joined(store: PostgresStore) -> PostgresQueue:
    queue = store.work_queue()
    queue.join(seconds=LEASE)
    return queue


def pass_over(store: PostgresStore, lost: PostgresQueue | None, by: PostgresQueue) -> None:
    """Let time pass in which `by` renews its leases, and `lost` does not; then `by` looks for lost processes."""
    execute(
        store.url,
        f"UPDATE workers SET since = since - interval '{2 * LEASE} seconds'",
        *([f"UPDATE workers SET until = now() - interval '1 second' WHERE id = '{lost._me}'"] if lost else []),
    )
    by.renew()


def names(files: list[QueuedFile]) -> list[str]:
    return [str(file.path.relative_to(PHOTOS)) for file in files]


def test_only_a_store_on_a_server_shares_work(store: PostgresStore) -> None:
    assert isinstance(store, SharesWork)


def test_a_file_is_leased_by_one_process_with_all_its_facts(one: PostgresQueue, other: PostgresQueue) -> None:
    files = [queued(f"{number}.jpg", size=number) for number in range(5)]
    one.begin_scan(KEY)
    one.add(KEY, files, found=7)
    assert one.take([PHOTOS], 2) == files[:2]
    assert other.take([PHOTOS], 9) == files[2:]
    assert one.take([PHOTOS], 9) == other.take([PHOTOS], 9) == []
    assert one.count([PHOTOS]) == 5
    assert one.scan_state(KEY).found == 7


def test_many_processes_at_once_take_each_file_once(store: PostgresStore, one: PostgresQueue) -> None:
    one.add(KEY, [queued(f"{number:04}.jpg") for number in range(600)], found=600)
    taken: list[str] = []

    def take() -> None:
        queue = joined(store)
        while found := queue.take([PHOTOS], 7):
            taken.extend(names(found))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [f"{number:04}.jpg" for number in range(600)]


def test_a_process_takes_files_of_its_own_folders_only(one: PostgresQueue) -> None:
    one.add(KEY, [queued(name) for name in ("a/1.jpg", "a/b/2.jpg", "ab/3.jpg", "a.jpg", "c/\udcff.jpg")], found=5)
    assert one.count([PHOTOS / "a"]) == 2
    assert one.count([PHOTOS / "a", PHOTOS / "a.jpg"]) == 3
    assert one.take_suspect([PHOTOS / "a"]) is None
    assert names(one.take([PHOTOS / "a"], 9)) == ["a/1.jpg", "a/b/2.jpg"]
    assert names(one.take([PHOTOS / "a.jpg", PHOTOS / "c"], 9)) == ["a.jpg", "c/\udcff.jpg"]
    assert names(one.take([Path("/")], 9)) == ["ab/3.jpg"]


def test_the_files_of_a_lost_process_are_taken_by_another(
    store: PostgresStore, one: PostgresQueue, other: PostgresQueue
) -> None:
    one.add(KEY, [queued("1.jpg"), queued("2.jpg")], found=2)
    one.take([PHOTOS], 9)
    other.renew()
    assert other.take([PHOTOS], 9) == []
    pass_over(store, one, other)
    assert [file.lost for file in other.take([PHOTOS], 9)] == [1, 1]
    # The one that was only frozen takes part again; it is the same process.
    assert one.take([PHOTOS], 9) == []
    one.renew()
    one.add(KEY, [queued("3.jpg")], found=3)
    assert names(one.take([PHOTOS], 9)) == ["3.jpg"]


def test_after_two_lost_processes_files_are_taken_one_at_a_time(store: PostgresStore, other: PostgresQueue) -> None:
    other.add(KEY, [queued("1.jpg"), queued("2.jpg")], found=2)
    for lost in range(2):
        one = joined(store)
        assert [file.lost for file in one.take([PHOTOS], 9)] == [lost, lost]
        pass_over(store, one, other)
    assert other.take([PHOTOS], 9) == []
    first, second = other.take_suspect([PHOTOS]), other.take_suspect([PHOTOS])
    assert first is not None
    assert second is not None
    assert (names([first, second]), first.lost) == (["1.jpg", "2.jpg"], 2)
    assert other.take_suspect([PHOTOS]) is None
    assert other.count([PHOTOS]) == 2


def test_a_process_that_could_not_reach_the_server_itself_counts_no_other_as_lost(
    store: PostgresStore, one: PostgresQueue, other: PostgresQueue
) -> None:
    one.add(KEY, [queued("1.jpg")], found=1)
    one.take([PHOTOS], 9)
    execute(store.url, "UPDATE workers SET until = now() - interval '1 hour', since = now() - interval '2 hours'")
    other.renew()  # the server was away for all: `one` may renew in a moment
    assert other.take([PHOTOS], 9) == []
    one.renew()
    pass_over(store, None, other)
    assert other.take([PHOTOS], 9) == []


def test_leaving_returns_files_and_counts_nothing_as_lost(one: PostgresQueue, other: PostgresQueue) -> None:
    one.add(KEY, [queued("1.jpg"), queued("2.jpg")], found=2)
    one.take([PHOTOS], 9)
    one.keep_only([PHOTOS / "2.jpg"])
    assert [(names([file]), file.lost) for file in other.take([PHOTOS], 9)] == [(["1.jpg"], 0)]
    one.leave()
    assert one.take([PHOTOS], 9) == []
    assert [(names([file]), file.lost) for file in other.take([PHOTOS], 9)] == [(["2.jpg"], 0)]


def test_storing_removes_from_the_queue_unless_the_file_has_changed(store: PostgresStore, one: PostgresQueue) -> None:
    one.add(KEY, [queued("1.jpg"), queued("2.jpg"), queued("3.jpg")], found=3)
    leased = one.take([PHOTOS], 9)
    one.add(KEY, [queued("1.jpg"), queued("2.jpg", size=11)], found=2)
    vectors = np.ones((1, 3), np.float32)
    one.put([Entry(file.path, file.size, file.mtime_ns, vectors=vectors) for file in leased[:2]], leased)
    assert store.counts().images == 2
    assert one.count([PHOTOS]) == 1
    assert [(names([file]), file.size) for file in one.take([PHOTOS], 9)] == [(["2.jpg"], 11)]
    with pytest.raises(UsageError, match="expected 3 as in"):
        one.put([Entry(PHOTOS / "4.jpg", 1, 1, vectors=np.ones((1, 4), np.float32))], [queued("2.jpg", size=11)])
    assert one.count([PHOTOS]) == 1


def test_one_process_searches_the_folders_at_a_time(
    store: PostgresStore, one: PostgresQueue, other: PostgresQueue
) -> None:
    assert one.scan_state(KEY) == ScanState(0, finished=False, alive=False, found=0)
    assert one.begin_scan(KEY)
    assert one.begin_scan(KEY)  # the first answer may have been lost
    assert not other.begin_scan(KEY)
    assert other.begin_scan(b"another")
    one.add(KEY, [], found=4)
    assert other.scan_state(KEY) == ScanState(1, finished=False, alive=True, found=4)
    other.end_scan(KEY)  # not its own
    assert not other.scan_state(KEY).finished
    pass_over(store, one, other)
    assert other.scan_state(KEY) == ScanState(1, finished=False, alive=False, found=4)
    assert other.begin_scan(KEY)
    assert other.scan_state(KEY) == ScanState(1, finished=False, alive=True, found=0)
    other.end_scan(KEY)
    assert other.scan_state(KEY).finished
    one.renew()
    assert one.begin_scan(KEY)
    assert one.scan_state(KEY).number == 2
