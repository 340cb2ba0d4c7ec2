from __future__ import annotations

import logging
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kindred.errors import LibraryDamaged, UsageError
from kindred.index import SnapshotIndex, SnapshotPolicy
from kindred.store import Entry, Filter, SqliteStore

D = 8
SOON = SnapshotPolicy(exact_below=20, changes=5, tail_share=0.1, removed_share=0.3)
NOBODY = 65534


def vector(seed: int, *, regions: int = 1) -> NDArray[np.float32]:
    found = np.random.default_rng(seed).standard_normal((regions, D)).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def put(store: SqliteStore, *seeds: int) -> None:
    store.put([Entry(Path(f"/p/{seed}.jpg"), 1, 1, vectors=vector(seed)) for seed in seeds])


def remove(store: SqliteStore, *seeds: int) -> None:
    store.forget([Path(f"/p/{seed}.jpg") for seed in seeds])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore.create(tmp_path / "store.sqlite", {}) as created:
        yield created


def open_index(store: SqliteStore, *, similarity: str = "cosine") -> SnapshotIndex:
    return SnapshotIndex(store.file.parent, store, dimension=D, similarity=similarity, policy=SOON)


def found(index: SnapshotIndex, seed: int) -> bool:
    """Whether the vector of `seed` is its own best result."""
    return bool(index.search(vector(seed), 1).scores[0, 0] > 0.999)


def snapshots(store: SqliteStore) -> list[Path]:
    return sorted(store.file.parent.glob("index-*"))


def test_a_small_library_is_searched_exactly_without_a_file(store: SqliteStore) -> None:
    index = open_index(store)
    assert index.search(vector(1), 2).ids.tolist() == [[]]
    put(store, *range(10))
    answers = index.search(vector(4), 10)
    truth = np.concatenate([vector(seed) for seed in range(10)]) @ vector(4)[0]
    assert answers.ids[0].tolist() == (np.argsort(-truth) + 1).tolist()
    np.testing.assert_allclose(answers.scores[0], np.sort(truth)[::-1], atol=1e-5)
    assert not index.snapshot_due
    assert not index.snapshot()
    assert snapshots(store) == []


def test_a_snapshot_is_made_only_when_due(store: SqliteStore) -> None:
    index = open_index(store)
    put(store, *range(25))
    index.sync()
    assert index.snapshot_due
    steps: list[tuple[int, int]] = []
    assert index.snapshot(progress=lambda done, total: steps.append((done, total)))
    assert (steps[0], steps[-1]) == ((0, 25), (25, 25))
    assert index.approximate
    assert not index.snapshot_due
    (first,) = snapshots(store)
    put(store, *range(25, 30))
    assert found(index, 29)
    assert snapshots(store) == [first]  # five more rows are no reason to write it again
    put(store, 30, 31)
    assert found(index, 31)
    steps.clear()
    assert index.snapshot(progress=lambda done, total: steps.append((done, total)))
    assert (steps[0], steps[-1]) == ((25, 32), (32, 32))  # the old snapshot is gone on with
    assert len(snapshots(store)) == 1
    assert snapshots(store) != [first]
    assert all(found(index, seed) for seed in range(32))


def test_removed_and_replaced_images_are_not_found_before_and_after_a_snapshot(store: SqliteStore) -> None:
    index = open_index(store)
    put(store, *range(30))
    index.snapshot()
    remove(store, 3)
    store.put([Entry(Path("/p/4.jpg"), 1, 1, vectors=vector(104))])
    for current in (index, open_index(store)):
        assert not found(current, 3)
        assert not found(current, 4)
        assert found(current, 104)
        assert len(current) == 29
    assert index.snapshot(force=True)
    for current in (index, open_index(store)):
        assert not found(current, 3)
        assert not found(current, 4)
        assert found(current, 104)
        assert len(current) == 29


