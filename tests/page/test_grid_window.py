"""The windowed grid in a real window: a million images, focus and scroll kept by id, keys, no layout jumps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from in_browser import Visitor
from live_server import LiveServer

MILLION = 1_000_000

MOUNT = """async ({ count, shape }) => {
  const { Grid } = await import("/assets/lib/grid.js");
  globalThis.opened = [];
  globalThis.loaded = 0;
  const aspects = new Float32Array(count).map((_, at) => (shape === "square" ? 1 : 0.6 + ((at * 37) % 17) / 10));
  const ids = Array.from({ length: count }, (_, at) => `n${at}`);
  globalThis.grid = new Grid({
    label: "Test", source: () => "/assets/favicon.svg", describe: (index) => `Image ${index}`,
    open: (index, id) => opened.push(id), near: () => { loaded += 1; },
  });
  document.getElementById("main").replaceChildren(grid.element);
  grid.show({ ids, aspects, count });
}"""

SHOWN = """() => [...document.querySelectorAll(".cell")].filter((cell) => {
  const box = cell.getBoundingClientRect();
  return box.bottom > 60 && box.top < innerHeight;
}).map((cell) => cell.dataset.id)"""


@pytest.fixture
def window(browser: Browser, site: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    visitor = Visitor(browser, site.address, tmp_path_factory.mktemp("shots"))
    page = visitor.open("#/search")
    page.wait_for_selector(".grid .cell")
    yield page
    visitor.close()


def mount(page: Page, count: int, shape: str = "mixed") -> None:
    page.evaluate(MOUNT, {"count": count, "shape": shape})
    page.wait_for_selector(".cell")


def settled(page: Page) -> list[str]:
    """The ids that are in view after two frames."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    shown: list[str] = page.evaluate(SHOWN)
    return shown


def focused(page: Page) -> str:
    name: str = page.evaluate("() => document.activeElement?.getAttribute('aria-label') ?? ''")
    return name


def test_a_million_images_scroll_to_the_last_one(window: Page) -> None:
    mount(window, MILLION)
    height = window.evaluate("() => document.querySelector('.grid').offsetHeight")
    assert 7_900_000 < height <= 8_000_000  # more, and browsers cut it off
    assert window.evaluate("() => document.querySelectorAll('.cell').length") < 120
    window.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
    assert settled(window)[-1] == f"n{MILLION - 1}"
    window.evaluate("() => scrollTo(0, document.documentElement.scrollHeight / 2)")
    middle = [int(each[1:]) for each in settled(window)]
    assert 0.45 * MILLION < min(middle) < 0.55 * MILLION
    assert window.evaluate("() => document.querySelectorAll('.cell').length") < 120
    window.evaluate("() => scrollTo(0, 0)")
    assert settled(window)[0] == "n0"


def test_the_wheel_moves_a_scaled_grid_by_its_pixels(window: Page) -> None:
    mount(window, MILLION, "square")
    window.mouse.move(700, 500)
    before = window.evaluate("() => grid.scroll.position")
    for _ in range(5):
        window.mouse.wheel(0, 200)
        window.wait_for_timeout(60)
    moved = window.evaluate("() => grid.scroll.position") - before
    assert 800 <= moved <= 1000  # the first pixels bring the grid to the top of the window


def test_keys_reach_every_image_of_a_million(window: Page) -> None:
    mount(window, MILLION, "square")
    window.focus(".tile[tabindex='0']")
    assert focused(window) == "Image 0"
    window.keyboard.press("End")
    assert focused(window) == f"Image {MILLION - 1}"
    assert f"n{MILLION - 1}" in settled(window)
    window.keyboard.press("ArrowLeft")
    assert focused(window) == f"Image {MILLION - 2}"
    window.keyboard.press("PageUp")
    at = int(focused(window).split()[1])
    assert MILLION - 60 < at < MILLION - 8
    assert f"n{at}" in settled(window)
    window.keyboard.press("Home")
    assert focused(window) == "Image 0"
    columns = window.evaluate("() => grid.layout.starts[1]")
    window.keyboard.press("ArrowDown")
    assert focused(window) == f"Image {columns}"
    for _ in range(3):  # again and again, as PageDown once did not in another program
        before = int(focused(window).split()[1])
        window.keyboard.press("PageDown")
        assert int(focused(window).split()[1]) >= before + columns
        assert f"n{focused(window).split()[1]}" in settled(window)
    window.keyboard.press("Enter")
    assert window.evaluate("() => opened") == [f"n{focused(window).split()[1]}"]


