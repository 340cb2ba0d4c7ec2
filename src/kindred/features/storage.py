"""Serialise local features: 53 bytes per SIFT keypoint.

    magic, version, facts | points (N, 2) uint16 | scales (N,) uint8 | descriptors, packed | CRC-32

Everything is little-endian. Points are quantised over their bounding box, with an error below 1/100 of a pixel in an
image of 1,000 pixels; scales by their logarithm, within 2.2 %. Components of descriptors are quantised to `bits` bits,
in equal steps over the range that most of them are in; those beyond are clipped. Byte descriptors stored in 8 bits are
unchanged.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from kindred.errors import LibraryDamaged, UsageError
from kindred.features.local import LocalFeatures

__all__ = ["from_bytes", "to_bytes"]

MOST_BITS = 8
"""A component of a descriptor is stored in 1 to 8 bits."""
MAGIC = b"klf"
VERSION = 2
HEADER = struct.Struct("<3sBB?IH?4f4d2f")
"""Magic, version, bits, float?, N, D, frame known?, frame, rectangle of points, least component and step."""
CHECK = struct.Struct("<I")
POINT_STEPS = 65535
SCALE_STEPS, LEAST_SCALE = 16, 2.0**-4
"""Steps per octave of a stored scale, and the scale of step 1; step 0 is a scale of 0."""
LARGEST = 1e30
"""The largest number in the header that is accepted; single precision holds what is computed with it."""
CLIPPED = 0.001
"""Fraction of components that are clipped if they are stored in fewer than 8 bits."""
NOWHERE = (0.0, 0.0, 0.0, 0.0)


def to_bytes(features: LocalFeatures, *, bits: int = 8) -> bytes:
    """Serialise features for `from_bytes`, each component of a descriptor in `bits` bits.

    In one bit it is its sign, or on which side of the mean a byte lies, and comes back as −1 or +1. Raises UsageError
    for values that are not finite and for bits out of range.
    """
    count, dimension = features.descriptors.shape
    sound = all(np.isfinite(part).all() for part in (features.points, features.descriptors, features.scales))
    if not sound or dimension > 65535:
        raise UsageError(f"got {count} features of {dimension} components; expected finite numbers, at most 65535 each")
    if not 1 <= bits <= MOST_BITS:
        raise UsageError(f"bits: got {bits}; expected 1 to {MOST_BITS}")
    least, most = _rectangle(features.points)
    points = np.rint((features.points - least) / _steps(least, most))
    quantised, low, step = _quantised(features.descriptors, bits)
    is_float = features.descriptors.dtype != np.uint8 or bits == 1
    frame = features.frame or NOWHERE
    facts = (bits, is_float, count, dimension, features.frame is not None, *frame, *least, *most, low, step)
    body = b"".join(
        (
            HEADER.pack(MAGIC, VERSION, *facts),
            points.astype("<u2").tobytes(),
            _scale_steps(features.scales).tobytes(),
            _packed(quantised, bits).tobytes(),
        )
    )
    return body + CHECK.pack(zlib.crc32(body))


def from_bytes(data: bytes) -> LocalFeatures:
    """Restore features from `to_bytes`. Raises LibraryDamaged for bytes that are truncated, changed or unknown."""
    if len(data) < HEADER.size + CHECK.size or data[:3] != MAGIC:
        raise _damaged(f"{len(data)} bytes that hold none")
    if data[3] != VERSION:
        raise _damaged(f"format {data[3]}, expected {VERSION}")
    if zlib.crc32(data[: -CHECK.size]) != CHECK.unpack(data[-CHECK.size :])[0]:
        raise _damaged("their bytes do not match their checksum")
    bits, is_float, count, dimension, framed, *numbers = HEADER.unpack_from(data)[2:]
    if not np.isfinite(numbers).all() or np.abs(numbers).max() > LARGEST:
        raise _damaged("numbers that are not finite, or too large")
    frame, least, most, (low, step) = numbers[:4], numbers[4:6], numbers[6:8], numbers[8:]
    at = HEADER.size
    width = _packed_width(dimension, bits) if bits < MOST_BITS else dimension
    if not 1 <= bits <= MOST_BITS or len(data) != at + count * (5 + width) + CHECK.size:
        raise _damaged(f"{len(data)} bytes for {count} points")
    points = np.frombuffer(data, "<u2", 2 * count, at).reshape(count, 2)
    scales = np.frombuffer(data, np.uint8, count, at + 4 * count)
    packed = np.frombuffer(data, np.uint8, count * width, at + 5 * count).reshape(count, width)
    return LocalFeatures(
        (np.array(least) + points * _steps(np.array(least), np.array(most))).astype(np.float32),
        _restored(_unpacked(packed, bits, dimension), low, step, is_float=is_float),
        SCALES[scales],
        tuple(frame) if framed else None,
    )


def _damaged(what: str) -> LibraryDamaged:
    return LibraryDamaged(f"local features: {what}; describe the image again with kindred index --force")


def _rectangle(points: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least and the greatest coordinates (2,) of points (N, 2); 0 if there are none."""
    if not len(points):
        return np.zeros(2), np.zeros(2)
    return points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)


