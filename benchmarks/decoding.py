"""Measure decoding: Pillow in full against Kindred, side by side, picture by picture, in one run.

    python benchmarks/decoding.py [FOLDER ...] [--longest 224 320] [--rounds 10] [--scales]

Without folders it takes the development photos beside the checkout, and where there are none, made pictures.
Each number is the mean over the pictures of the best of the rounds, in milliseconds of processor time of one
thread; the sides take turns within each round, so a busy machine slows them all. `--scales` shows instead
what libjpeg-turbo takes for each n/8 of the size. Pillow's columns leave out what Kindred's do besides: EXIF
orientation, colour profile (2.7 ms for the Display P3 photos), a check of every byte.
"""

from __future__ import annotations

import argparse
import io
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import cast

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import Image

from kindred.images import decode, find_images, resize
from kindred.images.jpeg import read_header

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
FOLDERS = ("photos/2017-07 forest", "photos/2012 Château de Sceaux", "smvs-dvd/Reference", "smvs-dvd/E63")
PICTURES_EACH = 12
# Time of this thread only, where its clock is fine enough: what else the machine does then counts less.
FINE = time.get_clock_info("thread_time").resolution < 1e-4
CLOCK = time.thread_time if FINE else time.perf_counter
Pixels = NDArray[np.uint8]
Side = Callable[[bytes, int], Pixels]


def pillow_full(data: bytes, longest: int) -> Pixels:  # noqa: ARG001 - as all sides
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


def libjpeg_scaled(data: bytes, eighths: int) -> Pixels:
    header = read_header(data)
    height, width = -(-header.height * eighths // 8), -(-header.width * eighths // 8)
    return cast(Pixels, simplejpeg.decode_jpeg(data, min_height=height, min_width=width))


SIDES: dict[str, Side] = {
    "Pillow full": pillow_full,
    "Pillow draft": pillow_draft,
    "Kindred": kindred,
    "Pillow full + resize": pillow_full_resized,
    "Kindred + resize": kindred_resized,
}


def measure(pictures: Sequence[bytes], longest: int, rounds: int) -> dict[str, float]:
    """Milliseconds a picture for each side."""
    return best_of(rounds, pictures, {name: (run, longest) for name, run in SIDES.items()})


def measure_scales(pictures: Sequence[bytes], rounds: int) -> dict[str, float]:
    """Milliseconds a picture for libjpeg-turbo alone at 1/8 to 8/8 of the size."""
    return best_of(rounds, pictures, {f"{eighths}/8": (libjpeg_scaled, eighths) for eighths in range(1, 9)})


def best_of(rounds: int, pictures: Sequence[bytes], sides: dict[str, tuple[Side, int]]) -> dict[str, float]:
    best = {(name, number): float("inf") for name in sides for number in range(len(pictures))}
    for _ in range(rounds):
        for name, (run, argument) in sides.items():
            for number, data in enumerate(pictures):
                start = CLOCK()
                run(data, argument)
                best[name, number] = min(best[name, number], CLOCK() - start)
    return {name: 1e3 * float(np.mean([best[name, n] for n in range(len(pictures))])) for name in sides}


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
    return ", ".join(f"{package} {version(package)}" for package in ("pillow", "simplejpeg"))


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="photos (default: those of ../shared)")
    parser.add_argument(
        "--longest", nargs="+", type=int, default=[224, 320], help="sizes to decode for (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=10, help="(default: %(default)s)")
    parser.add_argument("--scales", action="store_true", help="each n/8 of the size instead")
    options = parser.parse_args(arguments)
    print(f"{date.today()}  {platform.processor() or platform.machine()}  Python {platform.python_version()}")
    print(f"{versions()}; milliseconds a picture, one thread")
    if options.scales:
        for name, pictures in sources(options.folders).items():
            times = measure_scales(pictures, options.rounds)
            print(f"{name[:25]:26}" + "  ".join(f"{scale} {value:.2f}" for scale, value in times.items()))
        return
    print(f"{'pictures':26}{'longest':>8}" + "".join(f"{side:>22}" for side in SIDES) + f"{'ratio':>8}")
    for name, pictures in sources(options.folders).items():
        for longest in options.longest:
            times = measure(pictures, longest, options.rounds)
            ratio = times["Pillow full + resize"] / times["Kindred + resize"]
            row = "".join(f"{times[side]:22.2f}" for side in SIDES)
            print(f"{name[:25]:26}{longest:8}{row}{ratio:7.1f}x", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
