"""Measure decoding: Pillow in full against Kindred, side by side, picture by picture, in one run.

    python benchmarks/decoding.py [FOLDER ...] [--longest 224 320] [--rounds 10]

Without folders it takes the development photos beside the checkout, and where there are none, made pictures.
Each number is the mean over the pictures of the best of the rounds, in milliseconds of one thread; the sides
take turns within each round, so a busy machine slows them all. Pillow's columns leave out what Kindred's do
besides: EXIF orientation, colour profile (2.7 ms for the Display P3 photos), a check of every byte.
"""

from __future__ import annotations

import argparse
import io
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kindred.images import decode, find_images, resize

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
FOLDERS = ("photos/2017-07 forest", "photos/2012 Château de Sceaux", "smvs-dvd/Reference", "smvs-dvd/E63")
PICTURES_EACH = 12
Pixels = NDArray[np.uint8]
Side = Callable[[bytes, int], Pixels]


def pillow_full(data: bytes, _longest: int) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def pillow_draft(data: bytes, longest: int) -> Pixels:
    """Pillow's own scaled decoding, at the same scale as Kindred's."""
    with Image.open(io.BytesIO(data)) as image:
        by = next((by for by in (8, 4, 2) if -(-max(image.size) // by) >= longest), 1)
        image.draft("RGB", (max(1, image.width // by), max(1, image.height // by)))
        return np.asarray(image.convert("RGB"))


def pillow_full_resized(data: bytes, longest: int) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        scale = min(1.0, longest / max(image.size))
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))


def kindred(data: bytes, longest: int) -> Pixels:
    return decode(data, longest=longest).pixels


def kindred_resized(data: bytes, longest: int) -> Pixels:
    return resize(decode(data, longest=longest).pixels, longest=longest)


SIDES: dict[str, Side] = {
    "Pillow full": pillow_full,
    "Pillow draft": pillow_draft,
    "Kindred": kindred,
    "Pillow full + resize": pillow_full_resized,
    "Kindred + resize": kindred_resized,
}


def measure(pictures: Sequence[bytes], longest: int, rounds: int) -> dict[str, float]:
    """Milliseconds a picture for each side."""
    best = {(side, number): float("inf") for side in SIDES for number in range(len(pictures))}
    for _ in range(rounds):
        for side, run in SIDES.items():
            for number, data in enumerate(pictures):
                start = time.perf_counter()
                run(data, longest)
                best[side, number] = min(best[side, number], time.perf_counter() - start)
    return {side: 1e3 * float(np.mean([best[side, n] for n in range(len(pictures))])) for side in SIDES}


def made_pictures(width: int, height: int) -> list[bytes]:
    """Smooth colours with some noise: about as many bytes a pixel as a photo."""
    random = np.random.default_rng(0)
    small = Image.fromarray(random.integers(0, 256, (height // 32, width // 32, 3), np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    noisy = np.clip(smooth + random.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "JPEG", quality=85)
    return [file.getvalue()]


def sources(folders: Sequence[Path]) -> dict[str, list[bytes]]:
    folders = folders or [DATA / name for name in FOLDERS if (DATA / name).is_dir()]
    if not folders:
        return {"made, 12 megapixels": made_pictures(4032, 3024), "made, 500 pixels": made_pictures(500, 375)}
    found = {}
    for folder in folders:
        paths = [image.path for image in find_images(folder) if image.reason is None]
        step = max(1, len(paths) // PICTURES_EACH)
        found[folder.name] = [path.read_bytes() for path in paths[::step][:PICTURES_EACH]]
    return found


def versions() -> str:
    names = []
    for package in ("pillow", "simplejpeg", "cykooz.resizer"):
        try:
            names.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            names.append(f"no {package}")
    return ", ".join(names)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Pillow's full decode against Kindred's, side by side.")
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--longest", nargs="+", type=int, default=[224, 320])
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args(arguments)
    print(f"{date.today()}  {platform.processor() or platform.machine()}  Python {platform.python_version()}")
    print(f"{versions()}; milliseconds a picture, one thread")
    print(f"{'pictures':26}{'longest':>8}" + "".join(f"{side:>22}" for side in SIDES) + f"{'ratio':>8}")
    for name, pictures in sources(options.folders).items():
        for longest in options.longest:
            times = measure(pictures, longest, options.rounds)
            ratio = times["Pillow full + resize"] / times["Kindred + resize"]
            row = "".join(f"{times[side]:22.2f}" for side in SIDES)
            print(f"{name[:25]:26}{longest:8}{row}{ratio:7.1f}x", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
