"""Listing of images: an order, and the position in it from which a listing goes on."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from kindred.errors import UsageError

__all__ = ["SORTS", "Listed", "Order", "Position", "Sort", "position_from", "position_text"]

Sort = Literal["added", "taken", "path"]
SORTS: tuple[Sort, ...] = get_args(Sort)

Position: TypeAlias = "tuple[int | str | bytes | None, ...]"
"""The last image listed: the values by which it was ordered. The listing goes on even if the image is removed."""

POSITION_TEXT = 12_000
"""Maximum length of a position as text: a path of 4,096 bytes takes some 11,000."""

FORMS: dict[Sort, tuple[tuple[type, ...], ...]] = {
    "added": ((int,),),
    "taken": ((str, type(None)), (str, type(None)), (int,)),
    "path": ((bytes,),),
}
"""The types of the values of a position, by sort."""


@dataclass(frozen=True)
class Order:
    """An order of images: as they were added, by the day and time on which they were taken, or by path."""

    sort: Sort = "added"
    descending: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError for an unknown sort."""
        if self.sort not in SORTS:
            raise UsageError(f"sort is {self.sort!r:.100}; expected one of {', '.join(SORTS)}")


class Listed(NamedTuple):
    """A part of a listing: ids of images, sizes (n, 2) int32 of the upright originals, and where it goes on.

    sizes: width and height in pixels, 0 if unknown. next: None at the end.
    """

    uids: tuple[str, ...]
    sizes: NDArray[np.int32]
    next: Position | None


def position_text(position: Position) -> str:
    """Return a position as text that is safe in a URL.

    >>> position_from(position_text((b"/a.jpg",)), Order("path"))
    (b'/a.jpg',)
    """
    values = [{"b": value.hex()} if isinstance(value, bytes) else value for value in position]
    return base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode().rstrip("=")


def position_from(text: str, order: Order) -> Position:
    """Return the position that `position_text` wrote. Raises UsageError for any other text."""
    wrong = UsageError("the position of the listing is not valid; begin again without it")
    if len(text) > POSITION_TEXT or not text.isascii():
        raise wrong
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        position = tuple(bytes.fromhex(value["b"]) if isinstance(value, dict) else value for value in values)
        right = [type(value) in types for value, types in zip(position, FORMS[order.sort], strict=True)]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise wrong from None
    if not all(right) or any(isinstance(value, int) and abs(value) >= 2**63 for value in position):
        raise wrong
    try:
        json.dumps([value for value in position if isinstance(value, str)], ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise wrong from None
    return position
