"""The skeleton: health, facts, the page's files, problems."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from kindred.errors import ImageError, LibraryLocked, RecipeError, UsageError
from kindred.library import Library
from kindred.server.problems import problem_of, without_paths
from kindred.server.routes.page import PAGE
from live_server import serving
from served import COUNT, MakeClient


def test_health_counts_the_images(client: TestClient) -> None:
    assert client.get("/api/v1/health").json() == {
        "status": "ok",
        "version": client.get("/api/v1/health").json()["version"],
        "images": COUNT,
    }


def test_the_facts_of_a_library(make_client: MakeClient, tmp_path: Path) -> None:
    facts = make_client(folders=(tmp_path,), read_only=True).get("/api/v1/library").json()
    assert facts["images"] == COUNT
    assert facts["skipped"] == 0
    assert facts["line"] == 0.5
    assert facts["read_only"] is True
    assert [folder["path"] for folder in facts["folders"]] == [str(tmp_path), str(tmp_path / "photos")]
    assert {"aqe", "diffusion"} <= {each["name"] for each in facts["rerankers"]}
    assert "calibrated" not in {each["name"] for each in facts["rerankers"]}  # the recipe has no calibration


def test_the_page_is_served_with_etags(make_client: MakeClient, tmp_path: Path) -> None:
    page = tmp_path / "page"
    (page / "lib").mkdir(parents=True)
    (page / "index.html").write_text("<!doctype html><title>Kindred</title>")
    (page / "lib/dom.js").write_text("export const x = 1")
    (page / "secret.txt").write_text("no")
    (tmp_path / "outside.js").write_text("no")
    client = make_client(page=page)
    first = client.get("/")
    assert first.headers["content-type"] == "text/html; charset=utf-8"
    assert client.get("/", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    assert client.get("/", headers={"If-None-Match": f"W/{first.headers['etag']}"}).status_code == 304  # by a proxy
    assert client.get("/assets/lib/dom.js").text == "export const x = 1"
    for name in ("secret.txt", "../outside.js", "%2e%2e/outside.js", "lib", "lib/", ".hidden.js", "a\0b.js", "C:x.js"):
        assert client.get(f"/assets/{name.replace(chr(0), '%00')}").status_code == 404, name


def test_all_modules_of_the_first_view_are_preloaded() -> None:
    page, needed, waiting = PAGE.resolve(), set[str](), ["app.js", "views/search.js"]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            imports = re.findall(r'^import [^;]*?from "([^"]+)"', (page / name).read_text(), re.MULTILINE)
            waiting += [str((page / name).parent.joinpath(each).resolve().relative_to(page)) for each in imports]
    preloaded = re.findall(r'<link rel="modulepreload" href="/assets/([^"]+)">', (page / "index.html").read_text())
    assert preloaded == sorted(needed - {"app.js"})


def test_errors_are_problems_without_paths(client: TestClient) -> None:
    answer = client.get("/api/v1/nothing")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code == 404
    wrong = client.get("/api/v1/library/skipped", params={"limit": "x"})
    assert wrong.status_code == 422
    assert wrong.json()["detail"].startswith("query.limit: ")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("k is 0; expected at least 1"), 400),
        (RecipeError("unknown re-ranker"), 400),
        (ImageError("/home/me/a.jpg", "is not an image"), 422),
        (LibraryLocked("/home/me/.kindred: another process indexes"), 503),
        (ValueError("/home/me/secret"), 500),
    ],
)
def test_each_error_has_a_status(error: Exception, status: int) -> None:
    problem = problem_of(error)
    assert problem.status == status
    assert "/home" not in bytes(problem.response().body).decode()
    assert ("Retry-After" in problem.headers) == (status == 503)


def test_a_mistake_of_the_server_is_answered_without_a_trace(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: object) -> int:
        raise ZeroDivisionError("/home/me/secret")

    monkeypatch.setattr(Library, "__len__", fails)
    answer = client.get("/api/v1/health")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "secret" not in answer.text
    assert "ZeroDivisionError" not in answer.text
    assert "ZeroDivisionError" in caplog.text


def test_messages_lose_their_paths() -> None:
    assert without_paths("/a/b c: x; open '/tmp/x.jpg'") == "… c: x; open '…'"
    assert without_paths("~/x/y is gone; 3/4 of and/or http://a/b") == "… is gone; 3/4 of and/or http://a/b"


def test_the_real_server_answers_and_stops(library: Path) -> None:
    with serving(library) as server:
        with urllib.request.urlopen(f"{server.api}/health", timeout=10) as answer:
            assert json.load(answer)["images"] == COUNT
        server.process.terminate()
        assert server.process.wait(10) in (0, 143)
