"""Lay one grey picture over another: find the scale and shift of each axis at which they agree best.

Copies are cut at the edges and resized; the position of what is left is found by correlation over a few scales
(Kuglin and Hines 1975) and refined by Gauss-Newton steps on pictures of zero mean and unit variance (Lucas and
Kanade 1981), so that brightness and contrast do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Placement", "laid_over", "placed", "refined"]

Grey = NDArray[np.float32]

SCALES = np.exp(np.linspace(-0.25, 0.25, 11))
"""Scales tried for a cut copy, 5 % apart: of a picture cut by a tenth at each edge four fifths are left."""
LEAST_OVERLAP = 0.6
"""Share of each picture that must lie on the other."""
STEPS = 12
STILL = 0.02
"""Pixels that the corners move in a step from which on nothing more is gained."""


@dataclass(frozen=True)
class Placement:
    """Where a point of the first picture lies in the second: y · scale_y + shift_y, x · scale_x + shift_x.

    Coordinates run from −1 to 1 between the edges of each picture, so that a placement holds at any size.
    """

    scale_y: float = 1.0
    scale_x: float = 1.0
    shift_y: float = 0.0
    shift_x: float = 0.0

    @property
    def overlap(self) -> float:
        """The share of the larger picture's area that both show; 1 for two pictures that show the same."""
        parts = [
            max(0.0, min(1.0, shift + scale) - max(-1.0, shift - scale)) / (2 * max(1.0, scale))
            for scale, shift in ((self.scale_y, self.shift_y), (self.scale_x, self.shift_x))
        ]
        return parts[0] * parts[1]


def laid_over(second: Grey, placement: Placement, shape: tuple[int, int]) -> tuple[Grey, slice, slice]:
    """Return the part of the second picture that lies on a first of `shape`, and the rows and columns it covers."""
    rows, y, fraction_y = _samples(shape[0], second.shape[0], placement.scale_y, placement.shift_y)
    columns, x, fraction_x = _samples(shape[1], second.shape[1], placement.scale_x, placement.shift_x)
    down = second[y] * (1 - fraction_y)[:, None] + second[y + 1] * fraction_y[:, None]
    across: Grey = (down[:, x] * (1 - fraction_x) + down[:, x + 1] * fraction_x).astype(np.float32, copy=False)
    return across, rows, columns


def _samples(
    length: int, other: int, scale: float, shift: float
) -> tuple[slice, NDArray[np.int64], NDArray[np.float32]]:
    """Return which of `length` pixels lie inside the other, and for these the pixel before and the way to the next."""
    centres = (2 * np.arange(length) + 1) / length - 1
    at = ((centres * scale + shift + 1) * other - 1) / 2
    inside = np.flatnonzero((at >= -0.5) & (at <= other - 0.5))
    if not len(inside):
        return slice(0, 0), np.zeros(0, np.int64), np.zeros(0, np.float32)
    covered = slice(int(inside[0]), int(inside[-1]) + 1)
    at = np.clip(at[covered], 0, other - 1)
    before = np.minimum(at.astype(np.int64), max(0, other - 2))
    return covered, before, (at - before).astype(np.float32)


def refined(first: Grey, second: Grey, start: Placement, *, steps: int = STEPS) -> tuple[Placement, float]:
    """Return the placement near `start` at which the pictures correlate best, and the correlation there.

    Pictures are (h, w) float32, two pixels at least on each side. The correlation is −1 where they hardly overlap.
    """
    best, best_score = start, -1.0
    here = start
    for _ in range(steps + 1):
        if here.overlap < LEAST_OVERLAP:
            break
        part, rows, columns = laid_over(second, here, (first.shape[0], first.shape[1]))
        ground = _standard(first[rows, columns])
        over = _standard(part)
        score = float(np.mean(ground * over))
        if score <= best_score + 1e-5 and here is not start:
            if score > best_score:
                best, best_score = here, score
            break
        best, best_score = here, score
        step = _step(ground, over, rows, columns, first.shape)
        # A step in pixels of the first picture's frame; coordinates run over 2.
        here = Placement(
            here.scale_y * (1 + step[0]),
            here.scale_x * (1 + step[2]),
            here.shift_y + here.scale_y * step[1],
            here.shift_x + here.scale_x * step[3],
        )
        if np.abs(step).max() * max(first.shape) < STILL:
            continue
    return best, best_score


