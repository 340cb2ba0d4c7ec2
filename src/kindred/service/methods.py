"""The forms of recipes, models, fitting and evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kindred.service.form import Form, plain

if TYPE_CHECKING:
    from kindred.backbones import Card, Entry
    from kindred.describer import Adapted, Fitted
    from kindred.evaluation import Calibrated, Evaluation
    from kindred.evaluation.compare import Failure
    from kindred.recipe import Recipe

__all__ = [
    "AdaptationForm",
    "CalibrationForm",
    "ComparisonForm",
    "EvaluationForm",
    "FailureForm",
    "FindingForm",
    "FitForm",
    "FoldForm",
    "HealthForm",
    "LabelFoldForm",
    "ModelForm",
    "ModelsForm",
    "RecipeForm",
    "RecipesForm",
    "RemovedForm",
]


@dataclass(frozen=True)
class RecipeForm(Form):
    """A recipe by its keys, and its digest."""

    recipe: Recipe

    def to_json(self) -> dict[str, object]:
        """Return the keys of the recipe file."""
        return {**{key: plain(value) for key, value in self.recipe.as_dict().items()}, "digest": self.recipe.digest}


@dataclass(frozen=True)
class RecipesForm(Form):
    """All presets."""

    recipes: tuple[RecipeForm, ...]


@dataclass(frozen=True)
class ModelForm(Form):
    """A model by the keys of its card, and further keys in `extra`."""

    card: Card | None
    extra: Mapping[str, object]

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Return the form of an entry of the list of models; its card may be damaged."""
        return cls(entry.card, {"name": entry.name, "bundled": entry.bundled, "problem": entry.problem or None})

    def to_json(self) -> dict[str, object]:
        """Return the keys of the card and the further ones."""
        card = {} if self.card is None else {**asdict(self.card), "training": dict(self.card.training)}
        return {key: plain(value) for key, value in {**card, **self.extra}.items()}


@dataclass(frozen=True)
class ModelsForm(Form):
    """All available models."""

    models: tuple[ModelForm, ...]


@dataclass(frozen=True)
class RemovedForm(Form):
    """The name of a model that was removed."""

    removed: str


@dataclass(frozen=True)
class FitForm(Form):
    """A fitted recipe."""

    recipe: Path
    files: tuple[Path, ...]
    images: int
    dimension: int | None
    words: int | None
    code_bytes: int | None

    @classmethod
    def of(cls, fitted: Fitted, recipe: Path, files: Sequence[Path]) -> Self:
        """Return the form of a fitted recipe and its files."""
        found = fitted.fitted
        return cls(
            recipe=recipe,
            files=tuple(files),
            images=fitted.images,
            dimension=fitted.dimension,
            words=len(found.codebooks[0]) if found.codebooks else None,
            code_bytes=None if found.codes is None else found.codes.bytes_per_vector,
        )


@dataclass(frozen=True)
class FoldForm(Form):
    """One part of a cross-validation: the set that was left out, and how a calibration of the others did on it."""

    name: str
    recall: float
    error: float


@dataclass(frozen=True)
class CalibrationForm(Form):
    """A fitted calibration; `error` is the expected calibration error of first results, by cross-validation."""

    recipe: Path
    files: tuple[Path, ...]
    images: int
    error: float
    folds: tuple[FoldForm, ...]

    @classmethod
    def of(cls, found: Calibrated, recipe: Path, files: Sequence[Path]) -> Self:
        """Return the form of a fitted calibration and its files."""
        folds = tuple(FoldForm(each.name, each.recall, each.reliability.error) for each in found.folds)
        return cls(recipe, tuple(files), found.images, found.reliability.error, folds)


@dataclass(frozen=True)
class LabelFoldForm(Form):
    """The mAP on classes of a set that the projection was not fitted on, with and without it, by cross-validation."""

    name: str
    classes: int
    images: int
    before: float
    after: float


@dataclass(frozen=True)
class AdaptationForm(Form):
    """A recipe with a projection fitted on classes of several sets."""

    recipe: Path
    files: tuple[Path, ...]
    images: int
    dimension: int
    shrinkage: float
    folds: tuple[LabelFoldForm, ...]

    @classmethod
    def of(cls, found: Adapted, recipe: Path, files: Sequence[Path]) -> Self:
        """Return the form of a fitted projection and its files."""
        folds = tuple(
            LabelFoldForm(each.name, each.classes, each.images, each.before, each.after) for each in found.folds
        )
        dimension = found.fitted.dimension or 0
        return cls(recipe, tuple(files), found.fitted.images, dimension, found.shrinkage, folds)


@dataclass(frozen=True)
class EvaluationForm(Form):
    """An evaluation: metrics under their own names, and costs."""

    evaluation: Evaluation

    def to_json(self) -> dict[str, object]:
        """Return metrics and costs by name."""
        return {key: plain(value) for key, value in self.evaluation.as_dict().items()}


@dataclass(frozen=True)
class FailureForm(Form):
    """A recipe that could not be evaluated on a set, and the reason."""

    recipe: str
    name: str
    error: str


@dataclass(frozen=True)
class ComparisonForm(Form):
    """The evaluations of several recipes, and those that failed."""

    results: tuple[EvaluationForm, ...]
    failed: tuple[FailureForm, ...]

    @classmethod
    def of(cls, found: Sequence[Evaluation], failures: Sequence[Failure]) -> Self:
        """Return the form of a comparison."""
        failed = tuple(FailureForm(each.label, each.name, str(each.error)) for each in failures)
        return cls(tuple(map(EvaluationForm, found)), failed)


@dataclass(frozen=True)
class FindingForm(Form):
    """One finding of `kindred doctor`: ok, note or wrong."""

    state: str
    what: str
    detail: str


@dataclass(frozen=True)
class HealthForm(Form):
    """All findings, and whether none is wrong."""

    healthy: bool
    findings: tuple[FindingForm, ...]
