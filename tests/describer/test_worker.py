"""The worker of another process: one stream for all batches, and the same vectors as in this one."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from fitted_files import save_whitening
from kindred.describer import Describer, DescriberOptions, Description, executor_of, fit_whitening
from kindred.describer import worker as workers
from kindred.describer.worker import DescriberParcel, DescriberWorker
from kindred.errors import ModelError, UsageError
from kindred.recipe import Recipe
from pictures import make_folder
from tiny_model import home, make_recipe

T = TypeVar("T")


@pytest.fixture(scope="module", autouse=True)
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recipe]:
    with home(tmp_path_factory.mktemp("home")) as folder:
        yield make_recipe(folder)


def all_of(worker: DescriberWorker, count: int) -> list[Description[int]]:
    found: list[Description[int]] = []
    while len(found) < count:
        found += worker.exchange([])
    return found


def test_a_worker_describes_as_this_process_does(recipe: Recipe, tmp_path: Path) -> None:
    """By a parcel that was sent, and with a bad image among the others."""
    paths = make_folder(tmp_path / "photos", 30)
    paths[4].write_bytes(b"\xff\xd8\xff")
    parcel: DescriberParcel = pickle.loads(pickle.dumps(DescriberParcel.of(recipe, DescriberOptions())))
    worker, own = DescriberWorker(parcel, 1), Describer(recipe)
    assert worker.open() == own.fingerprint
    batch = list(enumerate(paths))
    found = {each.key: each for each in worker.exchange(batch[:20])}
    found |= {each.key: each for each in worker.exchange(batch[20:])}
    found |= {each.key: each for each in all_of(worker, len(paths) - len(found))}
    expected = {each.key: each for each in own.stream(batch)}
    assert sorted(found) == list(range(30))
    for number, each in expected.items():
        theirs: Description[int] = pickle.loads(pickle.dumps(found[number]))
        assert str(theirs.error) == str(each.error)
        assert (each.error is None) == (number != 4)
        if each.vector is not None:
            assert theirs.vector is not None
            np.testing.assert_allclose(theirs.vector, each.vector, atol=1e-3)


class Gathering:
    """Describes images in groups of four, and the others when its stream ends."""

    fingerprint = "none"

    def stream(self, items: Iterable[tuple[T, Path]]) -> Generator[Description[T], None, None]:
        waiting: list[T] = []
        for key, path in items:
            if path.name == "broken":
                raise ModelError("the network is gone")
            waiting.append(key)
            if len(waiting) == 4:
                yield from (Description(key) for key in waiting)
                waiting = []
        yield from (Description(key) for key in waiting)


def test_images_that_wait_for_others_of_their_shape_come_when_no_more_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "IDLE_SECONDS", 0.05)
    worker = DescriberWorker(lambda _: Gathering(), 1)
    worker.open()
    found = worker.exchange([(number, Path("photo")) for number in range(6)])
    found += all_of(worker, 6 - len(found))
    assert sorted(each.key for each in found) == list(range(6))
    with pytest.raises(ModelError, match="the network is gone"):
        worker.exchange([(7, Path("broken"))])


def test_a_parcel_has_the_fitted_files(recipe: Recipe, tmp_path: Path) -> None:
    """So that the worker's machine needs none."""
    file = tmp_path / "whitening.npz"
    images = make_folder(tmp_path / "photos", 20)
    save_whitening(file, fit_whitening(recipe, images, dimension=8), recipe)
    fitted = dataclasses.replace(recipe, whitening=str(file))
    parcel = DescriberParcel.of(fitted, DescriberOptions(workers=7))
    fingerprint = Describer(fitted).fingerprint
    file.unlink()
    assert parcel(1).fingerprint == fingerprint != Describer(recipe).fingerprint


def test_an_unknown_executor_is_refused(recipe: Recipe) -> None:
    describer = Describer(recipe)
    for name in ("spark", "ray://", "ray://host", "ray://a b:1", ""):
        with pytest.raises(UsageError, match="expected local, ray or ray://HOST:PORT"):
            executor_of(name, describer, DescriberOptions())
