"""What re-rankers need of a recipe, told before anything is described."""

from __future__ import annotations

import pytest

from kindred.errors import KindredError, RecipeError, UsageError
from kindred.ranking import Ranking
from kindred.recipe import Recipe
from kindred.rerank import Context, Method
from kindred.rerank.needs import check_needs, needs_of, steps_of

PLAIN = Recipe("made", "kin")
MULTI_VECTOR = Recipe("made", "kin", aggregate="multi_vector")
FUSED = Recipe("made", ensemble=(PLAIN, Recipe("other", "kin", features="sift")))


@pytest.mark.parametrize("methods", ["difusion", ["difusion"], [("difusion", {})]])
def test_unknown_names_are_refused(methods: str | list[Method]) -> None:
    with pytest.raises(RecipeError, match="did you mean 'diffusion'"):
        steps_of(methods)


def test_needs_are_reported_by_name() -> None:
    def mine(ranking: Ranking, context: Context) -> Ranking:  # noqa: ARG001 - as all re-rankers
        return ranking

    steps = steps_of(["aqe:n=3,verify", mine, ("localise", {})])
    assert needs_of(steps) == [("aqe", "vectors"), ("verify", "features"), ("localise", "maps")]


@pytest.mark.parametrize(
    ("methods", "recipe"),
    [
        ("aqe", PLAIN),
        ("verify", FUSED),
        ("aqe,verify", Recipe("made", "kin", features="sift")),
        ("localise", MULTI_VECTOR),
    ],
)
def test_available_data_is_accepted(methods: str, recipe: Recipe) -> None:
    check_needs(steps_of(methods), recipe, images_at_hand=True)


@pytest.mark.parametrize(
    ("methods", "recipe", "expected", "error"),
    [
        ("aqe", MULTI_VECTOR, "recipe 'made' stores several rows", RecipeError),
        ("aqe,verify", PLAIN, "recipe 'made' does not store; .*--set features=kin", RecipeError),
        ("localise", FUSED, "recipe 'made' is an ensemble", RecipeError),
    ],
)
def test_missing_data_is_reported(methods: str, recipe: Recipe, expected: str, error: type[KindredError]) -> None:
    with pytest.raises(error, match=expected):
        check_needs(steps_of(methods), recipe, images_at_hand=True)


def test_maps_need_the_images() -> None:
    with pytest.raises(UsageError, match="only available in a search of a library"):
        check_needs(steps_of("localise"), PLAIN, images_at_hand=False)
