"""What in a recipe contradicts itself, or would have no effect: a key that is not heard must not look as if it were."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kindred.recipe.recipe import Recipe

__all__ = ["IMPORTED", "MULTI_VECTOR", "changed", "contradictions"]

MULTI_VECTOR = "multi_vector"
"""The aggregation that keeps every pass as a row of its own."""

IMPORTED = "imported"
"""The backbone of a recipe whose vectors were made elsewhere."""

# How one network looks at an image: of no meaning where several recipes are fused, of which each has its own.
_OF_A_PART = (
    *("taps", "tap_weights", "size", "shape", "multiple", "enlarge", "passes", "passes_options", "scales", "flip"),
    *("aggregate", "pooling", "pooling_options", "embedding", "embedding_options", "positions", "codebook"),
    *("matching", "matching_options", "features"),
)
_CODED = ("cosine", "dot")  # the similarities that codes stand for


def contradictions(recipe: Recipe) -> Iterator[str]:
    """Yield what is wrong between the keys of `recipe`, each a line that says what to do."""
    yield from _of_source(recipe)
    yield from _of_map(recipe)
    yield from _of_rows(recipe)
    yield from _of_vector(recipe)


def _of_source(recipe: Recipe) -> Iterator[str]:
    if not recipe.backbone and not recipe.ensemble:
        yield "backbone is ''; expected the name of a model, or an ensemble of recipes"
    if recipe.backbone and recipe.ensemble:
        yield "backbone and ensemble contradict each other; give one of them"
    if not recipe.ensemble:
        return
    if len(recipe.ensemble) < 2:
        yield "ensemble needs two recipes or more to fuse"
    if idle := changed(recipe, _OF_A_PART):
        yield f"{idle[0]} has no effect beside ensemble; give it to each recipe of the ensemble that it is meant for"
    if any(part.multi_vector for part in recipe.ensemble):
        yield "a part keeps several rows of an image, which cannot be laid end to end; fuse rankings instead"
    if any(part.code for part in recipe.ensemble):
        yield "a part has a code, which the fused vector cannot use; leave it out"


def _of_map(recipe: Recipe) -> Iterator[str]:
    if recipe.tap_weights and len(recipe.tap_weights) != len(recipe.taps):
        yield f"{len(recipe.tap_weights)} tap_weights for {len(recipe.taps)} taps; give one for each"
    if not recipe.embedding and not recipe.pooling:
        yield "neither pooling nor embedding; name one of them"
    if recipe.embedding and recipe.aggregate != "sum":
        yield f"embedding {recipe.embedding!r} takes the positions of all passes together; leave out aggregate"
    if recipe.embedding and (recipe.pooling_options or recipe.pooling not in ("gem", "")):
        yield f"embedding {recipe.embedding!r} takes the place of a pooling; leave out one of them"
    if recipe.positions and not recipe.embedding:
        yield "positions are those that an embedding takes; name one, or leave them out"
    if recipe.embedding_options and (recipe.embedding or recipe.aggregate) in ("sum", "max", MULTI_VECTOR):
        yield "embedding_options without an embedding; name one, or leave them out"


def _of_rows(recipe: Recipe) -> Iterator[str]:
    if not recipe.multi_vector:
        if recipe.matching_options:
            yield f'matching_options are for aggregate = "{MULTI_VECTOR}" only; set that, or leave them out'
        return
    if recipe.similarity != "cosine":
        yield f"the rows of images are compared by a matching, not as similarity {recipe.similarity!r}; leave it out"
    if recipe.code:
        yield "code stands for the one vector of an image, and several rows are kept; leave out one of them"
    if recipe.embedding and (idle := changed(recipe, ("power_law", "whitening", "tap_weights"))):
        yield f"{idle[0]} has no effect on {recipe.embedding!r}, which compares words; leave it out"


def _of_vector(recipe: Recipe) -> Iterator[str]:
    if recipe.backbone == IMPORTED:
        if not recipe.dimension:
            yield "backbone 'imported' stands for vectors made elsewhere; give their dimension"
    elif recipe.dimension and not recipe.whitening:
        yield f"dimension {recipe.dimension} needs a whitening to cut; name one"
    if recipe.code and recipe.similarity not in _CODED:
        yield (
            f"code compares as {' or '.join(_CODED)}, not as similarity {recipe.similarity!r}; leave out one of them"
        )


def changed(recipe: Recipe, keys: tuple[str, ...]) -> list[str]:
    """Return those of `keys` that are not at their defaults."""
    defaults: dict[str, object] = {
        key.name: {} if key.name.endswith("_options") else key.default for key in dataclasses.fields(recipe)
    }
    return [key for key in keys if getattr(recipe, key) != defaults[key]]
