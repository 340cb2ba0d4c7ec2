"""Snapshots of an inverted file of visual words: used if valid, otherwise ignored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kindred.errors import LibraryDamaged
from kindred.index import HammingIndex, SnapshotPolicy, SyncedWords
from kindred.store import STORES, Entry, Store, VisualWords, WordBatch

POLICY = SnapshotPolicy(changes=20, tail_share=0.1)
ROW = np.ones((1, 4), np.float32)


def words_of(seed: int) -> VisualWords:
    generator = np.random.default_rng(seed)
    return VisualWords(generator.integers(0, 50, 8).astype(np.uint16), generator.integers(0, 2**64, 8, np.uint64))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = next(iter(STORES.values())).create(tmp_path, {})
    yield made
    made.close()


class Counting:
    """A store that counts the images whose words are read."""

    def __init__(self, store: Store) -> None:
        self._store, self.reads = store, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def visual_words(self, **options: Any) -> Any:
        for ids, words in self._store.visual_words(**options):
            self.reads += len(ids)
            yield ids, words


def put(store: Store, *seeds: int) -> None:
    store.put([Entry(Path(f"/p/{seed}.jpg"), 1, 1, vectors=ROW, visual_words=words_of(seed)) for seed in seeds])


def best(index: SyncedWords, seed: int) -> int:
    return int(index.search(words_of(seed), 1).ids[0, 0])


def test_only_later_images_are_read_from_the_store(store: Store, tmp_path: Path) -> None:
    put(store, *range(60))
    index = SyncedWords(store, folder=tmp_path, policy=POLICY)
    index.renew()
    (file,) = tmp_path.glob("index-*.words")
    put(store, 60, 61)
    store.forget([Path("/p/3.jpg")])
    counting: Any = Counting(store)
    again = SyncedWords(counting, folder=tmp_path, policy=POLICY)
    assert [best(again, seed) for seed in (0, 7, 60, 61)] == [1, 8, 61, 62]
    assert best(again, 3) != 4
    assert len(again) == 61
    assert counting.reads == 2
    again.renew()
    assert list(tmp_path.glob("index-*.words")) == [file]  # too little has changed
    put(store, *range(100, 130))
    again.renew()
    (newer,) = tmp_path.glob("index-*.words")
    assert newer != file
    counting.reads = 0
    third = SyncedWords(counting, folder=tmp_path, policy=POLICY)
    assert [best(third, seed) for seed in (0, 61, 129)] == [1, 62, 92]
    assert (len(third), counting.reads) == (91, 0)


def test_few_images_need_no_file(store: Store, tmp_path: Path) -> None:
    put(store, *range(20))
    SyncedWords(store, folder=tmp_path, policy=POLICY).renew()
    assert list(tmp_path.glob("index-*")) == []


@pytest.mark.parametrize("harm", ["cut", "changed", "gone", "other"])
def test_an_invalid_file_is_ignored(store: Store, tmp_path: Path, harm: str) -> None:
    put(store, *range(60))
    SyncedWords(store, folder=tmp_path, policy=POLICY).renew()
    (file,) = tmp_path.glob("index-*.words")
    data = file.read_bytes()
    other = HammingIndex()
    if harm == "cut":
        file.write_bytes(data[:-40])
    elif harm == "changed":
        file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    elif harm == "gone":
        file.unlink()
    else:
        other.save(file)
    index = SyncedWords(store, folder=tmp_path, policy=POLICY)
    assert [best(index, seed) for seed in (0, 59)] == [1, 60]
    assert len(index) == 60


def test_a_loaded_index_gives_the_same_results_and_can_grow(tmp_path: Path) -> None:
    index = HammingIndex()
    for seed in range(5):
        words, signatures, _ = words_of(seed)
        index.add([seed + 1], WordBatch(np.array([8]), words, signatures))
    index.remove([2])
    before = index.search(words_of(4), 4)
    checksum = index.save(tmp_path / "words")
    loaded = HammingIndex.load(tmp_path / "words", checksum=checksum)
    after = loaded.search(words_of(4), 4)
    np.testing.assert_array_equal(before.ids, after.ids)
    np.testing.assert_allclose(before.scores, after.scores)
    words, signatures, _ = words_of(9)
    loaded.add([9], WordBatch(np.array([8]), words, signatures))
    assert loaded.search(words_of(9), 1).ids.tolist() == [[9]]
    with pytest.raises(LibraryDamaged, match="is not the saved index of this library"):
        HammingIndex.load(tmp_path / "words", checksum=checksum + 1)


def test_images_beyond_the_file_are_refused(tmp_path: Path) -> None:
    index = HammingIndex()
    words, signatures, _ = words_of(1)
    index.add([1], WordBatch(np.array([8]), words, signatures))
    (part,) = index._segments.state.segments
    part.places[:] = 7
    index.save(tmp_path / "words")
    with pytest.raises(LibraryDamaged, match="is not a valid inverted file"):
        HammingIndex.load(tmp_path / "words")
