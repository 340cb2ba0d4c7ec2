"""A filter takes arguments as people have them."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kindred.errors import UsageError
from kindred.store import Filter, parse_where
from kindred.store.filters import kind_of, to_stored


def test_filters_convert_dates_tags_and_folders() -> None:
    given: dict[str, Any] = {
        "folder": "photos",
        "tags": "sea",
        "ids": "0123456789abcdef",
        "after": "2024-05-31",
        "before": datetime(2024, 6, 1, 23, 59),
    }
    assert Filter(**given) == Filter(
        folder=Path("photos"),
        tags=("sea",),
        ids=("0123456789abcdef",),
        after=date(2024, 5, 31),
        before=date(2024, 6, 1),
    )
    assert Filter(after=date(2024, 5, 31), tags=["a", "b"]).tags == ("a", "b")  # type: ignore[arg-type]
    assert Filter(before="2024-06-01T10:00:00+02:00").before == date(2024, 6, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["yesterday", "2024", 2024])
def test_invalid_dates_are_refused(value: Any) -> None:
    with pytest.raises(UsageError, match=r"after is .*; expected a date, or text such as '2024-05-31'"):
        Filter(after=value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tags": 5}, "tags: got 5; expected text"),
        ({"tags": [b"sea"]}, "tags: got b'sea'; expected text"),
        ({"tags": "\ud800"}, "tags: got '.ud800'; expected text"),
        ({"ids": "sea"}, "ids: got 'sea'; expected ids of images, of 16 hexadecimal digits"),
        ({"ids": [5]}, "ids: got 5; expected ids of images"),
        ({"folder": 5}, "folder is 5; expected a path"),
        ({"where": 5}, "where is 5; expected conditions, such as 'price<20'"),
    ],
)
def test_what_would_match_nothing_without_a_word_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Filter(**arguments)


def test_numbers_of_numpy_are_numbers() -> None:
    values = {"whole": np.int64(3), "part": np.float32(2.5), "flag": np.bool_(True)}
    assert to_stored("whole", values["whole"]) == 3  # type: ignore[arg-type]
    assert type(to_stored("whole", values["whole"])) is int  # type: ignore[arg-type]
    assert type(to_stored("part", values["part"])) is float  # type: ignore[arg-type]
    assert kind_of(values["part"]) == "number"
    with pytest.raises(UsageError, match="expected text, a number or a date"):
        kind_of(values["flag"])


def test_a_date_that_utc_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'d' is 0001-01-01 00:00:00.14:00; expected a date of the years 1 to 9999"):
        parse_where("d<0001-01-01T00:00+14:00")
