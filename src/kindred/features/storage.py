"""Serialise local features: some 134 bytes per SIFT keypoint.

    magic, version, facts | points (N, 2) uint16 | scales (N,) float16 | descriptors (N, D) uint8 | CRC-32

Everything is little-endian. Points are quantised over their bounding box, with an error below 1/100 of a pixel in an
image of 1,000 pixels. Byte descriptors are stored unchanged; float descriptors are quantised to 255 equal steps from
their smallest to their largest component.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from kindred.errors import LibraryDamaged, UsageError
from kindred.features.local import LocalFeatures

__all__ = ["from_bytes", "to_bytes"]

MAGIC = b"klf"
VERSION = 1
HEADER = struct.Struct("<3sB?IH?4d4d2f")
"""Magic, version, float descriptors?, N, D, frame known?, frame, rectangle of points, least component and step."""
CHECK = struct.Struct("<I")
POINT_STEPS = 65535
NOWHERE = (0.0, 0.0, 0.0, 0.0)


def to_bytes(features: LocalFeatures) -> bytes:
    """Serialise features for `from_bytes`. Raises UsageError for values that are not finite."""
    count, dimension = features.descriptors.shape
    sound = all(np.isfinite(part).all() for part in (features.points, features.descriptors, features.scales))
    if not sound or dimension > 65535:
        raise UsageError(f"got {count} features of {dimension} components; expected finite numbers, at most 65535 each")
    least, most = _rectangle(features.points)
    points = np.rint((features.points - least) / _steps(least, most))
    quantised, low, step = _quantised(features.descriptors)
    is_float = features.descriptors.dtype != np.uint8
    frame = features.frame or NOWHERE
    facts = (is_float, count, dimension, features.frame is not None, *frame, *least, *most, low, step)
    scales = np.minimum(features.scales, np.finfo(np.float16).max)
    body = b"".join(
        (
            HEADER.pack(MAGIC, VERSION, *facts),
            points.astype("<u2").tobytes(),
            scales.astype("<f2").tobytes(),
            quantised.tobytes(),
        )
    )
    return body + CHECK.pack(zlib.crc32(body))


def from_bytes(data: bytes) -> LocalFeatures:
    """Restore features from `to_bytes`. Raises LibraryDamaged for bytes that are truncated, changed or unknown."""
    if len(data) < HEADER.size + CHECK.size or data[:3] != MAGIC:
        raise LibraryDamaged(f"local features: {len(data)} bytes that hold none; index the image again")
    if data[3] != VERSION:
        raise LibraryDamaged(f"local features: format {data[3]}, expected {VERSION}; index the image again")
    if zlib.crc32(data[: -CHECK.size]) != CHECK.unpack(data[-CHECK.size :])[0]:
        raise LibraryDamaged("local features: their bytes do not match their checksum; index the image again")
    is_float, count, dimension, framed, *numbers = HEADER.unpack_from(data)[2:]
    frame, least, most, (low, step) = numbers[:4], numbers[4:6], numbers[6:8], numbers[8:]
    at = HEADER.size
    if len(data) != at + count * (6 + dimension) + CHECK.size:
        raise LibraryDamaged(f"local features: {len(data)} bytes for {count} points; index the image again")
    points = np.frombuffer(data, "<u2", 2 * count, at).reshape(count, 2)
    scales = np.frombuffer(data, "<f2", count, at + 4 * count)
    descriptors = np.frombuffer(data, np.uint8, count * dimension, at + 6 * count).reshape(count, dimension)
    return LocalFeatures(
        (np.array(least) + points * _steps(np.array(least), np.array(most))).astype(np.float32),
        descriptors * np.float32(step) + np.float32(low) if is_float else descriptors,
        scales.astype(np.float32),
        tuple(frame) if framed else None,
    )


def _rectangle(points: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least and the greatest coordinates (2,) of points (N, 2); 0 if there are none."""
    if not len(points):
        return np.zeros(2), np.zeros(2)
    return points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)


def _steps(least: NDArray[np.float64], most: NDArray[np.float64]) -> NDArray[np.float64]:
    span = most - least
    return np.where(span > 0, span / POINT_STEPS, 1.0)


def _quantised(descriptors: NDArray[np.uint8] | NDArray[np.float32]) -> tuple[NDArray[np.uint8], float, float]:
    """Quantise descriptors to bytes; return these, the value of byte 0 and the step between bytes."""
    if descriptors.dtype == np.uint8 or not descriptors.size:
        return descriptors.astype(np.uint8), 0.0, 1.0
    low, high = float(descriptors.min()), float(descriptors.max())
    step = (high - low) / 255 or 1.0
    return np.rint((descriptors - low) / step).astype(np.uint8), low, step
