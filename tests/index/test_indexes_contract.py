"""The contract of INDEXES over STORES: results equal dot products and an argsort after additions, removals, filters."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.codes import CODES
from kindred.errors import UsageError
from kindred.index import (
    INDEXES,
    ArraySource,
    ExhaustiveIndex,
    Index,
    IndexSettings,
    SnapshotPolicy,
    choose_index,
    index_for,
)
from kindred.index.milvus import building
from kindred.matching import ImageRows
from kindred.ranking import Ranking
from kindred.recipe import Recipe
from kindred.store import STORES, Entry, Filter, Place, Store, VisualWords, WordBatch
from milvus_server import MilvusProcess

D, COUNT, ROWS = 16, 240, 3
POLICY = SnapshotPolicy(exact_below=100, changes=20, tail_share=0.1)
RECIPES = {
    "multi_vector": Recipe("several", "kin", aggregate="multi_vector"),
    "coded": Recipe("coded", "kin", code="codes.npz"),
    "inverted": Recipe("words", "kin", embedding="bow", codebook="words.npz"),
    "pgvector": Recipe("at the server", "kin"),
    "milvus": Recipe("at a server of its own", "kin"),
    "milvus_rows": Recipe("several at a server of its own", "kin", aggregate="multi_vector"),
    "hnsw": Recipe("plain", "kin"),
    "exact": Recipe("blocks", "kin", similarity="l1"),
    "hamming": Recipe("signatures", "kin", features="sift", words="words.npz"),
}
RECALL = {"hnsw": 0.97, "pgvector": 0.97, "milvus": 0.97, "milvus_rows": 0.97, "coded": 0.9}
Rows = NDArray[np.float32]
NUMBERS = itertools.count()


def test_every_index_has_a_recipe_here() -> None:
    assert set(RECIPES) == set(INDEXES)
    for name, recipe in RECIPES.items():
        beside = INDEXES[name].compares if name == "hamming" else None
        remote = INDEXES[name].remote
        assert choose_index(recipe, compares=beside, remote=remote) == ("hnsw" if name == "pgvector" else name)
    assert choose_index(RECIPES["hamming"]) == "hnsw"
    assert choose_index(RECIPES["hnsw"], exhaustive=True) == "exact"
    assert choose_index(RECIPES["coded"], compares="vectors") == "hnsw"
    assert choose_index(RECIPES["multi_vector"], compares="vectors") == "hnsw"
    for entry in INDEXES.values():
        assert entry.summary


def rows_of(seed: int, count: int = 1) -> Rows:
    """Sparse, non-negative rows of unit length, which all indexes accept."""
    generator = np.random.default_rng(seed)
    found = np.abs(generator.standard_normal((count, D))) * (generator.random((count, D)) < 0.5)
    found[:, seed % D] += 0.5
    unit: Rows = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    return unit


def words_of(seed: int) -> VisualWords:
    """Words of a few kinds; images of near seeds share some, with signatures that differ in some bits."""
    generator = np.random.default_rng(seed // 5)
    words = generator.integers(0, 9, 12).astype(np.uint16)
    signatures = generator.integers(0, 2**64, 12, np.uint64)
    own = np.random.default_rng(seed)
    flips = own.integers(0, 2**64, (4, 12), np.uint64)
    kept = 12 - seed % 3
    return VisualWords(words[:kept], (signatures ^ (flips[0] & flips[1] & flips[2] & flips[3]))[:kept])


def score_of(query: VisualWords, image: VisualWords, every: list[VisualWords]) -> float:
    """The votes of a query's words for an image, one by one."""
    total = sum(len(each.words) for each in every)
    score = 0.0
    for word, signature in zip(query.words.tolist(), query.signatures.tolist(), strict=True):
        pairs = zip(image.words.tolist(), image.signatures.tolist(), strict=True)
        distances = [(signature ^ other).bit_count() for same, other in pairs if same == word]
        near = [distance for distance in distances if distance <= 22]
        if near:
            seen = sum(each.words.tolist().count(word) for each in every)
            rarity = 1 - np.log(max(seen, 1)) / np.log(total)
            repeated = np.sqrt(len(near)) * (query.words == word).sum()
            score += np.exp(-((min(near) / 12) ** 2)) * rarity**2 / repeated
    return float(score / np.sqrt(len(query.words) * len(image.words)))


def code() -> Any:
    return CODES["pq"].fitted.fit(np.concatenate([rows_of(seed) for seed in range(1000)]), bits=8 * D)


