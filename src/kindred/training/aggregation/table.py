"""The table of all aggregations that can be trained, and `build_aggregation`, which takes a name from it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kindred.errors import RecipeError
from kindred.hints import check_known, check_options
from kindred.pooling import POOLINGS
from kindred.pooling.table import Parameter
from kindred.training.aggregation.base import Aggregation
from kindred.training.aggregation.netvlad import NetVLAD
from kindred.training.aggregation.pooled import GeM, Pooled, fits
from kindred.training.aggregation.regional import RMAC, RegionalGeM

__all__ = ["AGGREGATIONS", "AggregationEntry", "build_aggregation"]


@dataclass(frozen=True)
class AggregationEntry:
    """One entry of AGGREGATIONS.

    builder: the channels of the map, and options by name → the aggregation.
    summary: what it does and what of it is trained, in a few words.
    source: who described it, for the documentation.
    options: what the builder takes by name, with the defaults.
    """

    builder: Callable[..., Aggregation]
    summary: str
    source: str
    options: Mapping[str, Parameter]


def _trained(builder: Callable[..., Aggregation], summary: str, source: str) -> AggregationEntry:
    return AggregationEntry(builder, summary, source, _keywords(builder))


def _plain(name: str) -> AggregationEntry:
    """Return the entry of a pooling without anything to train but the whitening."""
    pooling, common = POOLINGS[name], _keywords(Pooled)
    del common["options"]

    def build(channels: int, **options: Any) -> Pooled:
        own = {key: options.pop(key) for key in pooling.options if key in options}
        return Pooled(channels, name, options=own, **options)

    return AggregationEntry(build, pooling.summary, pooling.source, pooling.options | common)


def _keywords(builder: Callable[..., Aggregation]) -> dict[str, Parameter]:
    known = inspect.signature(builder).parameters.values()
    return {each.name: each.default for each in known if each.kind is each.KEYWORD_ONLY}


AGGREGATIONS: dict[str, AggregationEntry] = {
    "gem": _trained(GeM, "generalised mean, its exponent trained", "Radenović et al. 2018"),
    "rmac": _trained(RMAC, "R-MAC, the whitening of its regions trained", "Gordo et al. 2016"),
    "rgem": _trained(
        RegionalGeM, "R-MAC of generalised means, exponent and whitening trained", "Radenović et al. 2018"
    ),
    "netvlad": _trained(NetVLAD, "VLAD with soft assignment, words and shares trained", "Arandjelović et al. 2016"),
    **{name: _plain(name) for name, each in POOLINGS.items() if name != "gem" and fits(each)},
}


def build_aggregation(name: str, channels: int, **options: Parameter) -> Aggregation:
    """Make the aggregation of that name of AGGREGATIONS for maps of so many channels.

    `options` are those of its entry, by name; all take `whiten`, `dimension` and `power` (see `Aggregation`). Raises
    RecipeError for an unknown name or option, UsageError for a value out of range.
    """
    check_known("aggregation", name, AGGREGATIONS, error=RecipeError)
    entry = AGGREGATIONS[name]
    check_options(f"aggregation {name!r}", options, entry.options, error=RecipeError)
    return entry.builder(channels, **options)
