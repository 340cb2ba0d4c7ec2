from __future__ import annotations

import io
import os
import struct
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from diffusion_oracles import SparseIds
from kindred.arrays import Vectors
from kindred.errors import ModelError
from kindred.ranking import Ranking
from kindred.rerank import (
    RERANKERS,
    ArrayGallery,
    Context,
    GalleryManifold,
    ManifoldOptions,
    NeighbourGraph,
    OfflineDiffusion,
    RerankCache,
    rerank,
)
from kindred.rerank.cache import MOST

COMPUTING = {
    "diffusion": {"k": 10},
    "offline_diffusion": {"k": 10},
    "spectral": {"dimension": 8},
    "isomap": {"dimension": 8},
}
"""The re-rankers that compute something once for a gallery."""


@dataclass(frozen=True)
class Mean:
    """What a re-ranker of somebody else's might compute once: a class in one file, which the cache has never met."""

    KIND: ClassVar[str] = "mean"
    mean: NDArray[np.float32]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        return {"mean": self.mean}

    @classmethod
    def from_arrays(cls, arrays: Any) -> Self:
        if set(arrays) != {"mean"}:
            raise ModelError("mean: missing")
        return cls(arrays["mean"])


class Changing(SparseIds):
    """A gallery whose rows may change."""

    def replace(self, rows: Vectors) -> None:
        self.inner, self.ids = ArrayGallery(rows, similarity="dot"), 10 + 3 * np.arange(len(rows))


def mean_of(gallery: SparseIds, cache: RerankCache, calls: list[int], key: str = "") -> Mean:
    def make() -> Mean:
        calls.append(len(gallery))
        return Mean(np.concatenate([rows for _, rows in gallery.blocks()]).mean(axis=0))

    return cache.get(Mean, key, make, gallery=gallery)


def test_each_is_made_once_for_a_gallery_and_a_key(rows: Vectors) -> None:
    gallery, cache, calls = SparseIds(rows), RerankCache(), [0]
    first = mean_of(gallery, cache, calls)
    assert mean_of(gallery, cache, calls) is first
    assert mean_of(gallery, cache, calls, "other") is not first
    assert calls == [0, 90, 90]
    np.testing.assert_allclose(first.mean, rows.mean(axis=0), atol=1e-6)


def test_the_same_gallery_object_with_other_vectors_is_computed_again(rows: Vectors) -> None:
    gallery, cache, calls = Changing(rows[:50]), RerankCache(), [0]
    mean_of(gallery, cache, calls)
    gallery.replace(rows)
    np.testing.assert_allclose(mean_of(gallery, cache, calls).mean, rows.mean(axis=0), atol=1e-6)
    assert calls == [0, 50, 90]


