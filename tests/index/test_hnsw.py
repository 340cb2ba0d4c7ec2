from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import LibraryDamaged, UsageError
from kindred.index import ExactIndex, HNSWIndex, HNSWSettings

COUNT = 6000


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float32]:
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((60, 24))
    found = centres[generator.integers(60, size=COUNT)] + generator.standard_normal((COUNT, 24))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found.astype(np.float32)


@pytest.fixture(scope="module")
def index(rows: NDArray[np.float32]) -> HNSWIndex:
    """Never changed by a test."""
    built = HNSWIndex(24)
    built.add(np.arange(1, COUNT + 1), rows)
    return built


def recall(index: HNSWIndex, rows: NDArray[np.float32], k: int, allowed: NDArray[np.int64] | None) -> float:
    exact = ExactIndex(24)
    exact.add(np.arange(1, COUNT + 1), rows)
    queries = rows[::60] + 0.05
    truth, found = exact.search(queries, k, allowed=allowed), index.search(queries, k, allowed=allowed)
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(truth.ids, found.ids, strict=True)]))


@pytest.mark.parametrize("k", [10, 100, 1000])
def test_recall_for_small_and_large_k(index: HNSWIndex, rows: NDArray[np.float32], k: int) -> None:
    assert recall(index, rows, k, None) >= 0.99


@pytest.mark.parametrize("share", [0.01, 0.4, 0.9])
def test_recall_with_filters(index: HNSWIndex, rows: NDArray[np.float32], share: float) -> None:
    allowed = np.flatnonzero(np.random.default_rng(1).random(COUNT) < share) + 1
    assert recall(index, rows, 10, allowed) >= 0.985


def test_a_mapped_index_gives_the_same_results_and_is_read_only(
    index: HNSWIndex, rows: NDArray[np.float32], tmp_path: Path
) -> None:
    file = tmp_path / "index"
    checksum = index.save(file)
    mapped = HNSWIndex.load(file, mapped=True, checksum=checksum)
    file.unlink()  # the map outlives the name
    expected, found = index.search(rows[:50], 10), mapped.search(rows[:50], 10)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert mapped.remove([1]) == 1
    assert 1 not in mapped.search(rows[:1], 10).ids
    with pytest.raises(UsageError, match="read-only; load it with mapped=False"):
        mapped.add([COUNT + 1], rows[:1])


def test_a_file_with_another_checksum_is_refused(index: HNSWIndex, tmp_path: Path) -> None:
    checksum = index.save(tmp_path / "index")
    with pytest.raises(LibraryDamaged, match="is not the saved index of this library"):
        HNSWIndex.load(tmp_path / "index", checksum=checksum ^ 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names that are not Unicode")
@pytest.mark.parametrize("mapped", [True, False])
def test_a_folder_name_may_contain_any_bytes(
    index: HNSWIndex, rows: NDArray[np.float32], tmp_path: Path, mapped: bool
) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    index.save(folder / "index")
    loaded = HNSWIndex.load(folder / "index", mapped=mapped)
    assert loaded.search(rows[:1], 1).ids.tolist() == [[1]]


def test_one_thread_builds_the_same_graph_twice(rows: NDArray[np.float32], tmp_path: Path) -> None:
    checksums = []
    for _ in range(2):
        built = HNSWIndex(24, settings=HNSWSettings(m=8, ef_construction=40))
        built.add(np.arange(1, 1001), rows[:1000])
        checksums.append(built.save(tmp_path / "index"))
    assert checksums[0] == checksums[1]


def test_a_full_disk_leaves_no_partial_file(index: HNSWIndex, tmp_path: Path) -> None:
    unfinished = tmp_path / "index.new"
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    unfinished.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        index.save(tmp_path / "index")
    assert list(tmp_path.iterdir()) == []


def test_components_beyond_half_precision_are_refused() -> None:
    index = HNSWIndex(2, similarity="dot")
    with pytest.raises(UsageError, match="beyond ±65504"):
        index.add([1], [[70000.0, 0.0]])
    assert len(index) == 0
    unit = HNSWIndex(2)  # cosine: rows become unit vectors first
    unit.add([1], [[70000.0, 0.0]])
    assert unit.search([[1e6, 0.0]], 1).scores[0, 0] == pytest.approx(1, abs=1e-3)
