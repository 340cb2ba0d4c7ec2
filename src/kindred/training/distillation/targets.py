"""Targets: the teachers' maps of a batch, standardised, so that an error is a share of their variance."""

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
    """The teachers' maps: inner ones standardised per channel, a last map divided by one number (it stays ≥ 0)."""

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
        """Measure mean and standard deviation of each map on batches (B, S, S, 3) uint8 RGB."""
        sums: dict[str, list[Tensor]] = {}
        for batch in batches:
            for name, maps in self._raw(batch).items():
                per_channel = maps.double().transpose(0, 1).flatten(1)
                sums.setdefault(name, []).append(torch.stack([per_channel.mean(1), per_channel.square().mean(1)]))
        for name, parts in sums.items():
            mean, square = torch.stack(parts).mean(0)
            variance = (square - mean.square()).clamp(min=0)
            if name in self._inner:
                # A channel that hardly varies must not be amplified: its noise would be a target like any other.
                self._mean[name] = mean.float()
                self._std[name] = variance.clamp(min=float(variance.mean()) * 1e-2).sqrt().float()
            else:
                self._mean[name] = torch.zeros(1, device=self._device)
                self._std[name] = variance.mean().sqrt().float().reshape(1)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the means and standard deviations; empty before `calibrate`."""
        means = {f"mean.{name}": value for name, value in self._mean.items()}
        return means | {f"std.{name}": value for name, value in self._std.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned; raises ValueError for anything else."""
        channels = {f"{teacher.name}/{tap}": count for teacher in self._teachers for tap, count, _ in teacher.taps[:-1]}
        sizes = {name: channels[name] for name in self._inner} | {teacher.name: 1 for teacher in self._teachers}
        expected = {f"{kind}.{name}": (size,) for name, size in sizes.items() for kind in ("mean", "std")}
        if state and {name: tuple(value.shape) for name, value in state.items()} != expected:
            raise ValueError("the statistics are not those of these teachers' maps")
        for name, value in state.items():
            if not value.is_floating_point() or not value.isfinite().all():
                raise ValueError("the statistics of the teachers' maps are not finite")
            kind, _, target = name.partition(".")
            (self._mean if kind == "mean" else self._std)[target] = value.to(self._device)

    def _raw(self, batch: NDArray[np.uint8]) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = {}
        for teacher in self._teachers:
            names = [*(f"{teacher.name}/{tap}" for tap, _, _ in teacher.taps[:-1]), teacher.name]
            for name, found, (_, _, stride) in zip(names, teacher.run(batch), teacher.taps, strict=True):
                if name in self._inner or name == teacher.name:
                    maps[name] = _resized(torch.from_numpy(found).to(self._device), batch.shape[1], stride)
        return maps


def _resized(maps: Tensor, size: int, stride: int) -> Tensor:
    """Resize maps (B, C, h, w) of crops of `size` pixels to those of the student; without padding they are smaller."""
    side = -(-size // stride)
    if maps.shape[2:] == (side, side):
        return maps
    return F.interpolate(maps, (side, side), mode="bilinear", align_corners=False)
