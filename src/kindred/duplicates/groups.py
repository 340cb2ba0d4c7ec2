"""Groups of duplicates: their images, their kind, and the relation of each image to the reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from kindred.duplicates.links import DisjointSets, Links, grouped_by
from kindred.duplicates.turns import UPRIGHT, Turn

__all__ = [
    "CERTAINTY",
    "KINDS",
    "DuplicateGroup",
    "Image",
    "Kind",
    "Member",
    "SameLink",
    "near_groups",
    "reached_from",
    "same_groups",
]

Kind = Literal["same_bytes", "same_picture", "same_shot", "burst", "alike"]
KINDS: tuple[Kind, ...] = ("same_bytes", "same_picture", "same_shot", "burst", "alike")
CERTAINTY: tuple[Kind, ...] = ("same_bytes", "same_shot", "same_picture")
"""The kinds of links between the files of one picture, those that need no comparison of pixels first."""


@dataclass(frozen=True)
class Image:
    """The properties of a possible duplicate.

    size: bytes, 0 if the file is missing. frames: 0 if its file was not decoded. taken: ISO date or date and time, as
    in the store. modified: that of the file, in nanoseconds; 0 if unknown.
    """

    path: Path
    size: int
    width: int
    height: int
    frames: int = 0
    uid: str = ""
    taken: str | None = None
    modified: int = 0

    @property
    def rank(self) -> tuple[int, int, Path]:
        """The order in which images become references: of most pixels, of the largest file, of the first path."""
        return -self.width * self.height, -self.size, self.path


@dataclass(frozen=True)
class SameLink:
    """Two images by id with the same bytes, picture or shot; `turn` applied to `one` gives `other`."""

    one: int
    other: int
    kind: Kind
    score: float = 1.0
    turn: Turn = UPRIGHT

    @property
    def ends(self) -> tuple[int, int]:
        """The ids of the two images."""
        return self.one, self.other


@dataclass(frozen=True)
class Member:
    """One image of a group, and its relation to the first member, the reference.

    relation: "reference" for the reference itself, else a kind. score: that of the weakest link to the reference, as in
    `DuplicateGroup`. turned: clockwise rotation in degrees that makes the reference look like this image, after
    mirroring it left to right if `mirrored`. copy_of: another member with the same bytes, other than the reference.
    width, height: in pixels, 0 if unknown. frames: number of frames or pages of the file, of which one was decoded; 0
    if unknown.

    id: its public id. size: of the file in bytes, 0 if unknown. taken: ISO date or date and time from the image itself.
    modified: the time of the file, ISO; None if unknown. shot: a number within the group: the files of one shot, such
    as RAW and JPEG, have the same. more: how many further images of other groups this one stands for, in a group of
    similar images.
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
    id: str = ""
    size: int = 0
    taken: str | None = None
    modified: str | None = None
    shot: int = 0
    more: int = 0


