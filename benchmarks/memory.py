"""Measure whether the memory that indexing takes grows with the number of images.

    python benchmarks/memory.py [--few 1000] [--many 20000] [--recipe kin|FILE.toml] [--output FILE.json]

It draws small pictures, then indexes the first few, and all of them, each in a fresh process and into a new library,
and prints the largest resident memory of both. Exit code 1 if the larger run took more than a tenth more.
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
    parser.add_argument("--recipe", default="kin", help="a preset or a .toml file (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    given = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, recipe {given.recipe}", flush=True)
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
