"""A library with drawn pictures, open as a folder and through a server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kindred.library import Library
from kindred.recipe import Recipe
from live_server import LiveServer, serving
from pictures import make_folder
from served import COUNT
from tiny_model import home, make_recipe


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recipe]:
    with home(tmp_path_factory.mktemp("home")) as folder:
        yield make_recipe(folder)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twelve pictures, half of them in each of the folders "a" and "b"."""
    folder, half = tmp_path_factory.mktemp("photos"), COUNT // 2
    return [*make_folder(folder / "a", half), *make_folder(folder / "b", half, first=half)]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe, photos: list[Path]) -> Path:
    """A library that is not changed."""
    path = tmp_path_factory.mktemp("made") / "library"
    with Library.create(path, recipe=recipe) as library:
        library.index(photos[0].parents[1])
    return path


@pytest.fixture
def library(made: Path, tmp_path: Path) -> Path:
    """A library of one's own."""
    return Path(shutil.copytree(made, tmp_path / "library"))


@pytest.fixture(scope="module")
def server(made: Path, tmp_path_factory: pytest.TempPathFactory, photos: list[Path]) -> Iterator[LiveServer]:
    """A server of a library that the tests of a module share; those that change it say what they need."""
    library = Path(shutil.copytree(made, tmp_path_factory.mktemp("served") / "library"))
    with serving(library, ["--folder", str(photos[0].parents[1])]) as running:
        yield running
