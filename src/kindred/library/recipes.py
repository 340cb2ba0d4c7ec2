"""The recipe of a library: what it has learned is kept beside it, and another recipe is told from it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

from kindred.errors import LibraryDamaged, RecipeMismatch
from kindred.recipe import FILES, Recipe

__all__ = ["check_same", "keep_files", "resolved"]

FITTED = "fitted-"
"""How the library's own copies of learned files begin."""
MOST_NAMED = 6
"""Differences between recipes in one message."""
_COPY = re.compile(rf"{FITTED}[0-9]{{1,4}}(\.[A-Za-z0-9]{{1,8}})?")


def keep_files(recipe: Recipe, folder: Path) -> Recipe:
    """Copy every file that the recipe learned into `folder`; return the recipe that names the copies.

    What is bundled with Kindred is not copied. Raises OSError where there is no room or right to write.
    """
    copies: dict[str, str] = {}
    for name in recipe.fitted_files():
        if Path(name).is_file() and name not in copies:
            copies[name] = f"{FITTED}{len(copies)}{Path(name).suffix}"
            copyfile(name, folder / copies[name])
    return recipe.with_files(lambda name: copies.get(name, name))


def resolved(recipe: Recipe, folder: Path) -> Recipe:
    """Return the recipe with the library's own files located in `folder`, wherever that is now.

    Raises LibraryDamaged where it names a file that is neither the library's own nor bundled with Kindred.
    """

    def place(name: str) -> str:
        if _COPY.fullmatch(name):
            return str(folder / name)
        if name.startswith(FITTED) or Path(name).name != name or "\\" in name or not name.isprintable():
            raise LibraryDamaged(
                f"{folder}: its recipe names the file {name[:80]!a}, which is none of its own; "
                "restore it from a copy, or index the images into another library"
            )
        return name

    return recipe.with_files(place)


def check_same(own: Recipe, other: Recipe, folder: Path) -> None:
    """Raise `RecipeMismatch` where two recipes differ; learned files by what is in them, for `own` has copies."""
    other = _with_own_files(own, other.anchored())
    unlike = own.differences(other)
    if unlike:
        raise RecipeMismatch(
            f"{folder}: was made with recipe {own.name!r}, which differs from {other.name!r}: "
            f"{_few(unlike)}; leave out --recipe, or index into another library"
        )


def _few(differences: list[str]) -> str:
    """Name some differences, and how many more there are."""
    more = len(differences) - MOST_NAMED
    return "; ".join(differences[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


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
