"""Helpers of the readers of published data sets: listing images, reading text tables, checking counts."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from kindred._support.files import read_bounded
from kindred._support.os_errors import explain_os_error
from kindred.errors import UsageError
from kindred.evaluation.groundtruth import GroundTruth, Judgement, Query, positions
from kindred.images import find_images

__all__ = ["LIST_BYTES", "PARTIAL", "among_classes", "check_count", "images_below", "numbered", "rows_of", "subfolder"]


LIST_BYTES = 1 << 28
"""Bytes of a list of a published set."""
PARTIAL = "partial=True in Python, --partial on the command line"
"""How an evaluation is allowed to leave images out, for errors."""


def images_below(folder: Path) -> list[str]:
    """Return the images under `folder`, as paths from there with /, sorted; hidden ones are left out."""
    return [found.path.relative_to(folder).as_posix() for found in find_images(folder) if found.reason is None]


def subfolder(folder: Path, *names: str) -> Path:
    """Return the first existing sub-folder of `names`, or `folder` itself."""
    return next((folder / name for name in names if (folder / name).is_dir()), folder)


def numbered(folder: Path, name: str, *, prefix: str = "") -> list[tuple[int, str]]:
    """Return the images under `folder` as (number, path), sorted numerically.

    Raises UsageError naming the first image whose name is not `prefix` and a number, or whose number is repeated.
    """
    found: dict[int, str] = {}
    for path in images_below(folder):
        text = path.rpartition("/")[2].partition(".")[0].removeprefix(prefix)
        if not (text.isascii() and text.isdigit()):
            raise UsageError(f"{folder / path}: expected the images of {name} to be named {prefix}NUMBER.jpg")
        if int(text) in found:
            raise UsageError(f"{folder / path}: has the number of {found[int(text)]}; {name} has each number once")
        found[int(text)] = path
    return sorted(found.items())


def rows_of(file: Path, columns: int) -> Iterator[list[str]]:
    """Yield the rows of a text table of `columns` columns separated by blanks; the last may contain blanks."""
    try:
        lines = read_bounded(file, LIST_BYTES).decode("utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"{file}: the list cannot be read ({explain_os_error(error)})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: the list is not text in UTF-8") from error
    for number, line in enumerate(lines, start=1):
        row = line.split(maxsplit=columns - 1)
        if row and len(row) != columns:
            raise UsageError(f"{file}: line {number} is {line!r}; expected {columns} columns with blanks between")
        if row:
            yield row


def check_count(folder: Path, name: str, what: str, count: int, expected: Collection[int], *, partial: bool) -> None:
    """Raise UsageError if the number of images (or classes, or queries) is not the published one.

    With `partial`, only a set without any is an error.
    """
    if count in expected or (partial and count):
        return
    published = " or ".join(f"{number:,}" for number in sorted(expected))
    advice = (
        ""
        if partial
        else f"; figures of an incomplete set, which are not comparable with published ones, need {PARTIAL}"
    )
    raise UsageError(f"{folder}: found {count:,} {what}; {name} has {published}; fetch what is missing{advice}")


def among_classes(
    name: str, file: Path, labels: Mapping[str, Hashable], *, root: Path, recalls: Sequence[int]
) -> GroundTruth:
    """Make every image a query for the others of its class, with itself removed from its own ranking.

    `labels` are the classes of the paths, relative to `root`, in the order of the database.
    """
    members: dict[Hashable, list[int]] = {}
    for place, label in enumerate(labels.values()):
        members.setdefault(label, []).append(place)
    classes = {label: positions(places) for label, places in members.items()}
    queries = []
    for place, (path, label) in enumerate(labels.items()):
        others = classes[label][classes[label] != place]
        queries.append(Query(path, None, {"": Judgement(others, np.array([place]))}, itself=place))
    return GroundTruth(name, file, "plain", tuple(labels), tuple(queries), root=root, recalls=tuple(recalls))
