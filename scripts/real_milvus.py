"""Run the tests of the Milvus index against a real server: python3 scripts/real_milvus.py

The server of the package milvus (2.3.5) gets an environment of its own, as it needs old packages. It listens on all
interfaces whatever is configured, so that it and the tests run in a network namespace that has only loopback; that
needs root, or a system that lets users make namespaces. Takes some ten minutes. Further arguments go to pytest;
`run COMMAND...` runs another command there instead, such as a benchmark.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv-milvus"
PACKAGES = ["milvus==2.3.5", "setuptools<70", "marshmallow<4"]
INSIDE = "--in-namespace"
TESTS = ["tests/index/test_milvus.py", "tests/index/test_milvus_real.py", "tests/index/test_indexes_contract.py"]
GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 1


def main() -> int:
    """Install the server, enter a namespace, and run the tests there."""
    if INSIDE in sys.argv:
        return _inside([word for word in sys.argv[1:] if word != INSIDE])
    python = VENV / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    unshare = shutil.which("unshare")
    if unshare is None:
        print("needs the program unshare (Linux, package util-linux)", file=sys.stderr)
        return 2
    options = ["-n"] if os.getuid() == 0 else ["-rn"]
    command = [unshare, *options, sys.executable, __file__, INSIDE, *sys.argv[1:]]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "KINDRED_MILVUS": str(python)}, check=False).returncode


def _inside(arguments: list[str]) -> int:
    _start_loopback()
    if arguments[:1] == ["run"]:
        return subprocess.run(arguments[1:], cwd=ROOT, check=False).returncode
    names = [word for word in arguments if word.startswith("tests/")] or [*TESTS, "-k", "milvus"]
    options = [word for word in arguments if not word.startswith("tests/")]
    command = [sys.executable, "-m", "pytest", "-m", "", *names, *options]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def _start_loopback() -> None:
    """Do what `ip link set lo up` does, which not every system has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, GET_FLAGS, request))[1]
        fcntl.ioctl(control, SET_FLAGS, struct.pack("16sh14x", b"lo", flags | UP))


if __name__ == "__main__":
    raise SystemExit(main())
