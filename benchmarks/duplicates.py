"""Measure duplicates: which copies of pictures are found, and what is wrongly called the same picture.

    python benchmarks/duplicates.py [--recipes kin fast] [--originals 60] [--strangers 400] [--json FILE]

Originals are drawn from the development sets in ../shared, and each is changed in every way of `CHANGES`. For each
change, the originals, their copies and the strangers (other pictures of the same sets, among them film frames of one
place and groceries of one kind) are searched for the same picture, by pixels alone and with the neighbours by
descriptor of the first recipe as well; links between two different pictures are counted as wrong. For each recipe, the
cosines of copies with their originals are set beside those of strangers with their nearest, and the default threshold
for the alike is tried.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from kindred import Describer, Recipe
from kindred.duplicates.find import CLOSER, THRESHOLD, WHITENED_THRESHOLD
from kindred.duplicates.links import LINK, Links, make_links
from kindred.duplicates.pixels import same_pictures, sketched
from kindred.duplicates.sketches import Sketch
from kindred.images import decode

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
SETS = ("photos", "smvs-dvd/Reference", "gardens-point/day_left", "grocery/test", "grocery/iconic")
Change = Callable[[Image.Image], bytes]


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def webp(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=50)
    return file.getvalue()


def scaled(image: Image.Image, by: float) -> Image.Image:
    size = max(1, round(image.width * by)), max(1, round(image.height * by))
    return image.resize(size, Image.Resampling.LANCZOS)


def thumbnail(image: Image.Image, longest: int) -> Image.Image:
    return scaled(image, longest / max(image.size))


def cut(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    return image.crop((int(width * left), int(height * top), int(width * (1 - right)), int(height * (1 - bottom))))


def graded(image: Image.Image) -> Image.Image:
    levels = np.asarray(image, np.float32) * [1.08, 1.0, 0.88] + [6, 0, -4]
    return Image.fromarray((255 * (levels.clip(0, 255) / 255) ** 0.9).astype(np.uint8))


CHANGES: dict[str, Change] = {
    "JPEG quality 60": lambda image: jpeg(image, 60),
    "JPEG quality 30": lambda image: jpeg(image, 30),
    "WebP quality 50": webp,
    "half the size": lambda image: jpeg(scaled(image, 0.5)),
    "quarter of the size": lambda image: jpeg(scaled(image, 0.25)),
    "128 pixels": lambda image: jpeg(thumbnail(image, 128), 80),
    "64 pixels": lambda image: jpeg(thumbnail(image, 64), 85),
    "each edge cut by 2 %": lambda image: jpeg(cut(image, 0.02, 0.02, 0.02, 0.02)),
    "each edge cut by 5 %": lambda image: jpeg(cut(image, 0.05, 0.05, 0.05, 0.05)),
    "each edge cut by 10 %": lambda image: jpeg(cut(image, 0.1, 0.1, 0.1, 0.1)),
    "left cut by 10 %": lambda image: jpeg(cut(image, 0.1, 0, 0, 0)),
    "bottom cut by 10 %": lambda image: jpeg(cut(image, 0, 0, 0, 0.1)),
    "a fifth brighter": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(1.2)),
    "a fifth darker": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(0.8)),
    "graded": lambda image: jpeg(graded(image)),
    "grey": lambda image: jpeg(image.convert("L")),
    "sharpened": lambda image: jpeg(ImageEnhance.Sharpness(image).enhance(2)),
    "turned by 90°": lambda image: jpeg(image.rotate(-90, expand=True)),
    "turned by 180°": lambda image: jpeg(image.rotate(180, expand=True)),
    "turned by 270°, half": lambda image: jpeg(scaled(image.rotate(90, expand=True), 0.5)),
    "mirrored": lambda image: jpeg(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
}


def chosen(originals: int, strangers: int) -> tuple[list[Path], list[Path]]:
    """Return originals, as many of each set, and strangers of the same sets."""
    generator, first, others = random.Random(0), [], []
    for name in SETS:
        files = [path for path in sorted((DATA / name).rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg")]
        files = [path for path in files if usable(path)] if name == "photos" else files
        generator.shuffle(files)
        first += files[: originals // len(SETS)]
        others += files[originals // len(SETS) :][: strangers // len(SETS)]
    return first, others


def usable(path: Path) -> bool:
    """Whether a file of the mixed folder is a readable picture that is neither turned nor in one of the other sets."""
    return not {"rotated", "downloads", ".thumbnails", "walk", "shelf", "kitchen"} & set(path.parts)


def make_copies(originals: Sequence[Path], folder: Path) -> dict[str, list[Path]]:
    copies: dict[str, list[Path]] = {name: [] for name in CHANGES}
    for number, path in enumerate(originals):
        image = Image.fromarray(decode(path).pixels)
        for place, (name, change) in enumerate(CHANGES.items()):
            copy = folder / f"{number:03}-{place:02}.{'webp' if change is webp else 'jpg'}"
            copy.write_bytes(change(image))
            copies[name].append(copy)
    return copies


class Bench:
    """All pictures, by number: originals, strangers, then the copies of each change."""

    def __init__(self, originals: list[Path], strangers: list[Path], copies: dict[str, list[Path]]) -> None:
        self.originals, self.common = len(originals), len(originals) + len(strangers)
        self.paths = dict(enumerate([*originals, *strangers, *(path for each in copies.values() for path in each)]))
        self.wrong: set[tuple[int, int]] = set()
        began = time.monotonic()
        self.sketches: dict[int, Sketch] = sketched(self.paths, progress=lambda *_: None)
        print(f"{len(self.paths)} pictures looked at, {1e3 * (time.monotonic() - began) / len(self.paths):.1f} ms each")

    def numbers(self, change: int) -> list[int]:
        """Return originals, strangers and the copies of one change."""
        start = self.common + change * self.originals
        return [*range(self.common), *range(start, start + self.originals)]

    def pixels(self, change: int, near: Links) -> tuple[float, int, float]:
        """Return the share of copies found, wrong links, and seconds."""
        numbers, start = self.numbers(change), self.common + change * self.originals
        began = time.monotonic()
        paths = {each: self.paths[each] for each in numbers}
        sketches = {each: self.sketches[each] for each in numbers if each in self.sketches}
        links = list(same_pictures(paths, sketches, [], near=near, progress=lambda *_: None))
        wrong = {(link.one, link.other) for link in links if link.other - start != link.one}
        self.wrong |= {pair for pair in wrong if pair[1] < self.common}
        return 1 - (self.originals - len(links) + len(wrong)) / self.originals, len(wrong), time.monotonic() - began

    def near(self, rows: NDArray[np.float32], change: int, least: float) -> Links:
        """Return the links by descriptor that `find_duplicates` would have compared."""
        numbers = np.array(self.numbers(change))
        scores = np.triu(rows[numbers] @ rows[numbers].T, 1)
        one, other = np.nonzero(scores >= least)
        return make_links(numbers[one], numbers[other], scores[one, other].astype(np.float32))


def described(recipe: Recipe, paths: Sequence[Path]) -> NDArray[np.float32]:
    describer = Describer(recipe)
    return np.concatenate([describer.describe(list(paths[at : at + 64])) for at in range(0, len(paths), 64)])


def threshold_of(recipe: Recipe) -> float:
    return WHITENED_THRESHOLD if recipe.whitening else THRESHOLD


def cosines(bench: Bench, recipe: Recipe, rows: NDArray[np.float32]) -> dict[str, object]:
    """Print how the default threshold does for one recipe: copies alike, and strangers alike."""
    threshold, found = threshold_of(recipe), {}
    common = rows[: bench.common]
    scores = common @ common.T
    np.fill_diagonal(scores, -1)
    nearest = scores.max(axis=1)
    print(f"\n{recipe.name}: threshold {threshold}; strangers' nearest: median {np.median(nearest):.3f}, ", end="")
    print(f"95 % {np.percentile(nearest, 95):.3f}; alike by the threshold: {np.mean(nearest >= threshold):.1%}")
    for change, name in enumerate(CHANGES):
        start = bench.common + change * bench.originals
        own = (rows[start : start + bench.originals] * rows[: bench.originals]).sum(axis=1)
        found[name] = {"alike": float(np.mean(own >= threshold)), "lowest": float(own.min())}
        print(
            f"  {name:24} alike {np.mean(own >= threshold):6.1%}  median {np.median(own):.3f}  lowest {own.min():.3f}"
        )
    return {"threshold": threshold, "strangers alike": float(np.mean(nearest >= threshold)), "changes": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="*", default=["kin"])
    parser.add_argument("--originals", type=int, default=60)
    parser.add_argument("--strangers", type=int, default=400)
    parser.add_argument("--changes", nargs="*", default=list(CHANGES), metavar="NAME", help="only these")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args()
    print(f"{date.today()}, {platform.processor() or platform.machine()}")
    originals, strangers = chosen(options.originals, options.strangers)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(originals, strangers, make_copies(originals, Path(folder)))
        print(f"{len(originals)} originals, {len(strangers)} strangers")
        figures: dict[str, object] = {}
        recipes = [Recipe.load(name) for name in options.recipes]
        vectors = [described(recipe, list(bench.paths.values())) for recipe in recipes]
        print(f"\n{'the same picture':24} {'pixels':>7} {'wrong':>6} {'with vectors':>13} {'wrong':>6} {'s':>6}")
        for change, name in ((list(CHANGES).index(name), name) for name in options.changes):
            alone = bench.pixels(change, np.empty(0, LINK))
            both = alone
            if recipes:
                both = bench.pixels(change, bench.near(vectors[0], change, threshold_of(recipes[0]) - CLOSER))
            figures[name] = {
                "pixels": alone[0],
                "wrong": alone[1],
                "with vectors": both[0],
                "wrong with vectors": both[1],
            }
            print(f"{name:24} {alone[0]:7.1%} {alone[1]:6} {both[0]:13.1%} {both[1]:6} {both[2]:6.1f}", flush=True)
        print("\nPictures of the sets that were called the same (some are: look at them)")
        for pair in sorted(bench.wrong):
            print("  " + "  ".join(str(bench.paths[each].relative_to(DATA)) for each in pair))
        alike = {recipe.name: cosines(bench, recipe, rows) for recipe, rows in zip(recipes, vectors, strict=True)}
    if options.json:
        options.json.write_text(json.dumps({"same_picture": figures, "alike": alike}, indent=2) + "\n")


if __name__ == "__main__":
    main()
