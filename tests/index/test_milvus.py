"""Search by the server of Milvus Lite: in step with the store, right under filters, clear when it is away."""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import LibraryError, LibraryUnreachable, MissingExtra, UsageError
from kindred.index import INDEXES, IndexSettings, SnapshotPolicy
from kindred.index.milvus import MilvusUrl, building, candidates
from kindred.index.milvus import rows as rows_module
from kindred.index.milvus.index import MilvusIndex
from kindred.index.milvus.kinds import KINDS
from kindred.index.milvus.record import key_of
from kindred.index.milvus.rows import MilvusRows
from kindred.index.milvus.server import MilvusServer
from kindred.matching import ImageRows
from kindred.recipe import Recipe
from kindred.similarity import SIMILARITIES
from kindred.store import STORES, Entry, Filter, Store
from milvus_server import MilvusProcess
from postgres_server import free_port
from tcp_proxy import Proxy

COUNT, D = 1200, 16
POLICY = SnapshotPolicy(exact_below=1000)
NUMBERS = itertools.count()
Rows = NDArray[np.float32]


@pytest.fixture(autouse=True)
def _settling(monkeypatch: pytest.MonkeyPatch, milvus: MilvusProcess) -> None:
    monkeypatch.setattr(building, "SETTLING_SECONDS", milvus.settling)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "library").mkdir()
    with STORES["sqlite"].create(tmp_path / "library", {"uuid": "0123"}) as made:  # type: ignore[attr-defined]
        yield made


@pytest.fixture
def url(milvus: MilvusProcess) -> MilvusUrl:
    return milvus.url(f"photos{next(NUMBERS)}", timeout=30)  # a busy machine of the tests is slow


