"""The map of a library over HTTP, and its timeline."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from kindred.images import decode
from kindred.library import Library
from served import COUNT, MakeClient

pytest.importorskip("sklearn", reason="maps need the extra maps")

API = "/api/v1"
PATIENCE = 60


def made(client: TestClient, **wanted: object) -> dict[str, Any]:
    """Make a map and wait for it."""
    answer = client.post(f"{API}/map", json=wanted)
    assert answer.status_code == 202, answer.text
    deadline = time.monotonic() + PATIENCE
    while (job := client.get(answer.headers["location"]).json())["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert job["state"] == "done", job
    found: dict[str, Any] = client.get(f"{API}/map").json()
    assert job["result"] == {**found, "job": None}
    return found


def test_there_is_no_map_before_one_is_made(client: TestClient) -> None:
    facts = client.get(f"{API}/map").json()
    assert (facts["revision"], facts["images"], facts["new"], facts["job"]) == (None, 0, COUNT, None)
    assert [method["name"] for method in facts["methods"]] == ["tsne", "isomap", "mds", "spectral"]
    for path in ("ids", "positions", "columns/day", "sheets/0"):
        answer = client.get(f"{API}/map/{path}")
        assert (answer.status_code, answer.json()["detail"]) == (404, "no map has been made")


def test_a_map_has_a_position_and_columns_for_every_image(client: TestClient, library: Path) -> None:
    facts = made(client, method="mds")
    assert (facts["method"], facts["images"], facts["new"], facts["gone"], facts["mapped"]) == (
        "mds",
        COUNT,
        0,
        0,
        COUNT,
    )
    given = {"revision": facts["revision"]}
    octets = {path: client.get(f"{API}/map/{path}", params=given) for path in ("ids", "positions", "columns/aspect")}
    assert all(answer.headers["content-type"] == "application/octet-stream" for answer in octets.values())
    assert all("immutable" in answer.headers["cache-control"] for answer in octets.values())
    ids = [octets["ids"].content[at : at + 8].hex() for at in range(0, 8 * COUNT, 8)]
    points = np.frombuffer(octets["positions"].content, "<f4").reshape(-1, 2)
    assert points.shape == (COUNT, 2)
    assert ((points >= 0) & (points <= 1)).all()
    with Library.open(library) as opened:
        images = [opened.get(uid) for uid in ids]
    assert len({image.path for image in images}) == COUNT
    aspects = np.frombuffer(octets["columns/aspect"].content, "<f4")
    np.testing.assert_allclose(
        aspects, [image.width / image.height for image in images if image.width and image.height]
    )
    folders = np.frombuffer(client.get(f"{API}/map/columns/folder").content, np.uint8)
    columns = facts["columns"]
    names = [group["name"] for group in next(column for column in columns if column["name"] == "folder")["groups"]]
    assert [names[number] for number in folders] == [image.path.parent.name for image in images]
    days = np.frombuffer(client.get(f"{API}/map/columns/day").content, "<i4")
    today = np.datetime64("today").astype(int)
    assert (np.abs(days - today) <= 1).all()  # the pictures were drawn just now
    assert set(np.frombuffer(client.get(f"{API}/map/columns/tag").content, np.uint8)) == {255}
    assert client.get(f"{API}/map/columns/size").status_code == 422


def test_records_of_images_are_found_by_their_place(client: TestClient) -> None:
    made(client, method="mds")
    ids = ids_of(client)
    answer = client.get(f"{API}/map/images", params={"at": [5, 0]}).json()
    assert [image["id"] for image in answer["images"]] == [ids[5], ids[0]]
    assert answer["images"][0]["path"].endswith(".jpg")
    assert client.get(f"{API}/map/images", params={"at": COUNT}).status_code == 404
    assert client.get(f"{API}/map/images", params={"at": -1}).status_code == 422
    client.delete(f"{API}/images/{ids[5]}")
    assert [image["id"] for image in client.get(f"{API}/map/images", params={"at": [5, 0]}).json()["images"]] == [
        ids[0]
    ]


def test_an_image_reached_by_a_link_out_of_the_library_is_grey(
    client: TestClient, library: Path, tmp_path: Path
) -> None:
    made(client, method="mds")
    with Library.open(library) as opened:
        path = opened.get(ids_of(client)[0]).path
    secret = tmp_path / "elsewhere" / "secret.jpg"
    secret.parent.mkdir()
    path.rename(secret)
    path.symlink_to(secret)
    sheet = decode(client.get(f"{API}/map/sheets/0", params={"cell": 128}).content).pixels.astype(int)
    assert np.abs(sheet[8:80, 8:80] - 128).max() < 20
    assert np.abs(sheet[8:80, 136:200] - 128).max() > 20


def test_sheets_show_the_images_in_the_order_of_the_map(client: TestClient, library: Path) -> None:
    facts = made(client, method="mds")
    assert facts["sheets"] == [{"cell": 32, "across": 64, "count": 1}, {"cell": 128, "across": 16, "count": 1}]
    ids = client.get(f"{API}/map/ids").content
    for cell in (32, 128):
        answer = client.get(f"{API}/map/sheets/0", params={"cell": cell})
        assert answer.headers["content-type"] == "image/webp"
        sheet = decode(answer.content).pixels
        assert sheet.shape == (cell, COUNT * cell, 3)
        with Library.open(library) as opened:
            own = decode(opened.get(ids[24:32].hex()).path).pixels
        height, width = (max(1, round(cell * side / max(own.shape[:2]))) for side in own.shape[:2])
        shown = sheet[:height, 3 * cell : 3 * cell + width].mean(axis=(0, 1))
        assert np.abs(shown - own.mean(axis=(0, 1))).max() < 10
    assert client.get(f"{API}/map/sheets/1").status_code == 400
    assert client.get(f"{API}/map/sheets/0", params={"cell": 64}).status_code == 400
    assert client.get(f"{API}/map/sheets/-1").status_code == 422


def test_what_has_not_changed_is_not_sent_again(client: TestClient, library: Path) -> None:
    facts = made(client, method="mds")
    first = client.get(f"{API}/map/positions")
    again = client.get(f"{API}/map/positions", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    with Library.open(library) as opened:
        opened.remove(ids_of(client)[0])
    changed = client.get(f"{API}/map").json()
    assert changed["revision"] == facts["revision"]
    assert changed["columns_revision"] != facts["columns_revision"]
    assert (changed["images"], changed["library"], changed["new"], changed["gone"]) == (COUNT, COUNT - 1, 0, 1)
    for revision, status in ((facts["revision"], 200), (facts["columns_revision"], 409)):
        assert client.get(f"{API}/map/columns/day", params={"revision": revision}).status_code == status
    updated = made(client, method="mds")
    assert (updated["images"], updated["gone"]) == (COUNT - 1, 0)
    assert len(client.get(f"{API}/map/ids").content) == 8 * (COUNT - 1)


def ids_of(client: TestClient) -> list[str]:
    data = client.get(f"{API}/map/ids").content
    return [data[at : at + 8].hex() for at in range(0, len(data), 8)]


def test_a_map_is_there_after_a_restart(make_client: MakeClient) -> None:
    facts = made(make_client(), method="mds")
    again = make_client().get(f"{API}/map").json()
    assert again == facts


def test_unknown_methods_and_too_few_images_are_problems(client: TestClient) -> None:
    answer = client.post(f"{API}/map", json={"method": "tsnee"})
    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert "did you mean 'tsne'" in answer.text
    assert client.get(f"{API}/map", params={"method": "umap"}).status_code == 400
    assert client.post(f"{API}/map", json={"method": "mds", "images": 3}).status_code == 422


def test_the_timeline_counts_the_images_of_each_month(client: TestClient, library: Path) -> None:
    now = np.datetime64("today", "M").astype(str)
    assert client.get(f"{API}/timeline").json() == {
        "months": [{"month": now, "images": COUNT}], "total": COUNT, "undated": 0
    }  # fmt: skip
    with Library.open(library) as opened:
        folder = opened.info().roots[0] / "a"
    half = client.get(f"{API}/timeline", params={"folder": str(folder)}).json()
    assert half["total"] == COUNT // 2
    assert client.get(f"{API}/timeline", params={"to": "1990-01-01"}).json() == {"months": [], "total": 0, "undated": 0}
    assert client.get(f"{API}/timeline", params={"where": "price<"}).status_code == 400
    assert client.get(f"{API}/timeline", params={"from": "yesterday"}).status_code in (400, 422)
