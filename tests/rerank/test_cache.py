from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from diffusion_oracles import SparseIds
from kindred.arrays import Vectors
from kindred.rerank import NeighbourGraph, OfflineDiffusion, OfflineOptions, RerankCache
from kindred.rerank.graph import gallery_digest

SMALL = OfflineOptions(truncate=20)


def test_it_makes_what_the_classes_make(rows: Vectors) -> None:
    gallery = SparseIds(rows)
    cache = RerankCache()
    graph, spreads = cache.graph(gallery, k=10, gamma=2.0), cache.offline(gallery, k=10, options=SMALL)
    np.testing.assert_array_equal(graph.weights, NeighbourGraph.build(gallery, k=10, gamma=2.0).weights)
    expected = OfflineDiffusion.fit(gallery, NeighbourGraph.build(gallery, k=10), options=SMALL)
    np.testing.assert_array_equal(spreads.weights, expected.weights)
    assert spreads.key == expected.key


def test_each_is_made_once_for_a_gallery(rows: Vectors) -> None:
    gallery, cache = SparseIds(rows), RerankCache()
    first = cache.graph(gallery, k=10)
    assert cache.graph(gallery, k=10) is first
    assert cache.graph(gallery, k=9) is not first
    assert cache.offline(gallery, k=10, options=SMALL) is cache.offline(gallery, k=10, options=SMALL)
    assert cache.offline(gallery, k=10, options=SMALL) is not cache.offline(gallery, k=10)
    assert cache.graph(SparseIds(rows[:50]), k=10) is not first


def test_another_process_reads_the_file(rows: Vectors, tmp_path: Path) -> None:
    made = RerankCache(tmp_path / "graphs").offline(SparseIds(rows), k=10, options=SMALL)
    assert sorted(path.name.split("-")[0] for path in (tmp_path / "graphs").iterdir()) == ["graph", "spread"]
    gallery = SparseIds(rows)
    read = RerankCache(tmp_path / "graphs").offline(gallery, k=10, options=SMALL)
    assert gallery.searches == 0
    np.testing.assert_array_equal(read.weights, made.weights)


def test_a_file_of_other_vectors_is_made_again(rows: Vectors, tmp_path: Path) -> None:
    RerankCache(tmp_path).graph(SparseIds(rows), k=10)
    changed = SparseIds(rows[:80])
    assert len(RerankCache(tmp_path).graph(changed, k=10)) == 80
    assert changed.searches > 0
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 nothing that can be read"])
def test_a_damaged_file_is_made_again(rows: Vectors, tmp_path: Path, damage: bytes) -> None:
    RerankCache(tmp_path).graph(SparseIds(rows), k=10)
    (file,) = tmp_path.iterdir()
    sound = file.read_bytes()
    for content in (damage, sound[: len(sound) // 2]):
        file.write_bytes(content)
        assert len(RerankCache(tmp_path).graph(SparseIds(rows), k=10)) == 90
        assert len(file.read_bytes()) == len(sound)


def test_a_folder_that_cannot_be_written_is_done_without(rows: Vectors, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    cache = RerankCache(tmp_path / "file")
    assert len(cache.graph(SparseIds(rows), k=10)) == 90
    assert (tmp_path / "file").read_text() == "no folder"


def test_a_version_may_stand_for_the_vectors(rows: Vectors, tmp_path: Path) -> None:
    graph = RerankCache(tmp_path, version=lambda _: "generation 3").graph(SparseIds(rows), k=10)
    assert graph.key == "generation 3 k=10 gamma=3.0"
    other = SparseIds(rows[:50])
    assert len(RerankCache(tmp_path, version=lambda _: "generation 3").graph(other, k=10)) == 90
    assert RerankCache().graph(other, k=10).key == f"{gallery_digest(other)} k=10 gamma=3.0"


def test_progress_is_told(rows: Vectors) -> None:
    calls: list[tuple[int, int]] = []
    RerankCache(progress=lambda done, total: calls.append((done, total))).graph(SparseIds(rows), k=10)
    assert calls[-1] == (90, 90)


def test_threads_wait_for_the_one_that_computes(rows: Vectors) -> None:
    gallery, cache = SparseIds(rows), RerankCache()
    with ThreadPoolExecutor(4) as pool:
        graphs = list(pool.map(lambda _: cache.graph(gallery, k=10), range(8)))
    assert all(graph is graphs[0] for graph in graphs)
