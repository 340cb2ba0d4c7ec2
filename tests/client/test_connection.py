"""Busy servers, and answers of other versions or of something else."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kindred import Client
from kindred.client import Connection
from kindred.errors import KindredError, LibraryLocked, ServerError, UsageError

Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture
def server() -> Iterator[Callable[[list[Answer]], str]]:
    """A function that starts a server with given answers, the last one again and again, and returns its address."""
    running: list[ThreadingHTTPServer] = []

    def start(answers: list[Answer]) -> str:
        left = list(answers)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = left.pop(0) if len(left) > 1 else left[0]
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        running.append(made)
        threading.Thread(target=made.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{made.server_port}"

    yield start
    for each in running:
        each.shutdown()
        each.server_close()


def test_a_busy_server_is_asked_again(server: Callable[[list[Answer]], str]) -> None:
    busy = (503, {"Retry-After": "0"}, b"{}")
    with Client(server([busy, busy, (200, {}, b'{"saved": []}')])) as client:
        assert client.saved_searches() == []
    connection = Connection(server([busy]), repeats=2)
    with pytest.raises(LibraryLocked):
        connection.get("/library")
    connection.close()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"detail": "k is 0", "hint": "give 1", "error": "UsageError"}, UsageError),
        (400, {"detail": "odd", "error": "__builtins__"}, UsageError),
        (409, {"detail": "odd", "error": "KindredError"}, KindredError),
        (404, {"detail": "no such thing"}, UsageError),
        (500, {"detail": "a mistake"}, ServerError),
        (500, ["list"], ServerError),
    ],
)
def test_problems_are_errors(
    server: Callable[[list[Answer]], str], status: int, body: object, error: type[Exception]
) -> None:
    with Client(server([(status, {}, json.dumps(body).encode())])) as client, pytest.raises(error) as raised:
        client.info()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b'{"images": "many"}'])
def test_an_answer_of_another_version_is_an_error(server: Callable[[list[Answer]], str], body: bytes) -> None:
    with Client(server([(200, {}, body)])) as client, pytest.raises(ServerError, match="of another version"):
        client.info()


def test_a_page_instead_of_json_is_an_error(server: Callable[[list[Answer]], str]) -> None:
    with Client(server([(200, {}, b"<html>")])) as client, pytest.raises(ServerError, match="not JSON"):
        client.info()
    with Client(server([(502, {}, b"<html>")])) as client, pytest.raises(ServerError, match="502"):
        client.info()
