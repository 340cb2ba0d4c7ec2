"""Measure small queries: whether a reduced photograph finds its original among other small images.

    python benchmarks/resolution.py [--recipe kin-whitened] [--sizes 64 96 128 200] [--photos 200] [--strangers 2000]

The library holds photographs of the development sets in ../shared, a reduced copy of each, in one of the sizes, and
strangers of 64 pixels. `copies`: a query is a photograph reduced to a size; right is the original, and the copy of it
in the library is left out. `places` and `covers`: a query is another photograph of the same place (`gardens-point`) or
of the same cover (`smvs-dvd`), reduced as well; right is a photograph of it, or a reduced copy of one. Printed is how
often the first result is right, and how often it is in a search by the vector of the query alone, which compares all
images as they are stored.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from kindred import Library

DATA = (Path(__file__).resolve().parents[1].parent / "shared" / "data").resolve()
SETS = ("gardens-point/day_left", "smvs-dvd/Reference", "smvs-dvd/Canon", "photos")
SUFFIXES = (".jpg", ".jpeg", ".webp", ".png")
VIEWS = {
    "places": ("gardens-point/day_right", "gardens-point/day_left", 2),  # frames of the walk that show one place
    "covers": ("smvs-dvd/E63", "smvs-dvd/Reference", 0),
}
Right = Callable[[Path], bool]
"""Whether an original, or a reduced copy of it, is a right result."""


def images_in(folder: str, most: int) -> list[Path]:
    files = sorted(path for path in (DATA / folder).rglob("*") if path.suffix.lower() in SUFFIXES)
    step = max(1, len(files) // most)
    return files[::step][:most]


def reduced(file: Path, longest: int) -> bytes | None:
    """Return a reduced copy as JPEG; None if the image cannot be read or is no larger."""
    try:
        with Image.open(file) as image:
            if max(image.size) < 2 * longest:
                return None
            small = image.convert("RGB")
    except OSError:
        return None
    small.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=85)
    return data.getvalue()


def measure(
    library: Library, queries: Sequence[tuple[bytes, Right, str]], photos: Sequence[Path], thumbnails: Path
) -> dict[str, float]:
    """Return how often the first result is right, by the search and by the vector alone.

    Each query comes with what is right and the file name of its copy in the library, which is left out.
    """
    right, seconds = np.zeros(2), 0.0
    for data, is_right, own in queries:
        began = time.perf_counter()
        results = library.search(data, k=3)
        seconds += time.perf_counter() - began
        by_vector = library.search(library.describe(data)[0], k=3)
        for at, found in enumerate((results, by_vector)):
            first = next(hit.path for hit in found if hit.path.parent != thumbnails or hit.path.name != own)
            right[at] += is_right(photos[int(first.stem)] if first.parent == thumbnails else first)
    found_right, by_vector_alone = (right / max(1, len(queries))).tolist()
    milliseconds = 1e3 * seconds / max(1, len(queries))
    return {"queries": len(queries), "right": found_right, "by vector": by_vector_alone, "ms": milliseconds}


def copies(photos: Sequence[Path], size: int) -> list[tuple[bytes, Right, str]]:
    data = [reduced(photo, size) for photo in photos]
    return [
        (each, partial(Path.__eq__, photo), copy_name(number))
        for number, (each, photo) in enumerate(zip(data, photos, strict=True))
        if each is not None
    ]


def copy_name(number: int) -> str:
    return f"{number:05}.jpg"


def views(kind: str, size: int) -> list[tuple[bytes, Right, str]]:
    """Return reduced photographs of places or covers, of which the library holds another photograph."""
    folder, other, tolerance = VIEWS[kind]
    queries: list[tuple[bytes, Right, str]] = []
    numbered = {path.name: number for number, path in enumerate(images_in(other, 1000))}
    for number, photo in enumerate(images_in(folder, 1000)):
        data = reduced(photo, size)
        near = {DATA / other / name for name, its in numbered.items() if abs(its - number) <= tolerance}
        if data is not None:
            queries.append((data, near.__contains__, ""))
    return queries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="kin-whitened")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 128, 200])
    parser.add_argument("--photos", type=int, default=200, help="photographs of each set")
    parser.add_argument("--strangers", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        thumbnails = Path(folder, "thumbnails").resolve()
        photos = [photo for name in SETS for photo in images_in(name, options.photos)]
        thumbnails.mkdir()
        for number, photo in enumerate(photos):
            if (data := reduced(photo, options.sizes[number % len(options.sizes)])) is not None:
                (thumbnails / copy_name(number)).write_bytes(data)
        with Library.create(Path(folder, "library"), recipe=options.recipe) as library:
            library.index([*photos, thumbnails, *images_in("training-pool/tiny-imagenet-200", options.strangers)])
            print(f"{len(library):,} images, recipe {options.recipe}")
            for size in options.sizes:
                sets = {"copies": copies(photos, size)}
                sets |= {kind: views(kind, size) for kind in ("places", "covers")}
                for kind, queries in sets.items():
                    row = found[f"{kind} {size}"] = measure(library, queries, photos, thumbnails)
                    print(f"{kind} of {size} pixels:", ", ".join(f"{name} {value:.3g}" for name, value in row.items()))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
