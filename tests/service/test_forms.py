"""The forms of results: fields are the keys of the JSON, and nothing in them is more than JSON has."""

from __future__ import annotations

import ast
import dataclasses
import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

import kindred.cli
from kindred import service
from kindred.library import Hit, ImageRecord, Results
from kindred.service import ChangeForm, Form, HitForm, ImageForm, ResultsForm, SkipForm, plain

FORMS = [getattr(service, name) for name in service.__all__ if name.endswith("Form") and name != "Form"]


def test_a_hit_has_the_facts_of_its_image() -> None:
    hit = Hit(1, Path("/a.jpg"), 0.98765432, (1.0, 2.0, 3.0, 4.0), 640, 480, "2024-05-31T10:00:00", ("sea", "sun"))
    known: dict[str, date | int] = {"bought": date(2024, 1, 31), "price": 20}
    hit = dataclasses.replace(hit, id="0123456789abcdef", metadata=known, probability=0.25)
    assert HitForm.of(hit).to_json() == {
        "rank": 1,
        "id": "0123456789abcdef",
        "path": "/a.jpg",
        "score": 0.987654,
        "probability": 0.25,
        "box": [1.0, 2.0, 3.0, 4.0],
        "width": 640,
        "height": 480,
        "taken": "2024-05-31T10:00:00",
        "tags": ["sea", "sun"],
        "metadata": {"bought": "2024-01-31", "price": 20},
        "missing": False,
    }


def test_an_image_and_a_hit_tell_the_same_of_it() -> None:
    hit = Hit(1, Path("/a.jpg"), 0.5, None, 640, 480, None, ("sea",), id="0" * 16, metadata={"price": 20}, missing=True)
    record = ImageRecord("0" * 16, Path("/a.jpg"), 640, 480, None, ("sea",), {"price": 20}, frames=3, missing=True)
    found, image = HitForm.of(hit).to_json(), ImageForm.of(record).to_json()
    assert list(found)[:4] == ["rank", "score", "probability", "box"]
    assert list(image)[:1] == ["frames"]
    assert image.pop("frames") == 3
    assert image == {key: value for key, value in found.items() if key not in ("rank", "score", "probability", "box")}


def test_results_name_their_query_or_queries() -> None:
    hits = (Hit(1, Path("a.jpg"), float("nan")),)
    results = Results(hits, np.array([1]), np.array([1.0], np.float32), 0.123456)
    one = ResultsForm.of(results, ["q.jpg"], "kin").to_json()
    assert (one["query"], one["seconds"]) == ("q.jpg", 0.1235)
    assert ResultsForm.of(results, ["q.jpg", "r.jpg"], "kin").to_json()["query"] == ["q.jpg", "r.jpg"]
    assert json.loads(json.dumps(one, allow_nan=False))["results"][0]["score"] is None  # NaN is no JSON


def test_a_change_has_its_verb_for_a_key() -> None:
    assert ChangeForm("tagged", 3, (Path("x"),)).to_json() == {"tagged": 3, "not_in_library": ["x"]}
    assert SkipForm.each([(Path("x"), "empty file")])[0].to_json() == {"path": "x", "reason": "empty file"}


def test_plain_values_are_those_of_json() -> None:
    assert plain({1: (Path("a"), float("inf"), None, True)}) == {"1": ["a", None, None, True]}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_a_frozen_documented_dataclass(form: type[Form]) -> None:
    assert issubclass(form, Form)
    assert form.__doc__
    assert dataclasses.is_dataclass(form)
    assert form.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_the_command_line_makes_no_json_itself() -> None:
    """`print_json` takes a form, never a dictionary made on the spot, and nothing else in cli knows of JSON."""
    for file in sorted(Path(kindred.cli.__file__).parent.glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "print_json":
                assert not isinstance(node.args[0], ast.Dict | ast.Name) or file.name == "fit.py", (
                    f"{file}:{node.lineno}"
                )
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("json.dumps", "json.dump"):
                assert file.name == "output.py", f"{file}:{node.lineno}"
