"""Pairs that are not the same, and saved searches: run over the table STORES."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kindred.errors import UsageError
from kindred.store import STORES, Entry, FileStamp, Place, Store, is_uid
from kindred.store.saved import MOST_SAVED, NAME_LENGTH, SEARCH_BYTES

MakeEntry = Callable[..., Entry]

A, B, C = (Path(f"/photos/{name}.jpg") for name in "abc")


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(kind: str, place_for: Callable[[str], Place]) -> Place:
    return place_for(kind)


@pytest.fixture
def store(kind: str, place: Place, entry: MakeEntry) -> Iterator[Store]:
    made = STORES[kind].create(place, {"recipe": "test"})
    made.put([entry(str(path), number) for number, path in enumerate((A, B, C), 1)])
    yield made
    made.close()


def pairs(store: Store) -> list[tuple[str, str]]:
    """Return the pairs by the names of the files."""
    rows = store.images(np.unique(store.not_same()).tolist())
    return [(rows[one].path.stem, rows[other].path.stem) for one, other in store.not_same().tolist()]


def test_pairs_are_stored_once_in_either_order_by_path_or_id(store: Store) -> None:
    assert store.not_same().shape == (0, 2)
    assert store.not_same().dtype == np.int64
    ids = {path: store.lookup([path])[path].uid for path in (A, B, C)}
    assert store.set_not_same([(B, A), (ids[A], B), (ids[C], ids[A])]) == 2
    assert store.set_not_same([(A, B)]) == 1
    assert pairs(store) == [("a", "b"), ("a", "c")]
    assert store.unset_not_same([(A, ids[B]), (B, C)]) == 1
    assert pairs(store) == [("a", "c")]


def test_pairs_of_unknown_images_or_of_one_image_are_not_stored(store: Store) -> None:
    before = store.revision
    assert store.set_not_same([(A, A), (A, Path("/none.jpg")), ("0" * 16, B)]) == 0
    assert store.unset_not_same([(A, B)]) == 0
    assert store.not_same().size == 0
    assert store.revision == before
    with pytest.raises(UsageError, match="expected the id of an image"):
        store.set_not_same([("a.jpg", B)])


def test_pairs_outlast_every_change_of_an_image_but_its_removal(store: Store, entry: MakeEntry) -> None:
    store.set_not_same([(A, B), (A, C)])
    store.put([entry(str(A), 9.0)])
    store.move(B, Path("/photos/moved.jpg"))
    known = store.lookup([C])[C]
    store.restamp([FileStamp(known.id, Path("/photos/renamed.jpg"), 1, 1)])
    assert pairs(store) == [("a", "moved"), ("a", "renamed")]
    store.forget([Path("/photos/moved.jpg")])
    assert pairs(store) == [("a", "renamed")]
    store.forget([A])
    assert store.not_same().size == 0


def test_an_image_that_replaces_its_copy_takes_over_its_pairs(store: Store, entry: MakeEntry) -> None:
    new = Path("/new/a.jpg")
    store.put([replace(entry(str(path), 1.0), digest=b"same") for path in (A, new)])
    store.set_not_same([(new, B), (new, A), (A, C)])
    assert store.move(A, new) == 1
    assert pairs(store) == [("a", "b"), ("a", "c")]
    assert store.images(store.not_same()[:, 0].tolist())[1].path == new


def test_pairs_and_searches_belong_to_a_transaction(store: Store) -> None:
    def change() -> None:
        with store.writing():
            store.set_not_same([(A, B)])
            store.save_search("sea", {"k": 3})
            assert store.not_same().size == 2
            assert len(store.saved_searches()) == 1
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        change()
    assert store.not_same().size == 0
    assert store.saved_searches() == []


def test_searches_are_saved_replaced_by_name_and_removed_by_id(kind: str, store: Store, place: Place) -> None:
    sea = store.save_search(" sea ", {"query": [{"image": "00112233445566aa", "weight": -0.5}], "text": "é\n<b>"})
    bridge = store.save_search("bridge", {})
    assert is_uid(sea.id)
    assert [each.name for each in store.saved_searches()] == ["bridge", "sea"]
    assert json.loads(sea.search) == {"query": [{"image": "00112233445566aa", "weight": -0.5}], "text": "é\n<b>"}
    again = store.save_search("sea", {"k": 5})
    assert (again.id, again.search) == (sea.id, '{"k":5}')
    assert store.remove_search(bridge.id)
    assert not store.remove_search(bridge.id)
    assert not store.remove_search("x")
    store.close()
    reopened = STORES[kind].open(place)
    assert reopened.saved_searches() == [again]
    reopened.close()


@pytest.mark.parametrize("name", ["", "   ", "x" * (NAME_LENGTH + 1), "\ud800", 7])
def test_invalid_names_are_refused(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match=r"name of a search: got .*expected text of 1 to 200"):
        store.save_search(name, {})
    assert store.saved_searches() == []


def test_searches_that_are_no_json_or_too_large_are_refused(store: Store) -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    for wrong in ({"a": float("nan")}, {"a": {1, 2}}, {"a": "\ud800"}, {"a": nested}):
        with pytest.raises(UsageError, match="cannot be written as JSON"):
            store.save_search("sea", wrong)
    with pytest.raises(UsageError, match="takes 65,545 bytes as JSON; expected at most 65,536"):
        store.save_search("sea", {"a": "x" * (SEARCH_BYTES + 1)})
    with pytest.raises(UsageError, match="expected a JSON object"):
        store.save_search("sea", [])  # type: ignore[arg-type]
    store.save_search("sea", {"a": "é" * ((SEARCH_BYTES - 8) // 2)})
    assert len(store.saved_searches()) == 1


def test_the_number_of_saved_searches_is_bounded(store: Store) -> None:
    with store.writing():
        for number in range(MOST_SAVED):
            store.save_search(f"{number:04}", {})
    with pytest.raises(UsageError, match="has 1,000 saved searches; remove some first"):
        store.save_search("one more", {})
    assert store.save_search("0007", {"k": 1}).name == "0007"
    assert len(store.saved_searches()) == MOST_SAVED
