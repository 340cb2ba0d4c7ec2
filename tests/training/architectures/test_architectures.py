"""The architectures have the published layouts, their maps are what their taps say, and a real checkpoint fits."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from kindred.backbones import load
from kindred.errors import ModelError, TrainingError
from kindred.training.architectures import ARCHITECTURES, Backbone, build_backbone, initialise
from published_layouts import PARAMETERS, classifier, features, parameter_count

SMALL = ("alexnet", "googlenet", "resnet18", "resnet50", "mobilenet_v2")


def without_memory(name: str) -> Backbone:
    with torch.device("meta"):
        return ARCHITECTURES[name].build()


def test_every_architecture_has_a_published_layout() -> None:
    assert set(ARCHITECTURES) == set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_keys_and_shapes_are_the_published_ones(name: str) -> None:
    state = without_memory(name).state_dict()
    assert [(key, tuple(value.shape)) for key, value in state.items()] == features(name)


@pytest.mark.parametrize(("name", "published"), PARAMETERS.items())
def test_the_number_of_parameters_is_the_published_one(name: str, published: int) -> None:
    ours = sum(parameter.numel() for parameter in without_memory(name).parameters())
    assert ours == parameter_count(features(name))
    assert ours + parameter_count(classifier(name)) == published


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("size", [(64, 64), (97, 130)])
def test_maps_have_the_channels_and_the_stride_of_their_taps(name: str, size: tuple[int, int]) -> None:
    backbone = without_memory(name)
    maps = backbone(torch.zeros(2, 3, *size, device="meta"))
    assert list(maps) == [tap.name for tap in backbone.taps]
    strides = [tap.stride for tap in backbone.taps]
    assert strides == sorted(strides)
    for tap in backbone.taps:
        batch, channels, height, width = maps[tap.name].shape
        assert (batch, channels) == (2, tap.channels)
        for side, whole in zip((height, width), size, strict=True):
            # AlexNet pads less than it takes: up to a cell and a half are what its map may lack.
            assert -1.6 < side - whole / tap.stride < 1


def test_the_deepest_maps_are_those_of_retrieval_papers() -> None:
    last = {name: without_memory(name).taps[-1] for name in PARAMETERS}
    assert {name: (tap.name, tap.channels, tap.stride) for name, tap in last.items()} == {
        "alexnet": ("conv5", 256, 16),
        "vgg16": ("conv5_3", 512, 16),
        "vgg19": ("conv5_4", 512, 16),
        "googlenet": ("inception5b", 1024, 32),
        "resnet18": ("layer4", 512, 32),
        "resnet34": ("layer4", 512, 32),
        "resnet50": ("layer4", 2048, 32),
        "resnet101": ("layer4", 2048, 32),
        "resnet152": ("layer4", 2048, 32),
        "mobilenet_v2": ("features.18", 1280, 32),
        "efficientnet_lite0": ("features", 1280, 32),
        "efficientnet_lite1": ("features", 1280, 32),
        "efficientnet_lite2": ("features", 1280, 32),
    }


def test_strides_epsilons_and_poolings_that_no_shape_shows() -> None:
    resnet = without_memory("resnet50")
    assert resnet.get_submodule("layer2.0.conv1").stride == (1, 1)
    assert resnet.get_submodule("layer2.0.conv2").stride == (2, 2)
    googlenet = without_memory("googlenet")
    norms = [module for module in googlenet.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {norm.eps for norm in norms} == {0.001}
    pools = {name: m for name, m in googlenet.named_modules() if isinstance(m, nn.MaxPool2d) and "." not in name}
    assert {name: (m.kernel_size, m.stride, m.ceil_mode) for name, m in pools.items()} == {
        "maxpool1": (3, 2, True),
        "maxpool2": (3, 2, True),
        "maxpool3": (3, 2, True),
        "maxpool4": (2, 2, True),
    }
    clipped = [m for m in without_memory("mobilenet_v2").modules() if isinstance(m, nn.ReLU6)]
    assert len(clipped) == 2 + 16 * 2 + 1


def test_what_the_weights_expect_of_pixels() -> None:
    plain = without_memory("googlenet")
    assert (plain.mean, plain.std) == ((127.5,) * 3, (127.5,) * 3)
    lite = {name for name in ARCHITECTURES if name.startswith("efficientnet_lite")}
    assert {(without_memory(name).mean, without_memory(name).std) for name in lite} == {((127.0,) * 3, (128.0,) * 3)}
    for name in set(ARCHITECTURES) - {"googlenet"} - lite:
        backbone = without_memory(name)
        assert backbone.mean == pytest.approx((0.485 * 255, 0.456 * 255, 0.406 * 255))
        assert backbone.std == pytest.approx((0.229 * 255, 0.224 * 255, 0.225 * 255))


def test_resnet18_equals_its_formula() -> None:
    """The first stage once more, from the state dict alone."""
    backbone, x = (
        build_backbone("resnet18").eval(),
        torch.randn(1, 3, 40, 48, generator=torch.Generator().manual_seed(1)),
    )
    state = backbone.state_dict()

    def step(x: torch.Tensor, conv: str, norm: str, stride: int, padding: int) -> torch.Tensor:
        y = torch.conv2d(x, state[f"{conv}.weight"], None, stride, padding)
        mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        y = (y - mean[:, None, None]) / torch.sqrt(variance[:, None, None] + 1e-5)
        scaled: torch.Tensor = y * state[f"{norm}.weight"][:, None, None] + state[f"{norm}.bias"][:, None, None]
        return scaled

    y = torch.max_pool2d(step(x, "conv1", "bn1", 2, 3).clamp(min=0), 3, 2, 1)
    for at in range(2):
        key = f"layer1.{at}"
        inner = step(y, f"{key}.conv1", f"{key}.bn1", 1, 1).clamp(min=0)
        y = (y + step(inner, f"{key}.conv2", f"{key}.bn2", 1, 1)).clamp(min=0)
    torch.testing.assert_close(backbone(x)["layer1"], y, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_random_weights_keep_signal_and_gradient_alive(name: str) -> None:
    backbone = build_backbone(name, seed=3).train()
    image = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    maps = backbone(image)
    for value in maps.values():
        assert 0.05 < float(value.detach().std()) < 5
    maps[backbone.taps[-1].name].square().mean().backward()
    for key, parameter in backbone.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().max() > 0, key


def test_random_weights_are_those_of_the_seed() -> None:
    first, again, other = (build_backbone("resnet18", seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])
    weight = first["layer3.0.conv2.weight"]
    assert float(weight.std()) == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)
    assert float(first["bn1.running_var"].sum()) == 64
    assert int(first["bn1.num_batches_tracked"]) == 0


def test_building_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_backbone("mobilenet_v2")
    assert torch.equal(torch.rand(3), expected)


def test_a_layer_without_a_rule_is_an_error() -> None:
    with pytest.raises(TypeError, match="no rule to initialise Linear"):
        initialise(nn.Sequential(nn.Linear(2, 2)))


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "resnet18", "mobilenet_v2"])
def test_a_cut_backbone_gives_the_same_maps_with_fewer_weights(name: str) -> None:
    whole, cut = build_backbone(name).eval(), build_backbone(name).eval()
    tap = whole.taps[-2]
    cut.cut(tap.name)
    assert cut.taps == whole.taps[:-1]
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    maps = cut(image)
    assert list(maps) == [entry.name for entry in whole.taps[:-1]]
    assert torch.equal(maps[tap.name], whole(image)[tap.name])
    state = whole.state_dict()
    assert 0 < len(cut.state_dict()) < len(state)
    assert set(cut.state_dict()) < set(state)
    maps[tap.name].sum().backward()
    assert all(parameter.grad is not None for parameter in cut.parameters())


def test_a_tap_that_is_not_there() -> None:
    with pytest.raises(TrainingError, match=r"the backbone: unknown tap 'layer5'; did you mean 'layer4'\?"):
        build_backbone("resnet18").cut("layer5")


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(TrainingError, match=r"unknown backbone 'resnet51'; did you mean 'resnet50'\?"):
        build_backbone("resnet51")
    with pytest.raises(TrainingError, match=r"unknown backbone 'kim'; did you mean 'kin'\?"):
        build_backbone("kim")
    with pytest.raises(ModelError, match=r"nowhere\.onnx: no such model file"):
        build_backbone("nowhere.onnx")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINDRED_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def checkpoint(shared: Path) -> Backbone:
    return build_backbone("mobilenet_v2", weights=shared / "weights" / "mobilenet_v2.safetensors").eval()


def photographs(folder: Path) -> NDArray[np.uint8]:
    """Two real photographs, (2, 192, 256, 3)."""
    files = sorted(folder.rglob("*.jpg"))[:2]
    return np.stack([np.asarray(Image.open(file).convert("RGB").resize((256, 192))) for file in files])


def similarities(backbone: Backbone, graph: Path, images: NDArray[np.uint8]) -> list[float]:
    """The cosine between the backbone's maps and those of a graph, by OpenVINO in float32, for each tap."""
    engine = load(graph, taps=[tap.name for tap in backbone.taps], engine="openvino", precision="f32")
    assert [(tap.name, tap.channels, tap.stride) for tap in engine.taps] == [
        (tap.name, tap.channels, tap.stride) for tap in backbone.taps
    ]
    pixels = (torch.from_numpy(images).float() - torch.tensor(backbone.mean)) / torch.tensor(backbone.std)
    with torch.no_grad():
        ours = backbone(pixels.permute(0, 3, 1, 2)).values()
    theirs = [torch.from_numpy(entry) for entry in engine.run(images)]
    pairs = [(a.double().ravel(), b.double().ravel()) for a, b in zip(ours, theirs, strict=True)]
    return [float(torch.cosine_similarity(a, b, dim=0)) for a, b in pairs]


