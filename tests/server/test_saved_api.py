"""Saved searches over HTTP."""

from __future__ import annotations

from fastapi.testclient import TestClient

from kindred.store.saved import SEARCH_BYTES
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


def test_a_read_only_server_lists_searches_and_saves_none(client: TestClient, make_client: MakeClient) -> None:
    saved = client.post(API, json={"name": "a", "search": {}}).json()
    reader = make_client(read_only=True)
    assert reader.get(API).json() == {"saved": [saved]}
    assert reader.post(API, json={"name": "b", "search": {}}).status_code == 403
    assert reader.delete(f"{API}/{saved['id']}").status_code == 403
