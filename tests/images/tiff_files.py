"""Write TIFF files of every kind that the reader supports, independently of it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

Samples = NDArray[np.generic]

TYPES = {"u": 1, "i": 2, "f": 3}
COMPRESSIONS = {"none": 1, "tiff_lzw": 5, "deflate": 8, "packbits": 32773, "zstd": 50000}


@dataclass(frozen=True)
class Kind:
    """How a file is laid out; `tags` are added to it or replace those made here."""

    order: str = "<"
    big: bool = False
    separate: bool = False
    compression: str = "none"
    predictor: int = 1
    rows: int = 7
    tile: int = 0
    photometric: int | None = None
    extra: tuple[int, ...] = ()
    bits: int = 0  # below the size of the type: samples are packed
    tags: Mapping[int, tuple[int, ...] | bytes] = field(default_factory=dict)


def tiff(samples: Samples, kind: Kind) -> bytes:
    """A file of one page from samples (H, W, C)."""
    height, width, channels = samples.shape
    photometric = kind.photometric if kind.photometric is not None else {1: 1, 2: 1, 3: 2, 4: 2}[channels]
    planes = [samples[..., c : c + 1] for c in range(channels)] if kind.separate else [samples]
    segments = [segment(part, kind) for plane in planes for part in parts(plane, kind)]
    bits = kind.bits or samples.dtype.itemsize * 8
    tags: dict[int, tuple[int, ...] | bytes] = {
        256: (width,),
        257: (height,),
        258: (bits,) * channels,
        259: (COMPRESSIONS[kind.compression],),
        262: (photometric,),
        277: (channels,),
        284: (2 if kind.separate else 1,),
        317: (kind.predictor,),
        339: (TYPES[samples.dtype.kind],) * channels,
    }
    if kind.extra:
        tags[338] = kind.extra
    if kind.tile:
        tags |= {322: (kind.tile,), 323: (kind.tile,)}
    else:
        tags[278] = (kind.rows,)
    return assemble(segments, tags | dict(kind.tags), kind)


def parts(plane: Samples, kind: Kind) -> list[Samples]:
    """Cut a plane into strips or tiles, the last filled up with zeros."""
    height, width, channels = plane.shape
    if not kind.tile:
        return [plane[y : y + kind.rows] for y in range(0, height, kind.rows)]
    side = kind.tile
    padded = np.zeros((-(-height // side) * side, -(-width // side) * side, channels), plane.dtype)
    padded[:height, :width] = plane
    return [
        padded[y : y + side, x : x + side] for y in range(0, len(padded), side) for x in range(0, padded.shape[1], side)
    ]


def segment(part: Samples, kind: Kind) -> bytes:
    """One strip or tile: predicted, in the byte order, compressed."""
    if kind.bits:
        rows = [packed(row.ravel(), kind.bits) for row in part]
        return compress(b"".join(rows), len(rows[0]), kind)
    if kind.predictor == 2:
        part = np.concatenate([part[:, :1], np.diff(part, axis=1)], axis=1)
    if kind.predictor == 3:
        # Bytes of a row by significance, each minus the one a pixel before.
        height, width, channels = part.shape
        size = part.dtype.itemsize
        values = part.reshape(height, width * channels).astype(f">f{size}").view(np.uint8)
        planes = np.moveaxis(values.reshape(height, width * channels, size), 2, 1).reshape(height, -1)
        shifted = np.zeros_like(planes)
        shifted[:, channels:] = planes[:, :-channels]
        raw = (planes - shifted).tobytes()
    else:
        raw = part.astype(np.dtype(f"{kind.order}{part.dtype.kind}{part.dtype.itemsize}")).tobytes()
    return compress(raw, len(raw) // len(part), kind)


def packed(row: Samples, bits: int) -> bytes:
    text = "".join(f"{int(value):0{bits}b}" for value in row)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))


def compress(raw: bytes, row: int, kind: Kind) -> bytes:
    if kind.compression == "none":
        return raw
    if kind.compression == "deflate":
        return zlib.compress(raw)
    file = io.BytesIO()  # what Pillow makes of the bytes as grey pixels, one strip
    grey = Image.frombytes("L", (row, len(raw) // row), raw)
    grey.save(file, "TIFF", compression=kind.compression, strip_size=2**24)
    file.seek(0)
    with TiffImageFile(file) as image:
        ((at,), (count,)) = image.tag_v2[273], image.tag_v2[279]
    return file.getvalue()[at : at + count]


def assemble(segments: list[bytes], tags: dict[int, tuple[int, ...] | bytes], kind: Kind) -> bytes:
    """The file: head, segments, directory, values that do not fit into it."""
    at = [16]
    for each in segments:
        at.append(at[-1] + len(each))
    offsets, counts = (324, 325) if kind.tile else (273, 279)
    tags = tags | {offsets: tuple(at[:-1]), counts: tuple(map(len, segments))}
    longs = {offsets, counts, 256, 257, 278}
    order, directory = kind.order, at[-1] + at[-1] % 2
    count, entry, pointer, room = ("Q", "HHQ", "Q", 8) if kind.big else ("H", "HHL", "L", 4)
    step = 4 + room + room
    outside, entries = b"", b""
    start = directory + (8 if kind.big else 2) + step * len(tags) + room
    for tag in sorted(tags):
        value = tags[tag]
        form = ("B", 7) if isinstance(value, bytes) else ("L", 4) if tag in longs else ("H", 3)
        raw = value if isinstance(value, bytes) else struct.pack(f"{order}{len(value)}{form[0]}", *value)
        entries += struct.pack(order + entry, tag, form[1], len(value))
        if len(raw) <= room:
            entries += raw.ljust(room, b"\0")
        else:
            entries += struct.pack(order + pointer, start + len(outside))
            outside += raw + bytes(len(raw) % 2)
    mark = b"II" if order == "<" else b"MM"
    head = mark + (
        struct.pack(order + "HHHQ", 43, 8, 0, directory) if kind.big else struct.pack(order + "HL", 42, directory)
    )
    body = (head.ljust(16, b"\0") + b"".join(segments)).ljust(directory, b"\0")
    return body + struct.pack(order + count, len(tags)) + entries + bytes(room) + outside
