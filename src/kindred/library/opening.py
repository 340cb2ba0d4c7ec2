"""Creating and opening a library: its folder, its store, and the recipe of its vectors."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kindred.describer import Describer, DescriberOptions, Provenance
from kindred.errors import LibraryDamaged, LibraryError, RecipeError, RecipeMismatch
from kindred.features import FEATURES, find_features, find_matcher
from kindred.library.places import check_free, create_at, folder_of, open_store, replace_files
from kindred.library.recipes import check_same, resolved
from kindred.recipe import Recipe
from kindred.store import Place, Store

__all__ = ["PROVENANCE", "Opened", "as_made_now", "make", "open_at", "ready_describer", "recipe_of"]

PROVENANCE = "provenance"


@dataclass(frozen=True)
class Opened:
    """An open library: its store, its recipe, and the fingerprint of the describer that made its vectors.

    place: where it is. folder: that of its files on this machine. provenance: None if the library does not record it.
    """

    place: Place
    folder: Path
    store: Store
    recipe: Recipe
    fingerprint: str
    provenance: Provenance | None = None
    describer: Describer | None = None


def make(place: Place, wanted: Recipe, options: DescriberOptions) -> Opened:
    """Create an empty library at a place, after checking that everything its recipe needs is available."""
    check_free(place)
    describer = ready_describer(options.describer(wanted))
    store, kept = create_at(place, wanted, lambda kept: _meta_of(kept, describer))
    try:
        folder = folder_of(place, store)
        recipe = resolved(kept, folder)
    except BaseException:
        store.close()
        raise
    return Opened(place, folder, store, recipe, describer.fingerprint, describer.provenance, describer)


def open_at(
    place: Place, wanted: Recipe | None = None, *, options: DescriberOptions, allow_code: bool = False
) -> Opened:
    """Open the library at a place. If `wanted` is given, it must be the recipe of the library, unless that is empty.

    allow_code: whether user code named in the recipe of the library may run.
    """
    store = open_store(place)
    try:
        meta, folder = store.meta, folder_of(place, store)
        own = recipe_of(store, place, folder).allowing_code(allow_code)
        if wanted is not None:
            try:
                check_same(own, wanted, place)
            except RecipeMismatch:
                if store.counts().indexed:
                    raise
                return _rebind(place, folder, store, wanted.anchored(), options)
    except BaseException:
        store.close()
        raise
    provenance = Provenance.from_json(meta.get(PROVENANCE, ""))
    return Opened(place, folder, store, own, meta.get("fingerprint", ""), provenance)


def recipe_of(store: Store, place: Place, folder: Path) -> Recipe:
    """Return the recipe of a library, with its own files in `folder`."""
    text = store.meta.get("recipe")
    if text is None:
        raise LibraryDamaged(f"{place}: its recipe is missing; restore it from a backup")
    return resolved(_written_recipe(text, place), folder)


def ready_describer(describer: Describer) -> Describer:
    """Return a describer after loading everything that its recipe needs: networks, fitted files, packages.

    Raises ModelError, RecipeError or MissingExtra.
    """
    for name in sorted(_local_features(describer.recipe)):
        entry = find_features(name)
        if entry is not None and entry.needs == "image":
            entry.function(np.zeros((32, 32, 3), np.uint8))
    matcher = find_matcher(describer.recipe.stored_features)
    if matcher is not None:
        matcher.check()
    return describer


def _rebind(place: Place, folder: Path, store: Store, wanted: Recipe, options: DescriberOptions) -> Opened:
    """Give an empty library another recipe; files that were skipped before are tried again."""
    describer = ready_describer(options.describer(wanted))
    with store.writing():
        wanted = replace_files(folder, store, wanted)
        store.forget([skip.path for skip in store.skipped()])
        for key, value in {**_meta_of(wanted, describer), "dimension": None}.items():
            store.set_meta(key, value)
    recipe = resolved(wanted, folder)
    return Opened(place, folder, store, recipe, describer.fingerprint, describer.provenance, describer)


def as_made_now(opened: Opened, describer: Describer) -> Opened:
    """Check that the vectors of a library were made as its recipe makes them now; a library without images is updated.

    Raises RecipeMismatch, which names what differs.
    """
    if opened.fingerprint == describer.fingerprint:
        return opened
    if opened.store.counts().indexed or not opened.store.writable:
        raise _mismatch(opened, describer)
    with opened.store.writing():
        if opened.store.counts().indexed:  # another process was faster
            raise _mismatch(opened, describer)
        opened.store.set_meta("fingerprint", describer.fingerprint)
        opened.store.set_meta(PROVENANCE, describer.provenance.to_json())
    return replace(opened, fingerprint=describer.fingerprint, provenance=describer.provenance)


def _mismatch(opened: Opened, describer: Describer) -> RecipeMismatch:
    """Return the error for a library whose vectors were made differently from how its recipe makes them now."""
    networks, now = opened.recipe.networks, describer.provenance
    differences = [] if opened.provenance is None else now.differences(opened.provenance, networks)
    made = ", ".join(differences) or f"another version of Kindred, of {networks} or of its whitening"
    return RecipeMismatch(
        f"{opened.place}: its vectors were made with {made}; restore that, or index into a new library"
    )


def _meta_of(recipe: Recipe, describer: Describer) -> dict[str, str]:
    """Return the facts stored in a library about how its vectors are made."""
    return {
        "recipe": recipe.to_toml(),
        "fingerprint": describer.fingerprint,
        PROVENANCE: describer.provenance.to_json(),
    }


def _local_features(recipe: Recipe) -> set[str]:
    """Return the local features that a recipe or one of its parts extracts from images."""
    own = {name for name in (recipe.features, recipe.backbone) if name in FEATURES}
    return own.union(*(_local_features(part) for part in recipe.ensemble))


def _written_recipe(text: str, place: Place) -> Recipe:
    """Parse the recipe stored in a library."""
    try:
        tomllib.loads(text)
        return Recipe.from_toml(text, self_contained=True)
    except (tomllib.TOMLDecodeError, RecursionError) as error:  # no version of Kindred wrote it
        why = f"not valid TOML ({error})" if isinstance(error, tomllib.TOMLDecodeError) else "nested too deeply"
        raise LibraryDamaged(
            f"{place}: meta 'recipe' is {why}; restore a backup, or index into a new library"
        ) from None
    except RecipeError as error:
        why = str(error).removeprefix("recipe: ").partition(";")[0][:200]
        raise LibraryError(
            f"{place}: was made by another version of Kindred ({why}); index the images into a new library"
        ) from error