def clustered(count: int, seed: int = 0) -> Rows:
    """Unit rows around some centres, as descriptors of photographs are."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(77).standard_normal((20, D))
    rows = centres[random.integers(0, 20, count)] + 0.6 * random.standard_normal((count, D))
    unit: Rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def path_of(number: int) -> Path:
    return Path(f"/p/{number % 7}/{number}.jpg")


def fill(store: Store, rows: Rows, start: int = 0) -> None:
    store.put([Entry(path_of(start + at), 1, 1, vectors=rows[at : at + 1]) for at in range(len(rows))])


def opened(store: Store, url: MilvusUrl, similarity: str = "cosine", policy: SnapshotPolicy = POLICY) -> MilvusIndex:
    recipe = Recipe("plain", "kin", similarity=similarity)
    found = INDEXES["milvus"].open(recipe, store, IndexSettings(None, policy, server=url))
    assert isinstance(found, MilvusIndex)
    return found


def truth(rows: Rows, query: Rows, k: int, keep: NDArray[np.bool_] | None = None) -> list[int]:
    scores = rows @ query
    if keep is not None:
        scores = np.where(keep, scores, -np.inf)
    order = np.lexsort((np.arange(len(rows)), -scores))[:k]
    return [int(number) + 1 for number in order if np.isfinite(scores[number])]


def collections(url: MilvusUrl) -> list[str]:
    return MilvusServer(url).collections(f"{url.collection}_")


def test_every_filter_gives_k_results(store: Store, url: MilvusUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "FEW_ROWS", 0)
    rows = clustered(COUNT)
    fill(store, rows)
    index = opened(store, url)
    index.renew()
    assert index.approximate
    for share in (0.5, 0.05, 0.005, 1 / COUNT):
        numbers = np.random.default_rng(5).permutation(COUNT)[: round(share * COUNT)]
        store.tag([path_of(number) for number in numbers.tolist()], f"{share}")
        keep = np.isin(np.arange(COUNT), numbers)
        right = total = 0
        for query in clustered(8, seed=9):
            found = index.search(query[None], 10, where=Filter(tags=(f"{share}",))).ids[0]
            expected = truth(rows, query, 10, keep)
            assert len(found[found > 0]) == len(expected) == min(10, keep.sum())
            assert keep[found[found > 0] - 1].all()
            right, total = right + len(set(expected) & set(found.tolist())), total + len(expected)
        assert right >= 0.95 * total
    whole = index.search(clustered(1, seed=3), 10, where=Filter(folder=Path("/p/3"))).ids[0]
    assert ((whole - 1) % 7 == 3).all()


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_every_similarity(store: Store, url: MilvusUrl, similarity: str) -> None:
    rows = clustered(COUNT) * np.random.default_rng(0).uniform(0.5, 2, (COUNT, 1)).astype(np.float32)
    rows[5] = 0
    fill(store, rows)
    index = opened(store, url, similarity)
    index.renew()
    assert index.approximate
    queries = 1.5 * clustered(8, seed=3)
    ranking = index.search(queries, 10)
    for number, query in enumerate(queries):
        own = SIMILARITIES[similarity](query[None], rows)[0]
        best = set((np.argsort(-own)[:10] + 1).tolist())
        assert len(best & set(ranking.ids[number].tolist())) >= 9
        np.testing.assert_allclose(ranking.scores[number], own[ranking.ids[number] - 1], atol=1e-5)


def test_changes_count_from_the_next_search_on(store: Store, url: MilvusUrl) -> None:
    """Before the server knows of them: what is new is compared in memory, what is gone is dropped."""
    rows = clustered(COUNT)
    fill(store, rows)
    index, other = opened(store, url), opened(store, url)
    index.renew()
    query = rows[:1]
    first = index.search(query, 10).ids[0]
    store.forget([path_of(int(number) - 1) for number in first[:9]])
    for each in (index, other):
        again = each.search(query, 10).ids[0]
        assert not set(first[:9].tolist()) & set(again.tolist())
        assert (again > 0).all()
    store.put([Entry(Path("/new.jpg"), 1, 1, vectors=query)])
    for each in (index, other):
        assert each.search(query, 1).ids.tolist() == [[COUNT + 1]]
        assert len(each) == COUNT - 8
    assert other.approximate
    report = index.build()
    assert (report.created, report.added, report.removed, report.vectors) == (False, 1, 9, COUNT - 8)
    assert len(index._state.later) == 0
    assert index.search(query, 1).ids.tolist() == other.search(query, 1).ids.tolist() == [[COUNT + 1]]
    [collection] = collections(url)
    assert len(MilvusServer(url).tokens(collection, strong=True)) == 1
    assert opened(store, url).build().added == 0


def test_renewing_waits_for_enough_changes(store: Store, url: MilvusUrl) -> None:
    policy = SnapshotPolicy(exact_below=1000, changes=20, tail_share=0.01)
    rows = clustered(COUNT)
    fill(store, rows[:900])
    index = opened(store, url, policy=policy)
    index.renew()
    assert not index.approximate
    assert collections(url) == []
    fill(store, rows[900:], 900)
    index.renew()
    assert index.approximate
    before = store.meta[key_of(url.collection)]
    fill(store, clustered(15, seed=4), COUNT)
    index.renew()
    assert store.meta[key_of(url.collection)] == before
    fill(store, clustered(15, seed=5), COUNT + 15)
    index.renew()
    assert json.loads(store.meta[key_of(url.collection)])["last_id"] == COUNT + 30
    assert len(collections(url)) == 1


def test_a_new_index_takes_the_place_of_the_old_one(store: Store, url: MilvusUrl) -> None:
    rows = clustered(COUNT)
    fill(store, rows)
    index, other = opened(store, url), opened(store, url)
    index.build("hnsw")
    expected = other.search(rows[:5], 10).ids
    [before] = collections(url)
    seen: list[tuple[str, int, int]] = []
    report = index.build("ivf", progress=lambda *report: seen.append(report))
    assert (report.created, report.kind, report.added) == (True, "ivf", COUNT)
    assert seen[0] == ("Storing", 0, COUNT)
    assert [each for each in seen if each[0] == "Storing"][-1] == ("Storing", COUNT, COUNT)
    [after] = collections(url)
    assert after != before
    assert other.search(rows[:5], 10).ids.tolist() == expected.tolist()
    assert other.approximate
    assert index.build().created is False
    assert index.build(rebuild=True).created is True
    assert len(collections(url)) == 1


def test_an_index_that_is_gone_is_not_searched(store: Store, url: MilvusUrl, caplog: pytest.LogCaptureFixture) -> None:
    rows = clustered(COUNT)
    fill(store, rows)
    index = opened(store, url)
    index.build()
    index.search(rows[:1], 10)
    [collection] = collections(url)
    MilvusServer(url).drop(collection)
    with caplog.at_level(logging.WARNING, "kindred"):
        assert index.search(rows[:1], 10).ids[0].tolist() == truth(rows, rows[0], 10)
        assert opened(store, url).search(rows[:1], 10).ids[0].tolist() == truth(rows, rows[0], 10)
    assert caplog.text.count("kindred build-index builds one") == 2
    assert not index.approximate
    assert opened(store, url).build().created


def test_an_index_of_another_state_is_not_searched(store: Store, url: MilvusUrl, milvus: MilvusProcess) -> None:
    """As after the store was restored from a backup: what the server has deleted since is there again."""
    rows = clustered(COUNT)
    fill(store, rows)
    index = opened(store, url)
    index.build()
    backup = store.meta[key_of(url.collection)]
    store.forget([path_of(3)])
    index.build()
    store.set_meta(key_of(url.collection), backup)
    time.sleep(milvus.settling)
    again = opened(store, url)
    assert again.search(rows[:1], 10).ids[0, 0] == 1
    assert not again.approximate
    assert again.build().created
    assert len(collections(url)) == 1


def test_an_interrupted_build_changes_nothing(store: Store, url: MilvusUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = clustered(COUNT)
    fill(store, rows)
    index = opened(store, url)
    index.build()
    before = store.meta[key_of(url.collection)]
    fill(store, clustered(30, seed=8), COUNT)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    for rebuild in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr(building._Build, "_settle", interrupted)
            with pytest.raises(KeyboardInterrupt):
                index.build(rebuild=rebuild)
        assert store.meta[key_of(url.collection)] == before
        assert len(collections(url)) == 1
        again = opened(store, url)
        assert again.search(rows[:1], 10).ids[0, 0] == 1
        assert again.approximate
    assert index.build().added == 30
    assert len(MilvusServer(url).tokens(collections(url)[0], strong=True)) == 1


def test_of_two_builds_at_once_one_is_recorded(store: Store, url: MilvusUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, clustered(COUNT))
    index, other = opened(store, url), opened(store, url)
    index.build()
    settle = building._Build._settle

    def meanwhile(_: building._Build) -> None:
        monkeypatch.setattr(building._Build, "_settle", settle)
        other.build()

    monkeypatch.setattr(building._Build, "_settle", meanwhile)
    with pytest.raises(LibraryError, match="another process has built the index"):
        index.build()
    assert index.search(clustered(1), 5).ids.shape == (1, 5)
    assert index.approximate


def test_the_collections_of_another_library_are_left_alone(store: Store, url: MilvusUrl, tmp_path: Path) -> None:
    fill(store, clustered(COUNT))
    opened(store, url).build()
    (tmp_path / "other").mkdir()
    with STORES["sqlite"].create(tmp_path / "other", {"uuid": "4567"}) as second:  # type: ignore[attr-defined]
        fill(second, clustered(20))
        assert opened(second, url).build().created
        assert opened(second, url).build(rebuild=True).created
        assert len(collections(url)) == 2
        assert opened(second, url).search(clustered(1), 100).ids.shape == (1, 20)
    assert not opened(store, url).build().created


SOUND = {
    "collection": "photos_00000000_00000000",
    "token": -1,
    "kind": "hnsw",
    "dimension": D,
    "similarity": "cosine",
    "last_id": 1,
    "count": 1,
    "revision": 1,
}


@pytest.mark.parametrize(
    "record",
    [
        "x",
        "[" * 5000,
        "{}",
        json.dumps(SOUND | {"collection": "other_00000000_00000000"}),
        json.dumps(SOUND | {"collection": "photos_00000000_00000000; drop"}),
        json.dumps(SOUND | {"collection": ["photos_00000000_00000000"]}),
        json.dumps(SOUND | {"token": 1}),
        json.dumps(SOUND | {"token": True}),
        json.dumps(SOUND | {"kind": "unknown"}),
        json.dumps(SOUND | {"kind": ["hnsw"]}),
        json.dumps(SOUND | {"last_id": 1e3}),
        json.dumps(SOUND | {"last_id": 1 << 70}),
        json.dumps(SOUND | {"host": "203.0.113.1"}),
        json.dumps(SOUND | {"dimension": D + 1}),
        json.dumps(SOUND | {"similarity": "dot"}),
    ],
)
def test_a_hostile_record_is_ignored(store: Store, record: str) -> None:
    """It is not even looked up: no server is at this address."""
    rows = clustered(50)
    fill(store, rows)
    url = MilvusUrl("127.0.0.1", "photos", free_port(), timeout=1)
    store.set_meta(key_of("photos"), record)
    assert opened(store, url).search(rows[:1], 3).ids[0].tolist() == truth(rows, rows[0], 3)


def test_kinds_that_the_server_lacks_are_refused(
    store: Store, url: MilvusUrl, milvus: MilvusProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, clustered(20))
    index = opened(store, url)
    lacking = {"rabitq"} if milvus.real else KINDS.keys() - {"hnsw", "ivf"}
    message = (
        "needs 2.6 or newer" if milvus.real else "is Milvus Lite, which has no index '(pq|diskann|rabitq)'; use hnsw"
    )
    for kind in lacking:
        with pytest.raises(UsageError, match=message):
            index.build(kind)
    with pytest.raises(UsageError, match="kind of index"):
        index.build("hsnw")
    server = index._server
    for version, kind, message in (
        ("v2.3.5", "rabitq", r"is Milvus v2.3.5; index 'rabitq' needs 2.6 or newer"),
        ("2.5.27", "rabitq", r"is Milvus 2.5.27; index 'rabitq' needs 2.6 or newer"),
    ):
        monkeypatch.setattr(server, "_version", version)
        with pytest.raises(UsageError, match=message):
            server.check_kind(kind)
        server.check_kind("diskann")
    monkeypatch.setattr(server, "_version", "2.10.1")
    server.check_kind("rabitq")
    assert collections(url) == []


@pytest.mark.parametrize("version", ["2.2.16", "v1.1", "unknown"])
def test_old_servers_are_refused(url: MilvusUrl, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    server = MilvusServer(url)
    monkeypatch.setattr(server, "_call", lambda *_: version)
    with pytest.raises(LibraryError, match=f"is Milvus {version}; expected 2.3 or newer"):
        _ = server.version


def test_a_read_only_library_is_searched_and_not_built(
    store: Store, url: MilvusUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, clustered(COUNT))
    monkeypatch.setattr(type(store), "writable", False)
    index = opened(store, url)
    index.renew()
    assert index.search(clustered(1), 3).ids.shape == (1, 3)
    with pytest.raises(LibraryError, match="the library is read-only"):
        index.build()


def test_vectors_that_do_not_fit_into_memory_are_not_read(
    store: Store, url: MilvusUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kindred.index.milvus import recorded as module

    fill(store, clustered(COUNT))
    monkeypatch.setattr(module, "MOST_IN_MEMORY", 100)
    index = opened(store, url)
    with pytest.raises(LibraryError, match=r"1,200 vectors of the library are not in the index; bring it up to date"):
        index.search(clustered(1), 3)
    opened(store, url).build()
    assert index.search(clustered(1), 3).ids.shape == (1, 3)


def test_without_pymilvus_the_packages_are_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, clustered(20))
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(MissingExtra, match="an index in Milvus needs an optional package: pip install pymilvus"):
        opened(store, MilvusUrl("127.0.0.1", "photos")).build()


def test_no_server_is_one_clear_error(store: Store) -> None:
    fill(store, clustered(20))
    url = MilvusUrl("127.0.0.1", "photos", free_port(), timeout=1)
    began = time.monotonic()
    with pytest.raises(LibraryUnreachable) as found:
        opened(store, url).build()
    assert time.monotonic() - began < 150
    message = str(found.value)
    assert message.startswith(f"{url}: its server did not answer within ")
    assert "check that it runs, then try again" in message
    assert "\n" not in message


def test_a_frozen_server_is_an_error_within_the_limit(store: Store, url: MilvusUrl, milvus: MilvusProcess) -> None:
    """A connection that takes everything and answers nothing: neither TCP nor gRPC notices that."""
    rows = clustered(COUNT)
    fill(store, rows)
    opened(store, url).build()
    proxy = Proxy(milvus.port)
    try:
        index = opened(store, milvus.url(url.collection, port=proxy.port, timeout=2))
        expected = index.search(rows[:1], 5).ids.tolist()
        proxy.cut = True
        began = time.monotonic()
        with pytest.raises(LibraryUnreachable, match="did not answer within 2 s"):
            index.search(rows[:1], 5)
        assert time.monotonic() - began < 60
        proxy.cut = False
        assert index.search(rows[:1], 5).ids.tolist() == expected
    finally:
        proxy.close()


@pytest.mark.parametrize(
    ("total", "indexed", "pending", "left"),
    [(1000, 400, 600, 600), (1000, 1000, 0, 0), (1000, 1000, 850, 0), (0, 0, 0, 0), (0, 0, 70, 70)],
)
def test_segments_that_are_merged_later_are_not_waited_for(
    url: MilvusUrl, monkeypatch: pytest.MonkeyPatch, total: int, indexed: int, pending: int, left: int
) -> None:
    """Milvus 2.3.5 merges and indexes a million rows again and again, so that hardly ever none is pending."""

    class Client:
        def describe_index(self, *_: object, **__: object) -> dict[str, object]:
            return {"total_rows": total, "indexed_rows": indexed, "pending_index_rows": pending, "state": "Finished"}

    monkeypatch.setattr(MilvusServer, "_client", lambda *_: Client())
    assert MilvusServer(url).pending("photos") == left


def test_the_indexing_of_the_server_is_part_of_the_progress(
    store: Store, url: MilvusUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, clustered(COUNT))
    index, seen = opened(store, url), list[tuple[str, int, int]]()
    pending = iter([COUNT + 1, COUNT // 2, 0])
    monkeypatch.setattr(MilvusServer, "pending", lambda *_: next(pending))
    index.build(progress=lambda *report: seen.append(report))
    assert seen[-2:] == [("Indexing", 0, COUNT), ("Indexing", COUNT - COUNT // 2, COUNT)]


def test_an_address_without_an_index_is_named(store: Store, url: MilvusUrl, caplog: pytest.LogCaptureFixture) -> None:
    rows = clustered(COUNT)
    fill(store, rows)
    index = opened(store, url)
    for _ in range(2):
        index.search(rows[:1], 3)
    [message] = caplog.messages
    assert message.endswith("has no index of this library yet; kindred build-index builds one")
    index.build()
    opened(store, url).search(rows[:1], 3)
    assert len(caplog.messages) == 1


def test_the_client_repeats_nothing_by_itself(url: MilvusUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would go on until the time is over, and then begin a last try with all of the time."""
    import grpc

    tries: list[int] = []

    class Lost(grpc.RpcError):  # type: ignore[misc]
        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.UNAVAILABLE

        def details(self) -> str:
            return "lost"

    def lost(*_: object, **__: object) -> None:
        tries.append(1)
        raise Lost

    client = MilvusServer(url)._client(10)
    monkeypatch.setattr(client._handler._stub, "ShowCollections", lost)
    with pytest.raises(Lost):
        client.list_collections(timeout=5)
    assert tries == [1]