def _steps(least: NDArray[np.float64], most: NDArray[np.float64]) -> NDArray[np.float64]:
    span = most - least
    return np.where(span > 0, span / POINT_STEPS, 1.0)


def _scale_steps(scales: NDArray[np.float32]) -> NDArray[np.uint8]:
    octaves = np.log2(np.maximum(scales, LEAST_SCALE) / LEAST_SCALE)
    return np.where(scales > 0, np.clip(1 + np.rint(SCALE_STEPS * octaves), 1, 255), 0).astype(np.uint8)


SCALES = np.where(np.arange(256) > 0, LEAST_SCALE * 2.0 ** ((np.arange(256) - 1) / SCALE_STEPS), 0).astype(np.float32)
"""The scale of each stored byte, up to about 3,700 pixels."""


def _quantised(
    descriptors: NDArray[np.uint8] | NDArray[np.float32], bits: int
) -> tuple[NDArray[np.uint8], float, float]:
    """Quantise descriptors to 2^bits steps; return these, the value of step 0 and the distance between steps."""
    if not descriptors.size or (descriptors.dtype == np.uint8 and bits == 8):
        return descriptors.astype(np.uint8), 0.0, 1.0
    if bits == 1:
        centre = float(descriptors.mean()) if descriptors.dtype == np.uint8 else 0.0
        return (descriptors > centre).astype(np.uint8), -1.0, 2.0
    low, high = float(descriptors.min()), float(descriptors.max())
    if bits < 8:
        low, high = np.quantile(descriptors, (CLIPPED / 2, 1 - CLIPPED / 2)).tolist()
    step = (high - low) / (2**bits - 1) or 1.0
    steps = np.rint((descriptors.astype(np.float32) - low) / step)
    return np.clip(steps, 0, 2**bits - 1).astype(np.uint8), low, step


def _restored(
    steps: NDArray[np.uint8], low: float, step: float, *, is_float: bool
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Invert `_quantised`; returns bytes or float32."""
    if (low, step) == (0.0, 1.0) and not is_float:
        return steps
    values = (np.float32(low) + np.float32(step) * np.arange(256, dtype=np.float32)).astype(np.float32)
    if not is_float:
        return np.clip(np.rint(values), 0, 255).astype(np.uint8).take(steps)
    return values.take(steps)


def _packed_width(dimension: int, bits: int) -> int:
    """Return the bytes of one packed descriptor."""
    return bits * -(-dimension // 8)


def _packed(steps: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Pack steps (N, D) below 2^bits into bytes (N, W): bit by bit, the lowest bits of all components first."""
    if bits == 8:
        return steps
    planes = [np.packbits(steps >> np.uint8(bit) & np.uint8(1), axis=1) for bit in range(bits)]
    return np.concatenate(planes, axis=1)


def _unpacked(packed: NDArray[np.uint8], bits: int, dimension: int) -> NDArray[np.uint8]:
    """Invert `_packed`."""
    if bits == 8:
        return packed
    steps = np.zeros((len(packed), dimension), np.uint8)
    for bit, plane in enumerate(np.split(packed, bits, axis=1)):
        steps |= np.unpackbits(np.ascontiguousarray(plane), axis=1, count=dimension) << np.uint8(bit)
    return steps
