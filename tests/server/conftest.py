"""A small library with drawn pictures, its application in this process, and the real server in another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from kindred.library import Library
from kindred.recipe import Recipe
from kindred.server import ServerSettings, create_app
from pictures import make_folder
from served import ADDRESS, COUNT, MakeClient
from tiny_model import home, make_recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recipe]:
    with home(tmp_path_factory.mktemp("home")) as folder:
        yield make_recipe(folder)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Twelve pictures, half of them in each of the folders "a" and "b"."""
    half = COUNT // 2
    return [*make_folder(tmp_path / "photos/a", half), *make_folder(tmp_path / "photos/b", half, first=half)]


@pytest.fixture
def library(tmp_path: Path, photos: list[Path], recipe: Recipe) -> Path:
    """The path of a library of the pictures."""
    path = tmp_path / "library"
    with Library.create(path, recipe=recipe) as made:
        made.index(photos[0].parents[1])
    return path


@pytest.fixture
def make_client(library: Path) -> Iterator[MakeClient]:
    """A function that starts the application with given settings, and returns a client for it."""
    clients: list[TestClient] = []

    def make(**settings: object) -> TestClient:
        app = create_app(library, ServerSettings(**settings))  # type: ignore[arg-type]
        client = TestClient(app, base_url=ADDRESS, raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(make_client: MakeClient) -> TestClient:
    """A client of the application with its usual settings."""
    return make_client()
