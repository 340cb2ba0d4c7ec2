"""The plan of a collection: what each photograph shows, where and when it was taken, and its name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from kindred.errors import UsageError
from kindred_demo.kinds import KINDS, design, kind_of
from kindred_demo.settings import Setting, settings_for
from kindred_demo.studio import Shot

__all__ = ["Planned", "plan_photos", "plan_queries", "relevant"]

FIRST_DAY = datetime(2023, 4, 2, 9, 15)
FIRST_NUMBER = 1001

COMPANION_SHARE = 0.12
"""Share of the photographs that show a second object, if the setting has room for one."""

TURNED_EVERY = 9
"""One photograph in this number is stored rotated, with the EXIF orientation."""

QUERIES_WITH_COMPANION = 6
"""One query in this number shows two objects, so that it needs a box."""


@dataclass(frozen=True)
class Planned:
    """A planned photograph; `name`: its path in the collection, with `/`; `taken`: in EXIF's date format."""

    name: str
    shot: Shot
    taken: str


def plan_photos(seed: int, *, objects: int, photos: int) -> list[Planned]:
    """Return the photographs of the database in chronological order, equally many of each object.

    Raises UsageError for fewer than two objects or fewer photographs than objects.
    """
    if objects < 2 or photos < objects:
        raise UsageError(
            f"a demo collection of {objects} objects in {photos} photos cannot be made; "
            "give at least 2 objects, and at least as many photos as objects"
        )
    rng = np.random.default_rng([seed, 6])
    shots = [
        _shot(thing, take, seed=seed, objects=objects, setting=setting, rng=rng)
        for thing in range(objects)
        for take, setting in enumerate(_itinerary(thing, photos // objects + (thing < photos % objects), rng))
    ]
    planned: list[Planned] = []
    moment, number = FIRST_DAY, FIRST_NUMBER
    for index in rng.permutation(len(shots)):
        shot = shots[int(index)]
        name = f"photos/{shot.setting.folder}/IMG_{number:04d}.jpg"
        planned.append(Planned(name, shot, moment.strftime("%Y:%m:%d %H:%M:%S")))
        number += int(rng.integers(1, 5))
        moment += timedelta(minutes=float(rng.exponential(600 * 24 * 60 / len(shots))))
    return planned


def _itinerary(thing: int, count: int, rng: np.random.Generator) -> list[Setting]:
    """Yield settings for an object: every suitable one before any is repeated."""
    settings = settings_for(kind_of(thing))
    order: list[Setting] = []
    while len(order) < count:
        order.extend(settings[int(index)] for index in rng.permutation(len(settings)))
    return order[:count]


def _shot(thing: int, take: int, *, seed: int, objects: int, setting: Setting, rng: np.random.Generator) -> Shot:
    companion = _companion(thing, setting, objects=objects, rng=rng) if rng.random() < COMPANION_SHARE else None
    turned = rng.integers(TURNED_EVERY) == 0
    orientation = int(rng.choice([3, 6, 8])) if turned else 1
    return Shot(thing, companion, setting, (seed, 7, thing, take), orientation)


def _companion(thing: int, setting: Setting, *, objects: int, rng: np.random.Generator) -> int | None:
    """Return another object for the same photograph: of a similar size, and suitable for the setting."""
    if setting.pose == "hangs":
        return None
    longest = KINDS[kind_of(thing)].longest
    fitting = [
        other
        for other in range(objects)
        if other != thing
        and kind_of(other) in setting.kinds
        and 1 / 2.3 < KINDS[kind_of(other)].longest / longest < 2.3
    ]
    return fitting[int(rng.integers(len(fitting)))] if fitting else None


def plan_queries(seed: int, *, objects: int) -> list[Planned]:
    """Return one query for each object, named after it; some show a second object beside it."""
    planned: list[Planned] = []
    names: set[str] = set()
    for thing in range(objects):
        rng = np.random.default_rng([seed, 8, thing])
        settings = settings_for(kind_of(thing))
        setting = settings[int(rng.integers(len(settings)))]
        crowded = thing % QUERIES_WITH_COMPANION == 0
        companion = _companion(thing, setting, objects=objects, rng=rng) if crowded else None
        shot = Shot(thing, companion, setting, (seed, 9, thing), careful=True)
        name = f"{kind_of(thing)}-{design(thing, seed=seed).noun}"
        while name in names:
            name += "-again"
        names.add(name)
        moment = FIRST_DAY + timedelta(days=640 + thing, minutes=int(rng.integers(600)))
        planned.append(Planned(f"queries/{name}.jpg", shot, moment.strftime("%Y:%m:%d %H:%M:%S")))
    return planned


def relevant(thing: int, photos: list[Planned]) -> list[str]:
    """Return the names of the photographs that show an object, sorted."""
    return sorted(photo.name for photo in photos if thing in (photo.shot.thing, photo.shot.companion))
