"""Duplicates on the page, by mouse, by touch and by keys alone: groups, comparison, decisions, rules, undo."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from axe import assert_accessible
from in_browser import Visitor, expect_address, tab_to
from kindred.library import Library
from live_server import LiveServer, serving
from lookalikes import page as printed
from lookalikes import photograph

expect.set_options(timeout=20_000)

TAKEN = 0x9003
HOSTILE = "a <b>&amp; 'x'.png"


def burst(folder: Path, count: int = 3) -> None:
    """Pictures of one camera, a second apart."""
    whole = photograph(3, size=(660, 500))
    for number in range(count):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[TAKEN] = f"2024:05:31 10:00:0{number}"
        whole.crop((number * 6, number * 4, 640 + number * 6, 480 + number * 4)).save(
            folder / f"IMG_{number}.jpg", exif=exif
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One picture in four files, another in two and cut, a burst, and a page of text twice, with hostile names."""
    made = tmp_path_factory.mktemp("pictures")
    photograph(1).save(made / "whole.png")
    shutil.copy(made / "whole.png", made / "again.png")
    photograph(1).resize((320, 240)).save(made / "small.jpg")
    photograph(1).rotate(-90, expand=True).save(made / "turned.jpg", quality=92)
    (made / "small.mov").write_bytes(b"film")
    photograph(2).save(made / "other.png")
    photograph(2).save(made / "other.jpg", quality=92)
    part = photograph(2).crop((100, 80, 640, 480))
    part.paste((255, 255, 255), (230, 160, 300, 230))  # a difference that makes it another picture
    part.save(made / "part.png")
    burst(made)
    printed(1).save(made / HOSTILE)
    (made / "sub").mkdir()
    shutil.copy(made / HOSTILE, made / "sub" / HOSTILE)
    return made


