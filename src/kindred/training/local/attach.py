"""Attaching a local head to the graph of a network: one `.onnx` with the outputs of both, and one card."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch
from onnx import compose
from torch import Tensor, nn

from kindred._support.files import write_whole
from kindred.backbones.card import Card, LocalHead, Scalar, Tap, digest_of
from kindred.errors import TrainingError
from kindred.training.local.head import HALF, KeypointHead, keypoint_scores
from kindred.training.local.trunk import STRIDES, inner_taps
from kindred.training.onnx_file import trace

__all__ = ["DESCRIPTORS", "SCORES", "attach"]

SCORES, DESCRIPTORS = "keypoints", "descriptors"
PREFIX = "local/"
EXAMPLE = (128, 160)


class _Exported(nn.Module):
    """The head with the outputs of the exported graph."""

    def __init__(self, head: KeypointHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, image: Tensor, fine: Tensor, middle: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores (B, 1, H, W) of the pixels of the images and descriptors (B, D, h, w)."""
        logits, descriptors = self.head(image, fine, middle, coarse)
        height, width = image.shape[2:]
        # Zeros for the last half cell, beyond the map: no keypoint is taken so near to the border. Joined and not
        # padded, since the exporter computes the sizes of a padding by operators that few runtimes have.
        scores = keypoint_scores(logits)
        scores = torch.cat((scores, 0 * scores[:, :, -HALF:]), 2)
        scores = torch.cat((scores, 0 * scores[:, :, :, -HALF:]), 3)
        return scores[:, :, :height, :width], descriptors


def attach(
    head: KeypointHead,
    card: Card,
    path: Path,
    output: Path,
    *,
    name: str,
    ratio: float,
    training: Mapping[str, Scalar],
) -> Card:
    """Write the network at `path` with a local head to `output` (`.onnx`), and its card; return the card.

    All other outputs of the network are unchanged. An existing local head is replaced. ratio: the threshold of the
    ratio test for these descriptors. training: added to that of the card. Raises UsageError if a file cannot be
    written, TrainingError if the network has no maps to attach a head to.
    """
    taps = inner_taps(card, path)
    own = _without_head(onnx.load(str(path), load_external_data=False))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "head.onnx"
        _trace(head, file, taps)
        joined = _joined(own, onnx.load(str(file)), taps, card)
    write_whole(output, "model", lambda part: onnx.save(joined, str(part)))
    last = head.describe[-1]
    assert isinstance(last, nn.Conv2d)
    kept = [tap for tap in card.taps if tap.name not in (SCORES, DESCRIPTORS)]
    local = [
        Tap(name=SCORES, tensor=SCORES, channels=1, stride=1),
        Tap(name=DESCRIPTORS, tensor=DESCRIPTORS, channels=last.out_channels, stride=8),
    ]
    new = replace(
        card,
        name=name,
        file=output.name,
        digest=digest_of(output),
        taps=(*kept, *local),
        local=LocalHead(scores=SCORES, descriptors=DESCRIPTORS, signs=True, ratio=ratio),
        training={**card.training, **training},
    )
    new.save(output.with_suffix(".toml"))
    return new


def _trace(head: KeypointHead, file: Path, taps: tuple[Tap, ...]) -> None:
    height, width = EXAMPLE
    maps = [torch.zeros(1, tap.channels, -(-height // tap.stride), -(-width // tap.stride)) for tap in taps]
    module = _Exported(copy.deepcopy(head).cpu().eval())
    names = ["image", *(f"stride{stride}" for stride in STRIDES)]
    trace(
        module, file, (torch.zeros(1, 3, height, width), *maps), inputs=names, outputs=[SCORES, DESCRIPTORS], half=True
    )


def _without_head(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the nodes, weights and outputs of a previously attached head."""
    graph = model.graph
    for entries in (graph.node, graph.initializer, graph.value_info):
        kept = [entry for entry in entries if not entry.name.startswith(PREFIX)]
        del entries[:]
        entries.extend(kept)
    outputs = [entry for entry in graph.output if entry.name not in (SCORES, DESCRIPTORS)]
    del graph.output[:]
    graph.output.extend(outputs)
    return model


def _joined(own: onnx.ModelProto, head: onnx.ModelProto, taps: tuple[Tap, ...], card: Card) -> onnx.ModelProto:
    """Return the two graphs as one."""
    for index, node in enumerate(head.graph.node):
        node.name = node.name or f"node{index}"
    head = compose.add_prefix(head, PREFIX)
    renamed = {f"{PREFIX}{name}": name for name in (SCORES, DESCRIPTORS)}
    renamed[f"{PREFIX}image"] = card.input_name
    renamed |= {f"{PREFIX}stride{tap.stride}": tap.tensor for tap in taps}
    taken = {name for node in own.graph.node for name in node.output}
    if taken & {SCORES, DESCRIPTORS}:
        raise TrainingError(f"model {card.name}: its graph has a tensor {SCORES!r} or {DESCRIPTORS!r} of its own")
    for node in head.graph.node:
        for names in (node.input, node.output):
            for at, name in enumerate(names):
                names[at] = renamed.get(name, name)
    outputs = [copy.deepcopy(entry) for entry in head.graph.output]
    for entry in outputs:
        entry.name = renamed[entry.name]
    own.graph.node.extend(head.graph.node)
    own.graph.initializer.extend(head.graph.initializer)
    own.graph.output.extend(outputs)
    onnx.checker.check_model(own)
    return own
