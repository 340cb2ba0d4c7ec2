"""The command line as a person uses it, with a tiny network and drawn pictures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import COUNT, Kindred, Result
from kindred.cli import progress
from kindred.cli.app import run
from pictures import make_folder
from tiny_model import home, make_recipe


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with home(tmp_path_factory.mktemp("home")) as folder:
        yield folder


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in a folder of its own, with no library named by the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KINDRED_LIBRARY", raising=False)
    monkeypatch.delenv("KINDRED_INDEX", raising=False)
    return tmp_path


@pytest.fixture
def kindred(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Kindred:
    """Return a function that runs what would be typed after `kindred`; on a slow machine without lines of progress."""
    monkeypatch.setattr(progress, "LINE_EVERY", 1e6)

    def typed(*words: object) -> Result:
        capsys.readouterr()
        code = run([str(word) for word in words])
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return typed


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe file for a tiny network."""
    folder = tmp_path_factory.mktemp("recipe")
    file = folder / "recipe.toml"  # tiny.toml is the network's card
    file.write_text(make_recipe(folder).to_toml(), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures; not to be changed."""
    folder = tmp_path_factory.mktemp("photos")
    make_folder(folder / "a", COUNT // 2)
    make_folder(folder / "b", COUNT // 2, first=COUNT // 2)
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, recipe: Path, photos: Path) -> Path:
    """A library of the photos; not to be changed."""
    from kindred.library import Library

    folder = tmp_path_factory.mktemp("made") / "library"
    with Library.create(folder, recipe=recipe) as library:
        library.index(photos)
    return folder


@pytest.fixture
def library(made: Path, own_folder: Path) -> Path:
    """A copy of that library where commands look for it by themselves."""
    return Path(shutil.copytree(made, own_folder / ".kindred"))