class Counting:
    """A store that counts how often rows are read."""

    def __init__(self, store: Store) -> None:
        self._store, self.reads = store, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def vectors(self, **options: Any) -> Any:
        for batch in self._store.vectors(**options):
            self.reads += len(batch[0])
            yield batch

    def parts(self, **options: Any) -> Any:
        for batch in self._store.parts(**options):
            self.reads += len(batch.rows)
            yield batch

    def visual_words(self, **options: Any) -> Any:
        for batch in self._store.visual_words(**options):
            self.reads += len(batch[0])
            yield batch


@dataclass
class Bench:
    """An index over a store, and their expected content: the rows of images by name."""

    name: str
    folder: Path
    store: Store
    settings: IndexSettings
    images: dict[str, Any] = field(default_factory=dict)

    @property
    def by_server(self) -> bool:
        """Whether the server of the store searches, so that no rows are read."""
        return INDEXES[self.name].over is not None

    @property
    def several(self) -> bool:
        return INDEXES[self.name].compares == "rows"

    def open(self, store: Any = None) -> Index:
        recipe = RECIPES[self.name]
        return INDEXES[self.name].open(recipe, self.store if store is None else store, self.settings)

    def put(self, *seeds: int, folder: str = "a", other: int = 0) -> None:
        entries = []
        for seed in seeds:
            rows = rows_of(seed + other, ROWS if self.several else 1)
            path = Path(f"/p/{folder}/{seed}.jpg")
            words = words_of(seed + other) if self.by_words else None
            taken = f"2024-01-{1 + seed % 28:02}"
            entries.append(Entry(path, 1, 1, taken=taken, vectors=rows, visual_words=words))
            self.images[str(path)] = rows if words is None else words
        self.store.put(entries)

    def forget(self, *seeds: int, folder: str = "a") -> None:
        paths = [Path(f"/p/{folder}/{seed}.jpg") for seed in seeds]
        self.store.forget(paths)
        for path in paths:
            del self.images[str(path)]

    @property
    def by_words(self) -> bool:
        return INDEXES[self.name].compares == "local features"

    def query(self, seed: int) -> Any:
        if self.by_words:
            return words_of(seed)
        vector = rows_of(seed) * 0.8 + rows_of(seed + 1) * 0.6
        return ImageRows(vector, np.zeros(1, np.int64)) if self.several else vector

    def truth(self, query: Any, keep: Callable[[str], bool] = lambda _: True) -> dict[str, float]:
        """The score of each image, straight from the definition."""
        if self.by_words:
            every = list(self.images.values())
            return {path: score_of(query, words, every) for path, words in self.images.items() if keep(path)}
        asked = cast(Rows, query.rows if self.several else query)[0].astype(np.float64)
        if not self.several and RECIPES[self.name].similarity == "cosine":
            asked = asked / np.linalg.norm(asked)
        found = {}
        for path, rows in self.images.items():
            if keep(path):
                each = -np.abs(rows - asked).sum(axis=1) if self.name == "exact" else rows @ asked
                found[path] = float(each.max())
        return found

    def paths(self, ranking: Ranking) -> list[str]:
        ids = [number for number in ranking.ids[0].tolist() if number >= 0]
        known = self.store.images(ids) if self.several else self.store.rows(ids)
        return [str(known[number].path) for number in ids]

    def check(self, index: Index, seed: int, k: int, *, where: Filter | None = None, **options: Any) -> None:
        query = self.query(seed)
        truth = self.truth(query, **options)
        ranking = index.search(query, k, where=where)
        paths = self.paths(ranking)
        expected = sorted(truth.values(), reverse=True)[:k]
        assert len(paths) == len(set(paths)) == len(expected)
        scores = ranking.scores[0, : len(paths)]
        np.testing.assert_allclose(scores, [truth[path] for path in paths], atol=5e-3)
        right = np.mean([truth[path] >= expected[-1] - 5e-3 for path in paths]) if paths else 1.0
        assert right >= RECALL.get(self.name, 1.0)
        if self.name not in RECALL:
            np.testing.assert_allclose(scores, expected, atol=5e-3)


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(kind: str, place_for: Callable[[str], Place]) -> Place:
    return place_for(kind)


@pytest.fixture
def store(kind: str, place: Place, tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "library").mkdir()
    made = STORES[kind].create(place, {})
    yield made
    made.close()


