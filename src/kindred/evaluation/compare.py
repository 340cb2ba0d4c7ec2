"""Compare: several recipes on several sets, each with and without re-ranking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kindred.errors import KindredError, UsageError
from kindred.evaluation.datasets import read_dataset
from kindred.evaluation.evaluate import DEPTH, Bench, Files
from kindred.evaluation.groundtruth import GroundTruth
from kindred.evaluation.result import Evaluation
from kindred.recipe import Recipe

__all__ = ["Failure", "compare"]

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Failure:
    """What could not be measured: the recipe with its re-rankers, the set, and why."""

    label: str
    name: str
    error: KindredError


def compare(
    groundtruths: Sequence[Path | str],
    recipes: Sequence[Recipe | str | Path],
    *,
    rerank: Sequence[str] = (),
    dataset: str | None = None,
    partial: bool = False,
    images: Path | None = None,
    depth: int = DEPTH,
    distractors: Sequence[Path] = (),
    progress: Progress | None = None,
    cache: Path | None = None,
    failed: Callable[[Failure], None] | None = None,
) -> list[Evaluation]:
    """Measure each of `recipes` on each of `groundtruths`, best first on each set.

    Each recipe is measured as it is, and with each of `rerank`, such as "aqe:n=5,diffusion". `progress` is called
    with what is being measured, and how many steps of how many are done of the whole comparison. `cache` is a
    folder that keeps descriptions and results for the next time; empty it where code was changed. `failed` is
    called with what went wrong, and the others go on; without it the first error is raised. The other arguments
    are those of `evaluate`. Raises UsageError where a ground truth cannot be read.
    """
    if not groundtruths or not recipes:
        raise UsageError("compare needs at least one ground truth and one recipe")
    sets = [read_dataset(Path(path), dataset, partial=partial) for path in groundtruths]
    files = [Files.of(truth, images, distractors) for truth in sets]
    variants = ["", *rerank]
    steps = [each.count + len(rerank) * len(truth.queries) for truth, each in zip(sets, files, strict=True)]
    total, done = len(recipes) * sum(steps), 0
    found: list[Evaluation] = []
    for truth, located, taken in zip(sets, files, steps, strict=True):
        measured: list[Evaluation] = []
        for recipe in recipes:

            def told(what: str, steps: int, before: int = done) -> None:
                if progress is not None:
                    # Queries that are described otherwise than the database are more steps than were counted.
                    progress(what, min(before + steps, total), total)

            measured += _Run(truth, located, recipe, depth, cache, told, failed).measure(variants)
            done += taken
        found += sorted(measured, key=lambda each: -each.quality)
    return found


@dataclass
class _Run:
    """One recipe on one set; it counts the steps that are done."""

    truth: GroundTruth
    files: Files
    recipe: Recipe | str | Path
    depth: int
    cache: Path | None
    told: Callable[[str, int], None]
    failed: Callable[[Failure], None] | None
    done: int = 0

    def measure(self, variants: Sequence[str]) -> list[Evaluation]:
        """Measure the recipe with each list of re-rankers; what fails is told, and left out."""
        name = self.recipe.name if isinstance(self.recipe, Recipe) else str(self.recipe)
        found: list[Evaluation] = []
        try:
            bench = Bench(self.truth, self.files, self.recipe, cache=self.cache)
        except KindredError as error:
            self.tell(name, error)
            return found
        for rerank in variants:
            label = bench.describer.recipe.name + (f" + {rerank}" if rerank else "")
            try:
                found.append(self.kept(bench, rerank, label))
            except KindredError as error:
                self.tell(label, error)
                if not rerank:  # what cannot be ranked cannot be re-ranked
                    break
        return found

    def kept(self, bench: Bench, rerank: str, label: str) -> Evaluation:
        """Return the result that the cache holds, or measure and keep it."""
        file = None if self.cache is None else self.cache / f"result-{bench.key(rerank, depth=self.depth)}.json"
        if file is not None and (known := _load(file, bench.describer.recipe)) is not None:
            return known
        before = self.done

        def progress(done: int, total: int) -> None:
            self.done = before + done
            self.told(f"{label} on {self.truth.name}, {done:,} of {total:,}", self.done)

        found = bench.measure(rerank, depth=self.depth, progress=progress)
        if file is not None:
            file.write_text(found.to_json(), encoding="utf-8")
        return found

    def tell(self, label: str, error: KindredError) -> None:
        """Report what went wrong, or raise it where nobody listens."""
        if self.failed is None:
            raise error
        self.failed(Failure(label, self.truth.name, error))


def _load(file: Path, recipe: Recipe) -> Evaluation | None:
    """Read a kept result; None where there is none, or none that is sound."""
    try:
        return Evaluation.from_json(file.read_text(encoding="utf-8"), recipe)
    except (OSError, ValueError, TypeError, KeyError):
        return None
