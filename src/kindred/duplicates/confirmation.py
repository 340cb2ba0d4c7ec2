"""Whether two pictures are the same picture: laid over each other, they are compared block by block.

Both are brought to one size, at most that of the smaller, so that what is compared is in both. Brightness and contrast
are matched over the whole picture; then every block must agree. One block of another content is enough to tell a
label, a line of text or a figure from another, which no mean over the picture would show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kindred.duplicates.alignment import Placement, laid_over, placed, refined
from kindred.images import stretch

__all__ = ["LONGEST", "confirm", "grey", "may_be_same"]

Grey = NDArray[np.float32]
Pixels = NDArray[np.uint8]

LONGEST = 512
"""Pixels of the long side at which pictures are compared."""
COARSE = 160
"""Pixels of the long side at which a placement is refined first."""

SIZES = (64, 96, 128, 256)
"""Long sides in pixels at which the two bounds that follow hold; the less there is to see, the closer it must agree."""
CORRELATION = (0.97, 0.955, 0.93, 0.93)
"""Of the whole pictures, brightness matched: copies have 0.967 or more, small pages of other text 0.96 or less."""
BLOCK_CORRELATION = (0.965, 0.94, 0.9, 0.8)
"""Median over the blocks: copies at JPEG quality 30 have 0.84 or more, pages of other text 0.8 or less."""
CONTRADICTIONS = ((0.6, 16.0), (0.85, 24.0))
"""A block that correlates less contradicts, if more is unexplained: root mean square in grey levels.

