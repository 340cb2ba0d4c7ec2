"""Columns: the shape, the day, the folder and the tag of every image of a map, as arrays to colour and to filter by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from kindred.atlas.whole_map import WholeMap
from kindred.store import Filter, Outlines, Store

__all__ = ["NO_DAY", "Columns", "Groups", "columns_of", "folder_groups", "months"]

MOST_GROUPS = 11
"""Groups with a colour of their own; the images of all others have the number 255."""
OTHERS = 255
GONE = -1.0
NO_DAY = -(2**31)
"""Day of an image without one."""
NOWHERE = Path()
"""Path of an image that is gone: a folder, so that nothing is read from it."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Images by group: the number (n,) uint8 of each image's group, 255 for none, and names and sizes of the groups."""

    numbers: NDArray[np.uint8]
    names: tuple[str, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Columns:
    """Facts about the n images of a map, in its order; none about images that are no longer in the library.

    aspects: (n,) float32, width divided by height, 0 if unknown, −1 for images that are gone. days: (n,) int32, days
    since 1970. folders, tags: the groups of the images.
    """

    outlines: Outlines
    aspects: NDArray[np.float32]
    days: NDArray[np.int32]
    folders: Groups
    tags: Groups


def columns_of(store: Store, mapped: WholeMap) -> Columns:
    """Return the columns of a map, read from the store."""
    found = store.outlines(Filter())
    there = np.isin(mapped.numbers, found.numbers)
    place = np.searchsorted(found.numbers, mapped.numbers[there])
    sizes, days = np.zeros((len(mapped), 2), np.int32), np.full(len(mapped), np.datetime64("NaT", "D"))
    sizes[there], days[there] = found.sizes[place], found.days[place]
    widths, heights = sizes.T.astype(np.float32)
    aspects = np.divide(widths, heights, out=np.zeros_like(widths), where=heights > 0)
    aspects[~there] = GONE
    known = dict(zip(found.numbers.tolist(), found.paths, strict=True))
    paths = tuple(known.get(number, NOWHERE) for number in mapped.numbers.tolist())
    folders = folder_groups([path for path in paths if path is not NOWHERE])
    numbers = np.full(len(mapped), OTHERS, np.uint8)
    numbers[there] = folders.numbers
    folders = replace(folders, numbers=numbers)
    outlines = Outlines(mapped.numbers, mapped.uids, paths, sizes, days)
    return Columns(outlines, aspects, _day_numbers(days).astype(np.int32), folders, _tag_groups(store, mapped))


def folder_groups(paths: Sequence[Path]) -> Groups:
    """Group images by folder: the largest folder is divided into its folders as long as there are few groups.

    Names are relative to the folder that contains all images.
    """
    parts = [path.parent.parts for path in paths]
    common = _common(parts)
    groups: dict[tuple[str, ...], list[int]] = {common: list(range(len(paths)))} if paths else {}
    finished: set[tuple[str, ...]] = set()
    while open_groups := [head for head in groups if head not in finished]:
        largest = max(open_groups, key=lambda head: (len(groups[head]), head))
        divided: dict[tuple[str, ...], list[int]] = {}
        for at in groups[largest]:
            divided.setdefault(parts[at][: len(largest) + 1], []).append(at)
        if len(groups) - 1 + len(divided) > MOST_GROUPS or list(divided) == [largest]:
            finished.add(largest)
            continue
        del groups[largest]
        groups.update(divided)
        if largest in divided:  # images in the folder itself
            finished.add(largest)
    ordered = sorted(groups, key=lambda head: (-len(groups[head]), head))
    numbers = np.full(len(paths), OTHERS, np.uint8)
    for number, head in enumerate(ordered):
        numbers[groups[head]] = number
    names = tuple(str(PurePath(*head[len(common) :])) if head[len(common) :] else _last(common) for head in ordered)
    return Groups(numbers, names, tuple(len(groups[head]) for head in ordered))


def months(days: Mapping[date | None, int]) -> dict[str, int]:
    """Return the number of images of each month that has any, such as {"2024-05": 3}, in order of time.

    days: the number of images of each day; those without a day are left out.
    """
    counts = Counter[str]()
    for day, images in days.items():
        if day is not None:
            counts[day.isoformat()[:7]] += images
    return dict(sorted(counts.items()))


def _tag_groups(store: Store, mapped: WholeMap) -> Groups:
    """Group images by their tag; of several, by the rarest of the most frequent ones."""
    frequent = [tag for tag, _ in Counter(store.tags()).most_common(MOST_GROUPS)]
    numbers = np.full(len(mapped), OTHERS, np.uint8)
    sizes = []
    for number, tag in enumerate(frequent):  # the rarest come last and replace others
        having = np.isin(mapped.numbers, store.select_images(Filter(tags=(tag,))))
        numbers[having] = number
        sizes.append(int(having.sum()))
    return Groups(numbers, tuple(frequent), tuple(sizes))


def _day_numbers(days: NDArray[np.datetime64]) -> NDArray[np.int64]:
    known = ~np.isnat(days)
    return np.where(known, np.where(known, days, np.datetime64(0, "D")).astype(np.int64), NO_DAY)


def _common(parts: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the longest common beginning."""
    if not parts:
        return ()
    low, high = min(parts), max(parts)
    same = 0
    while same < min(len(low), len(high)) and low[same] == high[same]:
        same += 1
    return low[:same]


def _last(parts: tuple[str, ...]) -> str:
    return parts[-1] if parts else ""
