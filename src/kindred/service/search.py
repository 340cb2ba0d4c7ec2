"""The forms of search results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from kindred.library.explaining import AgreeingPoints, Explanation
from kindred.service.form import Form
from kindred.service.image import ImageFacts

if TYPE_CHECKING:
    from kindred.library import Hit, Results

__all__ = [
    "DescriptionForm",
    "ExplanationForm",
    "HitForm",
    "MatchForm",
    "QueryErrorForm",
    "ResultsForm",
    "SearchForm",
    "UploadForm",
]


@dataclass(frozen=True, kw_only=True)
class HitForm(ImageFacts):
    """One result; `box` is null if the whole image matched; sizes are in pixels of the upright original.

    `probability`: that it shows the same thing as the query; null if the recipe has no calibration. `id` is unchanged
    when the image is moved or described again; `missing`: whether its file does not exist.
    """

    rank: int
    score: float
    probability: float | None
    box: tuple[float, ...] | None

    @classmethod
    def of(cls, hit: Hit) -> Self:
        """Return the form of a hit."""
        probability = None if hit.probability is None else round(hit.probability, 6)
        return cls._of(hit, rank=hit.rank, score=round(hit.score, 6), probability=probability, box=hit.box)


@dataclass(frozen=True)
class ResultsForm(Form):
    """Results of a search; `query` is a path, or a list if several images were given.

    `answered`: whether an image probably shows the same thing, even one below a limit; null where the recipe is not
    calibrated.
    """

    query: str | tuple[str, ...]
    recipe: str
    answered: bool | None
    results: tuple[HitForm, ...]
    seconds: float

    @classmethod
    def of(cls, results: Results, query: Sequence[str], recipe: str) -> Self:
        """Return the form of the results for images of these names."""
        names = query[0] if len(query) == 1 else tuple(query)
        return cls(names, recipe, results.answered, tuple(map(HitForm.of, results)), round(results.seconds, 4))


@dataclass(frozen=True)
class QueryErrorForm(Form):
    """A query, one of several, whose image cannot be used."""

    query: str
    error: str


@dataclass(frozen=True)
class MatchForm(Form):
    """The images of a library similar to one image of a folder; `error` is null unless the image cannot be used."""

    query: Path
    results: tuple[HitForm, ...]
    error: str | None

    @classmethod
    def of(cls, query: Path, hits: Sequence[Hit], error: str | None) -> Self:
        """Return the form of the hits of an image."""
        return cls(query, tuple(map(HitForm.of, hits)), error)


@dataclass(frozen=True)
class SearchForm(ResultsForm):
    """A part of the results of a search.

    `total`: how many there are; `next_offset`: where the next part begins, null at the end.
    """

    total: int
    next_offset: int | None


@dataclass(frozen=True)
class UploadForm(Form):
    """A query image that was stored; sizes in pixels of the upright image."""

    upload: str
    width: int
    height: int


@dataclass(frozen=True)
class DescriptionForm(Form):
    """The vector of an image, of unit length."""

    vector: tuple[float, ...]
    dimension: int
    recipe: str


@dataclass(frozen=True)
class ExplanationForm(Form):
    """In what an image agrees with a query: `kind` is "keypoints" or "maps"; the fields of the other kind are left out.

    `matches`: x, y in the query and x, y in the image, in pixels of the upright originals. `query`, `image`: the
    similarity in [0, 1] of each part to the most similar part of the other, by rows.
    """

    explanation: Explanation

    @classmethod
    def of(cls, explanation: Explanation) -> Self:
        """Return the form of an explanation."""
        return cls(explanation)

    def to_json(self) -> dict[str, object]:
        """Return the fields of its kind."""
        found = self.explanation
        if isinstance(found, AgreeingPoints):
            return {
                "kind": "keypoints",
                "query_size": list(found.query_size),
                "image_size": list(found.image_size),
                "matches": found.points.astype(float).round(2).tolist(),
                "inliers": found.inliers,
                "homography": found.homography.tolist(),
            }
        query, image = (np.asarray(part, float).round(4).tolist() for part in (found.query, found.image))
        return {"kind": "maps", "rows": len(image), "columns": len(image[0]), "query": query, "image": image}
