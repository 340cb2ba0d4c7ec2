"""Views: the parts and sizes of an image that the network looks at, one pass each.

`PASSES` is the table of the ways to choose regions: laid out by a scheme, found in the activations of the
backbone itself, or proposed by a detector.
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

ENLARGED = 2  # regions are cut from an image decoded at up to so many times the recipe's size
WHOLE = (np.nan,) * 4


@dataclass(frozen=True, eq=False)
class View:
    """What one pass looks at: `pixels` (h, w, 3) uint8 at the network's input size.

    box: x0 y0 x1 y1 in pixels of the original; NaN for the whole image. level: 0 for that, then by the scheme.
    """

    pixels: NDArray[np.uint8]
    box: tuple[float, float, float, float]
    level: int


@dataclass(frozen=True)
class Pass:
    """One entry of PASSES.

    looks: (viewer, pixels, options) → regions of the decoded image, whole not counted. options: the function whose
    keyword arguments they are; None for none. summary, source: for the documentation.
    """

    looks: Callable[[Viewer, NDArray[np.uint8], Options], Regions | None]
    summary: str
    source: str
    options: Callable[..., object] | None


class Viewer:
    """Makes the views of images as a recipe has them; any thread may use it.

    Raises `RecipeError` for unknown passes or options.
    """

    def __init__(self, recipe: Recipe, engine: Engine) -> None:
        self.recipe, self.engine = recipe, engine
        check_known("passes", recipe.passes, PASSES, error=RecipeError, where=f"recipe {recipe.name!r}")
        self._looks = PASSES[recipe.passes].looks
        self._side, self._whole, self._options = self._read_options()
        self._check_size()

    def _read_options(self) -> tuple[int, bool, Options]:
        """Return what every way to choose regions understands, `side` and `whole`, and the options of the one."""
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
            raise self._wrong("passes_options.whole", whole, "true, for the whole is the first of the rows kept")
        return side, whole, options

    def _check_size(self) -> None:
        """Raise `RecipeError` for sizes that a network of one size does not heed."""
        fixed = self.engine.card.input_size
        if fixed is None:
            return
        size = f"nothing, as {self.engine.card.name} takes only {fixed[1]} × {fixed[0]} pixels"
        if self.recipe.scales != (1.0,):
            raise self._wrong("scales", list(self.recipe.scales), size)
        if "side" in self.recipe.passes_options:
            raise self._wrong("passes_options.side", self.recipe.passes_options["side"], size)

    @property
    def longest(self) -> int:
        """How many pixels of the long side the decoder must keep."""
        if self.engine.card.input_size is not None:
            largest = max(self.engine.card.input_size)
        else:
            largest = round(self.recipe.size * max(self.recipe.scales))
        return largest if self.recipe.passes == "whole" else max(ENLARGED * largest, self._side)

    @cached_property
    def detector(self) -> Detector:
        """The detector that proposes regions, named by the option `model`."""
        return load_detector(str(self._options.get("model", "ssd_mobilenet_v1_coco")))

    def views(self, decoded: Decoded) -> list[View]:
        """Return the views of an image: of every scale the whole, its regions, and their mirror images."""
        pixels = decoded.pixels
        height, width = pixels.shape[:2]
        regions = self._looks(self, pixels, self._options)
        to_original = np.array([decoded.width / width, decoded.height / height] * 2)
        parts = [] if regions is None else list(zip(regions.boxes, regions.levels.tolist(), strict=True))
        views = []
        for scale in self.recipe.scales:
            if self._whole or not parts:
                views.append(View(self.sized(pixels, scale), WHOLE, 0))
            for box, level in parts:
                x0, y0, x1, y1 = box.tolist()
                cut = self.sized(pixels[y0:y1, x0:x1], scale, side=self._side)
                views.append(View(cut, tuple((box * to_original).tolist()), level + 1))
        if self.recipe.flip:
            views += [View(np.ascontiguousarray(each.pixels[:, ::-1]), each.box, each.level) for each in views]
        return views

    def sized(self, pixels: NDArray[np.uint8], scale: float = 1.0, *, side: int | None = None) -> NDArray[np.uint8]:
        """Bring an image, or a region at its own `side`, to the size that recipe or network ask for."""
        recipe, fixed = self.recipe, self.engine.card.input_size
        if fixed is not None:
            return stretch(np.ascontiguousarray(pixels), height=fixed[0], width=fixed[1])
        # A smaller image stays small, unless it is a region, which gets the size of its own pass.
        base = side or (recipe.size if recipe.enlarge else min(recipe.size, max(pixels.shape[:2])))
        longest = max(1, round(base * scale))
        if recipe.shape == "stretch":
            longest = max(1, round((side or recipe.size) * scale))
            return stretch(np.ascontiguousarray(pixels), height=longest, width=longest)
        return resize(np.ascontiguousarray(pixels), longest=longest, multiple=recipe.multiple, enlarge=True)

    def _wrong(self, key: str, value: object, expected: str) -> RecipeError:
        return RecipeError(f"recipe {self.recipe.name!r}: {key} is {value!r}; expected {expected}")


def _nothing(_viewer: Viewer, _pixels: NDArray[np.uint8], _options: Options) -> None:
    """Leave the whole image alone."""


def _scheme(name: str) -> Callable[[Viewer, NDArray[np.uint8], Options], Regions]:
    def looks(_viewer: Viewer, pixels: NDArray[np.uint8], options: Options) -> Regions:
        height, width = pixels.shape[:2]
        given: Any = dict(options)
        return divide(width, height, name, **given)

    return looks


def _activations(viewer: Viewer, pixels: NDArray[np.uint8], options: Options) -> Regions:
    """Look at the whole once, and where its map is active."""
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
    """Raise `RecipeError` for an option that passes of that name do not have."""
    function = PASSES[name].options
    usual: dict[str, object] = {"model": ""} if name == "detector" else {}
    if function is not None:
        usual |= {"side": REQUIRED, "whole": REQUIRED, **options_of(function)}  # the first two are checked by `Viewer`
    check_options(f"passes {name!r}", options, usual, error=RecipeError)


PASSES: dict[str, Pass] = {
    "whole": Pass(_nothing, "the whole image", "", None),
    **{name: Pass(_scheme(name), scheme.summary, scheme.source, scheme.function) for name, scheme in REGIONS.items()},
    "proposals": Pass(
        _activations, "regions where the backbone's own map is active", "Mopuri and Babu 2015", activation_proposals
    ),
    "detector": Pass(_detections, "regions that a detector (ONNX) proposes", "Liu et al. 2016", Detector.propose),
}
