"""Justified rows, the scaled scrollbar and keys in the grid: pure functions, run in the browser they are for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from in_browser import Visitor


@pytest.fixture(scope="module")
def page(browser: Browser, site: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    visitor = Visitor(browser, site.address, tmp_path_factory.mktemp("shots"))
    yield visitor.open()
    visitor.close()


def run(page: Page, module: str, body: str, argument: object = None) -> Any:
    """Run JavaScript with the exports of a module as `m` and an argument as `given`."""
    return page.evaluate(f"async (given) => {{ const m = await import('/assets/lib/{module}.js'); {body} }}", argument)


LAYOUT = """
const rows = m.justify(given.aspects, given);
return {
  starts: [...rows.starts], tops: [...rows.tops], heights: [...rows.heights], total: rows.total, rows: rows.rows,
  widths: [...rows.heights].map((_, row) =>
    m.placesOf(rows, given.aspects, row).map(({ left, width }) => [left, width])),
};
"""


def test_rows_fill_the_width_and_keep_the_order(page: Page) -> None:
    aspects = [1.5, 1.5, 0.66, 1.0, 1.78, 0.75, 1.5, 2.2, 1.33, 1.33, 0.5, 1.5]
    laid = run(page, "justified", LAYOUT, {"aspects": aspects, "width": 800, "target": 200, "gap": 6})
    assert laid["starts"][0] == 0
    assert laid["starts"][-1] == len(aspects)
    assert laid["starts"] == sorted(set(laid["starts"]))
    for row, places in enumerate(laid["widths"][:-1]):
        left, width = places[-1]
        assert left + width == pytest.approx(800, abs=0.01), row
        assert 120 < laid["heights"][row] < 300, row
    for row in range(1, laid["rows"]):
        assert laid["tops"][row] == pytest.approx(laid["tops"][row - 1] + laid["heights"][row - 1] + 6, abs=0.01)
    assert laid["total"] == pytest.approx(laid["tops"][-1] + laid["heights"][-1], abs=0.01)


def test_few_images_are_not_stretched(page: Page) -> None:
    laid = run(page, "justified", LAYOUT, {"aspects": [1.5], "width": 1400, "target": 200, "gap": 6})
    assert laid["heights"] == [200]
    assert laid["widths"] == [[[0, 300]]]


def test_extreme_and_unknown_shapes_are_shown_cut(page: Page) -> None:
    shapes = run(page, "justified", "return [9, 0.01, 0, NaN, -2, 1.2].map(m.shownAspect)")
    assert shapes == [3.6, 0.4, 1, 1, 1, 1.2]


def test_sections_begin_a_row_below_their_header(page: Page) -> None:
    given = {"aspects": [1.5] * 7, "width": 600, "target": 200, "gap": 0, "breaks": [0, 3], "header": 50}
    laid = run(page, "justified", LAYOUT, given)
    assert laid["starts"] == [0, 2, 3, 5, 7]
    assert laid["tops"] == [50, 250, 500, 700]


def test_the_row_of_a_position_and_of_an_image(page: Page) -> None:
    body = """
    const rows = m.justify(new Array(100).fill(1), { width: 400, target: 100, gap: 0 });
    return [[0, 99, 100, 2399, 9999, -5].map((y) => m.rowAt(rows, y)), [0, 3, 4, 99].map((at) => m.rowOf(rows, at))];
    """
    assert run(page, "justified", body) == [[0, 0, 1, 23, 24, 0], [0, 0, 1, 24]]


def test_no_images_take_no_room(page: Page) -> None:
    laid = run(page, "justified", LAYOUT, {"aspects": [], "width": 400, "target": 100, "gap": 6})
    assert (laid["rows"], laid["total"], laid["starts"]) == (0, 0, [0])


def test_a_scrollbar_of_usual_height_is_not_scaled(page: Page) -> None:
    body = "const s = new m.ScaledScroll(5e6, 900); return [s.height, s.moved(1234), s.position, s.to(4e6), s.offset];"
    assert run(page, "scaled", body) == [5e6, 1234, 1234, 4e6, 0]


def test_a_scaled_scrollbar_reaches_the_first_and_the_last_pixel(page: Page) -> None:
    body = """
    const s = new m.ScaledScroll(220e6, 900);
    const thumb = [];
    for (let y = 0; y <= 8e6 - 900; y += 39995.5) { s.moved(0); s.moved(y); thumb.push(s.position); }
    s.moved(0); s.moved(8e6 - 900);
    const last = s.position;
    const there = s.to(220e6 - 900);
    return { height: s.height, thumb, last, there, end: s.position };
    """
    scaled = run(page, "scaled", body)
    assert scaled["height"] == 8e6
    assert scaled["last"] == scaled["end"] == 220e6 - 900
    assert scaled["there"] == 8e6 - 900
    assert scaled["thumb"] == sorted(scaled["thumb"])


def test_small_movements_move_the_content_by_as_much(page: Page) -> None:
    body = """
    const s = new m.ScaledScroll(220e6, 900);
    let y = s.to(0);
    const steps = [];
    for (let step = 0; step < 30000; step += 1) {
      const before = s.position;
      y = s.moved(y + 100);
      steps.push(s.position - before);
    }
    return [Math.min(...steps), Math.max(...steps), s.position];
    """
    assert run(page, "scaled", body) == [100, 100, 3e6]


@pytest.mark.parametrize(
    ("key", "index", "expected"),
    [
        ("ArrowRight", 3, 4),
        ("ArrowLeft", 0, 0),
        ("ArrowDown", 1, 5),
        ("ArrowUp", 5, 1),
        ("ArrowUp", 2, 2),
        ("ArrowDown", 98, 98),
        ("Home", 57, 0),
        ("End", 57, 99),
        ("PageDown", 0, 12),
        ("PageUp", 13, 1),
        ("PageDown", 97, 97),
        ("x", 5, None),
    ],
)
def test_keys_move_the_focus(page: Page, key: str, index: int, expected: int | None) -> None:
    body = """
    const { justify } = await import('/assets/lib/justified.js');
    const aspects = new Array(100).fill(1);
    const layout = justify(aspects, { width: 400, target: 100, gap: 0 });
    return m.moveBy(given.key, given.index, { layout, aspects, count: 100, view: 450 });
    """
    assert run(page, "gridkeys", body, {"key": key, "index": index}) == expected
