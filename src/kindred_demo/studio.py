"""The material of photographs: objects, surfaces and clutter, each drawn at first use and then cached."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from kindred_demo.clutter import LYING, ClutterArt, ClutterItem, draw_clutter
from kindred_demo.furnishings import HANGING, STANDING
from kindred_demo.indoors import INDOORS
from kindred_demo.kinds import draw_thing
from kindred_demo.noise import Field, grain
from kindred_demo.outdoors import OUTDOORS
from kindred_demo.settings import Setting
from kindred_demo.things import Thing

__all__ = ["Shot", "Studio"]

Key = TypeVar("Key")
Value = TypeVar("Value")

SURFACES: dict[str, Callable[[np.random.Generator], Image.Image]] = {**INDOORS, **OUTDOORS}
CLUTTER: dict[str, ClutterArt] = {**LYING, **STANDING, **HANGING}

TAKES = {"felt": 3, "gingham": 2, "plaster": 3, "wallpaper": 2, "boards": 2}
"""Number of variants of surfaces that come in several colours; one of each other."""

CLUTTER_TAKES = 2

GRAIN_SIDE = 1100
"""Side of the field that provides the noise of all photographs, since drawing it anew for each is slow."""


@dataclass(frozen=True)
class Shot:
    """The contents of one photograph: objects by their number, and a seed for everything random.

    `orientation` is the EXIF orientation of the file; a `careful` photograph has less extreme poses and light.
    """

    thing: int
    companion: int | None
    setting: Setting
    seed: tuple[int, ...]
    orientation: int = 1
    careful: bool = False


class Drawn(Generic[Key, Value]):
    """Values by key, each computed once, by the thread that first needs it."""

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
    """The material of a collection with one seed; may be used by several threads."""

    def __init__(self, seed: int) -> None:
        self.things: Drawn[int, Thing] = Drawn(lambda number: draw_thing(number, seed=seed))
        self._surfaces: Drawn[tuple[str, int], Image.Image] = Drawn(lambda key: _draw_surface(*key, seed=seed))
        self._clutter: Drawn[tuple[str, int], ClutterItem] = Drawn(lambda key: _draw_clutter(*key, seed=seed))
        self._grain = grain(np.random.default_rng([seed, 5]), (GRAIN_SIDE, GRAIN_SIDE))

    def surface(self, names: Sequence[str], rng: np.random.Generator) -> tuple[str, Image.Image]:
        """Return one of the named surfaces, with its name."""
        name = names[int(rng.integers(len(names)))]
        return name, self._surfaces[name, int(rng.integers(TAKES.get(name, 1)))]

    def clutter(
        self, names: Sequence[str], rng: np.random.Generator, *, size: tuple[float, float], count: int
    ) -> list[ClutterItem]:
        """Return at most `count` of the named items whose longer side is within `size` centimetres, shuffled."""
        fitting = [name for name in names if size[0] <= max(CLUTTER[name].width, CLUTTER[name].height) <= size[1]]
        choices = [(name, take) for name in fitting for take in range(CLUTTER_TAKES)]
        return [self._clutter[choices[int(index)]] for index in rng.permutation(len(choices))[:count]]

    def grain(self, size: tuple[int, int], rng: np.random.Generator) -> Field:
        """Return independent normal values, (height, width): a window of a field that all photographs share."""
        top, left = (int(rng.integers(GRAIN_SIDE - length)) for length in size)
        return self._grain[top : top + size[0], left : left + size[1]]


def _draw_surface(name: str, take: int, *, seed: int) -> Image.Image:
    return SURFACES[name](np.random.default_rng([seed, 3, list(SURFACES).index(name), take]))


def _draw_clutter(name: str, take: int, *, seed: int) -> ClutterItem:
    rng = np.random.default_rng([seed, 4, list(CLUTTER).index(name), take])
    return draw_clutter(name, CLUTTER[name], rng=rng)
