"""Groups of duplicates: which images, of what kind, and how each relates to the best of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kindred.duplicates.links import Links, grouped_by
from kindred.duplicates.turns import UPRIGHT, Turn

__all__ = ["KINDS", "DuplicateGroup", "Image", "Kind", "Member", "SameLink", "alike_groups", "same_groups"]

Kind = Literal["same_bytes", "same_picture", "same_shot", "alike"]
KINDS: tuple[Kind, ...] = ("same_bytes", "same_picture", "same_shot", "alike")


@dataclass(frozen=True)
class Image:
    """What is known of an image that may be a duplicate. frames: 0 where its file was not looked at."""

    path: Path
    size: int
    width: int
    height: int
    frames: int = 0


@dataclass(frozen=True)
class SameLink:
    """Two images by id that have the same bytes, picture or shot; turned by `turn`, the one looks like the other."""

    one: int
    other: int
    kind: Kind
    score: float = 1.0
    turn: Turn = UPRIGHT


@dataclass(frozen=True)
class Member:
    """One image of a group, and what it is to the group's first, its reference.

    relation: "reference" for the first itself, else a kind. score: of the weakest link between the two, as in
    `DuplicateGroup`. turned: degrees clockwise by which the reference is to be turned to look like this one, after it
    was mirrored left to right where `mirrored`. copy_of: another member with the same bytes, other than the reference.
    width, height: pixels, 0 where not known. frames: frames or pages of the file, of which one was looked at; 0 where
    that is not known.
    """

    path: Path
    relation: Literal["reference"] | Kind
    score: float
    turned: int = 0
    mirrored: bool = False
    copy_of: Path | None = None
    width: int = 0
    height: int = 0
    frames: int = 0


@dataclass(frozen=True)
class DuplicateGroup:
    """Images that are the same or alike, two at least; the first is the reference, the others are in order of path.

    kind: "same_bytes" (all are the same byte for byte), "same_picture" (confirmed by their pixels; exact copies may
    be among them), "same_shot" (RAW or HEIC and JPEG files of one name), or "alike" (by descriptor only: perhaps
    different things).
    score: of the weakest link that the group needs to hang together. 1.0 for the same bytes and shots, the median
    correlation of blocks of pixels for the same picture, the cosine of descriptors for the alike. In a group of three
    or more, two images may be less alike than that.
    """

    kind: Kind
    score: float
    members: tuple[Member, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The path of each member, the reference first."""
        return tuple(member.path for member in self.members)


def same_groups(links: Iterable[SameLink], images: Mapping[int, Image]) -> list[tuple[DuplicateGroup, list[int]]]:
    """Return the groups that `links` hold together, the surest first, each with the ids of its members.

    The reference is the picture of the most pixels, of these the largest file, of these the first path.
    """
    found = []
    for group in grouped_by(links, lambda link: (link.one, link.other)):
        kinds = {link.kind for link in group}
        kind = next(kind for kind in ("same_picture", "same_shot", "same_bytes") if kind in kinds)
        if kind == "same_shot" and "same_bytes" in kinds:
            kind = "same_picture"
        ids = sorted({end for link in group for end in (link.one, link.other)}, key=lambda each: images[each].path)
        reference = min(ids, key=lambda each: _rank(images[each]))
        ids = [reference, *(each for each in ids if each != reference)]
        members = _members(ids, group, images)
        found.append((DuplicateGroup(kind, min(link.score for link in group), members), ids))
    return sorted(found, key=lambda each: (KINDS.index(each[0].kind), -each[0].score, each[0].paths))


def alike_groups(links: Links, images: Mapping[int, Image]) -> list[DuplicateGroup]:
    """Return the groups of images that `links` (as from `Forest.strongest`) hold together, the most alike first."""
    found = []
    for group in grouped_by(links.tolist(), lambda link: (link[0], link[1])):
        weakest = min(score for _, _, score in group)
        best: dict[int, float] = {}
        for one, other, score in group:
            best[one], best[other] = max(score, best.get(one, 0.0)), max(score, best.get(other, 0.0))
        ids = sorted(best, key=lambda each: images[each].path)
        reference = min(ids, key=lambda each: _rank(images[each]))
        members = [_member(images[reference], "reference", 1.0)]
        members += [_member(images[each], "alike", best[each]) for each in ids if each != reference]
        found.append(DuplicateGroup("alike", weakest, tuple(members)))
    return sorted(found, key=lambda group: (-group.score, group.paths))


def _rank(image: Image) -> tuple[int, int, Path]:
    return -image.width * image.height, -image.size, image.path


def _member(image: Image, relation: Literal["reference"] | Kind, score: float) -> Member:
    return Member(image.path, relation, score, width=image.width, height=image.height, frames=image.frames)


def _members(ids: Sequence[int], links: Sequence[SameLink], images: Mapping[int, Image]) -> tuple[Member, ...]:
    """Return the members in order of `ids`, the reference first; turns and scores follow the links from there."""
    twins = {}  # the first of those with the same bytes, by id
    for group in grouped_by([link for link in links if link.kind == "same_bytes"], lambda link: (link.one, link.other)):
        equal = {end for link in group for end in (link.one, link.other)}
        first = next(each for each in ids if each in equal)
        twins.update(dict.fromkeys(equal, first))
    reached = _reached(ids[0], links)
    members = []
    for each in ids:
        twin = twins.get(each, each)
        kind, score, turn = reached[each]
        relation: Literal["reference"] | Kind = "reference" if each == ids[0] else kind
        if twin == ids[0] and each != ids[0]:
            relation, score, turn = "same_bytes", 1.0, UPRIGHT
        image = images[each]
        members.append(
            Member(
                image.path,
                relation,
                score,
                turned=turn.degrees,
                mirrored=turn.mirrored,
                copy_of=images[twin].path if twin not in (each, ids[0]) else None,
                width=image.width,
                height=image.height,
                frames=image.frames,
            )
        )
    return tuple(members)


def _reached(start: int, links: Sequence[SameLink]) -> dict[int, tuple[Kind, float, Turn]]:
    """Return what every image is to the one at the start: the loosest kind on the way, the least score, the turn."""
    ways: dict[int, list[SameLink]] = {}
    for link in links:
        ways.setdefault(link.one, []).append(link)
        ways.setdefault(link.other, []).append(
            SameLink(link.other, link.one, link.kind, link.score, link.turn.undone())
        )
    looseness: dict[Kind, int] = {"same_bytes": 0, "same_picture": 1, "same_shot": 2}
    reached: dict[int, tuple[Kind, float, Turn]] = {start: ("same_bytes", 1.0, UPRIGHT)}
    waiting = [start]
    while waiting:
        here = waiting.pop()
        kind, score, turn = reached[here]
        for link in ways[here]:
            if link.other not in reached:
                looser = max(kind, link.kind, key=lambda each: looseness[each])
                reached[link.other] = (looser, min(score, link.score), turn.then(link.turn))
                waiting.append(link.other)
    return reached
