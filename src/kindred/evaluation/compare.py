"""Compare: several recipes on several sets, each with and without re-ranking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kindred._support.files import read_bounded, replacing
from kindred.errors import KindredError, UsageError
from kindred.evaluation.datasets import read_dataset
from kindred.evaluation.evaluate import DEPTH, Bench
from kindred.evaluation.files import Files
from kindred.evaluation.groundtruth import GroundTruth
from kindred.evaluation.query_regions import steps_of_query
from kindred.evaluation.result import Evaluation
from kindred.evaluation.scoring import find_metric
from kindred.recipe import Recipe
from kindred.rerank.needs import is_calibrated, steps_or_default

__all__ = ["Failure", "compare"]

Progress = Callable[[str, int, int], None]
RESULT_BYTES = 1 << 20  # of a cached result, which takes some kB


@dataclass(frozen=True)
class Failure:
    """A measurement that failed: the recipe with its re-rankers, the data set, and the error."""

    label: str
    name: str
    error: KindredError


def compare(
    groundtruths: Path | str | Sequence[Path | str],
    recipes: Recipe | str | Path | Sequence[Recipe | str | Path],
    *,
    rerank: str | Sequence[str] = (),
    dataset: str | None = None,
    partial: bool = False,
    images: Path | None = None,
    depth: int = DEPTH,
    distractors: Sequence[Path] = (),
    metrics: Sequence[str] = (),
    regions: bool | None = None,
    progress: Progress | None = None,
    cache: Path | None = None,
    failed: Callable[[Failure], None] | None = None,
) -> list[Evaluation]:
    """Measure each of `recipes` on each of `groundtruths`, best first on each set.

    Each recipe is measured with its default and with each of `rerank`, such as "aqe:n=5,diffusion" or "none".
    `progress` is called with what is being measured, the steps done and their number in the whole comparison. `cache`
    is a folder that stores descriptions and results for the next comparison; empty it after changes of code. `failed`
    is called with each failure, and the comparison continues; without it the first error is raised. The other arguments
    are those of `evaluate`; `regions` counts where results have probabilities. Raises UsageError if a ground truth
    cannot be read, or if one of `metrics` is none of its protocol.
    """
    groundtruths = [groundtruths] if isinstance(groundtruths, str | Path) else groundtruths
    recipes = [recipes] if isinstance(recipes, Recipe | str | Path) else recipes
    rerank = [rerank] if isinstance(rerank, str) and rerank else rerank
    if not groundtruths or not recipes:
        raise UsageError("compare needs at least one ground truth and one recipe")
    sets = [read_dataset(Path(path), dataset, partial=partial) for path in groundtruths]
    for truth in sets:
        for name in metrics:
            find_metric(name, truth.protocol)
    files = [Files.of(truth, images, distractors) for truth in sets]
    variants: list[str | None] = [None, *rerank]
    # Of each query, with each recipe.
    steps = [sum(_steps(recipe, each, regions) for each in variants) for recipe in recipes]
    total = sum(each.count + n * len(truth.queries) for truth, each in zip(sets, files, strict=True) for n in steps)
    done = 0
    found: list[Evaluation] = []
    for truth, located in zip(sets, files, strict=True):
        measured: list[Evaluation] = []
        for recipe, of_query in zip(recipes, steps, strict=True):

            def report(what: str, steps: int, before: int = done) -> None:
                if progress is not None:
                    # Queries that are described differently from the database need more steps than were counted.
                    progress(what, min(before + steps, total), total)

            run = _Run(truth, located, recipe, depth, metrics, regions, cache, report, failed)
            measured += run.measure(variants)
            done += located.count + of_query * len(truth.queries)
        found += sorted(measured, key=lambda each: -each.quality)
    return found


@dataclass
class _Run:
    """The measurements of one recipe on one data set; it counts the steps done."""

    truth: GroundTruth
    files: Files
    recipe: Recipe | str | Path
    depth: int
    metrics: Sequence[str]
    regions: bool | None
    cache: Path | None
    report: Callable[[str, int], None]
    failed: Callable[[Failure], None] | None
    done: int = 0

    def measure(self, variants: Sequence[str | None]) -> list[Evaluation]:
        """Measure the recipe with each list of re-rankers; failures are reported and left out."""
        name = self.recipe.name if isinstance(self.recipe, Recipe) else str(self.recipe)
        found: list[Evaluation] = []
        try:
            bench = Bench(self.truth, self.files, self.recipe, cache=self.cache)
        except KindredError as error:
            self.report_failure(name, error)
            return found
        for rerank in variants:
            label = bench.describer.recipe.name + (f" + {rerank}" if rerank else "")
            try:
                found.append(self.cached(bench, rerank, label))
            except KindredError as error:
                self.report_failure(label, error)
                if not rerank:  # without a ranking there is nothing to re-rank
                    break
        return found

    def cached(self, bench: Bench, rerank: str | None, label: str) -> Evaluation:
        """Return the result from the cache, or measure and cache it."""
        regions = self.regions if is_calibrated(steps_or_default(rerank, bench.describer.recipe)) else None
        key = None
        if self.cache is not None:
            key = bench.key(rerank, depth=self.depth, metrics=self.metrics, regions=regions)
        file = None if self.cache is None else self.cache / f"result-{key}.json"
        if file is not None and (known := _load(file, bench.describer.recipe)) is not None:
            return known
        before = self.done

        def progress(done: int, total: int) -> None:
            self.done = before + done
            self.report(f"{label} on {self.truth.name}, {done:,} of {total:,}", self.done)

        found = bench.measure(rerank, depth=self.depth, metrics=self.metrics, regions=regions, progress=progress)
        if file is not None:
            with replacing(file) as part:
                part.write_text(found.to_json(), encoding="utf-8")
        return found

    def report_failure(self, label: str, error: KindredError) -> None:
        """Report a failure, or raise the error if there is no callback."""
        if self.failed is None:
            raise error
        self.failed(Failure(label, self.truth.name, error))


def _steps(recipe: Recipe | str | Path, rerank: str | None, regions: bool | None) -> int:
    """Return the steps of progress of a query after its description; 0 if they are unknown, as it will fail."""
    try:
        loaded = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
        return steps_of_query(steps_or_default(rerank, loaded), regions)
    except KindredError:
        return 0


def _load(file: Path, recipe: Recipe) -> Evaluation | None:
    """Read a cached result; None if it is missing or damaged."""
    try:
        return Evaluation.from_json(read_bounded(file, RESULT_BYTES).decode("utf-8"), recipe)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
