"""What a search for duplicates found, and the groups of it: for any threshold, without another search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from kindred.duplicates.groups import (
    CERTAINTY,
    DuplicateGroup,
    Image,
    Kind,
    SameLink,
    near_groups,
    reached_from,
    same_groups,
)
from kindred.duplicates.links import LINK, DisjointSets, Forest, Links, Pairs, grouped_by, permitted, replaced
from kindred.errors import UsageError

__all__ = ["BURST_SECONDS", "NO_PAIRS", "Found", "grouped"]

BURST_SECONDS = 2
"""Time between two pictures of a burst: cameras record whole seconds, and slow ones take one picture a second."""

MOST_TRANSITIVE = 300
"""Images of a group up to which those linked over a marked one are linked with each other: 45,000 pairs."""

NO_PAIRS = np.empty((0, 2), np.int64)


@dataclass(frozen=True)
class Found:
    """The links between the images of a library, of which `grouped` makes groups.

    kinds: those that were searched. threshold: the cosine from which images are alike, unless another is given. least:
    that of the weakest of `near`, or above. images: the properties of every linked image, by id. links: those of the
    same bytes, shot or picture. near: links (n,) by descriptor, a maximum spanning forest. aliases: by id, the image
    that stands for another name of the same file. total: number of images that were compared.
    """

    kinds: frozenset[Kind]
    threshold: float
    least: float
    images: Mapping[int, Image]
    links: tuple[SameLink, ...]
    near: Links
    total: int
    aliases: Mapping[int, int] = field(default_factory=dict)


def grouped(
    found: Found,
    *,
    threshold: float | None = None,
    most: float | None = None,
    kinds: Collection[Kind] | None = None,
    apart: NDArray[np.int64] = NO_PAIRS,
) -> list[DuplicateGroup]:
    """Return the groups of duplicate or similar images, those with the same bytes first, alike ones last.

    threshold: the cosine from which images are alike, at least `found.least`; None for `found.threshold`. most: the
    cosine above which images are copies rather than alike, of which only one is listed as alike; None for no limit.
    kinds: only groups of these kinds. apart: pairs of images (n, 2) by id that are never put into one group.
    """
    threshold = found.threshold if threshold is None else threshold
    if threshold < found.least:
        raise UsageError(f"threshold is {threshold:g}; the search found links from {found.least:g}: search again")
    pairs = {(found.aliases.get(one, one), found.aliases.get(other, other)) for one, other in apart.tolist()}
    pairs = {(one, other) for one, other in pairs if one != other}
    certain, frames = _frames_apart(found)
    same = same_groups(_permitted(certain, pairs), found.images)
    groups = [group for group, _ in same]
    near = np.concatenate([found.near[found.near["score"] >= threshold], frames])
    reduction = _Reduction(near, pairs, found.images)
    reduction.represent({each: ids[0] for _, ids in same for each in ids})
    if most is not None:
        reduction.represent(reduction.copies(most))
    for kind in ("burst", "alike"):
        if kind in found.kinds:
            links = reduction.bursts() if kind == "burst" else reduction.near
            listed = near_groups(links, found.images, kind=kind, more=reduction.more)
            groups += [group for group, _ in listed]
            reduction.represent({each: ids[0] for _, ids in listed for each in ids})
    wanted = found.kinds if kinds is None else kinds
    return [group for group in groups if group.kind in wanted]


class _Reduction:
    """Links between images, of which one stands for several once their group is known."""

    def __init__(self, near: Links, apart: set[tuple[int, int]], images: Mapping[int, Image]) -> None:
        self.near, self._apart, self._images = near, apart, images
        self._stands: dict[int, int] = {}  # by image, the one that stands for it
        self.represent({})

    @property
    def more(self) -> Mapping[int, int]:
        """By image, the number of others for which it stands."""
        return Counter(stands for each, stands in self._stands.items() if each != stands)

    def represent(self, references: Mapping[int, int]) -> None:
        """Replace images by those that stand for them, and drop the links that are redundant or not permitted."""
        self._stands = {each: references.get(stands, stands) for each, stands in self._stands.items()}
        self._stands = {**references, **self._stands}
        pairs = {(references.get(one, one), references.get(other, other)) for one, other in self._apart}
        self._apart = {(one, other) for one, other in pairs if one != other}
        near = replaced(self.near, references)
        if self._apart:  # before the forest: another link may take the place of one of these
            either = self._apart | {(other, one) for one, other in self._apart}
            near = near[[(one, other) not in either for one, other, _ in near.tolist()]]
        forest = Forest()
        forest.add(near)
        links = forest.strongest()
        if self._apart:
            ends = list(zip(links["one"].tolist(), links["other"].tolist(), strict=True))
            links = links[permitted(range(len(links)), ends.__getitem__, self._apart)]
        self.near = links

    def copies(self, most: float) -> dict[int, int]:
        """Return, for each of the images that are linked above `most`, the largest of them."""
        joined = DisjointSets()
        for one, other, _ in self.near[self.near["score"] > most].tolist():
            joined.join(one, other)
        sets: dict[int, list[int]] = {}
        for each in np.unique(np.concatenate([self.near["one"], self.near["other"]])).tolist():
            sets.setdefault(joined.find(each), []).append(each)
        return {each: min(ids, key=lambda one: self._images[one].rank) for ids in sets.values() for each in ids}

    def bursts(self) -> Links:
        """Return the links between pictures that one camera took within `BURST_SECONDS`."""
        near = self.near
        return near[[_is_burst(self._images[one], self._images[other]) for one, other, _ in near.tolist()]]


def _frames_apart(found: Found) -> tuple[tuple[SameLink, ...], Links]:
    """Return the links without those between frames of one burst, and these as links between similar images.

    Frames may agree in every pixel block, but pictures of one camera that were taken at different times are not one.
    """
    if "burst" not in found.kinds:
        return found.links, np.empty(0, LINK)
    images = found.images
    frames = [
        link
        for link in found.links
        if link.kind == "same_picture"
        and images[link.one].taken != images[link.other].taken
        and _is_burst(images[link.one], images[link.other])
    ]
    known = set(map(id, frames))
    near = np.array([(link.one, link.other, link.score) for link in frames], LINK)
    return tuple(link for link in found.links if id(link) not in known), near


def _permitted(links: tuple[SameLink, ...], apart: Pairs) -> list[SameLink]:
    """Return links that connect no pair of `apart`, the most certain ones first to remain.

    Being the same is transitive: images that were linked over one that is left out are linked with each other.
    """
    if not apart:
        return list(links)
    groups, kept = grouped_by(links, lambda link: link.ends), list[SameLink]()
    place = {end: number for number, group in enumerate(groups) for link in group for end in link.ends}
    divided = {place[one] for one, other in apart if one in place and place[one] == place.get(other)}
    for number, group in enumerate(groups):
        if number not in divided:
            kept += group
            continue
        ids = sorted({end for link in group for end in link.ends})
        over = _transitive(ids, group) if len(ids) <= MOST_TRANSITIVE else ()
        ordered = sorted([*group, *over], key=lambda link: (CERTAINTY.index(link.kind), -link.score))
        kept += permitted(ordered, lambda link: link.ends, apart)
    return kept


def _transitive(ids: Sequence[int], links: Sequence[SameLink]) -> Iterator[SameLink]:
    """Yield the links between images that are linked over others."""
    for at, one in enumerate(ids):
        reached = reached_from(one, links)
        for other in ids[at + 1 :]:
            kind, score, turn = reached[other]
            yield SameLink(one, other, kind, score, turn)


def _is_burst(one: Image, other: Image) -> bool:
    """Return whether two similar images are of one burst: of the same size and format, taken within seconds."""
    if one.path.suffix.lower() != other.path.suffix.lower():
        return False
    if {one.width, one.height} != {other.width, other.height}:
        return False
    first, second = _moment(one.taken), _moment(other.taken)
    return first is not None and second is not None and abs((first - second).total_seconds()) <= BURST_SECONDS


def _moment(taken: str | None) -> datetime | None:
    """Return the time of a date with a time; None for a day alone, on which many pictures are taken."""
    if taken is None or len(taken) <= len("2024-05-31"):
        return None
    try:
        return datetime.fromisoformat(taken).replace(tzinfo=None)
    except ValueError:
        return None
