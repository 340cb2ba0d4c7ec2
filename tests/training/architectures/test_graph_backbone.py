"""Models of the zoo as backbones: the maps of the engine, weights that learn, and graphs that stay free in size."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from kindred.backbones import Card, Tap, load_card
from kindred.backbones.card import digest_of
from kindred.backbones.openvino import OpenVINOEngine
from kindred.errors import ModelError, TrainingError
from kindred.training.architectures import Backbone, GraphBackbone, build_backbone

node = onnx.helper.make_node
RANDOM = np.random.default_rng(5)

# A network as TensorFlow exports them, pixels last and blue first, with a batch norm that no convolution can take up,
# a bias of its own, a hard swish in pieces, and a weight at half precision.
WEIGHTS: dict[str, NDArray[Any]] = {
    "scale": np.array([1.1, 0.9, 1.0], np.float32),
    "stem/w": RANDOM.normal(0, 0.4, (8, 3, 3, 3)).astype(np.float16),
    "stem/b": RANDOM.normal(0, 0.4, (1, 8, 1, 1)).astype(np.float32),
    "three": np.array([3], np.float32),
    "low": np.array(0, np.float32),
    "high": np.array(6, np.float32),
    "gamma": RANDOM.uniform(0.5, 2, 8).astype(np.float32),
    "beta": RANDOM.normal(0, 0.4, 8).astype(np.float32),
    "mean": RANDOM.normal(0, 0.4, 8).astype(np.float32),
    "variance": RANDOM.uniform(0.5, 2, 8).astype(np.float32),
    "slope": RANDOM.uniform(0.1, 0.3, (8, 1, 1)).astype(np.float32),
    "deep.w": RANDOM.normal(0, 0.2, (6, 8, 3, 3)).astype(np.float32),
    "deep.b": RANDOM.normal(0, 0.4, 6).astype(np.float32),
    "top.w": RANDOM.normal(0, 0.4, (5, 6, 1, 1)).astype(np.float32),
}
SAME = {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}
NODES = [
    node("Mul", ["image", "scale"], ["scaled"]),
    node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
    node("Cast", ["stem/w"], ["stem/w32"], to=onnx.TensorProto.FLOAT),
    node("Conv", ["planes", "stem/w32"], ["stem/conv"], **SAME),
    node("Add", ["stem/conv", "stem/b"], ["stem"]),
    node("Add", ["stem", "three"], ["plus"]),
    node("Clip", ["plus", "low", "high"], ["gate"]),
    node("Mul", ["stem", "gate"], ["swished"]),
    node("BatchNormalization", ["swished", "gamma", "beta", "mean", "variance"], ["normal"], epsilon=1e-3),
    node("PRelu", ["normal", "slope"], ["block"]),
    node("Conv", ["block", "deep.w", "deep.b"], ["deep/conv"], **SAME),
    node("Relu", ["deep/conv"], ["deep"]),
    node("MaxPool", ["deep"], ["pooled"], **SAME),
    node("Conv", ["pooled", "top.w"], ["top"], kernel_shape=[1, 1]),
]
LEARNED = {
    "network.weight_stem_w32": (8, 3, 3, 3),
    "network.weight_stem_b": (1, 8, 1, 1),
    "network.weight_gamma": (8,),
    "network.weight_beta": (8,),
    "network.weight_slope": (8, 1, 1),
    "network.weight_deep_w": (6, 8, 3, 3),
    "network.weight_deep_b": (6,),
}
TAPS = (("top", 5, 8), ("stem", 8, 2), ("deep", 6, 4))  # not in order of depth


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINDRED_HOME", str(tmp_path / "home"))


def write(
    path: Path,
    nodes: Sequence[Any],
    weights: Mapping[str, NDArray[Any]],
    outputs: Sequence[str],
    *,
    shape: Sequence[int | str] = ("N", "H", "W", 3),
    dtype: int = onnx.TensorProto.FLOAT,
) -> Path:
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        list(nodes),
        "graph",
        [info("image", dtype, list(shape))],
        [info(name, dtype, None) for name in outputs],
        [numpy_helper.from_array(value, key) for key, value in weights.items()],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def card_of(path: Path, taps: Sequence[tuple[str, int, int]], **facts: Any) -> Card:
    made = tuple(Tap(name=name, tensor=name, channels=channels, stride=stride) for name, channels, stride in taps)
    known: dict[str, Any] = {"mean": (120, 110, 100), "std": (60, 50, 40), "input_name": "image"}
    return Card(name=path.stem, file=path.name, digest=digest_of(path), taps=made, **{**known, **facts})


@pytest.fixture
def tiny(tmp_path: Path) -> tuple[Card, Path]:
    path = write(tmp_path / "tiny.onnx", NODES, WEIGHTS, ["top"])
    card = card_of(path, TAPS, default_tap="deep", layout="NHWC", channel_order="BGR")
    card.save(path.with_suffix(".toml"))
    return card, path


def pixels(height: int, width: int, count: int = 2) -> NDArray[np.uint8]:
    """Smooth images, (count, height, width, 3), the same every time."""
    y, x, c, n = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), np.arange(count), indexing="ij")
    waves = 128 + 60 * np.sin(x / (7 + c + n)) + 60 * np.cos(y / (5 + 2 * c))
    return np.ascontiguousarray(waves.astype(np.uint8).transpose(3, 0, 1, 2))


def normalised(images: NDArray[np.uint8], backbone: Backbone) -> Tensor:
    scaled = (torch.from_numpy(images).float() - torch.tensor(backbone.mean)) / torch.tensor(backbone.std)
    return scaled.permute(0, 3, 1, 2)


def similarities(ours: Sequence[Tensor], theirs: Sequence[NDArray[np.float32]]) -> list[float]:
    pairs = [
        (a.detach().double().ravel(), torch.from_numpy(b).double().ravel()) for a, b in zip(ours, theirs, strict=True)
    ]
    return [float(torch.cosine_similarity(a, b, dim=0)) for a, b in pairs]


@pytest.fixture(scope="module")
def kin() -> GraphBackbone:
    backbone = build_backbone("kin")
    assert isinstance(backbone, GraphBackbone)
    return backbone


def test_kin_gives_the_maps_of_the_engine(kin: GraphBackbone, tmp_path: Path) -> None:
    card, path = load_card("kin")
    names = [tap.name for tap in kin.taps]
    images = pixels(96, 128)
    theirs = OpenVINOEngine(card, path, taps=names, precision="f32", cache_dir=tmp_path).run(images)
    with torch.no_grad():
        maps = kin(normalised(images, kin))
    assert list(maps) == names
    assert min(similarities(list(maps.values()), theirs)) >= 0.99999
    assert [tuple(value.shape[1:]) for value in maps.values()] == [(32, 12, 16), (96, 6, 8), (2560, 3, 4)]


def test_kin_is_what_its_card_says(kin: GraphBackbone) -> None:
    card, _ = load_card("kin")
    assert (kin.mean, kin.std) == (card.mean, card.std) == ((127.5,) * 3, (64.0,) * 3)
    assert [(tap.name, tap.channels, tap.stride) for tap in kin.taps] == [
        ("stride8", 32, 8),
        ("stride16", 96, 16),
        ("features", 2560, 32),
    ]
    parameters = list(kin.parameters())
    assert sum(parameter.numel() for parameter in parameters) == 8_156_676
    assert {parameter.dtype for parameter in parameters} == {torch.float32}
    assert list(kin.buffers()) == []


def test_every_weight_of_kin_has_a_gradient(kin: GraphBackbone) -> None:
    maps = kin(normalised(pixels(64, 64), kin))
    maps["features"].square().mean().backward()
    for key, parameter in kin.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().max() > 0, key
    kin.zero_grad()


def test_the_state_of_kin_goes_round(kin: GraphBackbone, tmp_path: Path) -> None:
    changed = build_backbone("kin")
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.mul_(0.9)
    save_file(changed.state_dict(), tmp_path / "tuned.safetensors")
    again = build_backbone("kin", weights=tmp_path / "tuned.safetensors")
    image = normalised(pixels(64, 64), kin)
    with torch.no_grad():
        expected, found, before = changed(image), again(image), kin(image)
    assert torch.equal(found["features"], expected["features"])
    assert not torch.allclose(found["features"], before["features"], rtol=0.01)


def test_pixels_last_and_blue_first(tiny: tuple[Card, Path]) -> None:
    backbone = GraphBackbone(*tiny, last="top")
    images = pixels(37, 52)
    names = [tap.name for tap in backbone.taps]
    assert names == ["stem", "deep", "top"]
    theirs = OpenVINOEngine(*tiny, taps=names, precision="f32").run(images)
    for ours, other in zip(backbone(normalised(images, backbone)).values(), theirs, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), other, rtol=1e-4, atol=1e-4)


def test_taps_end_with_the_default_and_weights_with_them(tiny: tuple[Card, Path]) -> None:
    backbone = build_backbone(str(tiny[1]))
    assert [(tap.name, tap.channels, tap.stride) for tap in backbone.taps] == [("stem", 8, 2), ("deep", 6, 4)]
    assert {key: tuple(value.shape) for key, value in backbone.named_parameters()} == LEARNED
    whole = GraphBackbone(*tiny, last="top")
    assert set(whole.state_dict()) - set(backbone.state_dict()) == {"network.weight_top_w"}
    with pytest.raises(ModelError, match=r"model tiny: unknown tap 'tops'; did you mean 'top'\?"):
        GraphBackbone(*tiny, last="tops")


def test_cutting_drops_what_lies_behind(tiny: tuple[Card, Path]) -> None:
    whole, cut = GraphBackbone(*tiny), GraphBackbone(*tiny)
    cut.cut("stem")
    image = normalised(pixels(32, 32), whole)
    assert torch.equal(cut(image)["stem"], whole(image)["stem"])
    assert [key for key, _ in cut.named_parameters()] == ["network.weight_stem_b", "network.weight_stem_w32"]
    with pytest.raises(TrainingError, match=r"unknown tap 'deep'; known: stem"):
        cut.cut("deep")


def test_constants_and_statistics_do_not_learn(tiny: tuple[Card, Path]) -> None:
    backbone = GraphBackbone(*tiny).train()
    buffers = {key: value.clone() for key, value in backbone.named_buffers()}
    assert sorted(tuple(value.shape) for value in buffers.values()) == [(1,), (3,), (8,), (8,)]
    optimiser = torch.optim.SGD(backbone.parameters(), lr=0.1)
    before = {key: value.detach().clone() for key, value in backbone.named_parameters()}
    backbone(normalised(pixels(32, 32), backbone))["deep"].square().mean().backward()
    optimiser.step()
    assert all(not torch.equal(value, before[key]) for key, value in backbone.named_parameters())
    assert all(torch.equal(value, buffers[key]) for key, value in backbone.named_buffers())


def test_a_few_steps_fit_one_image(tiny: tuple[Card, Path]) -> None:
    backbone = GraphBackbone(*tiny)
    image = normalised(pixels(32, 32), backbone)
    target = torch.rand(2, 6, 8, 8, generator=torch.Generator().manual_seed(1))
    optimiser = torch.optim.Adam(backbone.parameters(), lr=0.02)
    losses = []
    for _ in range(40):
        loss = (backbone(image)["deep"] - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_graphs_that_cannot_be_trained(tiny: tuple[Card, Path], tmp_path: Path) -> None:
    card, path = tiny
    half = write(
        tmp_path / "half.onnx",
        [node("Conv", ["image", "w"], ["map"], kernel_shape=[3, 3])],
        {"w": np.ones((2, 3, 3, 3), np.float16)},
        ["map"],
        shape=("N", 3, "H", "W"),
        dtype=onnx.TensorProto.FLOAT16,
    )
    with pytest.raises(ModelError, match=r"half\.onnx: the graph computes in float16; to train it, export"):
        GraphBackbone(card_of(half, [("map", 2, 1)], default_tap="map"), half)
    with pytest.raises(ModelError, match="is not the graph that its card describes"):
        GraphBackbone(replace(card, digest="0" * 64), path)


def test_inputs_and_outputs_that_are_left_out(tmp_path: Path) -> None:
    """Both have the empty name, and must not be taken for the same tensor."""
    nodes = [
        node("Conv", ["image", "w"], ["conv"], kernel_shape=[3, 3]),
        node("Dropout", ["conv"], ["same", ""]),
        node("Clip", ["same", "", "high"], ["map"]),
    ]
    weights = {"w": np.ones((2, 3, 3, 3), np.float32), "high": np.array(1, np.float32)}
    path = write(tmp_path / "left_out.onnx", nodes, weights, ["map"], shape=("N", 3, "H", "W"))
    backbone = GraphBackbone(card_of(path, [("map", 2, 1)], default_tap="map"), path).train()
    assert torch.equal(backbone(torch.ones(1, 3, 5, 5))["map"], torch.ones(1, 2, 3, 3))


def exported(backbone: Backbone, path: Path) -> Card:
    """Write the backbone as an ONNX graph of free batch, height and width."""

    class Maps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = backbone

        def forward(self, image: Tensor) -> tuple[Tensor, ...]:
            return tuple(self.backbone(image).values())

    axes = {0: "N", 2: "H", 3: "W"}
    names = [f"map{at}" for at in range(len(backbone.taps))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's age, and of constants that it takes for computed
        torch.onnx.export(
            Maps().eval(),
            (torch.zeros(1, 3, 64, 96),),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["image"],
            output_names=names,
            dynamic_axes=dict.fromkeys(["image", *names], axes),
        )
    taps = [(name, tap.channels, tap.stride) for name, tap in zip(names, backbone.taps, strict=True)]
    return card_of(path, taps, default_tap=names[-1], mean=backbone.mean, std=backbone.std)


def same_at_other_sizes(backbone: Backbone, path: Path) -> None:
    card = exported(backbone, path)
    engine = OpenVINOEngine(card, path, taps=[tap.name for tap in card.taps], precision="f32")
    for height, width, count in ((64, 96, 1), (101, 75, 3), (82, 64, 2)):
        images = pixels(height, width, count)
        with torch.no_grad():
            ours = list(backbone(normalised(images, backbone)).values())
        theirs = engine.run(images)
        assert [tuple(value.shape) for value in ours] == [value.shape for value in theirs]
        assert min(similarities(ours, theirs)) >= 0.99999


def test_an_exported_graph_takes_other_sizes(tiny: tuple[Card, Path], tmp_path: Path) -> None:
    same_at_other_sizes(GraphBackbone(*tiny, last="top").eval(), tmp_path / "again.onnx")


def test_kin_exported_takes_other_sizes(kin: GraphBackbone, tmp_path: Path) -> None:
    same_at_other_sizes(kin.eval(), tmp_path / "again.onnx")


def test_shapes_computed_in_the_graph_stay_free(tmp_path: Path) -> None:
    """A shuffle of channels, as exporters write it: N and the sides are asked for, and put into a target shape."""
    nodes = [
        node("Conv", ["image", "w"], ["map"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Shape", ["map"], ["batch"], start=0, end=1),
        node("Shape", ["map"], ["sides"], start=2),
        node("Concat", ["batch", "groups", "sides"], ["split"], axis=0),
        node("Reshape", ["map", "split"], ["grouped"]),
        node("Transpose", ["grouped"], ["turned"], perm=[0, 2, 1, 3, 4]),
        node("Concat", ["zero", "four", "sides"], ["joined"], axis=0),
        node("Reshape", ["turned", "joined"], ["shuffled"]),
    ]
    weights = {
        "w": RANDOM.normal(0, 1, (4, 3, 3, 3)).astype(np.float32),
        "groups": np.array([2, 2]),
        "zero": np.array([0]),
        "four": np.array([4]),
    }
    path = write(tmp_path / "shuffle.onnx", nodes, weights, ["shuffled"], shape=("N", 3, "H", "W"))
    card = card_of(path, [("shuffled", 4, 1)], default_tap="shuffled")
    same_at_other_sizes(GraphBackbone(card, path).eval(), tmp_path / "again.onnx")


def test_the_newer_export_takes_other_sizes(tiny: tuple[Card, Path]) -> None:
    backbone = GraphBackbone(*tiny).eval()
    size = torch.export.Dim.DYNAMIC
    program = torch.export.export(
        backbone, (torch.zeros(2, 3, 32, 48),), dynamic_shapes=({0: size, 2: size, 3: size},), strict=False
    )
    image = normalised(pixels(53, 40, 3), backbone)
    torch.testing.assert_close(program.module()(image), backbone(image))


@pytest.mark.shared
@pytest.mark.parametrize("name", ["mobilenet_edgetpu", "resnet50v2_conv4", "squeezenet1_1", "mobilenet_v2"])
def test_public_networks(name: str, shared: Path, tmp_path: Path) -> None:
    card, path = load_card(shared / "weights" / f"{name}.onnx")
    backbone = build_backbone(str(path)).eval()
    names = [tap.name for tap in backbone.taps]
    assert names[-1] == card.default_tap
    photograph = next((shared / "data" / "grocery" / "train").rglob("*.jpg"))
    images = np.array(Image.open(photograph).convert("RGB").resize((160, 128)))[None]
    theirs = OpenVINOEngine(card, path, taps=names, precision="f32", cache_dir=tmp_path).run(images)
    with torch.no_grad():
        maps = backbone(normalised(images, backbone))
    assert min(similarities(list(maps.values()), theirs)) >= 0.99999
    same_at_other_sizes(backbone, tmp_path / "again.onnx")
