"""Saved searches over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from kindred.server.saved_images import FOLDER
from kindred.store.saved import SEARCH_BYTES
from pictures import encoded
from served import MakeClient

API = "/api/v1/saved"


def test_searches_are_saved_listed_replaced_and_removed(client: TestClient) -> None:
    assert client.get(API).json() == {"saved": []}
    made = client.post(API, json={"name": "Our boat", "search": {"address": "q=1&tag=<b>"}})
    assert made.status_code == 201
    saved = made.json()
    assert (saved["name"], saved["search"]) == ("Our boat", {"address": "q=1&tag=<b>"})
    assert client.get(made.headers["location"]).json() == saved
    again = client.post(API, json={"name": " Our boat ", "search": {"k": 3}}).json()
    assert (again["id"], again["search"]) == (saved["id"], {"k": 3})
    assert client.get(API).json() == {"saved": [again]}
    assert client.delete(f"{API}/{saved['id']}").status_code == 204
    assert client.delete(f"{API}/{saved['id']}").status_code == 404
    assert client.get(f"{API}/{saved['id']}").status_code == 404
    assert client.get(API).json() == {"saved": []}


def test_what_cannot_be_saved_is_a_problem(client: TestClient) -> None:
    large = {"a": "x" * SEARCH_BYTES}
    for body, status in (
        ({"name": "", "search": {}}, 422),
        ({"name": "   ", "search": {}}, 400),
        ({"name": "x" * 201, "search": {}}, 422),
        ({"name": "a", "search": []}, 422),
        ({"name": "a"}, 422),
        ({"name": "a", "search": {}, "b": 1}, 422),
        ({"name": "a", "search": large}, 400),
    ):
        answer = client.post(API, json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), body
    nan = client.post(API, content=b'{"name": "a", "search": {"x": NaN}}', headers={"Content-Type": "application/json"})
    assert nan.status_code in (400, 422)
    assert client.get(API).json() == {"saved": []}


@pytest.mark.parametrize("form", ["q=u.{}&tag=sea", "q=-u.{}_1_2_30_40"])
def test_the_query_image_of_a_saved_search_stays(make_client: MakeClient, library: Path, form: str) -> None:
    client = make_client(uploads=1)
    image = encoded(3, width=90, height=60)
    upload, other = (client.post("/api/v1/uploads", content=image).json()["upload"] for _ in range(2))
    assert client.get(f"/api/v1/uploads/{upload}").status_code == 404  # only the latest is stored
    body = {"name": "a", "search": {"address": form.format(other)}}
    saved = client.post(API, json=body).json()
    stored = library / FOLDER / other
    assert stored.read_bytes() == image
    later = make_client()
    assert later.get(f"/api/v1/uploads/{other}").json() == {"upload": other, "width": 90, "height": 60}
    assert later.get(f"/api/v1/uploads/{other}/thumbnail").status_code == 200
    found = later.post("/api/v1/search", json={"query": [{"upload": other}], "k": 3})
    assert len(found.json()["results"]) == 3
    assert later.post(API, json={**body, "name": "b"}).status_code == 201
    assert later.delete(f"{API}/{saved['id']}").status_code == 204
    assert stored.exists()  # the other search names it too
    later.post(API, json={"name": "b", "search": {}})
    assert not stored.exists()
    assert later.get(f"/api/v1/uploads/{other}").status_code == 404


def test_images_of_saved_searches_are_bounded(make_client: MakeClient, library: Path) -> None:
    image = encoded(3)
    client = make_client(saved_bytes=len(image) + 9)
    first, second = (client.post("/api/v1/uploads", content=image).json()["upload"] for _ in range(2))
    assert client.post(API, json={"name": "a", "search": {"query": [{"upload": first}]}}).status_code == 201
    full = client.post(API, json={"name": "b", "search": {"query": [{"upload": second}]}})
    assert (full.status_code, full.json()["hint"]) == (507, "remove a saved search first")
    gone = client.post(API, json={"name": "c", "search": {"query": [{"upload": "0" * 32}]}})
    assert gone.status_code == 404
    long = {"name": "d", "search": {"query": [{"upload": first}], "a": "x" * SEARCH_BYTES}}
    assert client.post(API, json=long).status_code == 400
    assert [each["name"] for each in client.get(API).json()["saved"]] == ["a"]
    assert [file.name for file in (library / FOLDER).iterdir()] == [first]


def test_a_read_only_server_lists_searches_and_saves_none(client: TestClient, make_client: MakeClient) -> None:
    saved = client.post(API, json={"name": "a", "search": {}}).json()
    reader = make_client(read_only=True)
    assert reader.get(API).json() == {"saved": [saved]}
    assert reader.post(API, json={"name": "b", "search": {}}).status_code == 403
    assert reader.delete(f"{API}/{saved['id']}").status_code == 403
