"""The description of the API: complete, with examples that work, and true to the answers (Schemathesis)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import Any

import pytest
from fastapi.testclient import TestClient

from kindred.server import answered, forms
from kindred.server.description import schema_of
from kindred.service import ImageForm
from served import MakeClient

API = "/api/v1"


@pytest.fixture
def described(client: TestClient) -> Mapping[str, Any]:
    found: Mapping[str, Any] = client.get(f"{API}/openapi.json").json()
    return found


def operations(described: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, found in described["paths"].items():
        for method, operation in found.items():
            yield method.upper(), path, operation


def test_every_operation_is_described(described: Mapping[str, Any]) -> None:
    assert described["openapi"].startswith("3.1")
    names = [operation["operationId"] for _, _, operation in operations(described)]
    assert len(set(names)) == len(names) > 30
    for method, path, operation in operations(described):
        assert operation["description"].endswith("."), f"{method} {path}"
        assert "default" in operation["responses"]
        key = f"{method} {path.removeprefix(API)}"
        good = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
        if key in answered.FORMS:
            assert any("$ref" in json.dumps(answer.get("content", {})) for answer in good), key
        elif key not in answered.TYPES:  # it says itself what it answers
            assert all(
                "application/json" not in answer.get("content", {})
                or answer["content"]["application/json"].get("schema")
                for answer in good
            ), f"{key} is missing in kindred.server.answered"
    known = {f"{method} {path.removeprefix(API)}" for method, path, _ in operations(described)}
    assert not ({*answered.FORMS, *answered.TYPES, *answered.TAGGED} - known), "an operation is gone"


def test_forms_and_requests_have_different_names() -> None:
    models = {name for name, value in vars(forms).items() if isinstance(value, type)}
    assert not models & {form.__name__.removesuffix("Form") for form in answered.FORMS.values()}


def test_the_schema_of_a_form_is_that_of_its_json() -> None:
    schemas: dict[str, Any] = {}
    assert schema_of(ImageForm, schemas) == {"$ref": "#/components/schemas/Image"}
    image = schemas["Image"]
    assert set(image["required"]) >= {"id", "path", "width", "tags", "metadata", "frames"}
    assert image["properties"]["width"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert image["properties"]["tags"] == {"type": "array", "items": {"type": "string"}}
    assert image["additionalProperties"] is False


def test_examples_of_requests_work(client: TestClient, described: Mapping[str, Any]) -> None:
    tried = 0
    # What removes images comes last, as others name the same ones.
    for method, path, operation in sorted(operations(described), key=lambda each: "remove" in each[1]):
        schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        name = schema.get("$ref", "").rpartition("/")[2]
        for example in described["components"]["schemas"].get(name, {}).get("examples", []):
            uid = client.get(f"{API}/images", params={"limit": 1}).json()["images"][0]["id"]
            address = path.replace("{uid}", uid)
            if "{" in address or path.endswith(("/duplicates/keep", "/tags/rename", "/tags/remove")):
                continue  # these need what others have made before
            while any(job["state"] == "running" for job in client.get(f"{API}/jobs").json()["jobs"]):
                time.sleep(0.01)
            answer = client.request(method, address, json=example)
            assert answer.status_code < 300, f"{method} {path} {example}: {answer.text}"
            tried += 1
    assert tried > 8


class Page(HTMLParser):
    """The addresses, identifiers and texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("href", "src") and value is not None:
                self.addresses.append(value)
            if name == "id" and value is not None:
                self.ids.append(value)


def test_the_reference_is_a_page_without_scripts_and_addresses_outside(client: TestClient) -> None:
    text = client.get(f"{API}/docs").text
    page = Page()
    page.feed(text)
    assert not {"script", "style", "iframe"} & set(page.tags)
    assert all(address.startswith(("/", "#")) for address in page.addresses)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids) > 40
    assert " style=" not in text
    assert client.get("/assets/styles/reference.css").status_code == 200
    assert not re.search(r"https?://(?!127\.0\.0\.1)", text)


def test_names_of_tags_are_text_in_the_reference(make_client: MakeClient) -> None:
    assert "<script" not in make_client().get(f"{API}/docs").text
