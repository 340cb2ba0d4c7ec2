"""Rankings of an evaluation by hand: best first, equal scores by the fixed random order, the query's own image out."""

from __future__ import annotations

from collections.abc import Sequence

from kindred.evaluation.ties import tie_order


def literal_order(scores: Sequence[float], *, own: int | None = None) -> list[int]:
    """Return the places of a database by their scores; `own` is that of the query, which is left out."""
    turn = {place: number for number, place in enumerate(tie_order(len(scores)).tolist())}
    return sorted((place for place in turn if place != own), key=lambda place: (-scores[place], turn[place]))


def own_places(queries: Sequence[str], database: Sequence[str]) -> list[int | None]:
    """Return where each query is in a database that names it alike."""
    return [database.index(name) if name in database else None for name in queries]
