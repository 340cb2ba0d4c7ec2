"""Views: the regions and scales of an image that go through the network, one pass each.

`PASSES` is the table of ways to choose regions: a fixed layout, maxima of the backbone's own activations, or the
proposals of a detector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kindred.backbones.detector import Detector, load_detector
from kindred.errors import RecipeError
from kindred.hints import REQUIRED, check_known, check_options, options_of
from kindred.images import Decoded, resize, stretch
from kindred.proposals import activation_proposals
from kindred.recipe import MULTI_VECTOR, Options, Recipe
from kindred.regions import REGIONS, Regions, boxes_to_pixels, divide

if TYPE_CHECKING:
    from kindred.backbones import Engine

__all__ = ["PASSES", "Pass", "View", "Viewer"]

ENLARGED = 2  # regions are cropped from an image decoded at up to this many times the recipe's size
WHOLE = (np.nan,) * 4


@dataclass(frozen=True, eq=False)
class View:
    """The input of one pass: `pixels` (h, w, 3) uint8 at the network's input size.

    box: x0 y0 x1 y1 in pixels of the original; NaN for the whole image. level: 0 for the whole image, otherwise the
    level of the region plus 1.
    """

    pixels: NDArray[np.uint8]
    box: tuple[float, float, float, float]
    level: int


@dataclass(frozen=True)
class Pass:
    """One entry of PASSES.

    regions_of: (viewer, pixels, options) → regions of the decoded image, without the whole image. options: the function
    whose keyword arguments are the options; None if there are none. summary, source: for the documentation.
    """

    regions_of: Callable[[Viewer, NDArray[np.uint8], Options], Regions | None]
    summary: str
    source: str
    options: Callable[..., object] | None


class Viewer:
    """Crops and scales images to the views that a recipe specifies. Thread-safe.

    Raises `RecipeError` for unknown passes or options.
    """

    def __init__(self, recipe: Recipe, engine: Engine) -> None:
        self.recipe, self.engine = recipe, engine
        check_known("passes", recipe.passes, PASSES, error=RecipeError, where=f"recipe {recipe.name!r}")
        self._regions_of = PASSES[recipe.passes].regions_of
        self._side, self._whole, self._options = self._read_options()
        self._check_size()

    def _read_options(self) -> tuple[int, bool, Options]:
        """Return the options common to all passes, `side` and `whole`, and those of the recipe's passes."""
        options = dict(self.recipe.passes_options)
        _check_options(self.recipe.passes, options)
        if self.recipe.passes == "whole":
            return self.recipe.size, True, options
        side, whole = options.pop("side", self.recipe.size), options.pop("whole", True)
        if isinstance(side, bool) or not isinstance(side, int) or side < 1:
            raise self._wrong("passes_options.side", side, "a whole number of pixels")
        if not isinstance(whole, bool):
            raise self._wrong("passes_options.whole", whole, "true or false")
        if not whole and self.recipe.aggregate == MULTI_VECTOR:
            raise self._wrong("passes_options.whole", whole, "true, as the whole image is the first of the stored rows")
        return side, whole, options

    def _check_size(self) -> None:
        """Raise `RecipeError` for sizes that have no effect on a network of fixed input size."""
        fixed = self.engine.card.input_size
        if fixed is None:
            return
        size = f"nothing, as {self.engine.card.name} takes only {fixed[1]} × {fixed[0]} pixels"
        if self.recipe.scales != (1.0,):
            raise self._wrong("scales", list(self.recipe.scales), size)
        if "side" in self.recipe.passes_options:
            raise self._wrong("passes_options.side", self.recipe.passes_options["side"], size)

    @property
    def full_size(self) -> int:
        """The longer side, in pixels, of the largest view of the whole image."""
        if self.engine.card.input_size is not None:
            return max(self.engine.card.input_size)
        return round(self.recipe.size * max(self.recipe.scales))

    @property
    def longest(self) -> int:
        """The longer side to which images are decoded, in pixels."""
        largest = self.full_size
        return largest if self.recipe.passes == "whole" else max(ENLARGED * largest, self._side)

    @cached_property
    def detector(self) -> Detector:
        """The region detector named by the option `model`."""
        return load_detector(str(self._options.get("model", "ssd_mobilenet_v1_coco")))

    def views(self, decoded: Decoded) -> list[View]:
        """Return the views of an image: at every scale the whole image and its regions, then all of them mirrored."""
        pixels = decoded.pixels
        height, width = pixels.shape[:2]
        regions = self._regions_of(self, pixels, self._options)
        to_original = np.array([decoded.width / width, decoded.height / height] * 2)
        parts = [] if regions is None else list(zip(regions.boxes, regions.levels.tolist(), strict=True))
        views = []
        for scale in self.recipe.scales:
            if self._whole or not parts:
                views.append(View(self.sized(pixels, scale), WHOLE, 0))
            for box, level in parts:
                x0, y0, x1, y1 = box.tolist()
                cropped = self.sized(pixels[y0:y1, x0:x1], scale, side=self._side)
                views.append(View(cropped, tuple((box * to_original).tolist()), level + 1))
        if self.recipe.flip:
            views += [View(np.ascontiguousarray(each.pixels[:, ::-1]), each.box, each.level) for each in views]
        return views

    def sized(self, pixels: NDArray[np.uint8], scale: float = 1.0, *, side: int | None = None) -> NDArray[np.uint8]:
        """Resize an image, or a region to its own `side`, to the size that recipe or network require."""
        recipe, fixed = self.recipe, self.engine.card.input_size
        if fixed is not None:
            return stretch(np.ascontiguousarray(pixels), height=fixed[0], width=fixed[1])
        # A small image is not enlarged unless the recipe says so; a region always gets the size of its pass.
        base = side or (recipe.size if recipe.enlarge else min(recipe.size, max(pixels.shape[:2])))
        longest = max(1, round(base * scale))
        if recipe.shape == "stretch":
            longest = max(1, round((side or recipe.size) * scale))
            return stretch(np.ascontiguousarray(pixels), height=longest, width=longest)
        return resize(np.ascontiguousarray(pixels), longest=longest, multiple=recipe.multiple, enlarge=True)

    def _wrong(self, key: str, value: object, expected: str) -> RecipeError:
        return RecipeError(f"recipe {self.recipe.name!r}: {key} is {value!r}; expected {expected}")


