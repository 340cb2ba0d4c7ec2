from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kindred.backbones.card import Card, ClassifierHead, Tap, digest_of
from kindred.backbones.classifier import class_weights
from kindred.backbones.openvino import OpenVINOEngine
from kindred.backbones.zoo import add_model, load_card
from kindred.errors import ModelError

Make = Callable[[ClassifierHead | None], tuple[Card, Path]]


@pytest.fixture
def make(tiny: Callable[..., Path]) -> Make:
    """Return a function that gives the small classifier a card: 6 channels, 2 classes, weights w5 (6, 2)."""

    def with_head(head: ClassifierHead | None) -> tuple[Card, Path]:
        path = tiny()
        taps = [
            Tap(name="deep", tensor="deep", channels=6, stride=8),
            Tap(name="block", tensor="block", channels=8, stride=4),
        ]
        card = Card(
            name="sorter",
            file=path.name,
            digest=digest_of(path),
            mean=(127.5,) * 3,
            std=(127.5,) * 3,
            input_name="image",
            default_tap="deep",
            taps=tuple(taps),
            classifier=head,
        )
        return card, path

    return with_head


HEAD = ClassifierHead(weights="w5", tap="deep")


def test_weights_are_classes_by_channels(make: Make) -> None:
    onnx = pytest.importorskip("onnx")
    card, path = make(HEAD)
    (stored,) = [x for x in onnx.load(path).graph.initializer if x.name == "w5"]
    weights = class_weights(card, path)
    assert weights.dtype == np.float32
    assert np.array_equal(weights, onnx.numpy_helper.to_array(stored).T)
    assert not weights.flags.writeable
    assert class_weights(card, path) is weights


def test_the_background_is_dropped(make: Make) -> None:
    whole = class_weights(*make(HEAD))
    for background in (0, 1):
        rest = class_weights(*make(replace(HEAD, background=background)))
        assert np.array_equal(rest, whole[[1 - background]])
    with pytest.raises(ModelError, match="background class 2 is out of range: there are 2 classes"):
        class_weights(*make(replace(HEAD, background=2)))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (None, "its card names no classifier weights"),
        (ClassifierHead(maps="deep"), "its card names no classifier weights; its class maps are the tap 'deep'"),
        (ClassifierHead(weights="w6", tap="deep"), "the graph has no tensor 'w6', the weights of its classifier"),
        (ClassifierHead(weights="logits", tap="deep"), "tensor 'logits' is not a constant of the graph"),
        (
            ClassifierHead(weights="w5", tap="block"),
            r"tensor 'w5' is \(6, 2\); expected \(classes, 8\), for the channels",
        ),
        (ClassifierHead(weights="w3", tap="block"), r"tensor 'w3' is \(8, 8, 3, 3\); expected \(classes, 8\)"),
    ],
)
def test_wrong_weights_are_refused(make: Make, head: ClassifierHead | None, message: str) -> None:
    card, path = make(head)
    with pytest.raises(ModelError, match=message) as caught:
        class_weights(card, path)
    assert "\n" not in str(caught.value)


def test_a_graph_with_another_digest_is_refused(make: Make) -> None:
    card, path = make(HEAD)
    with pytest.raises(ModelError, match="is not the graph that its card describes"):
        class_weights(replace(card, digest="0" * 64), path)


def test_a_model_whose_head_does_not_match_is_not_added(make: Make) -> None:
    card, path = make(ClassifierHead(weights="w5", tap="block"))
    card.save(path.with_suffix(".toml"))
    with pytest.raises(ModelError, match="tensor 'w5' is"):
        add_model(path)


def test_class_maps_of_a_real_network(shared: Path) -> None:
    """The mean of the class maps, plus the bias, equals the output of the network."""
    onnx = pytest.importorskip("onnx")
    card, path = load_card(shared / "weights" / "mobilenet_edgetpu.onnx")
    weights = class_weights(card, path)
    assert weights.shape == (1000, 1280)
    (bias,) = [x for x in onnx.load(path).graph.initializer if x.name == "logits_map.bias"]
    outputs = (Tap(name="logits", tensor="logits", channels=1001, stride=1), card.tap("features"))
    engine = OpenVINOEngine(
        replace(card, taps=outputs, default_tap="logits", classifier=None),
        path,
        taps=("logits", "features"),
        precision="f32",
    )
    logits, features = engine.run(np.random.default_rng(0).integers(0, 256, (1, 160, 128, 3), np.uint8))
    maps = np.einsum("kc,bchw->bkhw", weights, features)
    expected = logits[:, 1:] - onnx.numpy_helper.to_array(bias)[1:]
    np.testing.assert_allclose(maps.mean(axis=(2, 3)), expected, atol=1e-3)


def test_a_real_network_with_class_maps(shared: Path) -> None:
    card, path = load_card(shared / "weights" / "squeezenet1_1.onnx")
    assert card.classifier == ClassifierHead(maps="logits_map")
    with pytest.raises(ModelError, match="its class maps are the tap 'logits_map'"):
        class_weights(card, path)
