"""What every store does, whatever keeps it: run over the table STORES."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.store import (
    STORES,
    Condition,
    Entry,
    FileStamp,
    Filter,
    Place,
    Root,
    Run,
    Store,
    Value,
    VisualWords,
    is_uid,
    parse_where,
)
from kindred.store.filters import kind_of

MakeEntry = Callable[..., Entry]

A, B, C = (Path(f"/photos/{name}.jpg") for name in "abc")


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(kind: str, place_for: Callable[[str], Place]) -> Place:
    return place_for(kind)


@pytest.fixture
def store(kind: str, place: Place) -> Iterator[Store]:
    made = STORES[kind].create(place, {"recipe": "test"})
    yield made
    made.close()


@pytest.fixture
def filled(store: Store, entry: MakeEntry) -> Store:
    store.put([entry("/photos/a.jpg", 1.0), entry("/photos/b.jpg", 2.0), entry("/other/c.jpg", 3.0)])
    return store


def uid(store: Store, path: Path) -> str:
    return store.lookup([path])[path].uid


def test_stored_data_is_there_after_reopening(kind: str, place: Place, filled: Store) -> None:
    filled.tag([A], "sea")
    filled.set_metadata([A], {"price": 20})
    before = uid(filled, A)
    filled.close()
    again = STORES[kind].open(place)
    assert [rows[:, 0].tolist() for _, rows in again.vectors()] == [[1.0, 2.0, 3.0]]
    row = again.by_uid([before])[before]
    assert (row.path, row.tags, row.metadata, again.meta["recipe"]) == (A, ("sea",), {"price": 20}, "test")
    again.close()


def test_ids_are_unique_and_permanent(filled: Store, entry: MakeEntry) -> None:
    ids = [uid(filled, path) for path in (A, B)]
    assert all(map(is_uid, ids))
    assert len(set(ids)) == 2
    filled.put([entry("/photos/a.jpg", 9.0)])
    assert uid(filled, A) == ids[0]
    assert filled.by_uid([*ids, "0" * 16]).keys() == set(ids)
    assert filled.forget([ids[0]]) == 1
    filled.put([entry("/photos/a.jpg", 9.0)])
    assert uid(filled, A) != ids[0]


def test_an_image_that_is_added_again_can_have_its_id_back(filled: Store, entry: MakeEntry) -> None:
    before, other = uid(filled, A), uid(filled, B)
    filled.forget([A])
    filled.put([entry("/photos/a.jpg", 9.0)])
    revision = filled.revision
    assert filled.give_ids({A: before, Path("/photos/none.jpg"): "0" * 16}) == 1
    assert uid(filled, A) == before
    assert filled.revision > revision
    assert filled.give_ids({A: other}) == 0  # another image has it
    assert (uid(filled, A), uid(filled, B)) == (before, other)
    with pytest.raises(UsageError, match="expected the id of an image"):
        filled.give_ids({A: "x"})


def _words(seed: int, count: int) -> VisualWords:
    random = np.random.default_rng(seed)
    return VisualWords(random.integers(0, 65536, count).astype(np.uint16), random.integers(0, 2**64, count, np.uint64))


def test_visual_words_belong_to_the_vector_of_an_image(store: Store, entry: MakeEntry) -> None:
    own = {path: _words(number, number) for number, path in enumerate((A, B, C), 3)}
    store.put([replace(entry(str(path), 1.0), visual_words=words) for path, words in own.items()])
    store.put([entry("/photos/d.jpg", 2.0)])  # which has none
    ((ids, batch),) = store.visual_words()
    assert ids.tolist() == store.select(Filter()).tolist()[:3]
    assert batch.counts.tolist() == [3, 4, 5]
    np.testing.assert_array_equal(batch.words, np.concatenate([each.words for each in own.values()]))
    np.testing.assert_array_equal(batch.signatures, np.concatenate([each.signatures for each in own.values()]))
    assert [ids.tolist() for ids, _ in store.visual_words(after_id=int(ids[0]), batch=1)] == [[ids[1]], [ids[2]]]
    images = [store.lookup([path])[path].id for path in (C, A, Path("/photos/d.jpg"))]
    some = store.visual_words_of_images([*images, 999])
    for number, (words, signatures, _) in ((images[1], own[A]), (images[0], own[C])):
        found = some.pop(number)
        np.testing.assert_array_equal(found.words, words)
        np.testing.assert_array_equal(found.signatures, signatures)
    assert some == store.visual_words_of_images([]) == {}
    before = store.vectors_revision
    store.put([replace(entry(str(A), 1.0), visual_words=_words(9, 2))])
    assert store.removed_since(before).tolist() == [ids[0]]
    assert [found.tolist() for found, _ in store.visual_words(after_id=int(ids[2]))] == [[ids[2] + 2]]
    store.forget([A, B, C])
    assert list(store.visual_words()) == []


def test_visual_words_that_do_not_fit_are_refused(store: Store, entry: MakeEntry) -> None:
    words, several = _words(1, 4), np.ones((2, 3), np.float32)
    with pytest.raises(UsageError, match="expected one vector for the image"):
        store.put([replace(entry(str(A), 1.0), vectors=several, visual_words=words)])
    with pytest.raises(UsageError, match=r"visual words \(4,\) and signatures \(3,\)"):
        store.put([replace(entry(str(A), 1.0), visual_words=VisualWords(words.words, words.signatures[:3]))])
    assert store.counts().images == 0


def test_the_revision_of_vectors_grows_only_with_vectors(filled: Store, entry: MakeEntry) -> None:
    changes: dict[Callable[[], object], bool] = {
        lambda: filled.put([entry("/photos/d.jpg", 4.0)]): True,
        lambda: filled.tag([A], "sea"): False,
        lambda: filled.untag([A], "sea"): False,
        lambda: filled.set_metadata([A], {"price": 20}): False,
        lambda: filled.unset_metadata([A], ["price"]): False,
        lambda: filled.set_meta("note", "x"): False,
        lambda: filled.set_not_same([(A, B)]): False,
        lambda: filled.unset_not_same([(A, B)]): False,
        lambda: filled.remove_search(filled.save_search("sea", {}).id): False,
        lambda: filled.restamp([FileStamp(1, C, 1, 1)]): False,
        lambda: filled.move(C, A): False,
        lambda: filled.put([Entry(C, 0, 1, reason="empty file")]): False,
        lambda: filled.put([Entry(A, 0, 1, reason="empty file")]): True,
        lambda: filled.forget([B]): True,
        lambda: filled.forget([C]): False,
    }
    for number, (change, grows) in enumerate(changes.items()):
        before, vectors = filled.revision, filled.vectors_revision
        change()
        assert filled.revision > before, number
        assert (filled.vectors_revision > vectors) is grows, number
        assert filled.vectors_revision <= filled.revision


def test_images_whose_rows_changed_are_told_by_revision(filled: Store, entry: MakeEntry) -> None:
    a, b, c = (filled.lookup([path])[path].id for path in (A, B, Path("/other/c.jpg")))
    assert filled.changed_since(-1).tolist() == [a, b, c]
    cases: list[tuple[Callable[[], object], list[int]]] = [
        (lambda: filled.put([entry("/photos/b.jpg", 9.0)]), [b]),
        (lambda: filled.put([entry("/photos/d.jpg", 4.0), entry("/photos/a.jpg", 5.0)]), [a, c + 1]),
        (lambda: filled.tag([A], "sea"), []),
        (lambda: filled.set_metadata([A], {"price": 20}), []),
        (lambda: filled.move(A, C), []),
        (lambda: filled.put([Entry(Path("/photos/e.jpg"), 0, 1, reason="empty file")]), []),
        (lambda: filled.put([Entry(C, 0, 1, reason="empty file")]), [a]),
        (lambda: filled.forget([B, C]), [b]),
    ]
    for change, expected in cases:
        before = filled.revision
        change()
        assert filled.changed_since(before).tolist() == expected
        assert filled.changed_since(filled.revision).tolist() == []
    assert filled.changed_since(-1).tolist() == [a, b, c, c + 1]


def test_rows_of_some_images(store: Store) -> None:
    def of(path: str, mark: float, words: NDArray[np.int64] | None = None) -> Entry:
        return Entry(Path(path), 1, 1, vectors=np.full((2, 3), mark, np.float32), words=words)

    for words in (None, np.array([2, 5])):
        store.put([of(f"/p/{number}.jpg", number + 1, words) for number in range(5)])
        ids = [store.lookup([path])[path].id for path in (Path(f"/p/{number}.jpg") for number in range(5))]
        for wanted in ([], [3], [4, 0], [0, 999], [1, 1]):
            given = np.array([ids[at] if at < 5 else 10**6 for at in wanted], np.int64)
            found = list(store.parts(images=given))
            owners = [number for batch in found for number in batch.owners.tolist()]
            marks = [row[0] for batch in found for row in batch.rows.tolist()]
            expected = sorted({at for at in wanted if at < 5})
            assert owners == [ids[at] for at in expected for _ in range(2)]
            assert marks == [at + 1 for at in expected for _ in range(2)]
            assert all((batch.words is None) == (words is None) for batch in found)


def test_removed_vectors_are_told_by_revision(filled: Store) -> None:
    before = filled.vectors_revision
    filled.tag([A], "x")
    filled.forget([B])
    assert filled.removed_since(before).tolist() == [2]
    assert filled.removed_since(filled.vectors_revision).tolist() == []


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        (["price<20"], [1]),
        (["price<=20"], [1, 2]),
        (["price>19.5"], [2]),
        (["price=20.0"], [2]),
        (["price!=20"], [1, 3]),
        (["price=cheap"], [3]),
        (["price>=a"], [3]),
        (["maker=Leica", "price>5"], [1]),
        (["bought>=2024-02-01"], [2, 3]),
        (["bought<=2024-02-10"], [1, 2]),
        (["bought=2024-02-10"], [2]),
        (["bought>2024-02-10T11:00:00"], [2, 3]),
        (["nothing!=1"], []),
        (['code="007"'], [1]),
        (["code=7"], [2]),
        (["code=007"], [1]),
    ],
)
def test_conditions_compare_values_of_the_same_kind(filled: Store, conditions: list[str], found: list[int]) -> None:
    given: dict[Path, dict[str, Value]] = {
        A: {"price": 10, "maker": "Leica", "bought": date(2024, 1, 31), "code": "007"},
        B: {"price": 20.0, "maker": "Nikon", "bought": datetime(2024, 2, 10, 12), "code": 7},
        Path("/other/c.jpg"): {"price": "cheap", "bought": date(2024, 3, 1)},
    }
    for path, values in given.items():
        filled.set_metadata([path], values)
    where = Filter(where=tuple(map(parse_where, conditions)))
    assert filled.select(where).tolist() == found
    assert filled.select_images(where).tolist() == found


def test_a_filter_by_ids_holds_together_with_others(filled: Store) -> None:
    ids = uid(filled, A), uid(filled, Path("/other/c.jpg"))
    assert filled.select(Filter(ids=ids)).tolist() == [1, 3]
    assert filled.select(Filter(ids=(*ids, "0" * 16), folder=Path("/photos"))).tolist() == [1]
    assert filled.select(Filter(ids=())).tolist() == []


def test_a_filter_by_size_holds_for_the_longer_side(store: Store, entry: MakeEntry) -> None:
    sizes = (640, 480), (480, 640), (639, 639), (None, None)
    store.put(
        [
            replace(entry(f"/photos/{number}.jpg"), width=width, height=height)
            for number, (width, height) in enumerate(sizes)
        ]
    )
    assert store.select(Filter(min_longest=640)).tolist() == [1, 2]
    assert store.select(Filter(min_longest=639, folder=Path("/photos"))).tolist() == [1, 2, 3]
    assert store.select(Filter(min_longest=2**31 - 1)).tolist() == []
    assert len(store.select(Filter(min_longest=0))) == 4


@pytest.mark.parametrize("size", [-1, 2**31, 1.5, True, "640"])
def test_a_size_that_is_no_number_of_pixels_is_refused(size: object) -> None:
    with pytest.raises(UsageError, match="min_longest is"):
        Filter(min_longest=size)  # type: ignore[arg-type]


def test_outlines_hold_the_indexed_images_that_fit_the_filter(store: Store, entry: MakeEntry) -> None:
    plain = replace(entry("/photos/b.jpg"), width=None, height=None)
    store.put([entry("/photos/a.jpg", taken="2020-01-31T10:00:00", regions=2), plain, entry("/other/c.jpg")])
    store.put([Entry(Path("/photos/broken.jpg"), 10, 1, reason="empty"), replace(entry("/z.jpg"), mtime_ns=2**62)])
    found = store.outlines(Filter(folder=Path("/photos")))
    assert found.numbers.tolist() == [1, 2]
    assert found.uids == (uid(store, A), uid(store, B))
    assert found.paths == (A, B)
    assert found.sizes.tolist() == [[640, 480], [0, 0]]
    assert found.days.tolist()[0] == date(2020, 1, 31)
    assert date(2023, 11, 14) <= found.days.tolist()[1] <= date(2023, 11, 15)  # the file's time, in any time zone
    everything = store.outlines(Filter())
    assert everything.numbers.tolist() == [1, 2, 3, 5]
    assert len(everything.paths) == len(everything.uids) == len(everything.sizes) == len(everything.days) == 4
    assert store.outlines(Filter(tags=("none",))).days.dtype == np.dtype("datetime64[D]")


def test_days_count_the_indexed_images_that_fit_the_filter(store: Store, entry: MakeEntry) -> None:
    store.put([entry(f"/photos/{name}.jpg", taken=f"2020-01-31T{hour}:00:00") for name, hour in (("a", 10), ("b", 11))])
    store.put([entry("/other/c.jpg", taken="0999-12-01T10:00:00"), replace(entry("/z.jpg"), mtime_ns=2**62)])
    store.put([Entry(Path("/photos/broken.jpg"), 10, 1, reason="empty")])
    counts = store.days(Filter())
    assert (counts[date(2020, 1, 31)], counts[date(999, 12, 1)], sum(counts.values())) == (2, 1, 4)
    assert counts == Counter(store.outlines(Filter()).days.tolist())
    assert store.days(Filter(folder=Path("/photos"))) == {date(2020, 1, 31): 2}
    assert store.days(Filter(tags=("none",))) == {}


def test_metadata_comes_back_as_it_was(filled: Store) -> None:
    values: dict[str, Value] = {
        "text": "été; 'quoted' \"twice\"",
        "whole": 2**62,
        "fraction": 0.1,
        "negative": -3,
        "day": date(2024, 1, 31),
        "time": datetime(2024, 1, 31, 12, 30, 15, 5),
        "empty": "",
    }
    assert filled.set_metadata([A, uid(filled, B), Path("/no")], values) == 2
    rows = filled.images([1, 2])
    assert rows[1].metadata == rows[2].metadata == values
    assert {key: type(value) for key, value in rows[1].metadata.items()} == {
        key: type(value) for key, value in values.items()
    }
    assert filled.set_metadata([A], {"whole": "now text"}) == 1
    assert filled.images([1])[1].metadata["whole"] == "now text"
    assert filled.metadata_keys() == dict.fromkeys(sorted(values), 2)
    kinds = {key: {kind_of(value)} for key, value in values.items()} | {"whole": {"number", "text"}}
    assert {key: filled.metadata_kinds(key) for key in values} == kinds
    assert filled.metadata_kinds("nothing") == set()
    assert filled.unset_metadata([A, B], ["text", "day"]) == 2
    assert filled.unset_metadata([A], ["text"]) == 0
    filled.forget([A, B])
    assert filled.metadata_keys() == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"price": float("nan")}, "expected a finite number"),
        ({"price": float("inf")}, "expected a finite number"),
        ({"price": 2**63}, "at most 63 bits"),
        ({"price": True}, "expected text, a number or a date"),
        ({"price": None}, "expected text, a number or a date"),
        ({"two words": 1}, "expected at most 100 letters"),
        ({"": 1}, "expected at most 100 letters"),
        ({"k" * 101: 1}, "expected at most 100 letters"),
        ({"1st": 1}, "starting with a letter"),
        ({"text": "x" * 10_001}, "expected at most 10,000"),
        ({"text": "\udce9"}, "not valid text"),
        ({f"k{number}": 1 for number in range(201)}, "at most 200 for an image"),
    ],
)
def test_metadata_that_cannot_be_stored_is_refused(filled: Store, values: dict[str, object], message: str) -> None:
    revision = filled.revision
    with pytest.raises(UsageError, match=message):
        filled.set_metadata([A], values)  # type: ignore[arg-type]
    assert (filled.revision, filled.metadata_keys()) == (revision, {})


def test_an_image_has_at_most_so_many_keys_over_several_calls(filled: Store) -> None:
    filled.set_metadata([A], {f"k{number}": 1 for number in range(200)})
    with pytest.raises(UsageError, match="more than 200 keys"):
        filled.set_metadata([B, A], {"one": 1})
    assert (len(filled.metadata_keys()), filled.images([2])[2].metadata) == (200, {})


def test_paths_of_one_call_may_be_swapped(filled: Store) -> None:
    filled.restamp([FileStamp(1, B, 5, 6), FileStamp(2, A, 7, 8)])
    known = filled.lookup([A, B])
    assert [(known[path].id, known[path].size) for path in (A, B)] == [(2, 7), (1, 5)]
    with pytest.raises(UsageError, match="the library has another image at this path"):
        filled.restamp([FileStamp(1, A, 5, 6)])
    assert filled.lookup([A])[A].id == 2


def test_images_are_found_by_digest_in_order(filled: Store) -> None:
    digests = [bytes([number]) * 32 for number in range(3)]
    for number, digest in zip((1, 2, 3), (digests[0], digests[1], digests[0]), strict=True):
        path = filled.images([number])[number].path
        filled.restamp([FileStamp(number, path, 1, 1, digest, device=2**64 - 1, inode=2**63)])
    found = filled.by_digest(digests)
    assert {digest[0]: [each.id for each in found[digest]] for digest in found} == {0: [1, 3], 1: [2]}
    assert (found[digests[1]][0].device, found[digests[1]][0].inode) == (2**64 - 1, 2**63)


def test_roots_and_runs_are_recorded(filled: Store) -> None:
    filled.set_root(Root(Path("/photos"), 7, 2, "2024-01-01T00:00:00+00:00"))
    filled.set_root(Root(Path("/photos"), 2**64 - 2, 3, "2024-01-02T00:00:00+00:00"))
    assert filled.roots() == [Root(Path("/photos"), 2**64 - 2, 3, "2024-01-02T00:00:00+00:00")]
    number = filled.begin_run()
    assert filled.runs(1)[0].finished is None
    filled.finish_run(number, Run(number, "", found=3, moved=1))
    assert (filled.runs(1)[0].found, filled.runs(1)[0].moved) == (3, 1)


def test_counts_below_a_folder(filled: Store) -> None:
    assert [filled.count_under(Path(folder)) for folder in ("/", "/photos", "/photos/a.jpg", "/none")] == [3, 2, 0, 0]
    assert [known.path for known in filled.known_under(Path("/photos"))] == [A, B]


def test_invalid_ids_are_refused(filled: Store) -> None:
    with pytest.raises(UsageError, match="expected the id of an image"):
        filled.tag(["a.jpg"], "x")


def test_changes_within_writing_are_one_transaction(filled: Store) -> None:
    with pytest.raises(UsageError, match="NaN"), filled.writing():
        filled.put([Entry(C, 1, 1, vectors=np.full((1, 3), np.nan if filled.forget([A]) else 0, np.float32))])
    assert filled.lookup([A])


@pytest.mark.parametrize("text", ["price", "<20", "price<", "price ~ 20", "two words=1", ""])
def test_invalid_conditions_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_where(text)


def test_conditions_are_parsed() -> None:
    assert parse_where(" maker = Leica M6 ") == Condition("maker", "=", "Leica M6")
    assert parse_where("a:b-c.d==1e3") == Condition("a:b-c.d", "=", 1000.0)
    assert parse_where("at>2024-01-31T10:00Z").value == datetime.fromisoformat("2024-01-31T10:00Z")
    assert parse_where("day=2024-13-01").value == "2024-13-01"
    assert Filter(where="price<20").where == (Condition("price", "<", 20),)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="operator"):
        Condition("price", "; DROP TABLE images", 1)  # type: ignore[arg-type]


def test_local_features_are_read_by_image_or_for_several_vectors_at_once(store: Store) -> None:
    row = np.ones((1, 3), np.float32)
    given = {"a": b"of a", "b": None, "c": b"of c"}
    store.put([Entry(Path(f"/p/{name}.jpg"), 1, 1, vectors=row, features=data) for name, data in given.items()])
    rows = store.rows(store.select(Filter()).tolist())
    assert {row.path.stem: store.features(row.image_id) for row in rows.values()} == given
    expected = {number: given[row.path.stem] for number, row in rows.items() if given[row.path.stem] is not None}
    assert len(expected) == 2
    assert store.features_of([*rows, 999]) == expected
    by_image = {rows[number].image_id: data for number, data in expected.items()}
    assert store.features_of_images([*(row.image_id for row in rows.values()), 999]) == by_image
    assert store.features_of([]) == store.features_of_images([]) == {}


def test_local_features_that_are_too_large_are_refused(store: Store) -> None:
    vectors, most = np.ones((1, 3), np.float32), 1 << 22
    store.put([Entry(A, 1, 1, vectors=vectors, features=bytes(most))])
    with pytest.raises(UsageError, match=f"got local features of {most + 1:,} bytes; expected at most {most:,}"):
        store.put([Entry(A, 1, 1, vectors=vectors, features=bytes(most + 1))])
    assert store.features(1) == bytes(most)
