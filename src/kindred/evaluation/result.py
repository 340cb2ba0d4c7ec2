"""Evaluation: what a recipe reached on a set, and at what cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

from kindred.recipe import Recipe

__all__ = ["Evaluation"]

COSTS = (
    "images",
    "distractors",
    "skipped",
    "left_out_of_own_ranking",
    "dimension",
    "bytes_per_image",
    "passes",
    "seconds_per_image",
    "seconds_per_query",
    "seconds_describing",
    "seconds_searching",
    "seconds_reranking",
    "seconds_preparing",
)


@dataclass(frozen=True)
class Evaluation:
    """What a recipe reached, and at what cost. Times are wall time, divided by the number.

    queries: how many were scored; those without relevant images are left out. images: how many were searched,
    with distractors: so many wrong answers that were added. skipped: images that could not be read and were left
    out. left_out_of_own_ranking: how many queries are in the database themselves and were no answers to themselves.
    rerank: the re-rankers. also, fusion: the names of recipes whose rankings were fused with the recipe's, and how;
    costs are then sums. metrics: by name; where the queries lie in a few folders, also for each folder
    ("recall@1/Canon"), and for each setting of the revisited protocol ("mAP/hard"), "mAP" alone then being the
    medium one. main: the name of the metric by which results on the set are usually compared. cmc: the share of
    queries answered by rank 1, 2, ….

    dimension: of one vector. bytes_per_image: of all that is kept of an image, as it is kept. passes: how often
    the network looks at an image. seconds_per_image: to describe the database. seconds_per_query: to describe a
    query, rank the whole database for it and re-rank; its three parts follow. seconds_preparing: what re-ranking
    needs once for a whole database, such as a graph; 0 where it was at hand.
    """

    name: str
    recipe: Recipe
    queries: int
    metrics: Mapping[str, float]
    dimension: int
    seconds_per_image: float
    seconds_per_query: float
    seconds_describing: float = 0.0
    seconds_searching: float = 0.0
    seconds_reranking: float = 0.0
    seconds_preparing: float = 0.0
    images: int = 0
    distractors: int = 0
    skipped: int = 0
    left_out_of_own_ranking: int = 0
    rerank: tuple[str, ...] = ()
    bytes_per_image: float = 0.0
    passes: float = 1.0
    main: str = "mAP"
    cmc: tuple[float, ...] = ()
    also: tuple[str, ...] = ()
    fusion: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", MappingProxyType(dict(self.metrics)))

    @property
    def label(self) -> str:
        """The recipe and its re-rankers, "kin + aqe", or what it was fused with: "kin + gem (reciprocal_rank)"."""
        return " + ".join((self.recipe.name, *self.also, *self.rerank)) + (f" ({self.fusion})" if self.also else "")

    @property
    def quality(self) -> float:
        """The value of the main metric."""
        return self.metrics[self.main]

    def as_dict(self) -> dict[str, object]:
        """Return all of it as plain values, the metrics among them under their own names."""
        return {
            "name": self.name,
            "recipe": self.recipe.name,
            "digest": self.recipe.digest,
            "rerank": list(self.rerank),
            "also": list(self.also),
            "fusion": self.fusion,
            "queries": self.queries,
            **self.metrics,
            **{name: getattr(self, name) for name in COSTS},
            "main": self.main,
            "CMC": list(self.cmc),
        }

    def to_json(self) -> str:
        """Write all but the recipe, for `from_json`."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "recipe"}
        return json.dumps(values | {"metrics": dict(self.metrics)})

    @classmethod
    def from_json(cls, text: str, recipe: Recipe) -> Evaluation:
        """Read what `to_json` wrote of `recipe`. Raises ValueError, TypeError or KeyError where it is damaged."""
        table = json.loads(text)
        lists = {name: tuple(table[name]) for name in ("rerank", "cmc", "also")}
        return cls(**{**table, **lists, "recipe": recipe})
