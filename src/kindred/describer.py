"""Describer: a recipe made ready. Images go in, vectors come out.

The one place where images, backbone, pooling and whitening meet.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, cast
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, l2_normalise
from kindred.backbones import Engine, load
from kindred.errors import ImageError, ModelError, RecipeError, UsageError
from kindred.images import decode, resize, stretch
from kindred.pooling import POOLINGS, pool, rmac_regions
from kindred.recipe import Recipe
from kindred.similarity import SIMILARITIES
from kindred.whitening import PCAWhitening

if TYPE_CHECKING:
    from PIL.Image import Image

    ImageLike = str | Path | bytes | Image | NDArray[np.uint8]

__all__ = ["Described", "Describer", "fit_whitening", "load_whitening", "save_whitening"]

T = TypeVar("T")

BATCH = 8
WAITING = 8 * BATCH  # decoded images that may wait for others of their shape
FAILURES = 64  # failed images that may wait to be told
FEW = 4  # up to so many images, starting the engine's throughput mode costs more than it saves
MOST_WORKERS = 32
SMALL = 96  # pixels of a side that every network is taken to manage; Inception v3, without padding, needs 75
LARGEST_COMPONENT = 8192.0  # an eighth of what half precision holds
VERSION = 1  # raise it when the same recipe comes to give other vectors


@dataclass(frozen=True, eq=False)
class Described(Generic[T]):
    """One image's answer: its vector (D,), or the error that it met.

    Sizes are in pixels of the upright original.
    """

    key: T
    vector: NDArray[np.float32] | None = None
    width: int | None = None
    height: int | None = None
    taken: str | None = None
    error: ImageError | None = None


@dataclass(frozen=True, eq=False)
class _Prepared:
    """An image at the network's input size; `name` is for errors."""

    name: Path | str
    pixels: NDArray[np.uint8]
    width: int
    height: int
    taken: str | None


_Members = list[tuple[T, _Prepared]]


