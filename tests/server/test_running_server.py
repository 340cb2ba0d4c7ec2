"""The real server: slow and broken connections, its end, and what remains after it was killed."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kindred.library import Library
from kindred.server import connections
from live_server import LiveServer, serving
from pictures import encoded


@pytest.fixture
def server(library: Path) -> Iterator[LiveServer]:
    with serving(library) as running:
        yield running


def connected(server: LiveServer) -> socket.socket:
    parts = urlsplit(server.address)
    assert parts.hostname is not None
    return socket.create_connection((parts.hostname, parts.port or 80), timeout=30)


def asked(
    server: LiveServer, path: str, body: object = None, method: str | None = None
) -> tuple[int, dict[str, object]]:
    """Send JSON, and return the status and the JSON of the answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.api}{path}", data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.status, json.load(answer)


def first_id(server: LiveServer) -> str:
    _, page = asked(server, "/images?limit=1")
    uid: str = page["images"][0]["id"]  # type: ignore[index]
    return uid


def test_cut_connections_and_nonsense_leave_it_running(server: LiveServer) -> None:
    image = encoded(1)
    head = f"POST /api/v1/uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(image)}\r\n\r\n".encode()
    for sent in (
        b"\x00\xff" * 100,
        b"GET / HTTP/1.1\r\n",
        head,
        head + image[:100],
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
    ):
        with connected(server) as connection:
            connection.sendall(sent)
    assert asked(server, "/health")[0] == 200
    assert asked(server, "/images?limit=3")[0] == 200


def test_a_cut_upload_is_not_stored(server: LiveServer, library: Path) -> None:
    with connected(server) as connection:
        connection.sendall(
            b"POST /api/v1/images HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\n" + b"x" * 99
        )
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any((library / "uploads").rglob("*.part")):
        time.sleep(0.05)
    assert not any(file.is_file() for file in (library / "uploads").rglob("*"))


def test_a_head_that_never_ends_is_cut(monkeypatch: pytest.MonkeyPatch, library: Path, tmp_path: Path) -> None:
    # The limit is that of the code, shortened in the process of the server.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "if importlib.util.find_spec('kindred'):\n"
        "    import kindred.server.connections as c\n"
        "    c.HEAD_SECONDS = 0.3\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    assert connections.HEAD_SECONDS > 1
    with serving(library) as server, connected(server) as silent, connected(server) as slow, connected(server) as usual:
        slow.sendall(b"GET /api/v1/health HTTP/1.1\r\nHos")
        for _ in range(3):  # a connection that is used again is not cut in between
            usual.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            answer = usual.recv(65536)
            while not answer.endswith(b"}") and (more := usual.recv(65536)):  # head and body may come apart
                answer += more
            assert answer.startswith(b"HTTP/1.1 200")
            time.sleep(0.4)
        for cut in (silent, slow):
            with contextlib.suppress(ConnectionResetError):
                assert cut.recv(100) == b""
        assert asked(server, "/health")[0] == 200


def test_the_end_answers_what_runs(server: LiveServer) -> None:
    """A request that has begun is answered whole; the process ends by the signal."""
    image = encoded(3, width=1200, height=900)
    answers: list[bytes] = []

    def search() -> None:
        request = urllib.request.Request(f"{server.api}/search/image?k=5", image, {"Content-Type": "image/jpeg"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            answers.append(answer.read())

    with connected(server) as waiting:
        waiting.sendall(b"GET /api/v1/health HTTP/1.1\r\nHo")
        threads = [threading.Thread(target=search) for _ in range(3)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with urllib.request.urlopen(f"{server.api}/metrics", timeout=10) as metrics:
                if b'lane="heavy"} 0' not in metrics.read():
                    break
        server.process.terminate()
        for thread in threads:
            thread.join()
        assert server.process.wait(10) == 128 + signal.SIGTERM
    for answer in answers:
        assert len(json.loads(answer)["results"]) == 5


def test_what_was_acknowledged_survives_a_kill(library: Path) -> None:
    acknowledged: list[str] = []
    with serving(library) as server:
        uid = first_id(server)
        stop = threading.Event()

        def write() -> None:
            number = 0
            while not stop.is_set():
                try:
                    asked(server, f"/images/{uid}", {"tags": {"add": [f"t{number}"]}}, "PATCH")
                except (OSError, http.client.HTTPException):  # also in the middle of an answer
                    return
                acknowledged.append(f"t{number}")
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        while len(acknowledged) < 10:
            time.sleep(0.01)
        server.process.kill()
        server.process.wait(10)
        stop.set()
        writer.join()
    with serving(library) as server:
        _, image = asked(server, f"/images/{uid}")
        assert set(acknowledged) <= set(image["tags"])  # type: ignore[call-overload]
        assert asked(server, "/search", {"query": [{"image": uid}], "k": 2})[0] == 200
    with Library.open(library) as opened:
        assert set(acknowledged) <= set(opened.get(uid).tags)


def test_metrics_count_requests_by_route(server: LiveServer) -> None:
    uid = first_id(server)
    asked(server, f"/images/{uid}")
    with pytest.raises(urllib.error.HTTPError):
        asked(server, "/images/0000000000000000")
    with urllib.request.urlopen(f"{server.api}/metrics", timeout=10) as answer:
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        text = answer.read().decode()
    assert 'kindred_requests_total{method="GET",route="/images/{uid}",status="200"} 1' in text
    assert 'kindred_requests_total{method="GET",route="/images/{uid}",status="404"} 1' in text
    assert uid not in text
    for line in text.splitlines():
        assert line.startswith("# ") or float(line.rpartition(" ")[2]) >= 0
    assert "kindred_images 12" in text


def test_a_port_in_use_is_one_line(server: LiveServer, library: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from kindred.cli.app import run

    port = str(urlsplit(server.address).port)
    assert run(["serve", "--library", str(library), "--port", port]) == 2
    assert "cannot be listened on" in capfd.readouterr().err
