"""`load`, and the contract of every available model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.backbones import Engine, list_models, load, load_card, zoo
from kindred.backbones.card import Card
from kindred.errors import ModelError, UsageError

BUNDLED = [entry.name for entry in list_models() if entry.bundled]
# Without a local head of two graphs, which PyTorch does not run: tests/features/test_local_network.py.
KNOWN = [
    path.stem
    for path in sorted((Path(zoo.__file__).parent / "known").glob("*.toml"))
    if "describe" not in path.read_text(encoding="utf-8")
]

# The means of the default tap's first six channels that are not dead, and its norm, for the synthetic picture
# (stretched for a network of one size): from onnxruntime 1.32 in float32, preprocessed by hand.
GOLDEN: dict[str, tuple[list[float], float]] = {
    "efficientnet_lite1": ([5.9709, 2.3013, 0.20173, 0.18826, 0.038952, 0.025269], 171.57),
    "mobilenet_edgetpu": ([4.6379, 0.14564, 0.32385, 3.6243, 11.592, 4.6299], 362.44),
    "mobilenet_v2": ([0.022386, 1.3604, 1.5025, 1.2647, 2.5837, 2.6559], 186.94),
    "resnet50v2_conv4": ([0.022115, 0.00055922, 0.0093893, 0.00029547, 0.00076347, 0.0053403], 10.224),
    "squeezenet1_1": ([0.83284, 4.2565, 2.6681, 108.97, 19.665, 1.5076], 1851.8),
    "ssd_mobilenet_v1_coco": ([0.0090726, 0.15432, 0.1837, 0.12773, 0.00065598, 0.0044671], 137.71),
}


@pytest.fixture(scope="module", params=[*BUNDLED, *KNOWN])
def model(request: pytest.FixtureRequest) -> str | Path:
    if request.param in BUNDLED:
        return str(request.param)
    shared: Path = request.getfixturevalue("shared")
    return shared / "weights" / f"{request.param}.onnx"


@pytest.fixture(scope="module")
def engine(model: str | Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The model in OpenVINO, with all its taps."""
    taps = [tap.name for tap in load_card(model)[0].taps]
    cache = tmp_path_factory.mktemp("cache")
    return load(model, taps=taps, engine="openvino", device="cpu", precision="f32", cache_dir=cache)


def sizes(card: Card) -> list[tuple[int, int]]:
    return [(64, 96), (97, 131)] if card.input_size is None else [card.input_size]


def stretched(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the picture with rows and columns repeated to that size."""
    rows, columns = (np.arange(side) * have // side for side, have in zip(size, picture.shape[1:3], strict=True))
    return np.ascontiguousarray(picture[:, rows][:, :, columns])


def test_channels_and_strides_match_the_card(engine: Engine, picture: NDArray[np.uint8]) -> None:
    for size in sizes(engine.card):
        for tap, maps in zip(engine.taps, engine.run(stretched(picture, size)), strict=True):
            assert maps.shape[:2] == (1, tap.channels)
            for part, whole in zip(maps.shape[2:], size, strict=True):
                assert abs(part - whole / tap.stride) < 2
            assert np.isfinite(maps).all()


def test_a_map_grows_by_one_cell_for_a_stride(engine: Engine, picture: NDArray[np.uint8]) -> None:
    if engine.card.input_size is not None:
        with pytest.raises(UsageError, match=r"takes images of .* pixels only"):
            engine.run(picture)
        return
    shapes = [
        tuple(maps.shape[2:] for maps in engine.run(stretched(picture, size))) for size in ((96, 128), (160, 256))
    ]
    for tap, before, after in zip(engine.taps, *shapes, strict=True):
        assert (after[0] - before[0], after[1] - before[1]) == (64 // tap.stride, 128 // tap.stride)


def test_a_batch_equals_its_images_one_by_one(engine: Engine, picture: NDArray[np.uint8]) -> None:
    image = stretched(picture, sizes(engine.card)[0])
    batch = np.concatenate([image, 255 - image, image[:, ::-1]])
    for whole, *alone in zip(engine.run(batch), *(engine.run(one[None]) for one in batch), strict=True):
        scale = np.abs(whole).max()
        np.testing.assert_allclose(whole, np.concatenate(alone), rtol=1e-3, atol=1e-4 * scale)


def test_pytorch_agrees(model: str | Path, engine: Engine, picture: NDArray[np.uint8]) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    other = load(model, taps=[tap.name for tap in engine.taps], engine="torch")
    for size in sizes(engine.card):
        image = stretched(picture, size)
        for tap, a, b in zip(engine.taps, engine.run(image), other.run(image), strict=True):
            assert a.shape == b.shape, tap
            cosine = float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))
            assert cosine >= 0.99999, tap


def test_golden_numbers(engine: Engine, picture: NDArray[np.uint8]) -> None:
    card = engine.card
    if card.name in BUNDLED:
        pytest.skip("a bundled model may be trained anew; its card's digest says which it is")
    found = engine.run(stretched(picture, card.input_size or (96, 128)))
    maps = found[card.taps.index(card.tap(card.default_tap))]
    means, norm = GOLDEN[card.name]
    pooled = maps.mean((0, 2, 3))
    np.testing.assert_allclose(pooled[pooled != 0][:6], means, rtol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(maps), norm, rtol=1e-3)


def test_the_default_engine_is_openvino(tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    zoo.add_model(tiny(), mean=(0, 0, 0), std=(1, 1, 1))
    engine = load("tiny", taps="stem", threads=1)
    assert isinstance(engine, Engine)
    assert type(engine).__name__ == "OpenVINOEngine"
    assert [tap.name for tap in engine.taps] == ["stem"]
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    other = load("tiny", engine="torch")
    assert isinstance(other, Engine)
    assert (type(other).__name__, other.device) == ("TorchEngine", "cpu")
    monkeypatch.setenv("KINDRED_DEVICE", "tpu")
    with pytest.raises(UsageError, match="device is 'tpu'"):
        load("tiny")
    assert type(load("tiny", device="cpu")).__name__ == "OpenVINOEngine"


def test_invalid_engines_are_refused() -> None:
    with pytest.raises(UsageError, match="engine is 'onnx'; expected 'auto', 'openvino' or 'torch'"):
        load("tiny", engine="onnx")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="engine 'openvino' runs on the CPU, not on device 'cuda'"):
        load("tiny", engine="openvino", device="cuda")
    with pytest.raises(ModelError, match="unknown model 'tiny'"):
        load("tiny")
