"""Find images of the same picture: candidates from sketches and descriptors, confirmed by their pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kindred._support.cores import usable_cores
from kindred._support.prefetch import prefetched
from kindred.duplicates.confirmation import LONGEST, confirm, may_be_same
from kindred.duplicates.groups import SameLink
from kindred.duplicates.links import DisjointSets, Links
from kindred.duplicates.sketches import Candidate, Sketch, candidates, sketch
from kindred.duplicates.turns import UPRIGHT
from kindred.errors import ImageError
from kindred.images import decode, resize

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["same_pictures", "sketched"]

NEAR_FREQUENCIES = 0.65
"""Cosine of low frequencies from which pixels are compared: 95 of 100 copies cropped by 10 % on one side reach 0.76."""
CANDIDATES = 10
"""Candidates (images and turns) compared by pixels, per image."""
PICTURES = 256
"""Decoded images cached between comparisons: at most 200 MB."""

Report = Callable[[str, int, int], None]
"""Called with the name of the stage, the number done, and the total."""


def sketched(paths: Mapping[int, Path], *, progress: Report) -> dict[int, Sketch]:
    """Decode images, by id, and return their sketches; unreadable images are skipped."""
    found = {}
    workers = usable_cores()
    made = prefetched(sketch, paths.values(), workers=workers, ahead=2 * workers)
    for done, (image_id, each) in enumerate(zip(paths, made, strict=True), 1):
        if each is not None:
            found[image_id] = each
        progress("Reading images", done, len(paths))
    return found


def same_pictures(
    paths: Mapping[int, Path],
    sketches: Mapping[int, Sketch],
    known: Sequence[SameLink],
    *,
    near: Links,
    progress: Report,
) -> Iterator[SameLink]:
    """Yield links between images confirmed by their pixels to show the same picture.

    known: links that need no confirmation. near: further candidates, whose descriptors are similar. Images that are
    already connected are not compared again.
    """
    joined = DisjointSets()
    for link in known:
        joined.join(link.one, link.other)
    pairs = _pairs(sketches, near, progress)
    done = 0

    @lru_cache(PICTURES)
    def picture(image_id: int) -> NDArray[np.uint8] | None:
        try:
            return resize(decode(paths[image_id], longest=LONGEST).pixels, longest=LONGEST)
        except ImageError:  # deleted since
            return None

    def compared(pair: Candidate) -> tuple[Candidate, float | None]:
        return pair, _compared(pair, sketches, picture)

    def open_pairs() -> Iterator[Candidate]:
        nonlocal done
        for done, pair in enumerate(pairs, 1):  # noqa: B007 - reported as progress
            if joined.find(pair.one) != joined.find(pair.other):
                yield pair

    workers = usable_cores()
    for pair, score in prefetched(compared, open_pairs(), workers=workers, ahead=2 * workers):
        if score is not None and joined.join(pair.one, pair.other):
            yield SameLink(pair.one, pair.other, "same_picture", score, pair.turn)
        progress("Comparing pairs", done, len(pairs))
    progress("Comparing pairs", len(pairs), len(pairs))


def _pairs(sketches: Mapping[int, Sketch], near: Links, progress: Report) -> list[Candidate]:
    """Return the pairs of ids to compare, the most similar first; pairs that share an image are adjacent."""
    ids = sorted(sketches)
    report = partial(progress, "Finding candidates")
    listed = candidates([sketches[each] for each in ids], k=CANDIDATES, least=NEAR_FREQUENCIES, progress=report)
    found = {(ids[each.one], ids[each.other], each.turn): each.score for each in listed}
    for one, other, score in near.tolist():
        ends = [sketches.get(end) for end in (one, other)]
        if all(end is not None and end.comparable for end in ends):
            found.setdefault((min(one, other), max(one, other), UPRIGHT), score)
    pairs = [Candidate(*key, score) for key, score in found.items()]
    return sorted(pairs, key=lambda pair: (-round(pair.score, 2), pair.one, pair.other))


def _compared(
    pair: Candidate, sketches: Mapping[int, Sketch], picture: Callable[[int], NDArray[np.uint8] | None]
) -> float | None:
    """Return the agreement of two images after turning the first; None if they do not show the same picture."""
    small, other_small = (sketches[end].thumbnail.astype(np.float32) for end in (pair.one, pair.other))
    alignment = may_be_same(pair.turn.apply(small), other_small)
    if alignment is None:
        return None
    one, other = picture(pair.one), picture(pair.other)
    if one is None or other is None:
        return None
    return confirm(np.ascontiguousarray(pair.turn.apply(one)), other, alignment)
