"""Run a model in PyTorch, on CUDA or the CPU; needs the extra `train`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from kindred.backbones.card import Card, check_digest
from kindred.backbones.engine import Batch, Maps, Precision, as_batch, check_channels, requested_taps
from kindred.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["TorchEngine"]

T = TypeVar("T")


class TorchEngine:
    """A model on a CUDA device, or on the CPU for comparison (OpenVINO is several times faster there).

    `precision` "auto" is bfloat16 on CUDA devices that support it, else float32; "f32" on CUDA does not change
    PyTorch's TF32 setting. Raise MissingExtra if torch or onnx is not installed, UsageError if the device does not
    exist, and ModelError if the graph is missing, damaged, not the one that the card describes, or has an unsupported
    operator.
    """

    def __init__(
        self,
        card: Card,
        path: Path,
        *,
        taps: str | Sequence[str] | None = None,
        device: str = "cpu",
        precision: Precision = "auto",
    ) -> None:
        torch = _import_torch()
        self.card = card
        self.taps = requested_taps(card, taps)
        self.device = _checked_device(torch, device)
        self.precision = _resolved(torch, precision, self.device)
        check_digest(card, path)
        from kindred.backbones.onnx_torch import load_onnx

        module = load_onnx(path, [tap.tensor for tap in self.taps])
        self._path = path
        self._module = module.to(self.device).eval()
        self._mean = torch.tensor(card.mean, device=self.device)
        self._std = torch.tensor(card.std, device=self.device)

    def run(self, batch: Batch) -> Maps:
        """Return the maps of one batch; see `Engine.run`."""
        return _to_arrays(self._forward(as_batch(batch, self.card)))

    def stream(self, batches: Iterable[tuple[T, Batch]]) -> Iterator[tuple[T, Maps]]:
        """Yield the maps of many batches in order; see `Engine.stream`.

        A batch is sent to the device before the maps of the previous one are fetched, so that the device does not idle.
        """
        running: deque[tuple[T, tuple[Tensor, ...]]] = deque()
        for token, batch in batches:
            running.append((token, self._forward(as_batch(batch, self.card))))
            if len(running) > 1:
                done, maps = running.popleft()
                yield done, _to_arrays(maps)
        for done, maps in running:
            yield done, _to_arrays(maps)

    def _forward(self, batch: Batch) -> tuple[Tensor, ...]:
        torch = _import_torch()
        pixels = torch.from_numpy(batch if batch.flags.writeable else batch.copy()).to(self.device)
        with torch.inference_mode(), self._arithmetic(torch):
            image = (pixels.float() - self._mean) / self._std
            image = image.flip(3) if self.card.channel_order == "BGR" else image
            image = image.permute(0, 3, 1, 2) if self.card.layout == "NCHW" else image
            try:
                maps: tuple[Tensor, ...] = self._module(image)
            except RuntimeError as error:
                height, width = batch.shape[1:3]
                raise UsageError(
                    f"{self.card.name} cannot take {len(batch)} images of {width} × {height} pixels: "
                    f"{str(error).splitlines()[0]}"
                ) from error
        for tap, found in zip(self.taps, maps, strict=True):
            check_channels(tap, found.shape, self._path)
        return maps

    def _arithmetic(self, torch: ModuleType) -> AbstractContextManager[object]:
        if self.precision == "f32":
            return nullcontext()
        kind = self.device.partition(":")[0]
        return torch.autocast(kind, dtype=torch.bfloat16)  # type: ignore[no-any-return]


def _import_torch() -> ModuleType:
    try:
        import onnx  # noqa: F401  # needed by `onnx_torch`; imported here so that one error names the extra
        import torch
    except ImportError:
        raise MissingExtra("running a model in PyTorch", "train") from None
    return torch


def _checked_device(torch: ModuleType, device: str) -> str:
    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise UsageError(f"device is {device!r}; expected 'cpu', 'cuda' or 'cuda:0', 'cuda:1', …")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            f"device is {device!r}, but this PyTorch ({torch.__version__}) finds no CUDA device; use 'cpu'"
        )
    return device


def _resolved(torch: ModuleType, precision: str, device: str) -> str:
    if precision not in ("auto", "f32", "bf16"):
        raise UsageError(f"precision is {precision!r}; expected 'auto', 'f32' or 'bf16'")
    if precision == "auto":
        return "bf16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "f32"
    return precision


def _to_arrays(maps: tuple[Tensor, ...]) -> Maps:
    return tuple(np.ascontiguousarray(entry.float().cpu().numpy()) for entry in maps)
