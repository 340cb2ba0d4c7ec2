"""`POOLINGS`, the table of all poolings, and `pool`, which takes a name from it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

from kindred.arrays import Array, ArrayT, Vectors
from kindred.errors import RecipeError
from kindred.hints import check_known, check_options, options_of
from kindred.pooling.basic import average_pool, max_pool, sum_pool
from kindred.pooling.cam import cam, cam_vectors
from kindred.pooling.gem import gem, superglobal
from kindred.pooling.regional import pyramid_gem, pyramid_gem_cells, rgem, rgem_regions, rmac, rmac_regions
from kindred.pooling.scda import scda
from kindred.pooling.weighted import PWA_CHANNELS, crow, pwa, pwa_channels, spoc
from kindred.pooling.windows import window_average, window_count, window_max, window_sum
from kindred.regions import Boxes, rmac_grid, spatial_pyramid

__all__ = ["POOLINGS", "FittedPooling", "Parameter", "Pooling", "pool"]

Parameter: TypeAlias = bool | int | float | Array | Callable[..., Array] | None


@dataclass(frozen=True)
class FittedPooling:
    """Parameters of a pooling that are fitted on other images before it can be used.

    gather: maps (B, C, H, W) of those images → rows (B, D).
    fit: the rows (N, D), all at once or in batches → the fitted arrays by `names`.
    names: the parameters of the pooling's function that take them.
    """

    names: tuple[str, ...]
    gather: Callable[..., Array]
    fit: Callable[..., Mapping[str, NDArray[Any]]]


@dataclass(frozen=True)
class Pooling:
    """One entry of POOLINGS.

    function: maps (B, C, H, W), and parameters by name → vectors (B, D).
    summary: what it does, in a few words.
    source: author and year, for the documentation.
    dimension: channels, height and width of the map, and parameters by name → D. For a pooling with `parts`, D without
    whitening; a whitening sets the dimension itself.
    parts: maps, and parameters by name → the vectors (B, n, D) that are normalised, whitened and summed; a whitening
    is fitted on these and passed to the function. None: the pooled vector itself is whitened.
    fitted: the parameters that are fitted on other images, because a recipe cannot hold them.
    network: the parameters that come from the network, such as its classifier's weights.
    grid: width and height of a map, and parameters by name → the boxes (n, 4) of the `parts` on the map; None if
    parts are not regions.
    """

    function: Callable[..., Array]
    summary: str
    source: str
    dimension: Callable[..., int]
    parts: Callable[..., Array] | None = None
    fitted: FittedPooling | None = None
    network: tuple[str, ...] = ()
    grid: Callable[..., Boxes] | None = None

    @property
    def options(self) -> dict[str, Parameter]:
        """The parameters that a recipe may set, with their defaults: none that are fitted or come from the network."""
        brought = {"whitening", *self.network, *(self.fitted.names if self.fitted else ())}
        known = list(inspect.signature(self.function).parameters.values())[1:]
        return {each.name: each.default for each in known if each.name not in brought}


def _per_channel(channels: int, _height: int, _width: int, **_parameters: Parameter) -> int:
    return channels


def _per_channel_twice(channels: int, _height: int, _width: int, **_parameters: Parameter) -> int:
    return 2 * channels


def _per_window(channels: int, height: int, width: int, *, window: int = 2, stride: int | None = None) -> int:
    stride = window if stride is None else stride
    return channels * window_count(height, window, stride) * window_count(width, window, stride)


def _per_part(depth: int, _height: int, _width: int, **parameters: Any) -> int:
    channels = parameters.get("channels")
    return depth * (PWA_CHANNELS if channels is None else len(channels))


def _grid(width: int, height: int, *, levels: int = 3, whole: bool = False, **_others: Parameter) -> Boxes:
    return rmac_grid(width, height, levels=levels, whole=whole)


def _pyramid(width: int, height: int, *, levels: int = 4, **_others: Parameter) -> Boxes:
    return spatial_pyramid(width, height, levels=levels).boxes


def _fit_channels(rows: Vectors) -> dict[str, NDArray[Any]]:
    return {"channels": pwa_channels(rows)}


_LECUN = "LeCun et al. 1998"
_MAC = "Razavian et al. 2014; Tolias, Sicre and Jégou 2016"

POOLINGS: dict[str, Pooling] = {
    "sum": Pooling(sum_pool, "sum over all positions", "Babenko and Lempitsky 2015", _per_channel),
    "average": Pooling(average_pool, "mean over all positions", "Lin, Chen and Yan 2014", _per_channel),
    "max": Pooling(max_pool, "maximum over all positions", _MAC, _per_channel),
    "mac": Pooling(max_pool, "another name of max, as in R-MAC", _MAC, _per_channel),
    "window_sum": Pooling(window_sum, "sum in each window, concatenated", _LECUN, _per_window),
    "window_average": Pooling(window_average, "mean in each window, concatenated", _LECUN, _per_window),
    "window_max": Pooling(window_max, "maximum in each window, concatenated", _LECUN, _per_window),
    "spoc": Pooling(spoc, "sum, weighted towards the centre", "Babenko and Lempitsky 2015", _per_channel),
    "gem": Pooling(gem, "generalised mean: average to maximum", "Radenović et al. 2018", _per_channel),
    "superglobal": Pooling(superglobal, "GeM of the map and its regional GeM", "Shao et al. 2023", _per_channel),
    "crow": Pooling(crow, "sum, weighted by position and channel", "Kalantidis et al. 2016", _per_channel),
    "pwa": Pooling(
        pwa,
        "one weighted sum per part detector, concatenated",
        "Xu et al. 2018",
        _per_part,
        fitted=FittedPooling(("channels",), sum_pool, _fit_channels),
    ),
    "cam": Pooling(
        cam,
        "sum of unit vectors, one per probable class, weighted by its activation map",
        "Jimenez et al. 2017",
        _per_channel,
        parts=cam_vectors,
        network=("weights", "class_maps"),
    ),
    "rmac": Pooling(
        rmac,
        "sum of unit MAC vectors of a grid of regions",
        "Tolias et al. 2016",
        _per_channel,
        parts=rmac_regions,
        grid=_grid,
    ),
    "rgem": Pooling(
        rgem,
        "sum of unit GeM vectors of a grid of regions",
        "Radenović et al. 2018",
        _per_channel,
        parts=rgem_regions,
        grid=_grid,
    ),
    "pyramid_gem": Pooling(
        pyramid_gem,
        "sum of unit GeM vectors of 1 × 1 to n × n cells",
        "Lazebnik et al. 2006; arXiv 2512.12610",
        _per_channel,
        parts=pyramid_gem_cells,
        grid=_pyramid,
    ),
    "scda": Pooling(scda, "mean and maximum over the main object", "Wei et al. 2017", _per_channel_twice),
}


def pool(maps: ArrayT, method: str | Callable[..., ArrayT], **parameters: Parameter) -> ArrayT:
    """Pool maps (B, C, H, W) to vectors (B, D) by a name of POOLINGS or a custom function.

    `parameters` are those of the function, by name. Raises RecipeError for an unknown name or parameter, UsageError
    for maps of another shape and parameters out of range.

    >>> pool(np.ones((1, 2, 3, 3)), "gem", p=4.0)
    array([[1., 1.]])
    """
    if not isinstance(method, str):
        return method(maps, **parameters)
    check_known("pooling", method, POOLINGS, error=RecipeError)
    function: Any = POOLINGS[method].function
    check_options(f"pooling {method!r}", parameters, options_of(function), error=RecipeError)
    pooled: ArrayT = function(maps, **parameters)
    return pooled
