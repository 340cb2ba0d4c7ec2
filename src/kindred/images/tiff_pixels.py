"""TIFF: decode the pixels of a page in groups of rows, for any sample type and layout.

Pillow's TIFF reader supports only some combinations of sample type, byte order, planes and channels, and misreads
others. libtiff (through Pillow) is therefore used for decompression only: it is given a small TIFF file of some strips
or tiles, declared as grey 8-bit pixels, and the resulting bytes are interpreted here. For compressions that depend on
colours (JPEG, fax) the small file keeps the original tags.

Source: TIFF revision 6.0 (Adobe 1992); Adobe Photoshop TIFF Technical Note 3 (floating-point predictor).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, WebPImagePlugin

from kindred.images.memory import check_memory, divisor_for, result_bytes
from kindred.images.raster import Raster, RowReducer, unpack_bits
from kindred.images.reasons import DAMAGED, ENDS_EARLY, Refused, check_size, refusal
from kindred.images.tiff import Page, Tag

__all__ = ["decode_page"]

Bytes = NDArray[np.uint8]
Samples = NDArray[np.generic]

_GROUP = 16_000_000  # bytes of rows decoded at once
_NONE, _JPEG, _WEBP = 1, 7, 50001
_DEFLATE = (8, 32946)
_FAX = (2, 3, 4)
_PLAIN = (_NONE, 5, *_DEFLATE, 32773, 34925, 50000)  # compressions of bytes: LZW, deflate, PackBits, LZMA, Zstandard
_NAMES = {34712: "JPEG 2000", 33003: "JPEG 2000", 33005: "JPEG 2000", 34887: "LERC", 50002: "JPEG XL", 52546: "JPEG XL"}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4}
_ASSOCIATED, _UNASSOCIATED = 1, 2  # ExtraSamples: premultiplied and straight alpha
_REVERSED = np.array([int(f"{value:08b}"[::-1], 2) for value in range(256)], np.uint8)
_COPIED: tuple[int, ...] = (
    Tag.BITS,
    Tag.PHOTOMETRIC,
    Tag.SAMPLES,
    Tag.FAX3_OPTIONS,
    Tag.FAX4_OPTIONS,
    Tag.EXTRA_SAMPLES,
)
_COPIED += (Tag.SAMPLE_FORMAT, Tag.SUBSAMPLING, Tag.COLOUR_MAP, Tag.PREDICTOR)


def decode_page(page: Page, longest: int | None, max_pixels: int) -> Raster:
    """Return the stored samples of a page, before orientation, downscaled as far as `longest` allows."""
    width, height = page.size
    check_size(width, height, max_pixels)
    layout = _Layout(page)
    divisor = divisor_for(width, height, longest)
    layout.check(divisor, max_pixels)
    reducer = RowReducer(width, height, divisor=divisor, alpha=layout.alpha is not None)
    try:
        with np.errstate(all="ignore"):  # floats may be anything
            for rows in layout.rows():
                reducer.add(rows)
    except Exception as error:  # damaged bytes may raise anything
        raise refusal(error) from error
    return reducer.raster()


@dataclass(frozen=True, eq=False)
class _Layout:
    """The layout of the samples of a page in its file."""

    page: Page

    # Values of the tags.

    @cached_property
    def compression(self) -> int:
        return self.page.number(Tag.COMPRESSION, _NONE)

    @cached_property
    def photometric(self) -> int:
        return self.page.number(Tag.PHOTOMETRIC, _WHITE_IS_ZERO)

    @cached_property
    def samples(self) -> int:
        """Number of channels, including unused ones."""
        return self.page.number(Tag.SAMPLES, 1)

    @cached_property
    def separate(self) -> bool:
        """Whether each channel is stored in a separate plane."""
        return self.page.number(Tag.PLANAR, 1) == 2 and self.samples > 1

    @cached_property
    def bits(self) -> int:
        bits = self.page.numbers(Tag.BITS) or (1,)
        if len(set(bits)) != 1:
            raise Refused("unsupported TIFF: channels of different sizes")
        return bits[0]

    @cached_property
    def dtype(self) -> np.dtype[np.generic]:
        """The type of a sample, in the byte order of the file."""
        kind = {1: "u", 2: "i", 3: "f", 4: "u"}.get(self.page.number(Tag.SAMPLE_FORMAT, 1))
        if kind is None:
            raise Refused("unsupported TIFF: complex numbers")
        bits = 8 if self.bits <= 8 else 16 if self.bits < 16 else self.bits
        if bits not in ((16, 32, 64) if kind == "f" else (8, 16, 32)) or (self.packed and kind != "u"):
            raise Refused(f"unsupported TIFF: {self.bits} bits per sample")
        return np.dtype(f"{self.page.order}{kind}{bits // 8}")

    @cached_property
    def packed(self) -> bool:
        """Whether samples are smaller than a byte or not whole bytes."""
        return self.bits < 16 and self.bits != 8

    @cached_property
    def alpha(self) -> int | None:
        """The index of the alpha channel, if there is one."""
        if self.by_colour:
            return None
        colours = _COLOURS[self.photometric]
        extras = self.page.numbers(Tag.EXTRA_SAMPLES)
        for place, extra in enumerate(extras):
            if extra in (_ASSOCIATED, _UNASSOCIATED) and colours + place < self.samples:
                return None if self.photometric == _CMYK else colours + place
        return 3 if self.photometric == _RGB and self.samples == 4 and not extras else None

    @cached_property
    def by_colour(self) -> bool:
        """Whether decompression depends on colours; it then returns RGB or grey pixels."""
        if self.compression == _JPEG:
            return not self.separate
        return self.compression in (*_FAX, _WEBP) or self.photometric in (_YCBCR, _LAB)

    # Location of the bytes. A unit is a strip, or a row of tiles.

    @cached_property
    def tiled(self) -> bool:
        return Tag.TILE_WIDTH in self.page.entries

    @cached_property
    def unit(self) -> tuple[int, int, int]:
        """Number of segments in a unit, and the width and height of a segment in pixels."""
        width, height = self.page.size
        if not self.tiled:
            return 1, width, max(1, min(height, self.page.number(Tag.ROWS_PER_STRIP, height)))
        tile = self.page.number(Tag.TILE_WIDTH, 0), self.page.number(Tag.TILE_HEIGHT, 0)
        if not (0 < tile[0] <= 2 * width + 1024 and 0 < tile[1] <= 2 * height + 1024):
            raise Refused(DAMAGED)
        return -(-width // tile[0]), *tile

    @cached_property
    def row_bytes(self) -> int:
        """Size in bytes of one row of a segment, of one plane if they are separate."""
        channels = 1 if self.separate else self.samples
        return (self.unit[1] * channels * self.bits + 7) // 8

    @cached_property
    def offsets_and_counts(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Offsets and byte counts of all segments, plane by plane, row by row."""
        first, second = (Tag.TILE_OFFSETS, Tag.TILE_COUNTS) if self.tiled else (Tag.STRIP_OFFSETS, Tag.STRIP_COUNTS)
        offsets, counts = self.page.numbers(first), self.page.numbers(second)
        wanted = self.unit[0] * -(-self.page.size[1] // self.unit[2]) * (self.samples if self.separate else 1)
        if len(offsets) < wanted:
            raise Refused(ENDS_EARLY if first in self.page.entries else DAMAGED)
        if len(counts) < wanted:  # old files omit the count of a single strip
            whole = self.row_bytes * self.unit[2]
            size = len(self.page.data)
            counts = tuple(min(whole, size - at) if self.compression == _NONE else size - at for at in offsets)
        return offsets[:wanted], counts[:wanted]

    # Checks before decoding.

    def check(self, divisor: int, max_pixels: int) -> None:
        """Raise `Refused` for an unsupported layout, or one that needs too much memory."""
        if self.compression not in (*_PLAIN, *_FAX, _JPEG, _WEBP):
            raise Refused(f"unsupported TIFF: compression {_NAMES.get(self.compression, self.compression)}")
        if not 1 <= self.samples <= 64 or not 1 <= self.bits <= 64:
            raise Refused(DAMAGED)
        if self.by_colour:
            if self.separate:
                raise Refused("unsupported TIFF: colours that are not RGB in separate planes")
        elif self.photometric not in _COLOURS:
            raise Refused(f"unsupported TIFF: photometric interpretation {self.photometric}")
        elif self.samples < _COLOURS[self.photometric]:
            raise Refused(DAMAGED)
        width, height = self.page.size
        shown = 3 if self.by_colour else _COLOURS[self.photometric] + (self.alpha is not None)
        size = 1 if self.by_colour else self.dtype.itemsize if divisor == 1 else min(4, 4 * self.dtype.itemsize - 3)
        pixels = -(-width // divisor) * -(-height // divisor)
        turned = self.page.number(Tag.ORIENTATION, 1) != 1
        result = result_bytes(pixels, shown, itemsize=size, alpha=self.alpha is not None, turned=turned)
        check_memory(len(self.page.data) + self.working_bytes + result, max_pixels)

    @cached_property
    def working_bytes(self) -> int:
        """Memory in bytes for decoding, in addition to the file and the result."""
        unit = self.row_bytes * self.unit[0] * self.unit[2] * (self.samples if self.separate else 1)
        if self.cuttable or unit <= _GROUP:
            return 8 * min(_GROUP, unit * -(-self.page.size[1] // self.unit[2]))
        # The decoded strip and its copy from Pillow, and its compressed bytes twice.
        return 8 * _GROUP + 3 * unit + 2 * max(self.offsets_and_counts[1])

    @cached_property
    def cuttable(self) -> bool:
        """Whether a strip can be decoded in pieces."""
        return self.compression in (_NONE, *_DEFLATE) and not self.tiled and not self.by_colour

    # Rows.

    def rows(self) -> Iterator[Samples]:
        """Yield the rows of the page from top to bottom, as (R, W, C): colours, and alpha if there is any."""
        width, height = self.page.size
        if self.by_colour:
            for rows in self._coloured():
                yield rows[:height, :width]
            return
        planes = [self._plane(number) for number in range(self.samples if self.separate else 1)]
        # All planes have the same geometry, so their groups hold the same rows.
        for parts in zip(*planes, strict=True):
            rows = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
            yield self._channels(rows[:, :width])

    def _plane(self, plane: int) -> Iterator[Samples]:
        """Yield rows of one plane in groups, as (R, at least W, C)."""
        for packed in self._decoded(plane):
            step = max(1, _GROUP // max(1, packed[0].size))
            for start in range(0, len(packed), step):
                yield self._typed(packed[start : start + step])

    def _decoded(self, plane: int) -> Iterator[Bytes]:
        """Yield rows of one plane in groups, as bytes (R, segments, bytes per segment row)."""
        across, _, tall = self.unit
        units = -(-self.page.size[1] // tall)
        first = plane * units * across
        if self.cuttable:
            yield from _gathered(
                part
                for unit in range(units)
                for part in self._cut_strip(first + unit, min(tall, self.page.size[1] - unit * tall))
            )
            return
        step = max(1, _GROUP // max(1, self.row_bytes * across * tall))
        for unit in range(0, units, step):
            many = min(step, units - unit)
            rows = min(many * tall, self.page.size[1] - unit * tall)
            segments = [self._segment(first + number) for number in range(unit * across, (unit + many) * across)]
            yield self._by_libtiff(segments, many * tall if self.tiled else rows)[:rows]

    def _segment(self, number: int) -> bytes:
        at, count = self.offsets_and_counts[0][number], self.offsets_and_counts[1][number]
        if at < 8 or count < 1 or at + count > len(self.page.data):
            raise Refused(ENDS_EARLY if at + count > len(self.page.data) else DAMAGED)
        return self.page.data[at : at + count]

    def _cut_strip(self, number: int, rows: int) -> Iterator[Bytes]:
        """Yield the rows of an uncompressed or deflated strip of any size, in groups."""
        step = max(1, _GROUP // self.row_bytes)
        at, count = self.offsets_and_counts[0][number], self.offsets_and_counts[1][number]
        if self.compression != _NONE:
            inflater, rest = zlib.decompressobj(), self._segment(number)
        elif at + min(count, rows * self.row_bytes) > len(self.page.data):
            raise Refused(ENDS_EARLY)
        for start in range(0, rows, step):
            many = min(step, rows - start)
            wanted = many * self.row_bytes
            if self.compression == _NONE:
                part = self.page.data[at + start * self.row_bytes : at + start * self.row_bytes + wanted]
            else:
                try:
                    part = _inflate(inflater, rest, wanted)
                except zlib.error:
                    raise Refused(DAMAGED) from None
                rest = b""
            if len(part) < wanted:
                raise Refused(ENDS_EARLY)
            values = np.frombuffer(part, np.uint8).reshape(many, 1, self.row_bytes)
            if self.page.number(Tag.FILL_ORDER, 1) == 2 and self.compression == _NONE:
                values = _REVERSED[values]
            yield values

    def _by_libtiff(self, segments: list[bytes], rows: int) -> Bytes:
        """Decompress some units, as bytes (R, segments in a unit, bytes per segment row)."""
        across, _, tall = self.unit
        tags: dict[int, tuple[int, ...]] = {Tag.BITS: (8,), Tag.PHOTOMETRIC: (_BLACK_IS_ZERO,), Tag.SAMPLES: (1,)}
        tile = (self.row_bytes, tall) if self.tiled else None
        if tile and self.row_bytes % 16:  # libtiff requires multiples of 16
            raise Refused("unsupported TIFF: tiles of an odd width")
        image = _open(
            _small_file(self.page, segments, size=(self.row_bytes * across, rows), tile=tile, strip=tall, tags=tags)
        )
        return np.asarray(image).reshape(rows, across, self.row_bytes)

    def _typed(self, packed: Bytes) -> Samples:
        """Return samples (R, at least W, C) from bytes (R, segments, bytes per row), undoing the predictor."""
        rows, (across, wide, _) = len(packed), self.unit
        channels = 1 if self.separate else self.samples
        predictor = self.page.number(Tag.PREDICTOR, 1) if self.compression != _NONE else 1
        shape = (rows, across, wide, channels)
        if self.packed:
            values: Samples = unpack_bits(packed, wide * channels, self.bits).reshape(shape)
        elif predictor == 3 and self.dtype.kind == "f":
            values = _undo_float_predictor(packed, self.dtype.itemsize, channels).reshape(shape)
        else:
            typed = np.ascontiguousarray(packed).view(self.dtype).reshape(shape)
            values = typed.astype(self.dtype.newbyteorder("="), copy=False)
        if predictor == 2:
            values = np.cumsum(values, axis=2, dtype=values.dtype)
        return values.reshape(rows, across * wide, channels)

    def _channels(self, rows: Samples) -> Samples:
        """Return grey, RGB or CMYK with alpha, from all channels (R, W, samples)."""
        colours = rows[..., : _COLOURS[self.photometric]]
        if self.bits < 8 and self.photometric != _PALETTE:
            colours = (colours.astype(np.uint8) * (255 // ((1 << self.bits) - 1))).astype(np.uint8)
        elif self.packed and 8 < self.bits < 16:
            colours = (colours.astype(np.uint32) * 65535 // ((1 << self.bits) - 1)).astype(np.uint16)
        if self.photometric == _WHITE_IS_ZERO:
            colours = np.subtract(_top(colours.dtype, otherwise=0), colours, dtype=colours.dtype)
        elif self.photometric == _PALETTE:
            colours = self._from_palette(colours[..., 0])
        if self.alpha is None:
            return colours
        alpha = rows[..., self.alpha, None]
        if _ASSOCIATED in self.page.numbers(Tag.EXTRA_SAMPLES):
            top = _top(rows.dtype, otherwise=1)
            scale = top / np.maximum(alpha.astype(np.float32), 1e-9)
            colours = np.minimum(colours.astype(np.float32) * scale, top).astype(rows.dtype)
        return np.concatenate([colours, alpha], axis=2)

    def _from_palette(self, indices: Samples) -> Samples:
        table = np.array(self.page.numbers(Tag.COLOUR_MAP), np.uint16)
        if self.bits > 8 or len(table) != 3 << self.bits:
            raise Refused(DAMAGED)
        eight = (table >> (8 if table.max() > 255 else 0)).astype(np.uint8)  # some programs write 8 bits
        colours: Samples = np.ascontiguousarray(eight.reshape(3, -1).T)[indices.astype(np.uint8)]
        return colours

    # Compressions that depend on colours.

    def _coloured(self) -> Iterator[Samples]:
        across, wide, tall = self.unit
        units = -(-self.page.size[1] // tall)
        step = max(1, _GROUP // max(1, self.row_bytes * across * tall))
        for unit in range(0, units, step):
            many = min(step, units - unit)
            rows = min(many * tall, self.page.size[1] - unit * tall)
            segments = [self._segment(number) for number in range(unit * across, (unit + many) * across)]
            if self.compression == _WEBP:
                image = self._from_webp(segments, many)
            else:
                tags = {tag: self.page.numbers(tag) for tag in _COPIED if tag in self.page.entries}
                size = (wide * across, many * tall) if self.tiled else (wide, rows)
                tile = (wide, tall) if self.tiled else None
                image = _open(_small_file(self.page, segments, size=size, tile=tile, strip=tall, tags=tags))
            plain = image if image.mode in ("L", "RGB", "CMYK") else image.convert("L" if image.mode == "1" else "RGB")
            few = max(1, _GROUP // (4 * plain.width))
            for start in range(0, rows, few):
                box = (0, start, plain.width, min(rows, start + few))
                yield np.asarray(plain.crop(box)).reshape(box[3] - start, plain.width, -1)

    def _from_webp(self, segments: list[bytes], units: int) -> Image.Image:
        across, wide, tall = self.unit
        whole = Image.new("RGB", (across * wide, units * tall))
        for number, segment in enumerate(segments):
            try:
                part = WebPImagePlugin.WebPImageFile(io.BytesIO(segment))
            except Exception as error:  # a reader given damaged bytes may raise anything
                raise refusal(error) from error
            if part.width > wide or part.height > tall:
                raise Refused(DAMAGED)
            whole.paste(part.convert("RGB"), (number % across * wide, number // across * tall))
        return whole


def _top(dtype: np.dtype[np.generic], *, otherwise: int) -> int:
    """Return the greatest value of an unsigned integer type, or `otherwise`."""
    return 256**dtype.itemsize - 1 if dtype.kind == "u" else otherwise


def _gathered(parts: Iterable[Bytes]) -> Iterator[Bytes]:
    """Join small groups of rows, so that strips of one row are efficient."""
    waiting: list[Bytes] = []
    for part in parts:
        waiting.append(part)
        if waiting[0].size * len(waiting) >= _GROUP // 4:  # all but the last have the same size
            yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _small_file(
    page: Page,
    segments: list[bytes],
    *,
    size: tuple[int, int],
    tile: tuple[int, int] | None,
    strip: int,
    tags: dict[int, tuple[int, ...]],
) -> bytes:
    """Return a little-endian TIFF file of some segments, compressed as those of `page`."""
    at = [8]
    for segment in segments:
        at.append(at[-1] + len(segment))
    counts = tuple(len(segment) for segment in segments)
    tags = tags | {Tag.WIDTH: (size[0],), Tag.HEIGHT: (size[1],), Tag.COMPRESSION: page.numbers(Tag.COMPRESSION)[:1]}
    tags |= {Tag.FILL_ORDER: (page.number(Tag.FILL_ORDER, 1),)}
    if tile:
        tags |= {Tag.TILE_WIDTH: (tile[0],), Tag.TILE_HEIGHT: (tile[1],)}
        tags |= {Tag.TILE_OFFSETS: tuple(at[:-1]), Tag.TILE_COUNTS: counts}
    else:
        tags |= {Tag.ROWS_PER_STRIP: (strip,), Tag.STRIP_OFFSETS: tuple(at[:-1]), Tag.STRIP_COUNTS: counts}
    if Tag.JPEG_TABLES in page.entries and page.number(Tag.COMPRESSION, 0) == _JPEG:
        tags |= {Tag.JPEG_TABLES: tuple(page.raw(Tag.JPEG_TABLES))}
    return _assembled(segments, at[-1] + at[-1] % 2, tags)


def _assembled(segments: list[bytes], directory: int, tags: dict[int, tuple[int, ...]]) -> bytes:
    longs = {Tag.WIDTH, Tag.HEIGHT, Tag.ROWS_PER_STRIP, Tag.STRIP_OFFSETS, Tag.STRIP_COUNTS, Tag.TILE_OFFSETS}
    longs |= {Tag.TILE_COUNTS, Tag.TILE_WIDTH, Tag.TILE_HEIGHT, Tag.FAX3_OPTIONS, Tag.FAX4_OPTIONS}
    entries, outside = [], b""
    start = directory + 2 + 12 * len(tags) + 4
    for tag in sorted(tags):
        kind, form = (7, "B") if tag == Tag.JPEG_TABLES else (4, "L") if tag in longs else (3, "H")
        values = struct.pack(f"<{len(tags[tag])}{form}", *tags[tag])
        entry = struct.pack("<HHL", tag, kind, len(tags[tag]))
        if len(values) > 4:
            entry += struct.pack("<L", start + len(outside))
            outside += values + bytes(len(values) % 2)
        else:
            entry += values.ljust(4, b"\0")
        entries.append(entry)
    head = struct.pack("<2sHL", b"II", 42, directory)
    body = b"".join([head, *segments])
    return b"".join([body, bytes(directory - len(body)), struct.pack("<H", len(tags)), *entries, bytes(4), outside])


def _open(data: bytes) -> Image.Image:
    try:
        image = TiffImagePlugin.TiffImageFile(io.BytesIO(data))
        # Allocated here, as Pillow's TIFF reader would check a process-wide limit.
        image.im = Image.new(image.mode, image.size).im
        image.load()
    except Exception as error:  # a decoder given damaged bytes may raise anything
        raise refusal(error) from error
    return image


def _inflate(inflater: zlib._Decompress, data: bytes, wanted: int) -> bytes:
    """Return the next `wanted` bytes, fewer at the end of the stream."""
    part = inflater.decompress(data or inflater.unconsumed_tail, wanted)
    while len(part) < wanted and inflater.unconsumed_tail and not inflater.eof:
        part += inflater.decompress(inflater.unconsumed_tail, wanted - len(part))
    return part


def _undo_float_predictor(packed: Bytes, size: int, channels: int) -> Samples:
    """Return floats of `size` bytes (R, segments, count) from byte differences, highest bytes first."""
    rows, across, length = packed.shape
    summed = np.cumsum(packed.reshape(rows, across, length // channels, channels), axis=2, dtype=np.uint8)
    planes = summed.reshape(rows, across, size, length // size)
    floats = np.ascontiguousarray(np.moveaxis(planes, 2, 3)).view(np.dtype(f">f{size}"))
    return floats[..., 0].astype(np.dtype(f"=f{size}"))
