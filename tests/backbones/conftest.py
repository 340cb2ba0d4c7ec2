"""Small synthetic graphs, and a temporary home folder for each test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

MakeGraph = Callable[..., Path]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("KINDRED_HOME", str(folder))
    monkeypatch.delenv("KINDRED_DEVICE", raising=False)
    return folder


@pytest.fixture(scope="session")
def picture() -> NDArray[np.uint8]:
    """A batch of one synthetic image, (1, 96, 128, 3): stripes and squares, the same on every machine."""
    y, x, c = np.meshgrid(np.arange(96), np.arange(128), np.arange(3), indexing="ij")
    return ((3 * x + 5 * y + 40 * c + x * y // 7) % 256).astype(np.uint8)[None]


@pytest.fixture
def save_graph(tmp_path: Path) -> MakeGraph:
    """Return a function that writes nodes as an ONNX file: one input "image", the outputs named."""
    onnx = pytest.importorskip("onnx")

    def save(
        nodes: Sequence[Any],
        weights: dict[str, NDArray[Any]],
        outputs: Sequence[str],
        *,
        shape: Sequence[int | str] = ("batch", 3, "height", "width"),
        inputs: Sequence[str] = ("image",),
        opset: int = 17,
        name: str = "tiny.onnx",
        dtype: int = 1,
    ) -> Path:
        graph = onnx.helper.make_graph(
            list(nodes),
            "graph",
            [onnx.helper.make_tensor_value_info(entry, dtype, list(shape)) for entry in inputs],
            [onnx.helper.make_tensor_value_info(entry, dtype, None) for entry in outputs],
            [onnx.numpy_helper.from_array(value, key) for key, value in weights.items()],
        )
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
        path = tmp_path / name
        onnx.save(model, path)
        return path

    return save


@pytest.fixture
def tiny(save_graph: MakeGraph) -> MakeGraph:
    """Return a function that writes a small residual classifier without a feature map among its outputs.

    Trunk: stem (4 channels, stride 2), block (8, 4), deep (6, 8); then a head for a 2-class output.
    """
    onnx = pytest.importorskip("onnx")
    random = np.random.default_rng(7)
    weights = {
        "w1": random.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32),
        "w2": random.normal(0, 0.3, (8, 4, 3, 3)).astype(np.float32),
        "b2": random.normal(0, 0.3, 8).astype(np.float32),
        "w3": random.normal(0, 0.3, (8, 8, 3, 3)).astype(np.float32),
        "w4": random.normal(0, 0.3, (6, 8, 1, 1)).astype(np.float32),
        "w5": random.normal(0, 0.3, (6, 2)).astype(np.float32),
    }
    node = onnx.helper.make_node
    same = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        node("Conv", ["image", "w1"], ["stem.conv"], "stem.conv", strides=[2, 2], **same),
        node("Relu", ["stem.conv"], ["stem"], "stem"),
        node("Conv", ["stem", "w2", "b2"], ["down"], "down", strides=[2, 2], **same),
        node("Relu", ["down"], ["trunk"], "trunk"),
        node("Conv", ["trunk", "w3"], ["branch"], "branch", **same),
        node("Add", ["branch", "trunk"], ["sum"], "sum"),
        node("Relu", ["sum"], ["block"], "block"),
        node("MaxPool", ["block"], ["pool"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["pool", "w4"], ["deep"], "deep", kernel_shape=[1, 1]),
        node("GlobalAveragePool", ["deep"], ["mean"], "mean"),
        node("Flatten", ["mean"], ["flat"], "flat"),
        node("Gemm", ["flat", "w5"], ["logits"], "logits"),
    ]

    def save(outputs: Sequence[str] = ("logits",), **options: Any) -> Path:
        return save_graph(nodes, weights, outputs, **options)

    return save
