"""The frozen network that a local head is attached to: the maps that the head takes, by stride."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred.backbones import Engine, load_card
from kindred.backbones.blocks import block_ends
from kindred.backbones.card import Card, Tap
from kindred.backbones.openvino import OpenVINOEngine
from kindred.backbones.torch import TorchEngine
from kindred.errors import TrainingError

__all__ = ["STRIDES", "Trunk", "inner_taps"]

STRIDES = (4, 8, 16)


class Trunk:
    """A network, run for its maps of strides 4, 8 and 16; raises ModelError or TrainingError if it has none."""

    def __init__(self, name_or_path: str | Path, *, device: str = "cpu", threads: int | None = None) -> None:
        card, self.path = load_card(name_or_path)
        if card.layout != "NCHW" or card.input_size is not None:
            raise TrainingError(
                f"model {card.name}: takes images of one size or as NHWC; expected one of free sizes, NCHW"
            )
        self.taps = inner_taps(card, self.path)
        whole, names = card.with_taps(self.taps, self.taps[0].name), [tap.name for tap in self.taps]
        self.card = card
        self._engine: Engine = (
            OpenVINOEngine(whole, self.path, taps=names, threads=threads)
            if device == "cpu"
            else TorchEngine(whole, self.path, taps=names, device=device)
        )

    @property
    def channels(self) -> list[int]:
        """The channels of the maps, in the order of `STRIDES`."""
        return [tap.channels for tap in self.taps]

    def run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Images (B, H, W, 3) uint8 RGB to the maps (B, C, H / s, W / s) of `STRIDES`."""
        return self._engine.run(batch)


def inner_taps(card: Card, path: Path) -> tuple[Tap, ...]:
    """Return the last map of the trunk of each of `STRIDES`: a tap of the card, or else the end of a block."""
    found = []
    ends: Sequence[Tap] = ()
    head = set() if card.local is None else {card.local.scores, card.local.descriptors}
    for stride in STRIDES:
        own = [tap for tap in card.taps if tap.stride == stride and tap.name not in head]
        if not own and not ends:
            ends = block_ends(path, until=card.tap(card.default_tap).tensor)
        own = own or [tap for tap in ends if tap.stride == stride]
        if not own:
            raise TrainingError(
                f"model {card.name} has no map of stride {stride}; a local head needs strides 4, 8 and 16"
            )
        found.append(replace(own[-1], name=f"stride{stride}"))
    return tuple(found)
