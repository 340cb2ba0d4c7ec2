"""Images added by upload: stored by digest, described, idempotent, bounded, and there after a kill."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

from kindred.library import Library
from live_server import serving
from pictures import encoded, save_picture
from served import COUNT, MakeClient

IMAGES = "/api/v1/images"


def stored(library: Path) -> list[Path]:
    return sorted(path for path in (library / "uploads").rglob("*") if path.is_file())


def form(*files: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("file", (name, data, "application/octet-stream")) for name, data in files]


def test_an_image_is_added_and_found(client: TestClient, library: Path) -> None:
    data = encoded(200, "PNG")
    answer = client.post(IMAGES, content=data, params={"name": "cat.png", "tag": ["pet", "new"]})
    assert answer.status_code == 201, answer.text
    (file,) = answer.json()["files"]
    assert (file["name"], file["status"], file["reason"]) == ("cat.png", "added", None)
    assert answer.json()["counts"] == {"added": 1, "present": 0, "refused": 0}
    (path,) = stored(library)
    assert path.read_bytes() == data
    with Library.open(library) as opened:
        record = opened.get(file["id"])
        assert record.path == path
        assert set(record.tags) == {"pet", "new"}
        assert opened.search(path, k=1)[0].id == file["id"]


def test_the_same_image_again_changes_nothing(client: TestClient, library: Path, photos: list[Path]) -> None:
    data = encoded(200, "PNG")
    first = client.post(IMAGES, content=data, params={"name": "cat.png"}).json()["files"][0]
    again = client.post(IMAGES, content=data, params={"name": "another name.png"})
    assert again.status_code == 200
    assert again.json()["files"] == [
        {"name": "another name.png", "status": "present", "id": first["id"], "reason": None}
    ]
    twice = client.post(IMAGES, files=form(("a.png", encoded(201, "PNG")), ("b.png", encoded(201, "PNG")))).json()
    assert len({file["id"] for file in twice["files"]}) == 1
    known = client.post(IMAGES, content=photos[0].read_bytes(), params={"name": "x.jpg"}).json()["files"][0]
    assert known["status"] == "present"  # it is in a folder of the library
    with Library.open(library) as opened:
        assert opened.get(known["id"]).path == photos[0]
        assert len(opened) == COUNT + 2
    assert len(stored(library)) == 2


def test_a_form_of_several_files_with_one_that_is_none(client: TestClient, library: Path) -> None:
    cut = encoded(210, "PNG", width=200, height=200)[:900]
    answer = client.post(
        IMAGES,
        files=form(("a.jpg", encoded(211)), ("b.txt", b"no image"), ("c.png", cut), ("d", encoded(212, "WEBP"))),
    )
    files = answer.json()["files"]
    assert [file["status"] for file in files] == ["added", "refused", "refused", "added"]
    assert files[1]["reason"] == "not an image"
    assert files[2]["reason"] == "image data ends early"
    assert {path.name for path in stored(library)} == {"a.jpg", "d.webp"}
    with Library.open(library) as opened:
        assert opened.skipped() == []  # nothing of a refused upload remains


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("../../../etc/cron.d/x.jpg", "x.jpg"),
        ("C:\\photos\\y.jpg", "y.jpg"),
        (".htaccess", "htaccess.jpg"),
        ("con.jpg", "_con.jpg"),
        ("a\u202egpj.exe", "a_gpj.exe.jpg"),
        ("<img src=x onerror=alert(1)>.jpg", "_img src=x onerror=alert(1)_.jpg"),
        ("x" * 900, "x" * 120 + ".jpg"),
    ],
)
def test_names_are_safe(client: TestClient, library: Path, given: str, name: str) -> None:
    answer = client.post(IMAGES, content=encoded(220), params={"name": given})
    assert answer.status_code == 201
    (path,) = stored(library)
    assert path.name == name
    assert path.resolve().is_relative_to((library / "uploads").resolve())


def test_uploads_are_bounded(make_client: MakeClient, library: Path) -> None:
    client = make_client(upload_bytes=20_000, file_bytes=60_000, upload_pixels=100 * 100)
    assert client.post(IMAGES, content=b"\0" * 20_001).status_code == 413
    assert client.post(IMAGES, content=iter([b"\0" * 10_000] * 3)).status_code == 413  # without Content-Length
    assert client.post(IMAGES, files=form(("a.jpg", b"\0" * 20_001))).status_code == 413
    assert client.post(IMAGES, files=form(*[(f"{n}.jpg", b"\0" * 19_000) for n in range(4)])).status_code == 413
    assert client.post(IMAGES, files=form(*[(f"{n}.jpg", b"") for n in range(101)])).status_code == 413
    large = client.post(IMAGES, content=encoded(230, "PNG", width=101, height=100)).json()["files"][0]
    assert large["reason"] == "too large: 0.0101 megapixels, limit 0.01"
    assert client.post(IMAGES, content=encoded(230, "PNG", width=100, height=100)).status_code == 201
    assert client.post(IMAGES, content=b"").json()["files"][0]["reason"] == "empty file"
    assert client.post(IMAGES, files={"text": (None, "no file")}).status_code == 400
    assert client.post(IMAGES, content=b"xx", headers={"content-type": "multipart/form-data"}).status_code == 400
    assert client.post(IMAGES, params={"tag": ["x"] * 21}, content=b"x").status_code == 422
    assert len(stored(library)) == 1


def test_a_read_only_server_adds_nothing(make_client: MakeClient, library: Path) -> None:
    answer = make_client(read_only=True).post(IMAGES, content=encoded(1))
    assert answer.status_code == 403
    assert not (library / "uploads").exists()


def test_what_a_killed_server_received_in_part_is_deleted(make_client: MakeClient, library: Path) -> None:
    incoming = library / "uploads/incoming"
    incoming.mkdir(parents=True)
    (incoming / "x.part").write_bytes(b"half")
    make_client().post(IMAGES, content=encoded(240))
    assert list(incoming.iterdir()) == []


def test_uploads_are_not_searched_as_a_folder_of_images(client: TestClient) -> None:
    client.post(IMAGES, content=encoded(250))
    job = client.post("/api/v1/jobs/index", json={}).json()["id"]
    while client.get(f"/api/v1/jobs/{job}").json()["state"] == "running":
        time.sleep(0.01)
    assert client.get("/api/v1/health").json()["images"] == COUNT + 1


def test_what_was_acknowledged_survives_a_kill(library: Path) -> None:
    acknowledged: dict[int, str] = {}

    with serving(library) as server:

        def send(numbers: range) -> None:
            for number in numbers:
                try:
                    answer = httpx.post(
                        f"{server.api}/images", content=encoded(number), params={"name": f"{number}.jpg"}
                    )
                except httpx.HTTPError:
                    return
                acknowledged[number] = answer.json()["files"][0]["id"]

        threads = [threading.Thread(target=send, args=(range(at, at + 200),)) for at in (1000, 2000, 3000)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while len(acknowledged) < 20:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        server.process.kill()
        for thread in threads:
            thread.join()
    assert len(acknowledged) < 600
    with Library.open(library) as opened:
        for number, image in acknowledged.items():
            record = opened.get(image)
            assert record.path.read_bytes() == encoded(number)
            assert not record.missing
    with serving(library) as server:
        again = httpx.post(f"{server.api}/images", content=encoded(1000)).json()["files"][0]
        assert again == {"name": "image", "status": "present", "id": acknowledged[1000], "reason": None}
        lost = next(number for number in range(1000, 1200) if number not in acknowledged)
        assert httpx.post(f"{server.api}/images", content=encoded(lost)).json()["files"][0]["status"] in (
            "added",
            "present",
        )


def test_uploads_that_are_cut_off_leave_nothing(library: Path) -> None:
    with serving(library) as server:
        port = int(server.address.rsplit(":", 1)[1])
        for kind in ("image/jpeg", "multipart/form-data; boundary=x"):
            body = encoded(800, width=400, height=400)
            if kind.startswith("multipart"):
                body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n' + body
            head = f"POST /api/v1/images HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
            for _ in range(20):
                with socket.create_connection(("127.0.0.1", port)) as connection:
                    connection.sendall(f"{head}Content-Length: 9000000\r\n\r\n".encode() + body)
        deadline = time.monotonic() + 30
        while stored(library):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert httpx.get(f"{server.api}/health").json()["images"] == COUNT


def test_an_upload_of_a_lost_file_is_that_image_again(
    make_client: MakeClient, library: Path, photos: list[Path]
) -> None:
    with Library.open(library) as opened:
        before = opened.get(photos[3]).id
        opened.tag(photos[3], "mine")
    data = photos[3].read_bytes()
    photos[3].unlink()
    answer = make_client().post(IMAGES, content=data, params={"name": "back.jpg"}).json()["files"][0]
    assert answer["id"] == before
    with Library.open(library) as opened:
        assert opened.get(before).tags == ("mine",)
        assert opened.get(before).path.name == "back.jpg"


def test_a_picture_with_another_extension_keeps_its_name(client: TestClient, library: Path, tmp_path: Path) -> None:
    data = save_picture(tmp_path / "x.png", 260).read_bytes()
    client.post(IMAGES, content=data, params={"name": "really a.jpg"})
    assert [path.name for path in stored(library)] == ["really a.jpg"]
