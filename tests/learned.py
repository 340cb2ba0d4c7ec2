"""Learned files for tests: as `kindred fit` writes them, without the command."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from kindred.describer import Describer, learned_for, save_learned
from kindred.recipe import Recipe
from kindred.whitening import Whitening

__all__ = ["save_whitening"]


def save_whitening(file: Path, whitening: Whitening, recipe: Recipe) -> None:
    """Write a whitening for `recipe` to `file`."""
    bare = dataclasses.replace(recipe, whitening="", dimension=0)
    save_learned(file, [whitening], bare, learned_for(bare, "whitening", Describer(bare).source.identity))
