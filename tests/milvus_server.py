"""A Milvus Lite server for tests, on loopback, started and ended by process id."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from kindred.index.milvus import MilvusUrl
from postgres_server import free_port

__all__ = ["LiteServer"]

START_SECONDS = 60.0


class LiteServer:
    """One server with its own data folder."""

    def __init__(self) -> None:
        for package in ("milvus_lite", "pymilvus"):
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"needs the package {package}")
        self.folder = Path(tempfile.mkdtemp(prefix="kindred-milvus-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        words = ["server", "--data-dir", str(self.folder / "data"), "--host", "127.0.0.1", "--port", str(self.port)]
        # It works on data of a few thousand rows; the threads of the tests need the cores.
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "milvus_lite", *words], stdout=log, stderr=log, env=environment
            )
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((self.folder / "log").read_text(errors="replace")[-2000:]) from None
                time.sleep(0.05)

    def url(self, collection: str, *, port: int | None = None, timeout: int = 10) -> MilvusUrl:
        """The address of a collection."""
        return MilvusUrl("127.0.0.1", collection, port or self.port, timeout=timeout)

    def kill(self) -> None:
        """End the server at once, as kill -9 does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def remove(self) -> None:
        """End the server and delete its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
