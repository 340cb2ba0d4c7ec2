"""The real server in a process of its own on a free port of this machine, for tests with a browser or a client."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class LiveServer(NamedTuple):
    """A running server: its address, without a slash at the end, and its process."""

    address: str
    process: subprocess.Popen[str]

    @property
    def api(self) -> str:
        """The address below which the API is."""
        return f"{self.address}/api/v1"


@contextmanager
def serving(library: Path, options: Sequence[str] = ()) -> Iterator[LiveServer]:
    """Run `kindred serve` for a library until the block ends; stopped by its process id."""
    command = [sys.executable, "-m", "kindred.cli", "serve", "--library", str(library), "--port", "0", *options]
    log = library.parent / f"{library.name}.server.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Kindred is at http"), line + log.read_text()
            yield LiveServer(line.removeprefix("Kindred is at ").strip().rstrip("/"), process)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
