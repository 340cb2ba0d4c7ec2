"""Faults of a Milvus server while its library is changed, searched and indexed: what is in the store always counts.

Marked, since they take minutes: pytest -m faults tests/index/test_milvus_faults.py -s starts Milvus Lite;
scripts/real_milvus.py tests/index/test_milvus_faults.py -s a whole server, which needs more than half a minute to start
and is killed every minute only.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import LibraryUnreachable
from kindred.index import INDEXES, IndexSettings, SnapshotPolicy
from kindred.index.milvus import MilvusUrl, building
from kindred.index.milvus.index import MilvusIndex
from kindred.index.milvus.record import IndexRecord, key_of
from kindred.index.milvus.server import MilvusServer
from kindred.recipe import Recipe
from kindred.store import STORES, Entry, Filter, Place, Store
from milvus_server import MilvusProcess
from tcp_proxy import FAULTS, Proxy
from work_while import work_while

if TYPE_CHECKING:
    from pymilvus import MilvusClient

pytestmark = pytest.mark.faults

SECONDS = float(os.environ.get("KINDRED_FAULT_SECONDS", "120"))
COUNT, D, K = 1200, 16, 10
TRIES = 100
NUMBERS = itertools.count()
PATIENCE = 300.0  # after which a call hangs, or the server does not come back
Rows = NDArray[np.float32]


def vector(mark: int) -> Rows:
    found = np.random.default_rng(mark).standard_normal((1, D)).astype(np.float32)
    unit: Rows = found / np.linalg.norm(found)
    return unit


def path_of(number: int) -> Path:
    return Path(f"/p/{number}.jpg")


def put(store: Store, numbers: range, mark: int) -> None:
    """Store images whose vectors follow from their marks, which are all different."""
    store.put([Entry(path_of(number), 1, mark + number, vectors=vector(mark + number)) for number in numbers])


@pytest.fixture
def server(milvus_to_kill: MilvusProcess, monkeypatch: pytest.MonkeyPatch) -> MilvusProcess:
    monkeypatch.setattr(building, "SETTLING_SECONDS", milvus_to_kill.settling)
    return milvus_to_kill


@pytest.fixture
def collection() -> str:
    """A name of its own for each test, as a whole server serves all of them."""
    return f"faults{next(NUMBERS)}"


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, place_for: Callable[[str], Place], tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "library").mkdir()
    made = STORES[request.param].create(place_for(request.param), {"uuid": f"faults {tmp_path}"})
    put(made, range(COUNT), 0)
    yield made
    made.close()


def opened(store: Store, url: MilvusUrl) -> MilvusIndex:
    settings = IndexSettings(None, SnapshotPolicy(exact_below=1000), server=url)
    found = INDEXES["milvus"].open(Recipe("plain", "kin"), store, settings)
    assert isinstance(found, MilvusIndex)
    return found


@dataclass
class Load:
    """One writer, one builder and one searcher on a library whose index is on a server that suffers.

    marks: of the images that are in the store, as acknowledged. versions: how often a change of each image has begun or
    ended, so that the number is odd while it is being changed.
    """

    store: Store
    url: MilvusUrl
    marks: dict[Path, int] = field(default_factory=lambda: {path_of(number): number for number in range(COUNT)})
    tagged: set[Path] = field(default_factory=set)
    versions: dict[Path, int] = field(default_factory=dict)
    problems: list[BaseException] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    changes: int = 0
    searches: int = 0
    builds: int = 0
    failed_builds: int = 0
    longest_call: float = 0.0
    longest_gap: float = 0.0
    answered: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)

    def run(self, suffer: Callable[[], None]) -> None:
        """Work until `suffer` returns, and then until a search has succeeded."""
        opened(self.store, self.url).build()
        work_while(suffer, (self._write, self._build, self._search), self.done, self.problems)
        if self.problems:
            raise self.problems[0]

    def _write(self) -> None:
        step = 0
        while not self.done.is_set():
            step += 1
            first = 4 * step % COUNT
            numbers = range(first, first + 4)
            for number in numbers:
                self.versions[path_of(number)] = self.versions.get(path_of(number), 0) + 1
            self._change(step, numbers)
            for number in numbers:
                self.versions[path_of(number)] += 1
            self.changes += 1
            time.sleep(0.05)

    def _change(self, step: int, numbers: range) -> None:
        paths = [path_of(number) for number in numbers]
        if step % 5 == 4:
            self.store.forget(paths)
            for path in paths:
                self.marks.pop(path, None)
                self.tagged.discard(path)
        elif step % 5 == 2:
            self.store.tag(paths, "x")
            self.tagged |= {path for path in paths if path in self.marks}
        else:
            put(self.store, numbers, COUNT * step)
            self.marks.update((path_of(number), COUNT * step + number) for number in numbers)

    def _build(self) -> None:
        index = opened(self.store, self.url)
        while not self.done.is_set():
            try:
                index.build()
                self.builds += 1
            except LibraryUnreachable as error:
                self._note(error)
                self.failed_builds += 1
            self.done.wait(0.5)

    def _note(self, error: LibraryUnreachable) -> None:
        assert "check that it runs, then try again" in str(error)
        assert "\n" not in str(error)
        self.errors.append(str(error))

    def _search(self) -> None:
        index, number = opened(self.store, self.url), 0
        last = time.monotonic()
        while not self.done.is_set() or self.answered < last:
            number += 1
            began = time.monotonic()
            try:
                self._searched(index, number)
            except LibraryUnreachable as error:
                self._note(error)
                assert time.monotonic() - last < PATIENCE
            else:
                self.searches += 1
                self.answered = time.monotonic()
                self.longest_gap = max(self.longest_gap, self.answered - last)
                last = self.answered
            self.longest_call = max(self.longest_call, time.monotonic() - began)

    def _searched(self, index: MilvusIndex, number: int) -> None:
        """Search for an image by its own vector: it is the first, no image is there twice, and none that was removed.

        What changed during the search may be in its results or not.
        """
        before, marks, tagged = dict(self.versions), dict(self.marks), set(self.tagged)
        where = Filter(tags=("x",)) if number % 3 == 0 and tagged else None
        kept = sorted(tagged & marks.keys() if where is not None else marks)
        wanted = kept[number * 7919 % len(kept)]
        ranking = index.search(vector(marks[wanted]), K, where=where)
        ids = ranking.ids[0][ranking.ids[0] >= 0].tolist()
        rows = self.store.rows(ids)
        paths = [rows[each].path for each in ids if each in rows]
        after = dict(self.versions)
        changed = {path for path in after if after[path] % 2 or after[path] != before.get(path, 0)}
        assert len(set(ids)) == len(ids)
        assert len(set(paths) - changed) == len([path for path in paths if path not in changed])
        assert set(paths) - changed <= set(kept)
        if wanted not in changed:
            assert paths[0] == wanted or paths[0] in changed, (wanted, paths, ranking.scores)

    def check(self) -> None:
        """All acknowledged is there, once, in the store and in the index; rankings are those of exact search."""
        index = opened(self.store, self.url)
        index.build()
        collection = index._state.record
        assert collection is not None
        rows = self.store.images(self.store.select_images(Filter()).tolist()).values()
        assert {row.path: row.tags for row in rows} == {
            path: ("x",) if path in self.tagged else () for path in self.marks
        }
        assert MilvusServer(self.url).collections(f"{self.url.collection}_") == [collection.collection]
        assert held(self.url, collection.collection) == self.store.select(Filter()).tolist()
        assert collection.count == len(self.marks)
        paths, marks = list(self.marks), np.array(list(self.marks.values()))
        vectors = np.concatenate([vector(mark) for mark in marks.tolist()])
        for number in range(20):
            query = vector(-1 - number & 0xFFFF)
            found = index.search(query, K)
            expected = np.sort(vectors @ query[0])[::-1][:K]
            np.testing.assert_allclose(found.scores[0], expected, atol=1e-5)
            best = self.store.rows(found.ids[0, :1].tolist())[int(found.ids[0, 0])].path
            assert best == paths[int(np.argmax(vectors @ query[0]))]
        print(
            f"\n{self.changes} changes, {self.searches} searches, {self.builds} updates of the index, "
            f"{len(self.errors)} errors, {self.failed_builds} of them of updates; "
            f"longest search {self.longest_call:.1f} s, longest time without an answer {self.longest_gap:.1f} s"
        )


def held(url: MilvusUrl, collection: str) -> list[int]:
    """The ids of all rows that the server has, at consistency Strong, those of its tokens excepted."""

    def query(client: MilvusClient, limit: float) -> list[int]:
        options = {"output_fields": ["id"], "consistency_level": "Strong", "timeout": limit}
        return sorted(each["id"] for each in client.query(collection, filter="id > 0", limit=16_000, **options))

    return MilvusServer(url)._call(query)


def answers(url: MilvusUrl, collection: str) -> None:
    """Wait until the server answers a search of a client that repeats nothing."""
    from pymilvus import MilvusClient

    end = time.monotonic() + PATIENCE
    while True:
        try:
            client = MilvusClient(url.uri, timeout=5, dedicated=True)
            client.search(collection, data=[vector(1)[0]], limit=1, timeout=2)
            client.close()
            return
        except Exception:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_the_server_is_killed_again_and_again(server: MilvusProcess, store: Store, collection: str) -> None:
    load = Load(store, server.url(collection, timeout=10))
    recovered: list[float] = []

    def suffer() -> None:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and not load.problems:
            time.sleep(60 if server.real else 5)
            server.kill()
            server.start()
            answers(load.url, IndexRecord.parse(store.meta[key_of(collection)], collection).collection)
            began = time.monotonic()
            while load.answered < began and not load.problems:
                assert time.monotonic() - began < PATIENCE
                time.sleep(0.01)
            recovered.append(load.answered - began)

    load.run(suffer)
    load.check()
    print(f"killed {len(recovered)} times; searches {max(recovered):.1f} s after the server answered a bare client")


def test_the_server_is_frozen_for_20_seconds(server: MilvusProcess, store: Store, collection: str) -> None:
    load = Load(store, server.url(collection, timeout=10))

    def suffer() -> None:
        assert server.process is not None
        time.sleep(3)
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(20)
        server.process.send_signal(signal.SIGCONT)
        time.sleep(10)

    load.run(suffer)
    load.check()


@pytest.mark.parametrize("fault", FAULTS)
def test_the_network_fails_for_30_seconds(server: MilvusProcess, store: Store, collection: str, fault: str) -> None:
    proxy = Proxy(server.port)
    load = Load(store, server.url(collection, port=proxy.port, timeout=10))

    def suffer() -> None:
        time.sleep(2)
        proxy.fail(fault, 30.0)
        time.sleep(15)

    try:
        load.run(suffer)
        load.check()
    finally:
        proxy.close()


def test_two_writers_of_overlapping_images_a_hundred_times(
    server: MilvusProcess, store: Store, collection: str
) -> None:
    """Every search after the two includes both, whatever the server has seen of them."""
    url = server.url(collection, timeout=60)
    index = opened(store, url)
    index.build()
    for trial in range(TRIES):
        first = trial * 7 % (COUNT - 40)
        mark = COUNT * (trial + 1)
        parts = (range(first, first + 20), range(first + 10, first + 30))
        threads = [threading.Thread(target=put, args=(store, part, mark)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gone = [path_of(number) for number in range(first, first + 5)]
        assert store.forget(gone) == 5
        ids = index.search(np.concatenate([vector(mark + at) for at in range(first, first + 30)]), K).ids
        rows = store.rows(np.unique(ids).tolist())
        for at in range(30):
            paths = [rows[number].path for number in ids[at].tolist()]
            assert len(set(paths)) == K
            assert not set(paths) & set(gone)
            assert at < 5 or paths[0] == path_of(first + at)
        put(store, range(first, first + 5), mark)
        if trial % 20 == 19:
            index.build()
    index.build()
    record = index._state.record
    assert record is not None
    assert store.counts().vectors == COUNT
    assert record.count == COUNT
    assert held(url, record.collection) == store.select(Filter()).tolist()
