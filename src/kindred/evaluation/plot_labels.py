"""Labels of a plot: placed beside their marks without overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi, sin
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

__all__ = ["Place", "place_labels"]

Place = tuple[float, float]
Boxes = NDArray[np.float64]
"""Boxes x0 y0 x1 y1 in pixels of the figure, (n, 4)."""

TURNS = (0, 12, 2, -2, 10, -10, 4, -4, 8, -8, 6, -6, 1, -1, 11, -11, 3, -3, 9, -9)  # twelfths of half a circle
# Candidate positions of a label, in typographic points from its mark: right, left, above and below, then all around at
# increasing distances, larger sideways because text is wide.
PLACES: list[Place] = [
    *((9.0, 0.0), (-9.0, 0.0), (7.0, 9.0), (7.0, -9.0), (-7.0, 9.0), (-7.0, -9.0), (0.0, 12.0), (0.0, -12.0)),
    *(
        (round(1.5 * far * cos(turn * pi / 12), 6), round(far * sin(turn * pi / 12), 6))
        for far in (16, 22, 30, 40, 52, 66)
        for turn in TURNS
    ),
]
DISTANCES = np.abs(PLACES).max(axis=1)
LINE_FROM = 12
"""A label at a larger distance, in points, gets a line to its mark."""

MARK = 6
"""Half the side of the square that a mark covers, in pixels."""

STEPS = np.arange(2, 13) / 12
"""Points of the way from a mark to its label, as fractions, that are checked for overlaps."""


def place_labels(axes: Axes, labels: Sequence[Annotation], line: Sequence[Place], *, colour: str) -> None:
    """Move each label to a position where it covers no mark, no other label and no part of `line`, inside the panel.

    If there is none, the position with the smallest penalty is used; a label that is moved far gets a line to its
    mark. `line` is given by its corners in data coordinates. The figure must have been laid out.
    """
    marks = axes.transData.transform([label.xy for label in labels])
    taken = np.concatenate([marks - MARK, marks + MARK], axis=1)
    corners = axes.transData.transform(list(line))
    lines = np.concatenate(
        [np.minimum(corners[:-1], corners[1:]) - 1, np.maximum(corners[:-1], corners[1:]) + 1], axis=1
    )
    for number, (label, mark) in enumerate(zip(labels, marks, strict=True)):
        boxes = _boxes(label, mark)
        ways = _leader_points(mark, boxes)
        penalties = _penalties(axes, boxes, ways, np.delete(taken, number, axis=0), lines)
        best = int(np.argmin(penalties))
        x, y = PLACES[best]
        label.set_position((x, y))
        label.set_horizontalalignment("left" if x > 0 else "right" if x < 0 else "center")
        taken = np.concatenate([taken, boxes[best : best + 1]])
        if DISTANCES[best] > LINE_FROM:
            taken = np.concatenate([taken, np.tile(ways[best], 2) + np.array([-1, -1, 1, 1])])
            style = {"arrowstyle": "-", "color": colour, "lw": 0.7, "shrinkA": 0, "shrinkB": 4}
            # In data coordinates, since a file may be written at another resolution.
            end = axes.transData.inverted().transform(ways[best][-1])
            axes.annotate("", label.xy, xytext=(float(end[0]), float(end[1])), arrowprops=style)


def _boxes(label: Annotation, mark: NDArray[np.float64]) -> Boxes:
    """Return the box of a label at each candidate position; its text is measured once, since that is slow."""
    extent = label.get_window_extent().padded(1)
    figure = label.get_figure(root=True)
    assert figure is not None
    centres = mark + np.array(PLACES) * figure.dpi / 72
    centres[:, 0] += np.sign(PLACES)[:, 0] * extent.width / 2
    half = np.array([extent.width, extent.height]) / 2
    return np.concatenate([centres - half, centres + half], axis=1)


def _leader_points(mark: NDArray[np.float64], boxes: Boxes) -> NDArray[np.float64]:
    """Return points (n, steps, 2) on the lines from a mark to the nearest point of each box, end points last."""
    ends = np.clip(mark, boxes[:, :2], boxes[:, 2:])
    ways: NDArray[np.float64] = mark + (ends - mark)[:, None] * STEPS[:, None]
    return ways


def _penalties(axes: Axes, boxes: Boxes, ways: NDArray[np.float64], others: Boxes, lines: Boxes) -> NDArray[np.float64]:
    """Return the penalty of each position: outside the panel, overlaps, on the line, crossing leader line, distance."""
    panel = axes.bbox.extents
    outside = (boxes[:, :2] < panel[:2]).any(axis=1) | (boxes[:, 2:] > panel[2:]).any(axis=1)
    points = np.tile(ways, 2).reshape(-1, 4)
    crossed = _overlaps(points, others).reshape(len(boxes), len(STEPS), len(others)).any(axis=1).sum(axis=1)
    penalties: NDArray[np.float64] = (
        100.0 * outside
        + 10 * _overlaps(boxes, others).sum(axis=1)
        + 1.5 * _overlaps(boxes, lines).any(axis=1)
        + 3 * np.where(DISTANCES > LINE_FROM, crossed, 0)
        + DISTANCES / 12
    )
    return penalties


def _overlaps(some: Boxes, others: Boxes) -> NDArray[np.bool_]:
    """Return which boxes overlap which, (n, m)."""
    low, high = some[:, None, :2] < others[:, 2:], some[:, None, 2:] > others[:, :2]
    return np.asarray(low.all(axis=2) & high.all(axis=2))
