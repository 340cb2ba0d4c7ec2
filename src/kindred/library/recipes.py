"""The recipe of a library: what it has learned is kept beside it, and another recipe is told from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shutil import copyfile

from kindred.errors import RecipeMismatch
from kindred.recipe import FILES, Recipe

__all__ = ["check_same", "keep_files", "resolved"]

FITTED = "fitted-"
"""How the library's own copies of learned files begin."""


def keep_files(recipe: Recipe, folder: Path) -> Recipe:
    """Copy every file that the recipe learned into `folder`; return the recipe that names the copies.

    What is bundled with Kindred is not copied. Raises OSError where there is no room or right to write.
    """
    copies: dict[str, str] = {}
    for name in recipe.learned_files():
        if Path(name).is_file() and name not in copies:
            copies[name] = f"{FITTED}{len(copies)}{Path(name).suffix}"
            copyfile(name, folder / copies[name])
    return recipe.with_files(lambda name: copies.get(name, name))


def resolved(recipe: Recipe, folder: Path) -> Recipe:
    """Return the recipe with the library's own files located in `folder`, wherever that is now."""
    return recipe.with_files(lambda name: str(folder / name) if name.startswith(FITTED) else name)


def check_same(own: Recipe, other: Recipe, folder: Path) -> None:
    """Raise `RecipeMismatch` where two recipes differ; learned files by what is in them, for `own` has copies."""
    other = _with_own_files(own, other.anchored())
    unlike = own.differences(other)
    if unlike:
        raise RecipeMismatch(
            f"{folder}: was made with recipe {own.name!r}, which differs from {other.name!r}: "
            f"{'; '.join(unlike)}; leave out --recipe, or index into another library"
        )


def _with_own_files(own: Recipe, other: Recipe) -> Recipe:
    """Return `other` with those of its files that hold the same as those of `own` named as there."""
    same = {key: getattr(own, key) for key in FILES if _holds_the_same(getattr(own, key), getattr(other, key))}
    parts = other.ensemble
    if len(parts) == len(own.ensemble):
        parts = tuple(_with_own_files(mine, theirs) for mine, theirs in zip(own.ensemble, parts, strict=True))
    return replace(other, ensemble=parts, **same)


def _holds_the_same(one: str, other: str) -> bool:
    try:
        return Path(one).read_bytes() == Path(other).read_bytes()
    except OSError:  # bundled, or gone: then the names decide
        return False
