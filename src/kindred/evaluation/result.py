"""Evaluation: the quality and the costs of a recipe on a data set."""

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
    "queries_with_regions",
    "dimension",
    "bytes_per_image",
    "passes",
    "seconds_per_image",
    "seconds_per_query",
    "seconds_describing",
    "seconds_searching",
    "seconds_reranking",
    "seconds_regions",
    "seconds_preparing",
)


@dataclass(frozen=True)
class Evaluation:
    """The quality and the costs of a recipe on a data set. Times are wall-clock times, per image or query.

    queries: number of queries scored; those without relevant images are left out. images: number of images searched,
    including distractors: number of irrelevant images added. skipped, skipped_images: the number of images that could
    not be used, and path and reason of each.
    left_out_of_own_ranking: number of queries that are in the database and were left out of their own ranking.
    queries_with_regions: number of queries whose regions were searched for, too.
    rerank: the re-rankers. also, fusion: the names of recipes whose rankings were fused with the recipe's, and the
    method; costs are then sums. metrics: by name; if the queries are in a few folders, also for each folder
    ("recall@1/Canon"), and for each setting of the revisited protocol ("mAP/hard"), where "mAP" is that of the medium
    setting. main: the name of the metric by which results on the set are usually compared. cmc: the fraction of
    queries with a relevant image by rank 1, 2, ….

    dimension: of one vector. bytes_per_image: of all that is stored for an image. passes: number of passes through
    the network per image. seconds_per_image: to describe the database. seconds_per_query: to describe a query, rank
    the whole database, re-rank, and search for its regions where that is done; the next four are its parts.
    seconds_preparing: what re-ranking computes once for a database, such as a graph; 0 if it was cached.
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
    seconds_regions: float = 0.0
    seconds_preparing: float = 0.0
    images: int = 0
    distractors: int = 0
    skipped: int = 0
    left_out_of_own_ranking: int = 0
    queries_with_regions: int = 0
    rerank: tuple[str, ...] = ()
    bytes_per_image: float = 0.0
    passes: float = 1.0
    main: str = "mAP"
    cmc: tuple[float, ...] = ()
    also: tuple[str, ...] = ()
    fusion: str = ""
    skipped_images: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", MappingProxyType(dict(self.metrics)))

    @property
    def label(self) -> str:
        """The recipe and its re-rankers, "kin + aqe", or the fused recipes: "kin + gem (reciprocal_rank)"."""
        return " + ".join((self.recipe.name, *self.also, *self.rerank)) + (f" ({self.fusion})" if self.also else "")

    @property
    def quality(self) -> float:
        """The value of the main metric."""
        return self.metrics[self.main]

    def as_dict(self) -> dict[str, object]:
        """Return everything as plain values, the metrics under their own names."""
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
            "skipped_images": [{"path": path, "reason": reason} for path, reason in self.skipped_images],
            "main": self.main,
            "CMC": list(self.cmc),
        }

    def to_json(self) -> str:
        """Return everything but the recipe as JSON, for `from_json`."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "recipe"}
        return json.dumps(values | {"metrics": dict(self.metrics)})

    @classmethod
    def from_json(cls, text: str, recipe: Recipe) -> Evaluation:
        """Restore an evaluation of `recipe` from `to_json`.

        Raises ValueError, TypeError or KeyError if the text is damaged.
        """
        table = json.loads(text)
        lists = {name: tuple(table[name]) for name in ("rerank", "cmc", "also")}
        lists["skipped_images"] = tuple((str(path), str(reason)) for path, reason in table["skipped_images"])
        _check(table)
        return cls(**{**table, **lists, "recipe": recipe})


def _check(table: Mapping[str, object]) -> None:
    """Raise ValueError or KeyError where a value of a restored evaluation is not of its type."""
    metrics, cmc = table["metrics"], table["cmc"]
    counted = ("queries", "images", "distractors", "skipped", "left_out_of_own_ranking", "queries_with_regions")
    counts = [table[name] for name in counted]
    costs = [table[name] for name in COSTS]
    texts = [table[name] for name in ("name", "main", "fusion")]
    if not isinstance(metrics, dict) or not isinstance(cmc, list) or table["main"] not in metrics:
        raise ValueError("no metrics")
    names = [*texts, *metrics, *_list(table["rerank"]), *_list(table["also"])]
    if not all(isinstance(each, str) for each in names):
        raise ValueError("a name that is not text")
    if not all(_is_number(each) for each in (*costs, *counts, *cmc, *metrics.values())):
        raise ValueError("a value that is not a number")
    if not all(isinstance(each, int) for each in (*counts, table["dimension"])):
        raise ValueError("a count that is not a whole number")


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError("no list")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
