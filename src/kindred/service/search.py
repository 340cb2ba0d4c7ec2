"""The forms of search results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kindred.service.form import Form
from kindred.service.image import ImageFacts

if TYPE_CHECKING:
    from kindred.library import Hit, Results

__all__ = ["HitForm", "MatchForm", "QueryErrorForm", "ResultsForm"]


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

    `answered`: whether an image probably shows the same thing; null where the recipe is not calibrated.
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
