"""Metadata of images: their values, and conditions on them.

A value is text, a number, or a date (a day, with or without a time). A condition only compares values of the same kind:
a number is never less than a text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from numbers import Integral, Real
from typing import Literal, TypeAlias, cast, get_args

from kindred.errors import UsageError
from kindred.hints import check_type

__all__ = [
    "KEY_LENGTH",
    "KINDS",
    "MOST_KEYS",
    "OPERATORS",
    "VALUE_LENGTH",
    "Condition",
    "Kind",
    "Operator",
    "Stored",
    "Value",
    "checked_metadata",
    "from_stored",
    "kind_of",
    "parse_value",
    "parse_where",
    "to_stored",
]

Value: TypeAlias = "str | int | float | date | datetime"
"""A value of metadata."""

Stored: TypeAlias = "str | int | float"
"""The stored form of a value: dates are ISO text."""

Kind = Literal["text", "number", "date"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Operator = Literal["=", "!=", "<", "<=", ">", ">="]
OPERATORS: tuple[Operator, ...] = ("<=", ">=", "!=", "=", "<", ">")

KEY_LENGTH = 100
"""Maximum length of a key, in characters."""
VALUE_LENGTH = 10_000
"""Maximum length of a text, in characters: enough for a caption, not for a document."""
MOST_KEYS = 200
"""Maximum number of keys per image."""
LARGEST_WHOLE = 2**63 - 1

_KEY = re.compile(r"[^\W\d][\w.:-]*")
_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_WHERE = re.compile(r"\s*([^\s=!<>]+)\s*(<=|>=|!=|==|=|<|>)\s*(.*?)\s*", re.DOTALL)


@dataclass(frozen=True)
class Condition:
    """A condition on the metadata of an image, such as Condition("price", "<", 20).

    It only holds for images that have the key. "=", "<" and the like compare values of the kind of `value`: text,
    number or date; "!=" also holds for values of another kind. A day is compared with the day of a date with a time.
    Raises UsageError for an unknown operator, an invalid key or an invalid value.
    """

    key: str
    op: Operator
    value: Value

    def __post_init__(self) -> None:
        if self.op not in OPERATORS:
            raise UsageError(f"where: got operator {self.op!r}; expected one of {', '.join(sorted(OPERATORS))}")
        checked_metadata({self.key: self.value})


def parse_where(text: str) -> Condition:
    """Parse a condition such as "price<20", "maker = Leica", "bought>=2024-01-31" or 'sku="12"'.

    The value is a number or a date if it looks like one, as in `parse_value`. Raises UsageError.

    >>> parse_where("price<20")
    Condition(key='price', op='<', value=20)
    """
    found = _WHERE.fullmatch(text)
    if found is None or not found[3]:
        known = ", ".join(OPERATORS)
        raise UsageError(
            f"where: got {text[:100]!r}; expected a key, an operator ({known}) and a value, such as price<20"
        )
    op = "=" if found[2] == "==" else found[2]
    return Condition(found[1], cast(Operator, op), parse_value(found[3]))


def parse_value(text: str) -> Value:
    """Parse a number, an ISO date, or else text; text in quotes and numbers with leading zeros ("007") are text.

    >>> parse_value("20"), parse_value("2.5"), parse_value('"20"'), parse_value("007")
    (20, 2.5, '20', '007')
    """
    plain = text.strip()
    if len(plain) >= 2 and plain[0] == plain[-1] and plain[0] in "\"'":
        return plain[1:-1]
    if found := _NUMBER.fullmatch(plain):
        if not found[2] and not found[3] and abs(int(plain)) <= LARGEST_WHOLE:
            return int(plain)
        number = float(plain)
        return number if math.isfinite(number) else plain
    if _DATE.fullmatch(plain):
        try:
            return date.fromisoformat(plain) if len(plain) == 10 else datetime.fromisoformat(plain)
        except ValueError:
            return plain
    return plain


def kind_of(value: object) -> Kind:
    """Return the kind of a value. Raises UsageError for other types: booleans, None, lists."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, date):
        return "date"
    if isinstance(value, Real) and not isinstance(value, bool):  # those of NumPy and pandas, too
        return "number"
    raise UsageError(f"metadata: got {value!r}; expected text, a number or a date")


def checked_metadata(
    values: Mapping[str, Value],
) -> dict[str, tuple[Kind, Stored]]:
    """Return the kind and the stored form of each value, by key.

    Raises UsageError for an invalid key (allowed are letters, digits and _ . : -), for values that are too long, NaN or
    infinite, and for more than `MOST_KEYS` keys.
    """
    check_type("metadata", values, Mapping, "keys and values, such as {'price': 20}")
    if len(values) > MOST_KEYS:
        raise UsageError(f"metadata: got {len(values)} keys; expected at most {MOST_KEYS} for an image")
    checked: dict[str, tuple[Kind, Stored]] = {}
    for key, value in values.items():
        if not isinstance(key, str) or len(key) > KEY_LENGTH or not _KEY.fullmatch(key):
            raise UsageError(
                f"metadata: got key {str(key)[:KEY_LENGTH]!r}; expected at most {KEY_LENGTH} letters, digits "
                "and _ . : -, starting with a letter"
            )
        checked[key] = (kind_of(value), to_stored(key, value))
    return checked


def to_stored(key: str, value: Value) -> Stored:
    """Return the stored form of a value: dates as ISO text, converted to UTC if they have a time zone."""
    if isinstance(value, datetime):
        try:
            naive = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:
            raise UsageError(f"metadata: {key!r} is {value}; expected a date of the years 1 to 9999 in UTC") from None
        return naive.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        if len(value) > VALUE_LENGTH:
            raise UsageError(f"metadata: {key!r} has {len(value):,} characters; expected at most {VALUE_LENGTH:,}")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(f"metadata: {key!r} is not valid text (it contains a lone surrogate)") from None
        return value
    if isinstance(value, Integral):
        if abs(value) > LARGEST_WHOLE:
            raise UsageError(f"metadata: {key!r} is {value!s:.30}; expected a whole number of at most 63 bits")
        return int(value)
    if not math.isfinite(value):
        raise UsageError(f"metadata: {key!r} is {value}; expected a finite number")
    return float(value)


def from_stored(kind: object, value: object) -> Value:
    """Return the value of a stored form. Raises ValueError for anything that `to_stored` never returns."""
    if kind == "text" and isinstance(value, str):
        return value
    if kind == "number" and isinstance(value, int | float) and math.isfinite(value):
        return value
    if kind == "date" and isinstance(value, str):
        return date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
    raise ValueError(f"{kind!s:.20} {value!r:.60}")
