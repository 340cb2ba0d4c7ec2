"""The forms of duplicates."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kindred.service.form import Form

if TYPE_CHECKING:
    from kindred.duplicates import Companions, DuplicateGroup, Member

__all__ = ["DuplicateForm", "DuplicatesForm", "GroupForm", "NotSameForm"]


@dataclass(frozen=True)
class DuplicateForm(Form):
    """One image of a group of duplicates, and its relation to the first.

    size: of the file in bytes. taken, modified: dates of the picture and of the file. shot: the same number for the
    files of one shot. more: further images of other groups for which this one stands. companions: files beside it that
    belong to it. keep: whether it is to be kept by the rules given; null without rules.
    """

    id: str
    path: Path
    relation: str
    score: float
    turned: int
    mirrored: bool
    copy_of: Path | None
    width: int | None
    height: int | None
    frames: int | None
    size: int | None
    taken: str | None
    modified: str | None
    shot: int
    more: int
    companions: tuple[Path, ...]
    keep: bool | None

    @staticmethod
    def of(member: Member, beside: Companions | None, *, keep: bool | None = None) -> DuplicateForm:
        """Return the form of a member of a group; its companions only if `beside` is given."""
        return DuplicateForm(
            id=member.id,
            path=member.path,
            relation=member.relation,
            score=round(member.score, 6),
            turned=member.turned,
            mirrored=member.mirrored,
            copy_of=member.copy_of,
            width=member.width or None,
            height=member.height or None,
            frames=member.frames or None,
            size=member.size or None,
            taken=member.taken,
            modified=member.modified,
            shot=member.shot,
            more=member.more,
            companions=() if beside is None else beside.of(member.path),
            keep=keep,
        )


@dataclass(frozen=True)
class GroupForm(Form):
    """A group of images that are duplicates of one kind."""

    kind: str
    score: float
    paths: tuple[Path, ...]
    images: tuple[DuplicateForm, ...]

    @classmethod
    def of(cls, group: DuplicateGroup, beside: Companions, *, keep: Collection[int] | None = None) -> Self:
        """Return the form of a group, of whose members those at the indices `keep` are kept."""
        members = enumerate(group.members)
        forms = (DuplicateForm.of(each, beside, keep=None if keep is None else at in keep) for at, each in members)
        return cls(group.kind, round(group.score, 6), tuple(group.paths), tuple(forms))


@dataclass(frozen=True)
class DuplicatesForm(Form):
    """All groups of duplicates of a library."""

    threshold: float
    most: float | None
    groups: tuple[GroupForm, ...]
    seconds: float

    @classmethod
    def of(
        cls,
        groups: Sequence[DuplicateGroup],
        *,
        threshold: float,
        seconds: float,
        most: float | None = None,
        keep: Sequence[Collection[int] | None] = (),
    ) -> Self:
        """Return the form of the duplicates found with a cosine of at least `threshold`.

        keep: for each group the indices of the members to keep, None for a group of which all are; or nothing.
        """
        from kindred.duplicates import Companions

        kept, beside = keep or [None] * len(groups), Companions()
        forms = (GroupForm.of(group, beside, keep=chosen) for group, chosen in zip(groups, kept, strict=True))
        return cls(threshold, most, tuple(forms), round(seconds, 3))


@dataclass(frozen=True)
class NotSameForm(Form):
    """How many pairs of images were marked as not the same, or had their mark removed."""

    verb: str
    pairs: int

    def to_json(self) -> dict[str, object]:
        """Return the number of pairs under the name of the verb."""
        return {self.verb: self.pairs}
