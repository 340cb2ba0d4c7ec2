"""A network of two random convolutions with its card, made in milliseconds, and recipes that use it.

With it the tests of everything above the backbones need neither the bundled network nor development data. The
ONNX file is written byte by byte (it is protobuf, see onnx.proto), because the package `onnx` comes with the
training extra only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.backbones import Card, Tap
from kindred.backbones.card import digest_of
from kindred.recipe import Recipe

CHANNELS = 32
STRIDE = 16


def make_model(folder: Path, *, name: str = "tiny", seed: int = 7, padded: bool = True, scale: float = 1.0) -> Path:
    """Write NAME.onnx and its card NAME.toml; return the former.

    Its taps are "shallow" (16 channels, stride 4) and "deep" (32, 16), the default. Not `padded`, it has no map
    for an image of less than 11 pixels. `scale` multiplies its output.
    """
    random = np.random.default_rng(seed)
    weights = {
        "w1": random.normal(0, 0.3, (16, 3, 3, 3)).astype(np.float32),
        "w2": (scale * random.normal(0, 0.3, (CHANNELS, 16, 3, 3))).astype(np.float32),
    }
    pad = 1 if padded else 0
    nodes = [
        *_convolution("image", "w1", "shallow", stride=4, pad=pad),
        *_convolution("shallow", "w2", "deep", stride=4, pad=pad),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    path.write_bytes(_model(nodes, weights, outputs=("shallow", "deep")))
    taps = (
        Tap(name="shallow", tensor="shallow", channels=16, stride=4),
        Tap(name="deep", tensor="deep", channels=CHANNELS, stride=STRIDE),
    )
    card = Card(
        name=name,
        file=path.name,
        digest=digest_of(path),
        mean=(127.5, 127.5, 127.5),
        std=(64.0, 64.0, 64.0),
        input_name="image",
        default_tap="deep",
        taps=taps,
    )
    card.save(path.with_suffix(".toml"))
    return path


def change_card(path: Path, **changes: object) -> Path:
    """Write the card beside the graph at `path` anew with some values changed; return `path`."""
    card = path.with_suffix(".toml")
    dataclasses.replace(Card.load(card), **changes).save(card)  # type: ignore[arg-type]
    return path


def make_recipe(folder: Path, **changes: object) -> Recipe:
    """Make a model in `folder` and a recipe for it: 64 pixels, GeM, and whatever `changes` say."""
    recipe = Recipe(name="tiny", backbone=str(make_model(folder)), size=64)
    return dataclasses.replace(recipe, **changes)  # type: ignore[arg-type]


@contextmanager
def home(folder: Path) -> Iterator[Path]:
    """Let Kindred keep models and compiled graphs in `folder`, not with those of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINDRED_HOME", str(folder))
        patch.delenv("KINDRED_DEVICE", raising=False)
        yield folder


def _convolution(before: str, weights: str, after: str, *, stride: int, pad: int) -> Iterator[bytes]:
    """A 3 × 3 convolution and a ReLU, as ONNX nodes."""
    attributes = {"kernel_shape": [3, 3], "strides": [stride] * 2, "pads": [pad] * 4}
    yield _node("Conv", [before, weights], f"{after}.conv", attributes)
    yield _node("Relu", [f"{after}.conv"], after, {})


def _model(nodes: Sequence[bytes], weights: dict[str, NDArray[np.float32]], *, outputs: Sequence[str]) -> bytes:
    graph = b"".join(_part(1, node) for node in nodes) + _part(2, b"tiny")
    graph += b"".join(_part(5, _tensor(name, values)) for name, values in weights.items())
    graph += _part(11, _value("image", ("batch", 3, "height", "width")))
    graph += b"".join(_part(12, _value(name, ("batch", "channels", "h", "w"))) for name in outputs)
    return _number(1, 8) + _part(7, graph) + _part(8, _part(1, b"") + _number(2, 17))


def _node(kind: str, inputs: Sequence[str], output: str, attributes: dict[str, list[int]]) -> bytes:
    node = b"".join(_part(1, name.encode()) for name in inputs) + _part(2, output.encode())
    node += _part(3, output.encode()) + _part(4, kind.encode())
    for name, values in attributes.items():
        integers = b"".join(_number(8, value) for value in values)
        node += _part(5, _part(1, name.encode()) + integers + _number(20, 7))
    return node


def _tensor(name: str, values: NDArray[np.float32]) -> bytes:
    sizes = b"".join(_number(1, size) for size in values.shape)
    return sizes + _number(2, 1) + _part(8, name.encode()) + _part(9, values.astype("<f4").tobytes())


def _value(name: str, sizes: Sequence[int | str]) -> bytes:
    shape = b"".join(_part(1, _number(1, size) if isinstance(size, int) else _part(2, size.encode())) for size in sizes)
    return _part(1, name.encode()) + _part(2, _part(1, _number(1, 1) + _part(2, shape)))


def _part(field: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    """A whole number as a protobuf field."""
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    coded = bytearray()
    while value > 127:
        coded.append(value & 127 | 128)
        value >>= 7
    return bytes([*coded, value])
