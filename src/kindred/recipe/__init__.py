"""Recipe: how images are described and compared, as plain text."""

from kindred.recipe.contradictions import IMPORTED, MULTI_VECTOR, changed
from kindred.recipe.recipe import DEFAULT_RECIPE, FILES, Option, Options, Recipe, list_recipes
from kindred.recipe.text import as_floats

__all__ = [
    "DEFAULT_RECIPE",
    "FILES",
    "IMPORTED",
    "MULTI_VECTOR",
    "Option",
    "Options",
    "Recipe",
    "as_floats",
    "changed",
    "list_recipes",
]
