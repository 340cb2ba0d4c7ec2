"""Pooler: turns the feature maps of views into the rows that the recipe's pooling or embedding works on."""

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
from kindred.describer.description import ImageInfo
from kindred.describer.views import View
from kindred.errors import KindredError, RecipeError, UsageError
from kindred.pooling import POOLINGS, Pooling, custom_digest, find_pooling, is_custom, pool
from kindred.recipe import Recipe
from kindred.regions import Boxes

__all__ = ["Pooled", "Pooler", "class_map_tap", "strongest"]

Maps = Sequence[NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Pooled:
    """The rows of a batch of views: for each tap and each view, (n, D).

    cells: (n, 4) the region of the first tap's feature map, of `size` (width, height), that each row is pooled from;
    None if it is the whole map.
    """

    rows: tuple[Sequence[Vectors], ...]
    cells: Boxes | None
    size: tuple[int, int]

    def boxes_of(self, view: View, info: ImageInfo, count: int) -> NDArray[np.float32]:
        """Return the boxes (n, 4) of the `count` rows of a view, in pixels of the original; NaN for the whole image."""
        if self.cells is None:
            return np.tile(np.array(view.box, np.float32), (count, 1))
        x0, y0, x1, y1 = (0, 0, info.width, info.height) if np.isnan(view.box[0]) else view.box
        scale = np.array([(x1 - x0) / self.size[0], (y1 - y0) / self.size[1]] * 2)
        boxes: NDArray[np.float32] = (self.cells * scale + np.array([x0, y0, x0, y0])).astype(np.float32)
        return boxes


class Pooler:
    """Applies the recipe's pooling to feature maps, or returns their positions as local descriptors for an embedding.

    `fitted` holds the fitted arrays of the pooling for each tap; while it is empty, a pooling with fitted parameters
    returns the rows to fit them on. Raises `RecipeError` if recipe and network do not fit together.
    """

    def __init__(self, recipe: Recipe, engine: Engine, path: Path) -> None:
        self.recipe, self._engine, self._path = recipe, engine, path
        self.fitted: Sequence[Mapping[str, NDArray[Any]]] = ()
        self.taps = len(recipe.taps) or 1
        self.size_dependent = False  # whether D depends on the size of the map
        if not recipe.embedding:
            self._check()

    def rows(self, maps: Maps) -> Pooled:
        """Return the rows of a batch of views from their feature maps, one (B, C, h, w) per tap."""
        size = maps[0].shape[3], maps[0].shape[2]
        if self.recipe.embedding:
            rows = tuple([strongest(_flat(view), self.recipe.positions) for view in each] for each in maps)
            return Pooled(rows, None, size)
        entry, options, cells = self._entry, self._options, None
        assert entry is not None
        if entry.fitted is not None and not self.fitted:
            gathered = tuple(entry.fitted.gather(maps[tap])[:, None] for tap in range(self.taps))  # type: ignore[index]
            return Pooled(gathered, None, size)
        if entry.grid is not None:
            cells = entry.grid(*size, **options)
        of_network = self._of_network(maps)
        method: Any = entry.function if is_custom(self.recipe.pooling) else self.recipe.pooling
        pooled = []
        for tap in range(self.taps):
            extra = {} if not self.fitted else self.fitted[tap]
            given = {**options, **extra, **of_network}
            # The encoder whitens the parts before it sums them.
            vectors: Any = entry.parts(maps[tap], **given) if entry.parts else pool(maps[tap], method, **given)
            pooled.append(vectors if vectors.ndim == 3 else vectors[:, None])
        return Pooled(tuple(pooled), cells, size)

    @property
    def _entry(self) -> Pooling | None:
        if is_custom(self.recipe.pooling):
            return self._custom
        return POOLINGS.get(self.recipe.pooling)

    @cached_property
    def _custom(self) -> Pooling:
        return find_pooling(self.recipe.pooling, allow_code=self.recipe.allow_code)

    @property
    def depends_on(self) -> list[str]:
        """Everything the rows depend on besides recipe and network: the code of a custom pooling."""
        return custom_digest(self.recipe.pooling, allow_code=self.recipe.allow_code)

    @property
    def _options(self) -> dict[str, Any]:
        return dict(self.recipe.pooling_options)

    def _of_network(self, maps: Maps) -> dict[str, Any]:
        """The arguments that a pooling takes from the network: its classifier weights or class maps."""
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
            if entry is not None and is_custom(recipe.pooling):
                self._check_custom(entry, channels)
            elif entry is not None and not entry.network and entry.fitted is None:
                pool(np.ones((1, channels, 4, 4), np.float32), recipe.pooling, **options)
            elif entry is None:
                pool(np.ones((1, 1, 1, 1), np.float32), recipe.pooling)  # raises for an unknown name
        except (UsageError, RecipeError) as error:
            raise RecipeError(f"recipe {recipe.name!r}: {error}") from error
        assert entry is not None
        self.size_dependent = entry.dimension(channels, 1, 1, **options) != entry.dimension(
            channels, 4096, 4096, **options
        )
        if self.size_dependent and recipe.shape != "stretch" and self._engine.card.input_size is None:
            raise RecipeError(
                f"recipe {recipe.name!r}: the dimension of pooling {recipe.pooling!r} depends on the image size; "
                'expected shape = "stretch"'
            )

    def _check_custom(self, entry: Pooling, channels: int) -> None:
        """Raise RecipeError if a custom pooling function fails on a map of ones."""
        try:
            entry.dimension(channels, 4, 4, **self._options)
        except KindredError:
            raise
        except Exception as error:
            raise RecipeError(f"pooling {self.recipe.pooling!r}: failed on a map of ones ({error!r})") from error


def class_map_tap(recipe: Recipe, card: Any) -> str:
    """Return the tap of class maps that the recipe's pooling needs in addition to the recipe's taps; "" if none.

    Raises `RecipeError` if the network has no classifier, or its classifier is applied to another tap.
    """
    entry = POOLINGS.get(recipe.pooling)
    if recipe.embedding or entry is None or not entry.network:
        return ""
    if card.classifier is None:
        raise RecipeError(
            f"recipe {recipe.name!r}: pooling {recipe.pooling!r} needs a classifier, and {card.name} has none; "
            "use a network whose card has a table [classifier]"
        )
    taps = recipe.taps or (card.default_tap,)
    if card.classifier.weights and set(taps) != {card.classifier.tap}:
        raise RecipeError(
            f"recipe {recipe.name!r}: the classifier of {card.name} is applied to tap {card.classifier.tap!r}, "
            f"not {', '.join(taps)}"
        )
    return str(card.classifier.maps or "")


def strongest(rows: Vectors, count: int) -> Vectors:
    """Return the `count` rows (n, D) of largest norm, in their original order; all rows for 0."""
    if not count or len(rows) <= count:
        return rows
    norms = np.einsum("nd,nd->n", rows, rows)
    return rows[np.sort(np.argpartition(-norms, count)[:count])]


def _flat(view: NDArray[np.float32]) -> Vectors:
    """(C, h, w) → (h·w, C)."""
    return np.ascontiguousarray(view.reshape(len(view), -1).T)
