"""scripts/same_answers.py: all places give the same answers, and it would find out if they did not."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from kindred.index.milvus import building
from kindred.index.milvus.server import MilvusServer
from kindred.index.pgvector import PgvectorIndex
from kindred.library import Hit, Library, Results
from kindred.recipe import Recipe
from kindred.store import PostgresUrl
from milvus_server import MilvusProcess
from pictures import make_folder
from postgres_server import Server

pytest.importorskip("psycopg")

SCRIPT = Path(__file__).parents[2] / "scripts" / "same_answers.py"
COUNT = 25


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("same_answers", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    before, module = list(sys.path), importlib.util.module_from_spec(spec)
    sys.modules["same_answers"] = module  # where its dataclasses look for their own module
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = before
    del sys.modules["same_answers"]


def test_all_places_give_the_same_answers(
    script: ModuleType,
    recipe: Recipe,
    postgres: Server,
    milvus: MilvusProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(building, "SETTLING_SECONDS", milvus.settling)
    make_folder(tmp_path / "images", COUNT)
    queries = make_folder(tmp_path / "queries", 4, first=COUNT)
    asked = dict[str, int]()
    for kind in (MilvusServer, PgvectorIndex):
        search = kind.search

        def counted(*given: Any, name: str = kind.__name__, search: Any = search, **options: Any) -> Any:
            asked[name] = asked.get(name, 0) + 1
            return search(*given, **options)

        monkeypatch.setattr(kind, "search", counted)
    url = postgres.url("same_answers")
    comparison, images = script.compare(
        tmp_path / "images", queries, postgres=url, milvus=milvus.url("same"), work=tmp_path, recipe=recipe, graphs=True
    )
    assert images == COUNT
    places = ("folder", "folder and Milvus", "PostgreSQL", "PostgreSQL and Milvus")
    assert [name for _, name, _ in comparison.rows] == 5 * list(places)
    for how, name, one in comparison.rows:
        assert (one.equal, one.first, one.same, one.queries) == (True, 4, 4, 4), (how, name)
    assert asked["MilvusServer"] >= 2 * 3 * 4
    assert asked["PgvectorIndex"] >= 5 * 4
    assert f"| descriptors | PostgreSQL | {COUNT} | 4 | 4 | 4 |" in comparison.table(images)
    assert MilvusServer(milvus.url("same")).collections("same_") == []
    assert isinstance(url, PostgresUrl)
    Library.create(url, recipe=recipe).close()  # nothing is left there


def results(**scores: float) -> Results:
    hits = tuple(Hit(at, Path(name), score) for at, (name, score) in enumerate(scores.items(), 1))
    return Results(hits, np.arange(len(hits)), np.array(list(scores.values()), np.float32), 0.0)


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (results(a=0.9, b=0.8, c=0.7), 0.0),
        (results(a=0.9, c=0.8, b=0.7), 0.1),
        (results(a=0.9, b=0.8, d=0.7), 0.0),  # as good as c, which may be the fourth
        (results(a=0.9, d=0.8, c=0.7), 0.1),
        (results(a=0.9, b=0.8), float("inf")),
        (results(a=0.9, b=0.8, c=0.7005), 0.0005),
    ],
)
def test_how_far_two_rankings_differ(script: ModuleType, other: Results, difference: float) -> None:
    one = results(a=0.9, b=0.8, c=0.7)
    assert script.difference_of(one, other) == pytest.approx(difference)
    assert script.difference_of(other, one) == pytest.approx(difference)
    compared = script.Compared()
    compared.add(one, other)
    assert compared.equal == (difference < 1e-3)


def test_a_folder_without_images_is_refused(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main([str(tmp_path), "--queries", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("no images in ")
