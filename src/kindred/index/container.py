"""The file that keeps an index: its payload, the ids of its rows, and a trailer that shows damage.

    payload | ids int64 | alive bool | trailer JSON | CRC-32 of the trailer, its length, magic

Everything is little-endian. A file is written under another name and renamed when it is complete. The checksum finds
accidents, not forgery: whoever takes a payload checks what is in it.
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

from kindred._support.files import open_bounded
from kindred.errors import LibraryDamaged
from kindred.index.id_map import IdMap

__all__ = ["Container", "Fact", "Sink", "read_container", "write_container"]

Fact = str | int | float

MAGIC = b"kindred1"
END = struct.Struct("<IQ8s")
READ_BYTES = 1 << 22
MOST_TRAILER = 1 << 16
MOST_BYTES = 1 << 40


class Sink(Protocol):
    """Where a payload is written."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Write all of `data`; return how much that was."""
        ...


@dataclass(frozen=True)
class Container:
    """What a file holds; the payload lies in the file, and outlives its name."""

    file: Path
    facts: Mapping[str, Fact]
    live: IdMap
    payload: NDArray[np.uint8]
    checksum: int

    def whole(self, name: str, low: int, high: int) -> int:
        """Return a fact that is a whole number from `low` to `high`; raises LibraryDamaged for anything else."""
        return _whole(self.facts, name, low, high, self.file)


def write_container(file: Path, facts: Mapping[str, Fact], live: IdMap, *, payload: Callable[[Sink], None]) -> int:
    """Write `file` atomically; `payload` writes the index's own bytes. Return the checksum of the file.

    Raises OSError, and leaves no trace, where there is no room or right to write.
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
                **facts,
                "payload_bytes": payload_bytes,
                "count": len(live.ids),
                "checksum": sink.checksum,
            }
            encoded = json.dumps(trailer).encode()
            stream.write(encoded + END.pack(zlib.crc32(encoded), len(encoded), MAGIC))
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(file)
        _sync_folder(file.parent)
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()
    return sink.checksum


def read_container(file: Path, kind: str) -> Container:
    """Check all of `file` and return what it holds.

    Raises OSError where it cannot be read or is no regular file, LibraryDamaged where it is cut off, changed or not of
    this `kind`.
    """
    with open_bounded(file, MOST_BYTES) as stream:
        trailer, body_bytes = _read_trailer(stream, file)
        if trailer.get("kind") != kind:
            raise LibraryDamaged(f"{file}: holds an index of kind {str(trailer.get('kind'))[:20]!r}, expected {kind!r}")
        count = _whole(trailer, "count", 0, body_bytes // 9, file)
        payload_bytes = body_bytes - 9 * count
        checksum = _checksum(stream, body_bytes)
        if trailer.get("payload_bytes") != payload_bytes or checksum != trailer.get("checksum"):
            raise _damaged(file, "its content does not match its checksum")
        stream.seek(payload_bytes)
        ids = np.frombuffer(stream.read(8 * count), dtype="<i8").astype(np.int64, copy=False)
        alive = np.frombuffer(stream.read(count), dtype=np.uint8)
        if len(alive) != count or alive.max(initial=0) > 1 or (np.diff(ids, prepend=0) <= 0).any():
            raise _damaged(file, "its ids do not ascend")
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    payload = np.frombuffer(mapped, np.uint8, payload_bytes)
    return Container(file, trailer, IdMap(ids, alive.astype(np.bool_)), payload, checksum)


class _CheckedSink:
    """Write to a stream and keep the checksum of what was written."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.checksum = 0
        self.written = 0

    def write(self, data: bytes | memoryview) -> int:
        self.checksum = zlib.crc32(data, self.checksum)
        self.written += len(data)
        return self._stream.write(data)


def _read_trailer(stream: BinaryIO, file: Path) -> tuple[dict[str, Fact], int]:
    """Return the trailer and the number of bytes before it."""
    size = stream.seek(0, os.SEEK_END)
    if size < END.size:
        raise _damaged(file, "it is cut off")
    stream.seek(size - END.size)
    check, length, magic = END.unpack(stream.read(END.size))
    if magic != MAGIC or length > min(MOST_TRAILER, size - END.size):
        raise _damaged(file, "it is cut off or of another format")
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
        raise _damaged(file, "its trailer holds no facts")
    return trailer, start


def _whole(facts: Mapping[str, Fact], name: str, low: int, high: int, file: Path) -> int:
    value = facts.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _damaged(file, f"its {name} is no whole number from {low} to {high}")
    return value


def _checksum(stream: BinaryIO, size: int) -> int:
    """Return the CRC-32 of the first `size` bytes: 4 GB/s, and it brings the file into the system's cache."""
    checksum, left = 0, size
    stream.seek(0)
    while left and (data := stream.read(min(left, READ_BYTES))):
        checksum = zlib.crc32(data, checksum)
        left -= len(data)
    return checksum


def _damaged(file: Path, what: str) -> LibraryDamaged:
    return LibraryDamaged(f"{file}: this index is damaged: {what}; delete it, it is made again from the store")


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system lets a folder be opened (Windows does not)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
