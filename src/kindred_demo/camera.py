"""A pinhole camera, and its images of flat pictures in space.

Space is measured in centimetres: x to the right, y down, z away from the camera. A wall, or a table top seen from
above, is the plane z = 0; a shelf or a floor is the plane y = 0. Pixel coordinates start at the top left corner of the
frame; the centre of the first pixel is at (0.5, 0.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["UNIT_SQUARE", "Camera", "Matrix", "Vector", "apply", "turned", "warp"]

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]


def turned(*, pitch: float = 0.0, yaw: float = 0.0, roll: float = 0.0) -> Matrix:
    """Return the rotation (3, 3) about x, then y, then z, in degrees."""
    cx, cy, cz = (math.cos(math.radians(angle)) for angle in (pitch, yaw, roll))
    sx, sy, sz = (math.sin(math.radians(angle)) for angle in (pitch, yaw, roll))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1.0]])
    return np.asarray(about_z @ about_y @ about_x, dtype=np.float64)


@dataclass(frozen=True)
class Camera:
    """A camera that looks at `target` from `distance` centimetres, rotated by `rotation`; `focal` in pixels."""

    width: int
    height: int
    focal: float
    rotation: Matrix
    target: Vector
    distance: float
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def _intrinsics(self) -> Matrix:
        x, y = self.width / 2 + self.shift[0], self.height / 2 + self.shift[1]
        return np.array([[self.focal, 0, x], [0, self.focal, y], [0, 0, 1.0]])

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Project points in space to pixels: (N, 3) → (N, 2)."""
        seen = (points - self.target) @ self.rotation.T + np.array([0, 0, self.distance])
        flat = seen @ self._intrinsics.T
        return np.asarray(flat[:, :2] / flat[:, 2:], dtype=np.float64)

    def plane(self, origin: Vector, across: Vector, down: Vector) -> Matrix:
        """Return the homography (3, 3) from (s, t) of the plane `origin + s·across + t·down` to pixels."""
        start = self.rotation @ (origin - self.target) + np.array([0, 0, self.distance])
        columns = np.stack([self.rotation @ across, self.rotation @ down, start], axis=1)
        return np.asarray(self._intrinsics @ columns, dtype=np.float64)


def apply(homography: Matrix, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points, (N, 2) → (N, 2)."""
    mapped = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ homography.T
    return np.asarray(mapped[:, :2] / mapped[:, 2:], dtype=np.float64)


UNIT_SQUARE: NDArray[np.float64] = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float64)


def warp(picture: Image.Image, square: Matrix, *, frame: tuple[int, int]) -> tuple[Image.Image, tuple[int, int]] | None:
    """Return the perspective image of a picture on the unit square of a plane, cropped to the frame, and its corner.

    `square` maps the unit square to pixels. The picture is RGBA or L, and transparent (0) outside. None if no part of
    it is in the frame.
    """
    corners = apply(square, UNIT_SQUARE)
    left, top = np.maximum(np.floor(corners.min(axis=0)) - 1, 0).astype(int)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)) + 1, frame).astype(int)
    if right - left < 2 or bottom - top < 2:
        return None
    edges = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
    # First reduce with a proper filter, since the perspective transform alone would skip pixels; not quite to the
    # final size, so that the bilinear interpolation stays sharp.
    wanted = (math.ceil(max(edges[0], edges[2]) * 1.25) + 1, math.ceil(max(edges[1], edges[3]) * 1.25) + 1)
    size = (min(wanted[0], picture.width), min(wanted[1], picture.height))
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.HAMMING)
    rim = 2
    padded = Image.new(picture.mode, (size[0] + 2 * rim, size[1] + 2 * rim))
    padded.paste(picture, (rim, rim))
    to_unit = np.array([[1 / size[0], 0, -rim / size[0]], [0, 1 / size[1], -rim / size[1]], [0, 0, 1]])
    shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]])
    inverse = np.linalg.inv(shift @ square @ to_unit)
    coefficients = (inverse / inverse[2, 2]).ravel()[:8].tolist()
    seen = padded.transform(
        (int(right - left), int(bottom - top)),
        Image.Transform.PERSPECTIVE,
        coefficients,
        Image.Resampling.BILINEAR,
    )
    return seen, (int(left), int(top))
