"""Images in S3: a server of its protocol on the loopback address, reached by s3fs with the usual variables."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kindred import allow_remote
from kindred._support.remote_path import RemotePath
from kindred.errors import RemoteError
from kindred.images import find_images, remote, remote_scan
from kindred.library import Library
from kindred.recipe import Recipe
from pictures import encoded

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server of S3's protocol."""
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    _, port = running.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    running.stop()


@pytest.fixture
def s3(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A client of that server; the variables by which s3fs finds it and its credentials are set."""
    import boto3

    variables = {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "_allowed", set())
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.0)
    return boto3.client("s3")


@pytest.fixture
def bucket(s3: Any) -> str:
    """A bucket of its own with six images below `photos`, and others beside."""
    name = f"bucket-{next(NUMBERS)}"
    s3.create_bucket(Bucket=name)
    for number in range(6):
        s3.put_object(Bucket=name, Key=f"photos/{number % 2}/{number} ü+#?.jpg", Body=encoded(number))
    s3.put_object(Bucket=name, Key="photos/", Body=b"")  # as consoles make them for folders
    s3.put_object(Bucket=name, Key="photos2/7.jpg", Body=encoded(7))
    s3.put_object(Bucket=name, Key="photos//8.jpg", Body=encoded(8))
    return name


def test_a_library_of_a_bucket(tmp_path: Path, recipe: Recipe, s3: Any, bucket: str) -> None:
    root = f"s3://{bucket}/photos"
    with Library.create(tmp_path / "library", recipe=recipe) as library:
        report = library.index(root)
        assert (report.found, report.indexed, report.skipped) == (6, 6, [])
        assert report.left_out.files == {"keys that are no path": 1}
        assert str(library.search(encoded(3), k=1)[0].path) == f"{root}/1/3 ü+#?.jpg"
        s3.copy_object(Bucket=bucket, Key="photos/new.jpg", CopySource={"Bucket": bucket, "Key": "photos/1/3 ü+#?.jpg"})
        s3.delete_object(Bucket=bucket, Key="photos/1/3 ü+#?.jpg")
        s3.put_object(Bucket=bucket, Key="photos/0/2 ü+#?.jpg", Body=encoded(22))
        s3.delete_object(Bucket=bucket, Key="photos/0/0 ü+#?.jpg")
        report = library.index(root, prune="gone")
        assert (report.moved, report.indexed, report.unchanged, report.removed) == (1, 1, 3, 1)
        assert str(library.search(encoded(3), k=1)[0].path) == f"{root}/new.jpg"


@pytest.mark.usefixtures("s3")
def test_listings_are_taken_page_by_page(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_scan, "PAGE", 2)
    root = RemotePath(f"s3://{bucket}/photos")
    allow_remote(root)
    system, asked = remote.connect(root), list[Any]()
    call = system.call_s3

    def counted(method: str, **options: Any) -> Any:
        asked.append((method, options["MaxKeys"]))
        return call(method, **options)

    monkeypatch.setattr(system, "call_s3", counted)
    scan = iter(find_images(root))
    assert [next(scan).path.name for _ in range(2)] == ["0 ü+#?.jpg", "2 ü+#?.jpg"]
    assert asked.count(("list_objects_v2", 2)) == 3  # of four pages, one in advance
    assert len(list(scan)) == 4
    assert asked.count(("list_objects_v2", 2)) == 4


@pytest.mark.usefixtures("s3")
def test_what_is_not_there_is_an_error(bucket: str) -> None:
    for root in ("s3://no-such-bucket-of-ours/photos", f"s3://{bucket}/nothing", f"s3://{bucket}/photo"):
        allow_remote(root)
        with pytest.raises(RemoteError):
            find_images(Path(root))
    allow_remote(f"s3://{bucket}")
    (one,) = find_images(Path(f"s3://{bucket}/photos2/7.jpg"))
    assert (one.size, one.device) == (len(encoded(7)), None)


def test_an_overloaded_store_is_asked_again(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers 503 more often than s3fs tries, and then sends the object."""
    from s3fs import S3FileSystem

    del s3
    answered: list[int] = []

    class Overloaded(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answered.append(503 if len(answered) < 7 else 206)
            content = b"<Error><Code>SlowDown</Code></Error>" if answered[-1] == 503 else encoded(7)
            self.send_response(answered[-1])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Overloaded) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setattr(remote, "_open", {})
        S3FileSystem.clear_instance_cache()  # which do not know that the address has changed
        allow_remote("s3://overloaded")
        assert remote.read_remote(RemotePath("s3://overloaded/7.jpg"), limit=10**6) == encoded(7)
        server.shutdown()
        S3FileSystem.clear_instance_cache()
    assert answered == [503] * 7 + [206]
