"""The page without a query: the library by date, large views, tags, filters, themes; desk and phone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from axe import assert_accessible
from in_browser import Visitor, expect_address, until
from kindred.library import Library

PHONE = pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])


def at_home(visitor: Visitor, *, phone: bool = False, dark: bool = False) -> Page:
    page = visitor.open(phone=phone, dark=dark)
    page.wait_for_selector(".grid .cell img.loaded")
    return page


def tile(place: int) -> str:
    """The selector of the tile of an image by its place in the grid."""
    return f".browse .cell[data-index='{place}'] .tile"


@pytest.mark.parametrize(("phone", "dark"), [(False, False), (True, False), (True, True)])
def test_the_library_is_shown_by_date(visitor: Visitor, phone: bool, dark: bool) -> None:
    page = at_home(visitor, phone=phone, dark=dark)
    expect(page.get_by_role("heading", name="28 images")).to_be_visible()
    expect(page.get_by_role("heading", name="Find an image, or what it shows")).to_be_visible()
    headings = page.locator(".grid-heading").all_inner_texts()
    assert headings[0] == "2024"
    width = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]  # nothing is wider than the window
    visitor.shot(page, f"library-{'phone' if phone else 'desk'}-{'dark' if dark else 'light'}")
    assert_accessible(page)


@pytest.mark.parametrize("width", [360, 2560])
def test_the_narrowest_and_the_widest_window(visitor: Visitor, width: int) -> None:
    page = at_home(visitor)
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(200)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    visitor.shot(page, f"library-{width}")


@PHONE
def test_an_image_is_seen_large_and_back(visitor: Visitor, phone: bool) -> None:
    page = at_home(visitor, phone=phone)
    (page.tap if phone else page.click)(tile(1))
    viewer = page.locator(".viewer")
    expect(viewer).to_be_visible()
    name = viewer.locator(".viewer-name").inner_text()
    assert name.endswith(".jpg")
    expect_address(page, "show=")
    page.wait_for_function("() => [...document.querySelectorAll('.picture img')].every((image) => image.complete)")
    visitor.shot(page, f"viewer-{'phone' if phone else 'desk'}")
    assert_accessible(page)
    viewer.get_by_role("button", name="Next image").click()
    expect(viewer.locator(".viewer-name")).not_to_have_text(name)
    page.go_back()
    expect(viewer).to_have_count(0)
    assert page.evaluate("() => document.activeElement.closest('.cell')?.dataset.index") == "2"
    page.go_forward()
    expect(viewer).to_be_visible()
    page.reload()
    expect(page.locator(".viewer")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".viewer")).to_have_count(0)
    expect_address(page, "show=", there=False)


def test_the_large_view_by_keyboard(visitor: Visitor) -> None:
    page = at_home(visitor)
    page.focus(tile(0))
    page.keyboard.press("Enter")
    names = page.locator(".viewer-name")
    expect(names).to_have_text(re.compile("jpg"))
    first = names.inner_text()
    page.keyboard.press("ArrowRight")
    expect(names).not_to_have_text(first)
    page.keyboard.press("ArrowLeft")
    expect(names).to_have_text(first)
    for _ in range(3):
        page.keyboard.press("+")
    scale = "() => new DOMMatrix(getComputedStyle(document.querySelector('.picture')).transform).a"
    assert page.evaluate(scale) == pytest.approx(1.5**3, abs=0.01)
    shift = "() => new DOMMatrix(getComputedStyle(document.querySelector('.picture')).transform).e"
    page.keyboard.press("ArrowRight")  # zoomed in, arrows move what is seen
    assert page.evaluate(shift) == pytest.approx(-80, abs=1)
    expect(names).to_have_text(first)
    page.keyboard.press("0")
    assert page.evaluate(scale) == 1
    page.keyboard.press("i")
    before = page.locator(".viewer-facts").is_visible()
    page.keyboard.press("i")
    assert page.locator(".viewer-facts").is_visible() != before
    page.keyboard.press("Escape")
    assert page.evaluate("() => document.activeElement.closest('.cell')?.dataset.index") == "0"


def test_zoom_by_wheel_and_drag(visitor: Visitor) -> None:
    page = at_home(visitor)
    page.click(tile(0))
    expect(page.locator(".viewer-name")).to_have_text(re.compile("jpg"))
    page.mouse.move(400, 400)
    page.mouse.wheel(0, -500)
    matrix = """() => {
      const { a, e, f } = new DOMMatrix(getComputedStyle(document.querySelector(".picture")).transform);
      return [a, e, f];
    }"""
    page.wait_for_function("() => document.querySelector('.stage').classList.contains('zoomed')")
    scale, x, y = page.evaluate(matrix)
    assert scale == pytest.approx(2.718, abs=0.01)
    page.mouse.down()
    page.mouse.move(430, 380, steps=3)
    page.mouse.up()
    assert page.evaluate(matrix) == pytest.approx([scale, x + 30, y - 20], abs=1)


class Fingers:
    """Fingers on the screen, as the browser's own input."""

    def __init__(self, page: Page) -> None:
        self._session = page.context.new_cdp_session(page)

    def move(self, *places: Sequence[tuple[float, float]]) -> None:
        """Put fingers down at the first places, move them to the others, and lift them."""
        for number, points in enumerate(places):
            touching = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(points)]
            kind = "touchMove" if number else "touchStart"
            self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touching})
        self._session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_pinch_and_swipe(visitor: Visitor) -> None:
    page = at_home(visitor, phone=True)
    page.tap(tile(0))
    name = page.locator(".viewer-name")
    expect(name).to_have_text(re.compile("jpg"))
    first = name.inner_text()
    fingers = Fingers(page)
    fingers.move(*([(195 - spread, 400), (215 + spread, 400)] for spread in (0, 20, 40, 60)))
    matrix = "() => new DOMMatrix(getComputedStyle(document.querySelector('.picture')).transform).a"
    assert page.evaluate(matrix) > 3
    expect(name).to_have_text(first)
    page.keyboard.press("0")
    fingers.move(*([(x, 402)] for x in (300, 250, 200, 120)))
    expect(name).not_to_have_text(first)
    fingers.move(*([(202, y)] for y in (300, 350, 420, 500)))
    expect(page.locator(".viewer")).to_have_count(0)


