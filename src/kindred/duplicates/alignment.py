"""Align two grey images: find the scale and shift along each axis that maximise their correlation.

Copies may be cropped and resized; the position of the crop is found by cross-correlation at a few scales (Kuglin and
Hines 1975) and refined by Gauss-Newton steps on images of zero mean and unit variance (Lucas and Kanade 1981), so that
brightness and contrast have no effect.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Alignment", "coarse_alignment", "refine_alignment", "warped"]

Grey = NDArray[np.float32]

SCALES = np.exp(np.linspace(-0.25, 0.25, 11))
"""Scales tried for a cropped copy, 5 % apart: cropping a tenth at each edge leaves four fifths."""
MIN_OVERLAP = 0.6
"""Fraction of the larger image that must overlap."""
STEPS = 12
STILL = 0.02
"""Movement of the corners in pixels below which a step is too small to matter."""


@dataclass(frozen=True)
class Alignment:
    """The mapping of points from the first image to the second: y · scale_y + shift_y, x · scale_x + shift_x.

    Coordinates are −1 to 1 between the edges of each image, so that an alignment is independent of resolution.
    """

    scale_y: float = 1.0
    scale_x: float = 1.0
    shift_y: float = 0.0
    shift_x: float = 0.0

    @property
    def overlap(self) -> float:
        """The fraction of the larger image's area that both images show, in [0, 1]."""
        parts = [
            max(0.0, min(1.0, shift + scale) - max(-1.0, shift - scale)) / (2 * max(1.0, scale))
            for scale, shift in ((self.scale_y, self.shift_y), (self.scale_x, self.shift_x))
        ]
        return parts[0] * parts[1]


def warped(second: Grey, alignment: Alignment, shape: tuple[int, int]) -> tuple[Grey, slice, slice]:
    """Resample the second image on the grid of a first of `shape`; return it with the rows and columns it covers."""
    rows, y, fraction_y = _samples(shape[0], second.shape[0], alignment.scale_y, alignment.shift_y)
    columns, x, fraction_x = _samples(shape[1], second.shape[1], alignment.scale_x, alignment.shift_x)
    down = second[y] * (1 - fraction_y)[:, None] + second[y + 1] * fraction_y[:, None]
    across: Grey = (down[:, x] * (1 - fraction_x) + down[:, x + 1] * fraction_x).astype(np.float32, copy=False)
    return across, rows, columns


def _samples(
    length: int, other: int, scale: float, shift: float
) -> tuple[slice, NDArray[np.int64], NDArray[np.float32]]:
    """Return which of `length` pixels fall inside the other image, the pixel before each, and the fraction after it."""
    centres = (2 * np.arange(length) + 1) / length - 1
    at = ((centres * scale + shift + 1) * other - 1) / 2
    inside = np.flatnonzero((at >= -0.5) & (at <= other - 0.5))
    if not len(inside):
        return slice(0, 0), np.zeros(0, np.int64), np.zeros(0, np.float32)
    covered = slice(int(inside[0]), int(inside[-1]) + 1)
    at = np.clip(at[covered], 0, other - 1)
    before = np.minimum(at.astype(np.int64), max(0, other - 2))
    return covered, before, (at - before).astype(np.float32)


def refine_alignment(first: Grey, second: Grey, start: Alignment, *, steps: int = STEPS) -> tuple[Alignment, float]:
    """Return the alignment near `start` with the highest correlation of the images, and that correlation.

    Images are (h, w) float32 of at least 2 pixels per side. The correlation is −1 if they overlap too little.
    """
    best, best_score = start, -1.0
    here = start
    for _ in range(steps + 1):
        if here.overlap < MIN_OVERLAP:
            break
        part, rows, columns = warped(second, here, (first.shape[0], first.shape[1]))
        fixed = _standardised(first[rows, columns])
        moving = _standardised(part)
        score = float(np.mean(fixed * moving))
        if score <= best_score + 1e-5 and here is not start:
            if score > best_score:
                best, best_score = here, score
            break
        best, best_score = here, score
        step = _step(fixed, moving, rows, columns, first.shape)
        # A step is in coordinates of the first image, whose sides have the length 2.
        here = Alignment(
            here.scale_y * (1 + step[0]),
            here.scale_x * (1 + step[2]),
            here.shift_y + here.scale_y * step[1],
            here.shift_x + here.scale_x * step[3],
        )
        if np.abs(step).max() * max(first.shape) < STILL:
            continue
    return best, best_score


def _standardised(picture: Grey) -> Grey:
    centred = picture - picture.mean()
    standard: Grey = centred / max(float(np.sqrt(np.mean(centred * centred))), 1e-6)
    return standard


def _step(fixed: Grey, moving: Grey, rows: slice, columns: slice, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the Gauss-Newton step (4,), scale and shift of rows then of columns, that aligns `moving` to `fixed`."""
    slope_y, slope_x = np.gradient(moving)
    y = ((2 * np.arange(rows.start, rows.stop) + 1) / shape[0] - 1).astype(np.float32)[:, None]
    x = ((2 * np.arange(columns.start, columns.stop) + 1) / shape[1] - 1).astype(np.float32)
    slope_y, slope_x = slope_y * (shape[0] / 2), slope_x * (shape[1] / 2)
    slopes = np.stack([slope_y * y, slope_y, slope_x * x, slope_x]).reshape(4, -1)
    slopes -= slopes.mean(axis=1, keepdims=True)
    gram = (slopes @ slopes.T).astype(np.float64)
    gram[np.diag_indices(4)] += 1e-3 * np.trace(gram) / 4 + 1e-9
    step = np.linalg.solve(gram, slopes @ (fixed - moving).ravel())
    return np.clip(step, -0.06, 0.06)


def coarse_alignment(first: Grey, second: Grey, *, stretch: float = 1.0) -> Alignment:
    """Return the scale, of `SCALES`, and shift with the highest correlation of two small images.

    stretch: (width / height of the second) / (width / height of the first).
    """
    height, width = first.shape
    fixed, edges = _edges(first), _edges(second)
    shown = np.zeros((len(SCALES), height, width), np.float32)
    for scale, picture in zip(SCALES, shown, strict=True):
        # A point of the first is at `scale` in the second: the second is shown smaller if it shows more.
        part, rows, columns = warped(edges, _scaled(scale, stretch), (height, width))
        picture[rows, columns] = part
    size = (height + height // 4, width + width // 4)  # padding: shifts of up to a quarter do not wrap around
    correlation = np.fft.irfft2(np.fft.rfft2(fixed, size) * np.conj(np.fft.rfft2(shown, size)), size)
    correlation /= np.sqrt((shown * shown).sum(axis=(1, 2)) + 1e-6)[:, None, None]
    which, row, column = np.unravel_index(int(correlation.argmax()), correlation.shape)
    here = _scaled(SCALES[which], stretch)
    down, right = ((at + side // 2) % side - side // 2 for at, side in zip((row, column), size, strict=True))
    # first(y) = second(scale · (y − down)), in coordinates of length 2
    return replace(
        here,
        shift_y=-2 * float(down) / height * here.scale_y,
        shift_x=-2 * float(right) / width * here.scale_x,
    )


def _scaled(scale: float, stretch: float) -> Alignment:
    return Alignment(float(scale * stretch**0.5), float(scale / stretch**0.5))


def _edges(picture: Grey) -> Grey:
    """Return the difference to the local mean, in units of its standard deviation, clipped to ±3."""
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