@pytest.mark.parametrize("name", COMPUTING)
def test_images_that_came_later_take_part_at_the_next_call(name: str, rows: Vectors, tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    for cache in (RerankCache(), RerankCache(tmp_path)):
        gallery, query = Changing(rows[:50]), rows[70:71]
        methods = [(name, COMPUTING[name])]
        before = rerank(gallery.search(query, 90), Context(query, gallery, cache=cache), methods)
        assert before.ids.shape == (1, 50)
        gallery.replace(rows)
        context = Context(query, gallery, cache=cache)
        found, fresh = (rerank(gallery.search(query, 90), each, methods) for each in (context, Context(query, gallery)))
        np.testing.assert_array_equal(found.ids, fresh.ids)
        np.testing.assert_array_equal(found.scores, fresh.scores)
        assert 10 + 3 * 70 in found.ids[0, :3]


def test_every_re_ranker_that_computes_is_tested(rows: Vectors) -> None:
    found = set()
    for name in (name for name, entry in RERANKERS.items() if entry.needs == "vectors"):
        cache = RerankCache()
        gallery = ArrayGallery(np.tile(rows, (2, 1)))
        rerank(gallery.search(rows[:1], 20), Context(rows[:1], gallery, cache=cache), [name])
        if cache._held:
            found.add(name)
    assert found == set(COMPUTING)


def test_another_process_reads_the_files(rows: Vectors, tmp_path: Path) -> None:
    rankings = []
    for _ in range(2):
        gallery = SparseIds(rows)
        ranking = gallery.search(rows[:3], 20)
        context = Context(rows[:3], gallery, cache=RerankCache(tmp_path / "new"))
        before = gallery.searches
        rankings.append(rerank(ranking, context, ["offline_diffusion:k=10", "spectral:dimension=8"]))
        made = gallery.searches - before
        kinds = sorted(path.name.split("-")[1] for path in (tmp_path / "new").iterdir())
        assert kinds == ["graph", "manifold", "spread"]
    assert made == 1  # spectral looks for the query's own neighbours; nothing is computed for the gallery
    np.testing.assert_array_equal(rankings[0].scores, rankings[1].scores)


def test_a_file_of_other_vectors_is_made_again_in_its_place(rows: Vectors, tmp_path: Path) -> None:
    calls: list[int] = []
    mean_of(SparseIds(rows), RerankCache(tmp_path), calls)
    mean_of(SparseIds(rows[:80]), RerankCache(tmp_path), calls)
    mean_of(SparseIds(rows[:80]), RerankCache(tmp_path), calls)
    assert calls == [90, 80]
    assert len(list(tmp_path.iterdir())) == 1


def test_options_from_outside_fill_neither_memory_nor_disk(rows: Vectors, tmp_path: Path) -> None:
    gallery, cache = SparseIds(rows), RerankCache(tmp_path)
    for number in range(3 * MOST):
        mean_of(gallery, cache, [], f"option={number}")
    assert len(cache._held) == len(list(tmp_path.iterdir())) == MOST


def damages(sound: bytes) -> dict[str, bytes]:
    """What may lie in place of a file: accidents, and what a stranger made."""
    with zipfile.ZipFile(io.BytesIO(sound)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    encrypted = bytearray(sound)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = encrypted.find(mark)
        while at >= 0:
            encrypted[at + offset] |= 1
            at = encrypted.find(mark, at + 1)
    weights = members["weights.npy"]
    huge = weights[:8] + struct.pack("<H", 65000) + b"{" * 65000
    large = weights.replace(str(len(weights) - 128 >> 2).encode(), b"9" * len(str(len(weights) - 128 >> 2)), 1)
    objects = io.BytesIO()
    np.save(objects, np.array([print], object), allow_pickle=True)
    numbers = np.load(io.BytesIO(weights))
    return {
        "empty": b"",
        "half": sound[: len(sound) // 2],
        "no archive": b"PK\x03\x04 nothing that can be read",
        **{f"flipped {at}": sound[:at] + bytes([sound[at] ^ 16]) + sound[at + 1 :] for at in range(0, len(sound), 397)},
        "encrypted": bytes(encrypted),
        "huge header": packed({**members, "weights.npy": huge}),
        "more than there is": packed({**members, "weights.npy": large}),
        "bomb": packed({**members, "bomb.npy": bytes(1 << 24)}, zipfile.ZIP_DEFLATED),
        "pickle": packed({**members, "weights.npy": objects.getvalue()}),
        "nan": packed({**members, "weights.npy": saved(np.full_like(numbers, np.nan))}),
        "infinite": packed({**members, "weights.npy": saved(np.full_like(numbers, np.inf))}),
        "text": packed({**members, "indices.npy": saved(np.array(["a"]))}),
        "elsewhere": packed({**members, "../../outside.npy": saved(numbers)}),
    }


def packed(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


def saved(array: NDArray[Any]) -> bytes:
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


def graph_of(gallery: SparseIds, cache: RerankCache) -> NeighbourGraph:
    query = np.zeros((1, 16), np.float32)
    return NeighbourGraph.of(Context(query, gallery, cache=cache), k=10, gamma=3.0)


def test_a_damaged_file_is_computed_again(rows: Vectors, tmp_path: Path) -> None:
    folder = tmp_path / "library"
    graph = graph_of(SparseIds(rows), RerankCache(folder))
    (file,) = folder.iterdir()
    sound = file.read_bytes()
    for what, content in damages(sound).items():
        file.write_bytes(content)
        found = graph_of(SparseIds(rows), RerankCache(folder))
        np.testing.assert_array_equal(found.weights, graph.weights, err_msg=what)
        assert [path.name for path in tmp_path.iterdir()] == ["library"], what
    assert graph_of(SparseIds(rows), RerankCache(folder)).weights.tobytes() == graph.weights.tobytes()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("what", ["pipe", "device", "link", "folder"])
def test_only_regular_files_of_the_folder_are_read(rows: Vectors, tmp_path: Path, what: str) -> None:
    folder = tmp_path / "library"
    graph_of(SparseIds(rows), RerankCache(folder))
    (file,) = folder.iterdir()
    elsewhere = file.replace(tmp_path / "elsewhere")
    before = elsewhere.read_bytes()
    if what == "pipe":
        os.mkfifo(file)  # to open it would wait for ever
    elif what == "folder":
        file.mkdir()
    else:
        file.symlink_to("/dev/zero" if what == "device" else elsewhere)
    gallery = SparseIds(rows)
    assert len(graph_of(gallery, RerankCache(folder))) == 90
    assert gallery.searches > 0
    assert elsewhere.read_bytes() == before


def test_a_file_too_large_for_the_gallery_is_not_read(rows: Vectors, tmp_path: Path) -> None:
    graph_of(SparseIds(rows), RerankCache(tmp_path))
    (file,) = tmp_path.iterdir()
    with file.open("r+b") as stream:
        stream.truncate(1 << 40)  # a hole
    assert len(graph_of(SparseIds(rows), RerankCache(tmp_path))) == 90


def test_a_folder_that_cannot_be_written_is_done_without(rows: Vectors, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert len(graph_of(SparseIds(rows), RerankCache(tmp_path / "file"))) == 90
    assert (tmp_path / "file").read_text() == "no folder"


def test_progress_is_reported(rows: Vectors) -> None:
    calls: list[tuple[int, int]] = []
    graph_of(SparseIds(rows), RerankCache(progress=lambda done, total: calls.append((done, total))))
    assert calls[-1] == (90, 90)


def test_threads_wait_for_the_one_that_computes(rows: Vectors) -> None:
    calls: list[int] = []
    gallery, cache = SparseIds(rows), RerankCache()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: mean_of(gallery, cache, calls), range(8)))
    assert all(each is found[0] for each in found)
    assert calls == [90]


def test_cached_results_are_those_of_the_classes(rows: Vectors, tmp_path: Path) -> None:
    gallery, cache = SparseIds(rows), RerankCache(tmp_path)
    graph = NeighbourGraph.build(gallery, k=10)
    options = ManifoldOptions("spectral", 8)
    manifold = GalleryManifold.fit(gallery, options)
    np.testing.assert_array_equal(graph_of(gallery, cache).weights, graph.weights)
    spreads = cache.get(OfflineDiffusion, "", lambda: OfflineDiffusion.fit(gallery, graph), gallery=gallery)
    again = RerankCache(tmp_path).get(OfflineDiffusion, "", unreachable, gallery=gallery)
    np.testing.assert_array_equal(spreads.weights, again.weights)
    cache.get(GalleryManifold, str(options), lambda: manifold, gallery=gallery)
    again_manifold = RerankCache(tmp_path).get(GalleryManifold, str(options), unreachable, gallery=gallery)
    np.testing.assert_array_equal(again_manifold.rows_, manifold.rows_)


def unreachable() -> Any:
    raise AssertionError("it is in the file")


def test_a_ranking_of_a_gallery_without_images(rows: Vectors) -> None:
    gallery = SparseIds(rows[:0])
    ranking = Ranking(np.full((1, 3), -1), np.full((1, 3), -np.inf, np.float32))
    for name in COMPUTING:
        found = rerank(ranking, Context(rows[:1], gallery, cache=RerankCache()), [name])
        assert found.ids.tolist() == [[-1, -1, -1]]
