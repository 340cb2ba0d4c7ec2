"""The crop box by mouse, touch and keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from in_browser import Visitor
from live_server import LiveServer

MOUNT = """async () => {
  const { createCropper } = await import("/assets/lib/cropper.js");
  const src = "/assets/favicon.svg";
  globalThis.cropper = createCropper({ src, width: 1000, height: 500, box: [400, 200, 600, 300] });
  document.getElementById("main").replaceChildren(cropper.element);
  document.querySelector(".cropper").scrollIntoView();
}"""


@pytest.fixture
def visitor_here(browser: Browser, site: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    visitor = Visitor(browser, site.address, tmp_path_factory.mktemp("shots"))
    yield visitor
    visitor.close()


def mounted(visitor: Visitor, *, phone: bool = False) -> Page:
    page = visitor.open(phone=phone)
    page.wait_for_selector(".grid .cell")
    page.evaluate(MOUNT)
    return page


def box(page: Page) -> Any:
    return page.evaluate("() => cropper.box()")


def place(page: Page, x: float, y: float) -> tuple[float, float]:
    """The point in the window of a pixel of the image."""
    frame = page.evaluate("() => document.querySelector('.cropper').getBoundingClientRect().toJSON()")
    return frame["left"] + x / 1000 * frame["width"], frame["top"] + y / 500 * frame["height"]


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*place(page, *start))
    page.mouse.down()
    page.mouse.move(*place(page, *end), steps=6)
    page.mouse.up()


def touch(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Move a finger, as the browser's own input."""
    session = page.context.new_cdp_session(page)
    (x0, y0), (x1, y1) = place(page, *start), place(page, *end)
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x0, "y": y0}]})
    for step in range(1, 7):
        at = {"x": x0 + (x1 - x0) * step / 6, "y": y0 + (y1 - y0) * step / 6}
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [at]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


@pytest.mark.parametrize("phone", [False, True])
def test_the_box_moves_and_its_handles_resize_it(visitor_here: Visitor, phone: bool) -> None:
    page = mounted(visitor_here, phone=phone)
    move = touch if phone else drag
    move(page, (500, 250), (600, 300))
    assert box(page) == pytest.approx([500, 250, 700, 350], abs=6)
    move(page, (500, 250), (300, 100))  # the handle at the top left
    assert box(page) == pytest.approx([300, 100, 700, 350], abs=6)
    move(page, (700, 225), (900, 400))  # the handle at the right moves one edge
    assert box(page) == pytest.approx([300, 100, 900, 350], abs=6)
    move(page, (500, 250), (2000, 2000))
    assert box(page) == pytest.approx([400, 250, 1000, 500], abs=6)


@pytest.mark.parametrize("phone", [False, True])
def test_a_new_box_is_drawn_beside_it(visitor_here: Visitor, phone: bool) -> None:
    page = mounted(visitor_here, phone=phone)
    (touch if phone else drag)(page, (60, 60), (260, 160))
    assert box(page) == pytest.approx([60, 60, 260, 160], abs=6)


def test_a_press_beside_the_box_moves_it_there(visitor_here: Visitor) -> None:
    page = mounted(visitor_here)
    page.mouse.click(*place(page, 200, 100))
    assert box(page) == pytest.approx([100, 50, 300, 150], abs=4)


def test_the_box_by_keyboard_alone(visitor_here: Visitor) -> None:
    page = mounted(visitor_here)
    page.focus(".crop-box")
    for key in ("ArrowRight", "ArrowDown", "Shift+ArrowRight", "Shift+ArrowUp", "Control+ArrowLeft"):
        page.keyboard.press(key)
    assert box(page) == [418, 220, 638, 300]
    page.wait_for_function("() => document.getElementById('polite').textContent.includes('22 % wide')")
    assert "Arrow keys move it" in (page.get_attribute(".crop-box", "aria-label") or "")
    for _ in range(60):
        page.keyboard.press("Shift+ArrowLeft")
    assert box(page)[2] - box(page)[0] == 50  # never smaller than a twentieth


def test_the_whole_image_is_no_box(visitor_here: Visitor) -> None:
    page = mounted(visitor_here)
    page.evaluate("() => cropper.whole()")
    assert box(page) is None