def test_connecting_counts_towards_the_timeout_of_a_call(url: MilvusUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    server, pause = MilvusServer(url), 0.3
    monkeypatch.setattr(MilvusServer, "_client", lambda *_: time.sleep(pause))
    assert server._call(lambda _, limit: limit) <= url.timeout - pause


def test_the_calls_of_one_search_have_one_timeout(url: MilvusUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    server, pause = MilvusServer(url), 0.3
    monkeypatch.setattr(MilvusServer, "_client", lambda *_: None)

    def slow(_: object, limit: float) -> float:
        time.sleep(pause)
        return limit

    def call() -> float:
        return server._call(slow)

    with server.one_timeout():
        with server.one_timeout():
            first = call()
        assert call() <= first - pause
        assert server._call(lambda _, limit: limit, 1000.0) > url.timeout  # a limit of its own
    assert call() > first - pause


@pytest.mark.faults
def test_a_server_that_is_killed_and_started_again(store: Store, milvus: MilvusProcess) -> None:
    """Searches of several threads fail with one clear error or succeed; afterwards all are right again."""
    rows = clustered(COUNT)
    fill(store, rows)
    if milvus.real:
        pytest.skip("the tests of the real server have their own")
    own = MilvusProcess()
    try:
        index = opened(store, own.url("photos", timeout=1))
        index.build()
        expected = index.search(rows[:1], 10).ids.tolist()
        others: list[BaseException] = []
        errors: list[str] = []
        done = threading.Event()

        def search() -> None:
            while not done.is_set():
                try:
                    assert index.search(rows[:1], 10).ids.tolist() == expected
                except LibraryUnreachable as error:
                    errors.append(str(error))
                except BaseException as error:
                    others.append(error)

        threads = [threading.Thread(target=search) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        own.kill()
        end = time.monotonic() + 30
        while not errors and time.monotonic() < end:
            time.sleep(0.05)
        own.start()
        while True:
            try:
                assert index.search(rows[:1], 10).ids.tolist() == expected
                break
            except LibraryUnreachable:
                assert time.monotonic() < end
        done.set()
        for thread in threads:
            thread.join()
        assert not others
        assert errors
        assert all("check that it runs, then try again" in each and "\n" not in each for each in errors)
        assert len(collections(own.url("photos"))) == 1
    finally:
        own.remove()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_a_connection_of_its_own(store: Store, url: MilvusUrl) -> None:
    rows = clustered(COUNT)
    fill(store, rows)
    index = opened(store, url)
    index.build()
    expected = index.search(rows[:1], 10).ids.tolist()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        signal.alarm(30)
        code = 1
        try:
            code = int(index.search(rows[:1], 10).ids.tolist() != expected)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert index.search(rows[:1], 10).ids.tolist() == expected


def test_many_queries_give_the_results_of_each(store: Store, url: MilvusUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "BATCH_RESULTS", 100)
    rows = clustered(COUNT)
    fill(store, rows)
    index = opened(store, url)
    index.build()
    queries: Any = clustered(40, seed=8)
    together = index.search(queries, 7)
    for number in (0, 17, 39):
        np.testing.assert_array_equal(index.search(queries[number : number + 1], 7).ids[0], together.ids[number])


def test_rows_are_grouped_to_images(store: Store, url: MilvusUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of a few images fill the head of the server's list: it is widened until there are k images."""
    images, each = 300, 12
    random = np.random.default_rng(0)
    rows = clustered(images * each).reshape(images, each, D)
    query = clustered(1, seed=4)
    for number in range(20):
        near = query + 0.02 * random.standard_normal((each, D)).astype(np.float32)
        rows[number] = near / np.linalg.norm(near, axis=1, keepdims=True)
    store.put([Entry(path_of(number), 1, 1, vectors=rows[number]) for number in range(images)])
    store.tag([path_of(number) for number in range(0, images, 3)], "third")
    limits: list[int] = []
    search = MilvusServer.search

    def seen(self: MilvusServer, record: Any, queries: Rows, limit: int, expression: str) -> NDArray[np.int64]:
        limits.append(limit)
        return search(self, record, queries, limit, expression)

    monkeypatch.setattr(MilvusServer, "search", seen)
    monkeypatch.setattr(rows_module, "FEW_IMAGES", 50)
    recipe = Recipe("several", "kin", aggregate="multi_vector")
    found = INDEXES["milvus_rows"].open(recipe, store, IndexSettings(None, POLICY, server=url))
    assert isinstance(found, MilvusRows)
    found.build()
    assert found.approximate
    asked = ImageRows(query, np.zeros(1, np.int64))
    scores = (rows @ query[0]).max(axis=1)
    for where, kept in ((None, np.arange(images)), (Filter(tags=("third",)), np.arange(0, images, 3))):
        limits.clear()
        ranking = found.search(asked, 10, where=where)
        assert len(set(ranking.ids[0].tolist())) == 10
        assert np.isin(ranking.ids[0] - 1, kept).all()
        least = np.sort(scores[kept])[-10]
        assert (scores[ranking.ids[0] - 1] >= least - 5e-3).all()  # rows are compared as float16
        assert len(limits) > 1
        np.testing.assert_allclose(ranking.scores[0], scores[ranking.ids[0] - 1], atol=5e-3)
        assert found.search(asked, 10**6, where=where).ids.shape[1] == len(kept)


def test_changes_during_updates_do_not_make_the_count_drift(
    store: Store, url: MilvusUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is removed while the index is brought up to date was subtracted by this update and again by the next."""
    rows = clustered(COUNT)
    fill(store, rows)
    index = opened(store, url)
    index.build()
    upsert, numbers = building._Build._upsert, iter(range(COUNT))

    def meanwhile(build: building._Build, *given: Any, **options: Any) -> tuple[int, int]:
        found = upsert(build, *given, **options)
        store.forget([path_of(next(numbers)) for _ in range(10)])
        return found

    monkeypatch.setattr(building._Build, "_upsert", meanwhile)
    for done in (1, 2, 3):
        assert index.build().vectors == COUNT - 10 * done
    record = opened(store, url)._recorded_index()
    assert record is not None
    assert record.count == COUNT - 30


def test_a_record_that_is_replaced_while_the_server_is_asked_is_read_again(
    store: Store, url: MilvusUrl, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The server forgets a state of the index as soon as the next is recorded."""
    rows = clustered(COUNT)
    fill(store, rows)
    index, reader = opened(store, url), opened(store, url)
    index.build()
    holds = MilvusServer.holds

    def meanwhile(server: MilvusServer, record: Any) -> bool:
        monkeypatch.setattr(MilvusServer, "holds", holds)
        fill(store, clustered(10, seed=3), COUNT)
        index.build()
        time.sleep(building.SETTLING_SECONDS)  # until the server no longer shows the state before
        return holds(server, record)

    monkeypatch.setattr(MilvusServer, "holds", meanwhile)
    with caplog.at_level(logging.WARNING, "kindred"):
        assert reader.search(rows[:1], 10).ids[0].tolist() == truth(rows, rows[0], 10)
    assert reader.approximate
    assert reader._state.record == index._state.record
    assert caplog.text == ""


def test_vectors_that_the_server_has_lost_are_noticed_and_stored_again(
    store: Store, url: MilvusUrl, milvus: MilvusProcess, caplog: pytest.LogCaptureFixture
) -> None:
    rows = clustered(COUNT)
    fill(store, rows)
    index = opened(store, url)
    index.build()
    server, [before] = MilvusServer(url), collections(url)
    server.delete(before, np.array([3, 5]))
    time.sleep(milvus.settling)
    with caplog.at_level(logging.WARNING, "kindred"):
        report = index.build()
    assert (report.created, report.vectors) == (True, COUNT)
    assert "has lost 2 vectors; a new index is built" in caplog.text
    [after] = collections(url)
    assert after != before
    assert server.rows(after) == COUNT + 1
    assert index.search(rows[2:3], 1).ids.tolist() == [[3]]
    caplog.clear()
    store.forget([path_of(7)])
    assert index.build().created is False
    assert caplog.text == ""


def test_a_new_index_that_lacks_vectors_is_not_recorded(
    store: Store, url: MilvusUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, clustered(COUNT))
    load = MilvusServer.load

    def lose(server: MilvusServer, record: Any) -> None:
        load(server, record)
        server.delete(record.collection, np.array([8, 9, 10]))

    monkeypatch.setattr(MilvusServer, "load", lose)
    with pytest.raises(LibraryError, match="has lost 3 of 1,200 vectors that it had acknowledged"):
        opened(store, url).build()
    assert collections(url) == []
    assert not opened(store, url).approximate
