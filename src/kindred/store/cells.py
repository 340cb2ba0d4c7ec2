"""Cells: checked values of the rows of a database, since SQLite does not enforce the type of a column.

Each function raises LibraryDamaged with the row and the column.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from kindred._support.remote_path import RemotePath, remote_path
from kindred.errors import LibraryDamaged, UsageError
from kindred.store.filters import Value
from kindred.store.records import Box, Known, Row

__all__ = ["IMAGE", "KNOWN", "NO_PATHS", "Cells"]

NO_PATHS: Mapping[bytes, Path] = {}

KNOWN = "id, uid, path, size, mtime_ns, state, digest, device, inode, volume, final, version"
IMAGE = "i.id, i.path, i.width, i.height, i.taken, i.uid, i.frames, i.frame, i.device, i.inode"
"""The columns that `Cells.known` and `Cells.image` expect, the latter of a table named i."""

SHOWN = 40  # characters of an invalid value
PATH_BYTES = 100_000
"""Maximum length of a path; the longest are those of Windows, 32,767 characters of at most 3 bytes."""


class Cells:
    """Checks of the cells of the database at `place`, which is named in the errors with a remedy."""

    def __init__(self, place: object, remedy: str) -> None:
        self._place, self._remedy = place, remedy

    def whole(self, value: object, row: str, column: str) -> int:
        """Return an integer."""
        if isinstance(value, int):
            return value
        raise self.damaged(row, column, value, "a whole number")

    def natural(self, value: object, row: str, column: str) -> int:
        """Return an integer of at least 0."""
        if isinstance(value, int) and value >= 0:
            return value
        raise self.damaged(row, column, value, "a whole number of at least 0")

    def optional_natural(self, value: object, row: str, column: str) -> int | None:
        """Return an integer of at least 0, or None."""
        return None if value is None else self.natural(value, row, column)

    def identity(self, value: object, row: str, column: str) -> int:
        """Return the number of a device or an inode: unsigned 64 bits, which SQLite stores as signed."""
        return self.whole(value, row, column) % 2**64

    def optional_identity(self, value: object, row: str, column: str) -> int | None:
        """Return the number of a device or an inode, or None."""
        return None if value is None else self.identity(value, row, column)

    def text(self, value: object, row: str, column: str) -> str:
        """Return text that is valid UTF-8."""
        if isinstance(value, str):
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                pass
            else:
                return value
        raise self.damaged(row, column, value, "text in UTF-8")

    def optional_text(self, value: object, row: str, column: str) -> str | None:
        """Return text, or None."""
        return None if value is None else self.text(value, row, column)

    def optional_bytes(self, value: object, row: str, column: str) -> bytes | None:
        """Return bytes, or None."""
        if value is None or isinstance(value, bytes):
            return value
        raise self.damaged(row, column, value, "bytes")

    def bounded_bytes(
        self, value: object, size: object, row: str, column: str, *, most: int, remedy: str | None = None
    ) -> bytes:
        """Return bytes of which only the `size` was read, and None as their value, if they are more than `most`."""
        if isinstance(value, bytes):
            return value
        if value is None and isinstance(size, int):
            raise self.error(f"{row}: {column} is {size:,} bytes, expected at most {most:,}", remedy)
        raise self.error(f"{row}: {column} is {_shown(value)}, expected bytes", remedy)

    def day(self, value: object, row: str) -> date | None:
        """Return a day, or None."""
        if value is None:
            return None
        try:
            return date.fromisoformat(self.text(value, row, "day"))
        except ValueError:
            raise self.damaged(row, "day", value, "a date such as 2024-05-31") from None

    def path(self, value: object, row: str) -> Path:
        """Return an absolute path, or the address of a remote file."""
        if isinstance(value, bytes) and b"\0" not in value and len(value) <= PATH_BYTES:
            text = os.fsdecode(value)
            path = Path(text)
            if path.is_absolute():
                return path
            if remote := _remote(text):
                return remote
        raise self.damaged(row, "path", value, "an absolute path")

    def box(self, corners: Sequence[object], row: str) -> Box | None:
        """Return four finite numbers as a box, or None if they are NULL."""
        x0, y0, x1, y1 = corners
        if x0 is None or y0 is None or x1 is None or y1 is None:
            return None
        for edge in (x0, y0, x1, y1):
            if not isinstance(edge, int | float) or not math.isfinite(edge):
                raise self.damaged(row, "box", edge, "a finite number")
        return float(x0), float(y0), float(x1), float(y1)  # type: ignore[arg-type]  # checked just now

    def image(self, cells: Sequence[object], tags: dict[int, list[str]], metadata: dict[int, dict[str, Value]]) -> Row:
        """Return an image and a region: the columns of IMAGE, a vector with its region and box; tags, metadata."""
        check = self
        image, path, width, height, taken, uid, frames, frame, device, inode, vector, region, *box = cells
        row = f"image {image}"
        number = check.natural(image, row, "id")
        return Row(
            vector_id=check.natural(vector, row, "vector"),
            image_id=number,
            path=check.path(path, row),
            width=check.optional_natural(width, row, "width"),
            height=check.optional_natural(height, row, "height"),
            taken=check.optional_text(taken, row, "taken"),
            region=check.natural(region, f"vector {vector}", "region"),
            box=check.box(box, f"vector {vector}"),
            tags=tuple(tags.get(number, ())),
            uid=check.text(uid, row, "uid"),
            metadata=metadata.get(number, {}),
            frames=check.natural(frames, row, "frames"),
            frame=check.natural(frame, row, "frame"),
            device=check.optional_identity(device, row, "device"),
            inode=check.optional_identity(inode, row, "inode"),
        )

    def known(self, cells: Sequence[object], paths: Mapping[bytes, Path] = NO_PATHS) -> Known:
        """Return the stored facts of a file: the columns of KNOWN; `paths` are those that the caller already has."""
        check = self
        number, uid, path, size, mtime_ns, state, digest, device, inode, volume, final, version = cells
        row = f"image {number}"
        return Known(
            check.natural(number, row, "id"),
            check.text(uid, row, "uid"),
            (paths.get(path) if isinstance(path, bytes) else None) or check.path(path, row),
            check.natural(size, row, "size"),
            check.whole(mtime_ns, row, "mtime_ns"),
            "skipped" if state == "skipped" else "indexed",
            check.optional_bytes(digest, row, "digest"),
            check.optional_identity(device, row, "device"),
            check.optional_identity(inode, row, "inode"),
            check.optional_identity(volume, row, "volume"),
            bool(final),
            check.text(version, row, "version"),
        )

    def damaged(self, row: str, column: str, value: object, expected: str) -> LibraryDamaged:
        """Return the error for an invalid cell."""
        return self.error(f"{row}: {column} is {_shown(value)}, expected {expected}")

    def error(self, what: str, remedy: str | None = None) -> LibraryDamaged:
        """Return the error for other invalid data; `remedy`: what to do, if not what is usual."""
        return LibraryDamaged(f"{self._place}: {what}; {remedy or self._remedy}")


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    return ascii(value if len(str(value)) <= SHOWN else f"{str(value)[:SHOWN]}…")


def _remote(text: str) -> RemotePath | None:
    try:
        path = remote_path(text)
    except UsageError:
        return None
    return path if str(path) == text else None
