"""HEAD is answered as GET is, with the same status and headers and without a body."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from fastapi.testclient import TestClient

from kindred.server import ServerSettings
from kindred.server.jobs import Job, Jobs
from kindred.server.running import _listen
from served import MakeClient

API = "/api/v1"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/assets/lib/dom.js",
        "/assets/none.js",
        f"{API}/library",
        f"{API}/images",
        f"{API}/images/0000000000000000",
        f"{API}/openapi.json",
        f"{API}/docs",
        f"{API}/saved",
        f"{API}/health",
    ],
)
def test_the_headers_are_those_of_get(client: TestClient, path: str) -> None:
    got, head = client.get(path), client.head(path)
    assert head.status_code == got.status_code
    assert head.content == b""
    assert head.headers["content-length"] == str(len(got.content))
    assert head.headers["content-type"] == got.headers["content-type"]
    assert head.headers.get("etag") == got.headers.get("etag")


def test_images_thumbnails_and_files_with_their_etags(client: TestClient) -> None:
    uid = client.get(f"{API}/images", params={"limit": 1}).json()["images"][0]["id"]
    for path in (f"{API}/images/{uid}", f"{API}/images/{uid}/thumbnail", f"{API}/images/{uid}/file"):
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        got = client.get(path)
        assert head.headers["etag"] == got.headers["etag"]
        assert head.headers["content-type"] == got.headers["content-type"]
        known = client.head(path, headers={"If-None-Match": got.headers["etag"]})
        assert (known.status_code, known.headers["etag"]) == (304, got.headers["etag"])


def test_a_stream_of_events_is_not_waited_for(client: TestClient) -> None:
    def work(job: Job) -> None:
        while not job.stopping:
            time.sleep(0.01)

    jobs: Jobs = client.app.state.kindred.part(Jobs)  # type: ignore[attr-defined]
    job = jobs.start("map", "Making the map", work)
    head = client.head(f"{API}/jobs/{job.id}/events")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")
    assert not job.ended
    assert not job._listeners  # the stream that was not sent has ended
    job.cancel()


def test_what_has_no_get_has_no_head(client: TestClient, make_client: MakeClient) -> None:
    assert client.head(f"{API}/search").status_code == 405
    secret = make_client(token="0123456789abcdef")
    assert secret.head("/", follow_redirects=False).status_code == 303
    assert secret.head(f"{API}/library").status_code == 401


def test_heads_are_counted_as_what_they_are(client: TestClient) -> None:
    client.head(f"{API}/library")
    text = client.get(f"{API}/metrics").text
    assert 'kindred_requests_total{method="HEAD",route="/library",status="200"} 1' in text


def test_answers_are_sent_at_once() -> None:
    """The body of an answer does not wait until the client has acknowledged its head (Nagle's algorithm)."""
    listening = _listen(ServerSettings(port=0))

    async def option() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted: socket.socket = writer.get_extra_info("socket")
            found.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(connected, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname()[:2])
            result = await found
            writer.close()
            return result

    assert asyncio.run(option()) == 1
