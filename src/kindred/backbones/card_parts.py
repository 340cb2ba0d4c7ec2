"""The parts of a model card: taps, and the heads of detectors, classifiers and local features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["BoxForm", "BoxUnits", "ClassifierHead", "DetectorHead", "LocalHead", "Tap"]

BoxForm: TypeAlias = Literal["yxyx", "xyxy"]
BoxUnits: TypeAlias = Literal["relative", "pixels"]


@dataclass(frozen=True, kw_only=True)
class Tap:
    """A feature map that a model can return.

    `tensor` is its name in the graph; the map of an H × W image is (channels, about H / stride, about W / stride).
    """

    name: str
    tensor: str
    channels: int
    stride: int


@dataclass(frozen=True, kw_only=True)
class DetectorHead:
    """The output tensors of a detector, and their format.

    `boxes` is the tensor (N, R, 4) of decoded boxes and `scores` the tensor (N, R, classes), higher is better. `form`
    is the order of the corners: "yxyx" or "xyxy". `units` is "relative" (fractions of the image) or "pixels" (of the
    network's input). `background` is the column of the scores for the background class, −1 if there is none.
    """

    boxes: str
    scores: str
    form: BoxForm
    units: BoxUnits
    background: int = -1


@dataclass(frozen=True, kw_only=True)
class ClassifierHead:
    """The class maps of a classifier, or the weights to compute them.

    `maps` is the tap of the class maps. If the graph has none, `weights` is the weight tensor of the last linear layer,
    which is applied to the average-pooled map `tap`. `background` is the index of the background class, −1 if there is
    none.
    """

    maps: str = ""
    weights: str = ""
    tap: str = ""
    background: int = -1


@dataclass(frozen=True, kw_only=True)
class LocalHead:
    """The local features of a network: keypoints with descriptors.

    `scores` is the tap, of one channel and stride 1, of the keypoint score of each pixel. Descriptors are either
    sampled from the tap `descriptors`, whose first cell is at pixel `centre` of the image (from 0) in both directions,
    or computed by a second graph, `describe`, the name of an `.onnx` file in the same folder with the sha256
    `describe_digest`. Its inputs are taps of the first graph by name, `points` (N, 2), x y in pixels of the padded
    image, and `window` (4), left, top, width and height of the photograph in it; its output is `descriptors`
    (N, `dimension`).

    The sides of an image are padded to a multiple of `multiple`. With `signs`, descriptors are binarised to the signs
    of their components, one bit each. `ratio` is the threshold of the ratio test for these descriptors. `precision` is
    "auto", or "f32" for a network that is inaccurate in bfloat16.

    `matcher` is the name of a third graph, in the same folder and with the sha256 `matcher_digest`, that pairs the
    keypoints of two images in place of the ratio test (`kindred.features.matcher`); pairs with a score below
    `matcher_threshold`, from 0 to 1, are dropped.
    """

    scores: str
    descriptors: str = ""
    centre: float = 0.0
    describe: str = ""
    describe_digest: str = ""
    dimension: int = 0
    multiple: int = 1
    signs: bool = False
    ratio: float = 0.85
    precision: Literal["auto", "f32"] = "auto"
    matcher: str = ""
    matcher_digest: str = ""
    matcher_threshold: float = 0.0

    @property
    def graphs(self) -> dict[str, tuple[str, str]]:
        """The further graphs, file and digest by key: "describe" and "matcher", if there are."""
        named = {"describe": (self.describe, self.describe_digest), "matcher": (self.matcher, self.matcher_digest)}
        return {key: graph for key, graph in named.items() if graph[0]}
