"""What photographs are made of: things, surfaces and trifles, each drawn when first wanted and then kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from kindred_demo.furnishings import HANGING, STANDING
from kindred_demo.indoors import INDOORS
from kindred_demo.kinds import draw_thing
from kindred_demo.noise import Field, grain
from kindred_demo.outdoors import OUTDOORS
from kindred_demo.settings import Setting
from kindred_demo.things import Thing
from kindred_demo.trifles import LYING, Trifle, TrifleArt, draw_trifle

__all__ = ["Shot", "Studio"]

Key = TypeVar("Key")
Value = TypeVar("Value")

SURFACES: dict[str, Callable[[np.random.Generator], Image.Image]] = {**INDOORS, **OUTDOORS}
TRIFLES: dict[str, TrifleArt] = {**LYING, **STANDING, **HANGING}

TAKES = {"felt": 3, "gingham": 2, "plaster": 3, "wallpaper": 2, "boards": 2}
"""How many of a surface the studio keeps, where it comes in several colours; one of each other."""

TRIFLE_TAKES = 2

GRAIN_SIDE = 1100
"""Side of the field from which photographs take their noise: drawing it anew for each is slow."""


@dataclass(frozen=True)
class Shot:
    """What one photograph is to show: things by their number, and a seed for all that is left to chance.

    `orientation` is the EXIF value that the file is to be stored with; a `careful` photographer goes to
    less extremes.
    """

    thing: int
    companion: int | None
    setting: Setting
    seed: tuple[int, ...]
    orientation: int = 1
    careful: bool = False


class Drawn(Generic[Key, Value]):
    """Values by key, each computed once, whichever thread asks first."""

    def __init__(self, draw: Callable[[Key], Value]) -> None:
        self._draw = draw
        self._values: dict[Key, Value] = {}
        self._lock = threading.Lock()

    def __getitem__(self, key: Key) -> Value:
        with self._lock:
            if key not in self._values:
                self._values[key] = self._draw(key)
            return self._values[key]


class Studio:
    """The material of one seed's collection; several threads may photograph in it at once."""

    def __init__(self, seed: int) -> None:
        self.things: Drawn[int, Thing] = Drawn(lambda number: draw_thing(number, seed=seed))
        self._surfaces: Drawn[tuple[str, int], Image.Image] = Drawn(lambda key: _draw_surface(*key, seed=seed))
        self._trifles: Drawn[tuple[str, int], Trifle] = Drawn(lambda key: _draw_trifle(*key, seed=seed))
        self._grain = grain(np.random.default_rng([seed, 5]), (GRAIN_SIDE, GRAIN_SIDE))

    def surface(self, names: Sequence[str], rng: np.random.Generator) -> tuple[str, Image.Image]:
        """One of the named surfaces, with its name."""
        name = names[int(rng.integers(len(names)))]
        return name, self._surfaces[name, int(rng.integers(TAKES.get(name, 1)))]

    def trifles(
        self, names: Sequence[str], rng: np.random.Generator, *, size: tuple[float, float], count: int
    ) -> list[Trifle]:
        """At most `count` of the named trifles whose longer side is within `size` centimetres, shuffled."""
        fitting = [name for name in names if size[0] <= max(TRIFLES[name].width, TRIFLES[name].height) <= size[1]]
        choices = [(name, take) for name in fitting for take in range(TRIFLE_TAKES)]
        return [self._trifles[choices[int(index)]] for index in rng.permutation(len(choices))[:count]]

    def grain(self, size: tuple[int, int], rng: np.random.Generator) -> Field:
        """Independent normal values, (height, width): a window of a field that all photographs share."""
        top, left = (int(rng.integers(GRAIN_SIDE - length)) for length in size)
        return self._grain[top : top + size[0], left : left + size[1]]


def _draw_surface(name: str, take: int, *, seed: int) -> Image.Image:
    return SURFACES[name](np.random.default_rng([seed, 3, list(SURFACES).index(name), take]))


def _draw_trifle(name: str, take: int, *, seed: int) -> Trifle:
    rng = np.random.default_rng([seed, 4, list(TRIFLES).index(name), take])
    return draw_trifle(name, TRIFLES[name], rng=rng)
