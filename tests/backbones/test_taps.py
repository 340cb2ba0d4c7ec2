from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kindred.backbones.card import Tap
from kindred.backbones.taps import _readable, inspect
from kindred.errors import ModelError


def table(taps: tuple[Tap, ...]) -> list[tuple[str, int, int]]:
    return [(tap.name, tap.channels, tap.stride) for tap in taps]


def test_the_trunk_of_a_classifier(tiny: Callable[..., Path]) -> None:
    found = inspect(tiny())
    assert (found.input_name, found.layout, found.input_size) == ("image", "NCHW", None)
    # "trunk" and "branch" are inside the block, "pool" is followed by "deep" at the same stride.
    assert table(found.taps) == [("stem", 4, 2), ("block", 8, 4), ("deep", 6, 8)]
    assert found.default_tap == "deep"


def test_feature_map_outputs_replace_trunk_maps_of_their_stride(tiny: Callable[..., Path]) -> None:
    found = inspect(tiny(outputs=("trunk", "logits")))
    assert table(found.taps) == [("stem", 4, 2), ("trunk", 8, 4)]
    assert found.default_tap == "trunk"


def test_a_network_of_fixed_input_size(tiny: Callable[..., Path]) -> None:
    found = inspect(tiny(shape=("batch", 3, 60, 45)))
    assert found.input_size == (60, 45)
    assert table(found.taps) == [("stem", 4, 2), ("block", 8, 4), ("deep", 6, 8)]


def test_strides_of_a_network_of_fixed_input_size_are_estimated(save_graph: Callable[..., Path]) -> None:
    node = pytest.importorskip("onnx").helper.make_node
    # A position map of 28 × 28 is added, which forbids other sizes; unpadded windows leave 28 of 60 / 2 = 30.
    nodes = [
        node("Conv", ["image", "w"], ["first"], kernel_shape=[5, 5], strides=[2, 2]),
        node("Add", ["first", "positions"], ["second"]),
    ]
    weights = {"w": np.ones((4, 3, 5, 5), np.float32), "positions": np.ones((1, 4, 28, 28), np.float32)}
    found = inspect(save_graph(nodes, weights, ["second"], shape=("batch", 3, 60, 60)))
    assert found.input_size == (60, 60)
    assert table(found.taps) == [("second", 4, 2)]


def test_layout_nhwc(save_graph: Callable[..., Path]) -> None:
    node = pytest.importorskip("onnx").helper.make_node
    nodes = [
        node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        node("Conv", ["planes", "w"], ["map"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Transpose", ["map"], ["last"], perm=[0, 2, 3, 1]),
    ]
    path = save_graph(nodes, {"w": np.ones((5, 3, 2, 2), np.float32)}, ["last"], shape=("b", "h", "w", 3))
    found = inspect(path)
    assert (found.layout, found.input_size) == ("NHWC", None)
    assert table(found.taps) == [("map", 5, 2)]  # the output is no (B, C, h, w) map


def test_detectors_do_not_default_to_a_single_cell(shared: Path) -> None:
    found = inspect(shared / "weights" / "ssd_mobilenet_v1_coco.onnx")
    assert found.input_size == (300, 300)
    assert {tap.name: tap.stride for tap in found.taps}[found.default_tap] <= 64


def test_public_networks(shared: Path) -> None:
    found = inspect(shared / "weights" / "mobilenet_v2.onnx")
    assert found.default_tap == "features.18"
    # README of the weights: channels and strides of the outputs.
    assert table(found.taps)[1:] == [
        ("features.3", 24, 4),
        ("features.6", 32, 8),
        ("features.10", 64, 16),
        ("features.13", 96, 16),
        ("features.17", 320, 32),
        ("features.18", 1280, 32),
    ]
    found = inspect(shared / "weights" / "squeezenet1_1.onnx")
    assert ("fire9", 512, 16) in table(found.taps)


def test_graphs_that_are_not_image_networks_are_refused(save_graph: Callable[..., Path]) -> None:
    node = pytest.importorskip("onnx").helper.make_node
    weights = {"w": np.ones((12, 2), np.float32)}
    flat = [node("Flatten", ["image"], ["flat"]), node("MatMul", ["flat", "w"], ["out"])]
    with pytest.raises(ModelError, match="found no feature map"):
        inspect(save_graph(flat, weights, ["out"], shape=("b", 3, 2, 2)))
    relu = [node("Relu", ["image"], ["out"])]
    with pytest.raises(ModelError, match=r"takes images of shape .*; expected three colour channels"):
        inspect(save_graph(relu, {}, ["out"], shape=("b", 4, "h", "w")))
    with pytest.raises(ModelError, match=r"input has shape .*; expected \(batch, 3, height, width\)"):
        inspect(save_graph(relu, {}, ["out"], shape=("b", 3)))
    both = [node("Add", ["image", "other"], ["out"])]
    with pytest.raises(ModelError, match="the graph has 2 inputs; expected one"):
        inspect(save_graph(both, {}, ["out"], inputs=["image", "other"]))


def test_a_fixed_batch_size_is_refused(save_graph: Callable[..., Path]) -> None:
    node = pytest.importorskip("onnx").helper.make_node
    nodes = [node("Reshape", ["image", "shape"], ["out"])]
    path = save_graph(nodes, {"shape": np.array([1, 3, 16, 16])}, ["out"], shape=(1, 3, 16, 16))
    with pytest.raises(ModelError, match=r"cannot take a batch of two images .*free batch size"):
        inspect(path)


def test_a_tensor_name_that_is_not_utf8_is_refused(save_graph: Callable[..., Path]) -> None:
    node = pytest.importorskip("onnx").helper.make_node
    path = save_graph([node("MaxPool", ["image"], ["window"], kernel_shape=[4, 4], strides=[4, 4])], {}, ["window"])
    path.write_bytes(path.read_bytes().replace(b"window", b"wi\xffdow"))
    with pytest.raises(ModelError, match=r"not a valid ONNX model"):
        inspect(path)


@pytest.mark.parametrize(
    ("tensor", "name"),
    [
        ("features.18", "features.18"),
        ("/layer1/layer1.2/relu_1/Relu_output_0", "layer1.2.relu_1"),
        ("/features/features.3/Conv_output_0", "features.3"),
        ("model/block_3/add:0", "model.block_3.add"),
        ("a b", "a_b"),
        ("/Relu_output_0", None),
        ("495", None),
        ("::", None),
    ],
)
def test_readable_tap_names(tensor: str, name: str | None) -> None:
    assert _readable(tensor) == name


def test_tensors_without_a_readable_name(save_graph: Callable[..., Path]) -> None:
    node = pytest.importorskip("onnx").helper.make_node
    nodes = [
        node("MaxPool", ["image"], ["1"], kernel_shape=[4, 4], strides=[4, 4]),
        node("Relu", ["1"], ["2"]),
    ]
    found = inspect(save_graph(nodes, {}, ["1", "2"]))
    assert [(tap.name, tap.tensor) for tap in found.taps] == [("stride4", "1"), ("stride4.2", "2")]
