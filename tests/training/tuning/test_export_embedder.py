"""Export of an embedder: graph, card and recipe give its vectors, without PyTorch."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import kindred.backbones.openvino
from kindred.backbones.card import Card, digest_of
from kindred.describer import Describer
from kindred.errors import ModelError, RecipeError, TrainingError, UsageError
from kindred.recipe import Recipe
from kindred.training.aggregation import AGGREGATIONS, NetVLAD, build_aggregation
from kindred.training.architectures import build_backbone
from kindred.training.tuning.embedder import Embedder
from kindred.training.tuning.export_embedder import ExportedModel, export_embedder
from tiny_backbone import TinyBackbone, pictures
from tiny_model import home

pytest.importorskip("onnx")

SIZES = ((64, 48), (48, 64), (32, 96))  # height and width of the images; the longer is the recipe's size
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in AGGREGATIONS if name != "netvlad"),
    ("gem", {"per_channel": True, "dimension": 4}),
    ("rmac", {"levels": 2, "dimension": 5}),
    ("spoc", {"centre_prior": False, "whiten": True}),
    ("netvlad", {"words": 4}),
    ("netvlad", {"words": 3, "local": 4, "dimension": 6, "start": "v2"}),
]


@pytest.fixture(autouse=True)
def single_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Describe in float32 on every processor, with compiled graphs that go with the test."""
    monkeypatch.setattr(kindred.backbones.openvino, "_native_precision", lambda: "f32")
    with home(tmp_path / "home"):
        yield


def _trained(name: str = "gem", **options: Any) -> Embedder:
    """An embedder whose aggregation has started from images and has then been moved."""
    embedder = Embedder(TinyBackbone(), build_aggregation(name, 10, **options))
    embedder.initialise([torch.from_numpy(pictures(4, 48, 64, seed=at)) for at in range(6)])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in embedder.aggregation.parameters():
            parameter.mul_(1 + 0.2 * torch.randn(parameter.shape, generator=generator))
    return embedder.train()


def _export(embedder: Embedder, folder: Path, **options: Any) -> ExportedModel:
    return export_embedder(embedder, folder / "tuned.onnx", name="tuned", size=64, **options)