def test_only_one_image_can_be_tabbed_to(window: Page) -> None:
    mount(window, 500)
    window.focus(".tile[tabindex='0']")
    window.keyboard.press("ArrowRight")
    assert window.evaluate("() => document.querySelectorAll('.tile[tabindex=\"0\"]').length") == 1
    assert focused(window) == "Image 1"


def test_resizing_keeps_the_image_at_the_top(window: Page) -> None:
    mount(window, 5000)
    window.evaluate("() => scrollTo(0, 20000)")
    first = settled(window)[0]
    for width in (1000, 500, 1600):
        window.set_viewport_size({"width": width, "height": 900})
        window.wait_for_timeout(150)
        shown = settled(window)
        assert first in shown[:12], (width, first, shown)


def test_focus_and_scroll_are_kept_by_id_when_images_change(window: Page) -> None:
    mount(window, 2000)
    window.evaluate("() => scrollTo(0, 8000)")
    shown = settled(window)
    target = shown[len(shown) // 2]
    window.evaluate("(id) => document.querySelector(`[data-id=${id}] .tile`).focus({ preventScroll: true })", target)
    top = "(id) => document.querySelector(`.cell[data-id=${id}]`).getBoundingClientRect().top"
    anchor = shown[0]
    before = window.evaluate(top, anchor)
    # Three hundred images before it disappear, as when they are removed from the library.
    window.evaluate("""() => {
      const { ids, aspects } = grid.images;
      const kept = ids.map((id, at) => at).filter((at) => at > 300 || at % 2 === 0);
      grid.show({ ids: kept.map((at) => ids[at]), aspects: kept.map((at) => aspects[at]), count: kept.length });
    }""")
    after = settled(window)
    assert anchor in after
    assert abs(window.evaluate(top, anchor) - before) < 260  # one row at most: the rows are made anew
    assert window.evaluate("() => document.activeElement.closest('.cell')?.dataset.id") == target


def test_end_goes_to_the_last_image_also_while_more_are_coming(window: Page) -> None:
    more = """(count) => {
      grid.show({ ids: Array.from({ length: count }, (_, n) => `n${n}`), aspects: Array(count).fill(1), count });
    }"""
    mount(window, 500)
    window.focus(".tile[tabindex='0']")
    window.keyboard.press("End")
    assert focused(window) == "Image 499"
    window.evaluate(more, 2000)
    assert focused(window) == "Image 1999"
    window.keyboard.press("ArrowLeft")
    window.evaluate(more, 3000)
    assert focused(window) == "Image 1998"  # it was moved since


def test_the_image_with_the_focus_stays_while_one_scrolls_away(window: Page) -> None:
    mount(window, 3000)
    window.focus(".tile[tabindex='0']")
    window.evaluate("() => scrollTo(0, 30000)")
    settled(window)
    assert focused(window) == "Image 0"
    window.keyboard.press("ArrowRight")
    assert focused(window) == "Image 1"
    assert "n1" in settled(window)


def test_more_is_asked_for_near_the_end_only(window: Page) -> None:
    mount(window, 3000)
    settled(window)
    assert window.evaluate("() => loaded") == 0
    window.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
    settled(window)
    assert window.evaluate("() => loaded") > 0


def test_nothing_jumps_while_scrolling(window: Page) -> None:
    mount(window, 3000)
    shifts: Any = window.evaluate("""async () => {
      let total = 0;
      const observer = new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) total += entry.value;
      });
      observer.observe({ type: "layout-shift", buffered: false });
      for (let y = 0; y < 12000; y += 300) {
        scrollTo(0, y);
        await new Promise(requestAnimationFrame);
      }
      await new Promise((done) => setTimeout(done, 200));
      observer.disconnect();
      return total;
    }""")
    assert shifts < 0.01


def test_the_rows_say_where_they_are(window: Page) -> None:
    mount(window, 3000)
    window.evaluate("() => scrollTo(0, 5000)")
    settled(window)
    rows = window.evaluate("() => [...document.querySelectorAll('[role=row]')].map((row) => Number(row.ariaRowIndex))")
    assert rows == sorted(rows)
    assert rows[0] > 1
    assert int(window.get_attribute(".grid", "aria-rowcount") or 0) > rows[-1]
