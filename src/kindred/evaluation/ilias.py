"""ILIAS: photos of particular objects, with boxes, to be found among many other images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from kindred.errors import UsageError
from kindred.evaluation.groundtruth import GroundTruth, Judgement, Query, positions
from kindred.evaluation.layouts import check_count, images_below, rows_of, subfolder
from kindred.regions import Box

__all__ = ["is_ilias", "read_ilias"]

CORE = "ilias_core"
OBJECTS, QUERIES, POSITIVES = 1000, 1232, 4715
FARTHEST = 1e6
"""Pixels of an edge of a box; no image is larger."""


def read_ilias(folder: Path, *, partial: bool = False) -> GroundTruth:
    """Read the core set of ILIAS: `OBJECT/query/Q000_00.jpg` and `OBJECT/pos/P000_00.jpg`.

    Each image query has as relevant images all positives of its object. `P000_00_bbox.txt` has the boxes of the object,
    a line each: x and y of the top-left corner, width and height in pixels. Queries are whole images, as in the
    authors' evaluation. Distractors (YFCC100M) are given as folders of their own. The text queries are not read.
    (Kordopatis-Zilos et al. 2025.)
    """
    root = subfolder(folder, CORE)
    found: dict[str, tuple[list[str], list[str]]] = {}
    for path in images_below(root):
        parts = path.split("/")
        if len(parts) == 3 and parts[1] in ("query", "pos"):
            found.setdefault(parts[0], ([], []))[parts[1] == "pos"].append(path)
    relevant = [path for _, positives in found.values() for path in positives]
    places = {path: place for place, path in enumerate(relevant)}
    queries = [
        Query(path, None, {"": Judgement(positions(map(places.__getitem__, positives)), positions(()))})
        for asked, positives in found.values()
        for path in asked
    ]
    check_count(folder, "ILIAS", "objects", len(found), [OBJECTS], partial=partial)
    check_count(folder, "ILIAS", "queries", len(queries), [QUERIES], partial=partial)
    check_count(folder, "ILIAS", "positive images", len(relevant), [POSITIVES], partial=partial)
    boxes = {places[path]: tuple(_boxes(root / path, partial=partial)) for path in relevant}
    boxes = {place: listed for place, listed in boxes.items() if listed}
    return GroundTruth("ilias", folder, "ilias", tuple(relevant), tuple(queries), root=root, boxes=boxes)


def is_ilias(folder: Path) -> bool:
    """Return whether there are folders of objects with queries and positives."""
    return any((query.parent.parent / "pos").is_dir() for query in subfolder(folder, CORE).glob("*/query/Q*_*.jpg"))


def _boxes(image: Path, *, partial: bool) -> Iterator[Box]:
    """Yield the boxes of the object in an image; with `partial`, the file may be missing."""
    file = image.with_name(f"{image.stem}_bbox.txt")
    if partial and not file.exists():
        return
    for row in rows_of(file, 4):
        try:
            x, y, width, height = map(float, row)
        except ValueError:
            x = y = width = height = math.nan
        if not (width > 0 and height > 0 and all(abs(edge) <= FARTHEST for edge in (x, y, width, height))):
            raise UsageError(f"{file}: got {' '.join(row)!r:.100}; expected x, y, width and height of a box in pixels")
        yield x, y, x + width, y + height
