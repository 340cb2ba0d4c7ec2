"""NetworkExtractor: runs the passes of images through the network and pools their feature maps.

Threads decode images and crop views while the network runs; views of the same shape run as one batch, also when they
come from different images.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from kindred._support.memory import release_freed_memory
from kindred.arrays import Vectors
from kindred.backbones import Engine, load, load_card
from kindred.describer.ahead import prepared_ahead
from kindred.describer.description import Description, ImageInfo, RawFeatures
from kindred.describer.local import LocalFeatureExtractor, label, shared_taps
from kindred.describer.pooled import Pooler, class_map_tap
from kindred.describer.views import View, Viewer
from kindred.errors import ImageError, UsageError
from kindred.features import ConvMap, LocalFeatures
from kindred.features.network import joined
from kindred.images import Decoded, decode
from kindred.recipe import Recipe

if TYPE_CHECKING:
    from kindred.images import ImageLike

__all__ = ["NetworkExtractor"]

T = TypeVar("T")

BATCH = 8
WAITING, MOST_WAITING = 4 * BATCH, 32 * BATCH
WAITING_BYTES = 3 << 22
"""Views that may wait for a full batch of their shape: `WAITING`, or `MOST_WAITING` if they take fewer bytes than this.

With many shapes most batches are then full. The engine compiles code for a shape again if others came between, which
takes as long for a batch of two as for a full one.
"""
FAILURES = 64  # failed images that may wait to be reported
SHAPE_CHANGES = 2
"""After so many batches of another shape than the one before, freed memory is released, which takes 1 to 3 ms.

