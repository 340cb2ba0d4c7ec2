from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kindred.errors import RecipeError, UsageError
from kindred.evaluation import Evaluation, compare
from kindred.evaluation.compare import Failure
from kindred.evaluation.evaluate import Bench
from kindred.recipe import Recipe
from kindred.similarity import SIMILARITIES

Paint = Callable[[str, str], Path]


@pytest.fixture
def sets(tmp_path: Path, paint: Paint) -> list[Path]:
    """Two sets of three pictures; the first is easy, in the second the right result comes second."""
    for name, colour in {"red": "#d02020", "green": "#20d020", "blue": "#2020d0", "rust": "#b03010"}.items():
        paint(f"db/{name}.png", colour)
    database = [f"db/{name}.png" for name in ("red", "green", "blue")]
    files = []
    for name, right in (("easy", "red"), ("hard", "green")):
        queries = {"db/rust.png": {"relevant": [f"db/{right}.png"]}}
        files.append(tmp_path / f"images/{name}.json")
        files[-1].write_text(json.dumps({"name": name, "database": database, "queries": queries}))
    return files


def test_every_recipe_on_every_set_with_and_without_reranking(sets: list[Path], colours: Recipe) -> None:
    said: list[tuple[str, int, int]] = []
    other = replace(colours, name="other", size=32)
    found = compare(sets, [colours, other], rerank=["aqe:n=1"], progress=lambda *step: said.append(step))
    assert [(each.name, each.label) for each in found[:4]] == [
        ("easy", "colours"),
        ("easy", "colours + aqe:n=1"),
        ("easy", "other"),
        ("easy", "other + aqe:n=1"),
    ]
    assert [each.name for each in found[4:]] == ["hard"] * 4
    assert {each.metrics["mAP"] for each in found[:4]} == {1.0}
    assert {each.metrics["mAP"] for each in found[4:]} == {0.5}
    # Two sets, two recipes; four images to describe, and one query to re-rank.
    assert [step[1:] for step in said] == [(done, 20) for done in range(1, 21)]
    assert said[-1][0] == "other + aqe:n=1 on hard, 1 of 1"


def test_the_best_comes_first(sets: list[Path], colours: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    blind = replace(colours, name="blind", similarity="l1")
    monkeypatch.setitem(SIMILARITIES, "l1", lambda q, r: -(q @ r.T))
    found = compare(sets[:1], [blind, colours])
    assert [each.recipe.name for each in found] == ["colours", "blind"]
    assert found[0].quality > found[1].quality


def test_one_that_fails_does_not_lose_the_others(sets: list[Path], colours: Recipe) -> None:
    failed: list[Failure] = []
    wrong = replace(colours, name="wrong", backbone="never")
    found = compare(sets, [wrong, colours, "unheard-of"], rerank=["difusion", "aqe"], failed=failed.append)
    assert [each.label for each in found] == ["colours", "colours + aqe"] * 2
    assert [each.label for each in failed[:3]] == ["wrong", "colours + difusion", "unheard-of"]
    assert "did you mean 'diffusion'" in str(failed[1].error)
    with pytest.raises(RecipeError, match="unheard-of"):
        compare(sets, ["unheard-of"])


def test_nothing_to_compare_is_an_error(sets: list[Path]) -> None:
    with pytest.raises(UsageError, match="at least one ground truth and one recipe"):
        compare(sets, [])


def test_results_are_cached(sets: list[Path], colours: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    first = compare(sets, [colours], rerank=["aqe"], cache=cache)
    monkeypatch.setattr(Bench, "measure", None)
    again = compare(sets, [colours], rerank=["aqe"], cache=cache)
    assert again == first
    kept = sorted(cache.glob("result-*.json"))
    assert len(kept) == 4


def test_further_metrics_are_reported_and_cached_separately(sets: list[Path], colours: Recipe, tmp_path: Path) -> None:
    (plain,) = compare(sets[1:], [colours], cache=tmp_path)
    (found,) = compare(sets[1:], [colours], metrics=["recall@2", "precision@3"], cache=tmp_path)
    assert "precision@3" not in plain.metrics
    assert (found.metrics["recall@2"], round(found.metrics["precision@3"], 6)) == (1.0, round(1 / 3, 6))
    (again,) = compare(sets[1:], [colours], metrics=["precision@3", "recall@2"], cache=tmp_path)
    assert again == found
    with pytest.raises(UsageError, match="unknown metric 'precison@3'"):
        compare(sets, [colours], metrics=["precison@3"])


def test_a_damaged_result_is_measured_again(sets: list[Path], colours: Recipe, tmp_path: Path) -> None:
    first = compare(sets[:1], [colours], cache=tmp_path)
    for content in ("{", "{}", "[]", '{"rerank": [], "cmc": []}'):
        for file in tmp_path.glob("result-*.json"):
            file.write_text(content)
        assert compare(sets[:1], [colours], cache=tmp_path)[0].metrics == first[0].metrics


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("metrics", {"mAP": "abc"}),
        ("metrics", {}),
        ("metrics", 5),
        ("queries", "x"),
        ("images", -5),
        ("dimension", 1.5),
        ("seconds_per_image", None),
        ("main", "nothing"),
        ("name", 5),
        ("rerank", "aqe"),
        ("cmc", ["x"]),
    ],
)
def test_a_result_with_a_value_of_a_wrong_type_is_measured_again(
    sets: list[Path], colours: Recipe, tmp_path: Path, key: str, value: object
) -> None:
    """A cache may be another's."""
    (first,) = compare(sets[:1], [colours], cache=tmp_path)
    (file,) = tmp_path.glob("result-*.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    (again,) = compare(sets[:1], [colours], cache=tmp_path)
    assert (again.metrics, again.queries, again.main) == (first.metrics, first.queries, first.main)
    assert getattr(again, key) != value


def test_a_result_survives_being_written(sets: list[Path], colours: Recipe) -> None:
    (found,) = compare(sets[:1], [colours])
    assert Evaluation.from_json(found.to_json(), colours) == found
