"""Trainable networks: the field's usual architectures, and every model of `kindred models`.

Parameters and buffers have exactly the names and shapes of torchvision's feature parts, so that published checkpoints
load as they are. The networks are fully convolutional: they take images of any size that is not too small.
"""

from __future__ import annotations

from pathlib import Path

import torch

from kindred.backbones import list_models, load_card
from kindred.errors import TrainingError
from kindred.hints import check_known
from kindred.training.architectures.alexnet import ALEXNET
from kindred.training.architectures.backbone import Architecture, Backbone, ChainBackbone, TapSpec, initialise
from kindred.training.architectures.efficientnet_lite import EFFICIENTNET_LITE
from kindred.training.architectures.googlenet import GOOGLENET
from kindred.training.architectures.graph import GraphBackbone
from kindred.training.architectures.mobilenet_v2 import MOBILENET_V2
from kindred.training.architectures.resnet import RESNETS
from kindred.training.architectures.vgg import VGG16, VGG19
from kindred.training.architectures.weights import load_weights

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Backbone",
    "ChainBackbone",
    "GraphBackbone",
    "TapSpec",
    "build_backbone",
    "initialise",
]

ARCHITECTURES: dict[str, Architecture] = {
    entry.name: entry for entry in (ALEXNET, VGG16, VGG19, GOOGLENET, *RESNETS, MOBILENET_V2, *EFFICIENTNET_LITE)
}


def build_backbone(name_or_path: str, *, weights: str | Path | None = None, seed: int = 0) -> Backbone:
    """Return a backbone on the CPU: one of ARCHITECTURES, a model of `kindred models`, or an `.onnx` file with a card.

    weights: of an architecture: a file, the name of published weights ("published", and "published-v2" where there is
    a second edition), or None for random ones by `seed`; see `load_weights`. Other models come with their weights; a
    file replaces them. A name that an architecture and a model share means the architecture; name the model's file
    instead.

    Raises TrainingError if no backbone has that name or the weights do not fit, ModelError if the graph is
    damaged or cannot be trained.
    """
    if name_or_path in ARCHITECTURES:
        return _build(ARCHITECTURES[name_or_path], weights, seed)
    if not name_or_path.endswith((".onnx", ".toml")) and Path(name_or_path).name == name_or_path:
        names = [*ARCHITECTURES, *(entry.name for entry in list_models())]
        check_known("backbone", name_or_path, names, error=TrainingError)
    card, path = load_card(name_or_path)
    backbone = GraphBackbone(card, path)
    if weights is not None:
        entry = Architecture(name=card.name, build=lambda: backbone, summary=card.description, source=card.source)
        load_weights(backbone, weights, architecture=entry)
    return backbone


def _build(architecture: Architecture, weights: str | Path | None, seed: int) -> Backbone:
    # First without memory: PyTorch's own initialisation would take seconds and be overwritten.
    with torch.device("meta"):
        backbone = architecture.build()
    backbone.to_empty(device="cpu")
    if weights is None:
        initialise(backbone, seed=seed)
    else:
        load_weights(backbone, weights, architecture=architecture)
    return backbone
