"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from kindred.store import Place, PostgresUrl
from milvus_server import REAL, MilvusProcess, milvus_process
from postgres_server import Server

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The development data beside the checkout; a test that asks for it is skipped where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the development data in ../shared, which only the developers' machines have")
    return SHARED


@pytest.fixture(scope="session")
def one_faiss_thread() -> Iterator[None]:
    """One thread for FAISS: graphs that follow from their rows alone, and no waiting for a second one."""
    import faiss

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(threads)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One PostgreSQL server for all tests of this process, started by the first that needs it."""
    server = Server()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def milvus() -> Iterator[MilvusProcess]:
    """One Milvus server for all tests of this process, started by the first that needs it."""
    server = milvus_process()
    yield server
    server.remove()


@pytest.fixture
def milvus_to_kill(request: pytest.FixtureRequest) -> Iterator[MilvusProcess]:
    """A Milvus server of its own, but for the whole one, of which a namespace has room for only one."""
    shared: MilvusProcess | None = request.getfixturevalue("milvus") if os.environ.get(REAL) else None
    server = shared or MilvusProcess()
    yield server
    if shared is None:
        server.remove()
    elif server.process is None or server.process.poll() is not None:
        server.start()


PlaceFor = Callable[[str], Place]
_NUMBERS = count(1)


@pytest.fixture
def place_for(request: pytest.FixtureRequest, tmp_path: Path) -> PlaceFor:
    """Return where to create a store of a kind of STORES: a folder, or a library of its own in the test database."""
    number = next(_NUMBERS)

    def place(kind: str, name: str = "library") -> Place:
        if kind == "sqlite":
            return tmp_path / name
        server: Server = request.getfixturevalue("postgres")
        return server.url(f"{name}_{number}")

    return place


@pytest.fixture
def url(place_for: PlaceFor) -> PostgresUrl:
    """The address of a library in PostgreSQL that does not exist yet."""
    found = place_for("postgres")
    assert isinstance(found, PostgresUrl)
    return found
