"""Measure what decoding costs in memory, each file in a process of its own.

    python benchmarks/image_memory.py FILE [FILE ...] [--longest 224]

Shows the peak above the process that has decoded nothing yet, and that for each pixel of the picture, in bytes,
without the file itself. `--longest 0` decodes at full size. Linux only, as the peak is read from /proc.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

MEASURE = """
import sys
import numpy as np
from kindred.errors import ImageError
from kindred.images import decode

def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024

decode(np.zeros((8, 8, 3), np.uint8))
before = peak()
try:
    image = decode(sys.argv[1], longest=int(sys.argv[2]) or None)
    print(peak() - before, image.width * image.height, "decoded")
except ImageError as error:
    print(peak() - before, 0, error.reason)
"""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--longest", type=int, default=224, help="0 for the full size (default: %(default)s)")
    options = parser.parse_args(arguments)
    print(f"{'file':32}{'peak MB':>9}{'file MB':>9}{'B/pixel':>9}  outcome")
    for path in options.files:
        command = [sys.executable, "-c", MEASURE, str(path), str(options.longest)]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        peak, pixels, outcome = found.split(maxsplit=2)
        size = path.stat().st_size
        each = f"{(int(peak) - size) / int(pixels):9.1f}" if int(pixels) else f"{'':9}"
        print(f"{path.name[:31]:32}{int(peak) / 1e6:9.0f}{size / 1e6:9.1f}{each}  {outcome.strip()}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
