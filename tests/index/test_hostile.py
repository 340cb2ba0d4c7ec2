"""Libraries from untrusted sources: only a valid snapshot is searched or extended."""

from __future__ import annotations

import json
import logging
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import LibraryDamaged
from kindred.index import HNSWIndex, SnapshotIndex, SnapshotPolicy
from kindred.index.container import END, MAGIC, write_container
from kindred.index.graph_file import GraphShape, map_graph, write_graph
from kindred.index.id_map import IdMap
from kindred.store import Entry, SqliteStore

D, COUNT = 8, 60
METADATA: dict[str, str | int | float] = {
    **{"kind": "hnsw", "dimension": D, "similarity": "cosine"},
    **{"m": 24, "ef_construction": 200, "ef_search": 256},
}
POLICY = SnapshotPolicy(exact_below=20, changes=5, tail_share=0.1)
ROWS = np.random.default_rng(0).standard_normal((COUNT, D)).astype(np.float32)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore.create(tmp_path / "library" / "store.sqlite", {}) as created:
        created.put([Entry(Path(f"/p/{n}.jpg"), 1, 1, vectors=row[None]) for n, row in enumerate(ROWS)])
        SnapshotIndex(created.file.parent, created, dimension=D, policy=POLICY).snapshot()
        yield created


def plant(store: SqliteStore, payload: bytes, *, count: int = COUNT, metadata: dict[str, Any] | None = None) -> None:
    """Replace the snapshot by a payload, with its checksum in the store, as an attacker can."""
    (file,) = store.file.parent.glob("index-*.hnsw")
    record(store, file=file.name, checksum=write(file, payload, count=count, metadata=metadata))


def write(file: Path, payload: bytes, *, count: int = COUNT, metadata: dict[str, Any] | None = None) -> int:
    def fill(sink: Any) -> None:
        sink.write(payload)

    ids = IdMap().extended(np.arange(1, count + 1))
    return write_container(file, METADATA if metadata is None else metadata, ids, payload=fill)


def record(store: SqliteStore, **changes: Any) -> None:
    store.set_meta("snapshot", json.dumps(json.loads(store.meta["snapshot"]) | changes))


def check_results(store: SqliteStore, caplog: pytest.LogCaptureFixture) -> None:
    """Check that the planted file is ignored: search is exact, and the next snapshot is built from the store alone."""
    caplog.clear()
    index = SnapshotIndex(store.file.parent, store, dimension=D, policy=POLICY)
    with caplog.at_level(logging.WARNING):
        assert index.search(ROWS, 1).ids[:, 0].tolist() == list(range(1, COUNT + 1))
    assert not index.approximate
    assert caplog.text.count("the snapshot is ignored") == 1
    store.put([Entry(Path("/p/new.jpg"), 1, 1, vectors=ROWS[:1])])
    assert index.snapshot()
    again = SnapshotIndex(store.file.parent, store, dimension=D, policy=POLICY)
    assert again.search(ROWS[1:], 1).ids[:, 0].tolist() == list(range(2, COUNT + 1))
    assert (again.approximate, len(again)) == (True, COUNT + 1)


def faiss_bytes(index: Any) -> bytes:
    faiss = pytest.importorskip("faiss")
    return bytes(faiss.serialize_index(index).tobytes())


def filled(index: Any) -> bytes:
    index.train(ROWS)
    index.add(ROWS)
    return faiss_bytes(index)


def on_disk(outside: Path) -> bytes:
    faiss = pytest.importorskip("faiss")
    quantiser = faiss.IndexFlatIP(D)
    index = faiss.IndexIVFFlat(quantiser, D, 2, faiss.METRIC_INNER_PRODUCT)
    index.train(ROWS)
    lists = faiss.OnDiskInvertedLists(2, index.code_size, str(outside))
    index.replace_invlists(lists)
    index.add(ROWS)
    return faiss_bytes(index)