def _whole_image(_viewer: Viewer, _pixels: NDArray[np.uint8], _options: Options) -> None:
    """Return no regions: only the whole image is used."""


def _scheme(name: str) -> Callable[[Viewer, NDArray[np.uint8], Options], Regions]:
    def regions_of(_viewer: Viewer, pixels: NDArray[np.uint8], options: Options) -> Regions:
        height, width = pixels.shape[:2]
        given: Any = dict(options)
        return divide(width, height, name, **given)

    return regions_of


def _activations(viewer: Viewer, pixels: NDArray[np.uint8], options: Options) -> Regions:
    """Run the network on the whole image and return the regions where its map is most active."""
    (maps, *_) = viewer.engine.run(viewer.sized(pixels)[None])
    given: Any = options
    boxes, _scores = activation_proposals(maps[0], **given)
    height, width = pixels.shape[:2]
    pixel_boxes = boxes_to_pixels(boxes, (maps.shape[3], maps.shape[2]), (width, height))
    return Regions(pixel_boxes, np.zeros(len(boxes), np.int64))


def _detections(viewer: Viewer, pixels: NDArray[np.uint8], options: Options) -> Regions:
    given: Any = {key: value for key, value in options.items() if key != "model"}
    ((boxes, _scores),) = viewer.detector.propose(pixels[None], **given)
    height, width = pixels.shape[:2]
    pixel_boxes = boxes_to_pixels(boxes, (width, height), (width, height))
    return Regions(pixel_boxes, np.zeros(len(pixel_boxes), np.int64))


def _check_options(name: str, options: Options) -> None:
    """Raise `RecipeError` for an unknown option of the passes `name`."""
    function = PASSES[name].options
    usual: dict[str, object] = {"model": ""} if name == "detector" else {}
    if function is not None:
        usual |= {"side": REQUIRED, "whole": REQUIRED, **options_of(function)}  # `Viewer` checks the first two
    check_options(f"passes {name!r}", options, usual, error=RecipeError)


PASSES: dict[str, Pass] = {
    "whole": Pass(_whole_image, "the whole image", "", None),
    **{name: Pass(_scheme(name), scheme.summary, scheme.source, scheme.function) for name, scheme in REGIONS.items()},
    "proposals": Pass(
        _activations,
        "regions of high activation in the backbone's own map",
        "Mopuri and Babu 2015",
        activation_proposals,
    ),
    "detector": Pass(_detections, "regions proposed by a detector (ONNX)", "Liu et al. 2016", Detector.propose),
}