@pytest.fixture(scope="module")
def library(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("duplicates") / "library"
    with Library.create(path) as made:
        made.index(folder)
    return path


@pytest.fixture(scope="module")
def served(library: Path) -> Iterator[LiveServer]:
    """A server whose library was searched for duplicates."""
    with serving(library) as server:
        job = httpx.post(f"{server.api}/duplicates", json={}, timeout=60).json()
        deadline = time.monotonic() + 120
        while (job := httpx.get(f"{server.api}/jobs/{job['id']}", timeout=60).json())["state"] == "running":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert job["state"] == "done", job
        yield server


@pytest.fixture
def api(served: LiveServer) -> Iterator[httpx.Client]:
    """The API; what a test has decided is undone afterwards."""
    with httpx.Client(base_url=served.api, timeout=60) as client:
        yield client
        for pair in client.get("/duplicates/not-same").json()["pairs"]:
            client.request("DELETE", "/duplicates/not-same", json={"ids": pair})
        ids = [image["id"] for image in client.get("/images", params={"limit": 500}).json()["images"]]
        client.post("/images/tags", json={"ids": ids, "add": [], "remove": ["keep", "spare", "best"]})


@pytest.fixture
def visits(browser: Browser, served: LiveServer, api: httpx.Client, screenshots: Path) -> Iterator[Visitor]:  # noqa: ARG001
    made = Visitor(browser, served.address, screenshots)
    yield made
    made.close()


def opened(visits: Visitor, route: str = "#/duplicates", **options: Any) -> Page:
    page = visits.open(route, **options)
    page.wait_for_selector(".group-row:not(.group-row-empty)")
    return page


def rows(page: Page) -> Locator:
    return page.locator(".group-row")


def tags(api: httpx.Client) -> dict[str, list[str]]:
    """Return the names of the images with each tag."""
    found: dict[str, list[str]] = {}
    for image in api.get("/images", params={"limit": 500}).json()["images"]:
        for tag in image["tags"]:
            found.setdefault(tag, []).append(Path(image["path"]).name)
    return {tag: sorted(names) for tag, names in found.items()}


def title(page: Page) -> Locator:
    return page.locator("#group-title")


def pressed(page: Page, number: int) -> Locator:
    return page.get_by_role("button", name=f"Keep image {number}", exact=True)


KINDS = ["Same file", "Same picture", "Same picture", "Burst", "Alike"]
ALL = len(KINDS)


def test_groups_are_listed_and_one_is_shown_with_the_facts_that_differ(visits: Visitor) -> None:
    page = opened(visits)
    expect(rows(page)).to_have_count(ALL)
    assert [row.split("\n")[0] for row in rows(page).all_inner_texts()] == KINDS
    expect(rows(page).first).to_have_attribute("aria-selected", "true")
    rows(page).nth(2).click()
    expect(title(page)).to_contain_text("Same picture 4 images")
    small = page.locator(".card").filter(has_text="small.jpg")
    expect(small.locator(".differs", has_text="320 × 240")).to_be_visible()
    expect(small).to_contain_text("With it: small.mov")
    expect(page.locator(".card").filter(has_text="turned.jpg")).to_contain_text("same picture, turned 90°")
    expect(page.locator(".card-kept")).to_have_count(1)
    visits.shot(page, "duplicates-desktop")


def test_names_are_text(visits: Visitor) -> None:
    page = opened(visits)
    rows(page).first.click()
    expect(page.locator(".card-name").first).to_have_text(HOSTILE)
    expect(page.locator(".compare-names")).to_contain_text(HOSTILE)


def test_what_is_kept_is_tagged_and_the_next_group_follows_and_it_can_be_undone(
    visits: Visitor, api: httpx.Client
) -> None:
    page = opened(visits)
    rows(page).nth(2).click()
    page.get_by_role("button", name="Keep 1 of 4").click()
    expect(rows(page)).to_have_count(ALL - 1)
    expect(title(page)).to_contain_text("Burst 3 images")
    assert tags(api) == {"keep": ["again.png"], "spare": ["small.jpg", "turned.jpg", "whole.png"]}
    page.get_by_role("button", name="Undo").click()
    expect(rows(page)).to_have_count(ALL)
    expect(title(page)).to_contain_text("Same picture 4 images")
    assert tags(api) == {}


def test_decided_groups_are_shown_on_demand(visits: Visitor, api: httpx.Client) -> None:
    page = opened(visits)
    page.get_by_role("button", name="Keep 1 of 2").click()
    expect(rows(page)).to_have_count(ALL - 1)
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitemradio", name="Show decided groups").click()
    expect(rows(page)).to_have_count(ALL)
    expect(rows(page).first).to_contain_text("decided")
    pressed(page, 2).click()
    page.get_by_role("button", name="Keep all 2").click()
    expect(title(page)).to_contain_text("Same picture 2 images")  # it is still listed, so the next one follows
    assert tags(api) == {"keep": [HOSTILE, HOSTILE]}


def test_pairs_that_are_not_the_same_are_never_shown_again(visits: Visitor, api: httpx.Client) -> None:
    page = opened(visits)
    rows(page).nth(1).click()
    page.get_by_role("button", name="Not the same", exact=True).click()
    expect(rows(page)).to_have_count(ALL - 1)
    assert api.get("/duplicates/not-same").json()["total"] == 1
    page.reload()
    expect(rows(page)).to_have_count(ALL - 1)
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitemradio", name="Show pairs marked as not the same").click()
    expect(rows(page)).to_have_count(ALL)


def test_one_image_can_be_not_the_same_as_the_others(visits: Visitor, api: httpx.Client) -> None:
    page = opened(visits)
    rows(page).nth(2).click()
    number = page.locator(".card-name").all_inner_texts().index("small.jpg") + 1
    page.get_by_role("button", name=f"More about image {number}").click()
    page.get_by_role("menuitem", name="Not the same as the others").click()
    expect(page.locator(".card")).to_have_count(3)
    expect(page.locator(".card-name", has_text="small.jpg")).to_have_count(0)
    assert api.get("/duplicates/not-same").json()["total"] == 3
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".card")).to_have_count(4)
    assert api.get("/duplicates/not-same").json()["total"] == 0


