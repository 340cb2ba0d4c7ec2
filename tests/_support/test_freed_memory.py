"""Freed memory is returned to the operating system."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from kindred._support.memory import release_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6

blocks = [bytes(100_000) for _ in range(1000)]  # below the size from which each is mapped by itself
last = bytes(50_000)
blocks.clear()
before = resident()
release_freed_memory()
print(before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc returns memory on request")
def test_freed_blocks_below_one_in_use_are_returned() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 50
