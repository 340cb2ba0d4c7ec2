"""The file with the last search for duplicates of a library, so that its groups are there after a restart."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kindred._support.files import read_bounded, replacing, within
from kindred._support.npz import ArrayMap, read_npz, restoring
from kindred.duplicates.find import image_properties, indexed
from kindred.duplicates.found import Found
from kindred.duplicates.groups import CERTAINTY, KINDS, SameLink
from kindred.duplicates.links import among, make_links
from kindred.duplicates.turns import TURNS
from kindred.errors import KindredError

if TYPE_CHECKING:
    from kindred.library import Library

__all__ = ["FILE", "LastSearch", "load_search", "save_search"]

FILE = "duplicates.npz"
"""The name of the file within a library; it can be deleted at any time."""
VERSION = 1
FIXED_BYTES, BYTES_AN_IMAGE = 1 << 20, 256
"""A file larger than this for the number of images is not read: two links an image are 60 bytes."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LastSearch:
    """A search for duplicates. searched: UTC, ISO. revision: the library's `vectors_revision` at that time."""

    found: Found
    searched: str
    revision: int


def save_search(library: Library, search: LastSearch) -> None:
    """Write a search into the folder of its library, as image numbers; a read-only library is left as it is."""
    found = search.found
    links = found.links
    arrays = {
        "version": np.array(VERSION),
        "library": np.frombuffer(_identity(library), np.uint8),
        "searched": np.array(datetime.fromisoformat(search.searched).timestamp(), np.int64),
        "revision": np.array(search.revision, np.int64),
        "kinds": np.array([KINDS.index(kind) for kind in found.kinds], np.uint8),
        "bounds": np.array([found.threshold, found.least], np.float64),
        "total": np.array(found.total, np.int64),
        "ends": np.array([link.ends for link in links], np.int64).reshape(-1, 2),
        "certainty": np.array([CERTAINTY.index(link.kind) for link in links], np.uint8),
        "scores": np.array([link.score for link in links], np.float32),
        "turns": np.array([TURNS.index(link.turn) for link in links], np.uint8),
        "near": np.stack([found.near["one"], found.near["other"]], axis=1),
        "cosines": found.near["score"],
        "aliases": np.array(list(found.aliases.items()), np.int64).reshape(-1, 2),
    }
    with suppress(OSError), replacing(within(library.path, FILE)) as part, part.open("xb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]  # a name never is that of np.savez's own option


def load_search(library: Library) -> LastSearch | None:
    """Read the last search of a library, or None if there is none; a damaged one counts as none.

    Images that have been removed since are left out.
    """
    try:
        limit = FIXED_BYTES + BYTES_AN_IMAGE * library.store.counts().images
        data = read_bounded(within(library.path, FILE), limit)
        return _restored(library, read_npz(data, len(data)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KindredError) as error:
        log.info("the stored search for duplicates is invalid: %s", error)
        return None


def _identity(library: Library) -> bytes:
    return library.store.meta.get("uuid", "").encode()


NAMES = (
    *("version", "library", "searched", "revision", "kinds", "bounds", "total", "ends", "certainty", "scores", "turns"),
    *("near", "cosines", "aliases"),
)


def _restored(library: Library, arrays: ArrayMap) -> LastSearch:
    with restoring("the search for duplicates", arrays, *NAMES) as found:
        version, identity, searched, revision, kinds, bounds, total, ends, certainty, scores, turns = found[:11]
        near, cosines, aliases = found[11:]
        _check(int(version) == VERSION, "its format")
        _check(identity.tobytes() == _identity(library), "its library")
        _check(_numbers(kinds, len(KINDS), (len(kinds),)), "its kinds")
        threshold, least = (float(each) for each in bounds)
        _check(0 < least <= threshold <= 1, "its thresholds")
        for pairs in (ends, near, aliases):
            _check(pairs.dtype == np.int64 and pairs.shape == (len(pairs), 2), "its links")
            _check(bool((pairs[:, 0] != pairs[:, 1]).all() and (pairs > 0).all()), "its links")
        _check(_numbers(certainty, len(CERTAINTY), ends.shape[:1]), "its links")
        _check(_numbers(turns, len(TURNS), ends.shape[:1]), "its turns")
        for values, count in ((scores, len(ends)), (cosines, len(near))):
            _check(values.dtype == np.float32 and values.shape == (count,), "its scores")
            _check(bool(((values >= -1) & (values <= 1.001)).all()), "its scores")
        moment = datetime.fromtimestamp(int(searched), UTC).isoformat(timespec="seconds")
    linked = indexed(library, {*ends.ravel().tolist(), *near.ravel().tolist()})
    images = image_properties(library, linked.values())
    given = zip(ends.tolist(), certainty.tolist(), scores.tolist(), turns.tolist(), strict=True)
    same = (SameLink(pair[0], pair[1], CERTAINTY[kind], score, TURNS[turn]) for pair, kind, score, turn in given)
    return LastSearch(
        Found(
            frozenset(KINDS[kind] for kind in kinds.tolist()),
            threshold,
            least,
            images,
            tuple(link for link in same if link.one in images and link.other in images),
            among(make_links(near[:, 0], near[:, 1], cosines), images),
            int(total),
            dict(aliases.tolist()),
        ),
        moment,
        int(revision),
    )


def _numbers(values: NDArray[np.generic], below: int, shape: tuple[int, ...]) -> bool:
    return values.dtype == np.uint8 and values.shape == shape and bool((values < below).all())  # type: ignore[operator]


def _check(sound: bool, what: str) -> None:
    if not sound:
        raise ValueError(f"{what} cannot be those of a search")
