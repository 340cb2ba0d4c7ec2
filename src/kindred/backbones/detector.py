"""Run a detector for class-agnostic region proposals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred.backbones.card import Card, DetectorHead, Tap
from kindred.backbones.engine import Batch, Precision, as_batch
from kindred.backbones.openvino import OpenVINOEngine
from kindred.backbones.zoo import load_card
from kindred.errors import ModelError, UsageError
from kindred.regions import non_maximum_suppression

__all__ = ["Detector", "Proposals", "load_detector"]

Proposals = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Boxes (R, 4), x0 y0 x1 y1 in pixels of the input image, and their scores (R,), best first."""

IOU = 0.6
"""Boxes that overlap a better one by more than this are suppressed, as in the original SSD."""

CANDIDATES = 8
"""Candidates for suppression per requested box; the remaining boxes have negligible scores."""


class Detector:
    """A region proposal detector on the CPU: any ONNX graph whose card has a table `[detector]`.

    Images are stretched to the fixed input size of the network, if it has one, regardless of aspect ratio. `threads`,
    `cache_dir` and `precision` are those of `OpenVINOEngine`: bfloat16 moves the corners of a box by up to half a
    percent of the image, and saves a third of the time. Raise ModelError if the card has no such table, or does not
    match the graph.
    """

    def __init__(
        self,
        card: Card,
        path: Path,
        *,
        threads: int | None = None,
        cache_dir: Path | None = None,
        precision: Precision = "auto",
    ) -> None:
        if card.detector is None:
            raise ModelError(f"model {card.name} is not a detector: its card has no table [detector]")
        self.card = card
        self._head = card.detector
        outputs = _as_taps(card, self._head)
        self._engine = OpenVINOEngine(
            outputs, path, taps=("boxes", "scores"), threads=threads, cache_dir=cache_dir, precision=precision
        )

    def propose(self, images: Batch, *, count: int = 20, smallest: float = 0.01) -> list[Proposals]:
        """Return at most `count` best boxes of each image of a batch (B, H, W, 3) uint8, RGB. Thread-safe.

        Boxes are clipped to the image; their score is that of the most likely class, whichever it is. Boxes smaller
        than the fraction `smallest` of the image area are dropped, and non-maximum suppression removes boxes that
        overlap a better one by more than 0.6 (intersection over union). Raise UsageError for anything but a batch of
        images, ModelError if the graph's boxes or scores do not have the shape declared in the card.
        """
        if count < 1:
            raise UsageError(f"count is {count}; expected at least 1")
        images = as_batch(images, replace(self.card, input_size=None))
        height, width = images.shape[1:3]
        size = self.card.input_size or (height, width)
        boxes, scores = self._engine.run(_stretched(images, size))
        scores = self._objectness(boxes, scores, len(images))
        scale = (width, height) if self._head.units == "relative" else (width / size[1], height / size[0])
        boxes = boxes[..., [1, 0, 3, 2]] if self._head.form == "yxyx" else boxes
        boxes = np.clip(boxes * np.array(scale * 2, np.float32), 0, np.array((width, height) * 2, np.float32))
        least = smallest * width * height
        return [_best(*one, count, least) for one in zip(boxes, scores, strict=True)]

    def _objectness(self, boxes: NDArray[np.float32], scores: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
        """Check the shapes of both outputs; return the score of the most likely class of every box, (B, R)."""
        if boxes.shape[:1] != (batch,) or boxes.shape[2:] != (4,) or scores.shape[:2] != boxes.shape[:2]:
            raise ModelError(
                f"model {self.card.name}: boxes {boxes.shape} and scores {scores.shape} for {batch} images; "
                "its card declares (N, R, 4) and (N, R, classes)"
            )
        scores = scores.reshape(*scores.shape[:2], -1)
        background = self._head.background
        if background >= scores.shape[2]:
            raise ModelError(
                f"model {self.card.name}: its card says that column {background} of the scores is the background, "
                f"but they have {scores.shape[2]}"
            )
        if background >= 0:
            scores = np.delete(scores, background, axis=2)
        best: NDArray[np.float32] = scores.max(axis=2)
        return best


def load_detector(
    name_or_path: str | Path,
    *,
    threads: int | None = None,
    cache_dir: Path | None = None,
    precision: Precision = "auto",
) -> Detector:
    """Load a detector by the name of a model or the path of an `.onnx` file; see `kindred.backbones.load`."""
    card, path = load_card(name_or_path)
    return Detector(card, path, threads=threads, cache_dir=cache_dir, precision=precision)


def _as_taps(card: Card, head: DetectorHead) -> Card:
    """Return the card with the two outputs as its taps, as the engine returns any tensor of a graph.

    Channels and stride are placeholders, which the engine does not read.
    """
    taps = [Tap(name=name, tensor=getattr(head, name), channels=4, stride=1) for name in ("boxes", "scores")]
    return card.with_taps(taps, "boxes")


def _stretched(images: Batch, size: Sequence[int]) -> Batch:
    """Stretch a batch to (B, height, width, 3), bilinear with antialiasing."""
    from PIL import Image

    height, width = size
    if images.shape[1:3] == (height, width):
        return images
    resized = [Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR) for image in images]
    return np.stack([np.asarray(image) for image in resized])


def _best(boxes: NDArray[np.float32], scores: NDArray[np.float32], count: int, least: float) -> Proposals:
    sides = boxes[:, 2:] - boxes[:, :2]
    usable = np.flatnonzero((sides > 0).all(axis=1) & (sides.prod(axis=1) >= least) & np.isfinite(scores))
    few = usable[np.argsort(-scores[usable], kind="stable")[: CANDIDATES * count]]
    kept = few[non_maximum_suppression(boxes[few], scores[few], iou=IOU, count=count)]
    return boxes[kept], scores[kept]
