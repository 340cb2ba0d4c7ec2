"""Find the queries that are themselves in the database, even under another path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np

from kindred.evaluation.groundtruth import GroundTruth, Query

__all__ = ["file_key", "left_out", "places_of"]

Places = tuple[int, ...]


def file_key(path: Path) -> Hashable:
    """Return a key that is the same for all paths of one file: links, `..` and, on some systems, another case.

    It is the device and the inode; the resolved path, if the system has no inode or the file cannot be accessed.
    """
    try:
        facts = path.stat()
    except OSError:
        return str(path.resolve())
    return (facts.st_dev, facts.st_ino) if facts.st_ino else str(path.resolve())


def places_of(queries: Sequence[Path], database: Sequence[Path]) -> list[Places]:
    """Return, for each query, the positions of its own file in the database; several if it is listed by links."""
    known: dict[Hashable, list[int]] = defaultdict(list)
    for place, path in enumerate(database):
        known[file_key(path)].append(place)
    return [tuple(known.get(file_key(path), ())) for path in queries]


def left_out(truth: GroundTruth, own: Sequence[Places]) -> list[Places]:
    """Return, for each query, the positions of the database that are left out of its ranking.

    `own` are those of its file, as `places_of` returns them. Published protocols define whether a query counts as a
    result; otherwise it is left out of its own ranking, unless it is listed as relevant.
    """
    return [_left_out(truth, query, places) for query, places in zip(truth.queries, own, strict=True)]


def _left_out(truth: GroundTruth, query: Query, own: Places) -> Places:
    if query.itself is not None:
        return (query.itself,)
    if truth.protocol != "plain":
        return ()
    relevant = np.concatenate([np.zeros(0, np.int64), *(each.relevant for each in query.judgements.values())])
    return tuple(place for place in own if place not in relevant)