def _standard(picture: Grey) -> Grey:
    centred = picture - picture.mean()
    standard: Grey = centred / max(float(np.sqrt(np.mean(centred * centred))), 1e-6)
    return standard


def _step(ground: Grey, over: Grey, rows: slice, columns: slice, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the change of scale and shift (4,), rows first, that brings `over` nearer to `ground`."""
    slope_y, slope_x = np.gradient(over)
    y = ((2 * np.arange(rows.start, rows.stop) + 1) / shape[0] - 1).astype(np.float32)[:, None]
    x = ((2 * np.arange(columns.start, columns.stop) + 1) / shape[1] - 1).astype(np.float32)
    slope_y, slope_x = slope_y * (shape[0] / 2), slope_x * (shape[1] / 2)
    slopes = np.stack([slope_y * y, slope_y, slope_x * x, slope_x]).reshape(4, -1)
    slopes -= slopes.mean(axis=1, keepdims=True)
    gram = (slopes @ slopes.T).astype(np.float64)
    gram[np.diag_indices(4)] += 1e-3 * np.trace(gram) / 4 + 1e-9
    step = np.linalg.solve(gram, slopes @ (ground - over).ravel())
    return np.clip(step, -0.06, 0.06)


def placed(first: Grey, second: Grey, *, stretch: float = 1.0) -> Placement:
    """Return the scale and shift, of those tried, at which two small pictures correlate best.

    stretch: (width / height of the second) / (width / height of the first).
    """
    height, width = first.shape
    ground, edges = _edges(first), _edges(second)
    shown = np.zeros((len(SCALES), height, width), np.float32)
    for scale, picture in zip(SCALES, shown, strict=True):
        # A point of the first lies at `scale` in the second: the second is shown smaller where it shows more.
        part, rows, columns = laid_over(edges, _scaled(scale, stretch), (height, width))
        picture[rows, columns] = part
    size = (height + height // 4, width + width // 4)  # shifts of a fourth do not reach around the edge
    correlation = np.fft.irfft2(np.fft.rfft2(ground, size) * np.conj(np.fft.rfft2(shown, size)), size)
    correlation /= np.sqrt((shown * shown).sum(axis=(1, 2)) + 1e-6)[:, None, None]
    which, row, column = np.unravel_index(int(correlation.argmax()), correlation.shape)
    here = _scaled(SCALES[which], stretch)
    down, right = ((at + side // 2) % side - side // 2 for at, side in zip((row, column), size, strict=True))
    # first(y) = second(scale · (y − down)), with y over 2
    return replace(
        here,
        shift_y=-2 * float(down) / height * here.scale_y,
        shift_x=-2 * float(right) / width * here.scale_x,
    )


def _scaled(scale: float, stretch: float) -> Placement:
    return Placement(float(scale * stretch**0.5), float(scale / stretch**0.5))


def _edges(picture: Grey) -> Grey:
    """Return what stands out from its surroundings, without the borders, of bounded size."""
    centred = picture - _blurred(picture, 3)
    spread = float(np.sqrt(np.mean(centred * centred))) + 1e-6
    edges: Grey = np.clip(centred / spread, -3, 3)
    return edges


def _blurred(picture: Grey, radius: int) -> Grey:
    for axis in (0, 1):
        length = picture.shape[axis]
        pad = [(0, 0), (0, 0)]
        pad[axis] = (radius + 1, radius)
        sums = np.cumsum(np.pad(picture, pad, mode="edge"), axis=axis, dtype=np.float64)
        window = 2 * radius + 1
        picture = ((sums.take(range(window, window + length), axis) - sums.take(range(length), axis)) / window).astype(
            np.float32
        )
    return picture
