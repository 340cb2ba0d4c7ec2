"""How results are rated in tables: by probability where there is one, otherwise by score, with a line at even odds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kindred.cli.output import Clean, dim
from kindred.ranking import probability_text, score_text

if TYPE_CHECKING:
    from kindred.library import Hit, Results

__all__ = ["rating", "rating_head", "with_line"]

BELOW = "-- probably not the same thing below --"


def rating(hit: Hit) -> str:
    """Return the probability of a result, or its score."""
    return score_text(hit.score) if hit.probability is None else probability_text(hit.probability)


def rating_head(*, judged: bool) -> str:
    """Return the head of the column of ratings; `judged`: whether they are probabilities."""
    return "probability" if judged else "score"


def with_line(table: Clean, results: Results) -> Clean:
    """Return a table of results, one a line below its head, with a line below the last that is probably right.

    Results of several libraries are not ordered by probability.
    """
    above = max((place for place, hit in enumerate(results, 1) if hit.probable), default=0)
    if not above or above == len(results):
        return table
    lines = table.split("\n")
    return Clean("\n".join([*lines[: above + 1], dim(BELOW), *lines[above + 1 :]]))