def test_tags_are_added_removed_and_filtered_by(visitor: Visitor, demo_library: Path) -> None:
    page = at_home(visitor)
    page.click(tile(0))
    page.locator(".viewer-facts").wait_for()
    field = page.get_by_label("Add a tag")
    tag = "<b>red & round</b>"
    field.fill(tag)
    field.press("Enter")
    expect(page.get_by_role("button", name=f"Remove the tag {tag}")).to_be_visible()
    with Library.open(demo_library) as library:  # the page shows a tag before it is stored
        until(lambda: library.info().tags == {tag: 1})
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Filter", exact=True).click()
    page.get_by_role("checkbox", name=re.compile("red & round")).check()
    visitor.shot(page, "filter-desk")
    assert_accessible(page)
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("heading", name="1 image", exact=True)).to_be_visible()
    expect(page.locator(".browse .cell")).to_have_count(1)
    page.reload()
    expect(page.locator(".browse .cell")).to_have_count(1)
    page.click(tile(0))
    page.get_by_role("button", name=f"Remove the tag {tag}").click()
    expect(page.get_by_role("button", name=f"Remove the tag {tag}")).to_have_count(0)
    with Library.open(demo_library) as library:
        until(lambda: library.info().tags == {})


def test_filters_by_date_and_folder(visitor: Visitor, demo_library: Path) -> None:
    with Library.open(demo_library) as library:
        records = list(library.images())
    day = sorted(record.taken or "" for record in records)[3][:10]
    expected = sum((record.taken or "")[:10] <= day for record in records)
    page = at_home(visitor)
    page.get_by_role("button", name="Filter", exact=True).click()
    page.get_by_label("Until").fill(day)
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("heading", name=f"{expected} images", exact=True)).to_be_visible()
    page.get_by_role("button", name="Clear filters").click()
    expect(page.get_by_role("heading", name="28 images")).to_be_visible()
    folder = str(records[0].path.parent)
    page.get_by_role("button", name="Filter", exact=True).click()
    page.get_by_label("Folder").fill(folder)
    page.keyboard.press("Enter")
    inside = sum(str(record.path).startswith(folder) for record in records)
    expect(page.locator(".browse .cell")).to_have_count(inside)
    page.go_back()
    expect(page.get_by_role("heading", name="28 images")).to_be_visible()


def test_a_filter_without_images_says_so(visitor: Visitor) -> None:
    page = visitor.open("#/search?tag=no-such-tag")
    expect(page.get_by_role("heading", name="No image matches these filters")).to_be_visible()
    assert_accessible(page)


def test_orders(visitor: Visitor) -> None:
    page = at_home(visitor)
    newest = page.locator(".cell").first.get_attribute("data-id")
    page.get_by_role("button", name=re.compile("^Order")).press("Enter")
    expect(page.get_by_role("menuitemradio", name="Newest first")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**sort=oldest**")
    expect(page.locator(f".browse .cell[data-index='0']:not([data-id='{newest}'])")).to_have_count(1)
    page.focus(".browse .tile[tabindex='0']")
    page.keyboard.press("End")
    assert page.evaluate("() => document.activeElement.closest('.cell').dataset.id") == newest


def test_the_theme_is_switched_and_remembered(visitor: Visitor) -> None:
    page = at_home(visitor)
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name=re.compile("^Theme")).click()
    page.get_by_role("button", name="Theme: Light colours").click()
    dark = page.evaluate(ground)
    assert light != dark
    page.reload()
    page.wait_for_selector(".grid .cell")
    assert page.evaluate(ground) == dark


def test_nothing_is_fetched_from_elsewhere(visitor: Visitor) -> None:
    page = visitor.open()
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.reload()
    page.wait_for_selector(".grid .cell img.loaded")
    assert addresses
    assert [each for each in addresses if not each.startswith((visitor.address, "data:", "blob:"))] == []


def test_the_page_without_its_server_says_so(visitor: Visitor) -> None:
    visitor.allowed.append("Failed to load resource")
    page = visitor.open()
    page.route("**/api/v1/library", lambda route: route.abort())
    page.reload()
    expect(page.get_by_role("heading", name="The library cannot be opened")).to_be_visible()
    assert_accessible(page)


def test_a_view_that_cannot_be_loaded_says_so(visitor: Visitor) -> None:
    visitor.allowed += ["Failed to load resource", "Failed to fetch dynamically imported module"]
    page = visitor.open()
    page.route("**/views/duplicates.js", lambda route: route.abort())
    page.get_by_role("link", name="Duplicates").click()
    expect(page.get_by_role("heading", name="Duplicates cannot be shown")).to_be_visible()
    page.unroute("**/views/duplicates.js")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="Find duplicates")).to_be_visible()


def test_an_image_that_was_removed_meanwhile_says_so(visitor: Visitor) -> None:
    visitor.allowed.append("Failed to load resource")
    page = visitor.open(f"#/search?show={'0' * 16}")
    expect(page.locator(".picture-missing")).to_have_text("This image is no longer in the library.")
    page.keyboard.press("s")  # More like this: there is no image to search for
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    expect_address(page, "q=", there=False)
