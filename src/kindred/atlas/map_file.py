"""Map files: whole maps stored in a library, one for each method."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred._support.files import check_plain, read_bounded, replacing, within
from kindred._support.npz import ArrayMap, read_npz, restoring
from kindred.atlas.order import LAST_LEVEL
from kindred.atlas.whole_map import WholeMap
from kindred.errors import KindredError
from kindred.manifold.maps import MAPS

__all__ = ["FOLDER", "load_map", "newest_method", "save_map"]

FOLDER = "atlas"
"""The folder within a library that holds its maps and their sheets; it can be deleted at any time."""
VERSION = 2
FIXED_BYTES, BYTES_AN_IMAGE = 1 << 20, 64
"""A file larger than this for the number of images is not read."""

log = logging.getLogger(__name__)


def load_map(library: Path, method: str, *, images: int) -> WholeMap | None:
    """Read the map of `library` by `method`, or None if there is none; a damaged one counts as none.

    images: about the number of images of the library, which bounds the size of the file.
    """
    try:
        file = within(library, f"{FOLDER}/{_name(method)}")
        data = read_bounded(file, FIXED_BYTES + 2 * BYTES_AN_IMAGE * images)
        return _restored(read_npz(data, len(data)), method)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KindredError) as error:
        log.info("the stored map is invalid and will be computed again: %s", error)
        return None


def save_map(library: Path, mapped: WholeMap) -> None:
    """Write a map into the folder of a library; a read-only library is left as it is."""
    arrays = {
        "version": np.array(VERSION),
        "revision": np.array(mapped.revision, np.int64),
        "uids": np.array([int(uid, 16) for uid in mapped.uids], np.uint64),
        "numbers": mapped.numbers,
        "points": mapped.points,
        "levels": mapped.levels,
        "landmarks": mapped.landmarks,
    }
    with suppress(OSError):
        folder = within(library, FOLDER)
        folder.mkdir(exist_ok=True)
        with replacing(folder / _name(mapped.method)) as part, part.open("xb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]  # a name never is that of np.savez's own option


def newest_method(library: Path) -> str | None:
    """Return the method of the map that was written last; None if there is none."""
    times: dict[str, int] = {}
    for method in MAPS:
        with suppress(OSError):
            file = within(library, f"{FOLDER}/{_name(method)}")
            check_plain(file)
            times[method] = file.lstat().st_mtime_ns
    return max(times, key=lambda method: times[method], default=None)


def _name(method: str) -> str:
    return f"map-{method}.npz"


def _restored(arrays: ArrayMap, method: str) -> WholeMap:
    names = ("version", "revision", "uids", "numbers", "points", "levels", "landmarks")
    with restoring("the map", arrays, *names) as found:
        version, revision, uids, numbers, points, levels, landmarks = found
        count = len(uids)
        _check(int(version) == VERSION, "its format")
        _check(uids.dtype == np.uint64 and uids.shape == (count,), "its ids")
        _check(numbers.dtype == np.int64 and numbers.shape == (count,) and _distinct(numbers), "its numbers")
        _check(points.dtype == np.float32 and points.shape == (count, 2), "its points")
        _check(bool(((points >= 0) & (points <= 1)).all()), "its points")
        _check(levels.dtype == np.uint8 and levels.shape == (count,), "its levels")
        _check(not count or int(levels.max()) <= LAST_LEVEL, "its levels")
        _check(landmarks.dtype == np.int64 and landmarks.ndim == 1 and _distinct(landmarks), "its landmarks")
        _check(not len(landmarks) or (int(landmarks.min()) >= 0 and int(landmarks.max()) < count), "its landmarks")
        ids = tuple(f"{uid:016x}" for uid in uids.tolist())
        return WholeMap(method, int(revision), ids, numbers, points, levels, np.sort(landmarks))


def _distinct(numbers: NDArray[np.int64]) -> bool:
    return len(np.unique(numbers)) == len(numbers)


def _check(sound: bool, what: str) -> None:
    if not sound:
        raise ValueError(f"{what} cannot be those of a map")
