"""Find the duplicates of a library: the same bytes, the same picture, the same shot, or merely alike."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from kindred.arrays import check_whole
from kindred.duplicates.files import ImageFile, distinct, same_bytes, same_shot
from kindred.duplicates.groups import KINDS, DuplicateGroup, Image, Kind, SameLink, alike_groups, same_groups
from kindred.duplicates.links import LINK, Forest, Links
from kindred.duplicates.neighbours import alike
from kindred.duplicates.pixels import Report, same_pictures, sketched
from kindred.duplicates.sketches import Sketch
from kindred.errors import UsageError
from kindred.hints import check_known
from kindred.library import Library
from kindred.store import Filter

__all__ = ["default_threshold", "find_duplicates"]

THRESHOLD = 0.95
"""Cosine from which two images count as alike.

Measured with MobileNetV2 and GeM on 226 pictures, eight altered copies of each and some 1,500 others. Of pictures of
640 pixels and more it finds every copy at JPEG quality 60, at half and three quarters of the size, cut by 4 % or
darker by a fifth, and 85 % of those cut by 10 %. Film frames apart, 97 % of its groups hold one picture only, and the
others are nearly all of one shelf photographed twice. Networks differ: kin-plain, whose vectors lie closer together,
needs 0.99 for the same.
"""
WHITENED_THRESHOLD = 0.85
"""The same where vectors are whitened, which spreads them out.