In copies at JPEG quality 30, blocks below 0.6 leave at most 12 unexplained and blocks below 0.85 at most 21; one digit
of a label that becomes another leaves 43.
"""
CONTRAST = 6.0
"""Standard deviation in grey levels from which a block shows something."""
EVIDENCE = 6
"""Blocks that must show something."""
HUE = 26.0
"""Levels of chroma by which a block may differ after one matching for the whole picture: a fifth brighter gives 21,
another colour of a bottle 30 to 60."""
COLOURLESS = 6.0
"""Levels of chroma below which a picture is grey."""

CANDIDATE_CORRELATION = 0.8
"""Of two small pictures that are worth a closer look."""
CLOSE = 0.98
"""Correlation of small pictures at half their size from which no other placement is looked for."""
HOPEFUL = 0.7
"""The same, from which the placement is refined."""
ASPECT = 1.3
"""Widths over heights may differ by this factor: a copy may be cut on one side or slightly squeezed."""


def grey(pixels: Pixels) -> Grey:
    """Return the luma (H, W) of RGB (H, W, 3), in levels of 0 to 255 (ITU-R BT.601)."""
    return pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def may_be_same(first: Grey, second: Grey) -> Placement | None:
    """Lay one small picture over another; return how, or None where they are surely not the same.

    Pictures are (h, w) float32, each of its own shape.
    """
    stretch_by = (second.shape[1] * first.shape[0]) / (second.shape[0] * first.shape[1])
    if max(stretch_by, 1 / stretch_by) > ASPECT:
        return None
    small, other = (each if min(each.shape) < 48 else _halved(each) for each in (first, second))
    best = refined(small, other, Placement(), steps=4)
    if best[1] < CLOSE:
        found = refined(small, other, placed(small, other, stretch=stretch_by), steps=6)
        best = max(best, found, key=lambda each: each[1])
    if best[1] < HOPEFUL:
        return None
    placement, score = refined(first, second, best[0], steps=6)
    return placement if score >= CANDIDATE_CORRELATION else None


def _halved(picture: Grey) -> Grey:
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    halved: Grey = picture[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))
    return halved


def confirm(first: Pixels, second: Pixels, start: Placement) -> float | None:
    """Return how well two pictures agree, above 0 and at most 1; None where they are not the same picture.

    first, second: RGB (H, W, 3) uint8, upright alike. start: where the one lies on the other, roughly.
    """
    longest = min(LONGEST, max(first.shape[:2]), max(second.shape[:2]))
    placement = start
    if longest > COARSE:
        placement, _ = refined(grey(_sized(first, first, COARSE)), grey(_sized(second, first, COARSE)), start, steps=6)
    one, other = _sized(first, first, longest), _sized(second, first, longest)
    grey_one, grey_other = grey(one), grey(other)
    placement, _ = refined(grey_one, grey_other, placement, steps=4)
    part, rows, columns = laid_over(grey_other, placement, (one.shape[0], one.shape[1]))
    ground = grey_one[rows, columns]
    if min(ground.shape, default=0) < 16:
        return None
    side = 16 if longest > 256 else 8
    score = _agreement(ground, part, side, longest)
    if score is None or not _same_colours(one, other, placement, side):
        return None
    return score


def _sized(pixels: Pixels, like: Pixels, longest: int) -> Pixels:
    """Return `pixels` at the shape that `like` has with its long side `longest`."""
    height, width = like.shape[:2]
    scale = longest / max(height, width)
    return stretch(
        np.ascontiguousarray(pixels), height=max(8, round(height * scale)), width=max(8, round(width * scale))
    )


@dataclass(frozen=True)
class _Blocks:
    """Each block of two pictures: its larger standard deviation, correlation, and unexplained rest in grey levels."""

    spread: Grey
    correlation: Grey
    rest: Grey


def _agreement(one: Grey, other: Grey, side: int, longest: int) -> float | None:
    """Return the median correlation of the blocks that show something; None where the pictures differ."""
    if max(_correlation(a, b) for a, b in _matchings(one, other)) < np.interp(longest, SIZES, CORRELATION):
        return None
    compared = [_compared(a, b, side) for a, b in _matchings(one, other)]
    best = np.argmin([blocks.rest for blocks in compared], axis=0)  # what any of the matchings explains is explained
    spread, correlation, rest = (
        np.choose(best, [getattr(blocks, name) for blocks in compared]) for name in ("spread", "correlation", "rest")
    )
    shows = spread > CONTRAST
    if shows.sum() < EVIDENCE:
        return None
    if any(((correlation < least) & (rest > visible)).any() for least, visible in CONTRADICTIONS):
        return None
    score = float(np.median(correlation[shows]))
    return min(score, 1.0) if score >= np.interp(longest, SIZES, BLOCK_CORRELATION) else None


def _matchings(one: Grey, other: Grey) -> list[tuple[Grey, Grey]]:
    """Return both pictures with their brightness matched in three ways: linear, and by a curve in either direction."""
    gain = float(one.std()) / max(float(other.std()), 1e-6)
    return [(one, (other - other.mean()) * gain + one.mean()), (_toned(one, other), other), (one, _toned(other, one))]


def _toned(picture: Grey, like: Grey) -> Grey:
    """Return the picture through the rising curve of brightness that brings it nearest to `like`."""
    bins = np.minimum(picture.ravel() / 8, 31).astype(np.int64)
    count = np.bincount(bins, minlength=32)
    enough = count >= max(8, picture.size // 1000)
    levels = np.bincount(bins, picture.ravel(), minlength=32)[enough] / count[enough]
    wanted = np.maximum.accumulate(np.bincount(bins, like.ravel(), minlength=32)[enough] / count[enough])
    return np.interp(picture, levels, wanted).astype(np.float32)


def _correlation(one: Grey, other: Grey) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / max(float(np.sqrt((one * one).sum() * (other * other).sum())), 1e-6))


def _blocked(picture: Grey, side: int) -> Grey:
    """Return the blocks (rows, columns, side²) of a picture; what is left over at the edges is left out."""
    rows, columns = picture.shape[0] // side, picture.shape[1] // side
    top, left = (picture.shape[0] - rows * side) // 2, (picture.shape[1] - columns * side) // 2
    inner = picture[top : top + rows * side, left : left + columns * side]
    return inner.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(rows, columns, side * side)


def _compared(one: Grey, other: Grey, side: int) -> _Blocks:
    a, b = _blocked(one, side), _blocked(other, side)
    a, b = a - a.mean(axis=2, keepdims=True), b - b.mean(axis=2, keepdims=True)
    energy_a, energy_b, shared = (a * a).mean(axis=2), (b * b).mean(axis=2), (a * b).mean(axis=2)
    correlation = shared / np.sqrt(np.maximum(energy_a, 1e-2) * np.maximum(energy_b, 1e-2))
    spread = np.sqrt(np.maximum(energy_a, energy_b))
    return _Blocks(spread, correlation, spread * np.sqrt(np.maximum(0, 1 - correlation**2)))


def _same_colours(one: Pixels, other: Pixels, placement: Placement, side: int) -> bool:
    """Return whether the mean colours of the blocks agree after one mild grading; a grey picture agrees with all."""
    shape = (one.shape[0], one.shape[1])
    planes = []
    for weights in ((-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)):  # Cb and Cr of ITU-R BT.601
        second = other.astype(np.float32) @ np.array(weights, np.float32)
        part, rows, columns = laid_over(second, placement, shape)
        first = (one.astype(np.float32) @ np.array(weights, np.float32))[rows, columns]
        planes.append((_blocked(first, side).mean(axis=2), _blocked(part, side).mean(axis=2)))
    if any(max(float(np.abs(pair[at]).max()) for pair in planes) < COLOURLESS for at in (0, 1)):
        return True
    return all(_graded_difference(*pair) <= HUE for pair in planes)


def _graded_difference(one: Grey, other: Grey) -> float:
    """Return the largest difference of block colours after the best gain (a half more or less) and shift."""
    centred = one - one.mean()
    gain = float((centred * (other - other.mean())).sum() / max(float((centred * centred).sum()), 1e-6))
    gain = min(max(gain, 0.67), 1.5)
    shift = float(np.median(other - gain * one))
    return float(np.abs(other - gain * one - min(max(shift, -24.0), 24.0)).max())
