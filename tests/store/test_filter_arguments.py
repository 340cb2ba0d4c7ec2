"""A filter takes arguments as people have them."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from kindred.errors import UsageError
from kindred.store import Filter


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
