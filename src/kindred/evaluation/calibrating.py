"""Calibrate a recipe on sets with ground truth: queries are searched as in a library, their candidates are labelled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred.calibration import (
    Calibration,
    Evidence,
    Fold,
    Labelled,
    Reliability,
    check_optimizer,
    cross_validate,
    first_results,
    fit_calibration,
    reliability,
)
from kindred.describer import Fitted
from kindred.errors import RecipeError, UsageError
from kindred.evaluation.datasets import read_dataset
from kindred.evaluation.describing import Progress
from kindred.evaluation.evaluate import Bench
from kindred.evaluation.files import Files
from kindred.index import CANDIDATES
from kindred.recipe import Recipe

__all__ = ["Calibrated", "calibrate", "labelled_candidates"]

PARTS = 5
"""A single set is divided into so many parts by its queries for cross-validation."""


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A calibration, the labelled candidates it was fitted on, and what cross-validation says of it.

    folds: for each set, or part of a single one, a calibration fitted on the others and tested on it. images: the
    number of images described.
    """

    recipe: Recipe
    calibration: Calibration
    sets: tuple[Labelled, ...]
    folds: tuple[Fold, ...]
    images: int
    fitted: Fitted

    @property
    def reliability(self) -> Reliability:
        """How reliable the first results of all queries are, by the calibrations of the folds."""
        by_name = {each.name: each for each in _parts(self.sets)}
        found = [first_results(fold.calibration, by_name[fold.name]) for fold in self.folds]
        return reliability(np.concatenate([p for p, _ in found]), np.concatenate([same for _, same in found]))


def calibrate(
    groundtruths: Sequence[Path | str],
    *,
    recipe: Recipe | str | Path,
    limit: int | None = None,
    distractors: Sequence[Path] = (),
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Calibrated:
    """Fit the calibration of a recipe on one ground truth or several, each a file or a folder as in `evaluate`.

    Every query counts twice, with its relevant images in the database and without them, so that not every query has an
    answer. `limit`: the largest number of queries of a set, evenly spaced. `distractors`, `cache` and `progress` are as
    in `evaluate`. Raises RecipeError if the recipe stores no local
    features, UsageError as `fit_calibration`.
    """
    start = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    bare = replace(start, calibration="")
    if not bare.stored_features:
        raise RecipeError(
            f"recipe {bare.name!r} stores no local features to verify; calibrate one that does: --set features=kin"
        )
    if not groundtruths:
        raise UsageError("a calibration needs a ground truth; give at least one")
    check_optimizer()
    sets, images, fitted = [], 0, None
    for path in groundtruths:
        truth = read_dataset(Path(path))
        chosen = _spaced(len(truth.queries), limit)
        truth = replace(truth, queries=tuple(truth.queries[at] for at in chosen))
        bench = Bench(truth, Files.of(truth, None, distractors), bare, cache=cache)
        sets.append(labelled_candidates(bench, progress=progress))
        images += bench.files.count
        fitted = fitted or Fitted(
            bare, bench.describer.fitted, images, bench.describer.dimension, bench.describer.extractor.identity
        )
    assert fitted is not None
    calibration = fit_calibration(sets)
    fitted = replace(fitted, fitted=replace(fitted.fitted, calibration=calibration), images=images)
    return Calibrated(bare, calibration, tuple(sets), tuple(cross_validate(_parts(sets))), images, fitted)


def labelled_candidates(bench: Bench, *, depth: int = CANDIDATES, progress: Progress | None = None) -> Labelled:
    """Verify the candidates of every query of a bench and label them; each query with and without relevant images."""
    found: list[tuple[int, Evidence, NDArray[np.bool_]]] = []
    judgements = [query.judgement for query in bench.truth.queries]
    for number, (ids, evidence_of) in enumerate(bench.evidence(depth=depth, progress=progress)):
        known = ~np.isin(ids, judgements[number].junk)
        same = np.isin(ids, judgements[number].relevant)
        for removed, chosen in enumerate((known, known & ~same)):
            if chosen.any():
                evidence = evidence_of(chosen)
                found.append((2 * number + removed, evidence, same[chosen][: len(evidence)]))
    if not found:
        raise UsageError(f"{bench.truth.file}: no query has a candidate; there is nothing to calibrate on")
    numbers = np.repeat([number for number, _, _ in found], [len(same) for _, _, same in found])
    evidence = Evidence.concatenated([each for _, each, _ in found])
    return Labelled(bench.truth.name, evidence, np.concatenate([same for _, _, same in found]), numbers)


def _spaced(count: int, limit: int | None) -> list[int]:
    """Return at most `limit` of the numbers below `count`, evenly spaced."""
    kept = count if limit is None else min(count, max(1, limit))
    return [number * count // kept for number in range(kept)]


def _parts(sets: Sequence[Labelled]) -> list[Labelled]:
    """Return the sets, or the parts of a single one."""
    if len(sets) > 1:
        return list(sets)
    return list(_divided(sets[0], PARTS))


def _divided(found: Labelled, parts: int) -> Iterator[Labelled]:
    """Divide a set by its queries, each in one part with and without its relevant images."""
    _, places = np.unique(found.queries // 2, return_inverse=True)
    for part in range(parts):
        chosen = places % parts == part
        if chosen.any():
            evidence = found.evidence
            yield Labelled(
                f"{found.name}, part {part + 1}",
                Evidence(
                    evidence.cosines[chosen], evidence.best[chosen], evidence.margin[chosen], evidence.inliers[chosen]
                ),
                found.same[chosen],
                found.queries[chosen],
            )
