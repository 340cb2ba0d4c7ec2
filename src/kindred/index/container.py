"""The file format of a saved index: its payload, the ids of its rows, and a trailer with a checksum.

    payload | ids int64 | alive bool | trailer JSON | CRC-32 of the trailer, its length, magic

All numbers are little-endian. A file is written under a temporary name and renamed when complete. The checksum detects
accidental damage, not forgery: the reader of a payload must validate it.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from kindred._support.files import open_bounded, sync_folder
from kindred.errors import LibraryDamaged
from kindred.index.id_map import IdMap

__all__ = ["Container", "MetadataValue", "Sink", "read_container", "write_container"]

MetadataValue = str | int | float

MAGIC = b"kindred1"
END = struct.Struct("<IQ8s")
READ_BYTES = 1 << 22
MOST_TRAILER = 1 << 16
MOST_BYTES = 1 << 40


class Sink(Protocol):
    """A writable binary stream for the payload."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Write all of `data`; return its size in bytes."""
        ...


@dataclass(frozen=True)
class Container:
    """The content of a file; the payload is memory-mapped, and stays valid if the file is deleted."""

    file: Path
    metadata: Mapping[str, MetadataValue]
    live: IdMap
    payload: NDArray[np.uint8]
    checksum: int

    def integer(self, name: str, low: int, high: int) -> int:
        """Return a metadata value that must be an integer from `low` to `high`; raises LibraryDamaged otherwise."""
        return _integer(self.metadata, name, low, high, self.file)


def write_container(
    file: Path, metadata: Mapping[str, MetadataValue], live: IdMap, *, payload: Callable[[Sink], None]
) -> int:
    """Write `file` atomically; `payload` writes the bytes of the index. Return the checksum of the file.

    Raises OSError, and leaves no partial file, if the disk is full or not writable.
    """
    unfinished = file.with_name(f"{file.name}.new")
    try:
        with unfinished.open("wb") as stream:
            sink = _CheckedSink(stream)
            payload(sink)
            payload_bytes = sink.written
            sink.write(live.ids.astype("<i8").tobytes())
            sink.write(live.alive.tobytes())
            trailer = {
                **metadata,
                "payload_bytes": payload_bytes,
                "count": len(live.ids),
                "checksum": sink.checksum,
            }
            encoded = json.dumps(trailer).encode()
            stream.write(encoded + END.pack(zlib.crc32(encoded), len(encoded), MAGIC))
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(file)
        sync_folder(file.parent)
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()
    return sink.checksum


def read_container(file: Path, kind: str) -> Container:
    """Validate `file` and return its content.

    Raises OSError if it cannot be read or is not a regular file, LibraryDamaged if it is truncated, changed or of
    another `kind`.
    """
    with open_bounded(file, MOST_BYTES) as stream:
        trailer, body_bytes = _read_trailer(stream, file)
        if trailer.get("kind") != kind:
            raise LibraryDamaged(f"{file}: is an index of kind {str(trailer.get('kind'))[:20]!r}; expected {kind!r}")
        count = _integer(trailer, "count", 0, body_bytes // 9, file)
        payload_bytes = body_bytes - 9 * count
        checksum = _checksum(stream, body_bytes)
        if trailer.get("payload_bytes") != payload_bytes or checksum != trailer.get("checksum"):
            raise _damaged(file, "its content does not match its checksum")
        stream.seek(payload_bytes)
        ids = np.frombuffer(stream.read(8 * count), dtype="<i8").astype(np.int64, copy=False)
        alive = np.frombuffer(stream.read(count), dtype=np.uint8)
        if len(alive) != count or alive.max(initial=0) > 1 or (np.diff(ids, prepend=0) <= 0).any():
            raise _damaged(file, "its ids are not in ascending order")
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    payload = np.frombuffer(mapped, np.uint8, payload_bytes)
    return Container(file, trailer, IdMap(ids, alive.astype(np.bool_)), payload, checksum)


class _CheckedSink:
    """Writes to a stream and computes the checksum of the data."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.checksum = 0
        self.written = 0

    def write(self, data: bytes | memoryview) -> int:
        self.checksum = zlib.crc32(data, self.checksum)
        self.written += len(data)
        return self._stream.write(data)


def _read_trailer(stream: BinaryIO, file: Path) -> tuple[dict[str, MetadataValue], int]:
    """Return the trailer and the number of bytes before it."""
    size = stream.seek(0, os.SEEK_END)
    if size < END.size:
        raise _damaged(file, "it is truncated")
    stream.seek(size - END.size)
    check, length, magic = END.unpack(stream.read(END.size))
    if magic != MAGIC or length > min(MOST_TRAILER, size - END.size):
        raise _damaged(file, "it is truncated or of another format")
    start = size - END.size - length
    stream.seek(start)
    encoded = stream.read(length)
    if zlib.crc32(encoded) != check:
        raise _damaged(file, "its trailer does not match its checksum")
    try:
        trailer = json.loads(encoded)
    except (ValueError, RecursionError):
        raise _damaged(file, "its trailer cannot be read") from None
    if not isinstance(trailer, dict) or not all(isinstance(value, str | int | float) for value in trailer.values()):
        raise _damaged(file, "its trailer has no metadata")
    return trailer, start


def _integer(metadata: Mapping[str, MetadataValue], name: str, low: int, high: int, file: Path) -> int:
    value = metadata.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _damaged(file, f"its {name} is not a whole number from {low} to {high}")
    return value


def _checksum(stream: BinaryIO, size: int) -> int:
    """Return the CRC-32 of the first `size` bytes, at about 4 GB/s; it also brings the file into the page cache."""
    checksum, left = 0, size
    stream.seek(0)
    while left and (data := stream.read(min(left, READ_BYTES))):
        checksum = zlib.crc32(data, checksum)
        left -= len(data)
    return checksum


def _damaged(file: Path, what: str) -> LibraryDamaged:
    return LibraryDamaged(f"{file}: this index is damaged: {what}; delete it, and it is built again from the store")
