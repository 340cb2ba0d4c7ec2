"""Measure how objects that are small in a scene are found: DVD covers in photographs, on either side of a search.

    python benchmarks/small_objects.py [query library several none] [--shares 0.5 0.35 0.25 0.18 0.12] [--covers 100]
                                       [--distractors 900] [--modes whole default regions] [--json]

A scan of smvs-dvd is placed in a photograph of 1,600 × 1,200 pixels, seen askew, turned by up to 15°, with other light,
blurred and compressed; its width, without the pale margins of the scan, is the given share of that of the photograph.

query: the photographs are searched for among the scans and images of the development pool: how often the right cover
is first, and how often it is also probably the same thing.
library: the phone's photos of the covers (E63) are searched for among the photographs and images of the pool.
several: photographs of four covers, each 0.3 as wide: how many of the four are first, and probably the same thing.
none: photographs without a cover: how often it is said that nothing is probably the same thing.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kindred.errors import KindredError
from kindred.images import decode
from kindred.library import Library, Results
from kindred.recipe import Recipe

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
WIDTH, HEIGHT = 1600, 1200
PLACES = ("Lund", "Paris", "2012 Château de Sceaux", "2017-07 forest")
"""Folders of photographs without covers, of `../shared/data/photos`."""
SMALLEST = 600
"""The least longer side of a photograph, in pixels."""
POOL = ("corel5k", "youthinkk", "msrc-v2", "caltech101")
SEVERAL = 0.3
PLAIN = 15
"""Largest standard deviation of the pixels of a column that is part of a margin."""
CELLS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5))
LINE = 0.5
PARTS = ("query", "library", "several", "none")
MODES = {"whole": False, "default": None, "regions": True}

Pixels = NDArray[np.uint8]
Row = dict[str, object]


@dataclass(frozen=True)
class Material:
    """The files that scenes are made of: photographs, scans and the phone's photos of the same covers, and others."""

    photographs: list[Path]
    scans: list[Path]
    photos: list[Path]
    others: list[Path]


