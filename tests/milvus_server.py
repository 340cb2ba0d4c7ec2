"""Milvus servers for tests, on loopback, started and ended by process id.

Milvus Lite, which is part of the environment of the tests; or the real server of the package milvus, in an environment
of its own, whose Python `KINDRED_MILVUS` names: see scripts/real_milvus.py.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kindred.index.milvus import MilvusUrl
from postgres_server import free_port

__all__ = ["REAL", "MilvusProcess", "given_or_started", "milvus_process"]

REAL = "KINDRED_MILVUS"
PREPARE = """
import sys, milvus
server = milvus.MilvusServer()
server.set_base_dir(sys.argv[1])
server.config.configs["proxy_port"] = int(sys.argv[2])
server.config.resolve()
milvus._initialize_data_files(sys.argv[1])
"""


class MilvusProcess:
    """One server of Milvus Lite, with its own data folder.

    settling: seconds until every search shows a change. start_seconds: that it may take to start.
    """

    settling = 0.0
    start_seconds = 120.0
    real = False

    def __init__(self) -> None:
        for package in ("milvus_lite", "pymilvus"):
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"needs the package {package}")
        self.folder = Path(tempfile.mkdtemp(prefix="kindred-milvus-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.remove()
            raise

    def prepare(self) -> None:
        """Do what is done once, before the first start."""

    @property
    def command(self) -> list[str]:
        """The command that starts the server."""
        words = ["server", "--data-dir", str(self.folder / "data"), "--host", "127.0.0.1", "--port", str(self.port)]
        return [sys.executable, "-m", "milvus_lite", *words]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the server: one thread, as the tests need the cores."""
        return {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, stdout=log, stderr=log, env=self.environment)
        end = time.monotonic() + self.start_seconds
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((self.folder / "log").read_text(errors="replace")[-2000:]) from None
                time.sleep(0.05)

    def url(self, collection: str, *, port: int | None = None, timeout: int | None = None) -> MilvusUrl:
        """The address of a collection."""
        return MilvusUrl("127.0.0.1", collection, port or self.port, timeout=timeout or (60 if self.real else 10))

    def kill(self) -> None:
        """End the server at once, as kill -9 does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def remove(self) -> None:
        """End the server and delete its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class _RealProcess(MilvusProcess):
    """One standalone server of the package milvus."""

    settling = 6.0
    start_seconds = 300.0
    real = True

    def prepare(self) -> None:
        self.metrics_port = free_port()
        command = [os.environ[REAL], "-c", PREPARE, str(self.folder), str(self.port)]
        subprocess.run(command, check=True, cwd=self.folder)

    @property
    def command(self) -> list[str]:
        return [str(self.folder / "bin" / "milvus"), "run", "standalone"]

    @property
    def environment(self) -> dict[str, str]:
        programs = str(self.folder / "bin")
        return {
            **os.environ,
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self.metrics_port),
            "MILVUS_RUN_DIR": str(self.folder / "run"),
            "LD_LIBRARY_PATH": os.pathsep.join(filter(None, [programs, os.environ.get("LD_LIBRARY_PATH")])),
        }


def milvus_process() -> MilvusProcess:
    """Start the kind of server that the environment asks for."""
    return _RealProcess() if os.environ.get(REAL) else MilvusProcess()


@contextmanager
def given_or_started(address: str | None, collection: str, *, timeout: int | None = None) -> Iterator[MilvusUrl]:
    """Yield an address that was given, or `collection` on a server of its own, which ends with the block."""
    if address is not None:
        yield MilvusUrl.parse(address)
        return
    server = milvus_process()
    try:
        yield server.url(collection, timeout=timeout)
    finally:
        server.remove()