def test_many_removals_rebuild_the_graph(store: SqliteStore) -> None:
    index = open_index(store)
    put(store, *range(40))
    index.snapshot()
    remove(store, *range(15))
    index.sync()
    assert index.snapshot_due
    steps: list[int] = []
    assert index.snapshot(progress=lambda done, _: steps.append(done))
    assert (steps[0], steps[-1]) == (0, 25)
    assert not index.snapshot_due
    assert found(index, 20)
    assert not found(index, 3)


def test_a_filter_applies_to_the_snapshot_and_the_tail(store: SqliteStore) -> None:
    index = open_index(store)
    put(store, *range(30))
    index.snapshot()
    put(store, 30, 31)
    store.tag([Path("/p/7.jpg"), Path("/p/30.jpg")], "wanted")
    answers = index.search(vector(1), 5, where=Filter(tags=("wanted",)))
    assert sorted(answers.ids[0].tolist()) == [-1, -1, -1, 8, 31]


@pytest.mark.parametrize("similarity", ["l1", "chi_square"])
def test_similarities_without_a_graph_are_searched_exactly(store: SqliteStore, similarity: str) -> None:
    rows = np.abs(np.concatenate([vector(seed) for seed in range(30)]))
    store.put([Entry(Path(f"/p/{n}.jpg"), 1, 1, vectors=row[None]) for n, row in enumerate(rows)])
    index = open_index(store, similarity=similarity)
    assert index.search(rows[12:13], 1).ids.tolist() == [[13]]
    assert not index.snapshot(force=True)


