"""What happens to images whose worker is lost: each comes back once, and one that ends its workers is given up."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from kindred._support.retries import LOST
from kindred.describer import Description
from kindred.describer import pool as pools
from kindred.describer.dispatch import Dispatch
from kindred.describer.pool import Came, described_by
from kindred.errors import ImageError, ServerError

Dies = Callable[[int, "Worker"], bool]


class Worker:
    """A worker of the pool below: the images that it has."""

    def __init__(self) -> None:
        self.images: list[tuple[int, Path]] = []
        self.ready = False


class FakePool:
    """Workers that describe one to four images a turn; one of them dies where `dies(image, worker)` says so."""

    def __init__(self, places: int, dies: Dies = lambda *_: False, *, starts: bool = True) -> None:
        self.places, self.dies, self.starts = places, dies, starts
        self.random = random.Random(1)
        self.workers: list[Worker] = []
        self.known: list[Worker] = []
        self.started = self.deaths = self.most = 0
        self.closed = False

    def has_room(self) -> bool:
        return len(self.workers) < self.places

    def start(self) -> Worker:
        worker = Worker()
        self.workers.append(worker)
        self.started += 1
        return worker

    def send(self, worker: object, batch: Sequence[tuple[int, Path]]) -> None:
        assert isinstance(worker, Worker)
        assert not worker.ready
        worker.ready = True
        worker.images += batch
        self.most = max(self.most, len(worker.images))

    def wait(self) -> list[Came]:
        if not self.workers:
            return []
        worker = self.random.choice(self.workers)
        if worker not in self.known:
            if not self.starts:
                return [self.lose(worker)]
            self.known.append(worker)
            return [Came(worker)]
        if not worker.ready:
            return []
        chosen = self.random.sample(worker.images, min(len(worker.images), self.random.randint(1, 4)))
        if any(self.dies(int(path.name), worker) for _, path in chosen):
            return [self.lose(worker)]
        for each in chosen:
            worker.images.remove(each)
        worker.ready = False
        return [Came(worker, [Description(number, width=int(path.name)) for number, path in chosen])]

    def lose(self, worker: Worker) -> Came:
        self.workers.remove(worker)
        self.deaths += 1
        return Came(worker, lost=True)

    def close(self) -> None:
        self.closed = True


def images(count: int) -> Iterator[tuple[str, Path]]:
    return ((f"key {number}", Path(f"/photos/{number}")) for number in range(count))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "BATCH", 8)
    monkeypatch.setattr(pools, "WINDOW", 32)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 200])
@pytest.mark.parametrize("places", [1, 3])
def test_each_image_comes_back_once_with_its_key(count: int, places: int) -> None:
    pool = FakePool(places)
    found = list(described_by(pool, images(count)))
    assert sorted((each.key, each.width) for each in found) == sorted((f"key {n}", n) for n in range(count))
    assert pool.closed
    assert pool.most <= 32
    assert pool.started <= min(places, -(-count // 8))  # nothing is started for nothing


def test_workers_that_die_by_chance_cost_no_image() -> None:
    chance = random.Random(5)
    pool = FakePool(3, lambda *_: chance.random() < 0.02)
    found = list(described_by(pool, images(500)))
    assert pool.deaths > 3
    assert sorted(int(each.key[4:]) for each in found) == list(range(500))
    assert [each.error for each in found if each.error] == []


def test_an_image_that_kills_its_workers_is_given_up_and_no_other() -> None:
    """Two with a batch, two alone. Its batch is the only one that is given image by image."""
    pool = FakePool(2, lambda image, _: image in (41, 170))
    found = {each.key: each.error for each in described_by(pool, images(300))}
    bad = {key: error for key, error in found.items() if error is not None}
    assert len(found) == 300
    assert sorted(bad) == ["key 170", "key 41"]
    assert isinstance(bad["key 41"], ImageError)
    assert bad["key 41"].reason == LOST
    assert bad["key 41"].path == Path("/photos/41")
    assert pool.deaths <= 8


def test_a_run_ends_where_workers_never_start() -> None:
    pool = FakePool(2, starts=False)
    with pytest.raises(ServerError, match="3 workers in a row"):
        list(described_by(pool, images(20)))
    assert pool.closed


def test_closing_early_ends_the_workers() -> None:
    pool = FakePool(2)
    run = described_by(pool, images(100))
    next(run)
    run.close()
    assert pool.closed


def test_files_are_read_no_further_ahead_than_the_workers_need() -> None:
    read: list[int] = []

    def items() -> Iterator[tuple[int, Path]]:
        for number in range(1000):
            read.append(number)
            yield number, Path(f"/photos/{number}")

    dispatch: Dispatch[int, str] = Dispatch(items(), batch=8, window=32)
    while dispatch.take("one"):
        pass
    assert dispatch.load("one") == 32
    assert len(read) <= 33


def test_a_suspect_batch_is_with_a_worker_that_has_nothing_else() -> None:
    dispatch: Dispatch[str, str] = Dispatch(images(100), batch=8, window=32)
    first = dispatch.take("one")
    second = dispatch.take("one")
    dispatch.done("one", first[0][0])
    assert dispatch.lost("one") == []
    fresh = dispatch.take("two")
    assert fresh == first[1:]  # what had come back is not sent again
    assert dispatch.take("two") == []
    assert dispatch.take("three") == second
    for number, _ in fresh:
        dispatch.done("two", number)
    assert dispatch.take("two")[0][0] == 16
