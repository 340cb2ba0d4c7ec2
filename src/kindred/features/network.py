"""Local features from a network: any model whose card has a table `[local]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, check_whole, l2_normalise
from kindred.backbones import Engine, load_card
from kindred.backbones.card import Card, LocalHead
from kindred.backbones.further import FurtherGraph
from kindred.errors import ModelError
from kindred.features.local import LocalFeatures
from kindred.features.maps import keypoints_of, sample
from kindred.images import resize

__all__ = ["LocalNetwork", "features_from_maps", "find_local", "local_head", "local_taps"]

Maps = Sequence[NDArray[np.float32]]
COVERED = 16.0
"""Approximate radius in pixels of the region of a descriptor: twice the stride of typical maps."""
QUARTERS = 4


class LocalNetwork:
    """Extracts local features with a network that has a local head, on the CPU. Thread-safe.

    name_or_path, threads: as in `kindred.backbones.load`. describe: the path of the second graph, None for the file
    named in the card, in the folder of the first. Raises ModelError if the model is missing, has no local head, or does
    not match its card.
    """

    def __init__(self, name_or_path: str | Path, *, describe: Path | None = None, threads: int | None = None) -> None:
        from kindred.backbones.openvino import OpenVINOEngine

        card, path = load_card(name_or_path)
        self.card, self.head = card, local_head(card)
        self.taps = local_taps(card) if self.head.descriptors else tuple(tap.name for tap in card.taps)
        precision = self.head.precision
        self._engine: Engine = OpenVINOEngine(card, path, taps=self.taps, threads=threads, precision=precision)
        self._describe: _Describer | None = None
        if self.head.describe:
            self._describe = _Describer(describe or path.with_name(self.head.describe), self.head, threads=threads)

    @property
    def depends_on(self) -> list[object]:
        """Everything the features depend on: the digests of the graphs."""
        return [self.card.digest, self.head.describe_digest]

    def find(
        self, image: NDArray[np.uint8], *, count: int, longest: int, turns: int = 1, upright: int = 0
    ) -> LocalFeatures:
        """Find and describe the keypoints of an RGB image (H, W, 3), reduced to `longest` pixels on its longer side.

        With `turns` of 4, the image rotated by 90, 180 and 270 degrees is described too, and the features of all four
        are returned, as networks are not invariant to rotation. With `upright`, the image is first described unrotated
        and reduced to that many pixels, as networks are hardly invariant to scale. At most `count` are
        returned of each. Points are in pixels of the given image.
        """
        check_whole(count=count, longest=longest, turns=turns, **({"upright": upright} if upright else {}))
        found = self._features_at(image, longest, count=count, turns=turns)
        if 0 < upright < min(longest, max(image.shape[:2])):
            found = [*self._features_at(image, upright, count=count, turns=1), *found]
        return joined(found)

    def _features_at(self, image: NDArray[np.uint8], longest: int, *, count: int, turns: int) -> list[LocalFeatures]:
        """Return the features of an image, reduced and rotated, points in pixels of the image."""
        height, width = image.shape[:2]
        reduced = resize(image, longest=longest)
        parts = []
        for quarter in range(min(turns, QUARTERS)):
            found = self._of(np.ascontiguousarray(np.rot90(reduced, quarter)), count=count)
            parts.append(turned_back(found, quarter).scaled(width / reduced.shape[1], height / reduced.shape[0]))
        return parts

    def _of(self, pixels: NDArray[np.uint8], *, count: int) -> LocalFeatures:
        """Return the features of an image at its own size."""
        height, width = pixels.shape[:2]
        (left, top), padded = _padded(pixels, self.head.multiple)
        maps = [each[0] for each in self._engine.run(padded[None])]
        if self._describe is None:
            return features_from_maps(maps, self.head, size=(width, height), count=count, corner=(left, top))
        named = dict(zip(self.taps, maps, strict=True))
        scores = _cropped(named[self.head.scores], (left, top), (width, height))
        points, _ = keypoints_of(scores, count=count)
        window = np.array((left, top, width, height), np.float32)
        descriptors = self._describe(named, points + window[:2], window)
        return _features(points, descriptors, self.head, (width, height))


class _Describer:
    """The second graph of a local head: computes descriptors at points from the maps of the first."""

    def __init__(self, path: Path, head: LocalHead, *, threads: int | None) -> None:
        self._graph = FurtherGraph(path, head.describe_digest, threads=threads)
        self._path, self._dimension = path, head.dimension
        self._inputs = self._graph.inputs.keys()
        if "points" not in self._inputs:
            found = ", ".join(sorted(self._inputs))
            raise ModelError(f"{path}: the graph takes {found}; expected maps, points and window")

    def __call__(
        self, maps: dict[str, NDArray[np.float32]], points: NDArray[np.float32], window: NDArray[np.float32]
    ) -> Vectors:
        """Return the unit descriptors (N, D) at points (N, 2) of the padded image."""
        if not len(points):
            return np.empty((0, self._dimension), np.float32)
        missing = self._inputs - maps.keys() - {"points", "window"}
        if missing:
            raise ModelError(f"{self._path}: the graph takes {min(missing)!r}, which is not a tap of the card")
        given = {name: maps[name][None] for name in self._inputs & maps.keys()} | {"points": points}
        if "window" in self._inputs:
            given["window"] = window
        found = self._graph.run(given)[0].astype(np.float32)
        if found.shape != (len(points), self._dimension):
            raise ModelError(
                f"{self._path}: gives descriptors {found.shape} for {len(points)} points; "
                f"its card declares {self._dimension} components"
            )
        return l2_normalise(np.nan_to_num(found))


def find_local(
    image: NDArray[np.uint8],
    *,
    model: str = "kin",
    count: int = 150,
    longest: int = 320,
    turns: int = 1,
    upright: int = 0,
) -> LocalFeatures:
    """Find and describe the keypoints of an RGB image (H, W, 3) with a model that has a local head.

    The model is loaded for this call; for several images, use a `LocalNetwork`. The other options are those of
    `LocalNetwork.find`.
    """
    return LocalNetwork(model).find(image, count=count, longest=longest, turns=turns, upright=upright)


def local_head(card: Card) -> LocalHead:
    """Return the local head of a model; raises ModelError if it has none."""
    if card.local is None:
        raise ModelError(f"model {card.name} has no local features: its card has no table [local]")
    return card.local


def local_taps(card: Card) -> tuple[str, ...]:
    """Return the taps of scores and descriptors, in the order of `features_from_maps`."""
    head = local_head(card)
    return (head.scores, head.descriptors) if head.descriptors else (head.scores,)


def features_from_maps(
    maps: Maps, head: LocalHead, *, size: tuple[int, int], count: int, corner: tuple[int, int] = (0, 0)
) -> LocalFeatures:
    """Return the features of an image of `size` (width, height) from score map (1, H, W) and descriptors (C, h, w).

    corner: left and top of the image in the padded image, in pixels. Points are in pixels of the image.
    """
    scores, descriptors = maps
    points, _ = keypoints_of(_cropped(scores, corner, size), count=count)
    place = points + np.array(corner, np.float32)
    stride = max(1, round(scores.shape[2] / descriptors.shape[2]))
    return _features(points, sample(descriptors, place, stride=stride, centre=head.centre), head, size)


def joined(found: Sequence[LocalFeatures]) -> LocalFeatures:
    """Concatenate the features of several passes over one image."""
    first = found[0]
    if len(found) == 1:
        return first
    turns = tuple(chain.from_iterable(each.turns or (0,) * max(1, len(each.passes)) for each in found))
    return replace(
        first,
        passes=tuple(chain.from_iterable(each.passes or (len(each),) for each in found)),
        turns=turns if any(turns) else (),
        points=np.concatenate([each.points for each in found]),
        descriptors=np.concatenate([each.descriptors for each in found]),
        scales=np.concatenate([each.scales for each in found]),
    )


def turned_back(features: LocalFeatures, quarter: int) -> LocalFeatures:
    """Map the features of an image rotated counter-clockwise by `quarter` · 90° back to the upright image."""
    assert features.frame is not None
    _, _, width, height = features.frame
    points = features.points
    for _ in range(quarter % QUARTERS):  # one turn clockwise: x y of a w × h image go to h − y, x
        points = np.stack((height - points[:, 1], points[:, 0]), axis=1)
        width, height = height, width
    turns = (quarter % QUARTERS,) if quarter % QUARTERS else ()
    return replace(features, points=points.astype(np.float32), frame=(0.0, 0.0, width, height), turns=turns)


def _features(
    points: NDArray[np.float32], descriptors: Vectors, head: LocalHead, size: tuple[int, int]
) -> LocalFeatures:
    frame = (0.0, 0.0, float(size[0]), float(size[1]))
    scales = np.full(len(points), COVERED, np.float32)
    return LocalFeatures(points + np.float32(0.5), descriptors, scales, frame, ratio=head.ratio)


def _cropped(scores: NDArray[np.float32], corner: tuple[int, int], size: tuple[int, int]) -> NDArray[np.float32]:
    (left, top), (width, height) = corner, size
    return scores[0, top : top + height, left : left + width]


def _padded(pixels: NDArray[np.uint8], multiple: int) -> tuple[tuple[int, int], NDArray[np.uint8]]:
    """Return the left and top padding, and the image padded to multiples by repeating its border."""
    below, right = -pixels.shape[0] % multiple, -pixels.shape[1] % multiple
    left, top = right // 2, below // 2
    if not below and not right:
        return (0, 0), pixels
    return (left, top), np.pad(pixels, ((top, below - top), (left, right - left), (0, 0)), mode="edge")
