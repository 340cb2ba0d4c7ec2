"""Describing on a Ray cluster of three nodes: the same library as without it, also when nodes and workers are killed.

Needs the extra ray: pytest -m ray
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from kindred._support.retries import LOST
from kindred.describer import Describer, DescriberOptions, Description, executor_of
from kindred.describer.on_ray import RayExecutor
from kindred.describer.worker import MakesDescriber
from kindred.errors import RecipeMismatch, ServerError
from kindred.images import find_images
from kindred.library import Library
from kindred.library.indexing import index_images
from kindred.recipe import Recipe
from kindred.store import Filter, SqliteStore
from pictures import make_folder

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]
ray = pytest.importorskip("ray")

T = TypeVar("T")
NODES, COUNT, KILLS = 3, 300, int(os.environ.get("KINDRED_RAY_KILLS", "10"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of three nodes, each of processes of its own, to which this process is connected."""
    from ray.cluster_utils import Cluster

    paths = [str(Path(__file__).parents[1]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    options = {"num_cpus": 1, "object_store_memory": 100_000_000}
    made = Cluster(initialize_head=True, head_node_args={**options, "include_dashboard": False})
    for _ in range(NODES - 1):
        made.add_node(**options)
    ray.init(made.address, log_to_driver=False, logging_level="ERROR")
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


def content(bad: str = "", *, pause: float = 0.0) -> MakesDescriber:
    """Return what makes describers whose vectors follow from the content; one file ends their process."""

    class Content:
        fingerprint = "content"

        def stream(self, items: Iterable[tuple[T, Path]]) -> Generator[Description[T], None, None]:
            for key, path in items:
                if path.name == bad:
                    os._exit(9)
                time.sleep(pause)
                row = np.frombuffer(path.read_bytes()[-64:], np.uint8).astype(np.float32)[None]
                yield Description(key, row / np.linalg.norm(row), 64, 48)

    return lambda _: Content()


class Stored(dict[str, bytes]):
    """The vectors of a store by name of the file, and the skipped files."""

    def __init__(self, store: SqliteStore) -> None:
        rows = store.images(store.outlines(Filter()).numbers.tolist())
        found = {number: batch.rows[at] for batch in store.parts() for at, number in enumerate(batch.owners.tolist())}
        assert len(found) == store.counts().vectors == len(rows)
        super().__init__({rows[number].path.name: row.tobytes() for number, row in found.items()})
        self.skipped = {skip.path.name: skip.reason for skip in store.skipped()}


def indexed(place: Path, photos: Path, executor: RayExecutor) -> Stored:
    class Recipes:
        recipe = Recipe("content", "kin")

    with SqliteStore.create(place / "store.sqlite", {"recipe": "test"}) as store:
        report = index_images(store, Recipes(), find_images(photos), executor=executor)  # type: ignore[arg-type]
        assert report.indexed + len(report.skipped) == len(list(photos.iterdir()))
        return Stored(store)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(COUNT):
        (folder / f"{number:05}.jpg").write_bytes(random.Random(number).randbytes(3000))
    return folder


@pytest.fixture(scope="module")
def undisturbed(cluster: Any, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    assert cluster is not None
    found = indexed(tmp_path_factory.mktemp("undisturbed"), photos, RayExecutor(content(), cores=1))
    assert (len(found), found.skipped) == (COUNT, {})
    return found


def test_a_file_that_kills_its_worker_is_skipped(undisturbed: Stored, photos: Path, tmp_path: Path) -> None:
    found = indexed(tmp_path, photos, RayExecutor(content("00200.jpg"), cores=1))
    assert found.skipped == {"00200.jpg": LOST}
    assert dict(found) == {name: row for name, row in undisturbed.items() if name != "00200.jpg"}


def test_nodes_killed_at_random_moments_change_nothing(
    cluster: Any, undisturbed: Stored, photos: Path, tmp_path: Path
) -> None:
    """One of the two other nodes at a time, which comes back; the first one holds the run itself."""
    chance, over, found = random.Random(7), threading.Event(), list[Stored]()

    def index() -> None:
        while not over.is_set():
            found.append(indexed(tmp_path / str(len(found)), photos, RayExecutor(content(pause=0.05), cores=1)))

    indexing = threading.Thread(target=index)
    indexing.start()
    for _ in range(KILLS):  # here, since nodes can only be added in the main thread
        time.sleep(chance.uniform(1, 10))
        cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
        assert indexing.is_alive()
        cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
    over.set()
    indexing.join()
    assert found
    for each in found:
        assert each.skipped == {}
        assert dict(each) == dict(undisturbed)


@pytest.mark.usefixtures("cluster")
def test_a_library_is_the_same_as_without_ray(recipe: Recipe, tmp_path: Path) -> None:
    """By the library's own recipe, whose fitted files are sent; with a bad file among the images."""
    folder = tmp_path / "pictures"
    make_folder(folder, 40)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    found = []
    for executor in ("local", "ray"):
        with Library.create(tmp_path / executor, recipe=recipe, options=DescriberOptions(workers=1)) as library:
            report = library.index(folder, executor=executor)
            assert (report.indexed, [path.name for path, _ in report.skipped]) == (40, ["broken.jpg"])
            hits = library.search(folder / "00003.jpg", k=10)
            found.append(([hit.path for hit in hits], [hit.score for hit in hits], report.skipped))
    assert (found[0][0], found[0][2]) == (found[1][0], found[1][2])
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-3)


@pytest.mark.usefixtures("cluster")
def test_a_worker_with_another_network_is_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeMismatch, match="other networks"):
        indexed(tmp_path, photos, RayExecutor(content(), fingerprint="another", cores=1))


def test_a_cluster_that_is_not_there_is_one_clear_error(recipe: Recipe, tmp_path: Path) -> None:
    executor = executor_of("ray://127.0.0.1:1", Describer(recipe), DescriberOptions())
    assert executor is not None
    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(ServerError, match="its cluster cannot be used"):
        next(executor.describe([(1, tmp_path / "photo.jpg")]))