class Describer:
    """A recipe with its network and whitening loaded; any thread may use it.

    `device` is as in `kindred.backbones.load`, `max_pixels` as in `kindred.images.decode`; `workers` threads
    decode. Raises `ModelError` where the network is missing, `RecipeError` where the recipe does not fit it.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        device: str | None = None,
        workers: int | None = None,
        max_pixels: int | None = None,
    ) -> None:
        self.recipe = recipe
        self.whitening = load_whitening(recipe)
        self.engine: Engine = load(recipe.backbone, taps=recipe.tap or None, device=device)
        self._tap = self.engine.taps[0]
        self._workers = workers or _usable_cores()
        self._limits = {} if max_pixels is None else {"max_pixels": max_pixels}
        self.dimension = self._checked_dimension()

    @property
    def fingerprint(self) -> str:
        """What the vectors depend on, as 16 hexadecimal digits; names and places of files do not count."""
        recipe, card = self.recipe, self.engine.card
        does = [recipe.size, recipe.shape, recipe.multiple, recipe.pooling]
        options = sorted((key, float(value)) for key, value in recipe.pooling_options.items())
        sees = [card.channel_order, card.mean, card.std, card.layout, card.input_size, self._tap.tensor]
        parts = hashlib.sha256(json.dumps([VERSION, does, options, card.digest, sees]).encode())
        if self.whitening is not None:
            for array in (self.whitening.mean, self.whitening.projection):
                parts.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
        return parts.hexdigest()[:16]

    def describe(self, images: ImageLike | Sequence[ImageLike]) -> Vectors:
        """Describe images: paths, encoded bytes, Pillow images or uint8 RGB arrays (H, W, 3).

        Returns unit vectors (N, D) float32, in order. Raises `ImageError` for one that cannot be used.
        """
        many = cast("list[ImageLike]", list(images) if isinstance(images, list | tuple) else [images])
        vectors = np.empty((len(many), self.dimension), np.float32)
        few = len(many) <= FEW
        with closing(self._one_by_one(many) if few else self.stream(enumerate(many))) as answers:
            for described in answers:
                if described.error is not None:
                    raise described.error
                vectors[described.key] = described.vector
        return vectors

    def stream(self, items: Iterable[tuple[T, ImageLike]]) -> Generator[Described[T], None, None]:
        """Describe any number of (key, image), as they come; a bad image is an answer with its error.

        Threads decode while the network runs. At most some hundred images are held at a time, and answers may
        come in another order than the images. Close it where it is left early.
        """
        return self._answers(items, self._vectors)

    def _one_by_one(self, images: Sequence[ImageLike]) -> Generator[Described[int], None, None]:
        """Describe images with all cores on each, without threads; raises `ImageError` for a bad one."""
        for number, image in enumerate(images):
            prepared = self._prepare(image)
            (maps,) = self.engine.run(prepared.pixels[None])
            yield from _matched([(number, prepared)], self._vectors(maps))

    def local_vectors(self, images: Iterable[ImageLike]) -> Iterator[Vectors | None]:
        """Yield for each image, in any order, the unit vectors (n, D) that a whitening is learned on.

        That is one, and for R-MAC one for each region; None stands for an image that cannot be used.
        """
        for described in self._answers(((None, image) for image in images), self._local_vectors):
            yield described.vector

    def _answers(
        self, items: Iterable[tuple[T, ImageLike]], vectors_of: Callable[[NDArray[np.float32]], Vectors]
    ) -> Generator[Described[T], None, None]:
        threads = ThreadPoolExecutor(self._workers, thread_name_prefix="kindred-decode")
        decoded = self._decoded(items, threads)
        failed: list[Described[T]] = []
        try:
            while (first := next(decoded, None)) is not None:
                batches = _batches(chain((first,), decoded), failed)
                for members, (maps,) in self.engine.stream(batches):
                    yield from _matched(members, vectors_of(maps))
                    yield from _emptied(failed)
                yield from _emptied(failed)
        finally:
            threads.shutdown(cancel_futures=True)

    def _decoded(
        self, items: Iterable[tuple[T, ImageLike]], threads: ThreadPoolExecutor
    ) -> Iterator[tuple[T, _Prepared | ImageError]]:
        """Decode ahead on threads, in order; only so many that the network never waits."""
        ahead: deque[tuple[T, Future[_Prepared | ImageError]]] = deque()
        for key, image in items:
            ahead.append((key, threads.submit(self._try_prepare, image)))
            if len(ahead) > 4 * self._workers + BATCH:
                done, future = ahead.popleft()
                yield done, future.result()
        while ahead:
            done, future = ahead.popleft()
            yield done, future.result()

    def _try_prepare(self, image: ImageLike) -> _Prepared | ImageError:
        try:
            return self._prepare(image)
        except ImageError as error:
            return error

    def _prepare(self, image: ImageLike) -> _Prepared:
        """Decode and bring to the size that the recipe or, if it takes no other, the network asks for."""
        recipe, fixed = self.recipe, self.engine.card.input_size
        decoded = decode(image, longest=recipe.size if fixed is None else max(fixed), **self._limits)
        if fixed is not None:
            pixels = stretch(decoded.pixels, height=fixed[0], width=fixed[1])
        elif recipe.shape == "stretch":
            pixels = stretch(decoded.pixels, height=recipe.size, width=recipe.size)
        else:
            pixels = resize(decoded.pixels, longest=recipe.size, multiple=recipe.multiple)
        name = image if isinstance(image, str | Path) else f"<{type(image).__name__}>"
        if fixed is None and min(pixels.shape[:2]) < SMALL and min(pixels.shape[:2]) < self._least_side:
            raise ImageError(name, f"too small for the network: {decoded.width} × {decoded.height} pixels")
        return _Prepared(name, pixels, decoded.width, decoded.height, decoded.taken)

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
    def _vectors(self, maps: NDArray[np.float32]) -> Vectors:
        """Pool, whiten and normalise maps (B, C, h, w) to unit vectors (B, D)."""
        if maps.shape[1] != self._tap.channels:
            raise ModelError(
                f"model {self.engine.card.name}: tap {self._tap.name} has {maps.shape[1]} channels, not the "
                f"{self._tap.channels} that its card says; remove the model and add it anew"
            )
        method, options = self.recipe.pooling, self.recipe.pooling_options
        if self.whitening is None:
            return l2_normalise(pool(maps, method, **options))
        if method == "rmac":  # Tolias et al. 2016 whiten the vector of each region before the sum
            return pool(maps, method, whitening=self.whitening.transform, **options)
        return self.whitening.transform(l2_normalise(pool(maps, method, **options)))

    def _local_vectors(self, maps: NDArray[np.float32]) -> Vectors:
        """Pool maps (B, C, h, w) to the unit vectors (B, n, D) that are whitened."""
        if self.recipe.pooling == "rmac":
            return l2_normalise(rmac_regions(maps, **self.recipe.pooling_options))  # type: ignore[arg-type]
        return self._vectors(maps)[:, None]

    def _checked_dimension(self) -> int:
        """Return D. Raises `RecipeError` where recipe, network and whitening do not go together."""
        _check_similarity(self.recipe)
        recipe, options, channels = self.recipe, self.recipe.pooling_options, self._tap.channels
        ones = np.ones((1, channels, 4, 4), np.float32)
        try:
            pool(ones, recipe.pooling, **options)  # raises for an unknown name or option
            length = POOLINGS[recipe.pooling].dimension
            if length(channels, 1, 1, **options) == length(channels, 4096, 4096, **options):
                return int(self._vectors(ones).shape[1])
            if recipe.shape == "stretch" or self.engine.card.input_size is not None:
                square = np.zeros((recipe.size, recipe.size, 3), np.uint8)
                (maps,) = self.engine.run(self._prepare(square).pixels[None])
                return int(self._vectors(maps).shape[1])
        except (UsageError, ImageError, RecipeError) as error:
            raise RecipeError(f"recipe {recipe.name!r} does not fit its parts: {error}") from error
        raise RecipeError(
            f"recipe {recipe.name!r}: vectors of pooling {recipe.pooling!r} grow with the image; "
            'expected shape = "stretch"'
        )


def _check_similarity(recipe: Recipe) -> None:
    if recipe.similarity not in SIMILARITIES:
        raise RecipeError(
            f"recipe {recipe.name!r}: similarity is {recipe.similarity!r}; expected {', '.join(SIMILARITIES)}"
        )
    if recipe.similarity == "chi_square" and recipe.whitening:
        raise RecipeError(
            f"recipe {recipe.name!r}: chi_square compares histograms, which whitened vectors are not; "
            "take another similarity, or no whitening"
        )


def _usable_cores() -> int:
    confined = getattr(os, "sched_getaffinity", None)  # Linux can confine a process to some of them
    cores = len(confined(0)) if confined is not None else os.cpu_count() or 1
    return min(MOST_WORKERS, cores)


def _batches(
    decoded: Iterable[tuple[T, _Prepared | ImageError]], failed: list[Described[T]]
) -> Iterator[tuple[_Members[T], NDArray[np.uint8]]]:
    """Put images of one shape together, `BATCH` at a time; those that failed go to `failed`.

    Ends early when that is long, so that whoever waits hears of it.
    """
    buckets: dict[tuple[int, ...], _Members[T]] = {}
    waiting = 0
    for key, image in decoded:
        if isinstance(image, ImageError):
            failed.append(Described(key, error=image))
            if len(failed) >= FAILURES:
                break
            continue
        bucket = buckets.setdefault(image.pixels.shape, [])
        bucket.append((key, image))
        waiting += 1
        if len(bucket) == BATCH or waiting == WAITING:
            fullest = max(buckets, key=lambda shape: len(buckets[shape]))
            waiting -= len(buckets[fullest])
            yield _stacked(buckets.pop(fullest))
    for members in buckets.values():
        yield _stacked(members)


def _stacked(members: _Members[T]) -> tuple[_Members[T], NDArray[np.uint8]]:
    return members, np.stack([image.pixels for _, image in members])


def _matched(members: _Members[T], vectors: Vectors) -> Iterator[Described[T]]:
    """Give each image of a batch its vector."""
    for (key, image), vector in zip(members, vectors, strict=True):
        if np.isfinite(vector).all():
            yield Described(key, vector, image.width, image.height, image.taken)
        else:
            yield Described(key, error=ImageError(image.name, "the network has no finite answer"))


def _emptied(failed: list[Described[T]]) -> Iterator[Described[T]]:
    while failed:
        yield failed.pop(0)


def fit_whitening(
    recipe: Recipe,
    images: Iterable[Path],
    *,
    dimension: int | None = None,
    power: float = 0.5,
    progress: Callable[[int], None] | None = None,
) -> PCAWhitening:
    """Learn a PCA whitening for `recipe` on `images`, which should not be those that will be searched.

    For R-MAC it is learned on the vectors of all regions, as it is applied to them (Tolias et al. 2016).
    Unusable images are left out. `progress` is called with the number of images done. Raises `UsageError`
    where there are too few.
    """
    describer = Describer(replace(recipe, whitening="", dimension=0))

    def rows() -> Iterator[Vectors]:
        held: list[Vectors] = []
        for done, vectors in enumerate(describer.local_vectors(images), 1):
            if vectors is not None:
                held.append(vectors)
            if len(held) == 256:
                yield np.concatenate(held)
                held.clear()
            if progress is not None:
                progress(done)
        if held:
            yield np.concatenate(held)

    return PCAWhitening.fit(rows(), dimension=dimension, power=power)


def save_whitening(file: Path, whitening: PCAWhitening) -> None:
    """Write a whitening as `.npz`, which appears complete or not at all; its projection at half precision."""
    # What it returns is normalised, so that the projection's scale is free: this one fits half precision.
    scale = LARGEST_COMPONENT / np.abs(whitening.projection).max()
    data = io.BytesIO()
    np.savez(
        data,
        mean=whitening.mean,
        projection=(whitening.projection * scale).astype(np.float16),
        power=np.array(whitening.power),
    )
    part = file.with_name(f"{file.name}.part")
    part.write_bytes(data.getvalue())
    part.replace(file)


def load_whitening(recipe: Recipe) -> PCAWhitening | None:
    """Load the recipe's whitening, bundled or from its file, cut to the recipe's dimension.

    Raises `RecipeError` where it cannot be read or has fewer components than that.
    """
    if not recipe.whitening:
        return None
    bundled = files("kindred").joinpath("recipes", f"{recipe.whitening}.npz")
    try:
        data = bundled.read_bytes() if bundled.is_file() else Path(recipe.whitening).read_bytes()
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            whitening = PCAWhitening.from_arrays(dict(arrays))
    except (OSError, ValueError, TypeError, EOFError, BadZipFile, zlib.error, ModelError) as error:
        why = getattr(error, "strerror", None) or error
        raise RecipeError(
            f"recipe {recipe.name!r}: its whitening {recipe.whitening!r} cannot be read ({why}); "
            "make one with kindred fit"
        ) from error
    if recipe.dimension > whitening.dimension:
        raise RecipeError(
            f"recipe {recipe.name!r}: dimension is {recipe.dimension}; expected at most the "
            f"{whitening.dimension} of its whitening"
        )
    kept = recipe.dimension or whitening.dimension
    return replace(whitening, projection=whitening.projection[:kept])
