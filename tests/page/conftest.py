"""A browser, a library of rendered photographs, and its page on the real server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance
from playwright.sync_api import Browser

from in_browser import Visitor, chromium_path, started_browser
from kindred.library import Library
from kindred_demo import DemoCollection, render_demo
from live_server import LiveServer, serving

HERE = Path(__file__).parent
OBJECTS, PHOTOS = 4, 24
AGAIN = 4
"""Photographs of which the library has a second view, so that searches surely find something."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run a test of the page once more if it fails, and list it: some act before a busy browser has reacted."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One chromium for all tests; they are skipped where it is missing."""
    with started_browser() as started:
        yield started


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are stored: the folder KINDRED_SCREENSHOTS, or a temporary one."""
    given = os.environ.get("KINDRED_SCREENSHOTS")
    return Path(given) if given else tmp_path_factory.mktemp("screenshots")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoCollection:
    """28 rendered photographs of four objects; the first four have a second view, beside them as NAME_again.jpg."""
    chromium_path()  # nothing is rendered for tests that are skipped
    made = render_demo(tmp_path_factory.mktemp("demo"), objects=OBJECTS, photos=PHOTOS)
    for path in originals(made):
        another_view(path, path.with_stem(f"{path.stem}_again"), turn=4, light=0.85)
    return made


def originals(demo: DemoCollection) -> list[Path]:
    """The photographs of which there are second views."""
    return sorted(path for path in demo.photos.rglob("*.jpg") if "_again" not in path.stem)[:AGAIN]


def another_view(path: Path, to: Path, *, turn: float, light: float) -> Path:
    """Write a photograph as if taken again: turned by some degrees, from nearer, in other light."""
    with Image.open(path) as photo:
        width, height = photo.size
        inner = (width * 0.08, height * 0.08, width * 0.92, height * 0.92)
        turned = photo.rotate(turn, Image.Resampling.BICUBIC).crop(tuple(map(int, inner)))  # type: ignore[arg-type]
        ImageEnhance.Brightness(turned).enhance(light).save(to, quality=90, exif=photo.getexif())
    return to


@pytest.fixture(scope="session")
def query_file(demo: DemoCollection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third view of the first of these photographs, which is not in the library."""
    return another_view(originals(demo)[0], tmp_path_factory.mktemp("query") / "third.jpg", turn=-5, light=1.15)


@pytest.fixture(scope="session")
def seen_twice(demo: DemoCollection, demo_library: Path) -> tuple[str, str]:
    """The ids of the two views that are in the library."""
    first = originals(demo)[0]
    with Library.open(demo_library) as library:
        return library.get(first).id, library.get(first.with_stem(f"{first.stem}_again")).id


@pytest.fixture(scope="session")
def demo_library(demo: DemoCollection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of a library of the photographs, with the recipe that is the default."""
    path = tmp_path_factory.mktemp("page") / "library"
    with Library.create(path) as made:
        made.index(demo.photos)
    return path


@pytest.fixture(scope="session")
def site(demo_library: Path) -> Iterator[LiveServer]:
    """The real server of that library. Tests that change it put everything back."""
    with serving(demo_library) as server:
        yield server


@pytest.fixture
def visitor(browser: Browser, site: LiveServer, screenshots: Path) -> Iterator[Visitor]:
    """Windows on the page; an error that the browser reports fails the test at its end."""
    made = Visitor(browser, site.address, screenshots)
    yield made
    made.close()
