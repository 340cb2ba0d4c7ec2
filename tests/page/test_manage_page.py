"""The library view in a browser: folders, uploads, selection, tags, metadata, removal and export; touch and keys."""

from __future__ import annotations

import csv
import io
import shutil
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2 as httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from axe import assert_accessible
from in_browser import Visitor, chromium_path, tab_to
from kindred.library import Library
from kindred.server.job import Job
from kindred.server.journal import Journal
from kindred.service import RequestForm
from kindred.service.facts import folder_id
from live_server import LiveServer, serving
from pictures import encoded, make_folder, save_picture
from tiny_model import home, make_recipe

COUNT = 30
expect.set_options(timeout=30_000)  # the machine may be busy with other tests
HOSTILE = '<img src=x onerror="document.title=1">'
PHONE = pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])


@pytest.fixture(scope="module", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    chromium_path()
    with home(tmp_path_factory.mktemp("home")) as folder:
        yield folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty pictures in two folders."""
    folder = tmp_path_factory.mktemp("manage") / "photos"
    make_folder(folder / "a", COUNT // 2)
    make_folder(folder / "b", COUNT // 2, first=COUNT // 2)
    return folder


@pytest.fixture(scope="module")
def library(own_home: Path, photos: Path) -> Path:
    """A library of the pictures; five have a tag, one a hostile one, and one has metadata."""
    path = photos.parent / "library"
    with Library.create(path, recipe=make_recipe(own_home)) as made:
        made.index(photos)
        paths = sorted(photos.rglob("*.jpg"))
        made.tag(paths[:5], "holiday")
        made.tag(paths[3], HOSTILE)
        made.set_metadata(paths[0], {"price": 20, "maker": "Leica"})
    return path


@pytest.fixture(scope="module")
def server(library: Path, photos: Path) -> Iterator[LiveServer]:
    """One server for most tests: what these add they remove, and what they remove they add."""
    (photos.parent / "more").mkdir()
    with serving(library, ["--folder", str(photos.parent / "more")]) as running:
        yield running


@pytest.fixture
def more(photos: Path, server: LiveServer) -> Iterator[Path]:
    """A folder that may be added, empty at first; at the end its images are removed from the library.

    A test names it before `visit`, so that its window is closed by then.
    """
    folder = photos.parent / "more"
    yield folder
    wait_for_jobs(server)
    # Unusable files are known to the library too; while others are there, they are certainly gone.
    if unusable := [file for file in folder.iterdir() if file.stat().st_size < 100]:
        for file in unusable:
            file.unlink()
        index(server, prune="gone")
    remove_all(server, str(folder))
    for file in folder.iterdir():
        file.unlink()


@pytest.fixture
def uploads(library: Path, server: LiveServer) -> Iterator[None]:
    """At the end of the test, images that were added by upload are removed again."""
    yield
    remove_all(server, str(library / "uploads"))


@pytest.fixture
def visit(browser: Browser, server: LiveServer, screenshots: Path) -> Iterator[Visitor]:
    made = Visitor(browser, server.address, screenshots)
    yield made
    made.close()


def wait_for_jobs(server: LiveServer) -> None:
    """Cancel the jobs that run, and wait for their end."""
    deadline = time.monotonic() + 60
    while running := [job for job in httpx.get(f"{server.api}/jobs").json()["jobs"] if job["state"] == "running"]:
        assert time.monotonic() < deadline
        httpx.delete(f"{server.api}/jobs/{running[0]['id']}")
        time.sleep(0.05)


def index(server: LiveServer, *, prune: str = "keep") -> None:
    """Update all folders, and wait for the end."""
    job = httpx.post(f"{server.api}/jobs/index", json={"prune": prune}).json()["id"]
    while httpx.get(f"{server.api}/jobs/{job}").json()["state"] == "running":
        time.sleep(0.05)


def remove_all(server: LiveServer, folder: str) -> None:
    """Remove the images of a folder from the library."""
    ids = httpx.get(f"{server.api}/images/layout", params={"folder": folder}).json()["ids"]
    httpx.post(f"{server.api}/images/remove", json={"ids": ids})
    assert images_in(server) == COUNT


def within(page: Page, text: str) -> Locator:
    """What the view shows, not what is said to screen readers."""
    return page.locator("main").get_by_text(text)


def menu(page: Page, name: str, *keys: str) -> None:
    """Open a menu by its button, which has the focus, and press keys in it."""
    page.keyboard.press("Enter")
    expect(page.get_by_role("menu", name=name).get_by_role("menuitem").first).to_be_focused()
    for key in keys:
        page.keyboard.press(key)


def images_in(server: LiveServer) -> int:
    return int(httpx.get(f"{server.api}/health").json()["images"])


def cells(page: Page) -> Locator:
    page.wait_for_selector(".tile img.loaded")
    return page.locator(".cell")


def expect_selected(page: Page, count: int) -> None:
    """Wait until so many images are selected."""
    expect(page.locator('.tile-tick[aria-checked="true"]')).to_have_count(count)


# Folders


@PHONE
def test_a_folder_is_updated_with_progress_and_skipped_files(
    more: Path, visit: Visitor, server: LiveServer, phone: bool
) -> None:
    make_folder(more, 40, first=100)
    (more / "broken.jpg").touch()
    (more / "notes.png").write_bytes(b"no image")
    page = visit.open("#/manage", phone=phone)
    row = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="more", exact=True))
    expect(row).to_contain_text("not added yet")
    page.get_by_role("button", name="Add more", exact=True).click()
    job = page.get_by_role("region", name="Updating more")
    expect(job).to_contain_text("40 images added or described again")
    job.get_by_text("2 files could not be used").click()
    expect(job.get_by_role("heading", name="empty file")).to_be_visible()
    expect(job.get_by_text("notes.png", exact=True).first).to_be_visible()  # its name, before its path
    expect(row).to_contain_text("40 images")
    assert images_in(server) == COUNT + 40
    visit.shot(page, f"manage-update-{'phone' if phone else 'desktop'}")
    assert_accessible(page)
    job.get_by_role("button", name="Close").click()
    expect(job).to_be_hidden()
    page.get_by_role("complementary").get_by_text("2 files could not be used").click()  # with the facts, too
    expect(page.get_by_text(str(more / "broken.jpg"))).to_be_visible()


def test_an_update_is_cancelled_with_keys_and_shown_again_after_a_reload(
    more: Path, visit: Visitor, server: LiveServer
) -> None:
    slow = save_picture(more / "slow.png", 1000, width=4000, height=4000)  # the update lasts longer than any reload
    for copy in range(239):
        shutil.copy(slow, slow.with_stem(f"slow-{copy}"))
    page = visit.open("#/manage")
    page.get_by_role("button", name="Update all").focus()
    page.keyboard.press("Enter")
    job = page.get_by_role("region", name="Updating 2 folders")
    expect(job.locator(".job-line")).to_contain_text("of 270 files")
    page.reload()
    expect(job.locator(".job-line")).to_contain_text("of 270 files")
    job.get_by_role("button", name="Cancel").focus()
    page.keyboard.press("Enter")
    expect(job).to_contain_text("Cancelled.")
    expect(job.get_by_role("button", name="Close")).to_be_focused()
    assert COUNT <= images_in(server) < COUNT + 240


def test_images_whose_files_are_gone_are_removed_if_wanted(more: Path, visit: Visitor, server: LiveServer) -> None:
    first, *_ = make_folder(more, 3, first=50)
    index(server)
    first.unlink()
    page = visit.open("#/manage")
    page.get_by_role("button", name="Update more", exact=True).click()
    expect(page.get_by_role("region", name="Updating more")).to_contain_text("the files of 1 image are missing")
    assert images_in(server) == COUNT + 3
    page.get_by_role("switch", name="Remove images whose files are gone").check()
    page.get_by_role("button", name="Update more", exact=True).click()
    expect(within(page, "1 image removed, whose files are gone")).to_be_visible()
    assert images_in(server) == COUNT + 2


# Uploads


@PHONE
@pytest.mark.usefixtures("uploads")
def test_images_are_added_by_choice(visit: Visitor, server: LiveServer, tmp_path: Path, phone: bool) -> None:
    files = [save_picture(tmp_path / f"up/{number}.png", number) for number in (500, 501, 502)]
    (tmp_path / "up/no.jpg").write_bytes(b"no image")
    page = visit.open("#/manage", phone=phone)
    page.get_by_label("Tag them with").fill("new, from phone")
    page.locator("input[type=file]").set_input_files([*map(str, files), str(tmp_path / "up/no.jpg")])
    expect(within(page, "3 images added · 1 could not be used")).to_be_visible()
    expect(page.locator(".adding-refused")).to_contain_text("not an image")
    visit.shot(page, f"manage-added-{'phone' if phone else 'desktop'}")
    assert_accessible(page)
    assert images_in(server) == COUNT + 3
    tags = httpx.get(f"{server.api}/tags").json()["tags"]
    assert (tags["new"], tags["from phone"]) == (3, 3)
    page.get_by_role("button", name="Clear the list").click()
    page.locator("input[type=file]").set_input_files(str(files[0]))
    expect(within(page, "1 was in the library already")).to_be_visible()
    page.get_by_role("button", name="Clear the list").click()
    expect(page.locator(".adding-file")).to_have_count(0)


@pytest.mark.usefixtures("uploads")
def test_images_are_dropped_on_the_view_and_go_on_while_another_is_shown(visit: Visitor, server: LiveServer) -> None:
    page = visit.open("#/manage")
    expect(page.get_by_role("button", name="Choose images")).to_be_visible()
    page.evaluate(
        """async (pictures) => {
          const transfer = new DataTransfer();
          for (const [at, bytes] of pictures.entries()) {
            transfer.items.add(new File([new Uint8Array(bytes)], `dropped ${at}.png`, { type: "image/png" }));
          }
          for (const type of ["dragenter", "dragover", "drop"]) {
            const init = { bubbles: true, cancelable: true, dataTransfer: transfer };
            document.body.dispatchEvent(new DragEvent(type, init));
          }
        }""",
        [list(encoded(number, "PNG")) for number in range(600, 612)],
    )
    expect(page.locator(".adding-file").first).to_contain_text("dropped")
    page.get_by_role("link", name="Search", exact=True).click()
    page.wait_for_selector(".view-search")
    page.get_by_role("link", name="Library", exact=True).click()
    expect(within(page, "12 images added")).to_be_visible()
    assert images_in(server) == COUNT + 12


@pytest.mark.usefixtures("uploads")
def test_what_could_not_be_sent_is_tried_again(visit: Visitor, server: LiveServer, tmp_path: Path) -> None:
    visit.allowed += ["ERR_FAILED", "503"]
    page = visit.open("#/manage")
    asked: list[str] = []

    def answer(route: Route) -> None:
        """Lose the first request, be too busy for the second, and let the third through."""
        asked.append(route.request.url)
        if len(asked) == 1:
            route.abort()
        elif len(asked) == 2:
            route.fulfill(status=503, headers={"Retry-After": "1"}, body="{}")
        else:
            route.continue_()

    page.route("**/api/v1/images?*", answer)
    page.locator("input[type=file]").set_input_files(str(save_picture(tmp_path / "a.png", 700)))
    expect(within(page, "1 could not be sent")).to_be_visible()
    assert images_in(server) == COUNT
    page.get_by_role("button", name="Try again").click()
    expect(within(page, "1 image added")).to_be_visible()
    assert len(asked) == 3
    assert images_in(server) == COUNT + 1


# Selecting


def test_selecting_with_the_mouse(visit: Visitor) -> None:
    page = visit.open("#/manage?part=images&sort=path")
    cell = cells(page)
    before = page.locator(".grid").bounding_box()
    cell.nth(1).hover()
    cell.nth(1).locator(".tile-tick").click()
    expect_selected(page, 1)
    after = page.locator(".grid").bounding_box()
    assert before is not None
    assert after is not None
    assert (before["y"], before["x"]) == (after["y"], after["x"])  # nothing has moved
    cell.nth(4).locator(".tile").click(modifiers=["Shift"])
    expect_selected(page, 4)
    cell.nth(8).locator(".tile").click(modifiers=["ControlOrMeta"])
    expect_selected(page, 5)
    cell.nth(2).locator(".tile").click()  # while some are selected, a click selects
    expect_selected(page, 4)
    expect(within(page, "4 selected")).to_be_visible()
    page.get_by_role("button", name="Select all 30").click()
    expect(within(page, "30 selected")).to_be_visible()
    page.get_by_role("button", name="Select nothing").click()
    expect_selected(page, 0)
    cell.nth(0).locator(".tile").click()  # now it opens the large view
    expect(page.locator("dialog.viewer")).to_be_visible()
    page.get_by_role("button", name="Select", exact=True).click()
    page.keyboard.press("Escape")
    expect_selected(page, 1)


def test_selecting_with_keys_alone(visit: Visitor) -> None:
    page = visit.open("#/manage?part=images&sort=path")
    tile = cells(page).nth(0).locator(".tile")
    tile.focus()
    page.keyboard.press("Space")
    expect_selected(page, 1)
    assert page.locator("dialog[open]").count() == 0  # Space selects and does not open
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect_selected(page, 3)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+Space")
    expect_selected(page, 6)
    expect(page.locator(".tile:focus")).to_have_attribute("aria-label", "00005.jpg, selected")
    page.keyboard.press("Space")
    expect_selected(page, 5)
    page.keyboard.press("ControlOrMeta+a")
    expect(within(page, "30 selected")).to_be_visible()
    page.keyboard.press("Escape")
    expect_selected(page, 0)
    page.keyboard.press("Enter")
    expect(page.locator("dialog.viewer")).to_be_visible()


def test_selecting_with_a_finger(visit: Visitor) -> None:
    page = visit.open("#/manage?part=images&sort=path", phone=True)
    cell = cells(page)
    touch = page.context.new_cdp_session(page)
    box = cell.nth(0).bounding_box()
    assert box is not None
    point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    page.wait_for_timeout(700)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(within(page, "1 selected")).to_be_visible()
    assert page.locator("dialog[open]").count() == 0
    cell.nth(1).locator(".tile").tap()
    cell.nth(2).locator(".tile-tick").tap()
    expect_selected(page, 3)
    cell.nth(1).locator(".tile").tap()
    expect_selected(page, 2)
    bar = page.locator(".selection-bar")
    for name in ("Tags", "Metadata", "Search", "Export", "Remove"):
        button = bar.get_by_role("button", name=name).bounding_box()
        assert button is not None
        assert button["x"] >= 0
        assert button["x"] + button["width"] <= 390
    visit.shot(page, "manage-select-phone")
    assert_accessible(page)
    page.get_by_role("button", name="Select nothing").tap()
    cell.nth(1).locator(".tile").tap()
    expect(page.locator("dialog.viewer")).to_be_visible()


def test_a_swipe_over_an_image_selects_nothing(visit: Visitor) -> None:
    page = visit.open("#/manage?part=images&sort=path", phone=True)
    touch = page.context.new_cdp_session(page)
    box = cells(page).nth(3).bounding_box()
    assert box is not None
    x, y = box["x"] + 20, box["y"] + 30
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in range(1, 9):
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y - 12 * step}]})
        page.wait_for_timeout(90)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(200)
    expect_selected(page, 0)


def test_the_focus_is_never_under_the_bar(more: Path, visit: Visitor, server: LiveServer) -> None:
    make_folder(more, 120, first=2000)
    index(server)
    page = visit.open("#/manage?part=images&sort=path")
    cells(page).nth(0).locator(".tile").focus()
    page.keyboard.press("Space")
    page.keyboard.press("End")
    for _ in range(12):
        page.keyboard.press("ArrowUp")
        top = page.locator(".tile:focus").bounding_box()
        bar = page.locator(".selection-bar").bounding_box()
        assert top is not None
        assert bar is not None
        assert top["y"] >= bar["y"] + bar["height"]


# What is done with the selected images


def choose(page: Page, *places: int) -> None:
    for place in places:
        cells(page).nth(place).hover()
        cells(page).nth(place).locator(".tile-tick").click()


@PHONE
def test_tags_of_several_images(visit: Visitor, server: LiveServer, phone: bool) -> None:
    page = visit.open("#/manage?part=images&sort=path", phone=phone)
    choose(page, 3, 4, 5)
    page.get_by_role("button", name="Tags").click()
    dialog = page.locator("dialog[open]")
    expect(dialog.get_by_role("checkbox", name="holiday")).to_be_checked(indeterminate=True)
    expect(dialog.get_by_text(HOSTILE)).to_be_visible()  # as text
    dialog.get_by_role("checkbox", name="holiday").check()
    dialog.get_by_label("Add a tag", exact=True).fill("summer")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("checkbox", name="summer")).to_be_checked()
    hostile = dialog.get_by_role("checkbox", name=HOSTILE)
    hostile.check()
    hostile.uncheck()
    visit.shot(page, f"manage-tags-{'phone' if phone else 'desktop'}")
    assert_accessible(page)
    dialog.get_by_role("button", name="Apply").click()
    expect(dialog).to_be_hidden()
    page.wait_for_function("() => document.querySelector('#polite').textContent.includes('3 images changed')")
    assert httpx.get(f"{server.api}/tags").json()["tags"] == {"holiday": 6, "summer": 3}
    assert page.title() != "1"
    ids = httpx.get(f"{server.api}/images/layout", params={"sort": "path"}).json()["ids"]
    httpx.post(f"{server.api}/images/tags", json={"ids": ids[5:6], "remove": ["holiday"]})
    httpx.post(f"{server.api}/images/tags", json={"ids": ids[3:4], "add": [HOSTILE]})
    httpx.post(f"{server.api}/tags/remove", json={"tag": "summer"})


def test_metadata_of_several_images(visit: Visitor, server: LiveServer) -> None:
    page = visit.open("#/manage?part=images&sort=path")
    choose(page, 0, 1)
    page.get_by_role("button", name="Metadata").click()
    dialog = page.locator("dialog[open]")
    expect(dialog.get_by_label("price", exact=True)).to_have_attribute("placeholder", "several values")
    dialog.get_by_label("price", exact=True).fill("12.5")
    dialog.get_by_role("button", name="Remove maker").click()
    dialog.get_by_label("Name").fill("not a name")
    dialog.get_by_label("Value").fill("x")
    dialog.get_by_role("button", name="Add this field").click()
    expect(dialog.get_by_role("alert")).to_contain_text("cannot be a name")
    dialog.get_by_label("Name").fill("bought")
    dialog.get_by_label("Value").fill("2024-01-31")
    page.keyboard.press("Enter")
    dialog.get_by_label("Name").fill("code")
    dialog.get_by_label("Value").fill('"007"')
    page.keyboard.press("Enter")
    visit.shot(page, "manage-metadata-desktop")
    assert_accessible(page)
    dialog.get_by_role("button", name="Apply").click()
    expect(dialog).to_be_hidden()
    page.wait_for_function("() => document.querySelector('#polite').textContent.includes('2 images changed')")
    images = httpx.get(f"{server.api}/images", params={"sort": "path", "limit": 3}).json()["images"]
    wanted = {"price": 12.5, "bought": "2024-01-31", "code": "007"}
    assert [image["metadata"] for image in images] == [wanted, wanted, {}]
    ids = [image["id"] for image in images]
    httpx.post(f"{server.api}/images/metadata", json={"ids": ids, "unset": list(wanted)})
    httpx.post(f"{server.api}/images/metadata", json={"ids": ids[:1], "set": {"price": 20, "maker": "Leica"}})


def test_removed_images_are_added_again_by_undo(visit: Visitor, server: LiveServer, photos: Path) -> None:
    before = httpx.get(f"{server.api}/images", params={"sort": "path"}).json()["images"]
    page = visit.open("#/manage?part=images&sort=path")
    choose(page, 0, 1, 2)
    page.get_by_role("button", name="Remove").click()
    expect(page.locator("dialog[open]")).to_contain_text("Their files stay on the disk")
    page.locator("dialog[open]").get_by_role("button", name="Cancel").click()
    assert images_in(server) == COUNT
    page.get_by_role("button", name="Remove").click()
    page.locator("dialog[open]").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("heading", name="27 images")).to_be_visible()
    assert images_in(server) == COUNT - 3
    assert len(list(photos.rglob("*.jpg"))) == COUNT
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", name="30 images")).to_be_visible()
    after = httpx.get(f"{server.api}/images", params={"sort": "path"}).json()["images"]
    assert after == before  # ids, tags, metadata


def test_images_that_were_removed_in_another_window(visit: Visitor, server: LiveServer) -> None:
    visit.allowed.append("Failed to load resource")
    page = visit.open("#/manage?part=images&sort=path")
    gone, stays = (cells(page).nth(place).get_attribute("data-id") for place in (0, 1))
    undo = httpx.post(f"{server.api}/images/remove", json={"ids": [gone]}).json()["undo"]
    cells(page).first.locator(".tile").click()
    expect(page.locator(".picture-missing")).to_have_text("This image is no longer in the library.")
    page.keyboard.press("Escape")
    choose(page, 0, 1)
    page.get_by_role("button", name="Tags").click()
    page.get_by_label("Add a tag").fill("elsewhere")
    page.locator("dialog[open]").get_by_role("button", name="Apply").click()
    expect(page.locator(".toast")).to_contain_text("1 image is no longer in the library and could not be changed.")
    expect(page.get_by_role("heading", name=f"{COUNT - 1} images")).to_be_visible()
    assert httpx.get(f"{server.api}/images/{stays}").json()["tags"] == ["elsewhere", "holiday"]
    httpx.post(f"{server.api}/images/tags", json={"ids": [stays], "remove": ["elsewhere"]})
    httpx.post(f"{server.api}/removals/{undo}/undo")
    deadline = time.monotonic() + 60
    while images_in(server) < COUNT:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # as when one comes back to this window
    expect(page.get_by_role("heading", name=f"{COUNT} images")).to_be_visible()


def test_removed_images_can_be_added_again_from_the_overview(visit: Visitor, server: LiveServer) -> None:
    ids = httpx.get(f"{server.api}/images/layout").json()["ids"][:4]
    httpx.post(f"{server.api}/images/remove", json={"ids": ids})
    page = visit.open("#/manage")
    page.get_by_role("button", name="Undo: add 4 images again").click()
    expect(page.get_by_role("region", name="Adding removed images again")).to_contain_text("4 images added again")
    expect(page.get_by_role("button", name="Undo: add 4 images again")).to_have_count(0)
    assert images_in(server) == COUNT


def test_selected_images_are_exported(visit: Visitor, photos: Path) -> None:
    page = visit.open("#/manage?part=images&sort=path")
    choose(page, 0, 2)
    names = {}
    for item in ("Table (CSV)", "Records (JSON)", "Image files (zip)"):
        page.get_by_role("button", name="Export").click()
        with page.expect_download() as download:
            page.get_by_role("menuitem", name=item).click()
        names[item] = download.value
    assert [each.suggested_filename for each in names.values()] == [
        "kindred-images.csv",
        "kindred-images.json",
        "kindred-images.zip",
    ]
    rows = list(csv.DictReader(io.StringIO(names["Table (CSV)"].path().read_text(), newline="")))
    assert [row["path"] for row in rows] == [str(photos / "a/00000.jpg"), str(photos / "a/00002.jpg")]
    with zipfile.ZipFile(io.BytesIO(names["Image files (zip)"].path().read_bytes())) as archive:
        assert archive.namelist() == ["00000.jpg", "00002.jpg", "images.csv"]


def test_selected_images_are_searched_for_together(visit: Visitor) -> None:
    page = visit.open("#/manage?part=images&sort=path")
    choose(page, 0, 1)
    page.get_by_role("button", name="Search", exact=True).click()
    page.wait_for_selector(".view-search")
    assert page.evaluate("() => new URLSearchParams(location.hash.split('?')[1]).getAll('q').length") == 2


@pytest.mark.usefixtures("uploads")
@pytest.mark.parametrize("fingers", [False, True], ids=["keys", "fingers"])
def test_images_are_added_described_and_removed(
    visit: Visitor, server: LiveServer, tmp_path: Path, fingers: bool
) -> None:
    page = visit.open("#/manage", phone=fingers)
    if fingers:
        page.set_viewport_size({"width": 360, "height": 740})
    page.on("filechooser", lambda _: None)

    def press(target: Locator) -> None:
        if fingers:
            return target.tap()
        tab_to(page, target)
        return page.keyboard.press("Enter")

    with page.expect_file_chooser() as chooser:
        press(page.get_by_role("button", name="Choose images"))
    chooser.value.set_files(save_picture(tmp_path / "a-new-one.png", 820))
    expect(within(page, "1 image added")).to_be_visible()
    press(page.get_by_role("link", name="Images", exact=True))
    page.goto(f"{visit.address}/#/manage?part=images&sort=added")
    new = page.locator(".cell").filter(has=page.get_by_role("button", name="a-new-one.png", exact=True))
    if fingers:
        new.locator(".tile-tick").tap()
    else:
        tab_to(page, new.locator(".tile"))
        page.keyboard.press("Space")
    expect(within(page, "1 selected")).to_be_visible()
    bar, dialog = page.locator(".selection-bar"), page.locator("dialog[open]")
    press(bar.get_by_role("button", name="Metadata"))
    expect(dialog.get_by_label("Name")).to_be_focused()
    page.keyboard.type("maker")
    if fingers:
        dialog.get_by_label("Value").tap()
    else:
        tab_to(page, dialog.get_by_label("Value"))
    page.keyboard.type("Leica M6")
    press(dialog.get_by_role("button", name="Apply"))
    expect(dialog).to_have_count(0)
    found = httpx.get(f"{server.api}/images", params={"where": "maker=Leica M6"}).json()["images"]
    assert [Path(image["path"]).name for image in found] == ["a-new-one.png"]
    press(bar.get_by_role("button", name="Remove"))
    press(dialog.get_by_role("button", name="Remove"))
    expect(page.get_by_role("heading", name=f"{COUNT} images")).to_be_visible()
    assert images_in(server) == COUNT
    press(page.get_by_role("button", name="Undo"))
    expect(page.get_by_role("heading", name=f"{COUNT + 1} images")).to_be_visible()


# Tags of the library


@PHONE
def test_tags_are_renamed_joined_and_removed_with_keys_alone(visit: Visitor, server: LiveServer, phone: bool) -> None:
    page = visit.open("#/manage?part=tags", phone=phone)
    expect(page.get_by_role("link", name="holiday")).to_be_visible()
    expect(page.get_by_text(HOSTILE)).to_be_visible()
    assert_accessible(page)
    visit.shot(page, f"manage-tag-list-{'phone' if phone else 'desktop'}")
    page.get_by_role("button", name="Change holiday").focus()
    menu(page, "Change holiday", "Enter")  # Rename
    dialog = page.locator("dialog[open]")
    expect(dialog.get_by_label("New name")).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("summer")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Change summer")).to_be_focused()
    assert httpx.get(f"{server.api}/tags").json()["tags"]["summer"] == 5
    page.get_by_role("button", name=f"Change {HOSTILE}").focus()
    menu(page, f"Change {HOSTILE}", "Enter")
    expect(dialog.get_by_label("New name")).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("summer")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("There is a tag “summer” already")
    dialog.get_by_role("button", name="Join").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Change summer")).to_be_focused()
    assert httpx.get(f"{server.api}/tags").json()["tags"] == {"summer": 5}
    menu(page, "Change summer", "ArrowDown", "Enter")
    dialog.get_by_role("button", name="Remove").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="No tags yet")).to_be_visible()
    assert images_in(server) == COUNT
    ids = httpx.get(f"{server.api}/images/layout", params={"sort": "path"}).json()["ids"]
    httpx.post(f"{server.api}/images/tags", json={"ids": ids[:5], "add": ["holiday"]})
    httpx.post(f"{server.api}/images/tags", json={"ids": ids[3:4], "add": [HOSTILE]})


def test_a_tag_leads_to_its_images(visit: Visitor) -> None:
    page = visit.open("#/manage?part=tags")
    page.get_by_role("link", name="holiday").click()
    expect(page.get_by_role("heading", name="5 images")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("link", name="holiday")).to_be_visible()


# All parts


@PHONE
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_part_is_accessible_and_fits(visit: Visitor, phone: bool, dark: bool) -> None:
    for part in ("", "?part=images", "?part=tags"):
        page = visit.open(f"#/manage{part}", phone=phone, dark=dark)
        page.wait_for_selector(".part-place > *")
        page.wait_for_timeout(300)
        assert_accessible(page)
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        name = part.removeprefix("?part=") or "overview"
        visit.shot(page, f"manage-{name}-{'phone' if phone else 'desktop'}-{'dark' if dark else 'light'}")
        page.context.close()


@pytest.mark.parametrize("width", [360, 2560])
def test_every_part_fits_the_narrowest_and_the_widest_window(visit: Visitor, width: int) -> None:
    for part in ("", "?part=images", "?part=tags"):
        page = visit.open(f"#/manage{part}")
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(200)
        if part == "?part=images":
            choose(page, 0, 1)
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        visit.shot(page, f"manage-{part.removeprefix('?part=') or 'overview'}-{width}")


def test_a_read_only_server_shows_but_does_not_change(browser: Browser, library: Path, screenshots: Path) -> None:
    with serving(library, ["--read-only"]) as server:
        visit = Visitor(browser, server.address, screenshots)
        page = visit.open("#/manage")
        expect(within(page, "nothing can be changed here")).to_be_visible()
        assert page.get_by_role("button", name="Update").count() == 0
        assert page.get_by_role("button", name="Choose images").count() == 0
        page.goto(f"{server.address}/#/manage?part=images")
        choose(page, 0)
        assert page.get_by_role("button", name="Remove").count() == 0
        expect(page.get_by_role("button", name="Export")).to_be_visible()
        visit.close()


def test_a_job_whose_server_is_stopped_ends_with_a_word(
    browser: Browser, library: Path, screenshots: Path, tmp_path: Path
) -> None:
    make_folder(tmp_path / "new", 1500, first=4000)
    copy = Path(shutil.copytree(library, tmp_path / "library"))
    with serving(copy, ["--folder", str(tmp_path / "new")]) as server:
        visit = Visitor(browser, server.address, screenshots)
        visit.allowed += ["ERR_", "cannot be reached"]
        page = visit.open("#/manage")
        page.get_by_role("button", name="Add new", exact=True).click()
        job = page.get_by_role("region", name="Updating new")
        expect(job.locator(".job-line")).to_contain_text("of 1,500 files")
        server.process.terminate()
        expect(job).to_contain_text("The server was stopped before this was done.")
        visit.close()


def test_an_interrupted_update_is_reported_and_started_again(
    browser: Browser, library: Path, photos: Path, tmp_path: Path, screenshots: Path
) -> None:
    copied = Path(shutil.copytree(library, tmp_path / "library"))
    (copied / "jobs.json").unlink(missing_ok=True)
    with Library.open(copied) as opened, closing(Journal.of(opened)) as journal:
        again = RequestForm("/jobs/index", {"folder": folder_id(photos), "prune": "keep"})
        journal.write([Job(kind, f"Updating {kind}", again=again).form() for kind in ("restore", "index")])
    with serving(copied) as server:
        visits = Visitor(browser, server.address, screenshots)
        page = visits.open("#/manage")
        jobs = page.locator(".job")
        expect(jobs).to_have_count(2)
        expect(jobs.first).to_contain_text(
            "The server was stopped before this was done. What was done by then is saved."
        )
        assert_accessible(page)
        visits.shot(page, "manage-interrupted")
        put_away = page.get_by_role("region", name="Updating restore")
        put_away.get_by_role("button", name="Close").click()
        expect(jobs).to_have_count(1)
        jobs.get_by_role("button", name="Start again").focus()
        page.keyboard.press("Enter")
        expect(jobs).to_contain_text(f"{COUNT} images had not changed")
        page.reload()
        expect(page.get_by_text("This library")).to_be_visible()
        expect(jobs).to_have_count(0)
        visits.close()