def test_the_divider_follows_the_mouse(visits: Visitor) -> None:
    page = opened(visits)
    rows(page).nth(1).click()
    frame = page.locator(".compare-frame").bounding_box()
    assert frame is not None
    middle = frame["y"] + frame["height"] / 2
    page.mouse.move(frame["x"] + frame["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] * 0.8, middle, steps=4)
    page.mouse.up()
    slider = page.get_by_role("slider", name="Divider between the two pictures")
    assert abs(int(slider.get_attribute("aria-valuenow") or "") - 80) <= 1
    clip = page.locator(".compare-second").evaluate("each => getComputedStyle(each).clipPath")
    assert clip.startswith("inset(0px 0px 0px 8") or clip.startswith("inset(0px 0px 0px 7"), clip
    page.mouse.move(frame["x"] + 10, middle)
    assert abs(int(slider.get_attribute("aria-valuenow") or "") - 80) <= 1  # it was released


def test_pictures_are_compared_in_three_ways_and_turned_back(visits: Visitor) -> None:
    page = opened(visits)
    rows(page).nth(2).click()
    number = page.locator(".card-name").all_inner_texts().index("turned.jpg") + 1
    page.get_by_role("button", name=f"Compare image {number}, turned.jpg").click()
    expect(page.locator(".compare-names")).to_contain_text("turned.jpg")
    picture = page.locator(".compare-second .compare-picture")
    assert picture.evaluate("each => each.style.getPropertyValue('--turn')") == "rotate(-90deg)"
    image = picture.locator("img").last
    box, frame = image.bounding_box(), page.locator(".compare-frame").bounding_box()
    assert box is not None
    assert frame is not None
    assert abs(box["width"] - frame["width"]) < 2  # it fills the frame, whose shape is that of the other picture
    for name, mode in (("Side by side", "sides"), ("Difference", "difference"), ("Divider", "divider")):
        page.locator(".segment", has_text=name).click()
        expect(page.locator(".compare-frame")).to_have_attribute("data-mode", mode)
        visits.shot(page, f"duplicates-{mode}")


def test_everything_is_reached_by_keys_alone(visits: Visitor, api: httpx.Client) -> None:
    page = opened(visits)
    page.keyboard.press("n")
    expect(rows(page).nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("p")
    expect(rows(page).first).to_have_attribute("aria-selected", "true")
    page.locator(".groups-list").focus()
    page.keyboard.press("End")
    expect(title(page)).to_contain_text("Alike")
    page.keyboard.press("ArrowUp")
    expect(title(page)).to_contain_text("Burst")
    page.keyboard.press("ArrowUp")
    expect(title(page)).to_contain_text("Same picture 4 images")
    assert page.locator(".groups-list").get_attribute("aria-activedescendant") == "group-2"
    page.keyboard.press("ArrowRight")
    expect(page.locator(".card-thumb[data-side=B]")).to_have_attribute("aria-label", "Compare image 3, turned.jpg")
    page.keyboard.press("2")
    expect(pressed(page, 2)).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="Keep 2 of 4")).to_be_visible()
    page.keyboard.press("k")
    expect(rows(page)).to_have_count(ALL - 1)
    assert tags(api)["keep"] == ["again.png", "small.jpg"]
    page.keyboard.press("z")
    expect(rows(page)).to_have_count(ALL)
    assert tags(api) == {}
    page.keyboard.press("x")
    expect(rows(page)).to_have_count(ALL - 1)
    page.keyboard.press("z")
    expect(rows(page)).to_have_count(ALL)
    slider = page.get_by_role("slider", name="Divider between the two pictures")
    slider.focus()
    for key, value in (("ArrowLeft", 48), ("Shift+ArrowRight", 58), ("Home", 0), ("End", 100), ("PageDown", 90)):
        page.keyboard.press(key)
        expect(slider).to_have_attribute("aria-valuenow", str(value))
    assert "90 % Image 1" in (slider.get_attribute("aria-valuetext") or "")
    page.keyboard.press("c")
    expect(page.locator(".compare-frame")).to_have_attribute("data-mode", "sides")
    page.keyboard.press("l")
    expect(page.locator("dialog.viewer")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog.viewer")).to_have_count(0)


def test_the_keys_are_listed_and_single_letters_can_be_turned_off(visits: Visitor) -> None:
    page = opened(visits)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_contain_text("Not the same, and go on")
    assert_accessible(page)
    dialog.get_by_role("switch", name="Single letters are commands").click()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.keyboard.press("n")
    expect(rows(page).first).to_have_attribute("aria-selected", "true")
    page.reload()
    page.wait_for_selector(".group-row")
    page.keyboard.press("n")
    expect(rows(page).first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("?")
    expect(dialog).to_be_visible()


def test_letters_in_a_field_are_text(visits: Visitor, api: httpx.Client) -> None:
    page = opened(visits)
    page.get_by_role("button", name="What to keep").click()
    page.get_by_label("Tag of the others").fill("")
    page.get_by_label("Tag of the others").press_sequentially("kxn")
    expect(page.get_by_label("Tag of the others")).to_have_value("kxn")
    expect(rows(page).first).to_have_attribute("aria-selected", "true")
    assert tags(api) == {}


def test_rules_decide_what_is_kept(visits: Visitor, api: httpx.Client, folder: Path) -> None:
    page = opened(visits)
    rows(page).first.click()
    expect(pressed(page, 1)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="What to keep").click()
    page.get_by_label("Keep", exact=True).select_option("folder")
    page.get_by_label("Preferred folders").select_option(str(folder / "sub"))
    expect(page.locator(".rules-folders")).to_contain_text("1. sub")
    page.keyboard.press("Escape")
    kept = page.locator(".card-kept")
    expect(kept).to_have_count(1)
    expect(kept.locator(".card-facts")).to_contain_text("/ sub")
    page.get_by_role("button", name="What to keep").click()
    page.get_by_label("if equal").select_option("format")
    page.get_by_label("Tag of what is kept").fill("best")
    page.get_by_label("Tag of the others").fill("")
    page.keyboard.press("Tab")
    visits.shot(page, "duplicates-rules")
    assert_accessible(page)
    page.get_by_role("button", name="Tag all groups by these rules").click()
    dialog = page.get_by_role("dialog", name="Tag all groups?")
    expect(dialog).to_contain_text("In 3 groups (same file, same picture)")
    dialog.get_by_role("button", name="Tag them").click()
    expect(rows(page)).to_have_count(1)
    assert tags(api) == {"best": sorted([HOSTILE, "again.png", "other.png"])}
    images = api.get("/images", params={"tag": "best"}).json()["images"]
    assert str(folder / "sub" / HOSTILE) in [image["path"] for image in images]


def test_rules_and_kinds_by_keys_alone(visits: Visitor) -> None:
    page = opened(visits)
    tab_to(page, page.get_by_role("button", name="Same picture"))
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(KINDS.count("Same picture"))
    tab_to(page, page.get_by_role("button", name="What to keep"))
    page.keyboard.press("Enter")
    rule = page.get_by_label("Keep", exact=True)
    tab_to(page, rule)
    before = rule.input_value()
    page.keyboard.press("End")  # the last rule
    assert rule.input_value() != before
    expect(rule).to_be_focused()  # although the rules were drawn again
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="What to keep")).to_be_focused()
    tab_to(page, page.get_by_role("button", name="Not the same", exact=True))
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(KINDS.count("Same picture") - 1)
    tab_to(page, page.get_by_role("button", name="Undo"))
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(KINDS.count("Same picture"))


def test_rules_and_pairs_that_are_not_the_same_by_touch(visits: Visitor, api: httpx.Client) -> None:
    page = opened(visits, phone=True)
    page.set_viewport_size({"width": 360, "height": 740})
    page.get_by_role("button", name="What to keep").tap()
    page.get_by_label("Keep", exact=True).select_option("older")
    page.touchscreen.tap(180, 20)  # beside the panel
    page.get_by_role("button", name="Same picture").tap()
    expect(rows(page)).to_have_count(KINDS.count("Same picture"))
    rows(page).first.tap()
    page.get_by_role("button", name="Not the same", exact=True).tap()
    expect(rows(page)).to_have_count(KINDS.count("Same picture") - 1)
    page.get_by_role("button", name="Undo").tap()
    expect(rows(page)).to_have_count(KINDS.count("Same picture"))
    assert api.get("/duplicates/not-same").json()["total"] == 0
    page.locator(".segment", has_text="Side by side").tap()
    expect(page.locator(".compare-frame")).to_have_attribute("data-mode", "sides")
    page.get_by_role("button", name="Back to the groups").tap()
    for width in (360, 320):  # the second is what 400 % leaves of 1280
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_kinds_select_groups(visits: Visitor) -> None:
    page = opened(visits)
    page.get_by_role("button", name="Same picture").click()
    expect(rows(page)).to_have_count(2)
    expect_address(page, "kind=same_picture")
    page.get_by_role("button", name="Same file").click()
    expect(rows(page)).to_have_count(3)
    page.get_by_role("button", name="Same picture").click()
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("Same file")


def test_the_likeness_of_alike_images_is_moved_without_another_search(visits: Visitor) -> None:
    page = opened(visits, "#/duplicates?kind=alike")
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator(".card", has_text="other.png")).to_contain_text("stands for 2 images")
    page.get_by_role("button", name="Likeness of images that are alike").click()
    lower, upper = page.get_by_label("At least this alike"), page.get_by_label("Leave out copies above")
    lower.focus()
    page.keyboard.press("End")
    expect(page.get_by_text("No group of these kinds")).to_be_visible()
    expect_address(page, "from=1")
    page.keyboard.press("Home")
    expect(title(page)).to_contain_text("Alike 4 images")  # all photographs are drawn in one manner
    page.get_by_role("button", name="Usual likeness").click()
    expect(title(page)).to_contain_text("Alike 2 images")
    upper.fill("0.9")
    expect(page.get_by_text("No group of these kinds")).to_be_visible()  # the two are copies then
    expect_address(page, "most=0.9")
    upper.focus()
    page.keyboard.press("Home")
    assert float(lower.input_value()) == float(upper.input_value())


