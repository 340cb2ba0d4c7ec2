"""Output for programs: the forms that `--json` prints and that a server and its client share.

Each is a dataclass whose fields are the keys of the JSON; `to_json` gives plain dictionaries. Nothing here knows a
framework, and JSON is made nowhere else. Each is loaded when it is first used: a command needs one or two.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kindred.service.form import Form, plain
    from kindred.service.library import (
        ChangeForm,
        ExportForm,
        ImageForm,
        ImagesForm,
        ImportForm,
        IndexForm,
        InfoForm,
        KeysForm,
        MapForm,
        MoveForm,
        NoteForm,
        SkipForm,
    )
    from kindred.service.methods import (
        ComparisonForm,
        EvaluationForm,
        FailureForm,
        FindingForm,
        FitForm,
        HealthForm,
        ModelForm,
        ModelsForm,
        RecipeForm,
        RecipesForm,
        RemovedForm,
    )
    from kindred.service.search import (
        DuplicateForm,
        DuplicatesForm,
        GroupForm,
        HitForm,
        MatchForm,
        QueryErrorForm,
        ResultsForm,
    )
    from kindred.service.training import DistillationForm, TrainingForm

_MODULES = {
    "kindred.service.form": ("Form", "plain"),
    "kindred.service.library": (
        "ChangeForm",
        "ExportForm",
        "ImageForm",
        "ImagesForm",
        "ImportForm",
        "IndexForm",
        "InfoForm",
        "KeysForm",
        "MapForm",
        "MoveForm",
        "NoteForm",
        "SkipForm",
    ),
    "kindred.service.methods": (
        "ComparisonForm",
        "EvaluationForm",
        "FailureForm",
        "FindingForm",
        "FitForm",
        "HealthForm",
        "ModelForm",
        "ModelsForm",
        "RecipeForm",
        "RecipesForm",
        "RemovedForm",
    ),
    "kindred.service.search": (
        "ResultsForm",
        "DuplicateForm",
        "DuplicatesForm",
        "GroupForm",
        "HitForm",
        "MatchForm",
        "QueryErrorForm",
    ),
    "kindred.service.training": ("DistillationForm", "TrainingForm"),
}

__all__ = [
    "ChangeForm",
    "ComparisonForm",
    "DistillationForm",
    "DuplicateForm",
    "DuplicatesForm",
    "EvaluationForm",
    "ExportForm",
    "FailureForm",
    "FindingForm",
    "FitForm",
    "Form",
    "GroupForm",
    "HealthForm",
    "HitForm",
    "ImageForm",
    "ImagesForm",
    "ImportForm",
    "IndexForm",
    "InfoForm",
    "KeysForm",
    "MapForm",
    "MatchForm",
    "ModelForm",
    "ModelsForm",
    "MoveForm",
    "NoteForm",
    "QueryErrorForm",
    "RecipeForm",
    "RecipesForm",
    "RemovedForm",
    "ResultsForm",
    "SkipForm",
    "TrainingForm",
    "plain",
]


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            value = getattr(import_module(module), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
