"""Cells: values as they come out of an SQLite file, checked, as SQLite itself holds no column to its type.

Each function raises LibraryDamaged that names the row and the column.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from kindred.errors import LibraryDamaged
from kindred.store.records import Box
from kindred.store.sqlite.failures import REMEDY

__all__ = ["Cells"]

SHOWN = 40  # characters of a wrong value
PATH_BYTES = 100_000
"""No system has longer paths: Windows has the longest, 32,767 characters of at most 3 bytes."""


class Cells:
    """The cells of one file, for messages."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def whole(self, value: object, row: str, column: str) -> int:
        """A whole number."""
        if isinstance(value, int):
            return value
        raise self.damaged(row, column, value, "a whole number")

    def natural(self, value: object, row: str, column: str) -> int:
        """A whole number of at least 0."""
        if isinstance(value, int) and value >= 0:
            return value
        raise self.damaged(row, column, value, "a whole number of at least 0")

    def optional_natural(self, value: object, row: str, column: str) -> int | None:
        """A whole number of at least 0, or nothing."""
        return None if value is None else self.natural(value, row, column)

    def identity(self, value: object, row: str, column: str) -> int:
        """The number of a device or an inode, 64 bits without a sign, which SQLite keeps with one."""
        return self.whole(value, row, column) % 2**64

    def optional_identity(self, value: object, row: str, column: str) -> int | None:
        """The number of a device or an inode, or nothing."""
        return None if value is None else self.identity(value, row, column)

    def text(self, value: object, row: str, column: str) -> str:
        """Text that was valid UTF-8."""
        if isinstance(value, str):
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                pass
            else:
                return value
        raise self.damaged(row, column, value, "text in UTF-8")

    def optional_text(self, value: object, row: str, column: str) -> str | None:
        """Text, or nothing."""
        return None if value is None else self.text(value, row, column)

    def optional_bytes(self, value: object, row: str, column: str) -> bytes | None:
        """Bytes, or nothing."""
        if value is None or isinstance(value, bytes):
            return value
        raise self.damaged(row, column, value, "bytes")

    def path(self, value: object, row: str) -> Path:
        """An absolute path."""
        if isinstance(value, bytes) and b"\0" not in value and len(value) <= PATH_BYTES:
            path = Path(os.fsdecode(value))
            if path.is_absolute():
                return path
        raise self.damaged(row, "path", value, "an absolute path")

    def box(self, corners: Sequence[object], row: str) -> Box | None:
        """Four finite numbers, or four times nothing."""
        x0, y0, x1, y1 = corners
        if x0 is None or y0 is None or x1 is None or y1 is None:
            return None
        for edge in (x0, y0, x1, y1):
            if not isinstance(edge, int | float) or not math.isfinite(edge):
                raise self.damaged(row, "box", edge, "a finite number")
        return float(x0), float(y0), float(x1), float(y1)  # type: ignore[arg-type]  # checked just now

    def damaged(self, row: str, column: str, value: object, expected: str) -> LibraryDamaged:
        """Return what to raise for a wrong cell."""
        if isinstance(value, bytes):
            shown = f"{len(value):,} bytes"
        else:
            shown = ascii(value if len(str(value)) <= SHOWN else f"{str(value)[:SHOWN]}…")
        return LibraryDamaged(f"{self._file}: {row}: {column} is {shown}, expected {expected}; {REMEDY}")