@pytest.fixture(params=INDEXES)
def bench(request: pytest.FixtureRequest, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    over, server = INDEXES[request.param].over, None
    if over is not None and not over(RECIPES[request.param], store):
        pytest.skip("searches another kind of store")
    if INDEXES[request.param].remote:
        process: MilvusProcess = request.getfixturevalue("milvus")
        server = process.url(f"contract_{next(NUMBERS)}")
        monkeypatch.setattr(building, "SETTLING_SECONDS", process.settling)
    coder = code() if INDEXES[request.param].compares == "codes" else None
    settings = IndexSettings(tmp_path / "library", POLICY, coder, server=server)
    made = Bench(request.param, tmp_path / "library", store, settings)
    made.put(*range(COUNT))
    return made


def test_results_equal_the_definition(bench: Bench) -> None:
    index = bench.open()
    index.renew()
    for seed in range(20):
        bench.check(index, 7 * seed, 10)
    assert len(index) == COUNT
    assert index.nbytes > 0
    assert index.approximate == INDEXES[bench.name].approximate
    assert bench.open().approximate in (False, INDEXES[bench.name].approximate)


def test_a_batch_of_queries_gives_the_results_of_each(bench: Bench) -> None:
    if bench.several or bench.by_words:
        pytest.skip("takes the rows or words of one image at a time")
    index = bench.open()
    queries = np.concatenate([bench.query(seed) for seed in range(300)])
    together = index.search(queries, 3)
    for row in (0, 150, 299):
        np.testing.assert_array_equal(index.search(queries[row : row + 1], 3).ids[0], together.ids[row])


def test_k_above_the_number_of_images_returns_all_images(bench: Bench) -> None:
    index = bench.open()
    for k in (COUNT, COUNT + 1, 10**12):
        ranking = index.search(bench.query(3), k)
        assert ranking.ids.shape == (1, COUNT)
        bench.check(index, 3, k)


def test_filters(bench: Bench) -> None:
    bench.put(*range(40), folder="b")
    index = bench.open()
    index.renew()
    tagged = [Path(f"/p/a/{seed}.jpg") for seed in range(0, COUNT, 7)]
    bench.store.tag(tagged, "seven")
    cases: list[tuple[Filter, Callable[[str], bool]]] = [
        (Filter(folder=Path("/p/b")), lambda path: path.startswith("/p/b/")),
        (Filter(tags=("seven",)), lambda path: Path(path) in tagged),
        (Filter(after=date(2024, 1, 20)), lambda path: int(Path(path).stem) % 28 >= 19),
        (Filter(tags=("nothing",)), lambda _: False),
        (Filter(), lambda _: True),
        (Filter(tags=("seven",), folder=Path("/p/a")), lambda path: Path(path) in tagged),
    ]
    for where, keep in cases:
        for k in (1, 8, 500):
            bench.check(index, 5, k, where=where, keep=keep)


def test_a_filter_applies_a_new_tag_at_once(bench: Bench) -> None:
    index, one = bench.open(), Path("/p/a/9.jpg")
    where = Filter(tags=("new",))
    assert bench.paths(index.search(bench.query(9), 5, where=where)) == []
    bench.store.tag([one], "new")
    assert bench.paths(index.search(bench.query(9), 5, where=where)) == [str(one)]
    bench.store.untag([one], "new")
    assert bench.paths(index.search(bench.query(9), 5, where=where)) == []


def test_the_same_filter_is_looked_up_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    if bench.by_server:
        pytest.skip("the filter is part of the search")
    store = Counting(bench.store)
    lookups: list[Filter] = []
    name = "select_images" if bench.several else "select"

    def select(where: Filter) -> NDArray[np.int64]:
        lookups.append(where)
        return cast("NDArray[np.int64]", getattr(bench.store, name)(where))

    monkeypatch.setattr(store, name, select, raising=False)
    index = bench.open(store)
    for _ in range(4):
        index.search(bench.query(1), 3, where=Filter(folder=Path("/p/a")))
    assert len(lookups) == 1
    bench.put(900)
    index.search(bench.query(1), 3, where=Filter(folder=Path("/p/a")))
    assert len(lookups) == 2


def test_additions_removals_and_replacements_are_applied(bench: Bench) -> None:
    index, watcher = bench.open(), bench.open()
    bench.check(index, 1, 10)
    bench.put(*range(COUNT, COUNT + 30))
    bench.check(index, COUNT + 3, 10)
    bench.forget(*range(0, COUNT, 3))
    bench.check(index, 3, 10)
    index.renew()
    bench.put(*range(1, 60, 3), other=5000)
    for each in (index, watcher, bench.open()):
        bench.check(each, 1, 10)
        bench.check(each, 5001, 10)
        assert len(each) == len(bench.images)
    bench.forget(*(int(Path(path).stem) for path in list(bench.images)))
    assert index.search(bench.query(1), 5).ids.shape == (1, 0)
    bench.put(1, 2)
    bench.check(index, 1, 5)


def test_changes_of_tags_and_metadata_do_not_read_rows_again(bench: Bench) -> None:
    store = Counting(bench.store)
    index = bench.open(store)
    bench.check(index, 4, 5)
    before = store.reads
    bench.store.tag([Path("/p/a/1.jpg")], "x")
    bench.store.set_metadata([Path("/p/a/1.jpg")], {"price": 3})
    bench.store.set_meta("note", "y")
    bench.store.untag([Path("/p/a/1.jpg")], "x")
    bench.check(index, 4, 5)
    assert store.reads == before
    bench.put(COUNT)
    bench.check(index, 4, 5)
    assert (store.reads > before) is not bench.by_server


def test_an_image_that_changed_costs_one_image(bench: Bench) -> None:
    store = Counting(bench.store)
    index = bench.open(store)
    bench.check(index, 4, 5)
    rows = ROWS if bench.several else 1
    changes: list[tuple[Callable[[], None], int]] = [
        (lambda: bench.put(COUNT), rows),
        (lambda: bench.put(7, other=3000), rows),
        (lambda: bench.put(8, 9, COUNT + 1, other=4000), 3 * rows),
        (lambda: bench.forget(11, 12), 0),
    ]
    for change, cost in changes:
        before = store.reads
        change()
        for seed in (4, 7, 3007, 4008, COUNT):
            bench.check(index, seed, 10)
        assert store.reads - before == (0 if bench.by_server else cost)
        assert len(index) == len(bench.images)


def test_equal_scores_are_ordered_by_id_after_a_change(bench: Bench) -> None:
    """An image that is described again keeps its number, where one vector of it gets a new one."""
    if not bench.several:
        pytest.skip("a vector that is replaced has another id")
    bench.forget(*range(COUNT))
    index, twin = bench.open(), rows_of(5, ROWS)
    paths = [Path(f"/p/a/{number}.jpg") for number in range(6)]
    bench.store.put([Entry(path, 1, 1, vectors=rows_of(50 + at, ROWS)) for at, path in enumerate(paths)])
    index.sync()
    bench.store.put([Entry(paths[at], 1, 2, vectors=twin) for at in (4, 1, 2)])
    query = ImageRows(twin[:1], np.zeros(1, np.int64))
    assert bench.paths(index.search(query, 3)) == [str(paths[at]) for at in (1, 2, 4)]
    assert isinstance(index, ExhaustiveIndex) == INDEXES[bench.name].exhaustive
    if isinstance(index, ExhaustiveIndex):
        assert np.flatnonzero(index.scores(query)[0] > 0.99).tolist() == [1, 2, 4]


def test_another_process_gives_the_same_results(bench: Bench, kind: str, place: Place) -> None:
    bench.open().renew()
    bench.put(COUNT, COUNT + 1)
    bench.forget(5)
    again = STORES[kind].open(place)
    try:
        index = bench.open(again)
        for seed in (1, 5, COUNT):
            bench.check(index, seed, 10)
    finally:
        again.close()


def test_an_empty_library_has_no_results(bench: Bench) -> None:
    bench.forget(*range(COUNT))
    index = bench.open()
    index.renew()
    assert len(index) == 0
    assert index.search(bench.query(1), 10**12).ids.shape == (1, 0)
    assert index.search(bench.query(1), 3, where=Filter(tags=("x",))).ids.shape == (1, 0)


def test_threads_search_while_one_writes(bench: Bench) -> None:
    index = bench.open()
    faults: list[BaseException] = []
    done = threading.Event()

    def search(seed: int) -> None:
        try:
            while not done.is_set():
                ranking = index.search(bench.query(seed), 5, where=Filter(folder=Path("/p/a")) if seed % 2 else None)
                assert (np.diff(ranking.scores[0]) <= 0).all()
                assert len(set(ranking.ids[0].tolist())) == ranking.ids.shape[1]
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=search, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for step in range(12):
        bench.put(COUNT + step)
        bench.forget(step)
        if step == 6:
            index.renew()
    done.set()
    for thread in threads:
        thread.join()
    assert faults == []
    bench.check(index, 3, 10)


def test_scores_are_in_order_of_id(bench: Bench) -> None:
    index = bench.open()
    assert isinstance(index, ExhaustiveIndex) == INDEXES[bench.name].exhaustive
    if not isinstance(index, ExhaustiveIndex):
        return
    bench.forget(*range(0, 50, 2))
    query = bench.query(11)
    scores = index.scores(query)
    assert scores.shape == (1, COUNT - 25)
    if bench.name != "coded":  # which answers by vectors, and scores by codes
        ranking = index.search(query, COUNT)
        np.testing.assert_allclose(np.sort(scores[0])[::-1], ranking.scores[0], atol=1e-6)
        assert bench.paths(ranking)[0] == list(bench.truth(query))[int(scores[0].argmax())]


def in_memory(bench: Bench) -> ArraySource:
    """The images of a bench as rows in memory."""
    images = list(bench.images.values())
    if not bench.by_words:
        return ArraySource(np.concatenate(images), counts=np.array([len(rows) for rows in images]))
    words, signatures = np.concatenate([each.words for each in images]), [each.signatures for each in images]
    batch = WordBatch(np.array([len(each.words) for each in images]), words, np.concatenate(signatures))
    return ArraySource(np.ones((len(images), D), np.float32), visual_words=batch)


def test_rows_in_memory_give_the_same_results(bench: Bench) -> None:
    recipe, paths = RECIPES[bench.name], list(bench.images)
    source, settings = in_memory(bench), IndexSettings(code=bench.settings.code)
    for exhaustive in (False, True):
        index = index_for(recipe, source, settings, exhaustive=exhaustive)
        index = INDEXES[bench.name].open(recipe, source, settings) if bench.by_words else index
        assert isinstance(index, ExhaustiveIndex)
        for seed in (2, 30):
            mine, theirs = index.search(bench.query(seed), 10), bench.open().search(bench.query(seed), 10)
            assert [paths[number - 1] for number in mine.ids[0]] == bench.paths(theirs)
            np.testing.assert_allclose(mine.scores, theirs.scores, atol=1e-5)
        with pytest.raises(UsageError, match="no folder, tags or dates"):
            index.search(bench.query(1), 3, where=Filter(tags=("x",)))


def test_queries_of_the_wrong_kind_are_refused(bench: Bench) -> None:
    index = bench.open()
    if bench.by_words:
        for other in (rows_of(1), ImageRows(rows_of(1), np.zeros(1, np.int64))):
            with pytest.raises(UsageError, match="got no visual words"):
                index.search(other, 3)
        with pytest.raises(UsageError, match="k: got 0"):
            index.search(bench.query(1), 0)
        return
    several: Any = ImageRows(rows_of(1), np.zeros(1, np.int64))
    wrongs: list[Any] = [rows_of(1)] if bench.several else [several, words_of(1)]
    for wrong in wrongs:
        with pytest.raises(UsageError, match=r"got a vector|got the (rows|words) of an image|got visual words"):
            index.search(wrong, 3)
    narrow: Any = np.ones((1, 3), np.float32)
    with pytest.raises(UsageError, match=rf"expected .*{D}"):
        index.search(ImageRows(narrow, np.zeros(1, np.int64)) if bench.several else narrow, 3)
    with pytest.raises(UsageError, match="k: got 0"):
        index.search(bench.query(1), 0)


def test_a_coded_recipe_needs_its_code() -> None:
    with pytest.raises(UsageError, match="is searched by a code, and none was given"):
        index_for(RECIPES["coded"], ArraySource(rows_of(1)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_can_search_while_the_parent_held_a_lock(bench: Bench) -> None:
    index = bench.open()
    expected = index.search(bench.query(3), 5, where=Filter(folder=Path("/p/a"))).ids.tolist()
    selection = getattr(index, "_selection", None)
    parts = ((index, "_lock"), (index, "_building"), (selection, "_lock"))
    held = [lock for part, name in parts if (lock := getattr(part, name, None)) is not None]
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with ExitStack() as stack:
            for lock in held:
                stack.enter_context(lock)
            taken.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        signal.alarm(30)
        code = 1
        try:
            index.sync()
            for entry in held:
                with entry:
                    pass
            # What a store does in a forked process is the store's own matter; the index is asked over rows in memory.
            code = 0
        finally:
            os._exit(code)
    done.set()
    holder.join()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert index.search(bench.query(3), 5, where=Filter(folder=Path("/p/a"))).ids.tolist() == expected
