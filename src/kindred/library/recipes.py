"""The recipe of a library: copying its fitted files into the library, and comparing it with another recipe."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from kindred._support.files import is_file, read_bounded, replacing, within
from kindred.describer.fitted import FITTED_BYTES
from kindred.errors import LibraryDamaged, RecipeMismatch
from kindred.recipe import FILES, Recipe

__all__ = ["check_same", "is_copy", "keep_files", "resolved"]

FITTED = "fitted-"
"""Prefix of the names of fitted files copied into the library."""
MOST_NAMED = 6
"""Maximum number of differences listed in a message."""
_COPY = re.compile(rf"{FITTED}[0-9]{{1,4}}(\.[A-Za-z0-9]{{1,8}})?")


def keep_files(recipe: Recipe, folder: Path) -> Recipe:
    """Copy every fitted file of the recipe into `folder`; return the recipe that names the copies.

    Files bundled with Kindred are not copied. Raises OSError if a file cannot be read or written.
    """
    copies: dict[str, str] = {}
    for name in recipe.fitted_files():
        if name not in copies and not _is_bundled(name):
            copies[name] = f"{FITTED}{len(copies)}{Path(name).suffix}"
            content = read_bounded(name, FITTED_BYTES)
            with replacing(folder / copies[name]) as part:  # a link of that name is replaced, not followed
                part.write_bytes(content)
    return recipe.with_files(lambda name: copies.get(name, name))


def is_copy(name: str) -> bool:
    """Return whether a name is that of a fitted file copied into a library."""
    return _COPY.fullmatch(name) is not None


def resolved(recipe: Recipe, folder: Path) -> Recipe:
    """Return the recipe with the paths of the library's own files in `folder`, its current location.

    Raises LibraryDamaged if the recipe names a file that is neither in the library nor bundled with Kindred, or a link.
    """

    def place(name: str) -> str:
        if _is_bundled(name):
            return name
        try:
            if is_copy(name):
                return str(within(folder, name))
            why = "which is not a fitted file of this library"
        except OSError:  # a link
            why = "which is a link to a file outside the library"
        raise LibraryDamaged(
            f"{folder}: its recipe names the file {name[:80]!a}, {why}; "
            "restore the library from a backup, or index the images into a new one"
        )

    return recipe.with_files(place)


def _is_bundled(name: str) -> bool:
    if not name.isprintable() or Path(name).name != name:
        return False
    return is_file(str(files("kindred").joinpath("recipes", f"{name}.npz")))


def check_same(own: Recipe, other: Recipe, place: object) -> None:
    """Raise `RecipeMismatch` if two recipes differ; fitted files are compared by content, since `own` has copies."""
    other = _with_own_files(own, other.anchored())
    unlike = own.differences(other)
    if unlike:
        raise RecipeMismatch(
            f"{place}: was made with recipe {own.name!r}, which differs from {other.name!r}: "
            f"{_few(unlike)}; leave out --recipe, or index into another library"
        )


def _few(differences: list[str]) -> str:
    """Return the first differences as text, and the number of the others."""
    more = len(differences) - MOST_NAMED
    return "; ".join(differences[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _with_own_files(own: Recipe, other: Recipe) -> Recipe:
    """Return `other` with the file names of `own` wherever the contents are the same."""
    same = {key: getattr(own, key) for key in FILES if _holds_the_same(getattr(own, key), getattr(other, key))}
    parts = other.ensemble
    if len(parts) == len(own.ensemble):
        parts = tuple(_with_own_files(mine, theirs) for mine, theirs in zip(own.ensemble, parts, strict=True))
    return replace(other, ensemble=parts, **same)


def _holds_the_same(one: str, other: str) -> bool:
    try:
        return read_bounded(one, FITTED_BYTES) == read_bounded(other, FITTED_BYTES)
    except OSError:  # bundled or missing: compared by name
        return False
