"""What is safe: threads, forks before and after the first use, spawned processes, asyncio, gunicorn."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from forked import PATIENCE, in_fork, succeeds
from kindred.describer import Describer
from kindred.errors import UsageError
from kindred.library import Library
from kindred.library.index_report import IndexProgress
from kindred.recipe import Recipe
from pictures import save_picture

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

SERVICE = """
from kindred import Library

library = Library.open({path!r})
if {used}:
    library.search({query!r}, k=1)

def application(environ, start_response):
    results = library.search({query!r}, k=1)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [results.hits[0].path.name.encode()]
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    return [save_picture(folder / f"{at}.png", at, width=64, height=48) for at in range(12)]


@pytest.fixture(scope="module")
def stored(recipe: Recipe, pictures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("stored") / "library"
    with Library.create(place, recipe=recipe) as made:
        made.index(pictures[0].parent)
    return place


@pytest.fixture
def library(stored: Path) -> Iterator[Library]:
    with Library.open(stored) as opened:
        yield opened


def finds_each(library: Library, pictures: list[Path]) -> bool:
    return all(library.search(picture, k=1).hits[0].path == picture for picture in pictures[:4])


def in_other_process(library: Library, picture: Path) -> str:
    return library.search(picture, k=1).hits[0].path.name


def test_32_first_searches_at_once_load_the_network_once(
    library: Library, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    class Counted(Describer):
        def __init__(self, recipe: Recipe, **_: object) -> None:
            made.append(recipe.name)
            time.sleep(0.2)  # so that all the others come meanwhile
            super().__init__(recipe)

    monkeypatch.setattr("kindred.describer.describer.Describer", Counted)
    with ThreadPoolExecutor(32) as threads:
        found = list(threads.map(lambda at: library.search(pictures[at % 12], k=1).hits[0].path, range(32)))
    assert found == [pictures[at % 12] for at in range(32)]
    assert len(made) == 1


@needs_fork
def test_a_child_forked_before_the_first_use_searches(library: Library, pictures: list[Path]) -> None:
    assert in_fork(lambda: finds_each(library, pictures))
    assert finds_each(library, pictures)


@needs_fork
def test_a_child_forked_after_a_search_searches(library: Library, pictures: list[Path]) -> None:
    assert finds_each(library, pictures)
    list(library.describe(list(pictures)))  # a long stream has threads and a network of its own
    assert in_fork(lambda: finds_each(library, pictures) and len(library.describe(list(pictures))) == len(pictures))
    assert in_fork(lambda: in_fork(lambda: finds_each(library, pictures)))  # a child's child
    assert finds_each(library, pictures)


@needs_fork
def test_a_child_forked_during_an_indexing_run_leaves_the_run_to_its_parent(
    recipe: Recipe, pictures: list[Path], tmp_path: Path
) -> None:
    children: list[int] = []

    def fork_once(progress: IndexProgress, _: int) -> None:
        if progress.seen >= 3 and not children:
            children.append(os.fork())

    with Library.create(tmp_path / "library", recipe=recipe) as library:
        error: BaseException | None = None
        try:
            report = library.index(pictures[0].parent, progress=fork_once)
        except BaseException as raised:
            error = raised
        if children == [0]:
            os._exit(not (isinstance(error, UsageError) and "belongs to the process that was forked" in str(error)))
        assert succeeds(children[0])
        assert (report.indexed, len(library)) == (len(pictures), len(pictures))


@needs_fork
def test_a_lock_that_another_thread_held_at_the_fork_is_free_in_the_child(
    library: Library, pictures: list[Path]
) -> None:
    with ThreadPoolExecutor(1) as thread, library._lock:
        assert thread.submit(in_fork, lambda: finds_each(library, pictures)).result()


@needs_fork
def test_thread_pools_of_faiss_are_not_waited_for_in_a_forked_child() -> None:
    import faiss
    import numpy as np

    vectors = np.random.default_rng(0).normal(size=(4000, 32)).astype(np.float32)
    index = faiss.IndexFlatIP(32)
    index.add(vectors)
    index.search(vectors[:200], 5)
    assert in_fork(lambda: index.search(vectors[:200], 5)[1].shape == (200, 5))


@needs_fork
@pytest.mark.parametrize("name", ["faiss", "cv2"])
def test_a_fork_while_another_thread_imports_a_module_reports_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, name, ModuleType(name))  # as it is at the start of its import
    assert in_fork(lambda: True)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_a_library_can_be_pickled_to_another_process(library: Library, pictures: list[Path], start: str) -> None:
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {start} here")
    assert finds_each(library, pictures)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(start)) as pool:
        work = [pool.submit(in_other_process, library, picture) for picture in pictures[:3]]
        assert [each.result(timeout=PATIENCE) for each in work] == [picture.name for picture in pictures[:3]]


def test_a_library_is_pickled_by_its_path_and_a_describer_cannot_be_pickled(
    library: Library, pictures: list[Path]
) -> None:
    with pickle.loads(pickle.dumps(library)) as opened:
        assert opened.path == library.path
        assert finds_each(opened, pictures)
    with pytest.raises(UsageError, match="holds a network and cannot be sent to another process; send the recipe"):
        pickle.dumps(library.describer)


def test_searches_run_beside_an_event_loop(library: Library, pictures: list[Path]) -> None:
    async def search_all() -> list[str]:
        found = await asyncio.gather(*(asyncio.to_thread(library.search, picture, k=1) for picture in pictures))
        return [results.hits[0].path.name for results in found]

    assert asyncio.run(search_all()) == [picture.name for picture in pictures]


@pytest.mark.parametrize(("preload", "used"), [(False, False), (True, False), (True, True)])
@needs_fork
def test_gunicorn_serves_with_and_without_preload(
    stored: Path, pictures: list[Path], tmp_path: Path, preload: bool, used: bool
) -> None:
    pytest.importorskip("gunicorn")
    (tmp_path / "service.py").write_text(SERVICE.format(path=str(stored), query=str(pictures[5]), used=used))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}", "service:application"]
    command += ["--timeout", str(PATIENCE), *(["--preload"] if preload else [])]
    server = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, start_new_session=True)
    try:
        answers = [_fetched(f"http://127.0.0.1:{port}/") for _ in range(6)]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        errors = server.communicate()[1].decode()
    assert answers == [pictures[5].name] * 6, errors


def _fetched(address: str) -> str:
    """Return what the service answers, once it listens."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
