"""A TCP proxy on loopback that cuts, delays or resets connections, to see what clients of a server do then."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress

__all__ = ["FAULTS", "Proxy"]

PIECE = 1 << 14
LATENCY = 0.5
FAULTS = ("cut", "deaf", "delay", "reset")


class Proxy:
    """Passes on connections to a port of this machine; the attributes may be changed at any time.

    cut: nothing passes, in either direction, as if a cable were out. deaf: what the server sends does not arrive.
    delay: seconds by which every piece is held back. reset_after: bytes of replies after which a connection is reset.
    """

    def __init__(self, target: int) -> None:
        self.target, self.cut, self.deaf, self.delay = target, False, False, 0.0
        self.reset_after: int | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._ended = False
        threading.Thread(target=self._accept, daemon=True).start()

    def fail(self, fault: str, seconds: float) -> None:
        """Break the network for some seconds, in one of FAULTS: half a second of delay, or ten resets."""
        if fault == "reset":
            for _ in range(10):
                self.reset_after = 7
                time.sleep(seconds / 10)
            return
        setattr(self, fault, LATENCY if fault == "delay" else True)
        time.sleep(seconds)
        setattr(self, fault, 0.0 if fault == "delay" else False)

    def close(self) -> None:
        """End all connections."""
        self._ended = True
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.close()

    def _accept(self) -> None:
        while not self._ended:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                if self._ended:
                    return
                near.close()
                continue
            self._open |= {near, far}
            for source, sink, is_reply in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._pass, args=(source, sink, is_reply), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, is_reply: bool) -> None:
        with suppress(OSError):
            while data := source.recv(PIECE):
                while (self.cut or (self.deaf and is_reply)) and not self._ended:
                    time.sleep(0.02)
                time.sleep(self.delay)
                if is_reply and self.reset_after is not None:
                    data, self.reset_after = data[: self.reset_after], None
                    sink.sendall(data)
                    # With a linger time of 0, closing sends a reset.
                    sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):
                each.close()
            self._open.discard(each)
