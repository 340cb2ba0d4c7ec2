"""A browser, a library of rendered photographs, and its page on the real server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from in_browser import Visitor, chromium_path, started_browser
from kindred.library import Library
from kindred_demo import DemoCollection, render_demo
from live_server import LiveServer, serving

OBJECTS, PHOTOS = 4, 24


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
    """Two dozen rendered photographs of four objects, and a query image of each object."""
    chromium_path()  # nothing is rendered for tests that are skipped
    return render_demo(tmp_path_factory.mktemp("demo"), objects=OBJECTS, photos=PHOTOS)


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
