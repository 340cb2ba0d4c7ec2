"""Measure whether the memory that indexing takes grows with the number of images.

    python benchmarks/memory.py [--few 1000] [--many 20000] [--shapes N] [--pixels N] [--recipe kin|FILE.toml]
                                [--output FILE.json]

It draws small images, then indexes the first few, and all of them, each in a fresh process and into a new library,
and prints the peak resident memory of both. Exit code 1 if the larger run took more than a tenth more.

With `--shapes N` it measures instead whether memory grows with the variety of image shapes: N images of different
shapes and N of one shape are indexed, and N queries of different shapes are searched, each in a fresh process that
reports its current resident memory after each quarter, and its peak. It has no bar.

With `--pixels N` it measures the peak of indexing `--few` images, at most 40, whose longer side has N pixels.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

GROWTH_BAR = 1.1  # larger run to smaller
SHAPES = ((160, 120), (120, 160), (160, 160), (160, 90))

INDEXER = """
import resource, sys
from kindred import Library
photos, library, recipe = sys.argv[1:]
with Library.create(library, recipe=recipe) as made:
    report = made.index(photos)
print(report.indexed, report.seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

SHAPES_RUN = """
import resource, sys
from pathlib import Path
from kindred import Library
from kindred.images import find_images
task, photos, library, recipe = sys.argv[1:]

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6

paths = [found.path for found in find_images(Path(photos))]
quarters, done = [len(paths) * part // 4 for part in (1, 2, 3, 4)], 0
with Library.create(library, recipe=recipe) as made:
    if task == "search":
        made.index([paths[0]])
    points = [resident()]
    for end in quarters:
        if task == "search":
            for path in paths[done:end]:
                made.search(path, k=1)
        else:
            made.add(paths[done:end])
        done = end
        points.append(resident())
    if task != "search" and len(made) != len(paths):
        sys.exit(f"indexed {len(made)} of {len(paths)} images")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, *points)
"""


def draw_shapes(folder: Path, count: int, *, varied: bool) -> None:
    """Write images with sides of 224 to 640 pixels, each of its own shape, or all of one."""
    random = np.random.default_rng(3)
    folder.mkdir(parents=True)
    for number in range(count):
        width, height = random.integers(224, 641, 2) if varied else (480, 360)
        tiles = random.integers(0, 256, (4, 4, 3), np.uint8)
        image = Image.fromarray(tiles).resize((int(width), int(height)), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:06}.jpg", quality=80)


def measure_shapes(count: int, recipe: str) -> dict[str, list[float]]:
    """Return megabytes of each task: the peak, then the resident memory at the start and after each quarter."""
    found = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, varied in (("one shape", False), ("varied shapes", True)):
            draw_shapes(folder / name, count, varied=varied)
        for name, task, photos in (
            ("index, one shape", "index", "one shape"),
            ("index, varied shapes", "index", "varied shapes"),
            ("search, varied shapes", "search", "varied shapes"),
        ):
            command = [sys.executable, "-c", SHAPES_RUN, task, str(folder / photos), str(folder / name), recipe]
            environment = {**os.environ, "KINDRED_HOME": str(folder / "home")}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr)
            found[name] = [float(each) for each in done.stdout.split()]
            peak, *points = found[name]
            print(
                f"{count:,} images, {name}: {peak:.0f} MB peak, then {' '.join(f'{each:.0f}' for each in points)} MB",
                flush=True,
            )
    return found


def draw_photos(folder: Path, first: int, end: int) -> None:
    """Write pictures `first` to `end` − 1, a thousand in each folder."""
    for number in range(first, end):
        width, height = SHAPES[number % len(SHAPES)]
        tiles = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(tiles).resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=80)
        place = folder / f"{number // 1000:03}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:06}.jpg").write_bytes(file.getvalue())


def measure_large(pixels: int, count: int, recipe: str) -> float:
    """Index images with a longer side of so many pixels in a fresh process; return its peak in megabytes."""
    random = np.random.default_rng(5)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "photos").mkdir()
        for number in range(count):
            tiles = Image.fromarray(random.integers(0, 256, (48, 64, 3), np.uint8))
            image = tiles.resize((pixels, pixels * 3 // 4), Image.Resampling.BICUBIC)
            image.save(folder / "photos" / f"{number:03}.jpg", quality=85)
        return peak_megabytes(folder / "photos", folder / "library", recipe, count)


def peak_megabytes(photos: Path, library: Path, recipe: str, count: int) -> float:
    """Index `photos` in a fresh process; return its largest resident memory."""
    command = [sys.executable, "-c", INDEXER, str(photos), str(library), recipe]
    environment = {**os.environ, "KINDRED_HOME": str(library.with_name("home"))}  # nothing is left with the user
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    indexed, seconds, peak = done.stdout.split()
    if int(indexed) != count:
        raise SystemExit(f"indexed {indexed} of {count} images")
    kilo = 1024 if sys.platform != "darwin" else 1  # macOS counts bytes
    megabytes = int(peak) * kilo / 1e6
    print(f"{count:>7,} images: {megabytes:7.1f} MB at most, {count / float(seconds):.0f} images/s", flush=True)
    return megabytes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=1_000, help="images (default: %(default)s)")
    parser.add_argument("--many", type=int, default=20_000, help="images (default: %(default)s)")
    parser.add_argument(
        "--shapes", type=int, nargs="?", const=600, metavar="N", help="measure N shapes instead (default: %(const)s)"
    )
    parser.add_argument("--pixels", type=int, metavar="N", help="measure large images instead, such as of 4000 pixels")
    parser.add_argument("--recipe", default="kin", help="a preset or a .toml file (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    given = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, recipe {given.recipe}", flush=True)
    if given.shapes is not None:
        found = measure_shapes(given.shapes, given.recipe)
        if given.output is not None:
            facts = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "shapes": given.shapes, "megabytes": found}
            given.output.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        return 0
    if given.pixels is not None:
        count = min(given.few, 40)
        peak = measure_large(given.pixels, count, given.recipe)
        if given.output is not None:
            sizes = {"pixels": given.pixels, "images": count, "megabytes": peak}
            given.output.write_text(json.dumps(sizes, indent=2) + "\n", encoding="utf-8")
        return 0
    with tempfile.TemporaryDirectory() as place:
        folder, began = Path(place), time.monotonic()
        draw_photos(folder / "photos", 0, given.few)
        few = peak_megabytes(folder / "photos", folder / "few", given.recipe, given.few)
        draw_photos(folder / "photos", given.few, given.many)
        many = peak_megabytes(folder / "photos", folder / "many", given.recipe, given.many)
    growth = many - few
    print(f"{growth:+.1f} MB, {1000 * growth / max(1, given.many - given.few):+.2f} MB for each thousand images more")
    print(f"took {time.monotonic() - began:.0f} s")
    if given.output is not None:
        facts = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "few": given.few, "many": given.many}
        sizes = {"few_megabytes": few, "many_megabytes": many}
        given.output.write_text(json.dumps(facts | sizes, indent=2) + "\n", encoding="utf-8")
    return 0 if many <= GROWTH_BAR * few else 1


if __name__ == "__main__":
    sys.exit(main())
