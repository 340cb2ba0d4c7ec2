"""SIFT: keypoints at blobs in scale space, described by histograms of gradients."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import check_positive, check_whole
from kindred.errors import MissingExtra
from kindred.features.local import LocalFeatures

if TYPE_CHECKING:
    from collections.abc import Sequence

    import cv2

__all__ = ["root_sift", "sift"]

DIMENSION = 128
ROOT_SCALE = 512
"""Factor by which the components of a unit vector are stored as bytes."""
RADIUS = 3.0
"""Half the side of a descriptor's window, in OpenCV's keypoint sizes: 4 × 4 histograms, each 1.5 wide."""


def sift(
    image: NDArray[np.uint8],
    *,
    count: int = 300,
    longest: int = 320,
    contrast: float = 0.04,
) -> LocalFeatures:
    """Find and describe the keypoints of an RGB image (H, W, 3): RootSIFT descriptors (N, 128) uint8.

    The image is reduced to `longest` pixels on its longer side; points are in pixels of the given image. At most
    `count` keypoints are returned, those of highest contrast, without duplicates in position, size and angle.
    `contrast` is OpenCV's contrast threshold. An image without keypoints is not an error.

    A component is min(255, round(512 · v)) of the unit vector v: the rare ones above 0.498 are clipped.
    Sources: Lowe 2004; the square root of Arandjelović and Zisserman 2012. Raises MissingExtra without OpenCV.
    """
    check_whole(count=count, longest=longest)
    check_positive(contrast=contrast)
    cv2 = _opencv()
    height, width = image.shape[:2]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if max(height, width) > longest:
        shape = [max(1, round(side * longest / max(height, width))) for side in (width, height)]
        grey = cv2.resize(grey, shape, interpolation=cv2.INTER_AREA)
    # Without the precise upscaling all points lie a quarter of a pixel too far right and down.
    detector = cv2.SIFT_create(nfeatures=count, contrastThreshold=contrast, enable_precise_upscale=True)
    keypoints, histograms = detector.detectAndCompute(grey, None)
    order = _strongest(keypoints, count)
    keypoints = [keypoints[number] for number in order]
    histograms = histograms[order] if order else np.zeros((0, DIMENSION), np.float32)
    # OpenCV counts from the centre of the first pixel, frames and boxes from its corner.
    points = np.array([keypoint.pt for keypoint in keypoints], np.float32).reshape(-1, 2) + np.float32(0.5)
    radii = np.array([RADIUS * keypoint.size for keypoint in keypoints], np.float32)
    frame = (0.0, 0.0, float(grey.shape[1]), float(grey.shape[0]))
    found = LocalFeatures(points, root_sift(histograms), radii, frame)
    return found.scaled(width / grey.shape[1], height / grey.shape[0])


def root_sift(histograms: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return √(h / Σh) of each histogram (N, 128), times 512, as bytes; an empty histogram gives 0."""
    total = histograms.sum(axis=1, keepdims=True)
    roots = np.sqrt(histograms / np.where(total > 0, total, 1))
    scaled: NDArray[np.uint8] = np.minimum(np.rint(roots * ROOT_SCALE), 255).astype(np.uint8)
    return scaled


def _strongest(keypoints: Sequence[cv2.KeyPoint], count: int) -> list[int]:
    """Return the indices of the `count` distinct keypoints of highest contrast; ties are ordered from the top left."""
    distinct = {(each.pt, each.size, each.angle): number for number, each in enumerate(keypoints)}

    def place(number: int) -> tuple[float, ...]:
        each = keypoints[number]
        return -each.response, each.pt[1], each.pt[0], each.size, each.angle

    return sorted(distinct.values(), key=place)[:count]


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError:
        raise MissingExtra("finding SIFT keypoints", "sift") from None
    module: ModuleType = cv2
    return module
