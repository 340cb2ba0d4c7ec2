"""Requirements of re-rankers, checked before anything is described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kindred.errors import RecipeError, UsageError
from kindred.hints import check_type
from kindred.recipe import Recipe
from kindred.rerank.table import RERANKERS, Method, parse_methods

__all__ = ["CALIBRATED", "check_needs", "is_calibrated", "needs_of", "steps_of", "steps_or_default"]

CALIBRATED = "calibrated"
"""The re-ranker of recipes that have a calibration."""
NONE = "none"
"""The name for no re-ranker, not even the recipe's own."""


def steps_or_default(methods: str | Sequence[Method] | None, recipe: Recipe) -> list[Method]:
    """Return re-rankers one by one; None is the default of the recipe, "calibrated" if it has a calibration.

    Raises RecipeError if one is unknown.
    """
    if methods is None:
        return [(CALIBRATED, {})] if recipe.calibration else []
    return [] if methods == NONE else steps_of(methods)


def is_calibrated(steps: Sequence[Method]) -> bool:
    """Return whether the last re-ranker gives probabilities."""
    return bool(steps) and isinstance(steps[-1], tuple) and steps[-1][0] == CALIBRATED


def steps_of(methods: str | Sequence[Method]) -> list[Method]:
    """Return re-rankers one by one; raises RecipeError for an unknown one, UsageError for other types."""
    expected = "names such as 'aqe,diffusion', or a list of names, (name, options) and functions"
    check_type("rerank", methods, Sequence, expected)
    steps: list[Method] = []
    for method in parse_methods(methods) if isinstance(methods, str) and methods else methods:
        steps += parse_methods(method) if isinstance(method, str) else [method]
    for step in steps:
        named = isinstance(step, tuple) and len(step) == 2 and isinstance(step[1], Mapping)
        if not named and not callable(step):
            raise UsageError(f"rerank names {step!r:.100}; expected {expected}")
        if isinstance(step, tuple):
            parse_methods(str(step[0]))  # raises for an unknown name
    return steps


def needs_of(steps: Sequence[Method]) -> list[tuple[str, str]]:
    """Return the name of each re-ranker and what it needs, as in its `Entry`."""
    names = [step[0] for step in steps if isinstance(step, tuple)]
    return [(name, RERANKERS[name].needs) for name in names]


def check_needs(steps: Sequence[Method], recipe: Recipe, *, images_at_hand: bool) -> None:
    """Raise RecipeError if a re-ranker needs data that images described by `recipe` do not have.

    `images_at_hand`: whether the network can process the images again; UsageError if that is needed and not possible.
    """
    for name, needs in needs_of(steps):
        if needs == "features" and not recipe.stored_features:
            raise RecipeError(
                f"re-ranker {name!r} needs local features, which recipe {recipe.name!r} does not store; "
                "index the images with a recipe that does: --set features=kin"
            )
        if needs == "calibration" and not recipe.calibration:
            raise RecipeError(
                f"re-ranker {name!r} needs a calibration, and recipe {recipe.name!r} has none; "
                "fit one with kindred fit --calibration, or choose another re-ranker"
            )
        if needs == "vectors" and recipe.multi_vector:
            raise RecipeError(
                f"re-ranker {name!r} needs one vector per image, and recipe {recipe.name!r} stores several rows per "
                "image; re-rank by local features (verify)"
            )
        if needs == "maps" and not images_at_hand:
            raise UsageError(
                f"re-ranker {name!r} needs the images themselves, which are only available in a search of a library"
            )
        if needs == "maps" and recipe.ensemble:
            raise RecipeError(
                f"re-ranker {name!r} needs the feature map of one network, and recipe {recipe.name!r} is an ensemble"
            )
