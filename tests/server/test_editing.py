"""Changes of many images: metadata, tags of the whole library, removal and its undoing."""

from __future__ import annotations

import time
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from kindred.library import Library
from kindred.server import removal_files
from served import COUNT, MakeClient

API = "/api/v1"
NO_IMAGE = "0" * 16


@pytest.fixture
def ids(library: Path, photos: list[Path]) -> list[str]:
    """The ids of the pictures, in order."""
    with Library.open(library) as opened:
        return [opened.get(path).id for path in photos]


def finished(client: TestClient, job: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while True:
        state: dict[str, Any] = client.get(f"{API}/jobs/{job}").json()
        if state["state"] != "running":
            return state
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_metadata_of_many_images_changes_at_once(client: TestClient, ids: list[str], library: Path) -> None:
    body = {"ids": [*ids[:3], NO_IMAGE], "set": {"price": 20, "bought": "2024-01-31", "maker": "Leica"}}
    answer = client.post(f"{API}/images/metadata", json=body)
    assert answer.json() == {"changed": 3, "not_in_library": [NO_IMAGE]}
    with Library.open(library) as opened:
        assert opened.get(ids[2]).metadata == {"price": 20, "bought": date(2024, 1, 31), "maker": "Leica"}
    client.post(f"{API}/images/metadata", json={"ids": ids[:2], "set": {"price": 9}, "unset": ["maker", "none"]})
    assert client.get(f"{API}/images/{ids[0]}").json()["metadata"] == {"price": 9, "bought": "2024-01-31"}
    assert client.get(f"{API}/images/{ids[2]}").json()["metadata"]["price"] == 20
    wrong = {"ids": ids[:2], "set": {"not a key": 1}, "unset": ["price"]}
    assert client.post(f"{API}/images/metadata", json=wrong).status_code == 400
    assert client.get(f"{API}/images/{ids[0]}").json()["metadata"]["price"] == 9  # all or none


def test_a_tag_is_renamed_joined_and_removed_everywhere(client: TestClient, ids: list[str]) -> None:
    client.post(f"{API}/images/tags", json={"ids": ids[:3], "add": ["sea"]})
    client.post(f"{API}/images/tags", json={"ids": ids[2:5], "add": ["beach"]})
    assert client.get(f"{API}/tags").json() == {"tags": {"beach": 3, "sea": 3}}
    assert client.post(f"{API}/tags/rename", json={"tag": "sea", "to": "Meer"}).json()["tagged"] == 3
    assert client.get(f"{API}/tags").json() == {"tags": {"Meer": 3, "beach": 3}}
    assert client.post(f"{API}/tags/rename", json={"tag": "Meer", "to": "beach"}).json()["tagged"] == 3
    assert client.get(f"{API}/tags").json() == {"tags": {"beach": 5}}
    assert client.post(f"{API}/tags/rename", json={"tag": "beach", "to": "beach"}).json()["tagged"] == 5
    assert client.get(f"{API}/tags").json() == {"tags": {"beach": 5}}
    assert client.post(f"{API}/tags/rename", json={"tag": "beach", "to": "  "}).status_code == 400
    assert client.get(f"{API}/tags").json() == {"tags": {"beach": 5}}
    assert client.post(f"{API}/tags/remove", json={"tag": "beach"}).json()["untagged"] == 5
    assert client.get(f"{API}/tags").json() == {"tags": {}}
    assert client.post(f"{API}/tags/remove", json={"tag": "beach"}).json()["untagged"] == 0


def test_a_removal_is_undone_with_ids_tags_and_metadata(
    client: TestClient, ids: list[str], library: Path, photos: list[Path]
) -> None:
    with Library.open(library) as opened:
        opened.tag(photos[0], ["sea", "2024"])
        opened.set_metadata(photos[0], {"price": 20, "bought": date(2024, 1, 31)})
        before = opened.get(ids[0])
    removed = client.post(f"{API}/images/remove", json={"ids": [*ids[:3], NO_IMAGE]}).json()
    assert (removed["removed"], removed["not_in_library"]) == (3, [NO_IMAGE])
    assert client.get(f"{API}/health").json()["images"] == COUNT - 3
    assert all(path.exists() for path in photos)
    (listed,) = client.get(f"{API}/removals").json()["removals"]
    assert (listed["id"], listed["images"], listed["names"]) == (removed["undo"], 3, [path.name for path in photos[:3]])
    photos[2].unlink()
    job = client.post(f"{API}/removals/{removed['undo']}/undo")
    assert job.status_code == 202
    state = finished(client, job.json()["id"])
    assert (state["state"], state["done"], state["total"]) == ("done", 3, 3)
    assert state["result"] == {"restored": 2, "missing": [{"path": str(photos[2]), "reason": "file is missing"}]}
    with Library.open(library) as opened:
        assert opened.get(ids[0]) == before
        assert opened.get(photos[1]).id == ids[1]
        assert opened.search(photos[0], k=1)[0].id == ids[0]
    assert client.get(f"{API}/removals").json() == {"removals": []}
    assert client.post(f"{API}/removals/{removed['undo']}/undo").status_code == 404


def test_a_removal_can_be_undone_after_a_restart(
    make_client: MakeClient, ids: list[str], library: Path, photos: list[Path]
) -> None:
    with Library.open(library) as opened:
        opened.tag(photos[0], ["sea", "2024"])
        opened.set_metadata(photos[0], {"price": 20, "bought": date(2024, 1, 31), "at": datetime(2024, 1, 31, 8)})
        before = opened.get(ids[0])
    undo = make_client().post(f"{API}/images/remove", json={"ids": ids[:3]}).json()["undo"]
    later = make_client()
    assert [each["id"] for each in later.get(f"{API}/removals").json()["removals"]] == [undo]
    assert finished(later, later.post(f"{API}/removals/{undo}/undo").json()["id"])["result"]["restored"] == 3
    with Library.open(library) as opened:
        assert opened.get(ids[0]) == before
    assert later.get(f"{API}/removals").json() == {"removals": []}
    assert not list((library / "removals").iterdir())


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version":1}', b"\xff" * 99, b'{"version":1,"library":"x"}\n[]'])
def test_a_damaged_file_of_a_removal_is_no_removal(
    client: TestClient, ids: list[str], library: Path, content: bytes
) -> None:
    undo = client.post(f"{API}/images/remove", json={"ids": ids[:1]}).json()["undo"]
    (stored,) = (library / "removals").iterdir()
    stored.write_bytes(content)
    assert client.get(f"{API}/removals").json() == {"removals": []}
    assert client.post(f"{API}/removals/{undo}/undo").status_code == 404


def test_images_are_removed_even_if_that_cannot_be_undone(client: TestClient, ids: list[str], library: Path) -> None:
    (library / "removals").write_text("in the way")
    answer = client.post(f"{API}/images/remove", json={"ids": ids[:2]}).json()
    assert (answer["removed"], answer["undo"]) == (2, None)
    assert client.get(f"{API}/removals").json() == {"removals": []}


def test_one_removed_image_can_be_added_again_too(client: TestClient, ids: list[str]) -> None:
    undo = client.delete(f"{API}/images/{ids[4]}").json()["undo"]
    assert client.get(f"{API}/images/{ids[4]}").status_code == 404
    finished(client, client.post(f"{API}/removals/{undo}/undo").json()["id"])
    assert client.get(f"{API}/images/{ids[4]}").status_code == 200


def test_images_that_an_update_has_found_again_get_their_ids_back(client: TestClient, ids: list[str]) -> None:
    undo = client.post(f"{API}/images/remove", json={"ids": ids[:2]}).json()["undo"]
    finished(client, client.post(f"{API}/jobs/index", json={}).json()["id"])
    assert client.get(f"{API}/images/{ids[0]}").status_code == 404  # it has another id now
    finished(client, client.post(f"{API}/removals/{undo}/undo").json()["id"])
    assert client.get(f"{API}/images/{ids[0]}").status_code == 200
    assert client.get(f"{API}/health").json()["images"] == COUNT


def test_the_number_of_noted_removals_is_bounded(
    client: TestClient, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal_files, "MOST_REMOVALS", 2)
    monkeypatch.setattr(removal_files, "MOST_IMAGES", 4)
    undos = [client.post(f"{API}/images/remove", json={"ids": [each]}).json()["undo"] for each in ids[:3]]
    assert [each["id"] for each in client.get(f"{API}/removals").json()["removals"]] == [undos[2], undos[1]]
    assert client.post(f"{API}/images/remove", json={"ids": ids[3:8]}).json()["undo"] is None
    assert client.post(f"{API}/images/remove", json={"ids": [NO_IMAGE]}).json()["undo"] is None
    last = client.post(f"{API}/images/remove", json={"ids": ids[8:12]}).json()["undo"]
    assert [each["id"] for each in client.get(f"{API}/removals").json()["removals"]] == [last]


def test_a_read_only_server_changes_nothing(make_client: MakeClient, ids: list[str]) -> None:
    client = make_client(read_only=True)
    for path, body in (
        ("/images/metadata", {"ids": ids[:1], "set": {"a": 1}}),
        ("/tags/rename", {"tag": "a", "to": "b"}),
        ("/tags/remove", {"tag": "a"}),
        ("/images/remove", {"ids": ids[:1]}),
        ("/removals/x/undo", {}),
        ("/jobs/index", {}),
    ):
        assert client.post(f"{API}{path}", json=body).status_code == 403, path


def test_folders_are_listed_with_their_images(make_client: MakeClient, tmp_path: Path, photos: list[Path]) -> None:
    (photos[0].parent / "bad.jpg").touch()
    new = tmp_path / "zzz new"
    new.mkdir()
    client = make_client(folders=(new,))
    finished(client, client.post(f"{API}/jobs/index", json={}).json()["id"])
    new.rmdir()
    client.post(f"{API}/images", content=photos[0].read_bytes() + b" ")
    facts = client.get(f"{API}/library").json()
    assert [(each["images"], each["missing"]) for each in facts["folders"]] == [(COUNT, False), (0, True)]
    assert (facts["images"], facts["uploaded"], facts["skipped"]) == (COUNT + 1, 1, 1)
