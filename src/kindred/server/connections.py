"""Connections that are closed when their client is too slow: uvicorn alone waits for a head, or a reader, forever."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["BoundedProtocol", "allow_files"]

HEAD_SECONDS = 15.0
"""The longest time from the first byte of a request, or from the connection, to the end of its head."""
READ_SECONDS = 60.0
"""The longest time for which a client may read nothing of an answer."""
MOST_CONNECTIONS = 4000
FILES = 16_384
"""File descriptors that the process tries to be allowed: each connection has one."""


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 with limits of time for heads and for reading, and a limit of connections."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head: asyncio.TimerHandle | None = None
        self._reader: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the head of the first request."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Begin to wait for the rest of a head, or end to."""
        if self._head is None and self.conn.their_state is h11.IDLE:
            self._expect_head()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._cancel_head()

    def on_response_complete(self) -> None:
        """Wait for the next request of the connection as long as keep-alive lasts."""
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self._cancel_head()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        if self._reader is None:
            self._reader = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """End to wait for the client to read."""
        super().resume_writing()
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def connection_lost(self, exc: Exception | None) -> None:
        """End to wait."""
        self._cancel_head()
        if self._reader is not None:
            self._reader.cancel()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._head = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _cancel_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None


def allow_files() -> None:
    """Raise the limit of open files of this process, as far as the system allows."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
