"""Explore in a real browser: the map by mouse, touch and keys alone, the lasso, the list, the timeline."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import httpx2 as httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from axe import assert_accessible
from in_browser import Visitor, expect_address, touch
from kindred.images import decode
from kindred.library import Library
from kindred.store import Filter
from kindred_demo import DemoCollection
from live_server import LiveServer, serving

pytest.importorskip("sklearn", reason="maps need the extra maps")

MONTHS = 6
PATIENCE = 60_000  # ms
RENDERERS = ["webgl2", "canvas2d"]
# Taking a screenshot of a canvas is slow where there is no graphics card, which chromium remarks on.
REMARKS = "GL Driver Message"
NO_WEBGL = "The map is drawn without WebGL2"

PLACES = """async ([method, camera]) => {
  const octets = async (path) => (await fetch(`/api/v1/map/${path}?method=${method}`)).arrayBuffer();
  const { framing, toWindow } = await import("/assets/lib/atlas/camera.js");
  const { boxOf, idOf } = await import("/assets/lib/atlas/data.js");
  const points = new Float32Array(await octets("positions")), ids = new Uint8Array(await octets("ids"));
  const box = document.querySelector(".map-stage").getBoundingClientRect();
  const { AtlasMap } = await import("/assets/lib/atlas/map.js");
  const size = { width: box.width, height: box.height, pad: AtlasMap.padOf(box.width) };
  const whole = framing(size, boxOf(points));
  const now = camera ? { x: camera[0], y: camera[1], scale: camera[2] * whole.scale } : whole;
  return Object.fromEntries(Array.from({ length: points.length / 2 }, (_, at) => {
    const [x, y] = toWindow(now, size, points[2 * at], points[2 * at + 1]);
    return [idOf({ ids }, at), [box.left + x, box.top + y]];
  }));
}"""


class Explored(NamedTuple):
    """A server of a library with a map, the ids of its images by name, and their number."""

    server: LiveServer
    ids: dict[str, str]


@pytest.fixture(scope="module")
def explored(demo: DemoCollection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explored]:
    """Two folders of photographs, taken over six months, on a map by MDS."""
    root = tmp_path_factory.mktemp("explore")
    for number, photo in enumerate(sorted(demo.photos.rglob("*.jpg"))):
        target = root / "photos" / "ab"[number % 2] / photo.name
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(photo).save(target, quality=90)  # without the date that it carries
        when = datetime(2024, 1 + number % MONTHS, 15, tzinfo=UTC).timestamp()
        os.utime(target, (when, when))
    with Library.create(root / "library", recipe="kin-whitened") as library:
        library.index(root / "photos")
        rows = library.store.outlines(Filter())
        ids = {path.name: uid for path, uid in zip(rows.paths, rows.uids, strict=True)}
    with serving(root / "library") as server:
        make_map(server)
        yield Explored(server, ids)


def taken(images: int, first: int, last: int) -> int:
    """Return how many of the images were taken in the months from `first` to `last`."""
    return sum(first <= 1 + number % MONTHS <= last for number in range(images))


def make_map(server: LiveServer, method: str = "mds") -> None:
    job = httpx.post(f"{server.api}/map", json={"method": method}).json()["id"]
    deadline = time.monotonic() + 120
    while (state := httpx.get(f"{server.api}/jobs/{job}").json())["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert state["state"] == "done", state


@pytest.fixture
def visitor(browser: Browser, explored: Explored, screenshots: Path) -> Iterator[Visitor]:
    made = Visitor(browser, explored.server.address, screenshots)
    made.allowed += [REMARKS, NO_WEBGL]
    yield made
    made.close()


def opened(visitor: Visitor, more: str = "", **how: bool) -> Page:
    page = visitor.open(f"#/explore{more}", **how)
    page.wait_for_selector(".map-stage canvas")
    expect(page.locator(".side-title")).to_contain_text("in view", timeout=PATIENCE)
    drawn(page)
    return page


def drawn(page: Page) -> None:
    """Wait until the thumbnails of the sheets are there: two frames without a request."""
    page.wait_for_load_state("networkidle")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


STEADY = """() => new Promise((done) => {
  let [last, since] = [location.hash, performance.now()];
  const look = () => {
    if (location.hash !== last) [last, since] = [location.hash, performance.now()];
    if (performance.now() - since > 500) done();
    else requestAnimationFrame(look);
  };
  look();
})"""


def settled(page: Page) -> None:
    """Wait until the address, which follows the map a little later, has not changed for half a second."""
    page.evaluate(STEADY)


@contextmanager
def another_map(page: Page) -> Iterator[None]:
    """Wait at the end until another map has taken the place of the one that is shown."""
    stage = page.locator(".map-stage").element_handle()
    yield
    page.wait_for_function("(stage) => !stage.isConnected", arg=stage)


def places(page: Page, method: str = "mds") -> dict[str, tuple[float, float]]:
    """Where each image is in the window."""
    at = page.evaluate("() => new URLSearchParams(location.hash.split('?')[1] ?? '').get('at')")
    found = page.evaluate(PLACES, [method, [float(part) for part in at.split(",")] if at else None])
    return {uid: (x, y) for uid, (x, y) in found.items()}


def in_view(page: Page) -> int:
    text = page.locator(".side-title").inner_text()
    return int(text.split()[0].replace(",", ""))


def expect_in_view(page: Page, count: int) -> None:
    """Wait until so many images are in view: the list beside the map follows it a little later."""
    expect(page.locator(".side-title")).to_have_text(re.compile(rf"^{count:,}\b"), timeout=PATIENCE)


def chosen(page: Page) -> int:
    text = page.locator(".chosen-text")
    return int(text.inner_text().split()[0]) if text.is_visible() else 0


def expect_chosen(page: Page, count: int) -> None:
    """Wait until so many images are chosen."""
    text = page.locator(".chosen-text")
    if count:
        expect(text).to_have_text(re.compile(rf"^{count}\b"))
    else:
        expect(text).to_be_hidden()


def alone(all_places: dict[str, tuple[float, float]], page: Page) -> str:
    """The id of the image farthest from others, within the part of the map that no tool covers."""
    box = page.locator(".map-stage").bounding_box()
    assert box is not None

    def free(x: float, y: float) -> bool:
        return box["x"] + 260 < x < box["x"] + box["width"] - 70 and box["y"] + 70 < y < box["y"] + box["height"] - 40

    def apart(uid: str) -> float:
        x, y = all_places[uid]
        others = (abs(x - ox) + abs(y - oy) for other, (ox, oy) in all_places.items() if other != uid)
        return min(others)

    return max((uid for uid, place in all_places.items() if free(*place)), key=apart)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_the_map_shows_thumbnails_where_the_images_are(visitor: Visitor, explored: Explored, renderer: str) -> None:
    page = opened(visitor, f"?renderer={renderer}")
    if page.locator(".map-stage").get_attribute("data-renderer") != renderer:
        pytest.skip("this chromium has no WebGL2")
    expect_in_view(page, len(explored.ids))
    uid = alone(places(page), page)
    x, y = places(page)[uid]
    visitor.shot(page, f"explore-{renderer}")
    picture = page.screenshot(clip={"x": x - 8, "y": y - 8, "width": 16, "height": 16})
    shown = decode(picture).pixels.reshape(-1, 3).astype(int)
    thumbnail = decode(httpx.get(f"{explored.server.api}/images/{uid}/thumbnail?size=64").content).pixels
    height, width = thumbnail.shape[:2]
    middle = thumbnail[height // 2 - 8 : height // 2 + 8, width // 2 - 8 : width // 2 + 8].reshape(-1, 3).astype(int)
    assert abs(shown.mean(axis=0) - middle.mean(axis=0)).max() < 30


def test_wheel_drag_and_buttons_move_the_map(visitor: Visitor, explored: Explored) -> None:
    page = opened(visitor)
    x, y = places(page)[alone(places(page), page)]
    page.mouse.move(x, y)
    for _ in range(3):
        page.mouse.wheel(0, -400)
    page.wait_for_function("() => location.hash.includes('at=')")
    settled(page)
    nearer = in_view(page)
    assert 1 <= nearer < len(explored.ids)
    before = places(page)
    page.mouse.down()
    page.mouse.move(x + 120, y - 40, steps=5)
    page.mouse.up()
    settled(page)
    after = places(page)
    moved = [(after[uid][0] - bx, after[uid][1] - by) for uid, (bx, by) in before.items()]
    assert all(abs(dx - 120) < 3 and abs(dy + 40) < 3 for dx, dy in moved)
    assert page.locator("dialog").count() == 0  # a drag does not open an image
    page.reload()
    page.wait_for_selector(".map-stage canvas")
    expect(page.locator(".side-title")).to_contain_text("in view", timeout=PATIENCE)
    deadline = time.monotonic() + PATIENCE / 1000
    while not all(abs(x - after[uid][0]) < 1 and abs(y - after[uid][1]) < 1 for uid, (x, y) in places(page).items()):
        assert time.monotonic() < deadline, "the map is elsewhere after it was loaded again"
        page.wait_for_timeout(100)  # what is beside the map is laid out a little later
    page.get_by_role("button", name="Show the whole map").click()
    page.wait_for_function("() => !location.hash.includes('at=')")
    expect_in_view(page, len(explored.ids))
    page.get_by_role("button", name="Zoom in").click()
    page.wait_for_function("() => location.hash.includes('at=')")
    page.go_back()  # where one was before Explore, not a step of the zoom
    expect_address(page, "at=", there=False)


def test_a_click_opens_the_image_and_leads_to_more_like_it(visitor: Visitor, explored: Explored) -> None:
    page = opened(visitor)
    uid = alone(places(page), page)
    name = next(name for name, each in explored.ids.items() if each == uid)
    page.mouse.move(*places(page)[uid])
    expect(page.locator(".map-tip")).to_contain_text(name)
    visitor.shot(page, "explore-pointer")
    page.mouse.click(*places(page)[uid])
    expect(page.locator("dialog .viewer-name")).to_have_text(name)
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    page.mouse.click(*places(page)[uid])
    page.get_by_role("button", name="More like this").click()
    page.wait_for_url(f"**#/search?q=i.{uid}*")
    page.go_back()
    page.wait_for_selector(".map-stage canvas")


def test_the_lasso_chooses_images_to_search_with(visitor: Visitor) -> None:
    page = opened(visitor)
    page.get_by_role("button", name="Choose", exact=True).click()
    x, y = places(page)[alone(places(page), page)]
    inside = [uid for uid, (px, py) in places(page).items() if abs(px - x) < 120 and abs(py - y) < 90]
    page.mouse.move(x - 120, y - 90)
    page.mouse.down()
    for dx, dy in ((120, -90), (120, 90), (-120, 90), (-120, -88)):
        page.mouse.move(x + dx, y + dy, steps=8)
    visitor.shot(page, "explore-lasso")
    page.mouse.up()
    assert inside
    expect_chosen(page, len(inside))
    selected = page.locator('.inview-item[aria-selected="true"]')
    expect(selected).to_have_count(len(inside))
    assert_accessible(page)
    visitor.shot(page, "explore-chosen")
    page.get_by_role("button", name="Search with these").click()
    page.wait_for_url("**#/search?q=i.*")
    asked = page.evaluate("() => new URLSearchParams(location.hash.split('?')[1]).getAll('q')")
    assert {each.removeprefix("i.") for each in asked} <= set(inside)
    assert len(asked) == min(8, len(inside))


def test_chosen_images_are_tagged_and_exported(visitor: Visitor, explored: Explored) -> None:
    page = opened(visitor)
    page.get_by_role("button", name="Choose all").click()
    expect_chosen(page, len(explored.ids))
    page.get_by_role("button", name="Tag", exact=True).click()
    page.get_by_label("Tag", exact=True).fill("<b>seen</b>")
    page.keyboard.press("Enter")
    toast = page.locator(".toast").filter(has_text="tagged")
    expect(toast).to_contain_text("<b>seen</b>")
    tags = httpx.get(f"{explored.server.api}/library").json()["tags"]
    assert tags == {"<b>seen</b>": len(explored.ids)}
    page.wait_for_selector("select option[value=tag]", state="attached")
    expect_chosen(page, len(explored.ids))  # as before, on the map with the new column
    page.get_by_label("Colour by").select_option("tag")
    expect(page.locator(".legend-entry")).to_contain_text("<b>seen</b>")
    toast.get_by_role("button", name="Undo").click()
    page.wait_for_function("() => document.querySelector('select option[value=tag]') === null")
    assert httpx.get(f"{explored.server.api}/library").json()["tags"] == {}
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.locator("dialog").get_by_role("button", name="Export").click()
    assert len(Path(download.value.path()).read_text().splitlines()) == len(explored.ids) + 1
    page.get_by_role("button", name="Choose none").click()
    expect_chosen(page, 0)


def test_everything_by_keys_alone(visitor: Visitor, explored: Explored) -> None:
    page = opened(visitor)
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.classList.contains('map-stage')"):
            break
    for key in ("+", "+", "ArrowRight", "ArrowUp", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    page.wait_for_function("() => location.hash.includes('at=')")
    visitor.shot(page, "explore-keys")
    page.keyboard.press("0")
    page.wait_for_function("() => !location.hash.includes('at=')")
    expect_in_view(page, len(explored.ids))
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.getAttribute('role') === 'option'"):
            break
    focused = "() => document.activeElement.getAttribute('aria-label')"
    first = page.evaluate(focused)
    assert any(name in first for name in explored.ids)
    page.keyboard.press("ArrowRight")
    second = page.evaluate(focused)
    assert second != first
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert page.evaluate(focused) == second
    page.keyboard.press(" ")
    expect_chosen(page, 1)
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect_chosen(page, 3)
    assert page.evaluate("() => document.querySelectorAll('.inview-item[tabindex=\"0\"]').length") == 1
    page.keyboard.press("Control+a")
    expect_chosen(page, len(explored.ids))
    page.keyboard.press("Home")
    assert page.evaluate(focused) == first
    page.keyboard.press("Enter")
    expect(page.locator("dialog .viewer-name")).to_have_text(first.split(",")[0])
    page.keyboard.press("Escape")
    assert page.evaluate(focused) == first  # the focus is where it was
    page.keyboard.press("s")
    page.wait_for_url("**#/search?q=i.*")


def test_the_timeline_filters_map_and_list(visitor: Visitor, explored: Explored) -> None:
    page = opened(visitor)
    everything = len(explored.ids)
    start, end = page.get_by_role("slider", name="From"), page.get_by_role("slider", name="To")
    assert start.get_attribute("aria-valuetext") == "Jan 2024"
    assert end.get_attribute("aria-valuetext") == "Jun 2024"
    start.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert start.get_attribute("aria-valuetext") == "Mar 2024"
    expect_in_view(page, taken(everything, 3, 6))
    end.focus()
    page.keyboard.press("Home")
    assert end.get_attribute("aria-valuetext") == "Mar 2024"
    expect_in_view(page, taken(everything, 3, 3))
    assert page.locator(".timeline-text").inner_text() == f"Mar 2024 · {taken(everything, 3, 3)} images"
    visitor.shot(page, "explore-timeline")
    page.get_by_role("button", name="All dates").click()
    expect_in_view(page, everything)
    track = page.locator(".timeline-track").bounding_box()
    assert track is not None
    page.mouse.move(track["x"] + track["width"] * 0.55, track["y"] + 20)
    page.mouse.down()
    page.mouse.move(track["x"] + track["width"] * 0.95, track["y"] + 20, steps=4)
    page.mouse.up()
    expect_in_view(page, taken(everything, 4, 6))
    page.get_by_role("button", name="In the grid").click()
    page.wait_for_url("**#/search?*")
    expect_address(page, "from=2024-04-01")
    expect_address(page, "to=2024-06-30")


def test_the_legend_shows_folders_alone(visitor: Visitor, explored: Explored) -> None:
    page = opened(visitor)
    everything = len(explored.ids)
    entries = page.locator(".legend-entry")
    expect(entries).to_have_count(2)
    entries.filter(has_text="a").click()
    assert entries.filter(has_text="a").get_attribute("aria-pressed") == "true"
    expect_in_view(page, (everything + 1) // 2)
    entries.filter(has_text="a").click()
    expect_in_view(page, everything)
    page.get_by_label("Colour by").select_option("day")
    expect(page.locator(".legend-times")).to_be_visible()
    expect_address(page, "by=day")
    page.reload()
    page.wait_for_selector(".legend-times")


def test_a_phone_by_touch(visitor: Visitor, explored: Explored) -> None:
    page = opened(visitor, phone=True)
    expect_in_view(page, len(explored.ids))
    visitor.shot(page, "explore-phone")
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    assert_accessible(page)
    box = page.locator(".map-stage").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    pinch = [[(x - apart, y), (x + apart, y)] for apart in (30, 50, 70, 90, 110)]
    touch(page, *pinch)
    page.wait_for_function("() => location.hash.includes('at=')")
    scale = float(page.evaluate("() => new URLSearchParams(location.hash.split('?')[1]).get('at')").split(",")[2])
    assert scale == pytest.approx(110 / 30, rel=0.1)
    before = places(page)
    touch(page, *[[(x + step, y + step / 2)] for step in range(0, 61, 10)])
    page.wait_for_timeout(400)
    after = places(page)
    dx, dy = (
        (after[uid][0] - bx for uid, (bx, _) in before.items()),
        (after[uid][1] - by for uid, (_, by) in before.items()),
    )
    assert all(abs(each - 60) < 8 for each in dx)
    assert all(abs(each - 30) < 8 for each in dy)
    page.get_by_role("button", name="Show the whole map").tap()
    page.wait_for_function("() => !location.hash.includes('at=')")
    uid = next(iter(places(page)))
    page.touchscreen.tap(*places(page)[uid])
    expect(page.locator("dialog.viewer")).to_be_visible()
    page.get_by_role("button", name="Close the image").tap()
    page.locator(".inview-item").nth(3).locator(".inview-check").tap()
    expect_chosen(page, 1)
    visitor.shot(page, "explore-phone-list")


def test_lasso_and_timeline_by_touch(visitor: Visitor, explored: Explored) -> None:
    page = opened(visitor, phone=True)
    page.set_viewport_size({"width": 360, "height": 740})
    settled(page)
    page.get_by_role("button", name="Choose", exact=True).tap()
    box = page.locator(".map-stage").bounding_box()
    assert box is not None
    left, top, right, bottom = box["x"] + 3, box["y"] + 70, box["x"] + box["width"] - 3, box["y"] + box["height"] - 3
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top + 4)]
    touch(page, *[[corner] for corner in corners])
    assert 0 < chosen(page) <= len(explored.ids)
    settled(page)  # a tap at once after a touch may be taken as part of it
    page.get_by_role("button", name="Choose none").tap()
    settled(page)
    expect_chosen(page, 0)
    track = page.locator(".timeline-track").bounding_box()
    assert track is not None
    y = track["y"] + 20
    touch(page, *[[(track["x"] + track["width"] * share, y)] for share in (0.55, 0.65, 0.75, 0.85, 0.95)])
    expect_in_view(page, taken(len(explored.ids), 4, 6))
    settled(page)
    page.get_by_role("button", name="All dates").tap()
    expect_in_view(page, len(explored.ids))
    page.locator(".legend-entry").first.tap()
    expect(page.locator(".side-title")).not_to_have_text(re.compile(rf"^{len(explored.ids)}\b"), timeout=PATIENCE)
    assert in_view(page) < len(explored.ids)
    page.emulate_media(forced_colors="active")  # the legend still shows the colours of the points
    assert page.locator(".swatch").first.evaluate("each => getComputedStyle(each).forcedColorAdjust") == "none"


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_keeps_people_out(visitor: Visitor, dark: bool) -> None:
    page = opened(visitor, dark=dark)
    assert_accessible(page)
    page.get_by_role("button", name="View").click()
    expect(page.get_by_label("Size of thumbnails")).to_be_visible()
    assert_accessible(page)
    visitor.shot(page, f"explore-view-{'dark' if dark else 'light'}")


@pytest.mark.parametrize("width", [360, 819, 820, 2560])
def test_nothing_is_cut_off_at_any_width(visitor: Visitor, width: int) -> None:
    page = opened(visitor)
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_function("() => document.documentElement.scrollWidth <= innerWidth")
    box = page.locator(".map-stage canvas").bounding_box()
    assert box is not None
    assert box["width"] > 0.6 * width
    visitor.shot(page, f"explore-{width}")


def test_another_arrangement_is_made_and_the_way_back_is_short(visitor: Visitor, explored: Explored) -> None:
    page = opened(visitor)
    before = places(page)
    page.get_by_role("button", name="View").click()
    with another_map(page):
        page.get_by_label("spectral embedding").click()  # gone when it has worked
    assert httpx.get(f"{explored.server.api}/map").json()["method"] == "spectral"
    expect(page.locator(".map-job")).to_be_hidden(timeout=PATIENCE)
    page.wait_for_selector(".map-stage canvas")
    expect_in_view(page, len(explored.ids))
    assert places(page, "spectral") != before
    page.get_by_role("button", name="View").click()
    expect(page.get_by_label("spectral embedding")).to_be_checked()
    with another_map(page):
        page.get_by_label("MDS").click()
    expect(page.locator(".map-job")).to_be_hidden()  # a map that was made before is shown at once
    assert places(page) == before
    make_map(explored.server)


def test_new_images_are_offered_to_the_map(visitor: Visitor, explored: Explored) -> None:
    uid = explored.ids[min(explored.ids)]
    record = httpx.get(f"{explored.server.api}/images/{uid}").json()
    httpx.delete(f"{explored.server.api}/images/{uid}")
    page = opened(visitor)
    note = page.locator(".map-note")
    expect(note).to_contain_text("1 image removed")
    note.get_by_role("button", name="Update the map").click()
    expect(note).to_be_hidden(timeout=PATIENCE)
    page.wait_for_function(
        f"() => document.querySelector('.side-title').textContent.startsWith('{len(explored.ids) - 1} ')"
    )
    with Library.open(Path(record["path"]).parents[2] / "library") as library:
        library.add(record["path"])
    make_map(explored.server)
    explored.ids[min(explored.ids)] = next(
        image["id"]
        for image in httpx.get(f"{explored.server.api}/images?limit=500").json()["images"]
        if image["path"] == record["path"]
    )
    page.reload()
    page.wait_for_function(
        f"() => document.querySelector('.side-title')?.textContent.startsWith('{len(explored.ids)} ')"
    )


def test_an_image_is_shown_where_it_is(visitor: Visitor, explored: Explored) -> None:
    uid = explored.ids[max(explored.ids)]
    page = opened(visitor, f"?image={uid}")
    page.wait_for_function("() => location.hash.includes('at=')")
    assert in_view(page) < len(explored.ids)
    found = json.loads(
        page.evaluate("() => JSON.stringify(document.querySelector('.map-stage').getBoundingClientRect())")
    )
    x, y = places(page)[uid]
    assert abs(x - found["x"] - found["width"] / 2) < 2
    assert abs(y - found["y"] - found["height"] / 2) < 2


def test_a_library_without_a_map_offers_to_make_one(
    browser: Browser, demo: DemoCollection, tmp_path: Path, screenshots: Path
) -> None:
    with Library.create(tmp_path / "library", recipe="kin-whitened") as library:
        library.index(demo.photos)
    with serving(tmp_path / "library") as server:
        visitor = Visitor(browser, server.address, screenshots)
        visitor.allowed.append(REMARKS)
        page = visitor.open("#/explore")
        button = page.get_by_role("button", name="Make the map")
        expect(button).to_be_visible()
        assert_accessible(page)
        visitor.shot(page, "explore-empty")
        button.click()
        page.wait_for_selector(".map-stage canvas", timeout=60_000)
        expect(page.locator(".side-title")).to_contain_text("in view", timeout=PATIENCE)
        visitor.close()
