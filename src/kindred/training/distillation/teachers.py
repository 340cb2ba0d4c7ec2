"""Teachers: any backbone with a card, with the maps at the ends of its blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kindred.backbones import Engine, load_card
from kindred.backbones.blocks import block_ends
from kindred.backbones.openvino import OpenVINOEngine
from kindred.backbones.torch import TorchEngine

__all__ = ["EngineTeacher"]


class EngineTeacher:
    """A pretrained network with the maps at the ends of its blocks, and that of its default tap last."""

    def __init__(self, name_or_path: str, *, device: str = "cpu") -> None:
        """Load a model by its name, or an `.onnx` with its card; raises ModelError if it cannot be used.

        It runs in OpenVINO on the CPU, in PyTorch on CUDA. Loading checks that the graph has the card's digest.
        """
        card, path = load_card(name_or_path)
        last = card.tap(card.default_tap)
        ends = [tap for tap in block_ends(path, until=last.tensor) if tap.tensor != last.tensor]
        whole, names = card.with_taps((*ends, last), last.name), [*(tap.name for tap in ends), last.name]
        self._engine: Engine = (
            OpenVINOEngine(whole, path, taps=names)
            if device == "cpu"
            else TorchEngine(whole, path, taps=names, device=device)
        )
        self.name, self.digest = card.name, card.digest
        self.taps: Sequence[tuple[str, int, int]] = [(tap.name, tap.channels, tap.stride) for tap in self._engine.taps]

    def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Images (B, H, W, 3) uint8 RGB to one map (B, C, h, w) for each tap."""
        return self._engine.run(batch)
