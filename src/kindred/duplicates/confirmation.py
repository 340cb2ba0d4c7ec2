"""Confirm that two images show the same picture: they are aligned and compared block by block.

Both are resized to one size, at most that of the smaller. Brightness and contrast are matched globally; then every
block must agree. A single block of different content distinguishes labels, lines of text or figures, which a mean over
the image would not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kindred.duplicates.alignment import Alignment, coarse_alignment, refine_alignment, warped
from kindred.images import stretch

__all__ = ["LONGEST", "confirm", "grey", "may_be_same"]

Grey = NDArray[np.float32]
Pixels = NDArray[np.uint8]

LONGEST = 512
"""The longer side, in pixels, at which images are compared."""
COARSE = 160
"""The longer side, in pixels, at which an alignment is first refined."""

SIZES = (64, 96, 128, 256)
"""Longer sides, in pixels, for which the next two thresholds are given: smaller images must agree more closely."""
CORRELATION = (0.97, 0.955, 0.93, 0.93)
"""Correlation of whole images, brightness matched: copies 0.967 or more, small pages of other text 0.96 or less."""
BLOCK_CORRELATION = (0.965, 0.94, 0.9, 0.8)
"""Median correlation of the blocks: copies at JPEG quality 30 have at least 0.84, pages of other text at most 0.8."""
MISMATCHES = ((0.6, 16.0), (0.85, 24.0))
"""A block below the correlation and above the residual (RMS in grey levels) of one of these pairs is a mismatch.

