"""Debian's chromium driven by Playwright: how it is started, the two windows, and what a test asks of a page."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect, sync_playwright

__all__ = ["FLAGS", "Visitor", "chromium_path", "expect_address", "started_browser", "tab_to", "touch", "until"]

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

PATIENCE = 60_000
"""Milliseconds after which something is taken not to happen; long, since machines that test are busy."""

LATENCY = float(os.environ.get("KINDRED_TEST_LATENCY", "0"))
"""Milliseconds by which every answer of the server is held back: a test that does not wait for it fails, each time."""

DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}


PROGRAMS = ("chromium-headless-shell", "chromium")
"""What chromium is called, the build without windows first: it takes less than half the time for every page."""


def chromium_path() -> str:
    """Return the path of chromium; skips the test where there is none."""
    found = os.environ.get("KINDRED_CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), "")
    if not Path(found).is_file():
        install = f"apt-get install {PROGRAMS[0]}"
        pytest.skip(f"needs the browser chromium: {install}, or set KINDRED_CHROMIUM to its path")
    return found


@contextmanager
def started_browser() -> Iterator[Browser]:
    """Start chromium without a window, and end it afterwards."""
    path = chromium_path()
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()


class Visitor:
    """Opens the page of a server in fresh windows, and notes every error that the browser reports.

    `allowed`: parts of messages that a test expects, such as that of a request that must fail.
    """

    def __init__(self, browser: Browser, address: str, screenshots: Path) -> None:
        self.browser, self.address, self.screenshots = browser, address, screenshots
        self.errors: list[str] = []
        self.allowed: list[str] = []
        self._contexts: list[BrowserContext] = []

    def open(self, route: str = "", *, phone: bool = False, dark: bool = False, reduced: bool = True) -> Page:
        """Open a route (`#/search`) in a window of its own: at the desk with a mouse, or on a phone with touch."""
        context = self.browser.new_context(
            viewport=PHONE if phone else DESKTOP,  # type: ignore[arg-type]
            device_scale_factor=2 if phone else 1,
            has_touch=phone,
            is_mobile=phone,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce" if reduced else "no-preference",
            locale="en-GB",
            accept_downloads=True,
        )
        context.set_default_timeout(PATIENCE)
        self._contexts.append(context)
        page = context.new_page()
        if LATENCY:
            network = context.new_cdp_session(page)
            slow = {"offline": False, "latency": LATENCY, "downloadThroughput": -1, "uploadThroughput": -1}
            network.send("Network.enable")
            network.send("Network.emulateNetworkConditions", slow)
        page.on("console", self._noted)
        page.on("pageerror", lambda error: self.errors.append(f"{error} {error.stack or ''}"))
        page.goto(f"{self.address}/{route}")
        page.wait_for_selector("main .view > *", state="attached")
        return page

    def shot(self, page: Page, name: str) -> Path:
        """Store a screenshot of what the window shows, for people to look at."""
        self.screenshots.mkdir(parents=True, exist_ok=True)
        path = self.screenshots / f"{name}.png"
        page.screenshot(path=path)
        return path

    def close(self) -> None:
        """Close all windows, and fail if the browser reported an error that was not expected."""
        for context in self._contexts:
            context.close()
        unexpected = [error for error in self.errors if not any(part in error for part in self.allowed)]
        assert not unexpected, "\n".join(unexpected)

    def _noted(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"{message.text} {message.location.get('url', '')}")


def expect_address(page: Page, part: str, *, there: bool = True) -> None:
    """Wait until `part` is in the address of the page, or is not: it changes a little later than what is shown."""
    pattern = re.compile(re.escape(part))
    if there:
        expect(page).to_have_url(pattern)
    else:
        expect(page).not_to_have_url(pattern)


def tab_to(page: Page, target: Locator, *, back: bool = False, most: int = 60) -> None:
    """Press Tab until an element has the focus, as people without a mouse do; the focus must be seen there."""
    expect(target).to_be_visible()
    for _ in range(most):
        if target.evaluate("each => each === document.activeElement"):
            assert target.evaluate("each => each.matches(':focus-visible')")
            return
        page.keyboard.press("Shift+Tab" if back else "Tab")
    raise AssertionError(f"Tab does not reach {target}")


def touch(page: Page, *steps: list[tuple[float, float]]) -> None:
    """Move fingers as the browser's own input: the points of all fingers, step by step; then lift them."""
    session = page.context.new_cdp_session(page)
    for number, points in enumerate(steps):
        kind = "touchStart" if number == 0 else "touchMove"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]})
        page.wait_for_timeout(30)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def until(holds: Callable[[], bool]) -> None:
    """Wait until something outside of the page is so, such as what the library stores; fail if it never is."""
    end = time.monotonic() + PATIENCE / 1000
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
