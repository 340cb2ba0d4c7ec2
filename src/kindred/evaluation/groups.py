"""INRIA Holidays and UKBench: groups of photos of one scene or object, identified by their numbers."""

from __future__ import annotations

from pathlib import Path

from kindred.errors import UsageError
from kindred.evaluation.groundtruth import GroundTruth, Judgement, Query, positions
from kindred.evaluation.layouts import check_count, numbered, subfolder

__all__ = ["is_holidays", "is_ukbench", "read_holidays", "read_ukbench"]

HOLIDAYS_IMAGES, HOLIDAYS_GROUPS = 1491, 500
UKBENCH_IMAGES, UKBENCH_GROUP = 10200, 4
UKBENCH = "ukbench"


def read_holidays(folder: Path, *, partial: bool = False) -> GroundTruth:
    """Read INRIA Holidays: `jpg/100000.jpg` and so on, or the images themselves (Jégou, Douze and Schmid 2008).

    The images of a group share their number except for the last two digits; the one that ends in 00 is the query, and
    is removed from its own ranking. Average precision is trapezoidal, as in the authors' script. Not all images are
    upright as published: results on manually rotated versions are about one point higher.
    """
    root = subfolder(folder, "jpg")
    images = numbered(root, "Holidays")
    check_count(folder, "Holidays", "images", len(images), [HOLIDAYS_IMAGES], partial=partial)
    groups: dict[int, list[int]] = {}
    for place, (number, _) in enumerate(images):
        groups.setdefault(number // 100, []).append(place)
    queries = []
    for place, (number, path) in enumerate(images):
        if number % 100 == 0:
            others = positions(other for other in groups[number // 100] if other != place)
            queries.append(Query(path, None, {"": Judgement(others, positions([place]))}, itself=place))
    check_count(folder, "Holidays", "queries", len(queries), [HOLIDAYS_GROUPS], partial=partial)
    return GroundTruth("holidays", folder, "holidays", tuple(path for _, path in images), tuple(queries), root=root)


def read_ukbench(folder: Path, *, partial: bool = False) -> GroundTruth:
    """Read UKBench: `full/ukbench00000.jpg` and so on, or the images themselves (Nistér and Stewénius 2006).

    Four consecutive numbers show one object. Every image is a query, and is itself one of its four relevant images.
    """
    root = subfolder(folder, "full")
    images = numbered(root, "UKBench", prefix=UKBENCH)
    check_count(folder, "UKBench", "images", len(images), [UKBENCH_IMAGES], partial=partial)
    groups: dict[int, list[int]] = {}
    for place, (number, _) in enumerate(images):
        groups.setdefault(number // UKBENCH_GROUP, []).append(place)
    for group, places in groups.items():
        if len(places) != UKBENCH_GROUP:
            first = UKBENCH_GROUP * group
            raise UsageError(
                f"{folder}: of the images {first} to {first + UKBENCH_GROUP - 1}, which show one object, "
                f"{len(places)} are there; UKBench needs all four"
            )
    relevant = {group: positions(places) for group, places in groups.items()}
    queries = tuple(
        Query(path, None, {"": Judgement(relevant[number // UKBENCH_GROUP], positions(()))}) for number, path in images
    )
    return GroundTruth("ukbench", folder, "ukbench", tuple(path for _, path in images), queries, root=root)


def is_holidays(folder: Path) -> bool:
    """Return whether the images are named by numbers of six digits."""
    names = [path.stem for path in subfolder(folder, "jpg").glob("*.jpg")]
    return bool(names) and all(len(name) == 6 and name.isdigit() for name in names)


def is_ukbench(folder: Path) -> bool:
    """Return whether images are named ukbench and a number."""
    return any(subfolder(folder, "full").glob(f"{UKBENCH}*.jpg"))
