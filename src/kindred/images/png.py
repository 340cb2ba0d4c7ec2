"""PNG: read the chunks, and decode the pixels in groups of rows, with all 16 bits.

Pillow's PNG reader keeps the whole image at four bytes per pixel, drops the lower half of 16-bit colours and refuses
files for flaws outside the image data. It is used here only to undo the row filters, for a group of rows at a time: the
filters work on bytes at the distance of one pixel, so rows of any type can be passed as 8-bit pixels with as many
channels.

Source: Portable Network Graphics, third edition (W3C 2025).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import PngImagePlugin

from kindred.images.memory import check_memory, result_bytes
from kindred.images.raster import Raster, RowReducer, unpack_bits
from kindred.images.reasons import DAMAGED, ENDS_EARLY, Refused, check_size, refusal

__all__ = ["Chunk", "Png", "decode_rows", "read_png", "whole_file"]

Bytes = NDArray[np.uint8]
Samples = NDArray[np.generic]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS = 1_000_000
_ANIMATION = (b"acTL", b"fcTL", b"IDAT", b"fdAT")
_GROUP = 8_000_000  # bytes of rows decoded at once
_MAX_PROFILE = 16_000_000  # bytes of an ICC profile
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_GREY, _RGB, _PALETTE = 0, 2, 3
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_SCREEN = 2.2  # the display exponent that browsers assume
_SAME_GAMMA = 0.05  # as in libpng: exponents closer to 1 have no effect


@dataclass(frozen=True, eq=False)
class Chunk:
    """A chunk of a file, with its length, name and checksum."""

    name: bytes
    whole: memoryview

    @property
    def body(self) -> memoryview:
        """The content of the chunk."""
        return self.whole[8:-4]

    @property
    def intact(self) -> bool:
        """Whether its checksum is correct."""
        return zlib.crc32(self.whole[4:-4]) == int.from_bytes(self.whole[-4:], "big")


@dataclass(frozen=True, eq=False)
class Png:
    """A parsed file. `kind` is the number of its colour type; `pixels`, `frames` and the others are chunks."""

    width: int
    height: int
    depth: int
    kind: int
    interlaced: bool
    header: bytes
    pixels: list[Chunk] = field(repr=False)
    animation: list[Chunk] = field(repr=False)
    palette: bytes = b""
    transparent: bytes = b""
    exif: bytes = b""
    profile: bytes = b""
    gamma: float = 1.0

    @property
    def channels(self) -> int:
        """Samples per pixel."""
        return _CHANNELS[self.kind]


def read_png(data: bytes, max_pixels: int) -> Png:
    """Parse a file; damaged chunks outside the image data are ignored, as in viewers."""
    if data[12:16] == b"IHDR" and len(data) >= 24:
        width, height = struct.unpack_from(">LL", data, 16)
        check_size(width, height, max_pixels)
    pixels: list[Chunk] = []
    animation: list[Chunk] = []
    found: dict[bytes, bytes] = {}
    for chunk in _chunks(data):
        if chunk.name == b"IDAT":
            pixels.append(chunk)
        if chunk.name in _ANIMATION:
            animation.append(chunk)
        elif chunk.name in (b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"iCCP", b"gAMA", b"sRGB"):
            found.setdefault(chunk.name, bytes(chunk.body))
    header = found.get(b"IHDR", b"")
    if len(header) != 13:
        raise Refused(DAMAGED)
    width, height, depth, kind, method, filtering, interlace = struct.unpack(">LLBBBBB", header)
    if depth not in _DEPTHS.get(kind, ()) or method or filtering or interlace > 1:
        raise Refused(DAMAGED)
    if not pixels:
        raise Refused(ENDS_EARLY)
    return Png(
        width,
        height,
        depth,
        kind,
        bool(interlace),
        header,
        pixels,
        animation if any(chunk.name == b"acTL" for chunk in animation) else [],
        found.get(b"PLTE", b""),
        found.get(b"tRNS", b""),
        found.get(b"eXIf", b""),
        _inflated_profile(found.get(b"iCCP", b"")),
        _exponent(found),
    )


def _chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a file; raises `Refused` if a chunk of the image data is damaged or truncated.

    The checksums of the pixel data are checked when they are read.
    """
    view = memoryview(data)
    at = len(_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if at + 8 > len(data):  # only the end chunk may be missing
            return
        length, name = struct.unpack_from(">L4s", data, at)
        end = at + 12 + length
        if end > len(data):
            if name == b"IEND":
                return
            raise Refused(ENDS_EARLY)
        chunk = Chunk(name, view[at:end])
        if name == b"IEND":
            return
        if name == b"IDAT" or chunk.intact:
            yield chunk
        elif not name[:1].islower():  # a critical chunk
            raise Refused(DAMAGED)
        at = end


def _inflated_profile(chunk: bytes) -> bytes:
    name, _, rest = chunk.partition(b"\0")
    if not name or rest[:1] != b"\0":
        return b""
    try:
        return zlib.decompressobj().decompress(rest[1:], _MAX_PROFILE)
    except zlib.error:
        return b""


def _exponent(chunks: dict[bytes, bytes]) -> float:
    """Return the exponent for display of values from 0 to 1; 1 unless gAMA alone describes the colours."""
    gamma = int.from_bytes(chunks.get(b"gAMA", b""), "big") / 100_000
    if b"sRGB" in chunks or b"iCCP" in chunks or not 0.05 <= gamma <= 20:
        return 1.0
    exponent = 1 / (gamma * _SCREEN)
    return exponent if abs(exponent - 1) > _SAME_GAMMA else 1.0


def whole_file(png: Png, *, animated: bool = False) -> bytes:
    """Return the file with only the chunks that Pillow needs for the image (or for all frames)."""
    tables = [_chunk(name, body) for name, body in ((b"PLTE", png.palette), (b"tRNS", png.transparent)) if body]
    chunks = [chunk.whole for chunk in (png.animation if animated else png.pixels)]
    if animated and png.animation[0].name == b"acTL":
        tables.insert(0, bytes(chunks.pop(0)))
    return b"".join([_SIGNATURE, _chunk(b"IHDR", png.header), *tables, *chunks, _chunk(b"IEND", b"")])


def _chunk(name: bytes, body: bytes) -> bytes:
    return b"".join([struct.pack(">L", len(body)), name, body, struct.pack(">L", zlib.crc32(body, zlib.crc32(name)))])


def decode_rows(png: Png, *, divisor: int, max_pixels: int) -> Raster:
    """Return the samples of the image, downscaled by `divisor` while decoding."""
    wide = png.depth == 16
    alpha = png.kind in (4, 6) or bool(png.transparent)
    shown = (3 if png.kind in (_RGB, _PALETTE, 6) else 1) + alpha
    size = (2 if divisor == 1 else 4) if wide else 1
    pixels = -(-png.width // divisor) * -(-png.height // divisor)
    result = result_bytes(pixels, shown, itemsize=size, alpha=alpha, turned=bool(png.exif))
    file = sum(len(chunk.whole) for chunk in png.pixels)
    whole = png.width * png.height * png.channels * 3 if png.interlaced else 0
    row = png.width * png.channels * (2 if wide else 1)
    check_memory(2 * file + whole + 8 * max(_GROUP, row) + result, max_pixels)
    reducer = RowReducer(png.width, png.height, divisor=divisor, alpha=alpha)
    stream = _Inflated(png.pixels)
    for rows in _deinterlaced(png, stream) if png.interlaced else _pass_rows(png, stream, png.width, png.height):
        reducer.add(_channels(png, rows))
    return reducer.raster()


class _Inflated:
    """The image data, inflated on demand."""

    def __init__(self, chunks: list[Chunk]) -> None:
        self._chunks = iter(chunks)
        self._inflater = zlib.decompressobj()
        self._waiting: bytes | memoryview = b""

    def read(self, wanted: int) -> bytes:
        """Return exactly `wanted` bytes; raises `Refused` if there are fewer."""
        out: list[bytes] = []
        while wanted:
            if not self._waiting:
                chunk = next(self._chunks, None)
                if chunk is None or self._inflater.eof:
                    raise Refused(ENDS_EARLY)
                if not chunk.intact:
                    raise Refused(DAMAGED)
                self._waiting = chunk.body
            try:
                out.append(self._inflater.decompress(self._waiting, wanted))
            except zlib.error:
                raise Refused(DAMAGED) from None
            self._waiting = self._inflater.unconsumed_tail
            wanted -= len(out[-1])
        return b"".join(out)


def _pass_rows(png: Png, stream: _Inflated, width: int, height: int) -> Iterator[Bytes]:
    """Yield unfiltered rows of raw samples in groups (R, bytes per row)."""
    length = (width * png.channels * png.depth + 7) // 8
    before = np.zeros(length, np.uint8)
    step = max(1, _GROUP // length)
    for start in range(0, height, step):
        many = min(step, height - start)
        filtered = np.frombuffer(stream.read(many * (1 + length)), np.uint8).reshape(many, 1 + length)
        if filtered[:, 0].max() > 4:
            raise Refused(DAMAGED)
        rows = _unfiltered(filtered, before, png)
        yield rows
        before = rows[-1]


def _unfiltered(filtered: Bytes, before: Bytes, png: Png) -> Bytes:
    """Undo the filters of rows (R, 1 + length), given the previous row."""
    if png.depth < 16:
        return _by_pillow(filtered[:, 0], filtered[:, 1:], before, png.channels)
    out = np.empty((len(filtered), len(before)), np.uint8)
    for half in (0, 1):  # the upper and the lower bytes are filtered independently of each other
        out[:, half::2] = _by_pillow(filtered[:, 0], filtered[:, 1 + half :: 2], before[half::2], png.channels)
    return out


def _by_pillow(filters: Bytes, body: Bytes, before: Bytes, channels: int) -> Bytes:
    """Undo the filters of rows (R, length) of 8-bit pixels with Pillow, after an unfiltered row `before`."""
    kind, mode = {1: (0, "L"), 2: (4, "LA"), 3: (2, "RGB"), 4: (6, "RGBA")}[channels]
    rows = np.zeros((len(body) + 1, 1 + body.shape[1]), np.uint8)
    rows[0, 1:] = before
    rows[1:, 0], rows[1:, 1:] = filters, body
    header = struct.pack(">LLBBBBB", body.shape[1] // channels, len(rows), 8, kind, 0, 0, 0)
    parts = [_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows.data, 0)), _chunk(b"IEND", b"")]
    try:
        image = PngImagePlugin.PngImageFile(io.BytesIO(b"".join(parts)))
        image.load()
    except Exception as error:  # a reader given damaged bytes may raise anything
        raise refusal(error) from error
    assert image.mode == mode
    return np.asarray(image).reshape(len(rows), -1)[1:]


def _deinterlaced(png: Png, stream: _Inflated) -> Iterator[Bytes]:
    """Yield all rows of an interlaced image of whole-byte samples at once."""
    size = png.channels * png.depth // 8
    whole = np.empty((png.height, png.width, size), np.uint8)
    for left, top, right, down in _PASSES:
        width, height = -(-(png.width - left) // right), -(-(png.height - top) // down)
        if width < 1 or height < 1:
            continue
        at = top
        for rows in _pass_rows(png, stream, width, height):
            part = rows.reshape(len(rows), width, size)
            whole[at : at + down * len(rows) : down, left::right] = part
            at += down * len(rows)
    step = max(1, _GROUP // (png.width * size))
    for start in range(0, png.height, step):
        yield whole[start : start + step].reshape(-1, png.width * size)


def _channels(png: Png, rows: Bytes) -> Samples:
    """Return rows as grey or RGB with alpha (R, W, C)."""
    if png.depth == 16:
        samples: Samples = np.ascontiguousarray(rows).view(">u2").astype(np.uint16)
    else:
        samples = unpack_bits(rows, png.width * png.channels, png.depth) if png.depth < 8 else rows
    samples = samples.reshape(len(rows), png.width, png.channels)
    if png.kind == _PALETTE:
        return _palette(png)[samples[..., 0].astype(np.uint8)]
    top = 65535 if png.depth == 16 else 255
    alpha = None
    if png.kind in (_GREY, _RGB) and len(png.transparent) >= 2 * png.channels:
        clear = np.frombuffer(png.transparent, ">u2", png.channels)
        alpha = np.where((samples == clear).all(axis=2, keepdims=True), 0, top).astype(samples.dtype)
    if png.depth < 8:
        samples = (samples.astype(np.uint8) * (255 // ((1 << png.depth) - 1))).astype(np.uint8)
    if png.transparent and alpha is None and png.kind in (_GREY, _RGB):
        alpha = np.full((*samples.shape[:2], 1), top, samples.dtype)
    return samples if alpha is None else np.concatenate([samples, alpha], axis=2)


def _palette(png: Png) -> Bytes:
    """Return the colours, with alpha if there is any, of all 256 indices; black for undefined ones."""
    table = np.zeros((256, 4), np.uint8)
    colours = np.frombuffer(png.palette[: min(768, len(png.palette) // 3 * 3)], np.uint8).reshape(-1, 3)
    table[: len(colours), :3] = colours
    table[:, 3] = 255
    opacity = np.frombuffer(png.transparent[:256], np.uint8)
    table[: len(opacity), 3] = opacity
    return table if png.transparent else np.ascontiguousarray(table[:, :3])
