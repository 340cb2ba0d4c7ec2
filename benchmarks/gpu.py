"""Measure describing and training on a GPU, and check its vectors: one command of at most five minutes.

    python benchmarks/gpu.py [--device cuda] [--images 512] [--rounds 3] [--json]

Describing: images/s of JPEG files by a `Describer` of `kin`, and of the network alone on batches that lie ready, in
turns; the share is the median over the rounds. Training: the loop beside the bare step, as by `training_step.py`.
Vectors: the smallest cosine of an image's vector on the device and on the CPU, where the latter computes in float32.
Without a CUDA device all is measured on the CPU, which shows that the command works; the bars then say nothing.
Exit code 1 if a bar is missed on CUDA.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from indexing import Batches, conditions, in_batches, infer_alone, prepared, small_files
from kindred.arrays import l2_normalise
from kindred.backbones import load
from kindred.describer import Describer
from kindred.pooling import gem
from kindred.recipe import Recipe
from training_step import measure as measure_training

BARS = {"describing_share": 0.9, "training_share": 0.95, "smallest_cosine": 0.999}
COMPARED = 64  # images whose vectors are compared
LONGEST = 224  # of the images of `indexing.prepared`
TRAINING = {"cuda": ("resnet50", 224, 64, 20), "cpu": ("mobilenet_v2", 96, 8, 2)}  # network, pixels, batch, steps


def describe_files(describer: Describer, files: Sequence[Path]) -> float:
    """Return images/s of files."""
    began = time.perf_counter()
    vectors = describer.describe(list(files))
    assert len(vectors) == len(files)
    return len(files) / (time.perf_counter() - began)


def measure_describing(device: str, files: Sequence[Path], rounds: int) -> dict[str, float]:
    """Return images/s of files and of the network alone, and the median of their ratio."""
    recipe = Recipe(name="benchmark", backbone="kin", size=LONGEST, multiple=16)
    describer, engine = Describer(recipe, device=device), load("kin", device=device)
    batches: Batches = in_batches([prepared(file) for file in files])
    describe_files(describer, files)  # reads every file once, compiles, and warms up the device
    infer_alone(engine, batches)
    pairs = [(describe_files(describer, files), infer_alone(engine, batches)) for _ in range(rounds)]
    return {
        "describing_images_per_second": round(median(whole for whole, _ in pairs), 1),
        "network_images_per_second": round(median(alone for _, alone in pairs), 1),
        "describing_share": round(median(whole / alone for whole, alone in pairs), 4),
    }


def descriptor(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the GeM descriptor of one map (1, C, h, w), of unit length: (C,)."""
    vector: NDArray[np.float32] = l2_normalise(gem(maps))[0]
    return vector


def smallest_cosine(device: str, files: Sequence[Path]) -> float:
    """Return the smallest cosine between an image's vectors by the device and by the CPU in float32."""
    images = [prepared(file) for file in files[:COMPARED]]
    exact, other = load("kin", engine="torch", device="cpu", precision="f32"), load("kin", device=device)
    worst = 1.0
    for image in images:
        one, two = (descriptor(engine.run(image[None])[0]) for engine in (exact, other))
        worst = min(worst, float(one @ two))
    return worst


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    has_cuda = torch.cuda.is_available()
    parser.add_argument("--device", default="cuda" if has_cuda else "cpu", help="(default: %(default)s)")
    parser.add_argument("--images", type=int, default=512 if has_cuda else 32, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3 if has_cuda else 1, help="(default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    is_cuda = options.device.startswith("cuda")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, content in enumerate(islice(small_files(), options.images)):
            files.append(Path(folder) / f"{number:05}.jpg")
            files[-1].write_bytes(content)
        found: dict[str, float | int | str] = dict(measure_describing(options.device, files, options.rounds))
        found["smallest_cosine"] = round(smallest_cosine(options.device, files), 6)
    network, size, batch, steps = TRAINING["cuda" if is_cuda else "cpu"]
    step = measure_training(
        backbone=network, size=size, batch=batch, rounds=options.rounds, steps=steps, device=options.device
    )
    found["training_network"] = f"{network}, {batch} crops of {size} pixels"
    found["training_bare_ms"], found["training_loop_ms"] = step["bare_ms"], step["loop_ms"]
    found["training_share"] = round(1 / (1 + float(step["over_bare"])), 4)
    found["device"] = torch.cuda.get_device_name(options.device) if is_cuda else "cpu (no CUDA was measured)"
    found |= {**conditions(), "torch": torch.__version__, "seconds": round(time.perf_counter() - began)}
    found["date"] = str(date.today())
    missed = [name for name, bar in BARS.items() if float(found[name]) < bar]
    if options.json:
        print(json.dumps(found))
    else:
        for key, value in found.items():
            bar = f"  (bar {BARS[key]:g}: {'MISSED' if key in missed else 'met'})" if key in BARS and is_cuda else ""
            print(f"{key:32}{value}{bar}")
    return 1 if is_cuda and missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
