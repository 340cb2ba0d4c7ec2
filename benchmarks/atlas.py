"""Measure the map of a whole library: making it, and drawing it in a browser.

    python benchmarks/atlas.py [--images 100000] [--method tsne] [--frames 60] [--output FILE.json]

Vectors are drawn at random around 200 centres. `make_map` is timed with its parts. Then chromium (package `chromium`)
draws a map of as many points, without a graphics card: by WebGL2 in software and by Canvas 2D, at three distances,
with the camera moved between frames. A frame is timed until its pixels can be read. Sheets of thumbnails are drawn by
the page itself. On a graphics card frames are shorter; this is what the slowest machine does.
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

from in_browser import started_browser
from kindred.atlas.order import levels_of, order_by_level
from kindred.atlas.positions import LANDMARKS, Landmarks, unit_square
from kindred.library import Library
from live_server import serving

DIMENSION, CENTRES = 512, 200
WINDOW = {"width": 1440, "height": 900}

DRAW = """async ({ points, levels, frames, canvas2d }) => {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const { AtlasMap } = await import("/assets/lib/atlas/map.js");
  const { mapData } = await import("/assets/lib/atlas/data.js");
  const stage = document.createElement("div");
  stage.style.cssText = "position:fixed;inset:0;z-index:99";
  document.body.append(stage);
  const xy = new Float32Array(bytes(points).buffer), began = performance.now();
  const count = xy.length / 2;
  const aspects = new Float32Array(count).map((_, at) => [1.5, 1, 0.67][at % 3]);
  const data = mapData({ points: xy, levels: bytes(levels), aspects });
  const load = async () => {
    const canvas = new OffscreenCanvas(2048, 2048), context = canvas.getContext("2d");
    for (let cell = 0; cell < 4096; cell += 1) {
      context.fillStyle = `hsl(${(cell * 37) % 360} 60% 50%)`;
      context.fillRect((cell % 64) * 32, Math.floor(cell / 64) * 32, 32, 32);
    }
    return createImageBitmap(canvas);
  };
  const map = new AtlasMap(stage, data, { load, canvas2d });
  map.resize();
  map.paint((styles) => styles.forEach((_, at) => { if (at % 4 < 3) styles[at] = (at * 97) % 255; }));
  map.look(map.whole());
  const ready = performance.now() - began;
  const pixel = new Uint8Array(4);
  const finish = () => {
    const { gl, context } = map.renderer;
    if (gl) gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
    else context.getImageData(0, 0, 1, 1);
  };
  const settle = async () => {
    for (let turn = 0; turn < 40; turn += 1) {
      map.draw(performance.now());
      await new Promise((done) => setTimeout(done, 25));
      if (map.strips.loading.size === 0 && turn > 3) return;
    }
  };
  const measured = {};
  for (const [name, nearer] of [["whole map", 1], ["8 times nearer", 8], ["64 times nearer", 64]]) {
    const whole = map.whole();
    map.look({ x: xy[0], y: xy[1], scale: whole.scale * nearer });
    if (nearer === 1) map.look(whole);
    await settle();
    const times = [];
    for (let frame = 0; frame < frames; frame += 1) {
      map.pan(Math.sin(frame / 5) * 12, Math.cos(frame / 5) * 12);
      const start = performance.now();
      map.draw(start);
      finish();
      times.push(performance.now() - start);
      if (frame % 10 === 9) await new Promise((done) => setTimeout(done, 0));
    }
    times.sort((a, b) => a - b);
    const at = (share) => times[Math.min(times.length - 1, Math.floor(share * times.length))];
    const counts = { "images in view": map.inView(Infinity).total, thumbnails: map.boxes.count };
    measured[name] = { "median ms": at(0.5), "95 % below ms": at(0.95), ...counts };
  }
  const kind = map.kind;
  map.close();
  stage.remove();
  return { kind, "ready ms": ready, measured };
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
    given = {"points": encoded(points.astype("<f4")), "levels": encoded(levels), "frames": frames}
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "library"
        Library.create(library, recipe="kin-whitened").close()
        with serving(library) as server, started_browser() as browser:
            found = []
            for canvas2d in (False, True):
                page = browser.new_page(viewport=WINDOW)  # type: ignore[arg-type]
                page.goto(server.address)
                found.append(page.evaluate(DRAW, {**given, "canvas2d": canvas2d}))
                page.close()
    return found


def encoded(values: NDArray[Any]) -> str:
    """Return an array as text for the page."""
    return base64.b64encode(values.tobytes()).decode()


def report(name: str, facts: dict[str, float]) -> None:
    """Print figures on one line."""
    print(f"{name}: " + ", ".join(f"{key} {value:,.1f}" for key, value in facts.items()))


if __name__ == "__main__":
    sys.exit(main())
