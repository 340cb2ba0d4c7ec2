"""Find the duplicates of a library: the same bytes, the same picture, the same shot, or similar descriptors."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from numbers import Real
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
from kindred.hints import check_known, check_type
from kindred.library import Library
from kindred.store import Filter

__all__ = ["default_threshold", "find_duplicates"]

THRESHOLD = 0.95
"""Cosine from which two images are alike.

Measured with MobileNetV2 and GeM on 226 pictures, eight altered copies of each and about 1,500 other pictures. Of
pictures of at least 640 pixels it finds every copy at JPEG quality 60, at half and three quarters of the size, cropped
by 4 % or darker by a fifth, and 85 % of those cropped by 10 %. Except for film frames, 97 % of its groups contain one
picture only, and most others are of a shelf photographed twice. Networks differ: kin-plain, whose vectors are closer
together, needs 0.99 for the same precision.
"""
WHITENED_THRESHOLD = 0.85
"""The threshold for whitened vectors, which are further apart.

Measured with the recipe kin on 71 pictures: the cosine to the original is at least 0.99 at JPEG quality 60, 0.97 a
fifth darker, 0.93 cropped by 4 %, 0.84 cropped by 10 %; different pictures reach 0.82, film frames of one scene 0.92.
"""
CLOSER = 0.1
"""Distance below the threshold up to which the pixels of two images are compared."""


def default_threshold(library: Library) -> float:
    """Return the default cosine from which two images of `library` are alike."""
    return WHITENED_THRESHOLD if library.recipe.whitening else THRESHOLD


def find_duplicates(
    library: Library,
    *,
    kinds: Collection[Kind] | None = None,
    threshold: float | None = None,
    k: int = 20,
    progress: Report | None = None,
) -> list[DuplicateGroup]:
    """Return the groups of duplicate or similar images of a library, those with the same bytes first, alike ones last.

    kinds: the kinds of duplicates to find, of `KINDS`; None for all that the library supports ("alike" needs vectors).
    A kind that is not requested is not separated: "alike" alone groups exact copies with similar images. threshold: the
    cosine of descriptors, above 0 and at most 1, from which images are alike; None for `default_threshold`. k: number
    of neighbours searched for each image; groups may be larger, as links are transitive.

    "same_picture" is confirmed by pixels, independently of the cosine: both images, at a longer side of at most 512
    pixels, must agree in every block. Copies at JPEG quality 30, a quarter of the size, cropped by 5 %, of another
    brightness, mildly graded, grey, rotated by quarter turns or mirrored are found; images that differ in a line of
    text, a label or its colour are not the same picture. Files of several frames or pages, of which only one is
    decoded, blank pictures and missing files are never the same picture as another. A group of the same picture is
    represented in groups of alike images by its reference. Links to the same file are not duplicates.

    `progress` is called with the name of the stage, the number done and the total. Every file is decoded once, and
    again for a close comparison; memory is about 8 kB per image. Raises UsageError for an invalid threshold or kind,
    and for "alike" with a library that has no single vector per image.
    """
    check_type("library", library, Library, "an open Library")
    wanted = _wanted(library, kinds)
    if threshold is None:
        threshold = default_threshold(library)
    if not isinstance(threshold, Real) or not 0 < threshold <= 1:
        raise UsageError(f"threshold is {threshold!r}; expected a cosine above 0, at most 1")
    check_whole(k=k)
    report = progress or (lambda *_: None)
    files, representative = distinct(_images(library))
    links = list(_same_files(files, wanted, report))
    near = _near(library, wanted, threshold, k, representative, report)
    sketches: dict[int, Sketch] = {}
    if "same_picture" in wanted:
        copies = {link.other: link.one for link in links if link.kind == "same_bytes"}  # one of them is enough
        present = {file.image_id: file.path for file in files if file.size is not None and file.image_id not in copies}
        sketches = sketched(present, progress=report)
        links += same_pictures(present, sketches, links, near=_between_representatives(near, copies), progress=report)
        sketches |= {other: sketches[one] for other, one in copies.items() if one in sketches}
    images = _image_properties(library, files, sketches)
    groups = same_groups(links, images)
    found = [group for group, _ in groups if group.kind in wanted]
    if "alike" in wanted:
        reference = {each: ids[0] for _, ids in groups for each in ids}
        forest = Forest()
        forest.add(_between_representatives(near[near["score"] >= threshold], reference))
        found += alike_groups(forest.strongest(), images)
    return found


def _wanted(library: Library, kinds: Collection[Kind] | None) -> set[Kind]:
    if kinds is None:
        return set(KINDS) - ({"alike"} if _only_words(library) else set())
    check_type("kinds", kinds, Collection, f"some of {', '.join(KINDS)}")
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
    """Yield the id and path of every indexed image."""
    store = library.store
    paths = [row.path for row in store.images(store.select_images(Filter()).tolist()).values()]
    for path, known in store.lookup(paths).items():
        if known.state == "indexed":
            yield known.id, path


def _image_properties(library: Library, files: Sequence[ImageFile], sketches: dict[int, Sketch]) -> dict[int, Image]:
    """Return the properties of every file, by image id: from its decoded image, or else from the store."""
    rows = library.store.images(file.image_id for file in files)
    found = {}
    for file in files:
        row, seen = rows.get(file.image_id), sketches.get(file.image_id)
        width, height = (seen.width, seen.height) if seen else (row.width, row.height) if row else (0, 0)
        frames = seen.frames if seen else 0
        found[file.image_id] = Image(file.path, file.size or 0, width or 0, height or 0, frames)
    return found


def _near(
    library: Library, wanted: set[Kind], threshold: float, k: int, representative: dict[int, int], report: Report
) -> Links:
    """Return the links between images of similar descriptors, including those slightly below the threshold."""
    empty = np.empty(0, LINK)
    if not wanted & {"alike", "same_picture"} or _only_words(library) or not library.store.counts().vectors:
        return empty
    least = max(threshold - CLOSER, 1e-6) if "same_picture" in wanted else threshold
    found = alike(library, threshold=least, k=k, progress=lambda *done: report("Searching", *done))
    return _between_representatives(found, representative)


def _between_representatives(links: Links, representative: dict[int, int]) -> Links:
    """Return links between the representatives of their ends, without self-links."""
    found = links.copy()
    for end in ("one", "other"):
        found[end] = [representative.get(each, each) for each in links[end].tolist()]
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
