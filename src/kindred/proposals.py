"""Region proposals without a detector, from the activations of a feature map.

The energy of a map, the norm over its channels, is high on objects and low on the background, and single channels are
high on parts of objects. Candidates are the connected components above several thresholds; the score of a candidate
is how much it stands out from its surroundings. The deepest maps work best: shallow ones respond to edges.

On 198 phone photos of DVD covers (MobileNetV2 at 320 pixels; ground truth from SIFT matches) the first box has an IoU
above 0.5 with the cover in 82 % of the photos, the best of twenty in 96 %; for a COCO detector, 74 % and 100 %.

Nested candidate regions: Uijlings et al. 2013 (selective search). Objectness as the contrast between a box and its
surroundings: Alexe, Deselaers and Ferrari 2012; Zitnick and Dollár 2014 (edge boxes). Mopuri and Babu 2015 pool such
proposals for retrieval (OLDFP).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import check_whole
from kindred.errors import UsageError
from kindred.regions import boxes_to_pixels, connected_components, non_maximum_suppression

__all__ = ["activation_proposals", "boxes_to_pixels", "non_maximum_suppression", "objectness"]

UPSAMPLING = 2
"""Factor by which the map is upsampled along each side: borders of objects seldom coincide with those of cells."""

RING = 0.25
"""Width of the ring around a box, as a fraction of its side; at least one cell."""

ROUNDING = 1e-6
"""A map whose standard deviation is below this fraction of its largest value is constant up to rounding."""

Floats = NDArray[np.floating[Any]]
Energy = NDArray[np.float64]


def activation_proposals(
    maps: Floats, *, count: int = 20, channels: int = 8, levels: int = 8, iou: float = 0.6, smallest: float = 0.02
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Propose up to `count` boxes in a map (C, H, W): (R, 4) in cells, x0 y0 x1 y1, and scores (R,), best first.

    Candidates are the boxes around the 4-connected components above each of `levels` thresholds, evenly spaced
    between the minimum and the maximum, of the energy and of the `channels` channels of largest variance; those
    smaller than the fraction `smallest` of the area are dropped. They are ranked by the `objectness` of the energy,
    followed by non-maximum suppression at an IoU of `iou`. A constant map, and one of a single cell, gives one box of
    score 0, the whole map. Raises UsageError for another shape, for values that are not finite, and for options out
    of range.
    """
    check_whole(count=count, levels=levels)
    x = _checked(maps, channels)
    flat = x.reshape(len(x), -1)
    energy = np.sqrt(np.einsum("cp,cp->p", flat, flat))
    varied = np.argsort(-flat.std(axis=1), kind="stable")[:channels]
    layers = _upsampled(np.concatenate([energy[None], flat[varied]]).reshape(-1, *x.shape[1:]))
    boxes = _candidates(layers, levels)
    boxes = boxes[_areas(boxes) >= smallest * layers[0].size]
    scores = objectness(layers[0], boxes)
    kept = non_maximum_suppression(boxes, scores, iou=iou, count=count)
    kept = kept[scores[kept] > 0]
    if not kept.size:
        return np.array([[0, 0, *x.shape[:0:-1]]], np.float32), np.zeros(1, np.float32)
    return (boxes[kept] / UPSAMPLING).astype(np.float32), scores[kept].astype(np.float32)


def _checked(maps: Floats, channels: int) -> NDArray[np.float32]:
    if maps.ndim != 3 or min(maps.shape) < 1:
        raise UsageError(f"maps: got shape {maps.shape}; expected (C, H, W), none empty")
    if channels < 0:
        raise UsageError(f"channels: got {channels}; expected at least 0")
    if not np.isfinite(maps).all():
        raise UsageError("maps: got NaN or infinity; expected finite numbers")
    return np.asarray(maps, np.float32)


def objectness(energy: Floats, boxes: NDArray[np.int64]) -> Energy:
    """Score how much boxes (R, 4), in cells, stand out from their surroundings in a map of energy (H, W): (R,).

    The score is the mean inside the box minus the mean of the ring around it, in standard deviations of the map,
    times √(n·m / (n + m)) for n cells inside and m in the ring. This is the two-sample statistic for a difference of
    means, so a large box needs less contrast than a single cell. A box without a ring, the whole map, has score 0.
    """
    height, width = energy.shape
    deviation = float(np.std(energy))
    x0, y0, x1, y1 = boxes.T
    across, down = (np.maximum(1, np.round(RING * side)).astype(np.int64) for side in (x1 - x0, y1 - y0))
    outer = np.stack([x0 - across, y0 - down, x1 + across, y1 + down], axis=1)
    outer = np.clip(outer, 0, [width, height, width, height])
    table = np.zeros((height + 1, width + 1))
    table[1:, 1:] = energy.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    inside, around = _sums(table, boxes), _sums(table, outer)
    n = _areas(boxes)
    m = _areas(outer) - n
    contrast = inside / n - (around - inside) / np.maximum(m, 1)
    weight = np.sqrt(n * m / (n + m))
    flat = deviation <= ROUNDING * float(np.abs(energy).max())
    scores: Energy = np.zeros(len(boxes)) if flat else contrast * weight / deviation
    return scores


def _upsampled(layers: Floats) -> Energy:
    """Interpolate (L, H, W) linearly between the centres of cells; constant beyond the outermost centres."""
    height, width = layers.shape[1:]
    upsampled: Energy = _weights(height) @ layers @ _weights(width).T
    return upsampled


def _weights(length: int) -> Energy:
    """Return the interpolation weights (UPSAMPLING · length, length) along a side."""
    middles = (np.arange(UPSAMPLING * length) + 0.5) / UPSAMPLING - 0.5
    distances = np.abs(np.clip(middles, 0, length - 1)[:, None] - np.arange(length))
    weights: Energy = np.maximum(0, 1 - distances)
    return weights


def _candidates(layers: Energy, levels: int) -> NDArray[np.int64]:
    """Return the distinct boxes of the components of every layer (L, H, W) above each threshold, in a fixed order."""
    height, width = layers.shape[1:]
    low, high = layers.min(axis=(1, 2)), layers.max(axis=(1, 2))
    thresholds = low + (high - low) * np.arange(1, levels + 1)[:, None] / (levels + 1)
    masks = layers > thresholds[..., None, None]
    parts = connected_components(masks.reshape(-1, height, width))
    _, y, x = np.nonzero(parts)
    part = parts[parts > 0] - 1
    boxes = np.tile([width, height, 0, 0], (part.max(initial=-1) + 1, 1))
    for column, values in enumerate((x, y)):
        np.minimum.at(boxes[:, column], part, values)
        np.maximum.at(boxes[:, column + 2], part, values + 1)
    keys = np.ravel_multi_index(tuple(boxes.T), (width, height, width + 1, height + 1))
    return boxes[np.unique(keys, return_index=True)[1]]


def _areas(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _sums(table: Energy, boxes: NDArray[np.int64]) -> Energy:
    """Return the sum inside each box from an integral image (H + 1, W + 1)."""
    x0, y0, x1, y1 = boxes.T
    sums: Energy = table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0]
    return sums
