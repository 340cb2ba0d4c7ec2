"""The embedder, which is trained and exported: a backbone and an aggregation, from pixels to unit vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kindred.errors import UsageError
from kindred.hints import check_known, nearest
from kindred.training.aggregation import Aggregation
from kindred.training.architectures.backbone import Backbone

__all__ = ["Embedder"]

PROBE = 128  # side in pixels of a test image, large enough for every network
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class Embedder(nn.Module):
    """Images, uint8 (B, H, W, 3) RGB, to unit vectors (B, D) float32.

    tap: the map that is aggregated, by default the backbone's last. The layers after it are removed from the backbone:
    no loss reaches them. Weights have the memory format channels last. Raises TrainingError if the backbone has no
    such tap, UsageError if its channels are not those of the aggregation.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, aggregation: Aggregation, *, tap: str | None = None) -> None:
        super().__init__()
        if tap is not None:
            backbone.cut(tap)
        last = backbone.taps[-1]
        if last.channels != aggregation.channels:
            raise UsageError(
                f"tap {last.name} has {last.channels} channels; the aggregation takes {aggregation.channels}"
            )
        self.backbone, self.aggregation, self.tap = backbone, aggregation, last.name
        self._norms_frozen = False
        # Not stored with the weights: they are constants of the backbone.
        self.register_buffer("mean", torch.tensor(backbone.mean).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).reshape(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub has no such overload

    @property
    def dimension(self) -> int:
        """D, the number of components of a vector."""
        return self.aggregation.dimension

    def forward(self, pixels: Tensor) -> Tensor:
        """Images, uint8 (B, H, W, 3) RGB, to unit vectors (B, D); raises UsageError for anything else."""
        vectors: Tensor = self.aggregation(self.maps(pixels))
        return vectors

    def maps(self, pixels: Tensor) -> Tensor:
        """Images, uint8 (B, H, W, 3) RGB, to the maps (B, C, h, w) that are aggregated."""
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
            raise UsageError(f"pixels: got {pixels.dtype} {tuple(pixels.shape)}; expected uint8 (B, H, W, 3)")
        # A permuted view of interleaved channels already has the memory format "channels last".
        image = (pixels.permute(0, 3, 1, 2).to(self.mean.dtype) - self.mean) / self.std
        found: Tensor = self.backbone(image)[self.tap]
        return found

    def initialise(self, batches: Iterable[Tensor]) -> None:
        """Initialise the aggregation (whitening, codebook) on batches of pixels of training images.

        The network is in evaluation mode during this. NetVLAD with a whitening iterates over `batches` twice. Raises
        UsageError if there are too few images.
        """
        self.aggregation.initialise(
            _Maps(self, batches) if iter(batches) is not batches else iter(_Maps(self, batches))
        )

    def freeze(self, until: str | None) -> None:
        """Train only the layers after `until`: a tap, or a submodule of the backbone ("layer2", "features.5").

        The parameters that contribute to its output get no gradient, and its batch norms keep their statistics; all
        others are trained. None trains everything. Raises UsageError for an unknown name.
        """
        frozen = set() if until is None else self._before(until)
        for parameter in self.parameters():
            parameter.requires_grad_(parameter not in frozen)
        self.train(self.training)

    def freeze_norms(self) -> None:
        """Use the running statistics in all batch norms from now on, in training mode too.

        The usual choice in retrieval, where batches are small or of few classes; their scales and shifts are still
        trained, unless `freeze` excludes them. `train` does not undo it.
        """
        self._norms_frozen = True
        self.train(self.training)

    def train(self, mode: bool = True) -> Embedder:
        """Set training or evaluation mode; frozen batch norms stay in evaluation mode."""
        super().train(mode)
        for module in self.backbone.modules():
            if isinstance(module, NORMS) and (self._norms_frozen or _is_frozen(module)):
                module.eval()
        return self

    def _before(self, until: str) -> set[nn.Parameter]:
        """Return the parameters that contribute to a tap's map, or to the output of a submodule of the backbone.

        They are found by a backward pass, so that it holds for any topology.
        """
        parts = {name: module for name, module in self.backbone.named_modules() if name}
        taps = [tap.name for tap in self.backbone.taps]
        check_known("tap or submodule", until, [*taps, *parts], error=UsageError, where="the backbone")
        sums: list[Tensor] = []  # of the outputs, at once: a layer that works in place may change them later
        # A container is never called itself: its output is that of the last submodule that is.
        within = [] if until in taps else parts[until].modules()
        hooks = [each.register_forward_hook(lambda _module, _given, out: sums.append(out.sum())) for each in within]
        parameters = list(self.backbone.parameters())
        trained, training = [each.requires_grad for each in parameters], self.training
        try:
            self.eval()
            self.backbone.requires_grad_(True)
            with torch.enable_grad():
                maps = self.backbone(torch.zeros_like(self.mean).expand(1, 3, PROBE, PROBE))
                if until in taps:
                    sums.append(maps[until].sum())
                if not sums:
                    raise UsageError(f"the backbone never runs its submodule {until!r}; {nearest('', taps)}")
                found = torch.autograd.grad(sums[-1], parameters, allow_unused=True)
        finally:
            for hook in hooks:
                hook.remove()
            for each, required in zip(parameters, trained, strict=True):
                each.requires_grad_(required)
            self.train(training)
        return {each for each, gradient in zip(parameters, found, strict=True) if gradient is not None}


@dataclass(frozen=True)
class _Maps:
    """The maps of batches of pixels, computed again at each iteration."""

    embedder: Embedder
    batches: Iterable[Tensor]

    def __iter__(self) -> Iterator[Tensor]:
        embedder, device = self.embedder, self.embedder.mean.device
        was = embedder.training
        embedder.eval()
        try:
            for pixels in self.batches:
                with torch.no_grad():
                    yield embedder.maps(pixels.to(device))
        finally:
            embedder.train(was)


def _is_frozen(norm: nn.Module) -> bool:
    """Return whether a batch norm has parameters, and none of them is trained."""
    own = list(norm.parameters())
    return bool(own) and not any(each.requires_grad for each in own)