def test_on_a_phone_a_group_is_opened_decided_and_left_by_touch(visits: Visitor, api: httpx.Client) -> None:
    page = opened(visits, phone=True)
    expect(page.locator(".group")).to_be_hidden()
    visits.shot(page, "duplicates-phone")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert_accessible(page)
    rows(page).nth(1).tap()
    expect(title(page)).to_contain_text("Same picture 2 images")
    expect(page.locator(".groups-list")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    visits.shot(page, "duplicates-phone-group")
    assert_accessible(page)
    page.get_by_role("button", name="Next").tap()
    expect(title(page)).to_contain_text("4 images")
    page.get_by_role("button", name="Previous").tap()
    page.get_by_role("button", name="Keep 1 of 2").tap()
    expect(title(page)).to_contain_text("4 images")
    assert tags(api) == {"keep": ["other.png"], "spare": ["other.jpg"]}
    page.get_by_role("button", name="Back to the groups").tap()
    expect(rows(page)).to_have_count(ALL - 1)


def test_the_divider_follows_a_finger(visits: Visitor) -> None:
    page = opened(visits, phone=True)
    rows(page).nth(1).tap()
    slider = page.get_by_role("slider", name="Divider between the two pictures")
    slider.wait_for()
    frame = page.locator(".compare-frame").bounding_box()
    assert frame is not None
    touch = page.context.new_cdp_session(page)

    def send(kind: str, share: float) -> None:
        x, y = frame["x"] + frame["width"] * share, frame["y"] + frame["height"] / 2
        points = [] if kind == "touchEnd" else [{"x": x, "y": y}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", 0.5)
    for share in (0.45, 0.4, 0.3, 0.2):
        send("touchMove", share)
    send("touchEnd", 0.2)
    assert abs(int(slider.get_attribute("aria-valuenow") or "") - 20) <= 3


def test_the_group_is_in_the_address(visits: Visitor) -> None:
    page = opened(visits)
    rows(page).nth(2).click()
    page.wait_for_url("**group=*")
    page.reload()
    expect(title(page)).to_contain_text("4 images")
    expect(rows(page).nth(2)).to_have_attribute("aria-selected", "true")


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_keeps_people_from_using_it(visits: Visitor, dark: bool) -> None:
    page = opened(visits, dark=dark)
    rows(page).nth(2).click()
    expect(page.locator(".card")).to_have_count(4)
    assert_accessible(page)
    page.get_by_role("button", name="Likeness of images that are alike").click()
    assert_accessible(page)
    visits.shot(page, f"duplicates-{'dark' if dark else 'light'}")


@pytest.mark.parametrize(("width", "height"), [(360, 640), (2560, 1300)])
def test_it_fits_narrow_and_wide_windows(visits: Visitor, width: int, height: int) -> None:
    page = opened(visits)
    page.set_viewport_size({"width": width, "height": height})
    rows(page).nth(2).click()
    expect(page.locator(".card")).to_have_count(4)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    visits.shot(page, f"duplicates-{width}")


def many(total: int) -> Any:
    """Answer requests for groups with `total` made ones."""

    def answer(route: Any) -> None:
        params = httpx.URL(route.request.url).params
        after, limit = int(params.get("after", 0)), int(params.get("limit", 50))
        made = []
        for at in range(after, min(total, after + limit)):
            image = {
                "id": f"{at:016x}",
                "path": f"/p/{at}.jpg",
                "relation": "reference",
                "score": 1,
                "turned": 0,
                "mirrored": False,
                "copy_of": None,
                "width": 4,
                "height": 3,
                "frames": 1,
                "size": 5,
                "taken": None,
                "modified": None,
                "shot": 0,
                "more": 0,
                "companions": [],
                "keep": True,
                "tags": [],
                "missing": False,
            }
            images = [image, {**image, "id": f"{at + 10**9:016x}", "shot": 1, "keep": False, "relation": "alike"}]
            made.append({"key": f"{at:016x}", "at": at, "kind": "alike", "score": 0.9, "images": images})
        counts = {"same_bytes": 0, "same_picture": 0, "same_shot": 0, "burst": 0, "alike": total}
        facts = {"searched": "2026-01-01T00:00:00+00:00", "threshold": 0.85, "least": 0.75, "most": None, "marked": 0}
        more = {"images": 2 * total, "changed": False, "kinds": [], "total": total, "folders": [], "next": None}
        route.fulfill(json={**facts, **more, "counts": counts, "groups": made})

    return answer


def test_a_hundred_thousand_groups_are_a_few_rows(visits: Visitor) -> None:
    total = 200_000
    page = opened(visits)
    nothing = b'<svg xmlns="http://www.w3.org/2000/svg" width="4" height="3"/>'
    page.route("**/thumbnail*", lambda route: route.fulfill(body=nothing, content_type="image/svg+xml"))
    page.route("**/api/v1/duplicates?*", many(total))
    page.route("**/api/v1/duplicates/*", lambda route: route.fulfill(json={"images": []}))
    page.reload()
    expect(page.locator(".group-row").first).to_contain_text("0.jpg")
    assert page.locator(".group-row").count() < 40
    page.locator(".groups-list").focus()
    page.keyboard.press("End")
    last = page.locator(f"#group-{total - 1}")
    expect(last).to_contain_text(f"{total - 1}.jpg")
    expect(last).to_have_attribute("aria-selected", "true")
    expect(last).to_be_in_viewport()
    assert page.locator(".group-row").count() < 40
    page.keyboard.press("Home")
    expect(page.locator("#group-0")).to_be_in_viewport()
    page.locator(".groups-list").evaluate("each => { each.scrollTop = each.scrollHeight / 2; }")
    half = "Math.abs(Number(document.querySelector('.group-row[data-at]')?.dataset.at) - given) < given / 50"
    page.wait_for_function(f"(given) => {half}", arg=total / 2)


def test_before_a_search_there_is_an_invitation_and_then_its_progress(
    browser: Browser, folder: Path, tmp_path: Path, screenshots: Path
) -> None:
    path = tmp_path / "library"
    with Library.create(path) as made:
        made.index(folder)
    with serving(path) as server:
        visits = Visitor(browser, server.address, screenshots)
        page = visits.open("#/duplicates")
        expect(page.get_by_role("heading", name="Find duplicates")).to_be_visible()
        assert_accessible(page)
        visits.shot(page, "duplicates-start")
        page.get_by_role("button", name="Search 12 images").click()
        expect(rows(page)).to_have_count(ALL, timeout=120_000)
        page.get_by_role("button", name="More", exact=True).click()
        page.get_by_role("menuitem", name="Search again").click()
        expect(rows(page)).to_have_count(ALL, timeout=120_000)
        visits.close()


def test_a_read_only_server_only_shows(browser: Browser, library: Path, served: LiveServer, screenshots: Path) -> None:  # noqa: ARG001
    with serving(library, ["--read-only"]) as server:
        visits = Visitor(browser, server.address, screenshots)
        page = opened(visits)
        expect(rows(page)).to_have_count(ALL)
        for name in ("Not the same", "Keep 1 of 2", "What to keep"):
            expect(page.get_by_role("button", name=name)).to_have_count(0)
        page.keyboard.press("k")
        page.keyboard.press("x")
        expect(rows(page)).to_have_count(ALL)
        visits.close()


def run(page: Page, module: str, body: str, given: object = None) -> Any:
    """Run JavaScript with the exports of a module as `m` and an argument as `given`."""
    return page.evaluate(f"async (given) => {{ const m = await import('/assets/{module}.js'); {body} }}", given)


def test_what_is_best_is_best_alone(visits: Visitor) -> None:
    page = visits.open("#/duplicates")
    image = {"width": 40, "height": 30, "size": 9, "taken": "2024-05-31", "modified": None, "path": "/a/b/c/x.JPG"}
    images = [image, {**image, "size": 8, "taken": "2024-05-30"}, {**image, "path": "/a/b/c/x.heic", "taken": ""}]
    facts = run(page, "views/duplicates/facts", "return m.factsOf(given)", images)
    assert [[each["best"] for each in row] for row in facts] == [
        ["", "", "", "", ""],  # of two equally large files, none is the largest
        ["", "", "", "oldest", ""],
        ["", "", "", ""],
    ]
    assert [each["differs"] for each in facts[0]] == [False, True, True, True, False]
    assert [each["text"] for each in facts[0]] == ["40 × 30", "9 bytes", "JPEG", "31 May 2024", "… / b / c"]


def test_the_files_of_a_shot_are_one_card(visits: Visitor) -> None:
    page = visits.open("#/duplicates")
    images = [{"id": name, "shot": shot} for name, shot in (("a", 0), ("b", 1), ("c", 0))]
    body = "return m.cardsOf(given).map((card) => card.map(({ id }) => id))"
    for kind, cards in (("same_picture", [["a", "c"], ["b"]]), ("same_shot", [["a"], ["b"], ["c"]])):
        assert run(page, "views/duplicates/groups", body, {"kind": kind, "images": images}) == cards


def test_stored_settings_of_another_kind_are_the_usual_ones(visits: Visitor) -> None:
    page = visits.open("#/duplicates")
    usual = run(page, "views/duplicates/settings", "return m.storedChoice()")
    assert usual == {"rules": ["larger"], "prefer": [], "tag": "keep", "others": "spare", "letters": True}
    for stored in ("null", "7", '"x"', "{", '{"rules": "x", "prefer": 5, "tag": {}, "others": 1}', '{"tag": "  "}'):
        body = "localStorage.setItem('kindred.duplicates', given); return m.storedChoice()"
        assert run(page, "views/duplicates/settings", body, stored) == usual
    body = "localStorage.setItem('kindred.duplicates', given); return m.storedChoice().rules"
    assert run(page, "views/duplicates/settings", body, '{"rules": ["older", "evil", 5]}') == ["older"]
    body = "return m.parse(new URLSearchParams(given))"
    assert run(page, "views/duplicates/settings", body, "kind=x&from=2&most=a") == {
        "kinds": [],
        "threshold": None,
        "most": None,
        "decided": False,
        "marked": False,
        "group": "",
    }
