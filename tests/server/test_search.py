"""Searching over HTTP: uploads, examples, marked answers, pages of results, and explanations."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from kindred.library import Example, Library
from kindred.server.uploads import Uploads
from pictures import encoded, mutated
from served import COUNT, MakeClient

API = "/api/v1"


def search(client: TestClient, **asked: object) -> dict[str, object]:
    answer = client.post(f"{API}/search", json=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def ids_of(found: dict[str, object]) -> list[str]:
    return [hit["id"] for hit in found["results"]]  # type: ignore[attr-defined]


@pytest.fixture
def ids(client: TestClient) -> list[str]:
    """The ids of all images, by path."""
    page = client.get(f"{API}/images", params={"sort": "path"}).json()
    return [image["id"] for image in page["images"]]


def upload(client: TestClient, number: int) -> str:
    answer = client.post(f"{API}/uploads", content=encoded(number), headers={"Content-Type": "image/jpeg"})
    assert answer.status_code == 201
    assert (answer.json()["width"], answer.json()["height"]) == (64, 48)
    return str(answer.json()["upload"])


def test_an_upload_finds_its_image(client: TestClient, ids: list[str], library: Path) -> None:
    found = search(client, query=[{"upload": upload(client, 4)}], k=5)
    assert ids_of(found)[0] == ids[4]
    with Library.open(library) as opened:
        same = opened.search(encoded(4), k=5)
    assert [hit.id for hit in same] == ids_of(found)
    assert [round(hit.score, 6) for hit in same] == [hit["score"] for hit in found["results"]]  # type: ignore[attr-defined]
    assert found["next_offset"] == 5
    assert found["total"] == COUNT


def test_an_image_in_the_request_is_searched_in_one_call(client: TestClient, ids: list[str]) -> None:
    body = client.post(f"{API}/search/image", content=encoded(7), params={"k": 3}, headers={"Content-Type": "image/*"})
    assert [hit["rank"] for hit in body.json()["results"]] == [1, 2, 3]
    assert body.json()["results"][0]["id"] == ids[7]
    form = client.post(f"{API}/search/image", files={"image": ("x.jpg", encoded(7))}, params={"k": 3, "rerank": "none"})
    assert form.json()["results"] == body.json()["results"]
    assert client.post(f"{API}/search/image", params={"tag": "no"}, content=encoded(7)).json()["results"] == []
    assert client.post(f"{API}/search/image", params={"rerank": "magic"}, content=encoded(7)).status_code == 400


def test_pages_are_those_of_one_search(client: TestClient, ids: list[str]) -> None:
    whole = search(client, query=[{"image": ids[0]}], k=COUNT)
    assert whole["next_offset"] is None or not search(client, query=[{"image": ids[0]}], k=5, offset=COUNT)["results"]
    found: list[str] = []
    ranks: list[int] = []
    offset: object = 0
    while offset is not None:
        page = search(client, query=[{"image": ids[0]}], k=5, offset=offset)
        found += ids_of(page)
        ranks += [hit["rank"] for hit in page["results"]]  # type: ignore[attr-defined]
        offset = page["next_offset"]
    assert found == ids_of(whole)
    assert ranks == list(range(1, COUNT + 1))


def test_a_search_follows_changes_of_the_library(client: TestClient, ids: list[str]) -> None:
    assert ids_of(search(client, query=[{"image": ids[0]}], filter={"tag": ["new"]})) == []
    client.patch(f"{API}/images/{ids[3]}", json={"tags": {"add": ["new"]}})
    assert ids_of(search(client, query=[{"image": ids[0]}], filter={"tag": ["new"]})) == [ids[3]]
    client.delete(f"{API}/images/{ids[3]}")
    assert ids[3] not in ids_of(search(client, query=[{"image": ids[0]}], k=COUNT))


def test_several_examples_and_marks(client: TestClient, ids: list[str], library: Path) -> None:
    query = [{"image": ids[0]}, {"upload": upload(client, 5), "weight": 0.5}, {"image": ids[2], "weight": -0.5}]
    found = search(client, query=query, right=[ids[8]], wrong=[ids[9]], k=COUNT)
    with Library.open(library) as opened:
        same = opened.search_examples(
            [Example(ids[0]), Example(encoded(5), 0.5), Example(ids[2], -0.5)], right=[ids[8]], wrong=[ids[9]], k=COUNT
        )
    assert [hit.id for hit in same] == ids_of(found)
    assert ids_of(found)[-1] == ids[9]
    assert search(client, right=[ids[3]], k=1)["results"][0]["id"] == ids[3]  # type: ignore[index]


def test_a_vector_is_a_query(client: TestClient, ids: list[str]) -> None:
    described = client.post(f"{API}/describe", content=encoded(6)).json()
    assert len(described["vector"]) == described["dimension"]
    assert np.linalg.norm(described["vector"]) == pytest.approx(1, abs=1e-5)
    assert ids_of(search(client, query=[{"vector": described["vector"]}], k=1)) == [ids[6]]
    assert client.post(f"{API}/search", json={"query": [{"vector": [1.0, 2.0]}]}).status_code == 400


def test_boxes_and_regions(client: TestClient, ids: list[str]) -> None:
    assert ids_of(search(client, query=[{"image": ids[4], "box": [0, 0, 64, 48]}], k=1)) == [ids[4]]
    assert client.post(f"{API}/search", json={"query": [{"image": ids[4], "box": [90, 90, 99, 99]}]}).status_code == 400
    assert search(client, query=[{"upload": upload(client, 4)}], regions=True, k=1)["results"]


def test_copies_are_left_out(client: TestClient, ids: list[str]) -> None:
    assert client.post(f"{API}/images", content=encoded(0, "PNG"), params={"name": "again.png"}).status_code == 201
    every = ids_of(search(client, query=[{"image": ids[0]}], k=COUNT + 1))
    fewer = ids_of(search(client, query=[{"image": ids[0]}], k=COUNT + 1, no_copies=True))
    assert len(every) == COUNT + 1
    assert len(fewer) == COUNT - 1  # neither the query's own image nor its copy
    assert ids[0] not in fewer


@pytest.mark.parametrize(
    "asked",
    [
        {"query": []},
        {"query": [{}]},
        {"query": [{"image": "x"}]},
        {"query": [{"image": "0" * 16}]},
        {"query": [{"upload": "0" * 32}]},
        {"query": [{"vector": [float(10**300)] * 32}]},
        {"query": [{"vector": [0.0] * 32}]},
        {"query": [{"image": "0" * 16, "weight": 0}]},
        {"query": [{"vector": [1.0] * 32, "weight": -1}]},
        {"query": [{"vector": [1.0] * 32, "box": [1, 2, 3]}]},
        {"query": [{"vector": [1.0] * 32, "box": [0, 0, 9, 9]}]},
        {"query": [{"vector": [1.0] * 32}], "k": 0},
        {"query": [{"vector": [1.0] * 32}], "rerank": ["magic"]},
        {"query": [{"vector": [1.0] * 32}], "rerank": []},
        {"query": [{"vector": [1.0] * 32}], "min_probability": 0.5},
        {"query": [{"vector": [1.0] * 32}], "filter": {"from": "soon"}},
        {"query": [{"vector": [1.0] * 32}], "filter": {"other": 1}},
        {"query": [{"vector": [1.0] * 32}], "wrong": ["0" * 16]},
    ],
)
def test_a_search_that_is_not_possible_is_a_problem(client: TestClient, asked: dict[str, object]) -> None:
    answer = client.post(f"{API}/search", json=asked)
    assert answer.status_code in (400, 404, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.json()["detail"]) > 10


@pytest.mark.parametrize("place", ["query", "right", "wrong"])
def test_an_image_that_was_removed_is_named(client: TestClient, ids: list[str], place: str) -> None:
    client.delete(f"{API}/images/{ids[5]}")
    asked: dict[str, object] = {"query": [{"image": ids[0]}]}
    asked |= {"query": [{"image": ids[0]}, {"image": ids[5]}]} if place == "query" else {place: [ids[1], ids[5]]}
    answer = client.post(f"{API}/search", json=asked)
    assert answer.status_code == 404
    assert answer.json()["detail"] == f"the library has no image {ids[5]}"
    explained = client.post(f"{API}/explain", json={"query": {"image": ids[0]}, "image": ids[5]})
    assert (explained.status_code, explained.json()["detail"]) == (404, f"the library has no image {ids[5]}")


@pytest.mark.parametrize("content", [b'{"query": [{"vector": [NaN]}]}', b"{", b"\xff\xfe", b"[]", b'"x"', b"null"])
def test_a_body_that_is_not_json_is_a_problem(client: TestClient, content: bytes) -> None:
    answer = client.post(f"{API}/search", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_upload_has_a_thumbnail_and_is_deleted_at_the_end(make_client: MakeClient) -> None:
    client = make_client()
    uid = upload(client, 3)
    content = client.get(f"{API}/uploads/{uid}/thumbnail", params={"size": 64}).content
    assert Image.open(io.BytesIO(content)).size == (64, 48)
    assert client.get(f"{API}/uploads/{'0' * 32}/thumbnail").status_code == 404
    uploads = client.app.state.kindred.part(Uploads)  # type: ignore[attr-defined]
    path = uploads.get(uid).path
    assert path.exists()
    uploads.close()
    assert not path.exists()


def test_uploads_are_bounded_in_number_and_age(make_client: MakeClient) -> None:
    client = make_client(uploads=3)
    names = [upload(client, number) for number in range(5)]
    status = [client.get(f"{API}/uploads/{name}/thumbnail").status_code for name in names]
    assert status == [404, 404, 200, 200, 200]
    brief = make_client(upload_seconds=0.0)
    old = upload(brief, 1)
    new = upload(brief, 2)
    assert brief.get(f"{API}/uploads/{old}/thumbnail").status_code == 404
    assert brief.get(f"{API}/uploads/{new}/thumbnail").status_code == 200


def test_uploads_are_limited_in_bytes_and_pixels(make_client: MakeClient) -> None:
    client = make_client(upload_bytes=1 << 20, upload_pixels=10_000)
    for path in ("uploads", "search/image", "describe"):
        assert client.post(f"{API}/{path}", content=b"x" * (2 << 20)).status_code == 413
        large = client.post(f"{API}/{path}", files={"image": ("x.jpg", b"x" * (3 << 20))})
        assert large.status_code == 413
        bomb = encoded(1, "PNG", width=200, height=100)
        refused = client.post(f"{API}/{path}", content=bomb)
        assert refused.status_code == 422
        assert "pixels" in refused.json()["detail"]
        assert client.post(f"{API}/{path}", content=b"").status_code == 400
        assert client.post(f"{API}/{path}", content=b"GIF89a not really").status_code == 422
        assert client.post(f"{API}/{path}", files={"a": b"1", "b": b"2"}).status_code in (400, 413)
        assert client.post(f"{API}/{path}", data={"image": "text"}).status_code in (400, 422)
        wrong = {"Content-Type": "multipart/form-data; boundary=x"}
        assert client.post(f"{API}/{path}", content=b"--y\r\nnothing", headers=wrong).status_code == 400


def test_damaged_uploads_never_bring_it_down(client: TestClient) -> None:
    random = np.random.default_rng(16)
    kinds = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]
    files = [encoded(number, kind) for number, kind in enumerate(kinds)]
    statuses = set()
    for number in range(60):
        content = mutated(files[number % 6], files[(number + 1) % 6], random)
        statuses.add(client.post(f"{API}/search/image", content=content, params={"k": 1}).status_code)
    assert statuses <= {200, 400, 422}
    assert len(statuses) > 1
    assert client.get(f"{API}/health").status_code == 200


def test_why_an_image_was_found(client: TestClient, ids: list[str]) -> None:
    found = client.post(f"{API}/explain", json={"query": {"image": ids[0]}, "image": ids[1]}).json()
    assert found["kind"] == "maps"
    assert (len(found["image"]), len(found["image"][0])) == (found["rows"], found["columns"])
    assert all(0 <= value <= 1 for row in found["query"] for value in row)
    by_upload = {"query": {"upload": upload(client, 2)}, "image": ids[2]}
    same = client.post(f"{API}/explain", json=by_upload).json()
    assert min(value for row in same["query"] for value in row) > 0.99
    assert client.post(f"{API}/explain", json={"query": {"vector": [1.0] * 32}, "image": ids[0]}).status_code == 400
    assert client.post(f"{API}/explain", json={"query": {"image": ids[0]}, "image": "0" * 16}).status_code == 404


def test_a_full_queue_is_answered_at_once(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_client(heavy=1, queue=1)
    begun, ended = threading.Event(), threading.Event()

    def slow(_: object, images: object) -> object:
        del images
        begun.set()
        ended.wait(20)
        return np.ones((1, 32), np.float32)

    monkeypatch.setattr(Library, "describe", slow)
    work = client.app.state.kindred.work  # type: ignore[attr-defined]
    while work.lanes[0].inside:  # the network is loaded in advance
        pass
    codes: list[int] = []
    threads = [
        threading.Thread(target=lambda: codes.append(client.post(f"{API}/describe", content=encoded(1)).status_code))
        for _ in range(2)
    ]
    threads[0].start()
    assert begun.wait(20)
    threads[1].start()
    while work.lanes[0].inside < 2:
        pass
    refused = client.post(f"{API}/describe", content=encoded(1))
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert client.get(f"{API}/health").status_code == 200  # light requests go on
    ended.set()
    for thread in threads:
        thread.join()
    assert codes == [200, 200]
    assert client.post(f"{API}/describe", content=encoded(1)).status_code == 200