def material(data: Path, *, covers: int, distractors: int) -> Material:
    photographs = [
        path
        for place in PLACES
        for path in sorted((data / "photos" / place).rglob("*"))
        if path.suffix.lower() == ".jpg" and max(Image.open(path).size) >= SMALLEST
    ]
    scans = sorted((data / "smvs-dvd" / "Reference").glob("*.jpg"))[:covers]
    pool = [path for name in POOL for path in sorted((data / "training-pool" / name).rglob("*.webp"))]
    others = pool[:: max(1, len(pool) // max(1, distractors))][:distractors]
    return Material(photographs, scans, [data / "smvs-dvd" / "E63" / path.name for path in scans], others)


def background(path: Path, random: np.random.Generator) -> Pixels:
    """Return a part of a photograph, of four fifths of its width and height, in 1,600 × 1,200 pixels."""
    pixels = decode(path, longest=2 * WIDTH).pixels
    height, width = (4 * side // 5 for side in pixels.shape[:2])
    top, left = (int(random.integers(0, side // 5 + 1)) for side in pixels.shape[:2])
    part = pixels[top : top + height, left : left + width]
    return np.asarray(cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def cover(path: Path) -> Pixels:
    """Return a scan without the plain margins at its left and right."""
    pixels = decode(path).pixels
    printed = np.flatnonzero(pixels.std(axis=0).mean(axis=1) > PLAIN)
    return pixels[:, printed[0] : printed[-1] + 1] if printed.size else pixels


def placed(
    scene: Pixels, scan: Pixels, share: float, random: np.random.Generator, cell: tuple[float, float, float] | None
) -> Pixels:
    """Return a scene with a cover in it. cell: left and top of the cell that it lies in, and its size, as shares."""
    wide = share * WIDTH
    high = wide * scan.shape[0] / scan.shape[1]
    high, wide = min(high, 0.9 * HEIGHT), wide * min(1.0, 0.9 * HEIGHT / high)
    left, top, size = (0.0, 0.0, 1.0) if cell is None else cell
    room = np.maximum(0.0, (size * WIDTH - wide, size * HEIGHT - high))
    corner = np.array((left * WIDTH, top * HEIGHT)) + random.random(2) * room
    square = np.array(((0, 0), (wide, 0), (wide, high), (0, high)))
    angle = np.deg2rad(random.uniform(-15, 15))
    turn = np.array(((np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))))
    middle = square.mean(axis=0)
    askew = square + random.uniform(-0.08, 0.08, (4, 2)) * wide
    target = ((askew - middle) @ turn + middle + corner).astype(np.float32)
    reduced = cv2.resize(scan, (max(8, round(wide)), max(8, round(high))), interpolation=cv2.INTER_AREA)
    edges = np.array(((0, 0), (reduced.shape[1], 0), reduced.shape[1::-1], (0, reduced.shape[0])), np.float32)
    change = cv2.getPerspectiveTransform(edges, target)
    light = random.uniform(0.65, 1.1) * random.uniform(0.92, 1.08, 3)
    lit = np.clip(reduced * light, 0, 255).astype(np.uint8)
    over = cv2.warpPerspective(lit, change, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
    opaque = np.full(reduced.shape[:2], 255, np.uint8)
    mask = cv2.warpPerspective(opaque, change, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)[:, :, None] / 255
    return np.asarray(mask * over + (1 - mask) * scene, np.float32).astype(np.uint8)


def finished(scene: Pixels, random: np.random.Generator) -> bytes:
    """Return a scene, a little blurred and noisy, as a JPEG file."""
    blurred = cv2.GaussianBlur(scene, (0, 0), 0.8) + random.normal(0, 3, scene.shape)
    file = io.BytesIO()
    Image.fromarray(np.clip(blurred, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()


def scene_of(given: Material, number: int, share: float) -> bytes:
    """Return the photograph with the cover of this number, or with none for a share of 0."""
    random = np.random.default_rng((number, round(1000 * share)))
    scene = background(given.photographs[number % len(given.photographs)], random)
    if share:
        scene = placed(scene, cover(given.scans[number]), share, random, None)
    return finished(scene, random)


def scene_of_four(given: Material, number: int) -> tuple[bytes, list[str]]:
    """Return a photograph with four covers, one in each quarter, and their names."""
    random = np.random.default_rng((number, 4))
    scene = background(given.photographs[number % len(given.photographs)], random)
    four = [given.scans[(4 * number + each) % len(given.scans)] for each in range(4)]
    for path, (left, top) in zip(four, CELLS, strict=True):
        scene = placed(scene, cover(path), SEVERAL, random, (left, top, 0.5))
    return finished(scene, random), [path.name for path in four]


def in_the_query(library: Library, given: Material, share: float, *, regions: bool | None) -> Row:
    names, found = [path.name for path in given.scans], list[tuple[Results, float]]()
    for number in range(len(given.scans)):
        found.append(searched(library, scene_of(given, number, share), regions=regions))
    return row_of(found, names)


def in_the_library(library: Library, given: Material, share: float, *, regions: bool | None) -> Row:
    names = [f"{path.stem}-{share}.jpg" for path in given.scans]
    return row_of([searched(library, path.read_bytes(), regions=regions) for path in given.photos], names)


def several(library: Library, given: Material, *, regions: bool | None) -> Row:
    first = sure = count = 0
    taken = []
    for number in range(len(given.scans) // 4):
        query, names = scene_of_four(given, number)
        found, seconds = searched(library, query, regions=regions)
        taken.append(seconds)
        first += sum(hit.path.name in names for hit in found.hits[:4])
        sure += sum(hit.path.name in names for hit in found.likely(LINE))
        count += 4
    return {"covers": count, "first four": first / count, "and probable": sure / count, "seconds": median(taken)}


def none_there(library: Library, given: Material, *, regions: bool | None) -> Row:
    count = len(given.scans)
    found = [searched(library, scene_of(given, number, 0), regions=regions) for number in range(count)]
    said = sum(not each.likely(LINE) for each, _ in found) / count
    return {"queries": count, "none said": said, "seconds": median(seconds for _, seconds in found)}


def searched(library: Library, query: bytes, *, regions: bool | None) -> tuple[Results, float]:
    began = time.perf_counter()
    found = library.search(query, k=10, regions=regions)
    return found, time.perf_counter() - began


def row_of(found: Sequence[tuple[Results, float]], names: Sequence[str]) -> Row:
    """Return how often the image of the right name is first, and how often it is above the line as well."""
    right = [bool(each) and each[0].path.name == name for (each, _), name in zip(found, names, strict=True)]
    sure = [one and bool(each.likely(LINE)) for one, (each, _) in zip(right, found, strict=True)]
    wrong = [bool(each.likely(LINE)) and not one for one, (each, _) in zip(right, found, strict=True)]
    return {
        "queries": len(found),
        "first": float(np.mean(right)),
        "and probable": float(np.mean(sure)),
        "wrong and probable": float(np.mean(wrong)),
        "seconds": median(seconds for _, seconds in found),
    }


def measured(given: Material, options: argparse.Namespace) -> Iterator[Row]:
    recipe = Recipe.load(options.recipe)
    parts = options.parts or PARTS
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if {"query", "several", "none"} & {*parts}:
            with Library.create(folder / "scans", recipe=recipe) as library:
                library.add([*given.scans, *given.others])
                asked: list[tuple[float, str, Callable[..., Row]]] = [
                    (share, "query", partial(in_the_query, share=share)) for share in options.shares
                ]
                asked += [(SEVERAL, "several", several), (0.0, "none", none_there)]
                for share, part, measure in asked:
                    for mode in options.modes if part in parts else ():
                        row = measure(library, given, regions=MODES[mode])
                        yield {"part": part, "share": share, "mode": mode, **row}
        for share in options.shares if "library" in parts else ():
            scenes = folder / f"scenes-{share}"
            scenes.mkdir()
            for number, path in enumerate(given.scans):
                (scenes / f"{path.stem}-{share}.jpg").write_bytes(scene_of(given, number, share))
            with Library.create(folder / f"library-{share}", recipe=recipe) as library:
                library.add([*sorted(scenes.iterdir()), *given.others])
                for mode in options.modes:
                    row = in_the_library(library, given, share, regions=MODES[mode])
                    yield {"part": "library", "share": share, "mode": mode, **row}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help="what to measure (default: all)")
    parser.add_argument("--recipe", default="kin", help="a preset or .toml file (default: %(default)s)")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5, 0.35, 0.25, 0.18, 0.12])
    parser.add_argument("--modes", nargs="+", choices=list(MODES), default=list(MODES))
    parser.add_argument("--covers", type=int, default=100, help="at most 100 (default: %(default)s)")
    parser.add_argument("--distractors", type=int, default=900, help="images of the pool (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="(default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each row")
    options = parser.parse_args(arguments)
    given = material(options.data, covers=options.covers, distractors=options.distractors)
    for row in measured(given, options):
        rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}
        print(json.dumps(rounded) if options.json else "  ".join(f"{k} {v}" for k, v in rounded.items()), flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KindredError as error:
        sys.exit(f"small_objects.py: {error}")
