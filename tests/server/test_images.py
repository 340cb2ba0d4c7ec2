"""Images by id: listings, thumbnails, files, tags, metadata and removal."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from kindred.library import Library
from kindred.server.caches import Caches, is_writable
from kindred.server.thumbnails import Thumbnails
from pictures import save_picture
from served import COUNT, MakeClient

API = "/api/v1/images"


def ids_of(client: TestClient, **options: str | int) -> list[str]:
    """Every id of a listing, read a few at a time."""
    found: list[str] = []
    query: dict[str, str | int] = {"limit": 5, **options}
    while True:
        page = client.get(API, params=query).json()
        found += [image["id"] for image in page["images"]]
        if page["next"] is None:
            return found
        query["after"] = page["next"]


@pytest.mark.parametrize("sort", ["added", "taken", "path"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_listing_in_parts_is_the_whole(client: TestClient, library: Path, sort: str, order: str) -> None:
    with Library.open(library) as opened:
        whole = [image.id for image in opened.images(sort=sort, descending=order == "desc")]  # type: ignore[arg-type]
    assert len(set(whole)) == COUNT
    assert ids_of(client, sort=sort, order=order) == whole
    layout = client.get(f"{API}/layout", params={"sort": sort, "order": order}).json()
    assert layout["ids"] == whole
    assert layout["total"] == COUNT
    assert set(layout["aspect"]) == {round(64 / 48, 4), round(48 / 64, 4)}


def test_a_listing_is_filtered(client: TestClient, library: Path, photos: list[Path]) -> None:
    with Library.open(library) as opened:
        opened.tag(photos[:3], "sea")
        opened.tag(photos[:1], "sky")
        opened.set_metadata(photos[2:5], {"price": 20})

    def count(**query: str | list[str]) -> int:
        return int(client.get(API, params=query).json()["total"])

    assert count(folder=str(photos[0].parent)) == COUNT // 2
    assert count(tag=["sea"]) == 3
    assert count(tag=["sea", "sky"]) == 1
    assert count(tag="sea", without_tag="sky") == 2
    assert count(without_tag="sea") == COUNT - 3
    assert count(where="price<30") == 3
    assert count(where="price<30", tag="sea") == 1
    assert count(**{"from": "2999-01-01"}) == 0
    assert client.get(API, params={"from": "yesterday"}).status_code == 400
    assert client.get(API, params={"where": "price"}).status_code == 400


@pytest.mark.parametrize(
    "after", ["x", "W10", "é", "bnVsbA", "WzFlOTk5XQ", "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OV0", "A" * 11_999]
)
def test_a_position_that_is_not_one_is_refused(client: TestClient, after: str) -> None:
    assert client.get(API, params={"after": after}).status_code == 400


def test_a_record_has_an_etag(client: TestClient) -> None:
    uid = ids_of(client)[0]
    first = client.get(f"{API}/{uid}")
    assert first.json()["id"] == uid
    tag = first.headers["etag"]
    assert client.get(f"{API}/{uid}", headers={"If-None-Match": tag}).status_code == 304
    client.patch(f"{API}/{uid}", json={"tags": {"add": ["new"]}})
    assert client.get(f"{API}/{uid}", headers={"If-None-Match": tag}).json()["tags"] == ["new"]
    assert client.get(f"{API}/{'0' * 16}").status_code == 404
    assert client.get(f"{API}/nothing").status_code == 422


@pytest.mark.parametrize("size", [64, 128, 256])
def test_thumbnails_are_small_webp_files(client: TestClient, library: Path, size: int, photos: list[Path]) -> None:
    save_picture(photos[0].with_name("large.jpg"), 77, width=600, height=300)
    with Library.open(library) as opened:
        opened.add(photos[0].with_name("large.jpg"))
        uid = opened.get(photos[0].with_name("large.jpg")).id
    answer = client.get(f"{API}/{uid}/thumbnail", params={"size": size})
    assert answer.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(answer.content)).size == (size, size // 2)
    again = client.get(f"{API}/{uid}/thumbnail", params={"size": size})
    assert again.content == answer.content
    tag = answer.headers["etag"]
    assert tag.startswith('"')  # strong
    assert (
        client.get(f"{API}/{uid}/thumbnail", params={"size": size}, headers={"If-None-Match": tag}).status_code == 304
    )
    assert "immutable" in client.get(f"{API}/{uid}/thumbnail", params={"size": size, "v": "1"}).headers["cache-control"]
    assert "immutable" not in answer.headers["cache-control"]
    assert client.get(f"{API}/{uid}/thumbnail", params={"size": 100}).status_code == 422


def test_thumbnails_are_stored_and_follow_the_file(client: TestClient, library: Path, photos: list[Path]) -> None:
    uid = ids_of(client, sort="path")[0]
    first = client.get(f"{API}/{uid}/thumbnail")
    (stored,) = (library / "thumbnails").rglob("*.webp")
    assert stored.read_bytes() == first.content
    stored.write_bytes(b"damaged")
    assert client.get(f"{API}/{uid}/thumbnail").content == first.content
    save_picture(photos[0], 99)
    os.utime(photos[0], ns=(1, 1))
    changed = client.get(f"{API}/{uid}/thumbnail")
    assert changed.headers["etag"] != first.headers["etag"]
    assert changed.content != first.content


def test_stored_thumbnails_have_a_limit(make_client: MakeClient, library: Path) -> None:
    client = make_client(thumbnail_bytes=1000)
    ids = ids_of(client)
    sizes = [len(client.get(f"{API}/{uid}/thumbnail").content) for uid in ids]
    stored = sum(file.stat().st_size for file in (library / "thumbnails").rglob("*.webp"))
    assert sum(sizes) > 1000
    assert 0 < stored <= 1000
    assert not list((library / "thumbnails").rglob("*.part"))


def test_thumbnails_are_not_stored_through_a_link(client: TestClient, library: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (library / "thumbnails").symlink_to(elsewhere)
    assert client.get(f"{API}/{ids_of(client)[0]}/thumbnail").status_code == 200
    assert not list(elsewhere.iterdir())


def test_a_thumbnail_of_a_damaged_or_missing_file(client: TestClient, photos: list[Path]) -> None:
    first, second = ids_of(client, sort="path")[:2]
    photos[0].write_bytes(b"\xff\xd8\xff nothing")
    photos[1].unlink()
    damaged = client.get(f"{API}/{first}/thumbnail")
    assert damaged.status_code == 422
    assert str(photos[0].parent) not in damaged.text
    assert client.get(f"{API}/{second}/thumbnail").status_code == 404


def test_a_file_is_returned_unchanged(client: TestClient, photos: list[Path]) -> None:
    uid = ids_of(client, sort="path")[0]
    answer = client.get(f"{API}/{uid}/file")
    assert answer.content == photos[0].read_bytes()
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''00000.jpg"
    assert answer.headers["content-type"] == "application/octet-stream"
    again = client.get(f"{API}/{uid}/file", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("route", ["file", "thumbnail"])
def test_a_link_is_not_followed_out_of_the_library(
    client: TestClient, photos: list[Path], tmp_path: Path, route: str
) -> None:
    first, second, third = ids_of(client, sort="path")[:3]
    secret = save_picture(tmp_path / "private/secret.jpg", 50)
    photos[0].unlink()
    photos[0].symlink_to(secret)
    photos[1].unlink()
    photos[1].symlink_to(photos[2])
    assert client.get(f"{API}/{first}/{route}").status_code == 404
    assert client.get(f"{API}/{second}/{route}").status_code == 200  # within a folder that was indexed
    photos[2].unlink()
    os.mkfifo(photos[2])
    assert client.get(f"{API}/{third}/{route}").status_code == 404  # and does not wait for a writer


def test_a_folder_that_became_a_link_is_not_followed(client: TestClient, photos: list[Path], tmp_path: Path) -> None:
    uid = ids_of(client, sort="path")[0]
    folder = photos[0].parent
    folder.rename(tmp_path / "private")
    folder.symlink_to(tmp_path / "private")
    assert client.get(f"{API}/{uid}/file").status_code == 404


def test_tags_and_metadata_of_one_image(client: TestClient) -> None:
    uid = ids_of(client)[0]
    changes = {
        "tags": {"add": ["sea", "<b>"]},
        "metadata": {"set": {"price": 20, "bought": "2024-05-31", "by": "Leica"}},
    }
    changed = client.patch(f"{API}/{uid}", json=changes).json()
    assert changed["tags"] == ["<b>", "sea"]
    assert changed["metadata"] == {"price": 20, "bought": "2024-05-31", "by": "Leica"}
    assert client.get(API, params={"where": "bought<2024-06-01"}).json()["total"] == 1
    changed = client.patch(f"{API}/{uid}", json={"tags": {"remove": ["<b>"]}, "metadata": {"unset": ["by"]}}).json()
    assert changed["tags"] == ["sea"]
    assert set(changed["metadata"]) == {"price", "bought"}


@pytest.mark.parametrize(
    "changes",
    [
        {"tags": {"add": ["ok"]}, "metadata": {"set": {"not a key!": 1}}},
        {"tags": {"add": ["ok"]}, "metadata": {"set": {"n": 10**30}}},
        {"tags": {"add": ["ok"], "other": []}},
        {"metadata": {"set": {"a": [1]}}},
        {"tags": {"add": [""]}},
    ],
)
def test_a_change_that_is_not_valid_changes_nothing(client: TestClient, changes: dict[str, object]) -> None:
    uid = ids_of(client)[0]
    assert client.patch(f"{API}/{uid}", json=changes).status_code in (400, 422)
    assert client.get(f"{API}/{uid}").json()["tags"] == []


def test_tags_of_several_images(client: TestClient) -> None:
    ids = ids_of(client)
    answer = client.post(f"{API}/tags", json={"ids": [*ids[:3], "0" * 16], "add": ["sea"]}).json()
    assert answer == {"tagged": 3, "not_in_library": ["0" * 16]}
    client.post(f"{API}/tags", json={"ids": ids[:1], "remove": ["sea"]})
    assert client.get(API, params={"tag": "sea"}).json()["total"] == 2


def test_images_are_removed_from_the_library_only(client: TestClient, photos: list[Path]) -> None:
    ids = ids_of(client, sort="path")
    assert client.post(f"{API}/remove", json={"ids": ids[:2]}).json()["removed"] == 2
    assert client.delete(f"{API}/{ids[2]}").json()["removed"] == 1
    assert client.delete(f"{API}/{ids[2]}").status_code == 404
    assert client.get(API).json()["total"] == COUNT - 3
    assert all(photo.exists() for photo in photos)


def test_a_server_that_may_not_change_the_library(make_client: MakeClient) -> None:
    client = make_client(read_only=True)
    uid = ids_of(client)[0]
    assert client.patch(f"{API}/{uid}", json={}).status_code == 403
    assert client.post(f"{API}/tags", json={"ids": [uid], "add": ["a"]}).status_code == 403
    assert client.post(f"{API}/remove", json={"ids": [uid]}).status_code == 403
    assert client.delete(f"{API}/{uid}").status_code == 403


def test_a_read_only_server_writes_nothing_into_the_library(make_client: MakeClient, library: Path) -> None:
    def contents() -> dict[Path, bytes]:
        """Return the files; readers of SQLite share locks in one, and make an empty log."""
        files = {file: file.read_bytes() for file in library.rglob("*.*") if not file.name.endswith("-shm")}
        return {file: data for file, data in files.items() if data}

    other, uid = ids_of(make_client())[:2]
    stored = make_client().get(f"{API}/{other}/thumbnail").content
    before, client = contents(), make_client(read_only=True)
    state = client.app.state.kindred  # type: ignore[attr-defined]
    assert client.get(f"{API}/{other}/thumbnail").content == stored
    answers = [client.get(f"{API}/{uid}/thumbnail") for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert (state.part(Thumbnails).made, state.part(Thumbnails).found) == (1, 2)
    query = {"query": [{"image": uid}], "rerank": ["diffusion"]}
    assert client.post("/api/v1/search", json=query).status_code == 200
    events = client.get(f"/api/v1/jobs/{client.post('/api/v1/map', json={'method': 'mds'}).json()['id']}/events").text
    assert "event: done" in events
    sheet = client.get("/api/v1/map/sheets/0?cell=128")
    assert sheet.content == client.get("/api/v1/map/sheets/0?cell=128").content
    assert contents() == before
    caches = state.part(Caches)
    assert sorted(file.name for file in caches.folder.iterdir()) == ["atlas", "thumbnails"]
    caches.close()
    assert not caches.folder.exists()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody can write")
def test_a_folder_is_tried_before_anything_is_stored_in_it(tmp_path: Path) -> None:
    assert is_writable(tmp_path / "new" / "library")
    assert not list((tmp_path / "new" / "library").iterdir())
    assert not is_writable(Path("/proc"))


def test_a_large_body_is_refused_before_it_is_parsed(client: TestClient) -> None:
    assert client.post(f"{API}/tags", content=b'{"ids":' + b" " * (9 << 20)).status_code == 413

    def parts() -> object:
        for _ in range(10):
            yield b" " * (1 << 20)

    assert client.post(f"{API}/tags", content=parts()).status_code == 413  # type: ignore[arg-type]


def test_thumbnails_are_counted(client: TestClient) -> None:
    uid = ids_of(client)[0]
    for _ in range(3):
        client.get(f"{API}/{uid}/thumbnail")
    thumbnails = client.app.state.kindred.part(Thumbnails)  # type: ignore[attr-defined]
    assert (thumbnails.made, thumbnails.found) == (1, 2)
    assert np.array(Image.open(io.BytesIO(client.get(f"{API}/{uid}/thumbnail").content))).shape[2] == 3