def test_lists_in_another_file_are_not_read_or_written(
    store: SqliteStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outside = tmp_path / "outside"
    payload = on_disk(outside)
    before = bytes(range(256)) * (outside.stat().st_size // 256)
    outside.write_bytes(before)
    plant(store, payload)
    check_results(store, caplog)
    assert outside.read_bytes() == before
    outside.unlink()
    plant(store, payload, count=COUNT)
    record(store, revision=store.revision)
    SnapshotIndex(store.file.parent, store, dimension=D, policy=POLICY).snapshot(force=True)
    assert not outside.exists()


KINDS: dict[str, Callable[[Any], Any]] = {
    "flat": lambda faiss: faiss.IndexFlatIP(D),
    "lists": lambda faiss: faiss.IndexIVFFlat(faiss.IndexFlatIP(D), D, 2),
    "graph over float32": lambda faiss: faiss.IndexHNSWFlat(D, 24, faiss.METRIC_INNER_PRODUCT),
    "graph over bytes": lambda faiss: faiss.IndexHNSWSQ(D, faiss.ScalarQuantizer.QT_8bit, 24, 0),
    "other metric": lambda faiss: faiss.IndexHNSWSQ(D, faiss.ScalarQuantizer.QT_fp16, 24, faiss.METRIC_L2),
    "other m": lambda faiss: faiss.IndexHNSWSQ(D, faiss.ScalarQuantizer.QT_fp16, 8, 0),
    "wrapped": lambda faiss: faiss.IndexIDMap(faiss.IndexFlatIP(D)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_another_kind_of_index_is_ignored(store: SqliteStore, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    index = KINDS[kind](pytest.importorskip("faiss"))
    index.train(ROWS)
    index.add_with_ids(ROWS, np.arange(COUNT)) if kind == "wrapped" else index.add(ROWS)
    plant(store, faiss_bytes(index))
    check_results(store, caplog)


@pytest.mark.parametrize("count", [COUNT - 1, COUNT + 1, 10 * COUNT])
def test_a_snapshot_whose_rows_and_ids_differ_in_number_is_ignored(
    store: SqliteStore, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    plant(store, valid_graph(), count=count)
    check_results(store, caplog)


def test_a_snapshot_of_another_dimension_is_ignored(store: SqliteStore, caplog: pytest.LogCaptureFixture) -> None:
    index = HNSWIndex(2 * D)
    index.add(np.arange(1, COUNT + 1), np.tile(ROWS, 2))
    wide = b"".join(write_graph(index._graph, index._shape))
    plant(store, wide)
    check_results(store, caplog)
    plant(store, wide, metadata=METADATA | {"dimension": 2 * D})
    check_results(store, caplog)


@pytest.mark.parametrize(
    "change",
    [
        *({"dimension": value} for value in (0, -1, 1 << 40, "8", 8.0, True)),
        *({"m": value} for value in (0, 1, -3, 1 << 40, "x")),
        {"ef_construction": 10**30},
        {"ef_search": -1},
        {"similarity": "sine"},
        {"kind": "x" * 1000},
    ],
    ids=str,
)
def test_a_snapshot_with_invalid_metadata_is_ignored(
    store: SqliteStore, change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    plant(store, valid_graph(), metadata=METADATA | change)
    check_results(store, caplog)


def valid_graph() -> bytes:
    index = HNSWIndex(D)
    index.add(np.arange(1, COUNT + 1), ROWS)
    return b"".join(write_graph(index._graph, index._shape))


def arrays_of(data: bytes) -> tuple[int, NDArray[np.int32], int, NDArray[np.int32]]:
    """Return the offset and values of the levels, and of the neighbours, of a graph of M = 24."""
    at = struct.calcsize("<4siqqq?i")
    for size in (8, 4):
        (length,) = struct.unpack_from("<Q", data, at)
        at += 8 + size * length
    levels_at = at + 8
    levels = np.frombuffer(data, "<i4", COUNT, levels_at)
    at = levels_at + 4 * COUNT
    (length,) = struct.unpack_from("<Q", data, at)
    at += 8 + 8 * length
    (length,) = struct.unpack_from("<Q", data, at)
    return levels_at, levels, at + 8, np.frombuffer(data, "<i4", length, at + 8)


def changed(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + struct.pack("<i", value) + data[at + 4 :]


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("value", [COUNT, 2**31 - 1, -2, -(2**31)])
def test_a_neighbour_outside_the_graph_is_refused(mapped: bool, value: int, tmp_path: Path) -> None:
    data = valid_graph()
    _, _, at, neighbours = arrays_of(data)
    assert neighbours.max() < COUNT
    refused(changed(data, at + 4 * 3, value), mapped, tmp_path, "a neighbour is not a row of the graph")


@pytest.mark.parametrize("mapped", [True, False])
def test_neighbours_and_entry_points_on_the_wrong_level_are_refused(mapped: bool, tmp_path: Path) -> None:
    data = valid_graph()
    levels_at, levels, at, neighbours = arrays_of(data)
    assert levels.max() > 1, "another seed: no row has a second level"
    high = int(np.flatnonzero(levels > 1)[0])
    low = int(np.flatnonzero(levels == 1)[0])
    starts = np.concatenate(([0], np.cumsum(48 + 24 * (levels - 1))))
    second = at + 4 * (int(starts[high]) + 48)
    refused(changed(data, second, low), mapped, tmp_path, "a neighbour is not on the level")
    entry_at = at + neighbours.nbytes
    refused(changed(data, entry_at, low), mapped, tmp_path, "the entry point is not on the highest level")
    refused(changed(data, entry_at, COUNT), mapped, tmp_path, "the entry point is not on the highest level")
    for level in (0, -1, 1000):
        refused(changed(data, levels_at, level), mapped, tmp_path, "a row has no level, or too many levels")
    refused(changed(data, levels_at + 4 * low, 2), mapped, tmp_path, "is not a valid graph")


@pytest.mark.parametrize("mapped", [True, False])
def test_any_changed_byte_of_the_layout_is_refused(mapped: bool, tmp_path: Path) -> None:
    data = valid_graph()
    levels_at, _, at, neighbours = arrays_of(data)
    after = at + neighbours.nbytes
    fixed = [*range(0, levels_at), *range(levels_at + 4 * COUNT, at), *range(after, len(data) - 2 * COUNT * D)]
    for place in fixed[:: 1 if mapped else 5]:
        corrupted = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(ValueError, match=r"."):
            map_graph(np.frombuffer(corrupted, np.uint8), GraphShape(D, False, 24, 200), COUNT)
    for size in (0, 1, 40, at, len(data) - 1):
        refused(data[:size], mapped, tmp_path, "is not a valid graph")
    refused(data + b"x", mapped, tmp_path, "is not a valid graph")


def refused(payload: bytes, mapped: bool, folder: Path, why: str) -> None:
    write(folder / "index", payload)
    with pytest.raises(LibraryDamaged, match=why):
        HNSWIndex.load(folder / "index", mapped=mapped)


def test_the_layout_equals_the_format_of_faiss() -> None:
    faiss = pytest.importorskip("faiss")
    for similarity, metric in (("cosine", faiss.METRIC_INNER_PRODUCT), ("euclidean", faiss.METRIC_L2)):
        index = HNSWIndex(D, similarity=similarity)
        for rows in (ROWS[:0], ROWS):
            index.add(np.arange(1, len(rows) + 1), rows)
            own = faiss.IndexHNSWSQ(D, faiss.ScalarQuantizer.QT_fp16, 24, metric)
            own.hnsw.efConstruction = 200
            own.add(rows)
            assert b"".join(write_graph(index._graph, index._shape)) == faiss_bytes(own)


def test_rows_that_are_not_finite_are_never_results(tmp_path: Path) -> None:
    data = bytearray(valid_graph())
    halves = np.frombuffer(data, "<f2", COUNT * D, len(data) - 2 * COUNT * D).reshape(COUNT, D)
    halves[10], halves[11], halves[12] = np.nan, np.inf, -np.inf
    write(tmp_path / "index", bytes(data))
    index = HNSWIndex.load(tmp_path / "index", mapped=True)
    for k in (1, 5, COUNT):
        for allowed in (None, np.arange(5, 20)):
            found = index.search(ROWS[8:14], k, allowed=allowed)
            assert not np.isin(found.ids, [11, 12, 13]).any()
            assert np.isfinite(found.scores[found.ids >= 0]).all()


NAMES = [
    "../outside",
    "/etc/passwd",
    "index-0123456789ab.hnsw/../../outside",
    "",
    ".",
    "store.sqlite",
    "index-\x00.hnsw",
]


@pytest.mark.parametrize("name", [*NAMES, "index-ABCDEF012345.hnsw", 7, None, ["index-0123456789ab.hnsw"]], ids=repr)
def test_a_snapshot_record_with_another_file_name_is_ignored(
    store: SqliteStore, name: Any, caplog: pytest.LogCaptureFixture
) -> None:
    record(store, file=name)
    check_results(store, caplog)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "null", "7", "[]", '{"file": 1}', '{"file":"index-0123456789ab.hnsw","checksum":1}', "\x1b]0;t\x07"]
    + [json.dumps({"file": "index-0123456789ab.hnsw", "checksum": c, "revision": r}) for c, r in ((1e400, 1), (1, -1))]
    + [json.dumps({"file": "index-0123456789ab.hnsw", "checksum": 1, "revision": 10**400})],
    ids=range(10),
)
def test_an_invalid_snapshot_record_is_ignored(store: SqliteStore, text: str, caplog: pytest.LogCaptureFixture) -> None:
    store.set_meta("snapshot", text)
    check_results(store, caplog)
    assert "\x1b" not in caplog.text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("what", ["pipe", "link", "device", "folder"])
def test_a_snapshot_that_is_not_a_regular_file_is_ignored(
    store: SqliteStore, what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (file,) = store.file.parent.glob("index-*.hnsw")
    elsewhere = file.replace(tmp_path / "elsewhere")
    if what == "pipe":
        os.mkfifo(file)  # to open it would wait for ever
    elif what == "folder":
        file.mkdir()
    else:
        file.symlink_to(elsewhere if what == "link" else "/dev/zero")
    before = elsewhere.read_bytes()
    check_results(store, caplog)
    assert elsewhere.read_bytes() == before


def test_a_hostile_trailer_allocates_no_memory(store: SqliteStore, caplog: pytest.LogCaptureFixture) -> None:
    import zlib

    (file,) = store.file.parent.glob("index-*.hnsw")
    for text in (b'{"kind": "hnsw", "count": 1e30}', b'{"kind": "hnsw", "count": 99999999999}', b"[]", b"[" * 60_000):
        file.write_bytes(b"x" * 50 + text + END.pack(zlib.crc32(text), len(text), MAGIC))
        with pytest.raises(LibraryDamaged):
            HNSWIndex.load(file)
    file.write_bytes(b"x" * 50 + END.pack(0, 1 << 62, MAGIC))
    with pytest.raises(LibraryDamaged, match="truncated"):
        HNSWIndex.load(file)
    check_results(store, caplog)
