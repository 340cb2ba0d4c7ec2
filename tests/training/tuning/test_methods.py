"""METHODS: each of them trains, and those that need no labels never look at one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from class_folders import NAMES, make_classes, member
from kindred.errors import TrainingError, UsageError
from kindred.training.aggregation import build_aggregation
from kindred.training.image_cache import ImageCache
from kindred.training.loop import Schedule, fit
from kindred.training.losses import LOSSES
from kindred.training.mining import ClassBalanced, HardNegatives, ListedPairs, Plan, Shuffled
from kindred.training.tuning.embedder import Embedder
from kindred.training.tuning.methods import METHODS, Batching, find_method, resolve_loss
from kindred.training.tuning.objective import build_objective
from kindred.training.tuning.options import TrainingOptions
from kindred.training.tuning.task import TuningTask
from kindred.training.tuning.train import train
from tiny_backbone import TinyBackbone
from tiny_model import home, make_model
from tiny_task import HERE

LABELS = np.repeat(np.arange(4), 6)
BATCHING = Batching(batch=8, images_per_class=2, negatives=2)
UNLABELLED = [name for name, method in METHODS.items() if not method.labelled]


class Secret:
    """Labels that nobody may look at; only how many there are is told."""

    def __len__(self) -> int:
        return len(LABELS)

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"labels.{name} was looked at")

    __getitem__ = __array__ = __iter__ = __ge__ = __eq__ = None  # type: ignore[assignment]


def _vectors() -> NDArray[np.float32]:
    rng = np.random.default_rng(2)
    rows = np.repeat(rng.normal(size=(4, 6)), 6, axis=0) + 0.8 * rng.normal(size=(24, 6))
    found: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


@pytest.fixture
def pictures() -> ImageCache:
    return ImageCache.from_arrays([member(of, number) for number, of in enumerate(LABELS.tolist())])


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains(name: str, pictures: ImageCache, tmp_path: Path) -> None:
    method = METHODS[name]
    torch.manual_seed(0)
    embedder = Embedder(TinyBackbone(), build_aggregation("gem", 10))
    before = {key: value.clone() for key, value in embedder.state_dict().items()}
    objective = build_objective(method.loss, classes=4, dimension=10, memory=0, options={})
    task = TuningTask(embedder, objective, method.planner(LABELS, BATCHING), pictures, size=32, processes=HERE)
    losses: list[float] = []
    outcome = fit(
        task, Schedule(epochs=1), tmp_path, processes=HERE, progress=lambda here: losses.extend(here.losses.values())
    )
    assert outcome.updates == len(losses) >= 2
    assert np.isfinite(losses).all()
    assert max(losses) > 0
    assert not torch.equal(before["backbone.first.0.weight"], embedder.state_dict()["backbone.first.0.weight"])


@pytest.mark.parametrize("name", METHODS)
def test_plans_are_of_the_size_that_was_asked_for(name: str) -> None:
    plan = METHODS[name].planner(LABELS, BATCHING)(epoch=0, seed=0, vectors=_vectors())
    assert plan.batch == 8
    assert len(plan) >= 2
    relation = plan.relation(0)
    assert (relation == 1).any()
    assert (relation == -1).any()
    if METHODS[name].kind == "classes":
        assert plan.labels is not None


@pytest.mark.parametrize("name", UNLABELLED)
def test_methods_without_labels_never_look_at_one(name: str) -> None:
    secret: NDArray[np.int64] = Secret()  # type: ignore[assignment]
    plans = [
        METHODS[name].planner(labels, BATCHING)(epoch=1, seed=3, vectors=_vectors())
        for labels in (secret, LABELS, np.full(24, -1), np.random.default_rng(0).permutation(LABELS))
    ]
    for plan in plans[1:]:
        _assert_equal(plan, plans[0])


def _assert_equal(some: Plan, other: Plan) -> None:
    np.testing.assert_array_equal(some.indices, other.indices)
    for mine, theirs in ((some.labels, other.labels), (some.relations, other.relations)):
        assert (mine is None) == (theirs is None)
        if mine is not None and theirs is not None:
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("name", UNLABELLED)
def test_folders_teach_methods_without_labels_nothing(name: str, tmp_path: Path) -> None:
    sorted_, flat = tmp_path / "sorted", tmp_path / "flat"
    make_classes(sorted_)
    flat.mkdir()
    for of in NAMES:
        for path in sorted((sorted_ / of).iterdir()):
            (flat / f"{of}-{path.name}").write_bytes(path.read_bytes())
    digests = []
    with home(tmp_path / "home"):
        options = TrainingOptions(
            method=name, backbone=str(make_model(tmp_path)), size=32, batch=8, negatives=2, images_per_class=2, epochs=1
        )
        for folder in (sorted_, flat):
            done = train(folder, output=tmp_path / f"{folder.name}.onnx", options=options, device="cpu", threads=1)
            assert done is not None
            digests.append((done.card.digest, done.images, done.classes))
    assert digests[0] == digests[1]
    assert digests[0][1:] == (24, 0)


@pytest.mark.parametrize("name", METHODS)
def test_every_entry_is_whole(name: str) -> None:
    method = METHODS[name]
    assert find_method(name) is method
    assert LOSSES[method.loss].kind == method.kind
    assert resolve_loss(method, None) == method.loss
    assert method.summary
    assert method.source
    for loss, entry in LOSSES.items():
        if entry.kind == method.kind:
            assert resolve_loss(method, loss) == loss
        else:
            with pytest.raises(UsageError, match=f"loss is '{loss}'; this method takes one of "):
                resolve_loss(method, loss)


def test_an_unknown_method_is_told_from_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"unknown method 'triple'; did you mean 'triplet'\?"):
        find_method("triple")


def test_how_batches_are_made_up_chooses_the_planner() -> None:
    pairs = (np.array([[0, 1], [6, 7], [12, 13]]), np.array([[0, 6]]))
    plain = METHODS["siamese"].planner(LABELS, BATCHING)
    assert isinstance(plain, ClassBalanced)
    assert (plain.classes_per_batch, plain.images_per_class) == (4, 2)
    pooled = METHODS["siamese"].planner(LABELS, replace(BATCHING, mining="pool", negatives=9))
    assert isinstance(pooled, HardNegatives)
    assert (pooled.negatives, pooled.tuples, pooled.queries) == (3, 1, 4)  # one less than there are classes
    listed = METHODS["triplet"].planner(LABELS, replace(BATCHING, pairs=pairs))
    assert isinstance(listed, ListedPairs)
    assert (listed.batch, listed.components) == (8, False)
    alike = METHODS["triplet"].planner(LABELS, replace(BATCHING, pairs=(pairs[0], pairs[1][:0])))
    assert isinstance(alike, ListedPairs)
    assert (alike.batch, alike.components) == (6, True)
    assert isinstance(METHODS["classification"].planner(LABELS, BATCHING), Shuffled)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("mining", ["batch", "pool"])
def test_an_epoch_shows_about_as_many_images_as_there_are(name: str, mining: Literal["batch", "pool"]) -> None:
    batching = replace(BATCHING, mining=mining)
    plan = METHODS[name].planner(LABELS, batching)(epoch=0, seed=0, vectors=_vectors())
    assert plan.indices.size == pytest.approx(len(LABELS), abs=BATCHING.batch)


def test_tuples_of_an_epoch_are_bounded() -> None:
    assert Batching(negatives=5).tuples_per_epoch(3) == 1
    assert Batching(negatives=5).tuples_per_epoch(1400) == 200
    assert Batching(negatives=5).tuples_per_epoch(10**6) == 2000


def test_few_images_make_smaller_batches() -> None:
    shuffled = METHODS["classification"].planner(LABELS, Batching(batch=64))
    assert isinstance(shuffled, Shuffled)
    assert shuffled.batch == 24
    by_class = METHODS["siamese"].planner(LABELS, Batching(batch=64))
    assert isinstance(by_class, ClassBalanced)
    assert by_class.classes_per_batch == 4
    with pytest.raises(TrainingError, match="got 1 classes of two images or more; expected at least 2"):
        METHODS["siamese"].planner(np.array([0, 0, 1, 2]), Batching())
    with pytest.raises(TrainingError, match="got 0 classes of two images or more; expected at least 2"):
        METHODS["siamese"].planner(np.array([-1, -1]), Batching())


@pytest.mark.parametrize("asked", [0, 3])
def test_clusters_stand_for_classes(asked: int) -> None:
    plan = METHODS["clusters"].planner(LABELS, replace(BATCHING, clusters=asked))(epoch=0, seed=0, vectors=_vectors())
    assert plan.facts["clusters"] <= (asked or 4)
    assert plan.labels is not None
    assert plan.labels.min() >= 0
