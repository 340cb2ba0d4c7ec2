"""Listings in an order, a part at a time: run over the table STORES."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pytest

from kindred.errors import UsageError
from kindred.store import (
    SORTS,
    STORES,
    Entry,
    Filter,
    Order,
    Place,
    Position,
    Sort,
    Store,
    position_from,
    position_text,
)

MakeEntry = Callable[..., Entry]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, place_for: Callable[[str], Place], entry: MakeEntry) -> Iterator[Store]:
    made = STORES[request.param].create(place_for(request.param), {"recipe": "test"})
    days = ["2024-05-31T10:00:00", "2024-05-31T09:00:00", None, "2023-01-01", "2024-05-31T09:00:00"]
    names = ["d", "a", "e", "b", "c"]
    # One without a date of its own, whose file is of the same day.
    times = [0, 0, int(datetime(2024, 5, 31, 12).timestamp()) * 10**9, 0, 0]
    made.put(
        [
            replace(entry(f"/photos/{name}.jpg", 1.0), taken=day, mtime_ns=time, width=40, height=30)
            for name, day, time in zip(names, days, times, strict=True)
        ]
    )
    yield made
    made.close()


def listed(store: Store, order: Order, *, limit: int, where: Filter | None = None) -> str:
    """The letters of all images, read `limit` at a time."""
    letters, after = "", None
    while True:
        found = store.listed(where or Filter(), order, after=after, limit=limit)
        assert found.sizes.tolist() == [[40, 30]] * len(found.uids)
        rows = store.by_uid(found.uids)
        letters += "".join(rows[uid].path.stem for uid in found.uids)
        if found.next is None:
            return letters
        assert len(found.uids) == limit
        after = position_from(position_text(found.next), order)


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
@pytest.mark.parametrize(("sort", "letters"), [("added", "daebc"), ("taken", "beacd"), ("path", "abcde")])
def test_parts_of_a_listing_are_the_whole(store: Store, sort: Sort, letters: str, limit: int) -> None:
    assert listed(store, Order(sort), limit=limit) == letters
    assert listed(store, Order(sort, descending=True), limit=limit) == letters[::-1]


def test_a_listing_is_filtered_and_counted(store: Store) -> None:
    store.tag([Path("/photos/a.jpg"), Path("/photos/b.jpg")], "sea")
    assert listed(store, Order("path"), limit=1, where=Filter(tags="sea")) == "ab"  # type: ignore[arg-type]
    assert listed(store, Order("path"), limit=1, where=Filter(without_tags=("sea",))) == "cde"
    assert store.count(Filter(without_tags=("sea",))) == 3
    assert store.count(Filter(after=date(2024, 1, 1))) == 4
    assert store.select_images(Filter(without_tags=("sea",))).size == 3


def test_a_listing_goes_on_after_its_last_image_was_removed(store: Store) -> None:
    first = store.listed(Filter(), Order("taken"), limit=2)
    store.forget([first.uids[1]])
    second = store.listed(Filter(), Order("taken"), after=first.next, limit=5)
    assert [store.by_uid([uid])[uid].path.stem for uid in second.uids] == ["a", "c", "d"]


def test_skipped_files_are_not_listed(store: Store) -> None:
    store.put([Entry(Path("/photos/x.jpg"), 1, 1, reason="is not an image")])
    assert "x" not in listed(store, Order("path"), limit=2)
    assert store.count(Filter()) == 5


@pytest.mark.parametrize(
    ("position", "sort"),
    [
        ((1,), "taken"),
        (("a",), "added"),
        ((None, 1, 1), "taken"),
        ((2**63,), "added"),
        ((True,), "added"),
        ((), "path"),
    ],
)
def test_a_position_of_other_types_is_refused(position: Position, sort: Sort) -> None:
    with pytest.raises(UsageError, match="not valid"):
        position_from(position_text(position), Order(sort))


def test_positions_of_every_sort_are_read_again(store: Store) -> None:
    for sort in SORTS:
        found = store.listed(Filter(), Order(sort), limit=1)
        assert found.next is not None
        assert position_from(position_text(found.next), Order(sort)) == found.next
    with pytest.raises(UsageError, match="sort is 'size'"):
        Order("size")  # type: ignore[arg-type]
