"""Contradictions between the keys of a recipe, and keys without effect, which are refused rather than ignored."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kindred.recipe.recipe import Recipe

__all__ = ["IMPORTED", "MULTI_VECTOR", "changed", "contradictions"]

MULTI_VECTOR = "multi_vector"
"""The aggregation that stores every pass as a row of its own."""

IMPORTED = "imported"
"""The backbone of a recipe for vectors computed elsewhere."""

# Keys about one network, which have no effect in an ensemble: each of its recipes has its own.
_OF_A_PART = (
    *("taps", "tap_weights", "size", "shape", "multiple", "enlarge", "passes", "passes_options", "scales", "flip"),
    *("aggregate", "pooling", "pooling_options", "embedding", "embedding_options", "positions", "codebook"),
    *("matching", "matching_options", "features"),
)
_CODED = ("cosine", "dot")  # the similarities that codes approximate


def contradictions(recipe: Recipe) -> Iterator[str]:
    """Yield the contradictions between the keys of `recipe`, each as one line that says what to do."""
    yield from _of_source(recipe)
    yield from _of_map(recipe)
    yield from _of_rows(recipe)
    yield from _of_vector(recipe)
    yield from _of_words(recipe)


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
        yield f"{idle[0]} has no effect together with ensemble; set it in the recipes of the ensemble"
    if any(part.multi_vector for part in recipe.ensemble):
        yield "a recipe of the ensemble stores several rows per image; fuse rankings instead"
    if any(part.words for part in recipe.ensemble):
        yield "a recipe of the ensemble has words, which are those of an image as a whole; set them beside the ensemble"
    if any(part.code for part in recipe.ensemble):
        yield "a recipe of the ensemble has a code, which the fused vector cannot use; leave it out"


def _of_map(recipe: Recipe) -> Iterator[str]:
    if recipe.tap_weights and len(recipe.tap_weights) != len(recipe.taps):
        yield f"{len(recipe.tap_weights)} tap_weights for {len(recipe.taps)} taps; give one for each"
    if not recipe.embedding and not recipe.pooling:
        yield "neither pooling nor embedding; name one of them"
    if recipe.embedding and recipe.aggregate != "sum":
        yield f"embedding {recipe.embedding!r} takes the positions of all passes together; leave out aggregate"
    if recipe.embedding and (recipe.pooling_options or recipe.pooling not in ("gem", "")):
        yield f"embedding {recipe.embedding!r} replaces the pooling; leave out one of them"
    if recipe.positions and not recipe.embedding:
        yield "positions has an effect with an embedding only; name one, or leave it out"
    if recipe.embedding_options and (recipe.embedding or recipe.aggregate) in ("sum", "max", MULTI_VECTOR):
        yield "embedding_options without an embedding; name one, or leave them out"


def _of_rows(recipe: Recipe) -> Iterator[str]:
    if not recipe.multi_vector:
        if recipe.matching_options:
            yield f'matching_options are for aggregate = "{MULTI_VECTOR}" only; set that, or leave them out'
        return
    if recipe.similarity != "cosine":
        yield f"several rows are compared by a matching, not by similarity {recipe.similarity!r}; leave it out"
    if recipe.code and recipe.embedding:
        yield f"code encodes vectors, but {recipe.embedding} stores residuals of visual words; leave out one of them"
    if recipe.embedding and (idle := changed(recipe, ("power_law", "whitening", "tap_weights"))):
        yield f"{idle[0]} has no effect on {recipe.embedding!r}, which compares words; leave it out"


def _of_vector(recipe: Recipe) -> Iterator[str]:
    if recipe.backbone == IMPORTED:
        if not recipe.dimension:
            yield "backbone 'imported' is for vectors computed elsewhere; give their dimension"
    elif recipe.dimension and not recipe.whitening:
        yield f"dimension {recipe.dimension} needs a whitening to reduce; name one"
    if recipe.calibration:
        yield from _of_calibration(recipe)
    if recipe.code and recipe.similarity not in _CODED:
        yield (
            f"code compares by {' or '.join(_CODED)}, not by similarity {recipe.similarity!r}; leave out one of them"
        )


def _of_words(recipe: Recipe) -> Iterator[str]:
    if recipe.words and not recipe.stored_features:
        yield "words are those of local features, and none are stored; name features, or leave out words"
    if recipe.words and recipe.multi_vector:
        yield "words find images of one vector each, but several rows per image are stored; leave out one of them"


def _of_calibration(recipe: Recipe) -> Iterator[str]:
    """A calibration judges a cosine and what spatial verification finds."""
    if not recipe.stored_features:
        yield 'calibration needs local features to verify; set features = "sift", or leave it out'
    if recipe.multi_vector or recipe.similarity != "cosine":
        yield "calibration judges the cosine of one vector per image; leave it out"
    if any(part.calibration for part in recipe.ensemble):
        yield "a recipe of the ensemble has a calibration, which the fused vector cannot use; give it to the ensemble"


def changed(recipe: Recipe, keys: tuple[str, ...]) -> list[str]:
    """Return those of `keys` that differ from their defaults."""
    defaults: dict[str, object] = {
        key.name: {} if key.name.endswith("_options") else key.default for key in dataclasses.fields(recipe)
    }
    return [key for key in keys if getattr(recipe, key) != defaults[key]]
