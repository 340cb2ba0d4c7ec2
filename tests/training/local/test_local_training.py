"""A local head is taught by a teacher, attached to a network that stays as it is, and used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from kindred.backbones import Card, load, load_card
from kindred.errors import TrainingError, UsageError
from kindred.features import LocalFeatures, LocalNetwork
from kindred.training.image_cache import ImageCache
from kindred.training.local.attach import attach
from kindred.training.local.head import KeypointHead
from kindred.training.local.settings import LocalSettings
from kindred.training.local.targets import LocalTargets, find_targets
from kindred.training.local.task import LocalTask
from kindred.training.local.train import distill_local_head
from kindred.training.local.trunk import Trunk
from kindred.training.loop import Progress, fit
from kindred.training.process_group import ProcessGroup
from pictures import picture
from tiny_local import make_local_model, make_pyramid
from tiny_model import home

pytest.importorskip("onnx")
HERE = ProcessGroup(torch.device("cpu"))
SETTINGS = LocalSettings(steps=30, batch=3, size=64, width=16, dimension=16, rate=5e-3, zoom=(0.8, 1.5))


class Grid:
    """A teacher that sees a keypoint every 12 pixels of the image as given, and describes it by its colours."""

    def __init__(self) -> None:
        self.looked = 0

    @property
    def depends_on(self) -> list[object]:
        return ["grid"]

    def find(self, image: NDArray[np.uint8], *, count: int, longest: int) -> LocalFeatures:
        self.looked += 1
        height, width = image.shape[:2]
        assert longest == max(height, width)
        y, x = np.mgrid[6 : height - 6 : 12, 6 : width - 6 : 12].reshape(2, -1)
        colours = [image[y + dy, x + dx] / 255 - 0.4 for dy in (-3, 3) for dx in (-3, 3)]
        rows = np.concatenate(colours, axis=1).astype(np.float32)[:count]
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
        points = np.stack((x + 0.5, y + 0.5), axis=1).astype(np.float32)[:count]
        return LocalFeatures(points, rows, np.ones(len(points), np.float32), (0.0, 0.0, width, height))


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path) -> Iterator[None]:
    with home(tmp_path / "home"):
        yield


@pytest.fixture
def images() -> ImageCache:
    return ImageCache.from_arrays([picture(number, width=96, height=72) for number in range(12)])


@pytest.fixture
def targets(images: ImageCache, tmp_path: Path) -> LocalTargets:
    return find_targets(Grid(), images, tmp_path / "targets", digest="x")


def _task(images: ImageCache, targets: LocalTargets, tmp_path: Path, **changes: Any) -> LocalTask:
    settings = LocalSettings(**{**SETTINGS.as_json(), "zoom": (0.8, 1.5), **changes})
    return LocalTask(Trunk(make_pyramid(tmp_path), threads=1), images, targets, settings, processes=HERE)


def test_targets_are_found_once_and_an_interrupted_run_goes_on(images: ImageCache, tmp_path: Path) -> None:
    class Tired(Grid):
        def find(self, image: NDArray[np.uint8], *, count: int, longest: int) -> LocalFeatures:
            if self.looked == 9:
                raise KeyboardInterrupt
            return super().find(image, count=count, longest=longest)

    with pytest.raises(KeyboardInterrupt):
        find_targets(Tired(), images, tmp_path / "t", digest="x")
    fresh = Grid()
    reported: list[tuple[int, int]] = []
    found = find_targets(fresh, images, tmp_path / "t", digest="x", progress=lambda *here: reported.append(here))
    assert fresh.looked < 2 * len(images)
    assert reported == [(number, 12) for number in range(13 - len(reported), 13)]
    assert 0 < len(reported) < 12  # only those that were not found before
    again = Grid()
    find_targets(again, images, tmp_path / "t", digest="x", progress=lambda *here: reported.append(here))
    assert reported[-1] == (12, 12)
    assert reported.count((12, 12)) == 1
    assert again.looked <= 2  # one image, for the dimension
    sighting = found.sighting(3, 1.0)
    expected = Grid().find(images[3], count=96, longest=96)
    assert sighting.points == pytest.approx(expected.points)
    assert (sighting.descriptors * expected.descriptors).sum(axis=1).min() > 0.97
    assert len(found.sighting(3, 2.0).points) > len(sighting.points)


def test_targets_of_other_images_are_refused(images: ImageCache, tmp_path: Path) -> None:
    find_targets(Grid(), images, tmp_path / "t", digest="x")
    with pytest.raises(TrainingError, match="other images or another teacher"):
        find_targets(Grid(), images, tmp_path / "t", digest="y")


def test_targets_that_are_damaged_are_refused(images: ImageCache, tmp_path: Path) -> None:
    find_targets(Grid(), images, tmp_path / "t", digest="x")
    (tmp_path / "t" / "points.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(TrainingError, match="cannot be stored or read"):
        find_targets(Grid(), images, tmp_path / "t", digest="x")


def test_a_head_learns(images: ImageCache, targets: LocalTargets, tmp_path: Path) -> None:
    task = _task(images, targets, tmp_path, steps=60)
    batch = task.make_batch(0)
    with torch.no_grad():
        before = {name: float(loss) for name, loss in task.losses(batch, done=0.9).items()}
    result = fit(task, task.settings.schedule(), tmp_path / "run", processes=HERE)
    with torch.no_grad():
        after = {name: float(loss) for name, loss in task.losses(batch, done=0.9).items()}
    assert after["detection"] < 0.85 * before["detection"]
    assert after["cosine"] < before["cosine"]
    assert after["matches"] < before["matches"]
    assert set(result.after) == {"matched", "matched by values", "detection"}


def test_batches_are_determined_by_their_number(images: ImageCache, targets: LocalTargets, tmp_path: Path) -> None:
    task = _task(images, targets, tmp_path)
    first, again, other = task.make_batch(3), task.make_batch(3), task.make_batch(4)
    assert np.array_equal(first.views, again.views)
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.views, other.views)
    assert first.views.shape == (6, 64, 64, 3)
    assert first.labels.shape == (6, 8, 8)
    assert len(first.owner) == len(first.first) == len(first.second) == len(first.target) > 0


def test_keypoints_of_a_batch_lie_where_both_views_show_the_same(
    images: ImageCache, targets: LocalTargets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindred.training.local.views.relit", lambda pixels, _: pixels)
    batch = _task(images, targets, tmp_path, rotation=1.0).make_batch(29)
    half = len(batch.views) // 2

    def colours(shift: int, points: NDArray[np.float32]) -> NDArray[np.float64]:
        x, y = points.round().astype(int).T
        found: NDArray[np.float64] = batch.views[batch.owner + shift, y, x].astype(np.float64)
        return found

    apart = np.abs(colours(0, batch.first) - colours(half, batch.second)).mean(axis=1)
    assert np.median(apart) < 12


def test_attached_to_a_network_it_changes_nothing_of_it(tmp_path: Path) -> None:
    path = make_pyramid(tmp_path)
    card, _ = load_card(path)
    head = _random_head()
    new = attach(head, card, path, tmp_path / "both.onnx", name="both", ratio=0.88, training={"x": 1})
    assert Card.load(tmp_path / "both.toml") == new
    assert new.local is not None
    assert new.local.ratio == 0.88
    assert [tap.name for tap in new.taps] == ["quarter", "eighth", "deep", "keypoints", "descriptors"]
    batch = np.stack([picture(number, width=90, height=70) for number in range(2)])
    names = [tap.name for tap in card.taps]
    for old, now in zip(
        load(path, taps=names, precision="f32").run(batch),
        load(tmp_path / "both.onnx", taps=names, precision="f32").run(batch),
        strict=True,
    ):
        assert np.array_equal(old, now)
    maps = load(path, taps=names, precision="f32").run(batch)
    images = (torch.from_numpy(batch).permute(0, 3, 1, 2).float() - 127.5) / 64
    with torch.no_grad():
        _, descriptors = head.eval()(images, *(torch.from_numpy(each) for each in maps))
    scores, own = load(tmp_path / "both.onnx", taps=["keypoints", "descriptors"], precision="f32").run(batch)
    assert scores.shape == (2, 1, 70, 90)
    assert np.abs(own - descriptors.numpy()).max() < 0.02 * float(descriptors.abs().max())  # weights of 16 bits


def test_attached_again_it_takes_the_place_of_the_first(tmp_path: Path) -> None:
    path = make_pyramid(tmp_path)
    card, _ = load_card(path)
    once = attach(_random_head(1), card, path, tmp_path / "once.onnx", name="once", ratio=0.9, training={})
    direct = attach(_random_head(2), card, path, tmp_path / "direct.onnx", name="direct", ratio=0.9, training={})
    twice = attach(
        _random_head(2), once, tmp_path / "once.onnx", tmp_path / "twice.onnx", name="twice", ratio=0.9, training={}
    )
    assert twice.taps == direct.taps
    image = picture(1, width=96, height=64)[None]
    taps = ["deep", "keypoints", "descriptors"]
    for some, other in zip(
        load(tmp_path / "twice.onnx", taps=taps).run(image),
        load(tmp_path / "direct.onnx", taps=taps).run(image),
        strict=True,
    ):
        assert np.array_equal(some, other)
    assert (tmp_path / "twice.onnx").stat().st_size == (tmp_path / "direct.onnx").stat().st_size


def test_a_network_without_the_maps_is_refused(tmp_path: Path) -> None:
    from tiny_model import make_model

    with pytest.raises(TrainingError, match="no map of stride 8"):
        Trunk(make_model(tmp_path))


def test_from_folders_to_a_network_with_keypoints(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(10):
        Image.fromarray(picture(number, width=96, height=72)).save(photos / f"{number}.png")
    network, teacher = make_pyramid(tmp_path), make_local_model(tmp_path)
    output = tmp_path / "mine.onnx"
    reported: list[Progress] = []
    read: list[tuple[int, int]] = []
    found_by_teacher: list[tuple[int, int]] = []
    card = distill_local_head(
        network,
        (teacher, None),
        [photos],
        output=output,
        steps=4,
        seed=3,
        threads=1,
        read_progress=lambda *here: read.append(here),
        teacher_progress=lambda *here: found_by_teacher.append(here),
        progress=reported.append,
    )
    assert card is not None
    assert card.training["local images"] == 10
    command = f"kindred distill pyramid {photos} -o mine.onnx --local-only --local-teacher {teacher}"
    assert card.training["local command"] == f"{command} --local-steps=4 --local-images=2000 --seed=3"
    assert read == found_by_teacher == [(number, 10) for number in range(1, 11)]
    assert reported[-2].step == 4
    assert [here.stage for here in reported][-1] == "exporting"
    found = LocalNetwork(output).find(picture(3, width=120, height=90), count=50, longest=120)
    assert found.descriptors.shape[1] == 128
    with pytest.raises(UsageError, match=r"mine\.onnx"):
        distill_local_head(network, (teacher, None), [photos], output=output)
    # A network that has a head, as `kin` has, gets another one.
    again = distill_local_head(output, (teacher, None), [photos], output=tmp_path / "again.onnx", steps=2, threads=1)
    assert again is not None
    assert again.taps == card.taps
    assert again.training["local steps"] == "2"


def test_few_images_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    Image.fromarray(picture(1)).save(path)
    with pytest.raises(UsageError, match="at least 8"):
        distill_local_head(
            make_pyramid(tmp_path / "models"),
            (make_local_model(tmp_path / "models"), None),
            [tmp_path],
            output=tmp_path / "mine.onnx",
        )


@pytest.mark.parametrize(
    "changes", [{"size": 70}, {"steps": 0}, {"dimension": 12}, {"zoom": (2.0, 1.0)}, {"rate": 0.0}, {"rotation": 2.0}]
)
def test_settings_out_of_range(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="expected"):
        LocalSettings(**changes)


def _random_head(seed: int = 0) -> KeypointHead:
    torch.manual_seed(seed)
    head = KeypointHead((8, 12, 16), dimension=16, width=32)
    with torch.no_grad():
        head(torch.randn(2, 3, 64, 96), torch.randn(2, 8, 16, 24), torch.randn(2, 12, 8, 12), torch.randn(2, 16, 4, 6))
    return head