In copies at JPEG quality 30, blocks below 0.6 have a residual of at most 12 and blocks below 0.85 of at most 21; a
different digit on a label gives 43.
"""
CONTRAST = 6.0
"""Standard deviation in grey levels above which a block is textured."""
MIN_TEXTURED_BLOCKS = 6
"""Fewest textured blocks of images that can be confirmed."""
MAX_CHROMA_DIFFERENCE = 26.0
"""Largest difference in chroma levels of a block after global colour matching: a fifth brighter gives 21, a bottle of
another colour 30 to 60."""
MAX_GREY_CHROMA = 6.0
"""Chroma levels below which an image is grey."""

CANDIDATE_CORRELATION = 0.8
"""Correlation of two thumbnails from which the images are compared at full size."""
ALIGNED = 0.98
"""Correlation of half-size thumbnails from which no coarse alignment is searched."""
WORTH_REFINING = 0.7
"""Correlation of half-size thumbnails from which the alignment is refined."""
ASPECT = 1.3
"""Largest ratio of the aspect ratios: a copy may be cropped on one side or slightly squeezed."""


def grey(pixels: Pixels) -> Grey:
    """Return the luma (H, W) of RGB (H, W, 3), in levels of 0 to 255 (ITU-R BT.601)."""
    return pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def may_be_same(first: Grey, second: Grey) -> Alignment | None:
    """Align two thumbnails; return the alignment, or None if they cannot show the same picture.

    Thumbnails are (h, w) float32, of any shapes.
    """
    stretch_by = (second.shape[1] * first.shape[0]) / (second.shape[0] * first.shape[1])
    if max(stretch_by, 1 / stretch_by) > ASPECT:
        return None
    small, other = (each if min(each.shape) < 48 else _halved(each) for each in (first, second))
    best = refine_alignment(small, other, Alignment(), steps=4)
    if best[1] < ALIGNED:
        found = refine_alignment(small, other, coarse_alignment(small, other, stretch=stretch_by), steps=6)
        best = max(best, found, key=lambda each: each[1])
    if best[1] < WORTH_REFINING:
        return None
    alignment, score = refine_alignment(first, second, best[0], steps=6)
    return alignment if score >= CANDIDATE_CORRELATION else None


def _halved(picture: Grey) -> Grey:
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    halved: Grey = picture[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))
    return halved


def confirm(first: Pixels, second: Pixels, start: Alignment) -> float | None:
    """Return the agreement of two images, in (0, 1]; None if they do not show the same picture.

    first, second: RGB (H, W, 3) uint8, in the same orientation. start: their approximate alignment.
    """
    longest = min(LONGEST, max(first.shape[:2]), max(second.shape[:2]))
    alignment = start
    if longest > COARSE:
        alignment, _ = refine_alignment(
            grey(_sized(first, first, COARSE)), grey(_sized(second, first, COARSE)), start, steps=6
        )
    one, other = _sized(first, first, longest), _sized(second, first, longest)
    grey_one, grey_other = grey(one), grey(other)
    alignment, _ = refine_alignment(grey_one, grey_other, alignment, steps=4)
    part, rows, columns = warped(grey_other, alignment, (one.shape[0], one.shape[1]))
    fixed = grey_one[rows, columns]
    if min(fixed.shape, default=0) < 16:
        return None
    side = 16 if longest > 256 else 8
    score = _agreement(fixed, part, side, longest)
    if score is None or not _same_colours(one, other, alignment, side):
        return None
    return score


def _sized(pixels: Pixels, like: Pixels, longest: int) -> Pixels:
    """Resize `pixels` to the aspect ratio of `like`, with a longer side of `longest`."""
    height, width = like.shape[:2]
    scale = longest / max(height, width)
    return stretch(
        np.ascontiguousarray(pixels), height=max(8, round(height * scale)), width=max(8, round(width * scale))
    )


@dataclass(frozen=True)
class _Blocks:
    """The blocks of two images: larger standard deviation, correlation, and RMS residual in grey levels."""

    spread: Grey
    correlation: Grey
    residual: Grey


def _agreement(one: Grey, other: Grey, side: int, longest: int) -> float | None:
    """Return the median correlation of the textured blocks; None if the images differ."""
    if max(_correlation(a, b) for a, b in _matchings(one, other)) < np.interp(longest, SIZES, CORRELATION):
        return None
    compared = [_compared(a, b, side) for a, b in _matchings(one, other)]
    best = np.argmin(
        [blocks.residual for blocks in compared], axis=0
    )  # each block takes the matching with the smallest residual
    spread, correlation, residual = (
        np.choose(best, [getattr(blocks, name) for blocks in compared])
        for name in ("spread", "correlation", "residual")
    )
    textured = spread > CONTRAST
    if textured.sum() < MIN_TEXTURED_BLOCKS:
        return None
    if any(((correlation < least) & (residual > visible)).any() for least, visible in MISMATCHES):
        return None
    score = float(np.median(correlation[textured]))
    return min(score, 1.0) if score >= np.interp(longest, SIZES, BLOCK_CORRELATION) else None


def _matchings(one: Grey, other: Grey) -> list[tuple[Grey, Grey]]:
    """Return both images with brightness matched in three ways: linearly, and by a tone curve in either direction."""
    gain = float(one.std()) / max(float(other.std()), 1e-6)
    return [(one, (other - other.mean()) * gain + one.mean()), (_toned(one, other), other), (one, _toned(other, one))]


def _toned(picture: Grey, like: Grey) -> Grey:
    """Apply the monotonic tone curve that best matches the image to `like`."""
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
    """Return the blocks (rows, columns, side²) of an image; incomplete blocks at the edges are dropped."""
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


def _same_colours(one: Pixels, other: Pixels, alignment: Alignment, side: int) -> bool:
    """Return whether the mean colours of the blocks agree after a mild global grading; grey images always agree."""
    shape = (one.shape[0], one.shape[1])
    planes = []
    for weights in ((-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)):  # Cb and Cr of ITU-R BT.601
        second = other.astype(np.float32) @ np.array(weights, np.float32)
        part, rows, columns = warped(second, alignment, shape)
        first = (one.astype(np.float32) @ np.array(weights, np.float32))[rows, columns]
        planes.append((_blocked(first, side).mean(axis=2), _blocked(part, side).mean(axis=2)))
    if any(max(float(np.abs(pair[at]).max()) for pair in planes) < MAX_GREY_CHROMA for at in (0, 1)):
        return True
    return all(_graded_difference(*pair) <= MAX_CHROMA_DIFFERENCE for pair in planes)


def _graded_difference(one: Grey, other: Grey) -> float:
    """Return the largest difference of block colours after the best gain (0.67 to 1.5) and shift (±24 levels)."""
    centred = one - one.mean()
    gain = float((centred * (other - other.mean())).sum() / max(float((centred * centred).sum()), 1e-6))
    gain = min(max(gain, 0.67), 1.5)
    shift = float(np.median(other - gain * one))
    return float(np.abs(other - gain * one - min(max(shift, -24.0), 24.0)).max())
