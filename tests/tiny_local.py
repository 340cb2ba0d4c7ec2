"""Networks with a local head, made in milliseconds: keypoints where a filter answers, descriptors from a small map."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kindred.backbones import Card, Tap
from kindred.backbones.card import LocalHead, digest_of
from tiny_model import _convolution, _model, _node, _number, _part, _tensor, _value

DIMENSION = 24


def make_local_model(folder: Path, *, name: str = "eyes", seed: int = 3, signs: bool = False) -> Path:
    """Write NAME.onnx and its card: scores from a 3 × 3 filter, descriptors (24 channels, stride 4)."""
    random = np.random.default_rng(seed)
    weights = {
        "w1": random.normal(0, 0.3, (1, 3, 3, 3)).astype(np.float32),
        "w2": random.normal(0, 0.3, (16, 3, 3, 3)).astype(np.float32),
        "w3": random.normal(0, 0.3, (DIMENSION, 16, 3, 3)).astype(np.float32),
    }
    nodes = [
        *_convolution("image", "w1", "scores", stride=1, pad=1),
        *_convolution("image", "w2", "inner", stride=2, pad=1),
        *_convolution("inner", "w3", "descriptors", stride=2, pad=1),
    ]
    path = _written(folder, name, _model(nodes, weights, outputs=("inner", "scores", "descriptors")))
    taps = (
        Tap(name="inner", tensor="inner", channels=16, stride=2),
        Tap(name="scores", tensor="scores", channels=1, stride=1),
        Tap(name="descriptors", tensor="descriptors", channels=DIMENSION, stride=4),
    )
    head = LocalHead(scores="scores", descriptors="descriptors", signs=signs, ratio=0.95)
    _card(path, taps, "inner", head).save(path.with_suffix(".toml"))
    return path


def make_local_pair(folder: Path, *, name: str = "pair", dimension: int = 8) -> Path:
    """Write NAME.onnx with scores and one level, and NAME_describe.onnx that describes points by their position."""
    random = np.random.default_rng(5)
    weights = {
        "w1": random.normal(0, 0.3, (1, 3, 3, 3)).astype(np.float32),
        "w2": random.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32),
    }
    nodes = [
        *_convolution("image", "w1", "scores", stride=1, pad=1),
        *_convolution("image", "w2", "level1", stride=4, pad=1),
    ]
    path = _written(folder, name, _model(nodes, weights, outputs=("scores", "level1")))
    matrix = {"w": random.normal(0, 1, (2, dimension)).astype(np.float32)}
    graph = _part(1, _node("MatMul", ["points", "w"], "descriptors", {})) + _part(2, b"describe")
    graph += _part(5, _tensor("w", matrix["w"]))
    graph += _part(11, _value("points", ("N", 2))) + _part(11, _value("window", (4,)))
    graph += _part(11, _value("level1", (1, 4, "H", "W"))) + _part(12, _value("descriptors", ("N", dimension)))
    model = _number(1, 8) + _part(7, graph) + _part(8, _part(1, b"") + _number(2, 17))
    second = _written(folder, f"{name}_describe", model)
    taps = (
        Tap(name="scores", tensor="scores", channels=1, stride=1),
        Tap(name="level1", tensor="level1", channels=4, stride=4),
    )
    head = LocalHead(
        scores="scores",
        describe=second.name,
        describe_digest=digest_of(second),
        dimension=dimension,
        multiple=16,
        precision="f32",
    )
    _card(path, taps, "level1", head).save(path.with_suffix(".toml"))
    return path


def make_pyramid(folder: Path, *, name: str = "pyramid") -> Path:
    """Write NAME.onnx and its card: maps of strides 4, 8 and 16, to which a local head can be attached."""
    random = np.random.default_rng(11)
    weights = {
        "w1": random.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32),
        "w2": random.normal(0, 0.3, (12, 8, 3, 3)).astype(np.float32),
        "w3": random.normal(0, 0.3, (16, 12, 3, 3)).astype(np.float32),
    }
    nodes = [
        *_convolution("image", "w1", "quarter", stride=4, pad=1),
        *_convolution("quarter", "w2", "eighth", stride=2, pad=1),
        *_convolution("eighth", "w3", "deep", stride=2, pad=1),
    ]
    path = _written(folder, name, _model(nodes, weights, outputs=("quarter", "eighth", "deep")))
    taps = (
        Tap(name="quarter", tensor="quarter", channels=8, stride=4),
        Tap(name="eighth", tensor="eighth", channels=12, stride=8),
        Tap(name="deep", tensor="deep", channels=16, stride=16),
    )
    _card(path, taps, "deep", None).save(path.with_suffix(".toml"))
    return path


def _written(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    path.write_bytes(content)
    return path


def _card(path: Path, taps: tuple[Tap, ...], default: str, head: LocalHead | None) -> Card:
    return Card(
        name=path.stem,
        file=path.name,
        digest=digest_of(path),
        mean=(127.5, 127.5, 127.5),
        std=(64.0, 64.0, 64.0),
        input_name="image",
        default_tap=default,
        taps=taps,
        local=head,
    )
