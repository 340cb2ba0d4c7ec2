"""Pooler: maps of a batch of views to rows, as the recipe's pooling or embedding wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.backbones import Engine
from kindred.backbones.classifier import class_weights
from kindred.describer.description import Facts
from kindred.describer.views import View
from kindred.errors import KindredError, RecipeError, UsageError
from kindred.pooling import POOLINGS, Pooling, find_pooling, is_own, own_digest, pool
from kindred.recipe import Recipe
from kindred.regions import Boxes

__all__ = ["Pooled", "Pooler", "class_map_tap", "strongest"]

Maps = Sequence[NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Pooled:
    """The rows of a batch: for each tap, for each view, (n, D).

    cells: (n, 4) the part of the map that each row comes from, on the first tap's of `size` (width, height);
    None where it is all of it.
    """

    rows: tuple[Sequence[Vectors], ...]
    cells: Boxes | None
    size: tuple[int, int]

    def placed(self, view: View, facts: Facts, count: int) -> NDArray[np.float32]:
        """Return the boxes (n, 4) of a view's `count` rows in pixels of the original; NaN for the whole image."""
        if self.cells is None:
            return np.tile(np.array(view.box, np.float32), (count, 1))
        x0, y0, x1, y1 = (0, 0, facts.width, facts.height) if np.isnan(view.box[0]) else view.box
        scale = np.array([(x1 - x0) / self.size[0], (y1 - y0) / self.size[1]] * 2)
        placed: NDArray[np.float32] = (self.cells * scale + np.array([x0, y0, x0, y0])).astype(np.float32)
        return placed


class Pooler:
    """The recipe's pooling, or the positions of its embedding.

    `learned` holds what the pooling has learned for each tap; without it, one that learns gives the rows to learn
    on. Raises `RecipeError` where recipe and network do not go together.
    """

    def __init__(self, recipe: Recipe, engine: Engine, path: Path) -> None:
        self.recipe, self._engine, self._path = recipe, engine, path
        self.learned: Sequence[Mapping[str, NDArray[Any]]] = ()
        self.taps = len(recipe.taps) or 1
        self.grows = False  # whether vectors grow with the map
        if not recipe.embedding:
            self._check()

    def rows(self, maps: Maps) -> Pooled:
        """Return the rows of a batch of views by their maps, one (B, C, h, w) for each tap."""
        size = maps[0].shape[3], maps[0].shape[2]
        if self.recipe.embedding:
            rows = tuple([strongest(_flat(view), self.recipe.positions) for view in each] for each in maps)
            return Pooled(rows, None, size)
        entry, options, cells = self._entry, self._options, None
        assert entry is not None
        if entry.fitted is not None and not self.learned:
            gathered = tuple(entry.fitted.gather(maps[tap])[:, None] for tap in range(self.taps))  # type: ignore[index]
            return Pooled(gathered, None, size)
        if entry.grid is not None:
            cells = entry.grid(*size, **options)
        of_network = self._of_network(maps)
        method: Any = entry.function if is_own(self.recipe.pooling) else self.recipe.pooling
        pooled = []
        for tap in range(self.taps):
            extra = {} if not self.learned else self.learned[tap]
            given = {**options, **extra, **of_network}
            # Of parts the sum is the head's, which whitens them first.
            found: Any = entry.parts(maps[tap], **given) if entry.parts else pool(maps[tap], method, **given)
            pooled.append(found if found.ndim == 3 else found[:, None])
        return Pooled(tuple(pooled), cells, size)

    @property
    def _entry(self) -> Pooling | None:
        if is_own(self.recipe.pooling):
            return self._own
        return POOLINGS.get(self.recipe.pooling)

    @cached_property
    def _own(self) -> Pooling:
        return find_pooling(self.recipe.pooling, allow_code=self.recipe.allow_code)

    @property
    def depends_on(self) -> list[str]:
        """What its rows depend on beside the recipe: the code of a pooling of one's own."""
        return own_digest(self.recipe.pooling, allow_code=self.recipe.allow_code)

    @property
    def _options(self) -> dict[str, Any]:
        return dict(self.recipe.pooling_options)

    def _of_network(self, maps: Maps) -> dict[str, Any]:
        """What a pooling takes from the network: its classifier."""
        entry = self._entry
        if entry is None or not entry.network:
            return {}
        if class_map_tap(self.recipe, self._engine.card):
            return {"class_maps": maps[-1]}
        return {"weights": class_weights(self._engine.card, self._path)}

    def _check(self) -> None:
        recipe, channels = self.recipe, self._engine.taps[0].channels
        entry, options = self._entry, self._options
        try:
            if entry is not None and is_own(recipe.pooling):
                self._check_own(entry, channels)
            elif entry is not None and not entry.network and entry.fitted is None:
                pool(np.ones((1, channels, 4, 4), np.float32), recipe.pooling, **options)
            elif entry is None:
                pool(np.ones((1, 1, 1, 1), np.float32), recipe.pooling)  # raises for an unknown name
        except (UsageError, RecipeError) as error:
            raise RecipeError(f"recipe {recipe.name!r} does not fit its parts: {error}") from error
        assert entry is not None
        self.grows = entry.dimension(channels, 1, 1, **options) != entry.dimension(channels, 4096, 4096, **options)
        if self.grows and recipe.shape != "stretch" and self._engine.card.input_size is None:
            raise RecipeError(
                f"recipe {recipe.name!r}: vectors of pooling {recipe.pooling!r} grow with the image; "
                'expected shape = "stretch"'
            )

    def _check_own(self, entry: Pooling, channels: int) -> None:
        """Raise RecipeError where a function of one's own does not pool."""
        try:
            entry.dimension(channels, 4, 4, **self._options)
        except KindredError:
            raise
        except Exception as error:
            raise RecipeError(f"pooling {self.recipe.pooling!r}: failed on a map of ones ({error!r})") from error


def class_map_tap(recipe: Recipe, card: Any) -> str:
    """Return the tap of class maps that the recipe's pooling needs beside its own; "" for none.

    Raises `RecipeError` where the network has no classifier, or one that weighs another tap.
    """
    entry = POOLINGS.get(recipe.pooling)
    if recipe.embedding or entry is None or not entry.network:
        return ""
    if card.classifier is None:
        raise RecipeError(
            f"recipe {recipe.name!r}: pooling {recipe.pooling!r} needs a classifier, which {card.name} has none of; "
            "take a network whose card has a table [classifier]"
        )
    taps = recipe.taps or (card.default_tap,)
    if card.classifier.weights and set(taps) != {card.classifier.tap}:
        raise RecipeError(
            f"recipe {recipe.name!r}: the classifier of {card.name} weighs tap {card.classifier.tap!r}, "
            f"not {', '.join(taps)}"
        )
    return str(card.classifier.maps or "")


def strongest(rows: Vectors, count: int) -> Vectors:
    """Return the `count` rows (n, D) of largest norm, in their order; all of them for 0."""
    if not count or len(rows) <= count:
        return rows
    norms = np.einsum("nd,nd->n", rows, rows)
    return rows[np.sort(np.argpartition(-norms, count)[:count])]


def _flat(view: NDArray[np.float32]) -> Vectors:
    """(C, h, w) → (h·w, C)."""
    return np.ascontiguousarray(view.reshape(len(view), -1).T)
