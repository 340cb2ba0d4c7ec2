"""NetworkExtractor: images through the network, in as many passes as the recipe asks for, and pooled.

Threads decode and cut views while the network runs; views of one shape run together as a batch, whatever images
they come from.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors
from kindred.backbones import Engine, load, load_card
from kindred.describer.ahead import prepared_ahead
from kindred.describer.description import Description, Facts, RawFeatures
from kindred.describer.local import KeptFeatures, label, shared_taps
from kindred.describer.pooled import Pooler, class_map_tap
from kindred.describer.views import View, Viewer
from kindred.errors import ImageError, ModelError, UsageError
from kindred.features import ConvMap, LocalFeatures
from kindred.images import Decoded, decode
from kindred.recipe import Recipe

if TYPE_CHECKING:
    from kindred.images import ImageLike

__all__ = ["NetworkExtractor"]

T = TypeVar("T")

BATCH = 8
WAITING = 8 * BATCH  # views that may wait for others of their shape
FAILURES = 64  # failed images that may wait to be told
SMALL = 96  # pixels of a side that every network is taken to manage; Inception v3, without padding, needs 75


@dataclass(frozen=True, eq=False)
class _Prepared:
    facts: Facts
    views: list[View]
    features: LocalFeatures | None
    is_query: bool = False


@dataclass(eq=False)
class _Pending(Generic[T]):
    """An image some of whose views are still on their way."""

    key: T
    prepared: _Prepared
    rows: dict[int, tuple[Vectors, ...]] = field(default_factory=dict)
    boxes: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    features: LocalFeatures | None = None

    def seen(self) -> RawFeatures[T]:
        order = range(len(self.prepared.views))
        taps = len(self.rows[0])
        levels = [np.full(len(self.boxes[at]), self.prepared.views[at].level, np.int64) for at in order]
        return RawFeatures(
            self.key,
            self.prepared.facts,
            tuple(np.concatenate([self.rows[at][tap] for at in order]) for tap in range(taps)),
            np.concatenate(levels),
            np.concatenate([self.boxes[at] for at in order]),
            passes=len(order),
            features=self.prepared.features if self.features is None else self.features,
        )


_Members = list[tuple[_Pending[T], int]]


class NetworkExtractor:
    """A recipe's network, ready to look at images; any thread may use it.

    Raises `ModelError` where the network is missing, `RecipeError` where the recipe does not fit it.
    """

    def __init__(self, recipe: Recipe, *, device: str | None, workers: int, max_pixels: int | None) -> None:
        self.recipe = recipe
        card, path = load_card(recipe.backbone)
        # The classifier's maps come last, so that they are not taken for one of the recipe's taps.
        extra = class_map_tap(recipe, card)
        taps = [*(recipe.taps or (card.default_tap,)), *([extra] if extra else [])]
        # Behind them all those of the local head, if the stored features come from the same pass.
        self._pooled, local = len(taps), shared_taps(recipe, card)
        self.engine: Engine = load(recipe.backbone, taps=[*taps, *local], device=device)
        self.pooler = Pooler(recipe, self.engine, path)
        self.viewer = Viewer(recipe, self.engine)
        self._kept = KeptFeatures(recipe, self.viewer)
        self._workers = workers
        self._limits = {} if max_pixels is None else {"max_pixels": max_pixels}

    @property
    def depends_on(self) -> list[object]:
        """What its rows depend on beside the recipe: the network's graph and preprocessing, and the detector's."""
        card = self.engine.card
        sees = [card.channel_order, card.mean, card.std, card.layout, card.input_size]
        looks = [self.viewer.detector.card.digest] if self.recipe.passes == "detector" else []
        return [card.digest, sees, self._pooled_tensors, *looks, *self.pooler.depends_on]

    @property
    def identity(self) -> dict[str, object]:
        """The network and its taps, as what is learned on them remembers them."""
        return {"backbone": self.engine.card.digest[:16], "taps": self._pooled_tensors}

    @property
    def _pooled_tensors(self) -> list[str]:
        return [tap.tensor for tap in self.engine.taps[: self._pooled]]

    @property
    def runs_on(self) -> str:
        """The number format and the device."""
        return f"in {self.engine.precision} on {self.engine.device}"

    def sample(self) -> RawFeatures[None]:
        """Return rows of any values; they are the network's own only where they grow with its map."""
        side = self.recipe.size
        image = np.zeros((side, side, 3), np.uint8)
        if self.pooler.grows:
            return next(self.one_by_one([(None, image)]))
        prepared = _Prepared(Facts("<sample>", side, side), self.viewer.views(Decoded(image, side, side)), None)
        pending = _Pending(None, prepared)
        # Not random numbers: NumPy's generators take 5 ms to import.
        maps = [np.linspace(0, 1, 16 * tap.channels, dtype=np.float32).reshape(1, -1, 4, 4) for tap in self.engine.taps]
        for at in range(len(prepared.views)):
            self._take([(pending, at)], maps)
        return pending.seen()

    def map_of(self, image: ImageLike) -> ConvMap:
        """Return the map of the first tap for the whole image."""
        decoded = decode(image, longest=self.viewer.longest, **self._limits)
        (maps, *_) = self.engine.run(self.viewer.sized(decoded.pixels)[None])
        return ConvMap(maps[0], (0.0, 0.0, float(decoded.width), float(decoded.height)))

    def one_by_one(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False
    ) -> Generator[RawFeatures[T], None, None]:
        """Look at images with all cores on each, without threads; raises `ImageError` for a bad one."""
        for key, image in items:
            pending = _Pending(key, self._prepare(image, is_query=is_query))
            for at, view in enumerate(pending.prepared.views):
                self._take([(pending, at)], self.engine.run(view.pixels[None]))
            yield pending.seen()

    def stream(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False
    ) -> Generator[list[RawFeatures[T] | Description[T]], None, None]:
        """Look at any number of (key, image), as they come; what failed comes described, with its error.

        At most some hundred images are held at a time, and the order may be another. Close it where it is left
        early.
        """
        failed: list[Description[T]] = []
        prepare = partial(self._prepare, is_query=is_query)
        with closing(prepared_ahead(items, prepare, workers=self._workers)) as prepared:
            while (first := next(prepared, None)) is not None:
                batches = _batches(chain((first,), prepared), failed)
                for members, maps in self.engine.stream(batches):
                    yield [*self._take(members, maps), *_emptied(failed)]
                yield [*_emptied(failed)]

    def _prepare(self, image: ImageLike, *, is_query: bool = False) -> _Prepared:
        """Decode an image and cut its views."""
        longest = max(self.viewer.longest, self._kept.longest)
        decoded = decode(image, longest=longest, **self._limits)
        facts = Facts(label(image), decoded.width, decoded.height, decoded.taken, decoded.frames, decoded.frame)
        views = self.viewer.views(decoded)
        if self.engine.card.input_size is None:
            for view in views:
                self._check_size(view, facts)
        elsewhere = is_query or self._pooled == len(self.engine.taps)  # not from the pass that is to come
        features = self._kept.of(decoded, is_query=is_query) if elsewhere else None
        return _Prepared(facts, views, features, is_query)

    def _check_size(self, view: View, facts: Facts) -> None:
        least = min(view.pixels.shape[:2])
        if least < SMALL and least < self._least_side:
            raise ImageError(facts.name, f"too small for the network: {facts.width} × {facts.height} pixels")

    @cached_property
    def _least_side(self) -> int:
        """The shortest side for which the network has a map: without padding, a small image shrinks to none.

        Found by trying, when the first small image comes.
        """
        step = max(8, self.recipe.multiple)
        for side in range(step, SMALL, step):
            with suppress(UsageError):
                if self.engine.run(np.zeros((1, side, side, 3), np.uint8))[0].size:
                    return side
        return SMALL

    @np.errstate(over="ignore", invalid="ignore")  # an answer that is not finite is told as a bad image
    def _take(self, members: _Members[T], maps: Sequence[NDArray[np.float32]]) -> list[RawFeatures[T]]:
        """Pool the maps of a batch of views; return the images of which that was the last view."""
        for tap, each in zip(self.engine.taps, maps, strict=False):
            if each.shape[1] != tap.channels:
                raise ModelError(
                    f"model {self.engine.card.name}: tap {tap.name} has {each.shape[1]} channels, not the "
                    f"{tap.channels} that its card says; remove the model and add it anew"
                )
        maps, local = maps[: self._pooled], maps[self._pooled :]
        pooled = self.pooler.rows(maps)
        complete = []
        for number, (pending, at) in enumerate(members):
            view = pending.prepared.views[at]
            pending.rows[at] = tuple(rows[number] for rows in pooled.rows)
            # Taps differ in their positions, which have no use for boxes; of anything else they have as many.
            pending.boxes[at] = pooled.placed(view, pending.prepared.facts, len(pending.rows[at][0]))
            if local and at == 0 and not pending.prepared.is_query:
                pending.features = self._features_of_pass([each[number] for each in local], pending.prepared)
            if len(pending.rows) == len(pending.prepared.views):
                complete.append(pending.seen())
        return complete

    def _features_of_pass(self, maps: Sequence[NDArray[np.float32]], prepared: _Prepared) -> LocalFeatures:
        """Return the local features of an image by the maps of its first view, which is the whole."""
        height, width = prepared.views[0].pixels.shape[:2]
        facts = prepared.facts
        return self._kept.of_pass(maps, self.engine.card, view=(width, height), whole=(facts.width, facts.height))


