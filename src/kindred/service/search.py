"""The forms of search results and of duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kindred.service.form import Form
from kindred.service.image import ImageFacts

if TYPE_CHECKING:
    from kindred.duplicates import DuplicateGroup, Member
    from kindred.library import Hit, Results

__all__ = ["DuplicateForm", "DuplicatesForm", "GroupForm", "HitForm", "MatchForm", "QueryErrorForm", "ResultsForm"]


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


@dataclass(frozen=True)
class DuplicateForm(Form):
    """One image of a group of duplicates, and its relation to the first."""

    path: Path
    relation: str
    score: float
    turned: int
    mirrored: bool
    copy_of: Path | None
    width: int | None
    height: int | None
    frames: int | None

    @classmethod
    def of(cls, member: Member) -> Self:
        """Return the form of a member of a group."""
        return cls(
            path=member.path,
            relation=member.relation,
            score=round(member.score, 6),
            turned=member.turned,
            mirrored=member.mirrored,
            copy_of=member.copy_of,
            width=member.width or None,
            height=member.height or None,
            frames=member.frames or None,
        )


@dataclass(frozen=True)
class GroupForm(Form):
    """A group of images that are duplicates of one kind."""

    kind: str
    score: float
    paths: tuple[Path, ...]
    images: tuple[DuplicateForm, ...]

    @classmethod
    def of(cls, group: DuplicateGroup) -> Self:
        """Return the form of a group."""
        members = tuple(map(DuplicateForm.of, group.members))
        return cls(group.kind, round(group.score, 6), tuple(group.paths), members)


@dataclass(frozen=True)
class DuplicatesForm(Form):
    """All groups of duplicates of a library."""

    threshold: float
    groups: tuple[GroupForm, ...]
    seconds: float

    @classmethod
    def of(cls, groups: Sequence[DuplicateGroup], *, threshold: float, seconds: float) -> Self:
        """Return the form of the duplicates found with a cosine of at least `threshold`."""
        return cls(threshold, tuple(map(GroupForm.of, groups)), round(seconds, 3))
