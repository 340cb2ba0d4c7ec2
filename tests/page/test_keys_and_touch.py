"""A whole visit to the search view by the keyboard alone, and on a phone of 360 pixels by touch alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, Request, expect

from in_browser import Visitor, tab_to, touch

NARROW = {"width": 360, "height": 740}
Press = Callable[[Locator], None]


def is_search(request: Request) -> bool:
    return request.method == "POST" and request.url.endswith("/api/v1/search")


def searched(page: Page, act: Callable[[], None]) -> dict[str, Any]:
    """Do something that searches; return what was sent, once the results are there."""
    with page.expect_request(is_search) as sent:
        act()
    expect(page.locator(".results")).to_have_attribute("aria-busy", "false")
    body: dict[str, Any] = json.loads(sent.value.post_data or "{}")
    return body


def button(page: Page, name: str | re.Pattern[str]) -> Locator:
    return page.get_by_role("button", name=name).first


def browse(page: Page, press: Press, folder: Path) -> None:
    """Filter by a folder, take the filter away, and order by date."""
    press(button(page, re.compile("^Filter$")))
    press(page.get_by_label("Folder"))
    page.keyboard.type(str(folder))
    page.keyboard.press("Enter")  # the key of a phone's keyboard too
    expect(page.get_by_role("heading", name="28 images")).to_have_count(0)
    press(button(page, re.compile("^Remove the filter")))
    expect(page.get_by_role("heading", name="28 images")).to_be_visible()
    press(button(page, re.compile("^Order")))
    press(page.get_by_role("menuitemradio", name="Oldest first"))
    page.wait_for_url("**sort=oldest**")


def several(page: Page, press: Press, query: Path) -> None:
    """Search for a second image, which is then not wanted, and is removed."""
    with page.expect_file_chooser() as chooser:
        press(button(page, "Add an image"))
    both = searched(page, lambda: chooser.value.set_files(query))["query"]
    assert [each["weight"] for each in both] == [1, 1]
    one = searched(page, lambda: press(button(page, "Not wanted: Image 2 searched for")))["query"]
    assert one[1]["weight"] < 0
    assert len(searched(page, lambda: press(button(page, "Remove: Image 2 searched for")))["query"]) == 1


def saved_and_exported(page: Page, press: Press) -> None:
    """Save the search, open it again, remove it; export the answers as JSON."""
    press(button(page, "Saved searches"))
    press(button(page, "Save this search"))
    page.keyboard.type("mine")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Saved as “mine”.")
    press(button(page, "Saved searches"))
    press(button(page, "Remove the saved search mine"))
    expect(page.get_by_text("None yet.")).to_be_visible()


def test_a_visit_by_keys_alone(visitor: Visitor, query_file: Path, seen_twice: tuple[str, str], demo: Any) -> None:
    page = visitor.open("#/search")
    page.on("filechooser", lambda _: None)
    page.wait_for_selector(".browse .cell img.loaded")

    def press(target: Locator) -> None:
        if target.get_attribute("role") == "menuitemradio":
            expect(page.locator(".menu-item:focus")).to_be_visible()
            page.keyboard.press("ArrowDown")  # the second entry
            expect(target).to_be_focused()
        tab_to(page, target)
        if not target.evaluate("each => each.matches('input')"):
            page.keyboard.press("Enter")

    browse(page, press, next(demo.photos.rglob("*.jpg")).parent)
    tab_to(page, page.locator(".browse .tile[tabindex='0']"))
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    assert searched(page, lambda: page.keyboard.press("s"))["query"][0]["image"]
    page.goto(f"{visitor.address}/#/search?q=i.{seen_twice[0]}")
    expect(page.locator(".grid-above .cell").first).to_be_visible()
    several(page, press, query_file)

    press(button(page, "Search for a part: Image 1 searched for"))
    expect(page.locator(".crop-box")).to_be_focused()
    page.keyboard.press("Shift+ArrowUp")
    assert searched(page, lambda: press(button(page, "Search for this part")))["query"][0]["box"]
    press(button(page, "Change the part: Image 1 searched for"))
    press(button(page, "Whole image"))
    assert "box" not in searched(page, lambda: press(button(page, "Search for this part")))["query"][0]

    tab_to(page, page.get_by_role("slider", name="Sure at least"))
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**line=0.49**")
    press(button(page, re.compile("^Show .*less alike")))
    tab_to(page, page.locator(".grid-below .tile[tabindex='0']"))
    page.keyboard.press("-")
    tab_to(page, page.locator(".grid-above .tile[tabindex='0']"), back=True)
    page.keyboard.press("+")
    page.keyboard.press("w")
    expect(page.get_by_role("dialog", name="Why this?")).to_be_visible()
    page.keyboard.press("Escape")
    tab_to(page, page.get_by_role("group", name="Refine").get_by_role("button", name="Search again"), back=True)
    asked = searched(page, lambda: page.keyboard.press("Enter"))
    assert (len(asked["right"]), len(asked["wrong"])) == (1, 1)

    tab_to(page, button(page, "Saved searches"), back=True)
    saved_and_exported(page, press)
    page.keyboard.press("Escape")
    press(button(page, "Export"))
    tab_to(page, page.get_by_role("radio", name=re.compile("^CSV")))
    page.keyboard.press("ArrowDown")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename.endswith(".json")


def test_a_visit_by_touch_alone(visitor: Visitor, query_file: Path, seen_twice: tuple[str, str], demo: Any) -> None:
    page = visitor.open("#/search", phone=True)
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    page.wait_for_selector(".browse .cell img.loaded")

    def press(target: Locator) -> None:
        target.tap()

    browse(page, press, next(demo.photos.rglob("*.jpg")).parent)
    page.locator(".browse .tile").first.tap()
    viewer = page.locator(".viewer")
    assert searched(page, viewer.get_by_role("button", name="More like this").tap)["query"][0]["image"]
    page.goto(f"{visitor.address}/#/search?q=i.{seen_twice[0]}")
    expect(page.locator(".grid-above .cell").first).to_be_visible()
    several(page, press, query_file)

    press(button(page, "Search for a part: Image 1 searched for"))
    crop = page.locator(".crop-box").bounding_box()
    assert crop is not None
    corner, middle = (crop["x"], crop["y"]), (crop["x"] + crop["width"] / 2, crop["y"] + crop["height"] / 2)
    touch(page, *[[(corner[0] + step, corner[1] + step)] for step in range(0, 41, 8)])
    smaller = page.locator(".crop-box").bounding_box()
    assert smaller is not None
    assert smaller["width"] < crop["width"] - 20
    touch(page, *[[(middle[0] - step, middle[1])] for step in range(0, 31, 6)])
    assert searched(page, lambda: press(button(page, "Search for this part")))["query"][0]["box"]

    slider = page.get_by_role("slider", name="Sure at least")
    slider.scroll_into_view_if_needed()
    track = slider.bounding_box()
    assert track is not None
    at = (track["x"] + track["width"] / 2, track["y"] + track["height"] / 2)
    touch(page, *[[(at[0] - step, at[1])] for step in range(0, 25, 4)])
    page.wait_for_url(re.compile(r"line=0\.[0-4]"))
    press(button(page, re.compile("^Show .*less alike")))
    for cell, mark in ((".grid-above .tile", "Right"), (".grid-below .tile", "Wrong")):
        page.locator(cell).first.tap()
        viewer.get_by_role("button", name=mark).tap()
        button(page, "Close the image").tap()
        expect(viewer).to_have_count(0)
    refine = page.get_by_role("group", name="Refine")
    asked = searched(page, refine.get_by_role("button", name="Search again").tap)
    assert (len(asked["right"]), len(asked["wrong"])) == (1, 1)
    refine.get_by_role("button", name="Clear").tap()
    expect(refine).to_be_hidden()

    page.locator(".grid-above .tile").first.tap()
    viewer.get_by_role("button", name="Why this?").tap()
    why = page.get_by_role("dialog", name="Why this?")
    expect(why).to_be_visible()
    why.get_by_role("button", name="Close").tap()
    button(page, "Close the image").tap()
    saved_and_exported(page, press)
    page.touchscreen.tap(180, 30)  # beside the panel
    press(button(page, "Export"))
    page.get_by_role("radio", name=re.compile("^JSON")).tap()
    with page.expect_download() as download:
        page.get_by_role("dialog").get_by_role("button", name="Export").tap()
    assert download.value.suggested_filename.endswith(".json")
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
