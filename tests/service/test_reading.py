"""Forms that are read from JSON are the forms that were written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kindred.errors import ServerError
from kindred.service import HitForm, ImageForm, SearchForm
from kindred.service.reading import read_form

IMAGE = ImageForm(
    id="0123456789abcdef",
    path=Path("/a b.jpg"),
    width=4,
    height=None,
    taken=None,
    tags=("sea",),
    metadata={"price": 2, "by": "x", "share": 0.5},
    missing=False,
    frames=1,
)
HIT = HitForm(
    id="0123456789abcdef",
    path=Path("/a.jpg"),
    width=4,
    height=3,
    taken="2024-05-31",
    tags=(),
    metadata={},
    missing=True,
    rank=1,
    score=1,
    probability=None,
    box=(0.0, 1.0, 2.0, 3.0),
)
SEARCH = SearchForm(("a",), "kin", None, (HIT, HIT), 0.5, 2, None)


@pytest.mark.parametrize("form", [IMAGE, HIT, SEARCH])
def test_a_form_is_read_as_it_was_written(form: ImageForm | HitForm | SearchForm) -> None:
    assert read_form(type(form), json.loads(json.dumps(form.to_json()))) == form
    assert read_form(type(form), {**form.to_json(), "more": 1}) == form  # of a newer server


@pytest.mark.parametrize(
    "change", [{"path": 5}, {"width": "4"}, {"tags": "sea"}, {"tags": [5]}, {"metadata": []}, {"frames": None}]
)
def test_values_of_other_types_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ServerError, match="of another version"):
        read_form(ImageForm, {**IMAGE.to_json(), **change})


@pytest.mark.parametrize("found", [None, [], 5, {}])
def test_what_is_no_form_is_refused(found: object) -> None:
    with pytest.raises(ServerError, match="of another version"):
        read_form(SearchForm, found)
