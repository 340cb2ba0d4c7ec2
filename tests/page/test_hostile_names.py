"""Names, tags and metadata that reverse, hide or break text are shown as escapes in all views, titles and labels."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from in_browser import Visitor, chromium_path
from kindred._support.printable import printable
from kindred.library import Library
from live_server import LiveServer, serving
from pictures import save_picture
from tiny_model import home, make_recipe

REVERSED = "photo\u202egnp.exe.png"
NAMES = [
    REVERSED,
    "\u2066iso\u2069late\u200e\u200f\u061c.png",
    "line\nbreak\t\x1b[31m\u2028\x9b.png",
    "caf\udce9\u200b\ufeff\u00ad.png",
    "\u05e9\u05dc\u05d5\u05dd 12 (2).png",
]
FOLDER = "fol\u202ered"
TAG, VALUE, SAVED = "ta\u202eg\u2067", "val\u202eue\u2068", "sav\u202eed"

FOUND = r"""() => {
  const words = ["alt", "aria-label", "aria-valuetext", "label", "placeholder", "title"];
  const control = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
  const found = control.test(document.title) ? ["title"] : [];
  const nodes = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
  for (let node = nodes.nextNode(); node; node = nodes.nextNode()) {
    if (["SCRIPT", "STYLE"].includes((node.parentElement ?? node).tagName)) continue;
    if (node.nodeType === Node.TEXT_NODE) {
      // The source of the page has line ends between its elements.
      if (node.data.trim() && control.test(node.data)) found.push(node.data);
      continue;
    }
    const read = words.map((name) => node.getAttribute(name) ?? "");
    if (node.matches("datalist option")) read.push(node.value); // the browser shows the value itself
    found.push(...read.filter((text) => control.test(text)));
  }
  return found;
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A library of such names, with copies, tags, metadata, a saved search, a map and a file that is no image."""
    chromium_path()
    root = tmp_path_factory.mktemp("hostile")
    folder = root / FOLDER
    for number, name in enumerate(NAMES):
        save_picture(folder / name, number)
        (folder / "copies").mkdir(exist_ok=True)
        shutil.copy(folder / name, folder / "copies" / name)
    (folder / "copies" / f"bad{REVERSED}").write_bytes(b"no image")
    with home(tmp_path_factory.mktemp("home")) as at:
        with Library.create(root / "library", recipe=make_recipe(at)) as library:
            library.index(folder)
            paths = sorted(folder.glob("*.png"))
            library.tag(paths, TAG)
            for path in paths:
                library.set_metadata(path, {"who": VALUE})
        with serving(root / "library") as server:
            for route, body in (("/duplicates", {}), ("/map", {"method": "mds"})):
                job = httpx.post(f"{server.api}{route}", json=body).json()["id"]
                deadline = time.monotonic() + 120
                while (state := httpx.get(f"{server.api}/jobs/{job}").json())["state"] == "running":
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                assert state["state"] == "done", state
            httpx.post(f"{server.api}/saved", json={"name": SAVED, "search": {"address": "q="}}).raise_for_status()
            yield server


@pytest.fixture
def visit(browser: Browser, served: LiveServer, screenshots: Path) -> Iterator[Visitor]:
    made = Visitor(browser, served.address, screenshots)
    made.allowed += ["GPU stall due to ReadPixels", "WebGL"]
    yield made
    made.close()


def images(server: LiveServer) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = httpx.get(f"{server.api}/images?limit=100").json()["images"]
    return listed


def clean(page: Page) -> None:
    """Nothing that is shown, read out or suggested has a control character."""
    page.wait_for_load_state("networkidle")
    assert page.evaluate(FOUND) == []


ANY_NAME = re.compile("|".join(re.escape(printable(name)) for name in NAMES))


def test_searching_shows_no_control_character(visit: Visitor, served: LiveServer) -> None:
    page = visit.open("#/search?sort=path")
    expect(page.get_by_role("button", name=printable(REVERSED)).first).to_be_visible()
    clean(page)
    page.get_by_role("button", name="Filter", exact=True).click()
    page.get_by_role("checkbox", name=printable(TAG)).check()
    clean(page)
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("button", name=f"Remove the filter {printable(TAG)}")).to_be_visible()
    expect(page.locator(".browse .cell")).to_have_count(len(NAMES))  # the filter itself has the tag as it is
    page.get_by_role("button", name="Saved searches").click()
    expect(page.get_by_role("link", name=printable(SAVED))).to_be_visible()
    clean(page)
    uid = next(image["id"] for image in images(served) if image["path"].endswith(f"{FOLDER}/{REVERSED}"))
    page.goto(f"{served.address}/#/search?q=i.{uid}&below=1&scores=1&show={uid}")
    expect(page.locator(".viewer-name")).to_have_text(printable(REVERSED))
    facts = page.locator(".viewer-facts")
    for text in (printable(VALUE), printable(FOLDER), printable(TAG)):
        expect(facts).to_contain_text(text)
    clean(page)
    visit.shot(page, "hostile-viewer")


def test_other_views_show_no_control_character(visit: Visitor) -> None:
    page = visit.open("#/duplicates?kind=same_bytes")
    rows = page.locator(".group-row:not(.group-row-empty)")
    expect(rows).to_have_count(len(NAMES))
    clean(page)
    for at in range(len(NAMES)):
        rows.nth(at).click()
        expect(page.locator(".card-name").first).to_have_text(ANY_NAME)
        clean(page)
    page.goto(f"{visit.address}/#/explore?by=tag")
    expect(page.locator(".legend-entry").first).to_contain_text(printable(TAG))
    expect(page.get_by_role("option", name=printable(REVERSED)).first).to_be_attached()
    clean(page)
    page.goto(f"{visit.address}/#/manage")
    expect(page.get_by_role("link", name=printable(FOLDER))).to_be_visible()
    page.get_by_text("1 file could not be used").click()
    expect(page.get_by_text(printable(f"bad{REVERSED}"), exact=True).first).to_be_visible()
    clean(page)
    page.goto(f"{visit.address}/#/manage?part=tags")
    page.get_by_role("button", name=f"Change {printable(TAG)}").click()
    page.get_by_role("menuitem", name="Remove from all images").click()
    expect(page.get_by_role("heading", name=f"Remove the tag “{printable(TAG)}”?")).to_be_visible()
    clean(page)
