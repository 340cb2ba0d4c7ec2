"""The files of an evaluation: those of the database, of the queries, and of distractors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kindred.errors import UsageError
from kindred.evaluation.groundtruth import GroundTruth
from kindred.evaluation.own_images import file_key, left_out, places_of
from kindred.images import find_images

__all__ = ["Files"]


@dataclass(frozen=True)
class Files:
    """The files of an evaluation.

    shared: for each query its position in the database, None if it is not there or a region of an image. left_out:
    for each query the positions of the database that are left out of its ranking.
    """

    database: list[Path]
    queries: list[Path]
    distractors: list[list[Path]]
    shared: list[int | None]
    left_out: list[tuple[int, ...]]

    @classmethod
    def of(cls, truth: GroundTruth, images: Path | None = None, distractors: Sequence[Path] = ()) -> Files:
        """Find all files. Raises UsageError naming the first missing file, or a folder without distractors."""
        database, queries = truth.locate(images)
        own = places_of(queries, database)
        shared = [
            None if query.box or not places else places[0] for places, query in zip(own, truth.queries, strict=True)
        ]
        known = {file_key(path) for path in (*database, *queries)} if distractors else set()
        found = [
            [each.path for each in find_images(folder) if each.reason is None and file_key(each.path) not in known]
            for folder in distractors
        ]
        for folder, paths in zip(distractors, found, strict=True):
            if not paths:
                raise UsageError(f"{folder}: contains no image to add as a distractor")
        return cls(database, queries, found, shared, left_out(truth, own))

    @property
    def count(self) -> int:
        """The number of images to be described."""
        return len(self.database) + sum(map(len, self.distractors)) + self.shared.count(None)
