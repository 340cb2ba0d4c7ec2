"""What re-rankers need of a recipe: told before anything is described, not after."""

from __future__ import annotations

from collections.abc import Sequence

from kindred.errors import RecipeError, UsageError
from kindred.recipe import Recipe
from kindred.rerank.table import RERANKERS, Method, parse_methods

__all__ = ["check_needs", "needs_of", "steps_of"]


def steps_of(methods: str | Sequence[Method]) -> list[Method]:
    """Return re-rankers one by one; raises RecipeError for one that is unknown."""
    steps: list[Method] = []
    for method in parse_methods(methods) if isinstance(methods, str) and methods else methods:
        steps += parse_methods(method) if isinstance(method, str) else [method]
    for step in steps:
        if isinstance(step, tuple):
            parse_methods(step[0])  # raises where there is none of that name
    return steps


def needs_of(steps: Sequence[Method]) -> list[tuple[str, str]]:
    """Return the name of each re-ranker of the table and what it needs: "vectors", "features" or "maps"."""
    names = [step[0] for step in steps if isinstance(step, tuple)]
    return [(name, RERANKERS[name].needs) for name in names]


def check_needs(steps: Sequence[Method], recipe: Recipe, *, images_at_hand: bool) -> None:
    """Raise RecipeError where a re-ranker needs what images described by `recipe` do not have.

    `images_at_hand`: whether the network can look at the images again; UsageError where it must and cannot.
    """
    for name, needs in needs_of(steps):
        if needs == "features" and not recipe.stored_features:
            raise RecipeError(
                f"re-ranker {name!r} compares local features, and recipe {recipe.name!r} keeps none; "
                "describe the images by one that does: --set features=sift"
            )
        if needs == "vectors" and recipe.multi_vector:
            raise RecipeError(
                f"re-ranker {name!r} compares one vector of each image, and recipe {recipe.name!r} keeps several rows "
                "of an image; re-rank by local features (verify)"
            )
        if needs == "maps" and not images_at_hand:
            raise UsageError(f"re-ranker {name!r} looks at the images again, which only a search of a library can")
        if needs == "maps" and recipe.ensemble:
            raise RecipeError(
                f"re-ranker {name!r} looks at the map of one network, and recipe {recipe.name!r} is made of parts"
            )
