"""The server answers the same for a library in PostgreSQL as for its copy in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from kindred.library import Library
from kindred.library.copying import copy_library
from kindred.server import ServerSettings, create_app
from kindred.store import Place
from served import ADDRESS

pytest.importorskip("psycopg")


def test_both_places_are_served_alike(library: Path, photos: list[Path], place_for: Callable[..., Place]) -> None:
    there = place_for("postgres")
    copy_library(library, there)
    answers: list[Any] = []
    for place in (library, there):
        with (
            Library.open(place) as opened,
            TestClient(create_app(opened, ServerSettings()), base_url=ADDRESS) as client,
        ):
            one = opened.get(photos[0]).id
            found = [
                client.get("/api/v1/images?limit=5&sort=path"),
                client.get(f"/api/v1/images/{one}"),
                client.post("/api/v1/search", json={"query": [{"image": one}], "k": 4}),
                client.get("/api/v1/tags"),
            ]
            assert [each.status_code for each in found[:3]] == [200, 200, 200], [each.text for each in found]
            thumbnail = client.get(f"/api/v1/images/{one}/thumbnail?size=128")
            answers.append(
                ([_plain(each.json()) for each in found], thumbnail.status_code, len(thumbnail.content) > 100)
            )
            facts = client.get("/api/v1/library").json()
            assert facts["images"] == len(photos)
            assert facts["name"] == opened.name
    assert answers[0] == answers[1]


def _plain(answer: Any) -> Any:
    """An answer without what differs: times, ids of searches, and revisions."""
    if isinstance(answer, dict):
        left_out = ("seconds", "search", "revision", "next", "etag", "id_of_search")
        return {key: _plain(value) for key, value in answer.items() if key not in left_out}
    return [_plain(each) for each in answer] if isinstance(answer, list) else answer
