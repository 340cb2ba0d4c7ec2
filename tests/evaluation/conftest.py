"""A network so small that what it says of a picture can be worked out by hand: it sees nothing but colour."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kindred.recipe import Recipe

Paint = Callable[[str, str], Path]


@pytest.fixture
def colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A recipe whose vectors are the mean colour: how much more red, green, blue than grey, and how much less."""
    onnx = pytest.importorskip("onnx")
    from kindred.backbones import add_model

    monkeypatch.setenv("KINDRED_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KINDRED_DEVICE", raising=False)
    three = np.eye(3, dtype=np.float32)
    weights = {"w": np.concatenate([three, -three])[:, :, None, None]}
    nodes = [
        onnx.helper.make_node("AveragePool", ["image"], ["means"], "means", kernel_shape=[8, 8], strides=[8, 8]),
        onnx.helper.make_node("Conv", ["means", "w"], ["signed"], "signed", kernel_shape=[1, 1]),
        onnx.helper.make_node("Relu", ["signed"], ["colours"], "colours"),
    ]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "graph",
        [value("image", 1, ["batch", 3, "height", "width"])],
        [value("colours", 1, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "colours.onnx")
    add_model(tmp_path / "colours.onnx", mean=[127.5] * 3, std=[127.5] * 3)
    return Recipe("colours", "colours", size=64, multiple=8, pooling="average")


@pytest.fixture
def paint(tmp_path: Path) -> Paint:
    """Return a function that writes a 64 × 32 picture of one colour, or of two side by side ("red blue")."""

    def write(name: str, colour: str) -> Path:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        left, _, right = colour.partition(" ")
        picture = Image.new("RGB", (64, 32), left)
        picture.paste(right or left, (32, 0, 64, 32))
        picture.save(path)
        return path

    return write
