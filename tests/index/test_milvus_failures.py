"""Connections to what is not a Milvus server end with one line, at once where they can never succeed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from kindred.errors import LibraryError, LibraryUnreachable
from kindred.index.milvus import MilvusUrl
from postgres_server import free_port

grpc = pytest.importorskip("grpc")
pytest.importorskip("pymilvus")
from kindred.index.milvus.server import MilvusServer  # noqa: E402


@contextmanager
def listening(greeting: bytes | None) -> Iterator[int]:
    """A port that answers with a greeting and closes the connection; None: that accepts it and stays silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with suppress(OSError):  # closed at the end of the test
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(1000)
                        connection.sendall(greeting or b"")

        if greeting is not None:
            threading.Thread(target=greet, daemon=True).start()
        yield server.getsockname()[1]


def failure(port: int, *, timeout: int = 60, tls: bool = False) -> str:
    """What is said of a server, without its address."""
    url = MilvusUrl("127.0.0.1", "photos", port, timeout=timeout, tls=tls)
    with pytest.raises(LibraryError) as caught:
        _ = MilvusServer(url).version
    message = str(caught.value)
    assert message.startswith(f"{url}: ")
    assert "\n" not in message
    waited = message.startswith(f"{url}: its server did not answer within {timeout} s")
    assert isinstance(caught.value, LibraryUnreachable) is waited
    return message.removeprefix(f"{url}: ")


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_another_server_is_recognised_at_once(greeting: bytes) -> None:
    with listening(greeting) as port:
        assert failure(port) == "another server than Milvus answers there; check the port (Milvus's own is 19530)"


def test_another_server_of_grpc_is_recognised_at_once() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        unlike = "no Milvus that Kindred can use answers there; check its version and the port (its own is 19530)"
        assert failure(port) == unlike
        assert failure(port, tls=True) == (
            "its server does not speak TLS at this port; check the port, or leave out tls=yes"
        )
    finally:
        server.stop(None)


def test_what_may_pass_is_tried_again_and_named() -> None:
    remedy = "; check that it runs, then try again"
    what = "its server did not answer within 2 s (nothing listens at this port)"
    assert failure(free_port(), timeout=2) == what + remedy
    with listening(None) as port:
        assert failure(port, timeout=1) == f"its server did not answer within 1 s{remedy}"
