"""Remote addresses: as paths, allowed or not, read with repeated attempts, listed."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fsspec.registry import _registry

from kindred._support.remote_path import RemotePath, remote_path
from kindred.errors import ImageError, MissingExtra, RemoteError, UsageError
from kindred.images import as_image, decode, find_images, remote
from kindred.images.remote import allow_remote, is_allowed, read_remote
from pictures import encoded, picture
from tagged_store import ROOT, TaggedStore, delete, disallow, put, tagged_store


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[TaggedStore]]:
    with tagged_store(monkeypatch) as opened:
        yield opened


class Throttled(OSError):
    """An answer of an object store, in the form of aiohttp's errors."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class BotoError(Exception):
    """An answer of an object store, in the form of botocore's errors."""

    response = {"ResponseMetadata": {"HTTPStatusCode": 503}}  # noqa: RUF012


def throttled(kind: Exception) -> Exception:
    wrapped = OSError(16, "Please reduce your request rate.")
    wrapped.__cause__ = kind
    return wrapped


@pytest.mark.parametrize("text", ["s3://bucket/a b/ü?#%41.jpg", "abfs://box@account.net/x", "gs://b"])
def test_an_address_is_a_path_that_keeps_its_text(text: str) -> None:
    path = remote_path(text)
    assert isinstance(path, RemotePath)
    assert str(path) == text
    assert path.is_absolute()
    assert remote_path(Path(text)) == path
    assert pickle.loads(pickle.dumps(path)) == path
    assert {path, remote_path(text)} == {path}


def test_parts_of_an_address_are_those_of_a_path() -> None:
    path = remote_path("s3://bucket/photos/1.jpg")
    assert path is not None
    assert (path.name, path.suffix, str(path.parent), path.scheme) == ("1.jpg", ".jpg", "s3://bucket/photos", "s3")
    assert [str(each) for each in path.parents][:2] == ["s3://bucket/photos", "s3://bucket"]
    assert str(path.with_name("2.jpg")) == "s3://bucket/photos/2.jpg"
    assert path.is_relative_to(path.parent.parent)
    assert sorted([path, Path("/a")])[0] == Path("/a")


def test_a_trailing_slash_and_an_upper_case_scheme_are_the_same_address() -> None:
    assert str(remote_path("S3://bucket/photos/")) == "s3://bucket/photos"


