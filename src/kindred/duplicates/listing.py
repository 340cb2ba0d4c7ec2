"""Lists of duplicates as CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable
from pathlib import Path

from kindred._support.files import write_whole
from kindred.duplicates.companions import Companions
from kindred.duplicates.groups import DuplicateGroup

__all__ = ["COLUMNS", "csv_of", "write_csv"]

COLUMNS = ("group", "kind", "keep", "path", "relation", "score", "width", "height", "bytes", "date", "id", "companions")


def csv_of(groups: Iterable[tuple[DuplicateGroup, Collection[int] | None]]) -> bytes:
    """Return groups, each with the indices of the members to keep or None for all, as CSV in UTF-8, a row an image.

    Companions are separated by "|". Bytes of file names that are not UTF-8 are unchanged.
    """
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(COLUMNS)
    beside = Companions()
    for number, (group, keep) in enumerate(groups, 1):
        for at, each in enumerate(group.members):
            lines.writerow(
                (
                    number,
                    group.kind,
                    "" if keep is None else "yes" if at in keep else "no",
                    each.path,
                    each.relation,
                    f"{each.score:.6g}",
                    each.width or "",
                    each.height or "",
                    each.size or "",
                    each.taken or each.modified or "",
                    each.id,
                    "|".join(map(str, beside.of(each.path))),
                )
            )
    return text.getvalue().encode("utf-8", "surrogateescape")


def write_csv(file: Path, groups: Iterable[tuple[DuplicateGroup, Collection[int] | None]]) -> None:
    """Write `csv_of` groups to a file, atomically. Raises UsageError if it cannot be written."""
    data = csv_of(groups)
    write_whole(file, "list", lambda part: part.write_bytes(data))
