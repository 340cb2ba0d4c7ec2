"""Any model with a card as a trainable backbone."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from kindred.backbones.card import Card, check_digest
from kindred.backbones.onnx_torch import load_onnx
from kindred.training.architectures.backbone import Backbone, TapSpec

__all__ = ["GraphBackbone"]


class GraphBackbone(Backbone):
    """The graph of a card, with its weights as parameters.

    Images (B, 3, H, W), red first, normalised by the card's `mean` and `std`; they are converted to the channel order
    and layout of the graph. The taps are the card's, in the order in which the graph computes them, up to its default
    tap or to `last`.

    Batch norms that were folded into convolutions are part of their weights. The others have fixed statistics, and
    trained scales and shifts. A dropout does nothing. Raises ModelError if the graph is missing, damaged, not the one
    that the card describes, has an unsupported operator, or computes at half precision.
    """

    def __init__(self, card: Card, path: Path, *, last: str | None = None) -> None:
        end = card.tap(last or card.default_tap)
        check_digest(card, path)
        network = load_onnx(path, [tap.tensor for tap in card.taps], trainable=True)
        order = network.in_order([tap.tensor for tap in card.taps])
        taps = sorted(card.taps, key=lambda tap: order.index(tap.tensor))
        super().__init__([TapSpec(tap.name, tap.channels, tap.stride) for tap in taps], mean=card.mean, std=card.std)
        self.card = card
        self.network = network
        self.cut(end.name)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W), normalised, to maps (B, C, h, w) by the names of the taps, in order of depth."""
        x = image.flip(1) if self.card.channel_order == "BGR" else image
        x = x.permute(0, 2, 3, 1) if self.card.layout == "NHWC" else x
        return dict(zip((tap.name for tap in self.taps), self.network(x), strict=True))

    def _remove_rest(self) -> None:
        self.network.restrict([self.card.tap(tap.name).tensor for tap in self.taps])
