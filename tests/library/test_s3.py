"""Images in S3: a server of its protocol on the loopback address, reached by s3fs with the usual variables."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    capitals = "there is no bucket '{}': names of buckets are 3 to 63 lower-case"
    for root, why in {
        "s3://no-such-bucket-of-ours/photos": "there is no bucket 'no-such-bucket-of-ours'; check its name, and the ",
        "s3://no-such-bucket-of-ours": "there is no bucket 'no-such-bucket-of-ours'; check its name, and the ",
        f"s3://{bucket.title()}/photos": capitals.format(bucket.title()),
        f"s3://{bucket}_/photos": capitals.format(f"{bucket}_"),
        "s3://our photos/2026": "'our photos' is not the name of a bucket: names of buckets are",
        f"s3://{bucket}/nothing": "no object is listed there; the bucket exists, but has nothing below 'nothing'",
        f"s3://{bucket}/photo": "no object is listed there; the bucket exists, but has nothing below 'photo'",
        f"s3://{bucket}/PHOTOS": "no object is listed there; the bucket exists, but has nothing below 'PHOTOS'",
    }.items():
        assert said_of(root).startswith(f"{root}: {why}")
    allow_remote(f"s3://{bucket}")
    (one,) = find_images(Path(f"s3://{bucket}/photos2/7.jpg"))
    assert (one.size, one.device) == (len(encoded(7)), None)
    with pytest.raises(RemoteError, match="no such file"):
        remote.read_remote(RemotePath(f"s3://{bucket}/8.jpg"), limit=10**6)


def test_an_empty_bucket_is_an_error(s3: Any) -> None:
    s3.create_bucket(Bucket="empty")
    assert said_of("s3://empty") == "s3://empty: no object is listed there; the bucket is empty"


def test_credentials_that_the_store_refuses(bucket: str, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto import settings
    from moto.core.authorization import ActionAuthenticatorMixin

    del s3
    root = f"s3://{bucket}/photos"
    monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
    monkeypatch.setattr(ActionAuthenticatorMixin, "request_count", 0)
    assert said_of(root).startswith(f"{root}: the object store does not know the access key; check the credentials (")


@pytest.mark.parametrize(
    ("status", "code", "why"),
    [
        (403, "AccessDenied", "access to the bucket 'refusing' was denied; check the credentials"),
        (403, "SignatureDoesNotMatch", "the secret key does not belong to the access key; check the credentials"),
        (400, "ExpiredToken", "the credentials have expired; get new ones"),
        (403, "RequestTimeTooSkewed", "the clock of this machine differs from that of the object store"),
        (400, "AuthorizationHeaderMalformed", "the bucket is in another region; give that by AWS_DEFAULT_REGION"),
        (404, "", "there is no bucket 'refusing'; check its name, and the endpoint (AWS_ENDPOINT_URL)"),
    ],
)
@pytest.mark.usefixtures("s3")
def test_what_a_store_refuses(status: int, code: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As S3 answers; without a code as a server does that is no object store."""
    content = f"<Error><Code>{code}</Code></Error>" if code else "<!DOCTYPE html><html><br></html>"
    with answering(monkeypatch, lambda: (status, content.encode())):
        assert said_of("s3://refusing/photos").startswith(f"s3://refusing/photos: {why}")


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ("localhost:9000", "Invalid endpoint: localhost:9000: is not the address of an object store; give it by AWS_"),
        ("http://127.0.0.1:1", "the object store cannot be reached; check the endpoint and the network: "),
    ],
)
def test_endpoints_that_are_wrong(endpoint: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that cannot be reached, and never was, is not waited for."""
    tried: list[int] = []

    def counted(call: Callable[[], Any]) -> Any:
        tried.append(1)
        return call()

    retried = remote.retried
    monkeypatch.setattr(remote_scan, "retried", lambda path, call: retried(path, lambda: counted(call)))
    with other_endpoint(monkeypatch, endpoint):
        assert said_of("s3://unreached/photos").startswith(f"s3://unreached/photos: {why}")
    assert tried == [1]


@pytest.mark.usefixtures("s3")
def test_credentials_that_are_missing(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from s3fs import S3FileSystem

    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setattr(remote, "_open", {})
    S3FileSystem.clear_instance_cache()
    root = f"s3://{bucket}/photos"
    assert said_of(root).startswith(f"{root}: no credentials for this object store were found; set AWS_ACCESS_KEY_ID")
    S3FileSystem.clear_instance_cache()


def said_of(root: str) -> str:
    """Return the error of a scan of an address."""
    allow_remote(root)
    with pytest.raises(RemoteError) as error:
        find_images(Path(root))
    return str(error.value)


@contextmanager
def other_endpoint(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> Iterator[None]:
    """Reach object stores at another endpoint within the block."""
    from s3fs import S3FileSystem

    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(remote, "_open", {})
    S3FileSystem.clear_instance_cache()  # which do not know that the address has changed
    yield
    S3FileSystem.clear_instance_cache()


@contextmanager
def answering(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], tuple[int, bytes]]) -> Iterator[None]:
    """Reach object stores at a server that gives the status and content of `answer` to each request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = answer()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with other_endpoint(monkeypatch, f"http://127.0.0.1:{server.server_port}"):
            yield
        server.shutdown()


@pytest.mark.usefixtures("s3")
def test_an_overloaded_store_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers 503 more often than s3fs tries, and then sends the object."""
    answered: list[int] = []

    def answer() -> tuple[int, bytes]:
        answered.append(503 if len(answered) < 7 else 206)
        return answered[-1], b"<Error><Code>SlowDown</Code></Error>" if answered[-1] == 503 else encoded(7)

    with answering(monkeypatch, answer):
        allow_remote("s3://overloaded")
        assert remote.read_remote(RemotePath("s3://overloaded/7.jpg"), limit=10**6) == encoded(7)
    assert answered == [503] * 7 + [206]
