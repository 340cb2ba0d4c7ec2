"""Measure the map of a whole library: making it, and drawing it in a browser.

    python benchmarks/atlas.py [--images 100000] [--method tsne] [--frames 60] [--output FILE.json]

Vectors are drawn at random around 200 centres. `make_map` is timed with its parts. Then chromium (package `chromium`)
draws a map of as many points, without a graphics card: by WebGL2 in software and by Canvas 2D, at three distances,
with the camera moved between frames. A frame is timed until its pixels can be read; the processor time of the browser
is given too, since it does not depend on what else the machine does. Sheets of thumbnails are drawn by the page itself.
On a graphics card frames are shorter; this is what the slowest machine does.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page

from in_browser import started_browser
from kindred.atlas.order import levels_of, order_by_level
from kindred.atlas.positions import LANDMARKS, Landmarks, unit_square
from kindred.library import Library
from live_server import serving

DIMENSION, CENTRES = 512, 200
WINDOW = {"width": 1440, "height": 900}
DISTANCES = {"whole map": 1, "8 times nearer": 8, "64 times nearer": 64}

SETUP = """async ({ points, levels, renderer }) => {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const { AtlasMap } = await import("/assets/lib/atlas/map.js");
  const { mapData } = await import("/assets/lib/atlas/data.js");
  const stage = document.createElement("div");
  stage.style.cssText = "position:fixed;inset:0;z-index:99";
  document.body.replaceChildren(stage);
  const xy = new Float32Array(bytes(points).buffer), began = performance.now();
  const aspects = new Float32Array(xy.length / 2).map((_, at) => [1.5, 1, 0.67][at % 3]);
  const data = mapData({ points: xy, levels: bytes(levels), aspects });
  const load = async () => {
    const canvas = new OffscreenCanvas(2048, 2048), context = canvas.getContext("2d");
    for (let cell = 0; cell < 4096; cell += 1) {
      context.fillStyle = `hsl(${(cell * 37) % 360} 60% 50%)`;
      context.fillRect((cell % 64) * 32, Math.floor(cell / 64) * 32, 32, 32);
    }
    return createImageBitmap(canvas);
  };
  const map = new AtlasMap(stage, data, { load, renderer });
  map.resize();
  map.paint((styles) => styles.forEach((_, at) => { if (at % 4 < 3) styles[at] = (at * 97) % 255; }));
  globalThis.measured = { map, xy };
  return { kind: map.kind, ready: performance.now() - began };
}"""

LOOK = """async (nearer) => {
  const { map, xy } = measured;
  const whole = map.whole();
  map.look(nearer === 1 ? whole : { x: xy[0], y: xy[1], scale: whole.scale * nearer });
  for (let turn = 0; turn < 60 && (turn < 4 || map.strips.loading.size > 0); turn += 1) {
    map.draw(performance.now());
    await new Promise((done) => setTimeout(done, 25));
  }
  return { view: map.inView(Infinity).total, thumbnails: map.boxes.count };
}"""

DRAW = """(frames) => {
  const { map } = measured;
  const { gl, context } = map.renderer;
  const pixel = new Uint8Array(4), times = [];
  for (let frame = 0; frame < frames; frame += 1) {
    map.pan(Math.sin(frame / 5) * 12, Math.cos(frame / 5) * 12);
    const start = performance.now();
    map.draw(start);
    if (gl) gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
    else context.getImageData(0, 0, 1, 1);
    times.push(performance.now() - start);
  }
  return times;
}"""


def main() -> int:
    """Make the map, draw it, print and store the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--method", default="tsne")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    print(f"{given.images:,} images, {os.cpu_count()} cores, {platform.machine()}")
    making, points, levels = made(given.images, given.method)
    report("Made", making)
    drawing = drawn(points, levels, given.frames)
    for each in drawing:
        print(f"\n{each['kind']}: ready to draw after {each['ready ms']:.0f} ms")
        for name, facts in each["measured"].items():
            report(f"  {name}", facts)
    if given.output:
        given.output.write_text(json.dumps({"images": given.images, "made": making, "drawn": drawing}, indent=1) + "\n")
    return 0


def made(images: int, method: str) -> tuple[dict[str, float], NDArray[np.float32], NDArray[np.uint8]]:
    """Map random vectors as `make_map` does, without the store; return the seconds of each step, points and levels."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((CENTRES, DIMENSION)).astype(np.float32)
    rows = centres[random.integers(0, CENTRES, images)] + 0.7 * random.standard_normal((images, DIMENSION), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    seconds: dict[str, float] = {}
    began = time.perf_counter()

    def step(name: str) -> None:
        nonlocal began
        now = time.perf_counter()
        seconds[name], began = now - began, now

    landmarks = Landmarks.fit(rows[:LANDMARKS], method)
    step(f"{method} of {min(images, LANDMARKS):,} landmarks, s")
    points = unit_square(np.concatenate([landmarks.points, landmarks.place(rows[LANDMARKS:])]), method)
    step("placing the others, s")
    levels = levels_of(points)
    order = order_by_level(points, levels)
    step("levels and order, s")
    return seconds, points[order], levels[order]


def drawn(points: NDArray[np.float32], levels: NDArray[np.uint8], frames: int) -> list[dict[str, Any]]:
    """Draw the map with both renderers in chromium."""
    given = {"points": encoded(points.astype("<f4")), "levels": encoded(levels)}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "library"
        Library.create(library, recipe="kin-whitened").close()
        with serving(library) as server, started_browser() as browser:
            for renderer in ("webgl2", "canvas2d"):
                page = browser.new_page(viewport=WINDOW)  # type: ignore[arg-type]
                page.goto(server.address)
                page.wait_for_selector("main .view > *", state="attached")
                made = page.evaluate(SETUP, {**given, "renderer": renderer})
                measured = {name: frames_at(page, nearer, frames) for name, nearer in DISTANCES.items()}
                found.append({"kind": made["kind"], "ready ms": made["ready"], "measured": measured})
                page.close()
    return found


def frames_at(page: Page, nearer: float, frames: int) -> dict[str, float]:
    """Draw frames at one distance; return times, and the processor time of all processes of the browser."""
    shown = page.evaluate(LOOK, nearer)
    before = processor_seconds()
    times = np.array(page.evaluate(DRAW, frames))
    spent = processor_seconds() - before
    return {
        "median ms": float(np.median(times)),
        "95 % below ms": float(np.quantile(times, 0.95)),
        "processor ms a frame": 1000 * spent / frames,
        "images in view": shown["view"],
        "thumbnails": shown["thumbnails"],
    }


def processor_seconds() -> float:
    """Return the processor time of all processes that descend from this one, which does not depend on others' load."""
    parents: dict[int, tuple[int, float]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.parent.name)] = int(fields[1]), sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    ours = {os.getpid()}
    while more := {pid for pid, (parent, _) in parents.items() if parent in ours and pid not in ours}:
        ours |= more
    return sum(seconds for pid, (_, seconds) in parents.items() if pid in ours and pid != os.getpid())


def encoded(values: NDArray[Any]) -> str:
    """Return an array as text for the page."""
    return base64.b64encode(values.tobytes()).decode()


def report(name: str, facts: dict[str, float]) -> None:
    """Print figures on one line."""
    print(f"{name}: " + ", ".join(f"{key} {value:,.1f}" for key, value in facts.items()))


if __name__ == "__main__":
    sys.exit(main())
