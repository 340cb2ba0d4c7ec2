"""FittedVocabulary files for tests: as `kindred fit` writes them, without the command."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from kindred.describer import Describer, fit_record, save_fitted
from kindred.recipe import Recipe
from kindred.whitening import Whitening

__all__ = ["save_whitening"]


def save_whitening(file: Path, whitening: Whitening, recipe: Recipe) -> None:
    """Write a whitening for `recipe` to `file`."""
    bare = dataclasses.replace(recipe, whitening="", dimension=0)
    save_fitted(file, [whitening], bare, fit_record(bare, "whitening", Describer(bare).extractor.identity))
