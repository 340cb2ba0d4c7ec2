"""Measure indexing against the loop that the field's toolboxes run, and against what the cores allow.

    python benchmarks/indexing.py [--images 96] [--rounds 5] [--kinds KIND …] [--weights DIR] [--output FILE.json]

JPEG files go in, described with MobileNetV2 and GeM at 224 pixels; 12-megapixel photos first, 500-pixel images
second. In each round, on the same cores and files, one after another:

- the loop: Pillow decodes in full and resizes, PyTorch runs float32 eagerly on all cores, one image at a time (its
  batch norms are folded into the convolutions already, which favours it); on a quarter of the files;
- Kindred: `Library.index` into a new library, with everything that belongs to it;
- decoding alone, on all cores, and inference alone, on ready batches: together they are the bound that no pipeline
  of these two can beat, images / (decode seconds + inference seconds).

Networks are loaded and every file is read once before the clock starts. Printed are the medians over the rounds, of
rates and of ratios within a round, so that a machine that is busy for a while does not decide. Exit code 1 if a bar
is missed. Needs PyTorch (the extra `train`) and mobilenet_v2.onnx; where the development photos are absent, pictures
are made.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kindred._support.cores import usable_cores
from kindred.arrays import l2_normalise
from kindred.backbones import Engine, load
from kindred.images import decode, find_images, resize
from kindred.library import Library
from kindred.pooling import gem
from kindred.recipe import Recipe

Pixels = NDArray[np.uint8]
Batches = list[tuple[int, Pixels]]

SHARED = Path(__file__).resolve().parents[2] / "shared"
LONGEST, MULTIPLE, BATCH = 224, 16, 8
LOOP_SHARE = 4  # the loop gets every fourth file: it is slow, and no image is unlike the others
BOUND_BAR = 0.9
BARS = {"12 megapixels": 7.0, "500 pixels": 4.0}


@dataclass
class Round:
    """Images per second of each side."""

    loop: float
    kindred: float
    decoding: float
    inference: float

    @property
    def bound(self) -> float:
        return 1 / (1 / self.decoding + 1 / self.inference)


@dataclass
class Result:
    """All rounds on one kind of image."""

    kind: str
    megabytes: float
    rounds: list[Round] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return median(one.kindred / one.loop for one in self.rounds)

    @property
    def share(self) -> float:
        return median(one.kindred / one.bound for one in self.rounds)

    @property
    def met(self) -> bool:
        return self.ratio >= BARS[self.kind] and self.share >= BOUND_BAR

    def __str__(self) -> str:
        names = ("loop", "kindred", "decoding", "inference", "bound")
        rates = "  ".join(f"{name} {median(getattr(one, name) for one in self.rounds):.1f}" for name in names)
        ratio, share = f"{self.ratio:.2f} (bar {BARS[self.kind]:g})", f"{self.share:.1%} (bar {BOUND_BAR:.0%})"
        verdict = "ok" if self.met else "MISSED"
        return (
            f"{self.kind}: {self.megabytes:.2f} MB a file\n  images/s: {rates}\n"
            f"  Kindred / loop: {ratio}   Kindred / bound: {share}   {verdict}"
        )


# The files


def prepare_files(kind: str, folder: Path, count: int) -> list[Path]:
    """Put `count` JPEG files of a kind into `folder`, unless an earlier call did; return them."""
    done = sorted(folder.glob("*.jpg"))
    if len(done) == count:
        return done
    folder.mkdir(parents=True, exist_ok=True)
    sources = islice(large_files() if kind == "12 megapixels" else small_files(), count)
    for number, data in enumerate(sources):
        (folder / f"{number:05}.jpg").write_bytes(data)
    return sorted(folder.glob("*.jpg"))


def large_files() -> Iterator[bytes]:
    """The three 12-megapixel photos as the camera compressed them, each time cut and turned a little otherwise."""
    photos = sorted((SHARED / "data/photos/2017-07 forest").glob("*.JPG"))
    images: list[Image.Image] = [Image.open(path) for path in photos] or [made_photo(4032, 3024)]
    for number, image in enumerate(cycle(images)):
        left, top = number // len(images) % 16, number // (16 * len(images)) % 16
        varied = image.crop((left, top, image.width - 16 + left, image.height - 16 + top))
        if number % 2:
            varied = varied.transpose(Image.Transpose.ROTATE_180)
        yield compressed(varied, like=image)


def small_files() -> Iterator[bytes]:
    """Covers of 500 pixels and frames of 480, as they are; after the last, the first again."""
    folders = [SHARED / "data" / name for name in ("smvs-dvd/Reference", "gardens-point")]
    paths = [found.path for folder in folders if folder.is_dir() for found in find_images(folder)]
    if paths:
        yield from (path.read_bytes() for path in cycle(paths[:: max(1, len(paths) // 200)]))
    for number in cycle(range(64)):
        yield compressed(made_photo(500, 375, seed=number))


def made_photo(width: int, height: int, *, seed: int = 0) -> Image.Image:
    """Smooth colours with some noise: about as many bytes a pixel as a photo."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (height // 32, width // 32, 3), np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    noise = random.integers(-12, 13, smooth.shape, np.int16)
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))


