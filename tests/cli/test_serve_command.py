"""`kindred serve` before it serves: what it refuses, and the demo collection that it offers."""

from __future__ import annotations

from pathlib import Path

import pytest

import kindred_demo
from commands import Kindred
from kindred.cli import serve
from kindred.library import Library
from kindred.server import running
from kindred.server.settings import ServerSettings
from pictures import make_folder


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ServerSettings]]:
    """The number of images and the settings of each server that was started, which then ends at once."""
    started: list[tuple[int, ServerSettings]] = []

    def run(library: Library, settings: ServerSettings, *, ready: object) -> None:
        del ready
        started.append((len(library), settings))
        library.close()

    monkeypatch.setattr(running, "run_server", run)
    return started


@pytest.fixture
def small_demo(monkeypatch: pytest.MonkeyPatch, recipe: Path) -> None:
    """A demo collection of three drawn pictures, and a small network for its library."""

    def render(folder: Path, *, progress: object) -> kindred_demo.DemoCollection:
        del progress
        make_folder(folder / "photos", 3)
        return kindred_demo.DemoCollection(folder, folder / "photos", folder / "queries", folder / "groundtruth.json")

    monkeypatch.setattr(kindred_demo, "render_demo", render)
    monkeypatch.setattr("kindred.recipe.DEFAULT_RECIPE", str(recipe))


def test_without_a_library_the_demo_is_named(kindred: Kindred, served: list[tuple[int, ServerSettings]]) -> None:
    result = kindred("serve")
    assert result.code == 2
    assert "kindred serve --demo" in result.err
    assert "kindred index FOLDER" in result.err
    assert not served
    assert not Path(".kindred").exists()


@pytest.mark.usefixtures("small_demo")
def test_the_demo_is_made_when_it_is_asked_for(kindred: Kindred, served: list[tuple[int, ServerSettings]]) -> None:
    assert kindred("serve", "--demo").code == 0
    assert [images for images, _ in served] == [3]
    assert kindred("serve", "--demo").code == 0  # the library is there now
    assert [images for images, _ in served] == [3, 3]


@pytest.mark.usefixtures("small_demo")
@pytest.mark.parametrize("agreed", [True, False])
def test_on_a_terminal_the_demo_is_offered(
    kindred: Kindred, served: list[tuple[int, ServerSettings]], monkeypatch: pytest.MonkeyPatch, agreed: bool
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(serve, "is_terminal", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: agreed)
    assert kindred("serve").code == (0 if agreed else 2)
    assert len(served) == agreed


def test_an_open_address_needs_a_token(kindred: Kindred, served: list[tuple[int, ServerSettings]]) -> None:
    result = kindred("serve", "--host", "0.0.0.0")
    assert result.code == 2
    assert "give a token" in result.err
    assert kindred("serve", "--folder", "nowhere").code == 2
    assert not served
