"""Write PNG files chunk by chunk, with a filter for each row, independently of the reader."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.uint8] | NDArray[np.uint16]
KINDS = {1: 0, 2: 4, 3: 2, 4: 6}
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(name: bytes, body: bytes, *, good: bool = True) -> bytes:
    checksum = zlib.crc32(name + body) ^ (0 if good else 1)
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", checksum)


def png(
    samples: Samples, *, kind: int | None = None, depth: int = 0, interlaced: bool = False, before: Sequence[bytes] = ()
) -> bytes:
    """A file of samples (H, W, C); `before` are whole chunks that go before the pixels."""
    height, width, channels = samples.shape
    depth = depth or samples.dtype.itemsize * 8
    kind = KINDS[channels] if kind is None else kind
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in PASSES] if interlaced else [samples]
    raw = b"".join(filtered(part, depth) for part in parts if part.size)
    header = struct.pack(">LLBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    pixels = zlib.compress(raw)
    half = len(pixels) // 2  # in two chunks
    chunks = [chunk(b"IHDR", header), *before, chunk(b"IDAT", pixels[:half]), chunk(b"IDAT", pixels[half:])]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def filtered(samples: Samples, depth: int) -> bytes:
    """The rows, filtered by each of the five filters in turn."""
    unit = max(1, samples.shape[2] * depth // 8)
    out, above = b"", None
    for number, row in enumerate(samples):
        line = raw_row(row, depth)
        previous = above if above is not None else bytes(len(line))
        out += bytes([number % 5]) + one_filter(number % 5, line, previous, unit)
        above = line
    return out


def raw_row(row: Samples, depth: int) -> bytes:
    if depth == 16:
        return row.astype(">u2").tobytes()
    text = "".join(f"{int(value):0{depth}b}" for value in row.ravel())
    text += "0" * (-len(text) % 8)
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))


def one_filter(number: int, line: bytes, above: bytes, unit: int) -> bytes:
    out = bytearray()
    for at, value in enumerate(line):
        left = line[at - unit] if at >= unit else 0
        corner = above[at - unit] if at >= unit else 0
        guess = [0, left, above[at], (left + above[at]) // 2, paeth(left, above[at], corner)][number]
        out.append((value - guess) & 255)
    return bytes(out)


def paeth(left: int, above: int, corner: int) -> int:
    estimate = left + above - corner
    return min((left, above, corner), key=lambda value: abs(estimate - value))
