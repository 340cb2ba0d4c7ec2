"""Schemathesis sends what the description allows, and what it does not, to every operation; nothing may surprise."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from kindred.library import Library
from kindred.recipe import Recipe
from kindred.server import ServerSettings, create_app
from pictures import make_folder
from served import ADDRESS

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
EXAMPLES = int(os.environ.get("KINDRED_SCHEMATHESIS", "4"))
"""Requests of each kind for each operation, valid ones and others; with 100 it takes some ten minutes."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> FastAPI:
    folder = tmp_path_factory.mktemp("schemathesis")
    photos = make_folder(folder / "photos", 6)
    with Library.create(folder / "library", recipe=recipe) as made:
        made.index(photos[0].parent)
        made.tag(photos[:2], "sea")
    return create_app(Path(folder / "library"), ServerSettings(uploads=20, folders=(folder / "photos",)))


def test_every_operation_answers_as_described(app: FastAPI) -> None:
    headers = {"Host": ADDRESS.removeprefix("http://")}
    described = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app, headers=headers)
    failures, tried = [], 0
    for result, mode in itertools.product(described.get_all_operations(), GenerationMode):
        operation = result.ok()

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def answers_as_described(case: schemathesis.Case[Any]) -> None:
            case.headers.update(headers)
            case.call_and_validate(checks=CHECKS)

        try:
            answers_as_described()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE  # the operation has nothing that could be wrong
        except (Exception, BaseExceptionGroup) as error:  # Schemathesis groups what it finds
            failures.append(f"{operation.label} ({mode.value})\n{_first(error)}")
        tried += 1
    assert tried > 80
    assert not failures, "\n\n".join(failures)


def _first(error: BaseException) -> str:
    """Return the message of an error, or of the first in a group of errors."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else str(error)[:1500]
