"""Running a server: the socket, the web server, and how it ends."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from types import FrameType

from kindred._support.os_errors import explain_os_error
from kindred.errors import UsageError
from kindred.library import Library
from kindred.server.app import create_app
from kindred.server.connections import BoundedProtocol, allow_files
from kindred.server.settings import ServerSettings

__all__ = ["address_of", "run_server"]

BACKLOG = 2048
LAST_SECONDS = 0.8
"""What a call in a thread, which nothing can end, may take beyond the time in which requests are answered."""


def run_server(library: Library, settings: ServerSettings, *, ready: Callable[[str], None]) -> None:
    """Serve a library until SIGINT or SIGTERM; `ready` is called with the address when connections are accepted.

    At the end, requests that run are answered, for at most `drain_seconds`; the process ends soon after in any case, as
    every change of the library is one transaction. Raises UsageError if the address cannot be used.
    """
    import uvicorn

    allow_files()
    listening = _listen(settings)
    app = create_app(library, settings)
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_graceful_shutdown=int(settings.drain_seconds),
        timeout_keep_alive=30,
        ws="none",
        backlog=BACKLOG,
    )
    ready(address_of(listening, settings))

    class Server(uvicorn.Server):
        """A server whose background work begins to end with the signal, not after the last connection has closed."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # In a thread: the signal may have interrupted a function that holds a lock which `stop` needs.
            threading.Thread(target=app.state.kindred.stop, name="stopping", daemon=True).start()
            end = threading.Timer(settings.drain_seconds + LAST_SECONDS, os._exit, (128 + sig,))
            end.daemon = True
            end.start()
            super().handle_exit(sig, frame)

    Server(config).run(sockets=[listening])


def address_of(listening: socket.socket, settings: ServerSettings) -> str:
    """Return the address of the page, with the token if there is one."""
    host, port = settings.host, listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    login = f"/login?token={settings.token}" if settings.token else "/"
    return f"http://{shown}:{port}{login}"


def _listen(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With the protocol: asyncio sends small writes at once (TCP_NODELAY) only on sockets that name it. Otherwise the
    # body of an answer, which follows its head, waits up to 40 ms for the client to acknowledge the head.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        why = explain_os_error(error)
        raise UsageError(
            f"{settings.host}, port {settings.port}: cannot be listened on ({why}); choose another --port"
        ) from error
    listening.setblocking(False)
    return listening