@pytest.mark.parametrize("text", ["photos/1.jpg", "/photos", "C:/photos", "s3:", "s3:bucket"])
def test_local_paths_are_no_addresses(text: str) -> None:
    assert remote_path(text) is None
    assert remote_path(Path(text)) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("file:///etc/passwd", "without file://"),
        ("https://example.org/x.jpg", "the web has no lists"),
        ("simplecache::s3://bucket/x", "chain"),
        ("s3://key:secret@bucket/x", "password"),
        ("s3://bucket//x.jpg", "empty part"),
        ("s3://bucket/../x.jpg", "dots"),
        ("s3://", "empty part"),
    ],
)
def test_addresses_that_are_never_read(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as error:
        remote_path(text)
    assert "secret" not in str(error.value)


def test_methods_that_look_at_files_do_not_look_at_local_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s3:" / "bucket").mkdir(parents=True)
    (tmp_path / "s3:" / "bucket" / "1.jpg").write_bytes(b"local")
    monkeypatch.chdir(tmp_path)
    path = remote_path("s3://bucket/1.jpg")
    assert path is not None
    assert not path.exists()
    assert not path.is_file()
    for look in (path.stat, path.lstat, path.read_bytes):
        with pytest.raises(OSError, match="not on this machine"):
            look()


def test_nothing_is_read_that_was_not_allowed(store: type[TaggedStore]) -> None:
    put("bucket/photos/1.jpg", encoded(1))
    path = remote_path(f"{ROOT}/1.jpg")
    assert path is not None
    for read in (lambda: read_remote(path, limit=10**6), lambda: find_images(path)):
        with pytest.raises(RemoteError, match="reading it was not allowed"):
            read()
    with pytest.raises(ImageError, match="reading it was not allowed") as error:
        decode(as_image(f"{ROOT}/1.jpg"))
    assert not error.value.final
    assert store.reads == []


def test_what_is_below_an_allowed_address_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    disallow(monkeypatch)
    allow_remote("s3://bucket/photos/")
    monkeypatch.setenv("KINDRED_REMOTE", "gs://one  gs://two/x/")
    allowed = ["s3://bucket/photos", "s3://bucket/photos/a/1.jpg", "gs://one/x.jpg", "gs://two/x/1.jpg"]
    refused = ["s3://bucket", "s3://bucket/photos2/1.jpg", "s3://bucket/photo", "gs://two/y.jpg", "s3://other/photos"]
    assert [is_allowed(RemotePath(each)) for each in allowed] == [True] * len(allowed)
    assert [is_allowed(RemotePath(each)) for each in refused] == [False] * len(refused)
    with pytest.raises(UsageError, match="not a remote address"):
        allow_remote("photos")


def test_an_image_is_decoded_in_one_request(store: type[TaggedStore]) -> None:
    put("bucket/photos/1.png", encoded(1, "PNG"))
    allow_remote(ROOT)
    assert (decode(as_image(f"{ROOT}/1.png")).pixels == picture(1)).all()
    assert store.reads == ["/bucket/photos/1.png"]


@pytest.mark.usefixtures("store")
def test_a_file_larger_than_the_limit_is_refused() -> None:
    put("bucket/photos/1.jpg", bytes(1001))
    allow_remote(ROOT)
    path = RemotePath(f"{ROOT}/1.jpg")
    assert len(read_remote(path, limit=1001)) == 1001
    with pytest.raises(RemoteError, match="too large"):
        read_remote(path, limit=1000)


@pytest.mark.parametrize("failure", [Throttled(429), Throttled(503), throttled(BotoError()), TimeoutError()])
def test_what_may_pass_is_tried_again(store: type[TaggedStore], failure: Exception) -> None:
    put("bucket/photos/1.jpg", b"x")
    allow_remote(ROOT)
    store.failures += [failure] * (remote.TRIES - 1)
    assert read_remote(RemotePath(f"{ROOT}/1.jpg"), limit=10) == b"x"
    store.failures += [failure] * remote.TRIES
    with pytest.raises(RemoteError, match="cannot be read"):
        read_remote(RemotePath(f"{ROOT}/1.jpg"), limit=10)
    assert store.failures == []


@pytest.mark.parametrize("failure", [PermissionError("no"), Throttled(403), ValueError("x")])
def test_what_will_not_pass_is_not_tried_again(store: type[TaggedStore], failure: Exception) -> None:
    put("bucket/photos/1.jpg", b"x")
    allow_remote(ROOT)
    store.failures += [failure] * 3
    with pytest.raises(RemoteError):
        read_remote(RemotePath(f"{ROOT}/1.jpg"), limit=10)
    assert len(store.failures) == 2


def test_waits_are_random_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    monkeypatch.setattr(remote, "TRIES", 40)
    with pytest.raises(Throttled):
        remote.retried(RemotePath("s3://bucket"), _raising(Throttled(503)))
    assert len(waits) == 39
    assert all(wait <= min(remote.LONGEST_WAIT, remote.FIRST_WAIT * 2**at) for at, wait in enumerate(waits))
    assert len(set(waits)) == 39


def _raising(error: Exception) -> Callable[[], None]:
    def attempt() -> None:
        raise error

    return attempt


@pytest.mark.usefixtures("store")
def test_a_listing_has_the_rules_of_a_folder() -> None:
    keys = {
        "1.jpg": None,
        "sub/2.PNG": None,
        "sub/deep/3.webp": None,
        "film.mp4": "left out",
        "._1.jpg": "left out",
        "raw/a.nef": "left out",
        "raw/a.jpg": None,
        "raw/b.nef": None,
        "@eaDir/4.jpg": "left out",
        "drafts/5.jpg": "left out",
        ".hidden.jpg": "hidden file",
        ".private/6.jpg": "inside a hidden folder",
    }
    for key in keys:
        put(f"bucket/photos/{key}", key.encode())
    put("bucket/photos2/7.jpg", b"beside")
    allow_remote(ROOT)
    scan = find_images(Path(ROOT), exclude=["drafts"])
    found = {str(each.path).removeprefix(f"{ROOT}/"): each.reason for each in scan}
    assert found == {key: reason for key, reason in keys.items() if reason != "left out"}
    assert scan.left_out.files == {
        ".mp4": 1, "of macOS": 1, "raw beside its developed image": 1,
        "in folders (machine-made)": 1, "in folders (by pattern)": 1,
    }  # fmt: skip
    listing = scan.remote(RemotePath(ROOT))
    assert listing is not None
    assert [listing.listed(RemotePath(f"{ROOT}/{key}")) for key in keys] == [True] * len(keys)
    assert not listing.listed(RemotePath(f"{ROOT}/8.jpg"))


@pytest.mark.usefixtures("store")
def test_the_identity_of_a_file_is_its_etag() -> None:
    put("bucket/photos/1.jpg", b"one")
    put("bucket/photos/2.jpg", b"one")
    allow_remote(ROOT)
    first, same = find_images(Path(ROOT))
    assert (first.inode, first.digest, first.device) == (same.inode, same.digest, None)
    delete("bucket/photos/2.jpg")
    put("bucket/photos/1.jpg", b"two")
    (changed,) = find_images(Path(ROOT))
    assert first.size == changed.size
    assert first.inode != changed.inode
    assert first.digest != changed.digest


@pytest.mark.usefixtures("store")
def test_an_address_of_one_object_is_that_object_whatever_its_name() -> None:
    put("bucket/photos/note.txt", b"one")
    put("bucket/photos/note.txt2", b"two")
    allow_remote(ROOT)
    assert [str(each.path) for each in find_images(Path(f"{ROOT}/note.txt"))] == [f"{ROOT}/note.txt"]


@pytest.mark.usefixtures("store")
def test_an_address_below_another_is_listed_once() -> None:
    put("bucket/photos/sub/1.jpg", b"one")
    allow_remote(ROOT)
    scan = find_images([Path(f"{ROOT}/sub"), Path(ROOT)])
    assert len(list(scan)) == 1
    below = scan.remote(RemotePath(f"{ROOT}/sub"))
    assert below is not None
    assert below.listed(RemotePath(f"{ROOT}/sub/1.jpg"))


def test_an_empty_listing_is_an_error(store: type[TaggedStore]) -> None:
    allow_remote(ROOT)
    with pytest.raises(RemoteError, match="no object is listed there") as error:
        find_images(Path(ROOT))
    assert error.value.missing
    put("bucket/photos/1.jpg", b"one")
    scan = find_images(Path(ROOT))
    delete("bucket/photos/1.jpg")
    with pytest.raises(RemoteError, match="no object is listed there"):
        list(scan)
    put("bucket/photos/1.jpg", b"one")
    store.failures.append(PermissionError("denied"))
    with pytest.raises(RemoteError, match="access was denied"):
        list(scan)


def test_a_store_without_etags_is_refused(store: type[TaggedStore]) -> None:
    put("bucket/photos/1.jpg", b"one")
    allow_remote(ROOT)
    store.tagged = False
    with pytest.raises(RemoteError, match="lists no ETags"):
        list(find_images(Path(ROOT)))


def test_a_scheme_without_its_package_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_allowed", {"unknown://x", "gs://x", "s3://other-bucket"})
    for scheme, package in {"gs": "gcsfs", "s3": "s3fs"}.items():
        monkeypatch.setitem(sys.modules, package, None)
        # A test before may have loaded it.
        monkeypatch.delitem(_registry, scheme, raising=False)
    with pytest.raises(UsageError, match="has no unknown://"):
        find_images(Path("unknown://x"))
    with pytest.raises(UsageError, match="gcsfs"):
        find_images(Path("gs://x"))
    with pytest.raises(MissingExtra, match="pip install fsspec s3fs"):
        find_images(Path("s3://other-bucket"))
