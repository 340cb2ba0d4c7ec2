from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.backbones.card import Card
from kindred.backbones.openvino import OpenVINOEngine
from kindred.backbones.torch import TorchEngine
from kindred.backbones.zoo import add_model, load_card
from kindred.errors import MissingExtra, ModelError, UsageError

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")


@pytest.fixture
def small(tiny: Callable[..., Path]) -> tuple[Card, Path]:
    add_model(tiny(), mean=(100, 120, 140), std=(50, 60, 70), channel_order="BGR")
    return load_card("tiny")


def test_it_equals_openvino(small: tuple[Card, Path], picture: NDArray[np.uint8]) -> None:
    taps = ("deep", "stem", "block")
    ours = TorchEngine(*small, taps=taps)
    assert (ours.device, ours.precision) == ("cpu", "f32")
    theirs = OpenVINOEngine(*small, taps=taps, precision="f32")
    for a, b in zip(ours.run(picture), theirs.run(picture), strict=True):
        assert a.dtype == np.float32
        assert a.flags.c_contiguous
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_layout_nhwc(save_graph: Callable[..., Path], picture: NDArray[np.uint8]) -> None:
    node = pytest.importorskip("onnx").helper.make_node
    nodes = [
        node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        node("AveragePool", ["planes"], ["map"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    add_model(save_graph(nodes, {}, ["map"], shape=("b", "h", "w", 3)), mean=(1, 2, 3), std=(4, 5, 6))
    (ours,) = TorchEngine(*load_card("tiny")).run(picture)
    (theirs,) = OpenVINOEngine(*load_card("tiny"), precision="f32").run(picture)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_network_in_half_precision(save_graph: Callable[..., Path], picture: NDArray[np.uint8]) -> None:
    onnx = pytest.importorskip("onnx")
    nodes = [onnx.helper.make_node("Conv", ["image", "w"], ["map"], kernel_shape=[2, 2], strides=[2, 2])]
    weights = {"w": np.full((4, 3, 2, 2), 0.25, np.float16)}
    add_model(save_graph(nodes, weights, ["map"], dtype=onnx.TensorProto.FLOAT16), mean=(1, 2, 3), std=(9, 9, 9))
    (ours,) = TorchEngine(*load_card("tiny")).run(picture)
    (theirs,) = OpenVINOEngine(*load_card("tiny"), precision="f32").run(picture)
    assert ours.dtype == theirs.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=1e-2, atol=1e-2)


def test_a_stream_equals_runs_in_order(small: tuple[Card, Path], picture: NDArray[np.uint8]) -> None:
    engine = TorchEngine(*small)
    work = [(f"#{at}", np.roll(picture, at, axis=1)[:, : 32 + 8 * (at % 3)]) for at in range(5)]
    taken = 0

    def source() -> Iterator[tuple[str, NDArray[np.uint8]]]:
        nonlocal taken
        for entry in work:
            taken += 1
            yield entry

    tokens = []
    for finished, (token, maps) in enumerate(engine.stream(source())):
        assert taken - finished <= 2
        tokens.append(token)
        np.testing.assert_allclose(maps[0], engine.run(work[finished][1])[0], rtol=1e-5, atol=1e-5)
    assert tokens == [token for token, _ in work]


def test_read_only_batches(small: tuple[Card, Path], picture: NDArray[np.uint8]) -> None:
    frozen = picture.copy()
    frozen.flags.writeable = False
    engine = TorchEngine(*small)
    assert np.array_equal(engine.run(frozen)[0], engine.run(picture)[0])


def test_bfloat16(small: tuple[Card, Path], picture: NDArray[np.uint8]) -> None:
    exact, coarse = TorchEngine(*small), TorchEngine(*small, precision="bf16")
    assert coarse.precision == "bf16"
    a, b = exact.run(picture)[0].ravel(), coarse.run(picture)[0].ravel()
    assert not np.array_equal(a, b)
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.999


def test_too_small_images_are_refused(save_graph: Callable[..., Path]) -> None:
    node = pytest.importorskip("onnx").helper.make_node
    nodes = [node("Conv", ["image", "w"], ["map"], kernel_shape=[9, 9])]
    add_model(save_graph(nodes, {"w": np.ones((2, 3, 9, 9), np.float32)}, ["map"]), mean=(0, 0, 0), std=(1, 1, 1))
    with pytest.raises(UsageError, match="tiny cannot take 1 images of 5 × 4 pixels: ") as caught:
        TorchEngine(*load_card("tiny")).run(np.zeros((1, 4, 5, 3), np.uint8))
    assert "\n" not in str(caught.value)


def test_a_graph_with_another_digest_is_refused(small: tuple[Card, Path]) -> None:
    card, path = small
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="is not the graph that its card describes"):
        TorchEngine(card, path)


def test_a_card_with_other_channels_is_refused(small: tuple[Card, Path], picture: NDArray[np.uint8]) -> None:
    card, path = small
    wrong = replace(card, taps=tuple(replace(tap, channels=tap.channels + 1) for tap in card.taps))
    engine = TorchEngine(wrong, path, taps=["stem", "deep"])
    with pytest.raises(ModelError, match=r"tiny.onnx: tap stem has \d+ channels, but its card declares \d+; corr"):
        engine.run(picture)


def test_invalid_options_are_refused(small: tuple[Card, Path]) -> None:
    with pytest.raises(UsageError, match="device is 'tpu'; expected 'cpu', 'cuda'"):
        TorchEngine(*small, device="tpu")
    with pytest.raises(UsageError, match="precision is 'f16'"):
        TorchEngine(*small, precision="f16")  # type: ignore[arg-type]
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match=r"device is 'cuda:1', but this PyTorch .* finds no CUDA device"):
            TorchEngine(*small, device="cuda:1")


@pytest.mark.parametrize("package", ["torch", "onnx"])
def test_missing_packages_are_reported(small: tuple[Card, Path], package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match="pip install torch onnx"):
        TorchEngine(*small)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_the_cpu(small: tuple[Card, Path], picture: NDArray[np.uint8]) -> None:
    engine = TorchEngine(*small, device="cuda", precision="f32")
    np.testing.assert_allclose(engine.run(picture)[0], TorchEngine(*small).run(picture)[0], rtol=1e-2, atol=1e-2)
    assert [token for token, _ in engine.stream([(at, picture) for at in range(4)])] == [0, 1, 2, 3]
