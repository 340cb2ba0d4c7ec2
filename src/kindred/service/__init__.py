"""Forms: the output that `--json` prints, also for a server and its client.

Each is a dataclass whose fields are the JSON keys; `to_json` returns plain dictionaries. They depend on no framework,
and JSON is made nowhere else. Each is loaded at first use, since a command needs one or two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kindred._support.late import imported_late

if TYPE_CHECKING:
    from kindred.service.atlas import (
        AtlasForm,
        ColumnForm,
        GroupsForm,
        MethodForm,
        MonthForm,
        SheetsForm,
        TimelineForm,
    )
    from kindred.service.duplicates import DuplicateForm, DuplicatesForm, GroupForm, NotSameForm
    from kindred.service.facts import FolderForm, LibraryForm, RerankerForm, SkipsForm
    from kindred.service.form import Form, plain
    from kindred.service.jobs import JobForm, JobsForm, RequestForm
    from kindred.service.library import (
        BuildForm,
        ChangeForm,
        CopyForm,
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
        UnlikeForm,
        VerifyForm,
    )
    from kindred.service.listing import ImagePageForm, LayoutForm, LookupForm
    from kindred.service.methods import (
        AdaptationForm,
        CalibrationForm,
        ComparisonForm,
        EvaluationForm,
        FailureForm,
        FindingForm,
        FitForm,
        FoldForm,
        HealthForm,
        LabelFoldForm,
        ModelForm,
        ModelsForm,
        RecipeForm,
        RecipesForm,
        RemovedForm,
    )
    from kindred.service.review import (
        KeptForm,
        ReviewFolderForm,
        ReviewForm,
        ReviewGroupForm,
        ReviewImageForm,
        ReviewQuery,
    )
    from kindred.service.saved import SavedForm, SavedSearchForm
    from kindred.service.search import (
        DescriptionForm,
        ExplanationForm,
        HitForm,
        MatchForm,
        QueryErrorForm,
        ResultsForm,
        SearchForm,
        UploadForm,
    )
    from kindred.service.training import DistillationForm, TrainingForm

__all__ = [
    "AdaptationForm",
    "AtlasForm",
    "BuildForm",
    "CalibrationForm",
    "ChangeForm",
    "ColumnForm",
    "ComparisonForm",
    "CopyForm",
    "DescriptionForm",
    "DistillationForm",
    "DuplicateForm",
    "DuplicatesForm",
    "EvaluationForm",
    "ExplanationForm",
    "ExportForm",
    "FailureForm",
    "FindingForm",
    "FitForm",
    "FoldForm",
    "FolderForm",
    "Form",
    "GroupForm",
    "GroupsForm",
    "HealthForm",
    "HitForm",
    "ImageForm",
    "ImagePageForm",
    "ImagesForm",
    "ImportForm",
    "IndexForm",
    "InfoForm",
    "JobForm",
    "JobsForm",
    "KeptForm",
    "KeysForm",
    "LabelFoldForm",
    "LayoutForm",
    "LibraryForm",
    "LookupForm",
    "MapForm",
    "MatchForm",
    "MethodForm",
    "ModelForm",
    "ModelsForm",
    "MonthForm",
    "MoveForm",
    "NotSameForm",
    "NoteForm",
    "QueryErrorForm",
    "RecipeForm",
    "RecipesForm",
    "RemovedForm",
    "RequestForm",
    "RerankerForm",
    "ResultsForm",
    "ReviewFolderForm",
    "ReviewForm",
    "ReviewGroupForm",
    "ReviewImageForm",
    "ReviewQuery",
    "SavedForm",
    "SavedSearchForm",
    "SearchForm",
    "SheetsForm",
    "SkipForm",
    "SkipsForm",
    "TimelineForm",
    "TrainingForm",
    "UnlikeForm",
    "UploadForm",
    "VerifyForm",
    "plain",
]

__getattr__ = imported_late(
    __name__,
    {
        "atlas": "AtlasForm, ColumnForm, GroupsForm, MethodForm, MonthForm, SheetsForm, TimelineForm",
        "facts": "FolderForm, LibraryForm, RerankerForm, SkipsForm",
        "duplicates": "DuplicateForm, DuplicatesForm, GroupForm, NotSameForm",
        "form": "Form, plain",
        "jobs": "JobForm, JobsForm, RequestForm",
        "library": (
            "BuildForm, ChangeForm, CopyForm, ExportForm, ImageForm, ImagesForm, ImportForm, IndexForm, InfoForm, "
            "KeysForm, MapForm, MoveForm, NoteForm, SkipForm, UnlikeForm, VerifyForm"
        ),
        "listing": "LookupForm, ImagePageForm, LayoutForm",
        "methods": (
            "AdaptationForm, CalibrationForm, ComparisonForm, EvaluationForm, FailureForm, FindingForm, FitForm, "
            "FoldForm, HealthForm, LabelFoldForm, ModelForm, ModelsForm, RecipeForm, RecipesForm, RemovedForm"
        ),
        "review": "KeptForm, ReviewFolderForm, ReviewForm, ReviewGroupForm, ReviewImageForm, ReviewQuery",
        "saved": "SavedForm, SavedSearchForm",
        "search": (
            "DescriptionForm, ExplanationForm, HitForm, MatchForm, QueryErrorForm, ResultsForm, SearchForm, UploadForm"
        ),
        "training": "DistillationForm, TrainingForm",
    },
)
