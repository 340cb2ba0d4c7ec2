"""Teachers: any backbone with a card, asked for the ends of its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kindred.backbones import block_ends, load_card
from kindred.backbones.openvino import OpenVINOEngine

__all__ = ["EngineTeacher"]


class EngineTeacher:
    """A pretrained network run by OpenVINO: the maps at the ends of its blocks, then the one of its default tap."""

    def __init__(self, name_or_path: str) -> None:
        """Load a bundled or added model, or an `.onnx` with its card; raises `ModelError` where it cannot be used."""
        card, path = load_card(name_or_path)
        last = card.tap(card.default_tap)
        ends = [tap for tap in block_ends(path, until=last.tensor) if tap.tensor != last.tensor]
        self._engine = OpenVINOEngine(
            replace(card, taps=(*ends, last)), path, taps=[*(tap.name for tap in ends), last.name]
        )
        self.name = card.name
        self.card = card
        self.taps: Sequence[tuple[str, int, int]] = [(tap.name, tap.channels, tap.stride) for tap in self._engine.taps]

    def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Images (B, H, W, 3) uint8 RGB to one map (B, C, h, w) for each tap."""
        return self._engine.run(batch)