What was allocated for one shape is reused for the next of the same shape, and hardly for others.
"""
SMALL = 96  # pixels; every network is assumed to accept a side of this length; Inception v3, unpadded, needs 75


@dataclass(frozen=True, eq=False)
class _Prepared:
    info: ImageInfo
    views: list[View]
    features: LocalFeatures | None
    is_query: bool = False
    more: Callable[[], LocalFeatures | None] | None = None


@dataclass(eq=False)
class _Pending(Generic[T]):
    """An image of which some views have not been through the network yet."""

    key: T
    prepared: _Prepared
    rows: dict[int, tuple[Vectors, ...]] = field(default_factory=dict)
    boxes: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    features: LocalFeatures | None = None

    def raw_features(self) -> RawFeatures[T]:
        order = range(len(self.prepared.views))
        taps = len(self.rows[0])
        levels = [np.full(len(self.boxes[at]), self.prepared.views[at].level, np.int64) for at in order]
        return RawFeatures(
            self.key,
            self.prepared.info,
            tuple(np.concatenate([self.rows[at][tap] for at in order]) for tap in range(taps)),
            np.concatenate(levels),
            np.concatenate([self.boxes[at] for at in order]),
            passes=len(order),
            features=self.prepared.features if self.features is None else self.features,
            more=self.prepared.more,
        )


_Members = list[tuple[_Pending[T], int]]


class NetworkExtractor:
    """Extracts pooled vectors or local descriptors with the network of a recipe. Thread-safe.

    Raises `ModelError` if the network is missing, `RecipeError` if the recipe does not fit it.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        device: str | None,
        workers: int,
        max_pixels: int | None,
        threads: int | None = None,
    ) -> None:
        self.recipe = recipe
        card, path = load_card(recipe.backbone)
        # The class maps come last, so that the first taps are those of the recipe.
        extra = class_map_tap(recipe, card)
        taps = [*(recipe.taps or (card.default_tap,)), *([extra] if extra else [])]
        # After them come those of the local head, if the stored features come from the same pass.
        self._pooled, local = len(taps), shared_taps(recipe, card)
        self.engine: Engine = load(recipe.backbone, taps=[*taps, *local], device=device, threads=threads)
        self.pooler = Pooler(recipe, self.engine, path)
        self.viewer = Viewer(recipe, self.engine)
        self._local_features = LocalFeatureExtractor(recipe, self.viewer)
        self._workers = workers
        self._limits = {} if max_pixels is None else {"max_pixels": max_pixels}

    @property
    def depends_on(self) -> list[object]:
        """The weights, preprocessing and taps of the network, the region detector, and any custom pooling code."""
        card = self.engine.card
        preprocessing = [card.channel_order, card.mean, card.std, card.layout, card.input_size]
        detector = [self.viewer.detector.card.digest] if self.recipe.passes == "detector" else []
        return [card.digest, preprocessing, self._pooled_tensors, *detector, *self.pooler.depends_on]

    @property
    def identity(self) -> dict[str, object]:
        """The network and its taps, as recorded in the files of parameters fitted to its features."""
        return {"backbone": self.engine.card.digest[:16], "taps": self._pooled_tensors}

    @property
    def _pooled_tensors(self) -> list[str]:
        return [tap.tensor for tap in self.engine.taps[: self._pooled]]

    @property
    def runs_on(self) -> str:
        """Number format and device, to be printed."""
        return f"in {self.engine.precision} on {self.engine.device}"

    def sample(self) -> RawFeatures[None]:
        """Return rows of random values; a pooling whose dimension depends on the map size runs the network instead."""
        side = self.recipe.size
        image = np.zeros((side, side, 3), np.uint8)
        if self.pooler.size_dependent:
            return next(self.one_by_one([(None, image)]))
        prepared = _Prepared(ImageInfo("<sample>", side, side), self.viewer.views(Decoded(image, side, side)), None)
        pending = _Pending(None, prepared)
        # Not random numbers: NumPy's generators take 5 ms to import.
        maps = [np.linspace(0, 1, 16 * tap.channels, dtype=np.float32).reshape(1, -1, 4, 4) for tap in self.engine.taps]
        for at in range(len(prepared.views)):
            self._pool([(pending, at)], maps)
        return pending.raw_features()

    def map_of(self, image: ImageLike) -> ConvMap:
        """Return the feature map of the first tap for the whole image."""
        decoded = decode(image, longest=self.viewer.longest, **self._limits)
        (maps, *_) = self.engine.run(self.viewer.sized(decoded.pixels)[None])
        return ConvMap(maps[0], (0.0, 0.0, float(decoded.width), float(decoded.height)))

    def one_by_one(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False, lazy: bool = False
    ) -> Generator[RawFeatures[T], None, None]:
        """Extract features image by image, each on all cores; raises `ImageError` for an unusable image.

        With `lazy`, the local features of a query are those of the description pass, if it has any; `more` extracts
        those of its other passes.
        """
        for key, image in items:
            pending = _Pending(key, self._prepare(image, is_query=is_query, lazy=lazy))
            for at, view in enumerate(pending.prepared.views):
                self._pool([(pending, at)], self.engine.run(view.pixels[None]))
            yield pending.raw_features()

    def stream(
        self, items: Iterable[tuple[T, ImageLike]], *, is_query: bool = False, lazy: bool = False
    ) -> Generator[list[RawFeatures[T] | Description[T]], None, None]:
        """Extract features from any number of (key, image); an unusable image yields a `Description` of its error.

        `lazy` is that of `one_by_one`. At most a few hundred images are in memory at a time, and the order may change.
        Close the generator if it is not run to its end.
        """
        failed: list[Description[T]] = []
        prepare = partial(self._prepare, is_query=is_query, lazy=lazy)
        changes, shape = 0, tuple[int, ...]()
        with closing(prepared_ahead(items, prepare, workers=self._workers)) as prepared:
            while (first := next(prepared, None)) is not None:
                batches = _batches(chain((first,), prepared), failed)
                for members, maps in self.engine.stream(batches):
                    yield [*self._pool(members, maps), *_drained(failed)]
                    changes, shape = changes + (_shape(members) != shape), _shape(members)
                    if changes == SHAPE_CHANGES:
                        release_freed_memory()
                        changes = 0
                yield [*_drained(failed)]

    def _prepare(self, image: ImageLike, *, is_query: bool = False, lazy: bool = False) -> _Prepared:
        """Decode an image, crop its views and extract its local features."""
        shared = self._pooled < len(self.engine.taps)
        separate = is_query or not shared  # more local features than those of the description pass
        longest = max(self.viewer.longest, self._local_features.longest if separate else 0)
        decoded = decode(image, longest=longest, **self._limits)
        info = ImageInfo(label(image), decoded.width, decoded.height, decoded.taken, decoded.frames, decoded.frame)
        views = self.viewer.views(decoded)
        if self.engine.card.input_size is None:
            for view in views:
                self._check_size(view, info)
        look = partial(self._local_features.extract, decoded, is_query=is_query, first_look=not shared)
        more = look if lazy and separate and shared else None
        features = look() if separate and more is None else None
        return _Prepared(info, views, features, is_query, more)

    def _check_size(self, view: View, info: ImageInfo) -> None:
        least = min(view.pixels.shape[:2])
        if least < SMALL and least < self._least_side:
            raise ImageError(info.name, f"too small for the network: {info.width} × {info.height} pixels")

    @cached_property
    def _least_side(self) -> int:
        """The shortest side, in pixels, for which the feature map is not empty, as unpadded networks need a minimum.

        Found by trial when the first small image comes.
        """
        step = max(8, self.recipe.multiple)
        for side in range(step, SMALL, step):
            with suppress(UsageError):
                if self.engine.run(np.zeros((1, side, side, 3), np.uint8))[0].size:
                    return side
        return SMALL

    @np.errstate(over="ignore", invalid="ignore")  # output that is not finite is reported as an unusable image
    def _pool(self, members: _Members[T], maps: Sequence[NDArray[np.float32]]) -> list[RawFeatures[T]]:
        """Pool the feature maps of a batch of views; return the images that are complete with it."""
        maps, local = maps[: self._pooled], maps[self._pooled :]
        pooled = self.pooler.rows(maps)
        complete = []
        for number, (pending, at) in enumerate(members):
            view = pending.prepared.views[at]
            pending.rows[at] = tuple(rows[number] for rows in pooled.rows)
            # Only local descriptors, which need no boxes, can differ in number from tap to tap.
            pending.boxes[at] = pooled.boxes_of(view, pending.prepared.info, len(pending.rows[at][0]))
            if local and at == 0:
                pending.features = self._features_of_pass([each[number] for each in local], pending.prepared)
            if len(pending.rows) == len(pending.prepared.views):
                complete.append(pending.raw_features())
        return complete

    def _features_of_pass(self, maps: Sequence[NDArray[np.float32]], prepared: _Prepared) -> LocalFeatures:
        """Return the local features of an image by the maps of its first view, which is the whole.

        Those of a query are followed by the features of its other passes.
        """
        height, width = prepared.views[0].pixels.shape[:2]
        view, whole = (width, height), (prepared.info.width, prepared.info.height)
        first = self._local_features.of_pass(maps, self.engine.card, view=view, whole=whole, is_query=prepared.is_query)
        return first if prepared.features is None else joined([first, prepared.features])


