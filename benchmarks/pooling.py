"""Measure R-MAC: Kindred's against a literal loop over the regions in PyTorch, side by side in one run.

    python benchmarks/pooling.py [--channels 2048] [--side 32] [--batches 1 8] [--rounds 15] [--json]

The map is what a ResNet gives of an image of 1024 × 1024 pixels: 2048 × 32 × 32, half of it zeros. The loop takes
each region's slice, its maximum, its length, and adds it up. Both sides and Kindred's on tensors take turns within
each round, on one thread, whose processor time counts; the figure is the median of the rounds' ratios. Exit code 1 if
that of Kindred on NumPy arrays is below 10.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from kindred.pooling import rmac
from kindred.regions import rmac_grid

Maps = NDArray[np.float32]
# Time of this thread only, where its clock is fine enough: what else the machine does then counts less.
FINE = time.get_clock_info("thread_time").resolution < 1e-4
CLOCK = time.thread_time if FINE else time.perf_counter
THREADS = 1
BAR = 10.0
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Measured:
    """Milliseconds a call (medians), and how many times as fast as the loop."""

    batch: int
    loop: float
    numpy: float
    tensors: float
    ratio: float
    ratio_tensors: float


def loop_over_regions(maps: torch.Tensor) -> torch.Tensor:
    total = torch.zeros(maps.shape[:2])
    for x0, y0, x1, y1 in rmac_grid(maps.shape[3], maps.shape[2]).tolist():
        largest = maps[:, :, y0:y1, x0:x1].amax(dim=(2, 3))
        total += largest / largest.norm(dim=1, keepdim=True)
    total /= total.norm(dim=1, keepdim=True)
    return total


def measure(maps: Maps, rounds: int) -> Measured:
    tensors = torch.from_numpy(maps)
    sides: dict[str, Callable[[], object]] = {
        "loop": lambda: loop_over_regions(tensors),
        "numpy": lambda: rmac(maps),
        "tensors": lambda: rmac(tensors),
    }
    expected = loop_over_regions(tensors).numpy()
    if max(np.abs(rmac(maps) - expected).max(), np.abs(rmac(tensors).numpy() - expected).max()) > TOLERANCE:
        raise SystemExit("pooling.py: the sides disagree")
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            start = CLOCK()
            run()
            times[name].append(1e3 * (CLOCK() - start))
    ratios = {name: median(loop / own for loop, own in zip(times["loop"], times[name], strict=True)) for name in sides}
    medians = {name: median(each) for name, each in times.items()}
    return Measured(len(maps), **medians, ratio=ratios["numpy"], ratio_tensors=ratios["tensors"])


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=2048, help="(default: %(default)s)")
    parser.add_argument("--side", type=int, default=32, help="cells of a side of the map (default: %(default)s)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8], help="maps in a call (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=15, help="(default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    torch.set_num_threads(THREADS)
    random = np.random.default_rng(0)
    found = []
    for batch in options.batches:
        shape = (batch, options.channels, options.side, options.side)
        found.append(measure(np.maximum(random.standard_normal(shape, np.float32), 0), options.rounds))
    code = 0 if all(one.ratio >= BAR for one in found) else 1
    versions = f"NumPy {np.__version__}, PyTorch {version('torch')}"
    if options.json:
        machine = {"machine": platform.machine(), "versions": versions, "threads": THREADS}
        print(json.dumps({"date": str(date.today()), **machine, "results": [asdict(one) for one in found]}))
        return code
    print(f"{date.today()}  {platform.machine()}  Python {platform.python_version()}  {versions}; {THREADS} thread")
    print(f"R-MAC of {options.channels} × {options.side} × {options.side} maps; milliseconds a call")
    print(f"{'maps':>4}{'loop':>10}{'Kindred':>10}{'on tensors':>12}{'ratio':>8}{'on tensors':>12}")
    for one in found:
        print(
            f"{one.batch:4}{one.loop:10.2f}{one.numpy:10.2f}{one.tensors:12.2f}"
            f"{one.ratio:7.1f}x{one.ratio_tensors:11.1f}x{'' if one.ratio >= BAR else f'  below {BAR:g}x: MISSED'}"
        )
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
