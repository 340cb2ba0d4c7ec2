"""Measure the page in chromium on a library of 100,000 images: first paint, images, layout shifts, the last row.

    python benchmarks/paint.py [--images 100000] [--loads 7] [--folder DIR] [--output FILE.json]

The library is that of `benchmarks/serving.py`; the server is `kindred serve` in a process of its own. Each load is a
new window without a cache, first at the desk (1,440 × 900) and then on a phone (360 × 740). Times are milliseconds
since the navigation began, as the browser reports them:

paint    something of the page is seen (first-contentful-paint)
images   every image in the window is decoded; at the first load their thumbnails are not made yet
shift    the sum of layout shifts (PerformanceObserver) from the start until the images are there and the page was
         scrolled by three windows
last     from pressing End on an image until the last one of the library is decoded and in the window

Bars: medians of paint and of images ≤ 1,000 ms, shift < 0.1; the last image is reached.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from playwright.sync_api import Browser, Page

from in_browser import started_browser
from live_server import serving
from serving import concluded, machine, made_library

WINDOWS = {"desk": {"width": 1440, "height": 900}, "phone": {"width": 360, "height": 740}}
VIEWS = ("search", "explore", "duplicates", "manage")
Report = dict[str, Any]

OBSERVE = """
globalThis.shifts = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) globalThis.shifts += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
IMAGES = """() => {
  const seen = [...document.querySelectorAll(".cell img")].filter((image) => {
    const { top, bottom } = image.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  });
  return seen.length > 0 && seen.every((image) => image.complete && image.naturalWidth > 0) && performance.now();
}"""
LAST = """(count) => {
  const image = document.querySelector(`.cell[data-index="${count - 1}"] img`);
  if (!image?.complete || !image.naturalWidth) return false;
  const { top, bottom } = image.getBoundingClientRect();
  return top >= 0 && bottom <= innerHeight && performance.now();
}"""


def main() -> int:
    """Make the library, load the page again and again, and print the figures."""
    options = _options()
    report: Report = {"images": options.images, "machine": machine()}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        library = made_library(Path(name), options.images)
        with serving(library) as server, started_browser() as browser:
            for kind in WINDOWS:
                report[kind] = _figures([_load(browser, server.address, kind) for _ in range(options.loads)])
                report[kind]["last"] = _last(browser, server.address, kind, options.images)
                report[kind]["paint_of_views"] = {each: _paint(browser, server.address, kind, each) for each in VIEWS}
                print(f"{kind}: {json.dumps(report[kind], indent=1)}", flush=True)
    return concluded(report, _missed(report), options.output)


def _opened(browser: Browser, address: str, kind: str) -> Page:
    phone = kind == "phone"
    context = browser.new_context(
        viewport=WINDOWS[kind],  # type: ignore[arg-type]
        has_touch=phone,
        is_mobile=phone,
        device_scale_factor=2 if phone else 1,
    )
    context.add_init_script(OBSERVE)
    page = context.new_page()
    page.goto(address)
    return page


def _load(browser: Browser, address: str, kind: str) -> tuple[float, float, float]:
    """Return the times of the first paint and of the images, and the sum of layout shifts."""
    page = _opened(browser, address, kind)
    images = float(page.wait_for_function(IMAGES, polling="raf", timeout=60_000).json_value())
    paint = float(page.evaluate(PAINT))
    for _ in range(3):
        page.evaluate("() => scrollBy(0, innerHeight)")
        page.wait_for_timeout(250)
    shifts = float(page.evaluate("() => shifts"))
    page.context.close()
    return paint, images, shifts


def _last(browser: Browser, address: str, kind: str, images: int) -> float:
    """Return the milliseconds from the key End until the last image is in the window."""
    page = _opened(browser, address, kind)
    page.wait_for_function(IMAGES, polling="raf", timeout=60_000)
    page.focus(".tile[tabindex='0']")
    began = float(page.evaluate("() => performance.now()"))
    page.keyboard.press("End")
    ended = float(page.wait_for_function(LAST, arg=images, polling="raf", timeout=120_000).json_value())
    page.context.close()
    return round(ended - began)


def _paint(browser: Browser, address: str, kind: str, view: str) -> float:
    page = _opened(browser, f"{address}/#/{view}", kind)
    page.wait_for_selector("main .view > *", state="attached", timeout=60_000)
    paint = float(page.wait_for_function(PAINT, polling="raf").json_value())
    page.context.close()
    return round(paint)


def _figures(loads: list[tuple[float, float, float]]) -> Report:
    paints, images, shifts = zip(*loads, strict=True)
    return {
        "paint_median": round(statistics.median(paints)),
        "paint_first": round(paints[0]),
        "images_median": round(statistics.median(images)),
        "images_first": round(images[0]),
        "shift_most": round(max(shifts), 4),
        "loads": len(loads),
    }


def _missed(report: Report) -> list[str]:
    bars = {"paint_median": 1000, "images_median": 1000, "shift_most": 0.1}
    return [f"{name} ({kind})" for kind in WINDOWS for name, bar in bars.items() if report[kind][name] > bar]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--loads", type=int, default=7, help="of each window (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where the library is made; default: the temporary folder")
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
