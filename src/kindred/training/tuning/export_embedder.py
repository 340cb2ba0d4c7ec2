"""Export: a trained embedder becomes a backbone with its card, and a recipe that gives its vectors without PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kindred.backbones.card import Card, Scalar, Tap, check_name
from kindred.backbones.openvino import OpenVINOEngine
from kindred.describer import write_recipe
from kindred.describer.describer import open_extractor
from kindred.errors import TrainingError, UsageError
from kindred.recipe import Recipe
from kindred.training.architectures.backbone import Backbone
from kindred.training.onnx_file import write_model
from kindred.training.tuning.embedder import Embedder

__all__ = ["ExportedModel", "export_embedder"]

CHECKED_SIZES = ((160, 128), (192, 256))  # height and width of the images that the exported graph is checked on
MIN_COSINE = 0.999  # a wrong graph is far below; half precision costs 0.00001


@dataclass(frozen=True, eq=False)
class ExportedModel:
    """The files of an export.

    model, card: the graph and its card. recipe_file, recipe: the recipe as a file and as it is read. files: all that
    was written; they can be moved together. cosine: the smallest between the vectors of the embedder and of the
    exported graph, in float32.
    """

    model: Path
    card: Card
    recipe_file: Path
    recipe: Recipe
    files: tuple[Path, ...]
    cosine: float


class _TupleBackbone(nn.Module):
    """A backbone that returns its maps as a tuple, in the order of its taps."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        maps = self.backbone(image)
        return tuple(maps[tap.name] for tap in self.backbone.taps)


def export_embedder(
    embedder: Embedder,
    file: Path,
    *,
    name: str,
    size: int = 320,
    description: str = "",
    licence: str = "",
    source: str = "",
    training: Mapping[str, Scalar] | None = None,
    half: bool = True,
) -> ExportedModel:
    """Write `file` (STEM.onnx), its card STEM.toml, and STEM-recipe.toml with the files of its fitted parameters.

    name: of the model and the recipe. size: longest side at the network's input, in pixels, for the recipe.
    description, licence, source, training: for the card. half: whether the weights are stored at half precision; the
    arithmetic is float32 either way. `embedder` is not changed. Raises UsageError if a file cannot be written or
    is not `.onnx`, ModelError or RecipeError for an invalid name or size, and TrainingError if the vectors of the
    exported graph differ from the embedder's.
    """
    if file.suffix != ".onnx":
        raise UsageError(f"{file}: the model must be a file that ends in .onnx")
    check_name(name)
    finished = copy.deepcopy(embedder).cpu().float().eval()
    keys: Mapping[str, Any] = finished.aggregation.recipe_keys()
    recipe = Recipe(name, str(file), size=size, description=description, **keys)
    card = write_model(
        _TupleBackbone(finished.backbone),
        file,
        name=name,
        taps=_taps(finished.backbone),
        default_tap=finished.tap,
        mean=finished.backbone.mean,
        std=finished.backbone.std,
        half=half,
        description=description,
        licence=licence,
        source=source,
        training=training or {},
    )
    cosine = _check_export(finished, card, file)
    fitted = finished.aggregation.fitted()
    # Only fitted parameters depend on the network, and opening it takes a moment.
    identity = open_extractor(recipe).identity if fitted.codebooks or fitted.whitenings else {}
    recipe_file, *others = write_recipe(
        file.with_name(f"{file.stem}-recipe.toml"),
        replace(recipe, backbone=file.name),
        fitted,
        identity,
        stem=file.stem,
    )
    files = (file, file.with_suffix(".toml"), recipe_file, *others)
    return ExportedModel(file, card, recipe_file, Recipe.load(recipe_file), files, cosine)


def _taps(backbone: Backbone) -> list[Tap]:
    """Return the taps for the card; an output of the graph has the name of its tap."""
    return [Tap(name=each.name, tensor=each.name, channels=each.channels, stride=each.stride) for each in backbone.taps]


def _check_export(embedder: Embedder, card: Card, file: Path) -> float:
    """Return the smallest cosine between the vectors of `embedder` and of the exported graph, on images of noise.

    Raises TrainingError if it is low: tracing may have turned a size into a constant.
    """
    least = 1.0
    random = np.random.default_rng(0)
    with TemporaryDirectory() as folder, torch.no_grad():
        engine = OpenVINOEngine(card, file, precision="f32", cache_dir=Path(folder))
        for height, width in CHECKED_SIZES:
            coarse = random.integers(0, 256, (1, height // 16, width // 16, 3), dtype=np.uint8)
            pixels = coarse.repeat(16, axis=1).repeat(16, axis=2)
            own = embedder(torch.from_numpy(pixels))
            exported = embedder.aggregation(torch.from_numpy(engine.run(pixels)[0]))
            cosine = float((own * exported).sum())
            if not cosine >= MIN_COSINE:
                raise TrainingError(
                    f"{file}: the exported graph and the trained network differ on an image of {width} × {height} "
                    f"pixels: cosine {cosine:.4f}, expected at least {MIN_COSINE}; do not use the file"
                )
            least = min(least, cosine)
    return least
