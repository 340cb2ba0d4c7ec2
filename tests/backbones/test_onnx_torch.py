"""Every operator against ONNX's own reference implementation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import ModelError

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
reference = pytest.importorskip("onnx.reference")

from kindred.backbones.onnx_ops import OPERATORS  # noqa: E402
from kindred.backbones.onnx_torch import load_onnx  # noqa: E402

node = onnx.helper.make_node
RANDOM = np.random.default_rng(11)


def real(*shape: int) -> NDArray[np.float32]:
    return RANDOM.normal(0, 1, shape).astype(np.float32)


def scalar(value: float) -> NDArray[np.float32]:
    return np.array(value, np.float32)


def whole(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


IMAGE = real(2, 3, 9, 7)
WINDOW = {"kernel_shape": [3, 3]}
CHANNELS = {key: real(3) for key in ("gamma", "beta", "mean")} | {"var": np.abs(real(3)) + 0.1}

# operator → (inputs after the image, attributes, opset); the image is (2, 3, 9, 7)
CASES: list[tuple[str, dict[str, NDArray[Any]], dict[str, Any], int]] = [
    ("Conv", {"w": real(4, 3, 3, 3), "b": real(4)}, WINDOW | {"pads": [1, 1, 1, 1], "strides": [2, 2]}, 17),
    ("Conv", {"w": real(4, 3, 3, 3)}, WINDOW | {"pads": [0, 1, 2, 0]}, 17),
    ("Conv", {"w": real(6, 1, 3, 3)}, WINDOW | {"group": 3, "dilations": [2, 2]}, 17),
    ("Conv", {"w": real(4, 3, 3, 3)}, WINDOW | {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, 17),
    ("Conv", {"w": real(4, 3, 2, 2)}, {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"}, 17),
    ("Conv", {"w": real(4, 3, 2, 2)}, {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"}, 17),
    ("Conv", {"w": real(4, 3, 3, 3)}, WINDOW | {"auto_pad": "VALID"}, 17),
    ("MaxPool", {}, WINDOW | {"strides": [2, 2], "ceil_mode": 1}, 17),
    ("MaxPool", {}, {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, 17),
    ("MaxPool", {}, WINDOW | {"pads": [1, 0, 0, 1]}, 17),
    ("MaxPool", {}, {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"}, 17),
    ("AveragePool", {}, WINDOW | {"strides": [2, 2]}, 17),
    ("AveragePool", {}, WINDOW | {"pads": [1, 1, 1, 1]}, 17),
    ("AveragePool", {}, WINDOW | {"pads": [1, 1, 1, 1], "count_include_pad": 1}, 17),
    ("AveragePool", {}, {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1], "strides": [2, 2]}, 17),
    ("GlobalAveragePool", {}, {}, 17),
    ("GlobalMaxPool", {}, {}, 17),
    ("BatchNormalization", CHANNELS, {"epsilon": 1e-3}, 17),
    ("Relu", {}, {}, 17),
    ("LeakyRelu", {}, {"alpha": 0.2}, 17),
    ("LeakyRelu", {}, {}, 17),
    ("PRelu", {"slope": real(3, 1, 1)}, {}, 17),
    ("Sigmoid", {}, {}, 17),
    ("Tanh", {}, {}, 17),
    ("Erf", {}, {}, 17),
    ("Exp", {}, {}, 17),
    ("Abs", {}, {}, 17),
    ("Neg", {}, {}, 17),
    ("HardSigmoid", {}, {"alpha": 0.3}, 17),
    ("HardSwish", {}, {}, 17),
    ("Clip", {"low": scalar(-0.5), "high": scalar(0.5)}, {}, 17),
    ("Clip", {"low": scalar(-0.5)}, {}, 17),
    ("Clip", {}, {"min": -0.5, "max": 0.5}, 7),
    ("Clip", {}, {}, 17),
    ("Add", {"b": real(3, 1, 1)}, {}, 17),
    ("Sub", {"b": real(1)}, {}, 17),
    ("Mul", {"b": real(2, 3, 9, 7)}, {}, 17),
    ("Div", {"b": np.abs(real(7)) + 1}, {}, 17),
    ("Pow", {"b": scalar(2)}, {}, 17),
    ("MatMul", {"b": real(7, 5)}, {}, 17),
    ("Concat", {"b": real(2, 4, 9, 7)}, {"axis": 1}, 17),
    ("Concat", {"b": real(2, 3, 9, 1)}, {"axis": -1}, 17),
    ("Flatten", {}, {}, 17),
    ("Flatten", {}, {"axis": 0}, 17),
    ("Flatten", {}, {"axis": -1}, 17),
    ("Reshape", {"shape": whole(0, -1, 9)}, {}, 17),
    ("Transpose", {}, {"perm": [0, 2, 3, 1]}, 17),
    ("Transpose", {}, {}, 17),
    ("Softmax", {}, {}, 17),
    ("Softmax", {}, {"axis": 1}, 17),
    ("ReduceMean", {}, {"axes": [2, 3]}, 17),
    ("ReduceMean", {}, {"axes": [-1], "keepdims": 0}, 17),
    ("ReduceMean", {"axes": whole(2, 3)}, {}, 18),
    ("ReduceMean", {}, {}, 18),
    ("ReduceMean", {}, {"noop_with_empty_axes": 1}, 18),
    ("Unsqueeze", {"axes": whole(-1, 1)}, {}, 17),
    ("Unsqueeze", {}, {"axes": [0, 2]}, 11),
    (
        "Slice",
        {"starts": whole(1, -6), "ends": whole(8, 2**40), "axes": whole(2, 3), "steps": whole(2, 1)},
        {},
        17,
    ),
    ("Slice", {"starts": whole(-1), "ends": whole(-(2**40)), "axes": whole(3), "steps": whole(-2)}, {}, 17),
    ("Slice", {"starts": whole(1, 1), "ends": whole(2, 3)}, {}, 17),
    ("Slice", {}, {"starts": [0, 2], "ends": [9, 5], "axes": [1, 2]}, 9),
    ("Gather", {"at": whole(2, -1)}, {"axis": 3}, 17),
    ("Gather", {"at": np.array([[0, 1], [2, 0]])}, {"axis": 1}, 17),
    ("Gather", {"at": np.array(1)}, {"axis": 2}, 17),
    ("Pad", {"pads": whole(0, 0, 1, 2, 0, 0, 3, 0), "value": scalar(1.5)}, {}, 17),
    ("Pad", {}, {"value": 1.5, "pads": [0, 1, 0, 0, 0, 0, 2, 0]}, 9),
    ("Pad", {"pads": whole(0, 0, 1, 2, 0, 0, 3, 0)}, {"mode": "reflect"}, 17),
    ("Pad", {"pads": whole(0, 0, 1, 2, 0, 0, 3, 0)}, {"mode": "edge"}, 17),
    ("Cast", {}, {"to": 7}, 17),
    ("Dropout", {}, {}, 17),
    ("Identity", {}, {}, 17),
]


def graph_of(nodes: list[Any], weights: dict[str, NDArray[Any]], shape: tuple[int, ...], opset: int) -> Any:
    out = onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, None)
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, shape)
    tensors = [onnx.numpy_helper.from_array(np.asarray(value), key) for key, value in weights.items()]
    graph = onnx.helper.make_graph(nodes, "one", [image], [out], tensors)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)


def run_both(model: Any, image: NDArray[Any], path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    onnx.save(model, path)
    (ours,) = load_onnx(path, ["out"])(torch.from_numpy(image.copy()))
    (theirs,) = reference.ReferenceEvaluator(model).run(None, {"image": image})
    return ours.numpy(), theirs


def label(case: Any) -> str:
    return f"{case[0]}-{'-'.join([*case[1], *case[2]])}-{case[3]}"


@pytest.mark.parametrize("case", CASES, ids=label)
def test_operators(case: tuple[str, dict[str, Any], dict[str, Any], int], tmp_path: Path) -> None:
    operator, weights, attributes, opset = case
    one = node(operator, ["image", *weights], ["out"], operator, **attributes)
    ours, theirs = run_both(graph_of([one], weights, IMAGE.shape, opset), IMAGE, tmp_path / "one.onnx")
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_every_operator_is_tested() -> None:
    elsewhere = {"DepthToSpace", "Gemm", "Resize", "Shape", "Sqrt", "Squeeze"}
    assert {case[0] for case in CASES} | elsewhere == set(OPERATORS)


def test_operators_on_other_ranks(tmp_path: Path) -> None:
    matrix = np.abs(real(4, 6)) + 0.1
    for name, one, weights in [
        (
            "Gemm",
            node("Gemm", ["image", "b", "c"], ["out"], transB=1, alpha=2.0, beta=0.5),
            {"b": real(5, 6), "c": real(5)},
        ),
        ("Gemm", node("Gemm", ["image", "b"], ["out"], transA=1), {"b": real(4, 5)}),
        ("Sqrt", node("Sqrt", ["image"], ["out"]), {}),
    ]:
        ours, theirs = run_both(graph_of([one], weights, matrix.shape, 17), matrix, tmp_path / f"{name}.onnx")
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    thin = real(1, 3, 1, 2)
    for one, axes, opset in [
        (node("Squeeze", ["image"], ["out"]), {}, 17),
        (node("Squeeze", ["image", "axes"], ["out"]), {"axes": whole(2)}, 17),
        (node("Squeeze", ["image"], ["out"], axes=[0, 2]), {}, 11),
    ]:
        ours, theirs = run_both(graph_of([one], axes, thin.shape, opset), thin, tmp_path / "squeeze.onnx")
        assert ours.shape == theirs.shape


def test_channels_become_pixels_and_maps_are_enlarged(tmp_path: Path) -> None:
    deep = real(2, 12, 3, 5)
    enlarged = {"coordinate_transformation_mode": "asymmetric", "mode": "nearest", "nearest_mode": "floor"}
    factors = {"scales": np.array([1, 1, 2, 3], np.float32)}
    supported: list[tuple[Any, dict[str, NDArray[Any]]]] = [
        (node("DepthToSpace", ["image"], ["out"], blocksize=2, mode="CRD"), {}),
        (node("DepthToSpace", ["image"], ["out"], blocksize=2), {}),
        (node("Resize", ["image", "", "scales"], ["out"], **enlarged), factors),
    ]
    for one, weights in supported:
        ours, theirs = run_both(graph_of([one], weights, deep.shape, 17), deep, tmp_path / "space.onnx")
        np.testing.assert_array_equal(ours, theirs)
    unsupported: list[tuple[Any, dict[str, NDArray[Any]]]] = [
        (node("DepthToSpace", ["image"], ["out"], blocksize=5), {}),
        (node("Resize", ["image", "", "scales"], ["out"], mode="linear"), factors),
        (
            node("Resize", ["image", "", "scales"], ["out"], **enlarged),
            {"scales": np.array([1, 1, 1.5, 2], np.float32)},
        ),
    ]
    for one, weights in unsupported:
        onnx.save(graph_of([one], weights, deep.shape, 17), tmp_path / "space.onnx")
        with pytest.raises(ModelError, match="not supported in PyTorch"):
            load_onnx(tmp_path / "space.onnx", ["out"])(torch.from_numpy(deep))


def test_cases_that_the_reference_implementation_lacks(tmp_path: Path) -> None:
    """Softmax up to opset 12 is over all axes from the given one on; negative padding crops."""
    onnx.save(graph_of([node("Softmax", ["image"], ["out"])], {}, IMAGE.shape, 11), tmp_path / "old.onnx")
    (out,) = load_onnx(tmp_path / "old.onnx", ["out"])(torch.from_numpy(IMAGE))
    powers = np.exp(IMAGE)
    np.testing.assert_allclose(out, powers / powers.sum((1, 2, 3), keepdims=True), rtol=1e-5)
    pads = {"pads": whole(0, 1, 0, 0, 0, 0, 0, -1)}
    onnx.save(graph_of([node("Pad", ["image", "pads"], ["out"])], pads, IMAGE.shape, 17), tmp_path / "crop.onnx")
    (out,) = load_onnx(tmp_path / "crop.onnx", ["out"])(torch.from_numpy(IMAGE))
    np.testing.assert_array_equal(out, np.pad(IMAGE, ((0, 0), (1, 0), (0, 0), (0, 0)))[..., :-1])


def test_shapes_that_are_computed(tmp_path: Path) -> None:
    """What PyTorch exports for `x.view(x.shape[0], -1)` and the like, integer division included."""
    nodes = [
        node("Shape", ["image"], ["shape"]),
        node("Constant", [], ["first"], value_int=0),
        node("Gather", ["shape", "first"], ["batch"], axis=0),
        node("Constant", [], ["axis"], value=onnx.numpy_helper.from_array(whole(0))),
        node("Unsqueeze", ["batch", "axis"], ["batch1"]),
        node("Constant", [], ["two"], value_ints=[2]),
        node("Gather", ["shape", "two"], ["height"], axis=0),
        node("Div", ["height", "two"], ["half"]),
        node("Sub", ["height", "half"], ["rest"]),
        node("Constant", [], ["minus"], value_ints=[-1]),
        node("Concat", ["batch1", "rest", "minus"], ["target"], axis=0),
        node("Reshape", ["image", "target"], ["reshaped"]),
        node("Constant", [], ["scale"], value_float=0.5),
        node("Mul", ["reshaped", "scale"], ["scaled"]),
        node("Constant", [], ["shift"], value_floats=[1.0]),
        node("Add", ["scaled", "shift"], ["out"]),
    ]
    image = real(2, 5, 9, 3)
    ours, theirs = run_both(graph_of(nodes, {}, image.shape, 17), image, tmp_path / "shapes.onnx")
    assert ours.shape == (2, 5, 27)
    np.testing.assert_allclose(ours, theirs)


def test_half_precision_weights_are_cast_once(tmp_path: Path) -> None:
    weight = real(4, 3, 1, 1).astype(np.float16)
    nodes = [node("Cast", ["half"], ["w"], to=1), node("Conv", ["image", "w"], ["out"], kernel_shape=[1, 1])]
    model = graph_of(nodes, {"half": weight}, IMAGE.shape, 17)
    ours, theirs = run_both(model, IMAGE, tmp_path / "half.onnx")
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    module = load_onnx(tmp_path / "half.onnx", ["out"])
    assert [buffer.dtype for buffer in module.buffers()] == [torch.float32]
    assert list(module.parameters()) == []


def test_only_the_requested_tensors_are_computed(tiny: Callable[..., Path]) -> None:
    module = load_onnx(tiny(), ["block", "stem"])
    block, stem = module(torch.zeros(1, 3, 32, 32))
    assert (block.shape, stem.shape) == ((1, 8, 8, 8), (1, 4, 16, 16))
    assert len(list(module.buffers())) == 4  # w1, w2, b2, w3


def test_a_tensor_that_does_not_depend_on_the_image(tmp_path: Path) -> None:
    nodes = [node("Relu", ["image"], ["used"]), node("Neg", ["w"], ["out"])]
    onnx.save(graph_of(nodes, {"w": real(3)}, IMAGE.shape, 17), tmp_path / "constant.onnx")
    (out,) = load_onnx(tmp_path / "constant.onnx", ["out"])(torch.from_numpy(IMAGE))
    assert out.shape == (3,)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [node("LSTM", ["image"], ["out"], "cell")],
            "node 'cell' uses LSTM, which is not supported in PyTorch",
        ),
        (
            [node("Relu", ["image"], ["out"], "r", domain="own")],
            r"node 'r' uses own\.Relu, which is not supported",
        ),
        ([node("Mystery", ["image"], ["out"])], "node '#0' uses Mystery"),
        (
            [node("MaxPool", ["image"], ["x", "out"], "p", kernel_shape=[1, 1])],
            "node 'p': only one output of MaxPool",
        ),
        ([node("Relu", ["image"], ["x"])], "the graph has no tensor 'out'"),
        (
            [node("Constant", [], ["out"], "c", value_string="a")],
            "node 'c': Constant with the value value_string",
        ),
        ([node("Cast", ["image"], ["out"], "c", to=8)], "node 'c': Cast with data type 8 is not supported"),
        ([node("MaxPool", ["image"], ["out"], "p", kernel_shape=[3])], "node 'p': MaxPool with 2-D windows"),
        (
            [node("AveragePool", ["image"], ["out"], "p", kernel_shape=[2, 2], dilations=[2, 2])],
            "with dilations",
        ),
        (
            [node("BatchNormalization", ["image", *"abcd"], ["out"], "n", training_mode=1)],
            "node 'n': BatchNormalization with training_mode",
        ),
        (
            [node("Pad", ["image", "p"], ["out"], mode="reflect")],
            "Pad with mode reflect on the batch or the channels",
        ),
    ],
)
def test_unsupported_operators_are_reported(nodes: list[Any], message: str, tmp_path: Path) -> None:
    weights = dict.fromkeys("abcd", CHANNELS["var"]) | {"p": whole(0, 1, 0, 0, 0, 1, 0, 0)}
    onnx.save(graph_of(nodes, weights, IMAGE.shape, 19), tmp_path / "odd.onnx")
    with pytest.raises(ModelError, match=message) as caught:
        load_onnx(tmp_path / "odd.onnx", ["out"])(torch.from_numpy(IMAGE))
    assert "\n" not in str(caught.value)


def test_invalid_files_are_refused(tmp_path: Path, save_graph: Callable[..., Path]) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(ModelError, match="not a valid ONNX model"):
        load_onnx(tmp_path / "text.onnx", ["out"])
    path = save_graph([node("Add", ["image", "other"], ["out"])], {}, ["out"], inputs=["image", "other"])
    with pytest.raises(ModelError, match="the graph has 2 inputs; expected one"):
        load_onnx(path, ["out"])
