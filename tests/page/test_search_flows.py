"""Searching on the page, from the image given to the answers exported: by mouse, touch and keyboard; desk and phone."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Request, Route, expect

from axe import assert_accessible
from in_browser import Visitor, expect_address
from kindred.library import Library
from pictures import encoded

PHONE = pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
SAME = re.compile(r"^(\d+) images? shows? the same thing$")


@pytest.fixture(scope="module")
def query(query_file: Path) -> Path:
    """A photograph that is not in the library, which has two other views of the same scene."""
    return query_file


@pytest.fixture(scope="module")
def relevant(seen_twice: tuple[str, str]) -> set[str]:
    """The ids of these two."""
    return set(seen_twice)


@pytest.fixture(scope="module")
def an_id(seen_twice: tuple[str, str]) -> str:
    """The id of one of them."""
    return seen_twice[0]


def found(page: Page) -> list[str]:
    """Wait for the answers; return the ids above the line."""
    expect(page.locator(".results")).to_have_attribute("aria-busy", "false")
    ids: list[str] = page.evaluate("() => [...document.querySelectorAll('.grid-above .cell')].map((c) => c.dataset.id)")
    return ids


def title(page: Page) -> str:
    return page.locator(".results-title").last.inner_text()


def choose(page: Page, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=re.compile("Choose an image|Add an image")).click()
    chooser.value.set_files(file)


@pytest.mark.parametrize(("phone", "dark"), [(False, False), (False, True), (True, True)])
def test_an_image_is_chosen_and_found(
    visitor: Visitor, query: Path, relevant: set[str], phone: bool, dark: bool
) -> None:
    page = visitor.open(phone=phone, dark=dark)
    choose(page, query)
    page.wait_for_url("**q=u.*")
    ids = found(page)
    assert set(ids) == relevant
    assert title(page) == "2 images show the same thing"
    line = page.get_by_role("group", name="Where answers end")
    expect(line).to_contain_text("Below this line it is probably not the same thing")
    page.wait_for_function("() => [...document.querySelectorAll('.results img')].every((image) => image.complete)")
    visitor.shot(page, f"search-{'phone' if phone else 'desk'}-{'dark' if dark else 'light'}")
    assert_accessible(page)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    line.get_by_role("button", name=re.compile("Show")).click()
    expect(page.locator(".grid-below").locator(".cell").first).to_be_visible()
    visitor.shot(page, f"search-below-{'phone' if phone else 'desk'}-{'dark' if dark else 'light'}")
    assert_accessible(page)
    page.reload()
    assert found(page) == ids
    page.go_back()
    expect(page.get_by_role("heading", name="28 images")).to_be_visible()


DROP = """async ([kind, data]) => {
  const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], "photo.jpg", { type: "image/jpeg" }));
  const target = document.querySelector(".query");
  const options = { dataTransfer: transfer, clipboardData: transfer, bubbles: true, cancelable: true };
  if (kind === "paste") return !target.dispatchEvent(new ClipboardEvent("paste", options));
  const send = (name) => target.dispatchEvent(new DragEvent(name, options));
  send("dragenter");
  send("dragover");
  const over = document.querySelector(".query").classList.contains("query-over");
  send("drop");
  return over;
}"""


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_an_image_is_dropped_or_pasted(visitor: Visitor, query: Path, relevant: set[str], kind: str) -> None:
    page = visitor.open()
    shown = page.evaluate(DROP, [kind, base64.b64encode(query.read_bytes()).decode()])
    assert shown is True
    page.wait_for_url("**q=u.*")
    assert set(found(page)) == relevant
    assert not page.evaluate("() => document.querySelector('.query').classList.contains('query-over')")


def test_an_image_is_photographed_with_a_phone(visitor: Visitor, query: Path, relevant: set[str]) -> None:
    page = visitor.open(phone=True)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Camera").tap()
    assert chooser.value.element.get_attribute("capture") == "environment"
    chooser.value.set_files(query)
    page.wait_for_url("**q=u.*")
    assert set(found(page)) == relevant


def test_a_computer_without_a_camera_says_so(visitor: Visitor) -> None:
    page = visitor.open()
    page.get_by_role("button", name="Camera").click()
    dialog = page.get_by_role("dialog", name="Take a photo")
    expect(dialog.get_by_role("status")).to_have_text(re.compile("There is no camera|may not be used"))
    assert_accessible(page)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect_address(page, "q=", there=False)


def test_more_like_this_with_the_mouse(visitor: Visitor) -> None:
    page = visitor.open()
    cell = page.locator(".browse .cell[data-index='2']")
    identity = cell.get_attribute("data-id")
    cell.hover()
    cell.get_by_role("button", name=re.compile("More like this")).click()
    page.wait_for_url(f"**q=i.{identity}")
    assert identity in found(page)


def test_more_like_this_with_the_keyboard_alone(visitor: Visitor) -> None:
    page = visitor.open()
    page.wait_for_selector(".browse .cell img.loaded")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.classList.contains('tile')"):
            break
    else:
        raise AssertionError("Tab does not reach the images")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")  # the buttons of the image
    expect(page.locator(":focus")).to_have_attribute("data-action", "similar")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=i.*")
    assert found(page)


def test_more_like_this_by_touch(visitor: Visitor) -> None:
    page = visitor.open(phone=True)
    page.wait_for_selector(".browse .cell img.loaded")
    cell = page.locator(".browse .cell[data-index='1']")
    identity = cell.get_attribute("data-id")
    cell.locator(".tile").tap()
    page.locator(".viewer").get_by_role("button", name="More like this").tap()
    page.wait_for_url(f"**q=i.{identity}**")
    expect(page.locator(".viewer")).to_have_count(0)
    assert identity in found(page)


@PHONE
def test_nothing_shows_the_same_thing(visitor: Visitor, tmp_path: Path, phone: bool) -> None:
    file = tmp_path / "other.jpg"
    file.write_bytes(encoded(77, width=640, height=480))
    page = visitor.open(phone=phone)
    choose(page, file)
    page.wait_for_url("**q=u.*")
    assert found(page) == []
    assert title(page) == "Nothing here shows the same thing"
    assert_accessible(page)
    visitor.shot(page, f"nothing-{'phone' if phone else 'desk'}")
    page.get_by_role("button", name=re.compile("^Show .*less alike")).click()
    expect(page.locator(".grid-below .cell").first).to_be_visible()


def test_the_slider_moves_the_line(visitor: Visitor, an_id: str) -> None:
    page = visitor.open(f"#/search?q=i.{an_id}&scores=1")
    usual = len(found(page))
    slider = page.get_by_role("slider", name="Sure at least")
    slider.focus()
    page.keyboard.press("Home")
    page.wait_for_url("**line=0.01**")
    lowest = len(found(page))
    assert lowest >= usual
    assert slider.get_attribute("aria-valuetext") == f"1 %: {lowest} images above the line"
    page.keyboard.press("End")
    page.wait_for_url("**line=0.99**")
    assert len(found(page)) <= usual
    page.reload()
    expect(page.get_by_role("slider", name="Sure at least")).to_have_value("0.99")


@PHONE
def test_a_part_of_the_image_is_searched_for(visitor: Visitor, query: Path, phone: bool) -> None:
    page = visitor.open(phone=phone)
    choose(page, query)
    page.wait_for_url("**q=u.*")
    found(page)
    page.get_by_role("button", name="Search for a part: Image 1 searched for").click()
    dialog = page.get_by_role("dialog", name="Search for a part")
    expect(dialog.locator(".crop-box")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowUp")
    page.wait_for_function("() => document.querySelector('.cropper img').complete")
    visitor.shot(page, f"crop-{'phone' if phone else 'desk'}")
    assert_accessible(page)
    asked: list[Any] = []
    page.on("request", lambda request: asked.append(request.post_data_json) if is_search(request) else None)
    dialog.get_by_role("button", name="Search for this part").click()
    page.wait_for_url(re.compile(r"_\d+_"))
    found(page)
    box = asked[0]["query"][0]["box"]
    assert 0 <= box[0] < box[2]
    assert 0 <= box[1] < box[3]
    page.reload()
    page.get_by_role("button", name="Change the part: Image 1 searched for").click()
    dialog.get_by_role("button", name="Whole image").click()
    dialog.get_by_role("button", name="Search for this part").click()
    page.wait_for_url(re.compile("q=u.[0-9a-f]+$"))


def is_search(request: Request) -> bool:
    return request.method == "POST" and request.url.endswith("/api/v1/search")


def body_of(request: Request) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request.post_data or "{}")
    return body


def test_several_images_wanted_and_not_wanted(visitor: Visitor, query: Path, an_id: str) -> None:
    page = visitor.open(f"#/search?q=i.{an_id}")
    found(page)
    choose(page, query)
    page.wait_for_url("**q=u.*")
    found(page)
    with page.expect_request(is_search) as sent:
        page.get_by_role("button", name="Not wanted: Image 2 searched for").click()
    weights = [part["weight"] for part in body_of(sent.value)["query"]]
    assert weights[0] == 1
    assert weights[1] < 0
    found(page)
    assert title(page) == "Most alike first"  # without a probability, no claim
    visitor.shot(page, "several-desk")
    assert_accessible(page)
    page.get_by_role("button", name="Remove: Image 2 searched for").click()
    found(page)
    assert SAME.match(title(page))


def test_an_image_of_the_grid_is_dragged_to_the_query(visitor: Visitor, an_id: str) -> None:
    page = visitor.open(f"#/search?q=i.{an_id}&below=1")
    found(page)
    other = page.locator(".grid-below").locator(".cell").first
    other.locator(".tile").drag_to(page.locator(".query"))
    page.wait_for_url(re.compile(r"q=i\..*q=i\."))
    expect(page.locator(".query-image img")).to_have_count(2)


@PHONE
def test_marks_refine_the_search(visitor: Visitor, an_id: str, phone: bool) -> None:
    page = visitor.open(f"#/search?q=i.{an_id}&below=1", phone=phone)
    right = found(page)[0]
    wrong = page.locator(".grid-below").locator(".cell").first.get_attribute("data-id")
    for identity, label in ((right, "Right"), (wrong, "Wrong")):
        if phone:
            page.locator(f".results .cell[data-id='{identity}'] .tile").tap()
            page.locator(".viewer").get_by_role("button", name=label).tap()
            page.keyboard.press("Escape")
        else:
            cell = page.locator(f".results .cell[data-id='{identity}']")
            cell.hover()
            cell.get_by_role("button", name=re.compile(f"^{label}")).click()
    refine = page.get_by_role("group", name="Refine")
    expect(refine).to_contain_text("1 answer marked right, 1 wrong")
    visitor.shot(page, f"marks-{'phone' if phone else 'desk'}")
    assert_accessible(page)
    with page.expect_request(is_search) as sent:
        refine.get_by_role("button", name="Search again").click()
    asked = body_of(sent.value)
    assert (asked["right"], asked["wrong"]) == ([right], [wrong])
    found(page)
    expect(refine).to_contain_text("Searched with 1 right answer and 1 wrong one")
    page.reload()
    found(page)
    expect(refine).to_contain_text("Searched with 1 right answer and 1 wrong one")
    refine.get_by_role("button", name="Clear").click()
    page.wait_for_url(lambda url: "right=" not in url)
    expect(refine).to_be_hidden()


def test_marks_by_keyboard(visitor: Visitor, an_id: str) -> None:
    page = visitor.open(f"#/search?q=i.{an_id}")
    found(page)
    page.focus(".results .tile[tabindex='0']")
    page.keyboard.press("+")
    expect(page.locator(".results .badge-good")).to_have_text("right")
    page.keyboard.press("-")
    expect(page.locator(".results .badge-bad")).to_have_text("wrong")
    page.keyboard.press("-")
    expect(page.locator(".results .badge")).to_have_count(0)


def test_the_effect_of_re_ranking_is_shown(visitor: Visitor, an_id: str) -> None:
    page = visitor.open(f"#/search?q=i.{an_id}&below=1")
    found(page)
    page.get_by_role("button", name="Search options").click()
    page.get_by_role("switch", name="What re-ranking changed").check()
    page.get_by_role("switch", name="Scores").check()
    page.get_by_role("radio", name="Chosen ones").check()
    page.get_by_role("switch", name="diffusion", exact=True).check()
    visitor.shot(page, "options-desk")
    assert_accessible(page)
    page.keyboard.press("Escape")
    page.wait_for_url("**rerank=diffusion**")
    found(page)
    badge = page.locator(".results .badge-up, .results .badge-down").first
    expect(badge).to_be_visible()
    visitor.shot(page, "re-ranked-desk")
    shown = page.evaluate("""() => [...document.querySelectorAll(".results .cell")].map((cell) => ({
      id: cell.dataset.id, badge: cell.querySelector(".badge-up, .badge-down")?.textContent ?? "" }))""")
    plain = page.request.post(
        f"{visitor.address}/api/v1/search", data={"query": [{"image": an_id}], "k": 240, "rerank": "none"}
    ).json()["results"]
    ranks = {each["id"]: each["rank"] for each in plain}
    moved = {each["id"]: ranks[each["id"]] - rank for rank, each in enumerate(shown, 1)}
    for each in shown:
        change = moved[each["id"]]
        assert re.sub(r"\D", "", each["badge"]) == ("" if change == 0 else str(abs(change)))
    assert any(moved.values())


def test_a_re_ranker_that_does_not_fit_says_why(visitor: Visitor, an_id: str) -> None:
    visitor.allowed.append("Failed to load resource")
    page = visitor.open(f"#/search?q=i.{an_id}&rerank=no_such_method")
    expect(page.get_by_role("heading", name="This search did not work")).to_be_visible()
    expect(page.locator(".results-empty")).to_contain_text("no_such_method")
    assert_accessible(page)
    page.get_by_role("button", name="Search without these options").click()
    found(page)
    assert SAME.match(title(page))


@PHONE
def test_why_this_shows_where_the_images_agree(visitor: Visitor, an_id: str, phone: bool) -> None:
    page = visitor.open(f"#/search?q=i.{an_id}", phone=phone)
    others = [each for each in found(page) if each != an_id]
    page.locator(f".results .cell[data-id='{others[0]}'] .tile").click()
    page.locator(".viewer").get_by_role("button", name="Why this?").click()
    dialog = page.get_by_role("dialog", name="Why this?")
    expect(dialog.locator(".why-text")).to_contain_text(re.compile(r"\d+ points agree in place"))
    lines = dialog.locator(".why-lines line")
    assert lines.count() >= 8
    figures = page.evaluate(
        "() => [...document.querySelectorAll('.why-image img')].map((i) => i.getBoundingClientRect().toJSON())"
    )
    ends = page.evaluate("""() => [...document.querySelectorAll(".why-lines circle")].map((circle) => {
      const { left, top, width, height } = circle.getBoundingClientRect();
      return [left + width / 2, top + height / 2];
    })""")
    for at, (x, y) in enumerate(ends):
        figure = figures[at % 2]
        assert figure["left"] - 2 <= x <= figure["right"] + 2
        assert figure["top"] - 2 <= y <= figure["bottom"] + 2
    visitor.shot(page, f"why-{'phone' if phone else 'desk'}")
    assert_accessible(page)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect_address(page, "why=", there=False)


def test_maps_of_similarity_are_drawn_where_there_are_no_points(visitor: Visitor, an_id: str) -> None:
    page = visitor.open(f"#/search?q=i.{an_id}")
    found(page)
    answer = {"kind": "maps", "rows": 2, "columns": 3, "query": [[0, 1], [0.5, 0.2]], "image": [[0, 0, 1], [0, 0.4, 0]]}
    page.route("**/api/v1/explain", lambda route: route.fulfill(json=answer))
    page.focus(".results .tile[tabindex='0']")
    page.keyboard.press("w")
    dialog = page.get_by_role("dialog", name="Why this?")
    expect(dialog).to_contain_text("Bright is where the two images are most alike")
    sizes = page.evaluate("() => [...document.querySelectorAll('.why-heat')].map((c) => [c.width, c.height, c.hidden])")
    assert sizes == [[2, 2, False], [3, 2, False]]
    visitor.shot(page, "why-maps-desk")


def test_a_view_that_waits_for_the_server_says_so(visitor: Visitor) -> None:
    page, waiting = visitor.open("#/search"), list[Route]()
    page.route("**/api/v1/map", lambda route: waiting.append(route))
    with page.expect_request("**/api/v1/map"):
        page.get_by_role("link", name="Explore").click()
    loading = page.get_by_role("status", name="Loading")
    expect(loading).to_be_visible()
    waiting[0].continue_()
    expect(page.get_by_role("heading", name="See the whole library")).to_be_visible()
    expect(loading).to_have_count(0)


@pytest.mark.parametrize("phone", [False, True])
def test_a_long_tag_stays_within_the_facts(visitor: Visitor, an_id: str, phone: bool) -> None:
    page, tag = visitor.open(f"#/search?show={an_id}", phone=phone), f"<b>{'w' * 150}"
    if phone:
        page.keyboard.press("i")
    field = page.get_by_label("Add a tag")
    field.fill(tag)
    field.press("Enter")
    remove = page.get_by_role("button", name=f"Remove the tag {tag}")
    expect(remove).to_be_visible()
    facts = page.locator(".viewer-facts")
    assert facts.evaluate("each => each.scrollWidth <= each.clientWidth")
    remove.click()
    expect(remove).to_have_count(0)


def test_searches_are_saved_and_opened(visitor: Visitor, an_id: str) -> None:
    page = visitor.open(f"#/search?q=i.{an_id}&line=0.3")
    found(page)
    page.get_by_role("button", name="Saved searches").click()
    page.get_by_role("button", name="Save this search").click()
    page.get_by_label("Name").fill("<i>Our & thing</i>")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Saved as “<i>Our & thing</i>”.")
    page.goto(f"{visitor.address}/#/search")
    page.get_by_role("button", name="Saved searches").click()
    visitor.shot(page, "saved-desk")
    page.get_by_role("link", name="<i>Our & thing</i>").click()
    page.wait_for_url(f"**q=i.{an_id}&line=0.3")
    found(page)
    page.get_by_role("button", name="Saved searches").click()
    page.get_by_role("button", name="Remove the saved search <i>Our & thing</i>").click()
    expect(page.get_by_text("None yet.")).to_be_visible()


@pytest.mark.parametrize("kind", ["CSV", "JSON", "Zip"])
def test_answers_are_exported(visitor: Visitor, an_id: str, tmp_path: Path, kind: str) -> None:
    page = visitor.open(f"#/search?q=i.{an_id}")
    ids = found(page)
    page.get_by_role("button", name="Export").click()
    page.get_by_role("radio", name=re.compile(f"^{kind}")).check()
    assert_accessible(page)
    with page.expect_download() as download:
        page.get_by_role("dialog").get_by_role("button", name="Export").click()
    file = tmp_path / "answers"
    download.value.save_as(file)
    if kind == "CSV":
        assert [row["id"] for row in csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig")))] == ids
    elif kind == "JSON":
        assert all(each in file.read_text(encoding="utf-8") for each in ids)
    else:
        with zipfile.ZipFile(file) as archive:
            assert sum(name.endswith(".jpg") for name in archive.namelist()) == len(ids)


def test_a_file_that_is_no_image_is_named(visitor: Visitor, tmp_path: Path) -> None:
    visitor.allowed.append("Failed to load resource")
    file = tmp_path / "notes.jpg"
    file.write_text("no image")
    page = visitor.open()
    choose(page, file)
    toast = page.locator(".toast")
    expect(toast).to_contain_text("notes.jpg: ")
    expect_address(page, "q=", there=False)
    assert_accessible(page)
    toast.get_by_role("button", name="Close this message").click()
    expect(toast).to_have_count(0)


def test_an_upload_that_the_server_has_forgotten(visitor: Visitor) -> None:
    visitor.allowed.append("Failed to load resource")
    page = visitor.open(f"#/search?q=u.{'0' * 32}")
    expect(page.get_by_role("heading", name="This search did not work")).to_be_visible()
    expect(page.locator(".query-lost")).to_have_count(1)


def test_a_search_goes_on_without_an_image_that_was_removed(visitor: Visitor, an_id: str, relevant: set[str]) -> None:
    visitor.allowed.append("Failed to load resource")
    page = visitor.open(f"#/search?q=i.{an_id}&q=i.{'0' * 16}&right={an_id}")
    expect(page.locator(".results-empty")).to_contain_text("An image of this search is no longer on the server.")
    page.get_by_role("button", name="Search without it").click()
    page.wait_for_url(lambda url: "0" * 16 not in url and f"right={an_id}" in url)
    assert relevant <= set(found(page))


def test_answers_by_date(visitor: Visitor, an_id: str, demo_library: Path) -> None:
    page = visitor.open(f"#/search?q=i.{an_id}&sort=oldest")
    ids = found(page)
    assert len(ids) > 1
    with Library.open(demo_library) as library:
        taken = [library.get(each).taken or "" for each in ids]
    assert taken == sorted(taken)
    expect(page.locator(".tile-facts").first).to_contain_text(re.compile(r"\d{1,2} \w+ 20\d\d"))


def test_the_whole_flow_with_the_keyboard_alone(visitor: Visitor, query: Path) -> None:
    page = visitor.open()
    page.on("filechooser", lambda _: None)  # choosers are caught from now on; a key could come before that otherwise
    page.wait_for_selector(".browse .cell img.loaded")
    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    button = page.get_by_role("button", name="Choose an image")
    button.focus()
    expect(button).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(query)
    page.wait_for_url("**q=u.*")
    found(page)
    page.locator(".results .tile[tabindex='0']").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".viewer")).to_be_visible()
    page.keyboard.press("w")
    expect(page.get_by_role("dialog", name="Why this?")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".viewer")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".viewer")).to_have_count(0)
    assert page.evaluate("() => document.activeElement.classList.contains('tile')")