def _batches(
    prepared: Iterable[tuple[T, _Prepared | ImageError]], failed: list[Description[T]]
) -> Iterator[tuple[_Members[T], NDArray[np.uint8]]]:
    """Put views of one shape together, `BATCH` at a time; images that failed go to `failed`.

    Ends early when that is long, so that whoever waits hears of it.
    """
    buckets: dict[tuple[int, ...], _Members[T]] = {}
    waiting = 0
    for key, image in prepared:
        if isinstance(image, ImageError):
            failed.append(Description(key, error=image))
            if len(failed) >= FAILURES:
                break
            continue
        pending = _Pending(key, image)
        for at, view in enumerate(image.views):
            bucket = buckets.setdefault(view.pixels.shape, [])
            bucket.append((pending, at))
            waiting += 1
            if len(bucket) == BATCH or waiting == WAITING:
                fullest = max(buckets, key=lambda shape: len(buckets[shape]))
                waiting -= len(buckets[fullest])
                yield _stacked(buckets.pop(fullest))
    for members in buckets.values():
        yield _stacked(members)


def _stacked(members: _Members[T]) -> tuple[_Members[T], NDArray[np.uint8]]:
    return members, np.stack([pending.prepared.views[at].pixels for pending, at in members])


def _emptied(failed: list[Description[T]]) -> list[Description[T]]:
    told = list(failed)
    failed.clear()
    return told