def _batches(
    prepared: Iterable[tuple[T, _Prepared | ImageError]], failed: list[Description[T]]
) -> Iterator[tuple[_Members[T], NDArray[np.uint8]]]:
    """Batch views of the same shape, `BATCH` at a time; images that failed are appended to `failed`.

    Ends early when `failed` is long, so that failures are reported without waiting for a full batch.
    """
    buckets: dict[tuple[int, ...], _Members[T]] = {}
    waiting = held = 0
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
            waiting, held = waiting + 1, held + view.pixels.nbytes
            full = waiting >= (WAITING if held > WAITING_BYTES else MOST_WAITING)
            if full or len(bucket) == BATCH:
                fullest = max(buckets, key=lambda shape: len(buckets[shape]))
                waiting -= len(buckets[fullest])
                held -= sum(each.prepared.views[number].pixels.nbytes for each, number in buckets[fullest])
                yield _stacked(buckets.pop(fullest))
    for members in buckets.values():
        yield _stacked(members)


def _shape(members: _Members[T]) -> tuple[int, ...]:
    """Return the shape of the views of a batch."""
    pending, at = members[0]
    return pending.prepared.views[at].pixels.shape


def _stacked(members: _Members[T]) -> tuple[_Members[T], NDArray[np.uint8]]:
    return members, np.stack([pending.prepared.views[at].pixels for pending, at in members])


def _drained(failed: list[Description[T]]) -> list[Description[T]]:
    drained = list(failed)
    failed.clear()
    return drained
