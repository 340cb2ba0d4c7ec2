"""The interface of inference engines: uint8 RGB batches in, requested feature maps out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kindred.backbones.card import Card, Tap
from kindred.errors import ModelError, UsageError

__all__ = ["Batch", "Engine", "Maps", "Precision", "as_batch", "check_channels", "requested_taps"]

Batch: TypeAlias = NDArray[np.uint8]
Maps: TypeAlias = tuple[NDArray[np.float32], ...]
Precision: TypeAlias = Literal["auto", "f32", "bf16"]
T = TypeVar("T")


@runtime_checkable
class Engine(Protocol):
    """A loaded model.

    A batch is (B, H, W, 3) uint8, RGB, B ≥ 1, of any size that the card allows; the engine preprocesses it. The result
    is one (B, C, h, w) float32 array per requested tap, in that order, owned by the caller. Raise UsageError for an
    invalid batch, or images too small for the network.
    """

    @property
    def card(self) -> Card:
        """The card of the model."""

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The taps that `run` and `stream` return, in order."""

    @property
    def device(self) -> str:
        """The device: "cpu", "cuda", "cuda:1", …."""

    @property
    def precision(self) -> str:
        """The number format of the computation: "f32" or "bf16"."""

    def run(self, batch: Batch) -> Maps:
        """Return the maps of one batch, with the lowest latency. Thread-safe."""

    def stream(self, batches: Iterable[tuple[T, Batch]]) -> Iterator[tuple[T, Maps]]:
        """Yield (token, maps) for every (token, batch), in order, with the highest throughput.

        Only a few batches are read ahead. A batch must not be changed before its maps are yielded.
        """


def requested_taps(card: Card, taps: str | Sequence[str] | None) -> tuple[Tap, ...]:
    """Return the card's taps by name, the default tap for None; raise ModelError for an unknown name."""
    names = [card.default_tap] if taps is None else [taps] if isinstance(taps, str) else list(taps)
    if not names:
        raise UsageError(f"taps of {card.name}: got none; expected at least one of {_names(card)}")
    if len(set(names)) < len(names):
        raise UsageError(f"taps {', '.join(names)}: expected each tap once")
    return tuple(card.tap(name) for name in names)


def as_batch(batch: Batch, card: Card) -> Batch:
    """Return the batch, C-contiguous; raise UsageError unless it is (B, H, W, 3) uint8 of an allowed size."""
    shape = getattr(batch, "shape", None)
    if not isinstance(batch, np.ndarray) or batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[3] != 3:
        kind = f"{getattr(batch, 'dtype', type(batch).__name__)} {shape or ''}".strip()
        raise UsageError(f"a batch of {kind}; expected uint8 (B, H, W, 3), RGB")
    if min(batch.shape) < 1:
        raise UsageError(f"a batch of shape {batch.shape} has no pixels")
    if card.input_size is not None and batch.shape[1:3] != card.input_size:
        height, width = card.input_size
        raise UsageError(
            f"{card.name} takes images of {width} × {height} pixels only, not {batch.shape[2]} × {batch.shape[1]}"
        )
    return np.ascontiguousarray(batch)


def check_channels(tap: Tap, shape: Sequence[int | None], path: Path) -> None:
    """Raise ModelError if the map of a tap has another number of channels than the card of the graph at `path` says.

    shape: of the map, (B, C, h, w), None where it is not known; the boxes of a detector have three axes.
    """
    if len(shape) == 4 and shape[1] not in (None, tap.channels):
        raise ModelError(
            f"{path}: tap {tap.name} has {shape[1]} channels, but its card declares {tap.channels}; correct the card, "
            "or remove the model and add it again"
        )


def _names(card: Card) -> str:
    return ", ".join(tap.name for tap in card.taps)
