"""What a client receives: the records and results of `kindred.library`, made of the forms that the server sends."""

from __future__ import annotations

from typing import cast

import numpy as np

from kindred.errors import ServerError
from kindred.library import Hit, ImageRecord, Results
from kindred.library.explaining import AgreeingPoints, AlikeParts, Explanation
from kindred.library.metadata import value_of
from kindred.service import HitForm, ImageForm, SearchForm
from kindred.service.image import ImageFacts
from kindred.store import Value

__all__ = ["explanation_of", "record_of", "results_of"]


def record_of(form: ImageForm) -> ImageRecord:
    """Return the record of an image."""
    return ImageRecord(
        id=form.id,
        path=form.path,
        width=form.width,
        height=form.height,
        taken=form.taken,
        tags=form.tags,
        metadata=_metadata(form),
        frames=form.frames,
        missing=form.missing,
    )


def results_of(form: SearchForm) -> Results:
    """Return results; their `ids`, which are numbers of the store in a library, are positions from 0 here."""
    hits = tuple(map(_hit_of, form.results))
    scores = np.array([hit.score for hit in hits], np.float32)
    return Results(hits, np.arange(len(hits), dtype=np.int64), scores, form.seconds, unlimited=form.answered)


def explanation_of(found: object) -> Explanation:
    """Return an explanation. Raises ServerError if it is of another form."""
    try:
        assert isinstance(found, dict)
        if found["kind"] == "maps":
            return AlikeParts(np.array(found["query"], np.float32), np.array(found["image"], np.float32))
        query, image = (tuple(map(int, found[name])) for name in ("query_size", "image_size"))
        points = np.array(found["matches"], np.float32).reshape(-1, 4)
        homography = np.array(found["homography"], np.float64).reshape(3, 3)
        sizes = cast("tuple[tuple[int, int], tuple[int, int]]", (query, image))
        return AgreeingPoints(*sizes, points, int(found["inliers"]), homography)
    except (AssertionError, KeyError, TypeError, ValueError):
        raise ServerError("the explanation of the server is of another version") from None


def _hit_of(form: HitForm) -> Hit:
    box = form.box
    return Hit(
        rank=form.rank,
        path=form.path,
        score=form.score,
        box=None if box is None or len(box) != 4 else (box[0], box[1], box[2], box[3]),
        width=form.width,
        height=form.height,
        taken=form.taken,
        tags=form.tags,
        id=form.id,
        metadata=_metadata(form),
        missing=form.missing,
        probability=form.probability,
    )


def _metadata(form: ImageFacts) -> dict[str, Value]:
    return {key: value_of(value, key) for key, value in form.metadata.items()}
