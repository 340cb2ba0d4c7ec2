"""Fit a recipe's projection on images of known classes, of one or several sets (linear adaptation)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred.describer.describer import Describer
from kindred.describer.fit import Fitted, Progress, check_one_vector, usable_vectors
from kindred.errors import UsageError
from kindred.recipe import Recipe
from kindred.whitening import LearnedWhitening
from kindred.whitening.base import check_dimension
from kindred.whitening.classes import ClassFold, LabelledRows, check_classes, choose_shrinkage, class_projection

__all__ = ["Adapted", "LabelledSet", "fit_labels"]


@dataclass(frozen=True)
class LabelledSet:
    """The images of one set and the class of each, a whole number; −1 where it is unknown."""

    name: str
    paths: tuple[Path, ...]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Adapted:
    """A recipe with a projection fitted on classes; folds: its mAP on classes that it was not fitted on, per set."""

    fitted: Fitted
    shrinkage: float
    folds: tuple[ClassFold, ...]


def fit_labels(
    recipe: Recipe,
    sets: Sequence[LabelledSet],
    *,
    dimension: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Adapted:
    """Fit a learned whitening of the vectors of `recipe`, of one tap, on the classes of several sets.

    A whitening that the recipe has is followed by the new projection, as one. dimension: of the vectors, by default
    unchanged. `progress` is called with the number of images processed. Raises UsageError for too few classes or
    images, and for a recipe with several vectors per image.
    """
    check_one_vector(recipe, "labels")
    if not sets:
        raise UsageError("labels: got no set; expected images of known classes")
    describer = Describer(replace(recipe, code="", calibration=""))
    if dimension is not None:
        check_dimension(dimension, describer.dimension)
    for each in sets:
        check_classes(each.name, each.labels[each.labels >= 0])
    described: list[LabelledRows] = []
    done = 0
    for each in sets:
        known = [path for path, label in zip(each.paths, each.labels, strict=True) if label >= 0]
        before = done
        report = None if progress is None else (lambda here, before=before: progress(before + here))
        numbers, rows = usable_vectors(describer, known, report)
        described.append(LabelledRows(each.name, rows, each.labels[each.labels >= 0][numbers]))
        done += len(known)
    width = described[0].rows.shape[1]
    base = describer.fitted.whitenings[0] if describer.fitted.whitenings else None
    shrinkage, folds = choose_shrinkage(described, dimension=dimension, centred=base is None, seed=seed)
    projection = class_projection([each.of(each.classes) for each in described], shrinkage, dimension=dimension)
    if base is None:
        mean = np.mean([each.rows.mean(axis=0, dtype=np.float64) for each in described], axis=0)
        whitening = LearnedWhitening(mean.astype(np.float32), projection)
    else:
        # Vectors were whitened to unit length, which only scales what the projection returns.
        whitening = LearnedWhitening(base.mean, projection @ base.projection[:width])
    bare = replace(recipe, code="", calibration="", whitening="", dimension=0)
    parameters = replace(describer.fitted, whitenings=(whitening,), codes=None, calibration=None)
    images = sum(len(each.rows) for each in described)
    return Adapted(
        Fitted(bare, parameters, images, whitening.dimension, describer.extractor.identity), shrinkage, tuple(folds)
    )
