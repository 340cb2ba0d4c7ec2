"""Views: an image under a random homography and in other light, with the positions of its keypoints.

Positions are x y in pixels from the corner of the image; the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from kindred.training.local.settings import LocalSettings

__all__ = ["View", "carried", "draw_views", "relit"]

Pixels = NDArray[np.uint8]
Matrix = NDArray[np.float64]
Points = NDArray[np.float32]

PERSPECTIVE = 0.15  # by how much the scale may differ between the middle and the border of a view
ANISOTROPY = 0.15  # standard deviation of the logarithm of the aspect
TILT = 40.0  # degrees, of views that are not turned by any angle
OFF_CENTRE = 0.12  # of the side of a view
LUMA = np.array((0.299, 0.587, 0.114))


@dataclass(frozen=True, eq=False)
class View:
    """A view (S, S, 3) of an image; `matrix` (3, 3) maps positions of the image into it, `zoom` is its scale."""

    pixels: Pixels
    matrix: Matrix
    zoom: float


def draw_views(image: Pixels, settings: LocalSettings, rotation: float, rng: np.random.Generator) -> tuple[View, View]:
    """Draw two views of an image (H, W, 3) around the same point; the second may be rotated by any angle.

    rotation: the probability of that.
    """
    height, width = image.shape[:2]
    low, high = (math.log(zoom) for zoom in settings.zoom)
    first = math.exp(rng.uniform(low, high))
    change = math.exp(rng.uniform(-1, 1) * math.log(settings.change))
    second = float(np.clip(first * change, *settings.zoom))
    half = settings.size / (2 * max(first, second))
    middle = [
        rng.uniform(min(half, side / 2), max(side - half, side / 2)) if side > 2 * half else side / 2
        for side in (width, height)
    ]
    turn = rng.uniform(-180, 180) if rng.random() < rotation else rng.uniform(-TILT, TILT)
    tilt = rng.uniform(-TILT, TILT) / 2
    views = [
        _view(image, _matrix(middle, zoom, angle, settings.size, rng), zoom, settings.size, rng)
        for zoom, angle in ((first, tilt), (second, tilt + turn))
    ]
    return views[0], views[1]


def carried(matrix: Matrix, points: Points) -> Points:
    """Map positions (N, 2) by a homography (3, 3)."""
    moved = points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
    carried: Points = (moved[:, :2] / moved[:, 2:]).astype(np.float32)
    return carried


def relit(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Return an image (H, W, 3) in other light: gamma, gains, grey of other mixtures, inversion, blur and noise."""
    if rng.random() < 0.3:
        blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.5)))
        pixels = np.asarray(blurred)
    values = pixels.astype(np.float32) / 255
    kind, tints = rng.random(), rng.uniform(0.85, 1.15, 3)
    if kind < 0.3:  # grey, as usual or as a camera with other sensitivities has it, such as for infrared
        weights = LUMA if kind < 0.1 else rng.dirichlet((0.7, 0.7, 0.7))
        grey = np.average(values, axis=2, weights=weights).astype(np.float32)
        values, tints = np.repeat(grey[..., None], 3, axis=2), np.ones(3)
    values = values ** math.exp(rng.uniform(-0.8, 0.8))
    values = values * (rng.uniform(0.6, 1.3) * tints).astype(np.float32) + np.float32(rng.uniform(-0.15, 0.15))
    if rng.random() < 0.05:
        values = 1 - values
    if rng.random() < 0.4:
        shape = values.shape if kind >= 0.3 else (*values.shape[:2], 1)
        values = values + rng.normal(0, rng.uniform(0, 0.06), shape).astype(np.float32)
    found: Pixels = (np.clip(values, 0, 1) * 255).astype(np.uint8)
    return found


def _matrix(middle: list[float], zoom: float, degrees: float, size: int, rng: np.random.Generator) -> Matrix:
    """Return the homography from the image to a view: its centre is mapped near the centre of the view."""
    angle, stretch = math.radians(degrees), math.exp(rng.normal(0, ANISOTROPY) / 2)
    axis = rng.uniform(0, math.pi)
    to_origin = _shift(-middle[0], -middle[1])
    along = _rotation(axis) @ np.diag((zoom * stretch, zoom / stretch, 1.0)) @ _rotation(-axis)
    tilted = np.eye(3)
    tilted[2, :2] = rng.uniform(-1, 1, 2) * 2 * PERSPECTIVE / size
    shift = size / 2 + rng.uniform(-1, 1, 2) * OFF_CENTRE * size
    matrix: Matrix = _shift(*shift) @ tilted @ _rotation(angle) @ along @ to_origin
    return matrix


def _view(image: Pixels, matrix: Matrix, zoom: float, size: int, rng: np.random.Generator) -> View:
    """Warp an image; a reduced one is averaged first."""
    reduced, source = min(1.0, 1.2 * zoom), Image.fromarray(image)
    if reduced < 1:
        sides = [max(1, round(side * reduced)) for side in source.size]
        scale = np.diag([sides[0] / source.size[0], sides[1] / source.size[1], 1.0])
        source = source.resize((sides[0], sides[1]), Image.Resampling.BILINEAR)
    else:
        scale = np.eye(3)
    back = scale @ np.linalg.inv(matrix)
    numbers = (back / back[2, 2]).ravel()[:8].tolist()
    colour = tuple(int(value) for value in rng.integers(0, 256, 3))
    warped = source.transform(
        (size, size), Image.Transform.PERSPECTIVE, numbers, Image.Resampling.BILINEAR, fillcolor=colour
    )
    return View(relit(np.asarray(warped), rng), matrix, zoom)


def _shift(x: float, y: float) -> Matrix:
    return np.array(((1, 0, x), (0, 1, y), (0, 0, 1)), np.float64)


def _rotation(angle: float) -> Matrix:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array(((cos, -sin, 0), (sin, cos, 0), (0, 0, 1)), np.float64)
