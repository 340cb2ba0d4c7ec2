"""A network with a local head: keypoints and descriptors of images, by one graph or by two."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kindred.backbones import Card
from kindred.backbones.card import LocalHead
from kindred.errors import ModelError
from kindred.features import LocalNetwork
from kindred.images import decode
from pictures import picture
from tiny_local import DIMENSION, make_local_model, make_local_pair
from tiny_model import change_card, home, make_model

WEIGHTS = Path(__file__).resolve().parents[2].parent / "shared" / "weights"
COVERS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "smvs-dvd"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path) -> Iterator[None]:
    with home(tmp_path / "home"):
        yield


def test_points_are_in_the_image_and_descriptors_are_unit_vectors(tmp_path: Path) -> None:
    network = LocalNetwork(make_local_model(tmp_path))
    image = picture(1, width=200, height=120)
    found = network.find(image, count=40, longest=100)
    assert 5 < len(found) <= 40
    assert found.descriptors.shape == (len(found), DIMENSION)
    assert np.linalg.norm(found.descriptors, axis=1) == pytest.approx(np.ones(len(found)), abs=1e-5)
    assert (found.points >= 0).all()
    assert (found.points <= (200, 120)).all()
    assert found.frame == (0, 0, 200, 120)
    assert found.ratio == 0.95


def test_features_are_shifted_with_the_image(tmp_path: Path) -> None:
    network = LocalNetwork(make_local_model(tmp_path))
    image = picture(2, width=160, height=128)
    whole = network.find(image, count=400, longest=160)
    part = network.find(np.ascontiguousarray(image[16:, 32:]), count=400, longest=160)
    moved = part.points + np.array((32, 16), np.float32)
    apart = np.abs(moved[:, None] - whole.points[None]).max(axis=2)
    inner = (part.points > 12).all(axis=1) & (apart.min(axis=1) < 0.01)
    assert inner.sum() > 10
    cosines = (part.descriptors[inner] * whole.descriptors[apart.argmin(axis=1)[inner]]).sum(axis=1)
    assert cosines.min() > 0.99


def test_turns_describe_the_image_in_four_orientations(tmp_path: Path) -> None:
    network = LocalNetwork(make_local_model(tmp_path))
    image = picture(3, width=128, height=96)
    turned = np.ascontiguousarray(np.rot90(image))
    all_four = network.find(image, count=60, longest=128, turns=4)
    upright = network.find(image, count=60, longest=128)
    of_turned = network.find(turned, count=60, longest=128)
    assert all_four.points[: len(upright)] == pytest.approx(upright.points)
    own = all_four.points[len(upright) : len(upright) + len(of_turned)]
    # What lies at x y in the turned image (96 × 128) lies at 128 − y, x in the image.
    expected = np.stack((128 - of_turned.points[:, 1], of_turned.points[:, 0]), axis=1)
    assert own == pytest.approx(expected, abs=1e-3)
    assert (all_four.points >= 0).all()
    assert (all_four.points <= (128, 96)).all()


def test_a_second_graph_describes_the_points_in_the_padded_image(tmp_path: Path) -> None:
    path = make_local_pair(tmp_path)
    found = LocalNetwork(path).find(picture(4, width=90, height=70), count=30, longest=90)
    assert found.descriptors.shape == (len(found), 8)
    weights = np.random.default_rng(5)
    weights.normal(0, 0.3, (1, 3, 3, 3)), weights.normal(0, 0.3, (4, 3, 3, 3))
    matrix = weights.normal(0, 1, (2, 8)).astype(np.float32)
    padded = found.points - 0.5 + np.array((3, 5), np.float32)  # 90 × 70 in 96 × 80
    expected = padded @ matrix
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert (found.descriptors * expected).sum(axis=1) == pytest.approx(np.ones(len(found)), abs=1e-4)


def test_an_image_without_keypoints_gives_no_features(tmp_path: Path) -> None:
    for path in (make_local_model(tmp_path), make_local_pair(tmp_path)):
        found = LocalNetwork(path).find(np.zeros((8, 5, 3), np.uint8), count=5, longest=320)
        assert len(found) == 0


def test_a_saved_card_is_loaded_unchanged(tmp_path: Path) -> None:
    path = make_local_pair(tmp_path)
    card = Card.load(path.with_suffix(".toml"))
    assert card.local is not None
    assert Card.from_toml(card.to_toml()) == card
    signed = Card.load(make_local_model(tmp_path, signs=True).with_suffix(".toml"))
    assert signed.local is not None
    assert signed.local.signs is True


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scores": "level1"}, "local.scores"),
        ({"scores": "nothing"}, "nothing"),
        ({"describe": ""}, "either descriptors, a tap, or describe"),
        ({"describe": "../elsewhere.onnx"}, "local.describe"),
        ({"describe": "elsewhere.pkl"}, "local.describe"),
        ({"describe_digest": "0"}, "describe_digest"),
        ({"dimension": 10**9}, "dimension"),
        ({"multiple": 0}, "local.multiple"),
        ({"multiple": 10**9}, "local.multiple"),
        ({"ratio": 0.0}, "ratio"),
        ({"ratio": float("nan")}, "ratio"),
        ({"precision": "f16"}, "local.precision"),
    ],
)
def test_an_invalid_card_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    card = Card.load(make_local_pair(tmp_path).with_suffix(".toml"))
    assert card.local is not None
    with pytest.raises(ModelError, match=said):
        dataclasses.replace(card, local=dataclasses.replace(card.local, **changes))  # type: ignore[arg-type]


def test_a_second_graph_with_another_digest_is_refused(tmp_path: Path) -> None:
    path = make_local_pair(tmp_path)
    second = path.with_name("pair_describe.onnx")
    second.write_bytes(make_model(tmp_path).read_bytes())
    with pytest.raises(ModelError, match=r"is not the graph .* that its card describes"):
        LocalNetwork(path)


def test_descriptors_that_differ_from_the_card_are_refused(tmp_path: Path) -> None:
    path = make_local_pair(tmp_path)
    card = Card.load(path.with_suffix(".toml"))
    assert card.local is not None
    change_card(path, local=dataclasses.replace(card.local, dimension=9))
    with pytest.raises(ModelError, match="its card declares 9 components"):
        LocalNetwork(path).find(picture(4, width=90, height=70), count=30, longest=90)


def test_a_model_without_a_local_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no table \[local\]"):
        LocalNetwork(make_model(tmp_path))


def test_a_score_map_of_several_channels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"local\.scores"):
        change_card(make_local_model(tmp_path), local=LocalHead(scores="descriptors", descriptors="descriptors"))


@pytest.mark.skipif(not (WEIGHTS / "aliked_n16rot_maps.onnx").exists(), reason="needs the development weights")
def test_aliked_finds_a_cover_in_its_photograph() -> None:
    from kindred.rerank.verification import match

    network = LocalNetwork(WEIGHTS / "aliked_n16rot_maps.onnx")
    photo, cover, other = (
        network.find(decode(COVERS / name).pixels, count=500, longest=480)
        for name in ("Canon/003.jpg", "Reference/003.jpg", "Reference/050.jpg")
    )
    right, wrong = match(photo, cover, ratio=0.9), match(photo, other, ratio=0.9)
    assert right is not None
    assert right.inliers > 30
    assert wrong is None or wrong.inliers < 12


def test_the_first_pass_is_upright_and_small(tmp_path: Path) -> None:
    network = LocalNetwork(make_local_model(tmp_path))
    image = picture(3, width=128, height=96)
    found = network.find(image, count=40, longest=128, turns=4, upright=64)
    first, others = found.looks
    small = network.find(image, count=40, longest=64)
    large = network.find(image, count=40, longest=128, turns=4)
    assert len(found.passes) == 5
    assert first.points == pytest.approx(small.points)
    assert first.passes == ()
    assert others.points == pytest.approx(large.points)
    assert others.passes == large.passes
    assert len(network.find(image, count=40, longest=64).looks) == 1