Measured with the recipe kin on 71 pictures: JPEG quality 60 leaves a cosine of 0.99 at least, a fifth darker 0.97, cut
by 4 % 0.93, by 10 % 0.84; different pictures reach 0.82, film frames of one place 0.92.
"""
CLOSER = 0.1
"""How far below the threshold two descriptors may be for the pixels to be compared."""


def default_threshold(library: Library) -> float:
    """Return the cosine from which two images of `library` count as alike."""
    return WHITENED_THRESHOLD if library.recipe.whitening else THRESHOLD


def find_duplicates(
    library: Library,
    *,
    kinds: Collection[Kind] | None = None,
    threshold: float | None = None,
    k: int = 20,
    progress: Report | None = None,
) -> list[DuplicateGroup]:
    """Group the images of a library that are the same or alike: the same bytes first, the merely alike last.

    kinds: what is looked for, of `KINDS`; None is everything that the library can answer ("alike" needs vectors).
    What is not asked for is not told apart: "alike" alone groups copies with the alike. threshold: the cosine of
    descriptors, above 0 and at most 1, from which images count as alike; None is that of `default_threshold`. k:
    neighbours searched for each image; larger groups are found as well, by way of their links.

    "same_picture" is confirmed by pixels, whatever the cosine: both pictures, at most 512 pixels long, must agree in
    every block. JPEG quality 30, a quarter of the size, edges cut by 5 %, another brightness, a mild grading, grey, and
    quarter turns or mirroring are found; what differs by a line of text, a label or its colour is not. A file with
    several frames or pages, of which one is looked at, a blank picture, and a file that is gone are never the same
    picture as another. A group of same pictures lends its reference to the groups of the alike. Links to one file are
    not duplicates.

    `progress` is called with what is being done, how much of it is done, and how much there is.
    Every file is decoded once, and again where it is compared closely; memory is some 8 kB an image. Raises UsageError
    for another threshold or kind, and where "alike" is asked of a library that holds no vectors.
    """
    wanted = _wanted(library, kinds)
    if threshold is None:
        threshold = default_threshold(library)
    if not 0 < threshold <= 1:
        raise UsageError(f"threshold is {threshold}; expected a cosine above 0, at most 1")
    check_whole(k=k)
    report = progress or (lambda *_: None)
    files, stands_for = distinct(_images(library))
    links = list(_same_files(files, wanted, report))
    near = _near(library, wanted, threshold, k, stands_for, report)
    sketches: dict[int, Sketch] = {}
    if "same_picture" in wanted:
        copies = {link.other: link.one for link in links if link.kind == "same_bytes"}  # seen once for all
        present = {file.image_id: file.path for file in files if file.size is not None and file.image_id not in copies}
        sketches = sketched(present, progress=report)
        links += same_pictures(present, sketches, links, near=_between(near, copies), progress=report)
        sketches |= {other: sketches[one] for other, one in copies.items() if one in sketches}
    images = _known(library, files, sketches)
    groups = same_groups(links, images)
    found = [group for group, _ in groups if group.kind in wanted]
    if "alike" in wanted:
        reference = {each: ids[0] for _, ids in groups for each in ids}
        forest = Forest()
        forest.add(_between(near[near["score"] >= threshold], reference))
        found += alike_groups(forest.strongest(), images)
    return found


def _wanted(library: Library, kinds: Collection[Kind] | None) -> set[Kind]:
    if kinds is None:
        return set(KINDS) - ({"alike"} if _only_words(library) else set())
    if not kinds:
        raise UsageError(f"kinds is empty; expected some of {', '.join(KINDS)}")
    for kind in kinds:
        check_known("kind of duplicates", kind, KINDS, error=UsageError)
    if "alike" in kinds:
        library.check_vectors("duplicates")
    return set(kinds)


def _only_words(library: Library) -> bool:
    try:
        library.check_vectors("duplicates")
    except UsageError:
        return True
    return False


def _images(library: Library) -> Iterator[tuple[int, Path]]:
    """Yield the id and path of every image that is described."""
    store = library.store
    paths = [row.path for row in store.images(store.select_images(Filter()).tolist()).values()]
    for path, known in store.lookup(paths).items():
        if known.state == "indexed":
            yield known.id, path


def _known(library: Library, files: Sequence[ImageFile], sketches: dict[int, Sketch]) -> dict[int, Image]:
    """Return what is known of every file, by image id: from its pixels, or else from the store."""
    rows = library.store.images(file.image_id for file in files)
    found = {}
    for file in files:
        row, seen = rows.get(file.image_id), sketches.get(file.image_id)
        width, height = (seen.width, seen.height) if seen else (row.width, row.height) if row else (0, 0)
        frames = seen.frames if seen else 0
        found[file.image_id] = Image(file.path, file.size or 0, width or 0, height or 0, frames)
    return found


def _near(
    library: Library, wanted: set[Kind], threshold: float, k: int, stands_for: dict[int, int], report: Report
) -> Links:
    """Return the links of images by descriptor, also those that are a little below the threshold."""
    empty = np.empty(0, LINK)
    if not wanted & {"alike", "same_picture"} or _only_words(library) or not library.store.counts().vectors:
        return empty
    least = max(threshold - CLOSER, 1e-6) if "same_picture" in wanted else threshold
    found = alike(library, threshold=least, k=k, progress=lambda *done: report("Searching", *done))
    return _between(found, stands_for)


def _between(links: Links, stands_for: dict[int, int]) -> Links:
    """Return links between what stands for their ends, without those of one with itself."""
    found = links.copy()
    for end in ("one", "other"):
        found[end] = [stands_for.get(each, each) for each in links[end].tolist()]
    kept: Links = found[found["one"] != found["other"]]
    return kept


def _same_files(files: Sequence[ImageFile], wanted: set[Kind], report: Report) -> Iterator[SameLink]:
    groups: list[tuple[Kind, list[list[ImageFile]]]] = []
    if wanted & {"same_bytes", "same_picture"}:
        groups.append(("same_bytes", same_bytes(files, progress=lambda *done: report("Comparing files", *done))))
    if wanted & {"same_shot", "same_picture"}:
        groups.append(("same_shot", same_shot(files)))
    for kind, found in groups:
        for group in found:
            yield from (SameLink(group[0].image_id, other.image_id, kind) for other in group[1:])
