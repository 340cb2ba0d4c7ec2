"""`kindred compare`, and the options of `kindred evaluate` that it shares."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands import COUNT, Kindred
from kindred.evaluation import DATASETS, Evaluation, evaluate
from kindred.recipe import Recipe
from pictures import make_folder


@pytest.fixture
def groundtruth(own_folder: Path, photos: Path) -> Path:
    """Each picture of "a" looks for itself, which it finds."""
    paths = [str(photos / f"a/{number:05}.jpg") for number in range(COUNT // 2)]
    file = own_folder / "truth.json"
    queries = {path: {"relevant": [path]} for path in paths}
    file.write_text(json.dumps({"name": "small", "database": paths, "queries": queries}))
    return file


def test_compare_prints_a_table_and_draws(kindred: Kindred, groundtruth: Path, recipe: Path, own_folder: Path) -> None:
    pytest.importorskip("matplotlib")
    words = (groundtruth, "--recipes", recipe, "--rerank", "aqe:n=2", "-o", "costs.svg")
    done = kindred("compare", *words)
    assert done.code == 0, done.err
    lines = [line.split() for line in done.out.splitlines()]
    assert done.out.splitlines()[0] == f"small: {COUNT // 2} queries, {COUNT // 2} images"
    assert lines[1][:3] == ["recipe", "mAP", "recall@1"]
    assert {line[0] for line in lines[2:4]} == {"tiny"}
    assert ["tiny", "1.000", "1.000"] in [line[:3] for line in lines]
    assert "Plot: costs.svg" in done.out
    assert "<svg" in (own_folder / "costs.svg").read_text()


def test_compare_as_json(kindred: Kindred, groundtruth: Path, recipe: Path) -> None:
    found = kindred("compare", groundtruth, groundtruth, "--recipes", recipe, "--cache", "kept", "--json").json
    assert found["failed"] == []
    assert [each["name"] for each in found["results"]] == ["small", "small"]
    assert found["results"][0]["mAP"] == 1
    assert found["results"][0]["CMC"] == [1.0] * (COUNT // 2)
    assert found["results"][0]["bytes_per_image"] == 4 * found["results"][0]["dimension"]


def test_compare_reports_further_metrics(kindred: Kindred, groundtruth: Path, recipe: Path) -> None:
    words = ("compare", groundtruth, "--recipes", recipe, "--metric", "nDCG", "--metric", "recall@1")
    done = kindred(*words)
    assert done.code == 0, done.err
    heads, row = (line.split() for line in done.out.splitlines()[1:3])
    assert heads[:4] == ["recipe", "mAP", "recall@1", "nDCG"]
    assert row[:4] == ["tiny", "1.000", "1.000", "1.000"]
    assert kindred(*words, "--json").json["results"][0]["nDCG"] == 1
    refused = kindred("compare", groundtruth, "--recipes", recipe, "--metric", "nDGC")
    assert (refused.code, refused.out) == (2, "")
    assert "unknown metric 'nDGC'" in refused.err


def test_one_recipe_that_fails_does_not_lose_the_others(kindred: Kindred, groundtruth: Path, recipe: Path) -> None:
    done = kindred("compare", groundtruth, "--recipes", f"never,{recipe}")
    assert done.code == 1
    assert "tiny" in done.out
    assert done.err.startswith("kindred: never on small failed: unknown recipe 'never'")
    document = json.loads(kindred("compare", groundtruth, "--recipes", f"never,{recipe}", "--json").out)
    assert [each["recipe"] for each in document["failed"]] == ["never"]
    assert len(document["results"]) == 1


def test_compare_checks_the_plot_file_before_measuring(kindred: Kindred, groundtruth: Path) -> None:
    done = kindred("compare", groundtruth, "--recipes", "kin", "-o", "costs.gif")
    assert (done.code, done.out) == (2, "")
    assert "costs.gif: cannot be drawn" in done.err
    assert "unknown cost 'money'" in kindred("compare", groundtruth, "-r", "kin", "-o", "a.png", "--cost", "money").err


def test_evaluate_reranks_and_adds_distractors(
    kindred: Kindred, groundtruth: Path, recipe: Path, own_folder: Path
) -> None:
    make_folder(own_folder / "more", 3, first=50)
    words = ("evaluate", groundtruth, "--recipe", recipe, "--rerank", "aqe:n=2", "--distractors", "more")
    found = kindred(*words, "--json").json
    assert (found["images"], found["distractors"], found["rerank"]) == (COUNT // 2 + 3, 3, ["aqe:n=2"])
    shown = kindred(*words).out
    assert f"{COUNT // 2} queries, {COUNT // 2 + 3} images (3 of them distractors), recipe tiny + aqe:n=2" in shown
    assert "re-ranking" in shown


def test_evaluate_passes_regions_on_and_reports_them(
    kindred: Kindred, groundtruth: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []

    def with_regions(*words: Any, regions: bool | None, **options: Any) -> Evaluation:
        given.append(regions)
        return replace(evaluate(*words, **options), queries_with_regions=2, seconds_regions=0.25)

    monkeypatch.setattr("kindred.evaluation.evaluate", with_regions)
    shown = kindred("evaluate", groundtruth, "--recipe", recipe).out
    assert f"regions were searched as well for 2 of {COUNT // 2} queries" in shown
    assert ", regions 250.0)" in shown
    found = kindred("evaluate", groundtruth, "--recipe", recipe, "--no-regions", "--json").json
    assert (found["queries_with_regions"], found["seconds_regions"]) == (2, 0.25)
    assert given == [None, False]


def test_regions_need_probabilities(kindred: Kindred, groundtruth: Path, recipe: Path) -> None:
    refused = kindred("evaluate", groundtruth, "--recipe", recipe, "--regions")
    assert (refused.code, refused.out) == (2, "")
    assert "regions are only searched where results have probabilities" in refused.err
    assert kindred("compare", groundtruth, "--recipes", recipe, "--regions").code == 0


def test_evaluate_fuses_recipes(kindred: Kindred, groundtruth: Path, recipe: Path, own_folder: Path) -> None:
    other = own_folder / "other.toml"
    other.write_text(Recipe.load(recipe).with_settings(["name=other", "pooling=mac"]).to_toml())
    words = ("evaluate", groundtruth, "--recipe", recipe, "--also", other, "--fusion", "weighted_scores")
    found = kindred(*words, "--json").json
    alone = kindred("evaluate", groundtruth, "--recipe", recipe, "--json").json
    assert (found["recipe"], found["also"], found["fusion"]) == ("tiny", ["other"], "weighted_scores")
    assert (found["mAP"], found["dimension"]) == (1, 2 * alone["dimension"])
    assert "recipe tiny + other (weighted_scores)" in kindred(*words).out
    refused = kindred(*words, "--rerank", "aqe")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.count("\n") == 1
    assert "--rerank and --also cannot be combined" in refused.err
    assert "did you mean 'reciprocal_rank'" in kindred(*words, "--fusion", "reciprocal").err


def test_evaluate_changes_keys_of_the_recipe(kindred: Kindred, groundtruth: Path, recipe: Path) -> None:
    plain = kindred("evaluate", groundtruth, "--recipe", recipe, "--json").json
    changed = kindred("evaluate", groundtruth, "--recipe", recipe, "--set", "pooling=mac", "--json").json
    assert plain["digest"] != changed["digest"]


def test_the_help_names_every_data_set(kindred: Kindred) -> None:
    text = " ".join(kindred("evaluate", "--help").out.split())
    *others, last = DATASETS
    assert f"{', '.join(others)} or {last}" in text


def test_evaluate_takes_a_folder_of_classes(kindred: Kindred, photos: Path, recipe: Path) -> None:
    found = kindred("evaluate", photos, "--recipe", recipe, "--json").json
    assert (found["queries"], found["images"]) == (COUNT, COUNT)
    assert {"recall@1", "recall@2", "recall@10", "mAP", "MAP@R", "R-precision"} <= found.keys()
    assert kindred("evaluate", photos, "--recipe", recipe, "--dataset", "classes", "--json").json["queries"] == COUNT
    refused = kindred("evaluate", photos, "--recipe", recipe, "--dataset", "holidays")
    assert refused.code == 2
    assert "Holidays" in refused.err