def _vectors(embedder: Embedder, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    embedder.eval()
    with torch.no_grad():
        found: NDArray[np.float32] = embedder(torch.from_numpy(image)[None]).numpy()
    return found


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_the_recipe_gives_the_vectors_of_the_embedder(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    embedder = _trained(name, **options)
    exported = _export(embedder, tmp_path, half=False)
    assert exported.cosine > 0.99999
    for height, width in SIZES:
        describer = Describer(dataclasses.replace(exported.recipe, size=max(height, width)))
        assert describer.dimension == embedder.dimension
        for image in pictures(3, height, width, seed=50):
            cosine = float((describer.describe(image) @ _vectors(embedder, image).T).item())
            assert cosine > 0.9999


@pytest.mark.parametrize("name", ["gem", "rmac"])
def test_half_precision_halves_the_file_and_keeps_the_vectors(name: str, tmp_path: Path) -> None:
    embedder = _trained(name, whiten=True)
    weight = embedder.backbone.get_submodule("second.conv").weight
    assert isinstance(weight, torch.Tensor)
    sizes = {}
    for half in (False, True):
        folder = tmp_path / str(half)
        folder.mkdir()
        # The tiny network's weights are too few to be halved; what is halved is what counts here.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("kindred.training.onnx_file.HALF_FROM", 100)
            exported = _export(embedder, folder, half=half)
        sizes[half] = exported.model.stat().st_size
        image = pictures(1, 48, 64, seed=51)[0]
        assert float((Describer(exported.recipe).describe(image) @ _vectors(embedder, image).T).item()) > 0.9999
    assert sizes[False] - sizes[True] > weight.numel()


def test_the_card_says_what_it_is(tmp_path: Path) -> None:
    about = {"description": "Tuned.", "licence": "ours", "source": "a test", "training": {"steps": 4}}
    exported = _export(_trained(), tmp_path, **about)
    card = Card.load(tmp_path / "tuned.toml")
    assert card == exported.card
    assert [(tap.name, tap.channels, tap.stride) for tap in card.taps] == [("shallow", 6, 4), ("deep", 10, 8)]
    assert (card.default_tap, card.input_size, card.digest) == ("deep", None, digest_of(exported.model))
    assert (card.mean, card.std) == (TinyBackbone().mean, TinyBackbone().std)
    assert {key: getattr(card, key) for key in about} == about
    text = (tmp_path / "tuned-recipe.toml").read_text(encoding="utf-8")
    assert 'backbone = "tuned.onnx"' in text
    assert 'description = "Tuned."' in text


def test_batch_norms_are_folded(tmp_path: Path) -> None:
    import onnx

    exported = _export(_trained(), tmp_path)
    operators = {node.op_type for node in onnx.load(exported.model).graph.node}
    assert operators == {"Conv", "Relu"}


def test_all_files_can_be_moved_together(tmp_path: Path) -> None:
    embedder = _trained("netvlad", words=3, dimension=5)
    exported = _export(embedder, tmp_path)
    names = {"tuned.onnx", "tuned.toml", "tuned-recipe.toml", "tuned-codebook.npz", "tuned-whitening.npz"}
    assert {each.name for each in exported.files} == names
    other = tmp_path / "elsewhere"
    other.mkdir()
    for file in exported.files:
        file.rename(other / file.name)
    image = pictures(1, 48, 64)[0]
    found = Describer(Recipe.load(other / "tuned-recipe.toml")).describe(image)
    assert float((found @ _vectors(embedder, image).T).item()) > 0.9999


def test_the_embedder_stays_as_it_was(tmp_path: Path) -> None:
    embedder = _trained("rgem")
    embedder.freeze("shallow")
    before = {name: each.clone() for name, each in embedder.state_dict().items()}
    _export(embedder, tmp_path)
    assert embedder.training
    assert not embedder.backbone.get_parameter("first.0.weight").requires_grad
    for name, each in embedder.state_dict().items():
        torch.testing.assert_close(each, before[name], rtol=0, atol=0)


def test_a_tap_before_the_last_may_be_the_one(tmp_path: Path) -> None:
    embedder = Embedder(TinyBackbone(), build_aggregation("gem", 6), tap="shallow")
    exported = _export(embedder, tmp_path)
    assert [tap.name for tap in exported.card.taps] == [exported.card.default_tap] == ["shallow"]
    image = pictures(1, 48, 64)[0]
    assert float((Describer(exported.recipe).describe(image) @ _vectors(embedder, image).T).item()) > 0.9999


def test_a_graph_that_is_not_the_network_is_found_out(tmp_path: Path) -> None:
    class Frozen(TinyBackbone):
        """One whose map depends on the size of the image in a way that a trace takes for constant."""

        def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            maps = super().forward(image)
            return maps | {"deep": (maps["deep"] - image.shape[2] / 100).roll(image.shape[3] // 16, dims=1)}

    with pytest.raises(
        TrainingError, match="the exported graph and the trained network differ on an image of 128 × 160 pixels"
    ):
        _export(Embedder(Frozen(), build_aggregation("gem", 10)), tmp_path)


def test_what_cannot_be_meant_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be a file that ends in"):
        export_embedder(_trained(), tmp_path / "tuned.pt", name="tuned")
    with pytest.raises(ModelError, match="'a/b' is not a valid model name"):
        export_embedder(_trained(), tmp_path / "tuned.onnx", name="a/b")
    with pytest.raises(RecipeError, match="size is 3; expected a whole number from 32"):
        export_embedder(_trained(), tmp_path / "tuned.onnx", name="tuned", size=3)
    assert not list(tmp_path.glob("tuned*"))
    with pytest.raises(UsageError, match=r"model .*tuned\.onnx cannot be written"):
        export_embedder(_trained(), tmp_path / "nowhere" / "tuned.onnx", name="tuned")


_WITHOUT_TORCH = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ImportError(f"{name} must not be needed")

sys.meta_path.insert(0, Block())
from kindred.cli import main

sys.exit(main())
"""


@pytest.mark.parametrize(("name", "options"), [("rmac", {}), ("netvlad", {"words": 3, "dimension": 5})])
def test_a_folder_is_indexed_and_searched_without_pytorch(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    exported = _export(_trained(name, **options), tmp_path)
    folder = tmp_path / "images"
    folder.mkdir()
    for at, image in enumerate(pictures(4, 48, 64, seed=9)):
        Image.fromarray(image).save(folder / f"{at}.png")

    def kindred(*words: object) -> str:
        command = [sys.executable, "-c", _WITHOUT_TORCH, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    library = tmp_path / "library"
    kindred("index", folder, "--library", library, "--recipe", exported.recipe_file)
    found = json.loads(kindred("search", folder / "2.png", "--library", library, "--json"))
    assert len(found["results"]) == 4
    assert Path(found["results"][0]["path"]).name == "2.png"
    assert found["results"][0]["score"] > 0.999


def test_trained_shares_are_those_of_the_file(tmp_path: Path) -> None:
    embedder = _trained("netvlad", words=3)
    exported = _export(embedder, tmp_path)
    (book,) = Describer(exported.recipe).fitted.codebooks
    aggregation = embedder.aggregation
    assert isinstance(aggregation, NetVLAD)
    arrays = book.to_arrays()
    np.testing.assert_array_equal(arrays["weights"], aggregation.weights.detach().numpy())
    np.testing.assert_array_equal(arrays["biases"], aggregation.biases.detach().numpy())
    np.testing.assert_allclose(arrays["centres"], aggregation.centres.detach().numpy(), rtol=1e-3)
    exported.recipe_file.write_text(
        exported.recipe_file.read_text(encoding="utf-8") + "embedding_options = { alpha = 2.0 }\n", encoding="utf-8"
    )
    with pytest.raises(RecipeError, match="start and alpha have no effect on a codebook that was trained"):
        Describer(Recipe.load(exported.recipe_file))


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "googlenet", "resnet18", "resnet50", "mobilenet_v2"])
def test_every_kind_of_architecture_is_exported_as_it_is(name: str, tmp_path: Path) -> None:
    backbone = build_backbone(name, seed=3)
    embedder = Embedder(backbone, build_aggregation("average", backbone.taps[-1].channels))
    exported = export_embedder(embedder, tmp_path / f"{name}.onnx", name=name, half=False)
    assert exported.cosine >= 0.9999
    assert [tap.name for tap in exported.card.taps] == [tap.name for tap in backbone.taps]