def compressed(image: Image.Image, *, like: Image.Image | None = None) -> bytes:
    """Encode as JPEG, with the tables, colour profile and EXIF of another."""
    file = io.BytesIO()
    if like is not None and hasattr(like, "quantization"):
        extra = {name: like.info[name] for name in ("icc_profile", "exif") if name in like.info}
        image.save(file, "JPEG", qtables=like.quantization, subsampling="4:2:0", **extra)
    else:
        image.save(file, "JPEG", quality=85)
    return file.getvalue()


# The sides: each returns images per second


def toolbox_loop(network: Engine, paths: Sequence[Path]) -> float:
    began = time.perf_counter()
    rows = []
    for path in paths:
        with Image.open(path) as image:
            rgb = image.convert("RGB")
        scale = LONGEST / max(rgb.size)
        width, height = (max(1, round(side * scale / MULTIPLE)) * MULTIPLE for side in rgb.size)
        pixels = np.asarray(rgb.resize((width, height), Image.Resampling.BILINEAR))
        rows.append(l2_normalise(gem(network.run(pixels[None])[0])))
    np.concatenate(rows)
    return len(paths) / (time.perf_counter() - began)


def kindred_index(recipe: Recipe, folder: Path, count: int) -> float:
    with tempfile.TemporaryDirectory() as place, Library.create(Path(place) / "library", recipe=recipe) as library:
        # Compiles what a long run needs, as the loop's network is ready too.
        library.describe([np.zeros((LONGEST, LONGEST, 3), np.uint8)] * (BATCH + 1))
        report = library.index(folder)
    if report.indexed != count:
        raise SystemExit(f"indexed {report.indexed} of {count} images: {report.skipped[:3]}")
    return report.indexed / report.seconds


def prepared(path: Path) -> Pixels:
    return resize(decode(path, longest=LONGEST).pixels, longest=LONGEST, multiple=MULTIPLE)


def decode_alone(paths: Sequence[Path]) -> tuple[float, list[Pixels]]:
    began = time.perf_counter()
    with ThreadPoolExecutor(usable_cores()) as threads:
        images = list(threads.map(prepared, paths))
    return len(paths) / (time.perf_counter() - began), images


def infer_alone(engine: Engine, batches: Batches) -> float:
    began = time.perf_counter()
    images = sum(token for token, _ in engine.stream(batches))
    return images / (time.perf_counter() - began)


def in_batches(images: Sequence[Pixels]) -> Batches:
    shapes: dict[tuple[int, ...], list[Pixels]] = {}
    for image in images:
        shapes.setdefault(image.shape, []).append(image)
    groups = [alike[at : at + BATCH] for alike in shapes.values() for at in range(0, len(alike), BATCH)]
    return [(len(group), np.stack(group)) for group in groups]


# The run


def measure(kind: str, model: Path, folder: Path, *, count: int, rounds: int) -> Result:
    paths = prepare_files(kind, folder, count)
    recipe = Recipe(name="benchmark", backbone=str(model), size=LONGEST, multiple=MULTIPLE)
    eager, engine = load(model, engine="torch", device="cpu"), load(model)
    result = Result(kind, sum(path.stat().st_size for path in paths) / 1e6 / len(paths))
    _, images = decode_alone(paths)
    batches = in_batches(images)
    infer_alone(engine, batches[:4])
    toolbox_loop(eager, paths[:2])
    for number in range(rounds):
        loop = toolbox_loop(eager, paths[::LOOP_SHARE])
        decoding, _ = decode_alone(paths)
        result.rounds.append(Round(loop, kindred_index(recipe, folder, count), decoding, infer_alone(engine, batches)))
        print(f"  round {number + 1} of {rounds}: {result.rounds[-1]}", flush=True)
    return result


def conditions() -> dict[str, str | int | float]:
    name = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {
        "cpu": name,
        "cores": usable_cores(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=96, help="files of each kind (default: 96)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument(
        "--kinds", nargs="+", choices=list(BARS), default=list(BARS), help="files to index (default: both)"
    )
    parser.add_argument(
        "--weights", type=Path, default=SHARED / "weights", help="folder of mobilenet_v2.onnx (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    given = parser.parse_args()
    import torch

    torch.set_num_threads(usable_cores())
    print(f"{datetime.now(UTC):%Y-%m-%d} {conditions()}, PyTorch {torch.__version__}", flush=True)
    results = []
    for kind in given.kinds:
        cache = Path(tempfile.gettempdir()) / "kindred-benchmark" / f"{kind.replace(' ', '-')}-{given.images}"
        model = given.weights / "mobilenet_v2.onnx"
        results.append(measure(kind, model, cache, count=given.images, rounds=given.rounds))
        print(results[-1], flush=True)
    if given.output is not None:
        facts = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "conditions": conditions()}
        rows = [asdict(one) | {"ratio": one.ratio, "share": one.share, "met": one.met} for one in results]
        given.output.write_text(json.dumps(facts | {"results": rows}, indent=2) + "\n", encoding="utf-8")
    return 0 if all(one.met for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())
