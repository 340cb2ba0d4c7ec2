"""Find the duplicates of a library: the same bytes, the same picture, the same shot, or similar descriptors."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Real

import numpy as np

from kindred._support.remote_path import RemotePath
from kindred.arrays import check_whole
from kindred.duplicates.files import ImageFile, distinct, same_bytes, same_shot
from kindred.duplicates.found import NO_PAIRS, Found, grouped
from kindred.duplicates.groups import KINDS, DuplicateGroup, Image, Kind, SameLink
from kindred.duplicates.links import LINK, Links, among, replaced
from kindred.duplicates.neighbours import alike
from kindred.duplicates.pixels import Report, same_pictures, sketched
from kindred.duplicates.sketches import Sketch
from kindred.errors import UsageError
from kindred.hints import check_known, check_type
from kindred.images.remote import is_allowed
from kindred.library import Library
from kindred.library.stored import facts_of
from kindred.store import Filter, Known, Row

__all__ = ["check_most", "default_threshold", "find_duplicates", "find_links", "image_properties", "indexed"]

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
VECTOR_KINDS: set[Kind] = {"burst", "alike"}
"""The kinds that are found by descriptors."""
NOTHING: Mapping[int, Sketch] = {}


def default_threshold(library: Library) -> float:
    """Return the default cosine from which two images of `library` are alike."""
    return WHITENED_THRESHOLD if library.recipe.whitening else THRESHOLD


def find_duplicates(
    library: Library,
    *,
    kinds: Collection[Kind] | None = None,
    threshold: float | None = None,
    most: float | None = None,
    k: int = 20,
    marked: bool = False,
    progress: Report | None = None,
) -> list[DuplicateGroup]:
    """Return the groups of duplicate or similar images of a library, those with the same bytes first, alike ones last.

    kinds: the kinds of duplicates to find, of `KINDS`; None for all that the library supports ("burst" and "alike" need
    vectors). A kind that is not requested is not separated: "alike" alone groups exact copies with similar images.
    threshold: the cosine of descriptors, above 0 and at most 1, from which images are alike; None for
    `default_threshold`. most: the cosine above which images are copies and not merely alike: of these, only one is
    listed as alike. k: number of neighbours searched for each image; groups may be larger, as links are transitive.
    marked: whether pairs that were marked as not the same (`Library.mark_not_same`) may be in one group.

    "same_picture" is confirmed by pixels, independently of the cosine: both images, at a longer side of at most 512
    pixels, must agree in every block. Copies at JPEG quality 30, a quarter of the size, cropped by 5 %, of another
    brightness, mildly graded, grey, rotated by quarter turns or mirrored are found; images that differ in a line of
    text, a label or its colour are not the same picture. Files of several frames or pages, of which only one is
    decoded, blank pictures and missing files are never the same picture as another. Links to the same file are not
    duplicates. Groups of the same picture, shot or burst are represented in groups of alike images by their reference.

    `progress` is called with the name of the stage, the number done and the total. Every file is decoded once, and
    again for a close comparison; memory is about 8 kB per image. Raises UsageError for an invalid threshold or kind,
    and for "burst" or "alike" with a library that has no single vector per image.
    """
    if most is not None:  # before the search, which takes minutes
        check_type("library", library, Library, "an open Library")
        check_most(most, default_threshold(library) if threshold is None else threshold)
    found = find_links(library, kinds=kinds, threshold=threshold, k=k, progress=progress)
    return grouped(found, most=most, apart=NO_PAIRS if marked else library.store.not_same())


def find_links(
    library: Library,
    *,
    kinds: Collection[Kind] | None = None,
    threshold: float | None = None,
    k: int = 20,
    progress: Report | None = None,
) -> Found:
    """Search for duplicates as `find_duplicates` does, and return the links, of which `grouped` makes groups.

    They include those of pairs marked as not the same, and those up to 0.1 below the threshold if "same_picture" is
    searched for: the groups for another threshold or after further marks need no other search.
    """
    check_type("library", library, Library, "an open Library")
    wanted = _wanted(library, kinds)
    if threshold is None:
        threshold = default_threshold(library)
    if not isinstance(threshold, Real) or not 0 < threshold <= 1:
        raise UsageError(f"threshold is {threshold!r}; expected a cosine above 0, at most 1")
    threshold = float(threshold)
    check_whole(k=k)
    report = progress or (lambda *_: None)
    known = indexed(library, library.store.select_images(Filter()).tolist())
    files, representative = distinct((each.id, each.path) for each in known.values())
    files = [_with_size(file, known[file.image_id]) for file in files]
    links = list(_same_files(files, wanted, report))
    if wanted & {"same_bytes", "same_picture"}:
        links += _same_objects(known.values())
    least = max(threshold - CLOSER, 1e-6) if "same_picture" in wanted else threshold
    near = replaced(_near(library, wanted, least, k, report), representative)
    sketches: dict[int, Sketch] = {}
    if "same_picture" in wanted:
        copies = {link.other: link.one for link in links if link.kind == "same_bytes"}  # one of them is enough
        present = {file.image_id: file.path for file in files if file.size is not None and file.image_id not in copies}
        sketches = sketched(present, progress=report)
        links += same_pictures(present, sketches, links, near=replaced(near, copies), progress=report)
        sketches |= {other: sketches[one] for other, one in copies.items() if one in sketches}
    near = among(near, known)  # some were added since
    linked = {end for link in links for end in link.ends}
    linked |= set(near["one"].tolist()) | set(near["other"].tolist())
    images = image_properties(library, [known[each] for each in linked], files, sketches)
    aliases = {each: stands for each, stands in representative.items() if each != stands}
    return Found(frozenset(wanted), threshold, least, images, tuple(links), near, len(files), aliases)


def check_most(most: float | None, threshold: float) -> None:
    """Raise UsageError if an upper bound of the cosine is no cosine, or below the threshold."""
    if most is not None and (not isinstance(most, Real) or not threshold <= most <= 1):
        raise UsageError(f"most is {most!r}; expected a cosine from the threshold {threshold:g} to 1")


def _wanted(library: Library, kinds: Collection[Kind] | None) -> set[Kind]:
    if kinds is None:
        return set(KINDS) - (VECTOR_KINDS if _only_words(library) else set())
    check_type("kinds", kinds, Collection, f"some of {', '.join(KINDS)}")
    if not kinds:
        raise UsageError(f"kinds is empty; expected some of {', '.join(KINDS)}")
    for kind in kinds:
        check_known("kind of duplicates", kind, KINDS, error=UsageError)
    if VECTOR_KINDS & set(kinds):
        library.check_vectors("duplicates")
    return set(kinds)


def _only_words(library: Library) -> bool:
    try:
        library.check_vectors("duplicates")
    except UsageError:
        return True
    return False


def indexed(library: Library, images: Iterable[int]) -> dict[int, Known]:
    """Return the stored facts of those of the images that are indexed, by number."""
    found = facts_of(library.store, library.store.images(images))
    return {number: known for number, known in found.items() if known.state == "indexed"}


def image_properties(
    library: Library,
    known: Collection[Known],
    files: Iterable[ImageFile] = (),
    sketches: Mapping[int, Sketch] = NOTHING,
) -> dict[int, Image]:
    """Return the properties of images, by id: from their files and decoded images, or else from the store."""
    rows = library.store.images(each.id for each in known)
    sizes = {file.image_id: file.size or 0 for file in files if not isinstance(file.path, RemotePath)}
    found = {}
    for each in known:
        row, seen = rows.get(each.id), sketches.get(each.id)
        if row is None:  # removed since
            row = Row(0, each.id, each.path, None, None, None, 0, None)
        width, height = (seen.width, seen.height) if seen else (row.width, row.height)
        frames = seen.frames if seen else 0
        found[each.id] = Image(
            each.path,
            sizes.get(each.id, each.size),
            width or 0,
            height or 0,
            frames,
            uid=each.uid,
            taken=row.taken,
            modified=each.mtime_ns,
        )
    return found


def _near(library: Library, wanted: set[Kind], least: float, k: int, report: Report) -> Links:
    """Return the links between images whose descriptors have a cosine of at least `least`."""
    if not wanted & {"alike", "burst", "same_picture"} or _only_words(library) or not library.store.counts().vectors:
        return np.empty(0, LINK)
    return alike(library, threshold=least, k=k, progress=lambda *done: report("Searching", *done))


def _same_files(files: Sequence[ImageFile], wanted: set[Kind], report: Report) -> Iterator[SameLink]:
    groups: list[tuple[Kind, list[list[ImageFile]]]] = []
    if wanted & {"same_bytes", "same_picture"}:
        groups.append(("same_bytes", same_bytes(files, progress=lambda *done: report("Comparing files", *done))))
    if wanted & {"same_shot", "same_picture"}:
        groups.append(("same_shot", same_shot(files)))
    for kind, found in groups:
        for group in found:
            yield from (SameLink(group[0].image_id, other.image_id, kind) for other in group[1:])


def _with_size(file: ImageFile, known: Known) -> ImageFile:
    """Return a file, if it is remote and may be read with the size that was indexed, as if it had been looked at."""
    if not isinstance(file.path, RemotePath) or not is_allowed(file.path):
        return file
    return replace(file, size=known.size)


def _same_objects(known: Iterable[Known]) -> Iterator[SameLink]:
    """Yield the links between remote files of the same content by their ETags, without reading them."""
    first: dict[bytes, int] = {}
    for each in sorted(known, key=lambda each: each.path):
        if isinstance(each.path, RemotePath) and each.digest is not None:
            one = first.setdefault(each.digest, each.id)
            if one != each.id:
                yield SameLink(one, each.id, "same_bytes")
