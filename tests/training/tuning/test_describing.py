"""Describing amid a training: whole images of any shapes, each as it would be alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kindred.images import resize
from kindred.training.aggregation import build_aggregation
from kindred.training.image_cache import ImageCache, read_images
from kindred.training.process_group import ProcessGroup
from kindred.training.tuning.describing import MULTIPLE, describe, whole_images
from kindred.training.tuning.embedder import Embedder
from pictures import picture, save_picture
from tiny_backbone import TinyBackbone
from tiny_task import HERE

SHAPES = ((48, 64), (64, 48), (64, 64), (30, 90), (200, 160), (9, 9))


@pytest.fixture
def embedder() -> Embedder:
    return Embedder(TinyBackbone(), build_aggregation("gem", 10))


@pytest.fixture
def many() -> ImageCache:
    """Forty pictures of six shapes."""
    sizes = [SHAPES[number % len(SHAPES)] for number in range(40)]
    return ImageCache.from_arrays([picture(number, height=h, width=w) for number, (h, w) in enumerate(sizes)])


def test_each_image_comes_once_in_its_own_shape(many: ImageCache) -> None:
    seen: dict[int, int] = {}
    for places, pixels in whole_images(many, range(5, 40), size=80, batch=3):
        assert len(places) == len(pixels) <= 3
        assert pixels.dtype == torch.uint8
        for place, image in zip(places, pixels, strict=True):
            expected = resize(many[5 + place], longest=80, multiple=MULTIPLE)
            np.testing.assert_array_equal(image.numpy(), expected)
            seen[place] = seen.get(place, 0) + 1
    assert seen == dict.fromkeys(range(35), 1)


def test_vectors_are_those_of_one_image_at_a_time(embedder: Embedder, many: ImageCache) -> None:
    numbers = [39, 3, 3, 17, *range(10, 30)]
    vectors = describe(embedder.train(), many, numbers, size=80, processes=HERE)
    assert not embedder.training
    assert vectors.shape == (24, 10)
    assert vectors.dtype == np.float32
    for number, vector in zip(numbers, vectors, strict=True):
        image = torch.from_numpy(resize(many[number], longest=80, multiple=MULTIPLE))
        with torch.no_grad():
            alone = embedder(image[None])[0].numpy()
        # The network runs in bfloat16.
        assert float(vector @ alone) > 0.999
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    np.testing.assert_array_equal(vectors[1], vectors[2])


def test_what_can_no_longer_be_read_has_zeros(embedder: Embedder, tmp_path: Path) -> None:
    paths = [save_picture(tmp_path / f"{number}.png", number) for number in range(5)]
    pictures, _ = read_images(paths, longest=64, memory=0)
    before = describe(embedder, pictures, np.arange(5), size=64, processes=HERE)
    paths[1].unlink()
    paths[3].write_bytes(b"no picture")
    after = describe(embedder, pictures, np.arange(5), size=64, processes=HERE)
    np.testing.assert_array_equal(after[[1, 3]], 0)
    np.testing.assert_allclose(after[[0, 2, 4]], before[[0, 2, 4]], atol=1e-6)


def test_nothing_to_describe_is_no_error(embedder: Embedder, many: ImageCache) -> None:
    assert describe(embedder, many, [], size=64, processes=HERE).shape == (0, 10)


def test_several_processes_share_the_work(
    embedder: Embedder, many: ImageCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = describe(embedder, many, np.arange(40), size=64, processes=HERE)
    monkeypatch.setattr(ProcessGroup, "sum", lambda _, values: values)
    parts = [
        describe(embedder, many, np.arange(40), size=64, processes=ProcessGroup(torch.device("cpu"), rank, 3))
        for rank in range(3)
    ]
    assert [int((part != 0).any(axis=1).sum()) for part in parts] == [14, 13, 13]
    np.testing.assert_allclose(sum(parts), everything, atol=0.01)
