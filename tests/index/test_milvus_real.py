"""What only a real Milvus server does: keys stored twice, changes that show late, kinds of index, and being killed."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import LibraryError, LibraryUnreachable
from kindred.index import INDEXES, IndexSettings, SnapshotPolicy
from kindred.index.milvus import MilvusUrl, building
from kindred.index.milvus.index import MilvusIndex
from kindred.index.milvus.server import MilvusServer
from kindred.recipe import Recipe
from kindred.store import STORES, Entry, Store
from milvus_server import MilvusProcess

COUNT, D, K = 5000, 32, 10
KILLS = 3
NUMBERS = itertools.count()
Rows = NDArray[np.float32]

pytestmark = pytest.mark.faults


@pytest.fixture(autouse=True)
def _settling(monkeypatch: pytest.MonkeyPatch, milvus: MilvusProcess) -> None:
    if not milvus.real:
        pytest.skip("needs a real server: run by scripts/real_milvus.py")
    monkeypatch.setattr(building, "SETTLING_SECONDS", milvus.settling)


@pytest.fixture
def rows() -> Rows:
    random = np.random.default_rng(0)
    centres = random.standard_normal((50, D))
    found = centres[random.integers(0, 50, COUNT)] + 0.6 * random.standard_normal((COUNT, D))
    unit: Rows = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    return unit


@pytest.fixture
def store(tmp_path: Path, rows: Rows) -> Iterator[Store]:
    (tmp_path / "library").mkdir()
    with STORES["sqlite"].create(tmp_path / "library", {"uuid": "0123"}) as made:  # type: ignore[attr-defined]
        made.put([Entry(Path(f"/p/{at}.jpg"), 1, 1, vectors=rows[at : at + 1]) for at in range(COUNT)])
        yield made


@pytest.fixture
def url(milvus: MilvusProcess) -> MilvusUrl:
    return milvus.url(f"real{next(NUMBERS)}")


def opened(store: Store, url: MilvusUrl) -> MilvusIndex:
    settings = IndexSettings(None, SnapshotPolicy(exact_below=1000), server=url)
    found = INDEXES["milvus"].open(Recipe("plain", "kin"), store, settings)
    assert isinstance(found, MilvusIndex)
    return found


def recall(index: MilvusIndex, rows: Rows) -> float:
    queries = rows[:50] + 0.02
    found = index.search(queries, K).ids
    best = np.argsort(-(queries @ rows.T), axis=1)[:, :K] + 1
    return float(
        np.mean([len(set(mine.tolist()) & set(right.tolist())) / K for mine, right in zip(found, best, strict=True)])
    )


def counted(url: MilvusUrl, collection: str) -> int:
    """How many rows the server says that it has, at consistency Strong."""
    server = MilvusServer(url)
    return server._call(
        lambda client, limit: int(
            client.query(collection, filter="", output_fields=["count(*)"], consistency_level="Strong", timeout=limit)[
                0
            ]["count(*)"]
        )
    )


def test_keys_stored_twice_do_not_shorten_results(store: Store, url: MilvusUrl, rows: Rows) -> None:
    """The server drops doubles from its list, which may be shorter then, without an error; here there are k."""
    index = opened(store, url)
    index.build()
    expected = index.search(rows[:1], K).ids.tolist()
    [collection] = MilvusServer(url).collections(url.collection)
    double = [{"id": int(number), "vector": rows[number - 1]} for number in expected[0][:5]]
    server = MilvusServer(url)
    for _ in range(2):
        server._call(lambda client, limit: client.insert(collection, double, timeout=limit))
    time.sleep(building.SETTLING_SECONDS)
    assert index._state.record is not None
    raw = server.search(index._state.record, rows[:1], K, "")
    print(f"of {K} results the server returned {(raw > 0).sum()}")
    assert index.search(rows[:1], K).ids.tolist() == expected
    assert index.build(rebuild=True).vectors == COUNT
    assert counted(url, MilvusServer(url).collections(url.collection)[0]) == COUNT + 1


@pytest.mark.parametrize("kind", ["hnsw", "ivf", "pq"])
def test_every_kind_finds_the_best(store: Store, url: MilvusUrl, rows: Rows, kind: str) -> None:
    index = opened(store, url)
    report = index.build(kind)
    assert (report.kind, report.vectors) == (kind, COUNT)
    assert "2.3.5" in report.server
    assert recall(index, rows) >= (0.9 if kind == "pq" else 0.98)


def test_a_kind_that_the_server_never_builds(store: Store, url: MilvusUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    """This build of the server lacks DiskANN, and tries to build it for ever."""
    monkeypatch.setattr(building, "STALLED_SECONDS", 10.0)
    index = opened(store, url)
    with pytest.raises(LibraryError, match="5,001 vectors to index and makes no progress"):
        index.build("diskann")
    assert MilvusServer(url).collections(url.collection) == []
    assert not index.approximate


def test_a_killed_server_is_one_clear_error_and_then_right_again(
    store: Store, milvus: MilvusProcess, rows: Rows
) -> None:
    """Killed while two threads search and one build runs: nothing is doubled, and the ranking is that of before."""
    own, done = milvus, threading.Event()
    threads: list[threading.Thread] = []
    try:
        url = own.url("killed", timeout=10)
        index = opened(store, own.url("killed", timeout=60))
        index.build()
        index = opened(store, url)
        expected = index.search(rows[:1], K).ids.tolist()
        errors, others = list[str](), list[BaseException]()

        def search() -> None:
            while not done.is_set():
                began = time.monotonic()
                try:
                    assert index.search(rows[:1], K).ids.tolist() == expected
                except LibraryUnreachable as error:
                    errors.append(str(error))
                except BaseException as error:
                    others.append(error)
                assert time.monotonic() - began < 60

        threads = [threading.Thread(target=search) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(KILLS):
            time.sleep(2)
            before = len(errors)
            own.kill()
            while len(errors) == before:
                time.sleep(0.1)
            own.start()
            began = time.monotonic()
            answered = _answers(own, index)
            while True:
                try:
                    assert index.search(rows[:1], K).ids.tolist() == expected
                    break
                except LibraryUnreachable:
                    assert time.monotonic() - began < 300
            later = time.monotonic() - answered
            print(f"kill {number + 1}: the server answers after {answered - began:.1f} s, searches {later:.1f} s later")
        done.set()
        for thread in threads:
            thread.join()
        assert not others
        assert errors
        assert all("check that it runs, then try again" in each and "\n" not in each for each in errors)
        [collection] = MilvusServer(own.url("killed", timeout=60)).collections("killed")
        assert counted(own.url("killed", timeout=60), collection) == COUNT + 1
    finally:
        done.set()
        for thread in threads:
            thread.join()
        _revive(own)


def _revive(own: MilvusProcess) -> None:
    """Start the server again if a test ended while it was killed: only one can run in a namespace."""
    if own.process is None or own.process.poll() is not None:
        own.start()


def _answers(own: MilvusProcess, index: MilvusIndex) -> float:
    """Wait until the server answers a raw search; return when."""
    from pymilvus import MilvusClient

    record = index._state.record
    assert record is not None
    end = time.monotonic() + 300
    while True:
        try:
            client = MilvusClient(own.url("killed").uri, timeout=5, dedicated=True)
            client.search(record.collection, data=[[1.0] + [0.0] * (D - 1)], limit=1, timeout=2)
            client.close()
            return time.monotonic()
        except Exception:
            assert time.monotonic() < end
            time.sleep(0.2)


def test_a_server_that_is_killed_during_a_build(
    store: Store, milvus: MilvusProcess, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build goes on when the server is back, or ends in one error and is repeated; nothing is doubled."""
    own = milvus
    try:
        url = own.url("built", timeout=60)
        index = opened(store, url)
        killed = threading.Event()

        def kill(_: str, done: int, __: int) -> None:
            if done > 1000 and not killed.is_set():
                killed.set()
                own.kill()
                threading.Timer(3, own.start).start()

        monkeypatch.setattr(building, "BYTES", 500 * 4 * D)
        try:
            index.build(progress=kill)
        except LibraryUnreachable as error:
            print(error)
            index.build()
        assert killed.is_set()
        [collection] = MilvusServer(url).collections("built")
        assert counted(url, collection) == COUNT + 1
        assert recall(index, rows) >= 0.98
    finally:
        _revive(own)
