"""`kindred recipes`: list and show recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.options import AsJson
from kindred.cli.output import columns, dim, print_json, say, say_lines

if TYPE_CHECKING:
    from kindred.recipe import Recipe

__all__ = ["recipes"]

recipes = typer.Typer(invoke_without_command=True)


@recipes.callback()
def list_all(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List the built-in recipes, or show one.

    A recipe defines how descriptors are computed and compared. Any .toml file of the same form can be used as well.
    """
    if context.invoked_subcommand is not None:
        return
    from kindred.recipe import list_recipes

    presets = list_recipes()
    if as_json:
        from kindred.service import RecipeForm, RecipesForm

        print_json(RecipesForm(tuple(map(RecipeForm, presets))))
        return
    rows = [
        (recipe.name, *map(" + ".join, zip(*_parts(recipe), strict=True)), recipe.description) for recipe in presets
    ]
    say(columns(rows, heads=("name", "backbone", "pooling", "size", "description")))
    say(dim("To write your own: kindred recipes show NAME > my.toml"))


@recipes.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="One of `kindred recipes`, or a .toml file.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Print a recipe as a TOML file."""
    from kindred.recipe import Recipe

    recipe = Recipe.load(name)
    if as_json:
        from kindred.service import RecipeForm

        print_json(RecipeForm(recipe))
    else:
        say_lines(recipe.to_toml().rstrip())


def _parts(recipe: Recipe) -> list[tuple[str, str, str]]:
    """Return backbone, pooling or embedding, and size of a recipe, or of each part of an ensemble."""
    return [(each.backbone, each.embedding or each.pooling, f"{each.size} px") for each in recipe.ensemble or (recipe,)]