def damage_file(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    file.unlink()  # never changed in place: an index may have it mapped
    if how == "truncated":
        file.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        file.write_bytes(b"")
    elif content:  # flipped, where nothing emptied it before
        content[len(content) // 3] ^= 16
        file.write_bytes(content)


@pytest.mark.parametrize("how", ["deleted", "truncated", "empty", "flipped"])
def test_a_damaged_snapshot_is_ignored_and_made_again(
    store: SqliteStore, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    put(store, *range(30))
    open_index(store).snapshot()
    (file,) = snapshots(store)
    damage_file(file, how)
    index = open_index(store)
    with caplog.at_level(logging.WARNING):
        assert all(found(index, seed) for seed in range(30))
    assert "the snapshot is ignored" in caplog.text
    assert str(file) in caplog.text
    assert not index.approximate
    assert index.snapshot()
    assert len(snapshots(store)) == 1
    again = open_index(store)
    assert all(found(again, seed) for seed in range(30))
    assert again.approximate


def test_an_outdated_snapshot_file_is_ignored(store: SqliteStore) -> None:
    put(store, *range(30))
    index = open_index(store)
    index.snapshot()
    (file,) = snapshots(store)
    older = file.read_bytes()
    remove(store, 5)
    index.snapshot(force=True)
    (newer,) = snapshots(store)
    newer.write_bytes(older)  # sound in itself, but not what the store names
    current = open_index(store)
    assert not found(current, 5)
    assert not current.approximate


def test_a_snapshot_of_other_vectors_is_ignored(store: SqliteStore) -> None:
    put(store, *range(30))
    open_index(store).snapshot()
    other = open_index(store, similarity="euclidean")
    assert other.search(vector(3), 1).ids.tolist() == [[4]]
    assert not other.approximate
    store.set_meta("snapshot", "no json")
    assert not open_index(store).approximate
    assert found(open_index(store), 3)


def test_a_store_restored_from_a_backup_does_not_use_a_newer_snapshot(store: SqliteStore) -> None:
    put(store, *range(30))
    store.close()
    backup = store.file.read_bytes()
    with SqliteStore.open(store.file) as writer:
        put(writer, *range(30, 60))
        open_index(writer).snapshot()
    store.file.write_bytes(backup)
    with SqliteStore.open(store.file) as restored:
        put(restored, *range(200, 230))
        index = open_index(restored)
        assert not found(index, 40)
        assert found(index, 210)


def test_the_index_of_a_read_only_store_is_built_in_memory(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, *range(30))
    monkeypatch.setattr(SqliteStore, "writable", property(lambda self: self is store))
    with SqliteStore.open(store.file) as reader:
        index = open_index(reader)
        assert index.snapshot()
        assert index.approximate
        put(store, 77)
        remove(store, 3)
        assert found(index, 77)
        assert not found(index, 3)
        assert snapshots(store) == []
        open_index(store).snapshot()  # the writer's: the reader moves over to it
        assert found(index, 77)
        assert not found(index, 3)


def test_on_a_full_disk_the_index_stays_in_memory(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(store, *range(30))
    index = open_index(store)

    def no_room(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kindred.index.hnsw.write_container", no_room)
    assert index.snapshot()
    assert "stays in memory" in caplog.text
    assert index.approximate
    assert snapshots(store) == []
    put(store, 50)
    assert found(index, 50)
    assert found(index, 3)
    monkeypatch.undo()
    assert index.snapshot(force=True)
    assert len(snapshots(store)) == 1
    assert found(index, 50)


def test_a_snapshot_replaced_before_it_is_opened_is_looked_up_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, *range(30))
    writer = open_index(store)
    writer.snapshot()
    with SqliteStore.open(store.file) as reader:
        index = open_index(reader)
        load = index._load

        def overtaken(record: object, *, mapped: bool) -> object:
            monkeypatch.setattr(index, "_load", load)
            writer.snapshot(force=True)  # replaces the file just named
            return load(record, mapped=mapped)  # type: ignore[arg-type]

        monkeypatch.setattr(index, "_load", overtaken)
        assert found(index, 12)
        assert index.approximate


def test_damage_in_the_store_is_reported(store: SqliteStore) -> None:
    put(store, *range(3))
    with store._database.write() as connection:
        connection.execute("UPDATE vectors SET data = x'00' WHERE id = 2")
    with pytest.raises(LibraryDamaged, match="vector 2 has 1 bytes, expected 32"):
        open_index(store).search(vector(1), 1)
    with pytest.raises(UsageError, match=r"expected \(Q, 8\)"):
        open_index(store).search(np.ones((1, 3)), 1)


WRITER = """
import sys
from pathlib import Path
import numpy as np
from kindred.store import SqliteStore, Entry
from kindred.index import SnapshotIndex, SnapshotPolicy
file = Path(sys.argv[1])
with SqliteStore.open(file) as store:
    policy = SnapshotPolicy(exact_below=20, changes=5)
    index = SnapshotIndex(file.parent, store, dimension=8, policy=policy)
    print("ready", flush=True)
    for line in sys.stdin:
        word, number = line.split()
        seed = int(number)
        path = Path(f"/p/{seed}.jpg")
        if word == "put":
            rows = np.random.default_rng(seed).standard_normal((1, 8)).astype(np.float32)
            store.put([Entry(path, 1, 1, vectors=rows / np.linalg.norm(rows))])
        elif word == "remove":
            store.forget([path])
        else:
            index.snapshot(force=True)
        print("done", flush=True)
"""


def test_a_searching_process_sees_the_changes_of_a_writing_one(store: SqliteStore) -> None:
    put(store, *range(30))
    store.close()
    command = [sys.executable, "-c", WRITER, str(store.file)]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdin is not None
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"

    def send(line: str) -> None:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write(line + "\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "done\n"

    with SqliteStore.open(store.file) as reader:
        index = open_index(reader)
        assert not found(index, 500)
        send("put 500")
        assert found(index, 500)
        send("snapshot 0")
        assert found(index, 500)
        assert index.approximate
        send("put 501")
        send("remove 500")
        assert found(index, 501)
        assert not found(index, 500)
        send("snapshot 0")
        send("put 502")
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert [found(index, seed) for seed in (500, 501, 502)] == [False, True, True]
        assert [found(open_index(reader), seed) for seed in (500, 501, 502)] == [False, True, True]
    writer.stdin.close()
    writer.stdout.close()


READ_AS_NOBODY = f"""
import os, sys
from pathlib import Path
import numpy as np
from kindred.store import SqliteStore
from kindred.index import SnapshotIndex, ExactIndex, HNSWIndex, SnapshotPolicy
file = Path(sys.argv[1])
for kind in (ExactIndex, HNSWIndex):  # what is imported late may lie where nobody can read
    kind(8).add([1], np.ones((1, 8)))
if os.geteuid() == 0:
    os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
with SqliteStore.open(file) as reader:
    policy = SnapshotPolicy(exact_below=20, changes=5)
    index = SnapshotIndex(file.parent, reader, dimension=8, policy=policy)
    rows = np.concatenate([rows for _, rows in reader.vectors()])
    assert (index.search(rows, 1).ids[:, 0] == range(1, 31)).all()
    assert index.snapshot(force=True)
    assert (index.search(rows, 1).ids[:, 0] == range(1, 31)).all()
"""


@pytest.mark.parametrize("saved", [True, False])
def test_a_read_only_folder_is_searched_in_memory(saved: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with SqliteStore.create(folder / "store.sqlite", {}) as store:
            put(store, *range(30))
            if saved:
                open_index(store).snapshot()
        before = sorted(folder.iterdir())
        folder.chmod(0o555)
        command = [sys.executable, "-c", READ_AS_NOBODY, str(folder / "store.sqlite")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        folder.chmod(0o755)
        assert (done.returncode, done.stderr) == (0, "")
        assert sorted(folder.iterdir()) == before


STEPS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 9), st.integers(1, 3)),
    st.tuples(st.just("skip"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("remove"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("snapshot"), st.just(0), st.just(0)),
    st.tuples(st.just("reopen"), st.just(0), st.just(0)),
    st.tuples(st.just("damage_file"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("search"), st.integers(0, 99), st.integers(1, 6)),
)


@given(steps=st.lists(STEPS, min_size=3, max_size=25))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_sequence_of_changes_gives_the_results_of_a_dictionary(steps: list[tuple[str, int, int]]) -> None:
    model: dict[int, NDArray[np.float32]] = {}
    with tempfile.TemporaryDirectory() as name:
        store = SqliteStore.create(Path(name) / "store.sqlite", {})
        index, watcher = open_index(store), open_index(store)
        for turn, (step, number, size) in enumerate([*steps, ("search", 5, 4)]):
            path = Path(f"/p/{number}.jpg")
            if step == "put":
                model[number] = vector(1000 * turn + number, regions=size)
                store.put([Entry(path, 1, 1, vectors=model[number])])
            elif step == "skip":
                model.pop(number, None)
                store.put([Entry(path, 1, 1, reason="empty file")])
            elif step == "remove":
                model.pop(number, None)
                store.forget([path])
            elif step == "snapshot":
                index.snapshot(force=True)
            elif step == "reopen":
                store.close()
                store = SqliteStore.open(store.file)
                index, watcher = open_index(store), open_index(store)
            elif step == "damage_file":
                for file in snapshots(store):
                    damage_file(file, ("deleted", "truncated", "empty", "flipped")[number])
            else:
                for current in (index, watcher):
                    compare(current, store, model, query=vector(number), k=size)
        store.close()


def compare(
    index: SnapshotIndex,
    store: SqliteStore,
    model: dict[int, NDArray[np.float32]],
    *,
    query: NDArray[np.float32],
    k: int,
) -> None:
    scores = {
        (number, region): float(row @ query[0]) for number, rows in model.items() for region, row in enumerate(rows)
    }
    answers = index.search(query, k)
    expected = sorted(scores.values(), reverse=True)[:k]
    ids = answers.ids[0, : len(expected)].tolist()
    assert (answers.ids[0, len(expected) :] == -1).all()
    np.testing.assert_allclose(answers.scores[0, : len(expected)], expected, atol=2e-3)
    rows = store.rows(ids)
    for number, score in zip(ids, answers.scores[0], strict=False):
        place = int(rows[number].path.stem), rows[number].region
        assert scores[place] == pytest.approx(float(score), abs=2e-3)
    assert len(index) == len(scores)
