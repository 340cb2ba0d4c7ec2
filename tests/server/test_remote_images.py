"""A server of a library of remote images: it reads only what it was started for."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from kindred.images import remote
from kindred.library import Library
from kindred.recipe import Recipe
from pictures import encoded
from served import MakeClient
from tagged_store import ROOT, TaggedStore, disallow, tagged_store

API = "/api/v1"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[TaggedStore]]:
    with tagged_store(monkeypatch, images=4) as opened:
        yield opened


@pytest.fixture
def library(tmp_path: Path, recipe: Recipe, store: type[TaggedStore], monkeypatch: pytest.MonkeyPatch) -> Path:
    with Library.create(tmp_path / "library", recipe=recipe) as made:
        made.index(ROOT)
    disallow(monkeypatch)
    store.reads.clear()
    return tmp_path / "library"


def test_a_library_of_others_makes_the_server_read_nothing(
    make_client: MakeClient, library: Path, store: type[TaggedStore]
) -> None:
    client = make_client()
    image = client.get(f"{API}/images").json()["images"][0]
    assert image["path"].startswith(ROOT)
    assert not image["missing"]
    for address in (f"images/{image['id']}/thumbnail", f"images/{image['id']}/file"):
        answer = client.get(f"{API}/{address}")
        assert answer.status_code == 404
        assert "not allowed" in answer.json()["detail"]
    (folder,) = client.get(f"{API}/library").json()["folders"]
    assert (folder["path"], folder["missing"]) == (ROOT, False)
    answer = client.post(f"{API}/jobs/index", json={"folder": folder["id"]})
    assert answer.status_code == 409
    assert "not allowed" in answer.json()["detail"]
    assert store.reads == []
    assert library.exists()


def test_allowed_images_are_served(make_client: MakeClient, store: type[TaggedStore]) -> None:
    remote.allow_remote(ROOT)
    client = make_client()
    uid = client.get(f"{API}/images", params={"sort": "path"}).json()["images"][1]["id"]
    first = client.get(f"{API}/images/{uid}/thumbnail", params={"size": 64})
    assert Image.open(io.BytesIO(first.content)).size == (64, 48)
    assert len(store.reads) == 1
    again = client.get(
        f"{API}/images/{uid}/thumbnail", params={"size": 64}, headers={"If-None-Match": first.headers["ETag"]}
    )
    assert again.status_code == 304
    file = client.get(f"{API}/images/{uid}/file")
    assert file.content == encoded(1)
    assert client.get(f"{API}/images/{uid}/file", headers={"If-None-Match": file.headers["ETag"]}).status_code == 304
    assert len(store.reads) == 3
