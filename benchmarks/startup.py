"""Measure how soon `kindred search` answers: the whole process, on a library of 1,000 images.

    python benchmarks/startup.py [--images 1000] [--runs 11] [--recipe kin|FILE.toml] [--output FILE.json]

It makes a library of drawn pictures, then starts fresh processes in turns: an interpreter that does nothing, one that
does `import kindred`, and `kindred search IMAGE --json`. Printed are the medians; what importing costs is the
difference of the first two. The first search is not counted: it compiles the network for this computer and keeps
that. Then one more process tells where the time of a search goes. Exit code 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

SEARCH_BAR, IMPORT_BAR = 1.0, 0.05  # seconds

PHASES = """
import sys, time
marks = [("interpreter", time.perf_counter())]
def mark(name): marks.append((name, time.perf_counter()))
import kindred; mark("import kindred")
import kindred.library; mark("import the library")
library = kindred.Library.open(sys.argv[1]); mark("open it")
library.describer; mark("load the network")
rows = library.describe([sys.argv[2]]); mark("describe the query")
library.search(rows[0]); mark("search")
library.close(); mark("close")
for (name, end), (_, start) in zip(marks[1:], marks): print(f"{1e3 * (end - start):8.1f} ms  {name}")
"""


def make_photos(folder: Path, count: int) -> list[Path]:
    """Draw `count` pictures of 320 × 240: coloured tiles, blurred."""
    folder.mkdir()
    random = np.random.default_rng(0)
    paths = []
    for number in range(count):
        tiles = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8))
        file = io.BytesIO()
        tiles.resize((320, 240), Image.Resampling.BICUBIC).save(file, "JPEG", quality=85)
        paths.append(folder / f"{number:05}.jpg")
        paths[-1].write_bytes(file.getvalue())
    return paths


def seconds(command: Sequence[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    return taken


def measure(folder: Path, *, count: int, runs: int, recipe: str) -> dict[str, float]:
    """Return the median seconds of each kind of process."""
    environment = {**os.environ, "KINDRED_HOME": str(folder / "home")}  # nothing is left with the user
    library, photos = folder / "library", make_photos(folder / "photos", count)
    kindred = [sys.executable, "-m", "kindred.cli"]
    where = ["--library", str(library)]
    print(f"indexing {count:,} images…", flush=True)
    seconds([*kindred, "index", str(photos[0].parent), *where, "--recipe", recipe, "--json"], environment)
    commands = {
        "nothing": [sys.executable, "-c", "pass"],
        "import": [sys.executable, "-c", "import kindred"],
        "search": [*kindred, "search", str(photos[count // 2]), *where, "--json"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for run in range(runs + 1):
        for name, command in commands.items():
            taken = seconds(command, environment)
            if run:  # the first fills the caches
                times[name].append(taken)
    phases = [sys.executable, "-c", PHASES, str(library), str(photos[count // 2])]
    print(subprocess.run(phases, env=environment, capture_output=True, text=True, check=True).stdout, end="")
    return {name: median(taken) for name, taken in times.items()}


def conditions() -> dict[str, str | int | float]:
    name = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    load = round(os.getloadavg()[0], 1)
    return {"cpu": name, "cores": os.cpu_count() or 1, "python": platform.python_version(), "load": load}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000, help="of the library (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=11, help="of each process (default: %(default)s)")
    parser.add_argument("--recipe", default="kin", help="a preset or a .toml file (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    given = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d} {conditions()}, recipe {given.recipe}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        medians = measure(Path(folder), count=given.images, runs=given.runs, recipe=given.recipe)
    search, importing = medians["search"], medians["import"] - medians["nothing"]
    print(f"interpreter alone  {medians['nothing']:.3f} s")
    print(f"import kindred     {importing:.3f} s beyond that (bar {IMPORT_BAR} s)")
    print(f"kindred search     {search:.3f} s in all (bar {SEARCH_BAR} s), median of {given.runs}")
    if given.output is not None:
        facts = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "conditions": conditions(), "images": given.images}
        given.output.write_text(json.dumps(facts | {"medians": medians}, indent=2) + "\n", encoding="utf-8")
    return 0 if search <= SEARCH_BAR and importing <= IMPORT_BAR else 1


if __name__ == "__main__":
    sys.exit(main())
