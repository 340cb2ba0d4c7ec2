"""The table of trainable aggregations, and `build_aggregation`, which builds one by its name."""

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

    builder: channels of the map, and options by keyword → the aggregation.
    summary: what it computes and what is trained, in a few words.
    source: who described it, for the documentation.
    options: the keyword arguments of the builder, with their defaults.
    """

    builder: Callable[..., Aggregation]
    summary: str
    source: str
    options: Mapping[str, Parameter]


def _trained(builder: Callable[..., Aggregation], summary: str, source: str) -> AggregationEntry:
    return AggregationEntry(builder, summary, source, _keywords(builder))


def _plain(name: str) -> AggregationEntry:
    """Return the entry of a pooling of which only the whitening is trained."""
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
    "gem": _trained(GeM, "generalised mean with a trained exponent", "Radenović et al. 2018"),
    "rmac": _trained(RMAC, "R-MAC with a trained whitening of its regions", "Gordo et al. 2016"),
    "rgem": _trained(
        RegionalGeM, "R-MAC of generalised means, with trained exponent and whitening", "Radenović et al. 2018"
    ),
    "netvlad": _trained(NetVLAD, "VLAD with trained words and soft assignment", "Arandjelović et al. 2016"),
    **{name: _plain(name) for name, each in POOLINGS.items() if name != "gem" and fits(each)},
}


def build_aggregation(name: str, channels: int, **options: Parameter) -> Aggregation:
    """Return the aggregation AGGREGATIONS[`name`] for maps of `channels` channels.

    options: those of its entry; all take `whiten`, `dimension` and `power` (see `Aggregation`). Raises
    RecipeError for an unknown name or option, UsageError for a value out of range.
    """
    check_known("aggregation", name, AGGREGATIONS, error=RecipeError)
    entry = AGGREGATIONS[name]
    check_options(f"aggregation {name!r}", options, entry.options, error=RecipeError)
    return entry.builder(channels, **options)