@pytest.mark.shared
def test_the_real_checkpoint_equals_its_folded_graph(shared: Path, checkpoint: Backbone) -> None:
    images = photographs(shared / "data" / "grocery" / "train")
    assert min(similarities(checkpoint, shared / "weights" / "mobilenet_v2.onnx", images)) >= 0.9999


@pytest.mark.shared
def test_what_is_left_between_them_is_the_rounding_of_the_file(shared: Path, checkpoint: Backbone) -> None:
    """On packshots before plain white, where half precision costs the graph the most."""
    images = photographs(shared / "data" / "grocery" / "iconic")
    graph = shared / "weights" / "mobilenet_v2.onnx"
    rounded = copy.deepcopy(checkpoint)
    convolutions = [module for module in rounded.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in rounded.modules() if isinstance(module, nn.BatchNorm2d)]
    for convolution, norm in zip(convolutions, norms, strict=True):
        _fold(convolution, norm)
    assert 0.999 < min(similarities(checkpoint, graph, images)) < 0.9999
    assert min(similarities(rounded, graph, images)) >= 0.999999


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Move the scale of a batch norm into the convolution before it, rounded as the file stores it."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.data / torch.sqrt(norm.running_var + norm.eps)
    convolution.weight.data = (convolution.weight.data * scale[:, None, None, None]).half().float()
    norm.bias.data -= norm.running_mean * scale
    norm.weight.data.fill_(1)
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