@dataclass(frozen=True)
class DuplicateGroup:
    """At least two duplicate or similar images; the first is the reference, the others are in order of path.

    kind: "same_bytes" (identical files), "same_picture" (confirmed by their pixels; may include identical files),
    "same_shot" (RAW or HEIC and JPEG files of one name), "burst" (similar, and taken by one camera within seconds), or
    "alike" (by descriptor only, possibly different objects). score: that of the weakest link needed to connect the
    group: 1.0 for the same bytes and shots, the median correlation of pixel blocks for the same picture, the cosine of
    descriptors for bursts and alike images. Two members of a group of three or more may be less similar than that.
    """

    kind: Kind
    score: float
    members: tuple[Member, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The path of each member, the reference first."""
        return tuple(member.path for member in self.members)


def same_groups(links: Iterable[SameLink], images: Mapping[int, Image]) -> list[tuple[DuplicateGroup, list[int]]]:
    """Return the groups connected by `links`, the most certain first, each with the ids of its members.

    The reference is the image of the most pixels, then of the largest file, then of the first path.
    """
    found = []
    for group in grouped_by(links, lambda link: link.ends):
        kinds = {link.kind for link in group}
        kind = next(kind for kind in ("same_picture", "same_shot", "same_bytes") if kind in kinds)
        if kind == "same_shot" and "same_bytes" in kinds:
            kind = "same_picture"
        ids = _reference_first({end for link in group for end in link.ends}, images)
        members = _members(ids, group, images)
        found.append((DuplicateGroup(kind, min(link.score for link in group), members), ids))
    return sorted(found, key=lambda each: (KINDS.index(each[0].kind), -each[0].score, each[0].paths))


def near_groups(
    links: Links, images: Mapping[int, Image], *, kind: Kind, more: Mapping[int, int]
) -> list[tuple[DuplicateGroup, list[int]]]:
    """Return the groups of images connected by `links` (of `Forest.strongest`), the most similar first, with their ids.

    more: by id, the number of further images for which one stands.
    """
    found = []
    for group in grouped_by(links.tolist(), lambda link: (link[0], link[1])):
        weakest = min(score for _, _, score in group)
        best: dict[int, float] = {}
        for one, other, score in group:
            best[one], best[other] = max(score, best.get(one, 0.0)), max(score, best.get(other, 0.0))
        ids = _reference_first(best, images)
        members = []
        for shot, each in enumerate(ids):
            relation: Literal["reference"] | Kind = "reference" if shot == 0 else kind
            score = 1.0 if shot == 0 else best[each]
            members.append(_member(images[each], relation, score, shot=shot, more=more.get(each, 0)))
        found.append((DuplicateGroup(kind, weakest, tuple(members)), ids))
    return sorted(found, key=lambda each: (-each[0].score, each[0].paths))


def _reference_first(ids: Iterable[int], images: Mapping[int, Image]) -> list[int]:
    """Return ids in the order of a group: the reference, then the others by path."""
    by_path = sorted(ids, key=lambda each: images[each].path)
    reference = min(by_path, key=lambda each: images[each].rank)
    return [reference, *(each for each in by_path if each != reference)]


def _member(
    image: Image,
    relation: Literal["reference"] | Kind,
    score: float,
    *,
    shot: int,
    more: int = 0,
    turn: Turn = UPRIGHT,
    copy_of: Path | None = None,
) -> Member:
    return Member(
        image.path,
        relation,
        score,
        turned=turn.degrees,
        mirrored=turn.mirrored,
        copy_of=copy_of,
        width=image.width,
        height=image.height,
        frames=image.frames,
        id=image.uid,
        size=image.size,
        taken=image.taken,
        modified=_time(image.modified),
        shot=shot,
        more=more,
    )


def _time(modified: int) -> str | None:
    """Return the time of a file as ISO text, to the second; None if it is unknown or outside the calendar."""
    try:
        return datetime.fromtimestamp(modified / 1e9).isoformat(timespec="seconds") if modified else None
    except (OverflowError, ValueError, OSError):
        return None


def _members(ids: Sequence[int], links: Sequence[SameLink], images: Mapping[int, Image]) -> tuple[Member, ...]:
    """Return the members in order of `ids`, the reference first, with rotations and scores relative to it."""
    twins = {}  # by id, the first image with the same bytes
    for group in grouped_by([link for link in links if link.kind == "same_bytes"], lambda link: link.ends):
        equal = {end for link in group for end in link.ends}
        first = next(each for each in ids if each in equal)
        twins.update(dict.fromkeys(equal, first))
    reached, shots = reached_from(ids[0], links), _shots(ids, links)
    members = []
    for each in ids:
        twin = twins.get(each, each)
        kind, score, turn = reached[each]
        relation: Literal["reference"] | Kind = "reference" if each == ids[0] else kind
        if twin == ids[0] and each != ids[0]:
            relation, score, turn = "same_bytes", 1.0, UPRIGHT
        copy_of = images[twin].path if twin not in (each, ids[0]) else None
        members.append(_member(images[each], relation, score, shot=shots[each], turn=turn, copy_of=copy_of))
    return tuple(members)


def _shots(ids: Sequence[int], links: Sequence[SameLink]) -> dict[int, int]:
    """Return the number of the shot of each id, from 0 in order of `ids`."""
    joined = DisjointSets()
    for link in links:
        if link.kind == "same_shot":
            joined.join(*link.ends)
    numbers: dict[int, int] = {}
    return {each: numbers.setdefault(joined.find(each), len(numbers)) for each in ids}


def reached_from(start: int, links: Sequence[SameLink]) -> dict[int, tuple[Kind, float, Turn]]:
    """Return the relation of every image to `start`: least certain kind and lowest score on the path, and the turn."""
    links_from: dict[int, list[SameLink]] = {}
    for link in links:
        links_from.setdefault(link.one, []).append(link)
        links_from.setdefault(link.other, []).append(
            SameLink(link.other, link.one, link.kind, link.score, link.turn.inverse())
        )
    uncertainty: dict[Kind, int] = {"same_bytes": 0, "same_picture": 1, "same_shot": 2}
    reached: dict[int, tuple[Kind, float, Turn]] = {start: ("same_bytes", 1.0, UPRIGHT)}
    waiting = [start]
    while waiting:
        here = waiting.pop()
        kind, score, turn = reached[here]
        for link in links_from[here]:
            if link.other not in reached:
                least_certain = max(kind, link.kind, key=lambda each: uncertainty[each])
                reached[link.other] = (least_certain, min(score, link.score), turn.then(link.turn))
                waiting.append(link.other)
    return reached
