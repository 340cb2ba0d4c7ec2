"""What each operation of the API answers: a form of `kindred.service`, or content of other types."""

from __future__ import annotations

from kindred.service import (
    ChangeForm,
    DescriptionForm,
    ExplanationForm,
    Form,
    ImageForm,
    ImagePageForm,
    ImagesForm,
    LayoutForm,
    LibraryForm,
    LookupForm,
    SavedForm,
    SavedSearchForm,
    SearchForm,
    SkipsForm,
    UploadForm,
)
from kindred.service.additions import AdditionsForm, RemovalsForm, RemovedImagesForm, TagsForm
from kindred.service.atlas import AtlasForm, TimelineForm
from kindred.service.duplicates import NotSameForm
from kindred.service.jobs import JobForm, JobsForm
from kindred.service.review import KeptForm, ReviewForm, ReviewGroupForm

__all__ = ["FORMS", "TAGGED", "TYPES"]

FORMS: dict[str, type[Form]] = {
    "DELETE /duplicates/not-same": NotSameForm,
    "DELETE /images/{uid}": ChangeForm,
    "DELETE /jobs/{job}": JobForm,
    "GET /duplicates": ReviewForm,
    "GET /duplicates/{key}": ReviewGroupForm,
    "GET /images": ImagePageForm,
    "GET /images/layout": LayoutForm,
    "GET /images/{uid}": ImageForm,
    "GET /images/{uid}/vector": DescriptionForm,
    "GET /jobs": JobsForm,
    "GET /jobs/{job}": JobForm,
    "GET /library": LibraryForm,
    "GET /library/skipped": SkipsForm,
    "GET /map": AtlasForm,
    "GET /map/images": ImagesForm,
    "GET /removals": RemovalsForm,
    "GET /saved": SavedForm,
    "GET /saved/{search}": SavedSearchForm,
    "GET /tags": TagsForm,
    "GET /timeline": TimelineForm,
    "GET /uploads/{upload}": UploadForm,
    "PATCH /images/{uid}": ImageForm,
    "POST /describe": DescriptionForm,
    "POST /duplicates": JobForm,
    "POST /duplicates/keep": KeptForm,
    "POST /duplicates/not-same": NotSameForm,
    "POST /explain": ExplanationForm,
    "POST /images": AdditionsForm,
    "POST /images/lookup": LookupForm,
    "POST /images/metadata": ChangeForm,
    "POST /images/remove": RemovedImagesForm,
    "POST /images/tags": ChangeForm,
    "POST /jobs/index": JobForm,
    "POST /map": JobForm,
    "POST /removals/{removal}/undo": JobForm,
    "POST /saved": SavedSearchForm,
    "POST /search": SearchForm,
    "POST /search/image": SearchForm,
    "POST /tags/remove": ChangeForm,
    "POST /tags/rename": ChangeForm,
    "POST /uploads": UploadForm,
}
"""The form of each operation whose answer is one, by method and path."""

BINARY, TEXT = ("application/octet-stream",), ("text/plain",)

TYPES: dict[str, tuple[str, ...]] = {
    "GET /duplicates/list": ("text/csv", "application/json"),
    "GET /duplicates/not-same": ("application/json",),
    "POST /export": ("text/csv", "application/json", "application/zip"),
    "GET /export/{export}": ("text/csv", "application/json", "application/zip"),
    "GET /images/{uid}/file": BINARY,
    "GET /images/{uid}/thumbnail": ("image/webp",),
    "GET /metrics": TEXT,
    "GET /uploads/{upload}/thumbnail": ("image/webp",),
}
"""The types of answers that are not JSON, where the route itself does not name them."""

TAGGED = ("GET /images/layout", "GET /images/{uid}", "GET /images/{uid}/file", "GET /images/{uid}/thumbnail")
"""Operations that answer 304 if the client has the same."""
