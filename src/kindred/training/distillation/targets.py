"""Targets: the teachers' maps of a batch, standardised, so that an error is a share of what there is to explain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from kindred.training.architectures.student import Chain
from kindred.training.distillation.layout import Teacher

__all__ = ["Targets"]


class Targets:
    """The teachers' maps: standardised per channel for inner taps, by one number for a last map (it stays ≥ 0)."""

    def __init__(
        self, teachers: Sequence[Teacher], chains: Sequence[Chain], *, device: torch.device | None = None
    ) -> None:
        self._teachers, self._device = teachers, device
        self._inner = {stage.target for chain in chains for stage in chain.stages if stage.target}
        self._mean: dict[str, Tensor] = {}
        self._std: dict[str, Tensor] = {}

    def __call__(self, batch: NDArray[np.uint8]) -> dict[str, Tensor]:
        """Images (B, S, S, 3) uint8 RGB to standardised maps (B, C, h, w), by target or, for a last map, by teacher."""
        return {
            name: ((maps - self._mean[name].view(1, -1, 1, 1)) / self._std[name].view(1, -1, 1, 1)).contiguous(
                memory_format=torch.channels_last
            )
            for name, maps in self._raw(batch).items()
        }

    def calibrate(self, batches: Iterable[NDArray[np.uint8]]) -> None:
        """Measure mean and standard deviation of each map on some batches."""
        sums: dict[str, list[Tensor]] = {}
        for batch in batches:
            for name, maps in self._raw(batch).items():
                per_channel = maps.double().transpose(0, 1).flatten(1)
                sums.setdefault(name, []).append(torch.stack([per_channel.mean(1), per_channel.square().mean(1)]))
        for name, parts in sums.items():
            mean, square = torch.stack(parts).mean(0)
            variance = (square - mean.square()).clamp(min=0)
            if name in self._inner:
                # A channel that hardly varies must not be blown up: its noise would be a target like any other.
                self._mean[name] = mean.float()
                self._std[name] = variance.clamp(min=float(variance.mean()) * 1e-2).sqrt().float()
            else:
                self._mean[name] = torch.zeros(1, device=self._device)
                self._std[name] = variance.mean().sqrt().float().reshape(1)

    def state_dict(self) -> dict[str, Tensor]:
        """Return what `calibrate` measured; empty before."""
        means = {f"mean.{name}": value for name, value in self._mean.items()}
        return means | {f"std.{name}": value for name, value in self._std.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
        for kind, kept in (("mean.", self._mean), ("std.", self._std)):
            kept |= {
                name.removeprefix(kind): value.to(self._device)
                for name, value in state.items()
                if name.startswith(kind)
            }

    def _raw(self, batch: NDArray[np.uint8]) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = {}
        for teacher in self._teachers:
            names = [*(f"{teacher.name}/{tap}" for tap, _, _ in teacher.taps[:-1]), teacher.name]
            for name, found, (_, _, stride) in zip(names, teacher.run(batch), teacher.taps, strict=True):
                if name in self._inner or name == teacher.name:
                    maps[name] = _fitted(torch.from_numpy(found).to(self._device), batch.shape[1], stride)
        return maps


def _fitted(maps: Tensor, size: int, stride: int) -> Tensor:
    """Maps (B, C, h, w) of crops of `size` pixels, brought to the student's sides: some networks do not pad."""
    side = -(-size // stride)
    if maps.shape[2:] == (side, side):
        return maps
    return F.interpolate(maps, (side, side), mode="bilinear", align_corners=False)
