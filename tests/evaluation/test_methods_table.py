"""benchmarks/methods.py: what is measured again, what is kept, and the tables that are made of it."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kindred.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def methods() -> ModuleType:
    spec = importlib.util.spec_from_file_location("methods", ROOT / "benchmarks" / "methods.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["methods"] = module
    spec.loader.exec_module(module)
    return module


def row(method: str, of: str, *, rerank: str = "", group: str = "Pooling", **metrics: float) -> dict[str, Any]:
    return {
        "group": group,
        "method": method,
        "rerank": rerank,
        "set": of,
        "key": f"{method}{rerank}",
        "metrics": metrics,
        "dimension": 512,
        "bytes_per_image": 2048,
        "passes": 1.0,
        "ms_per_image": 4.25,
        "ms_per_query": 120.4,
        "date": "2026-11-26",
        "hardware": "2 cores",
        "command": f"kindred evaluate SET -r {method}.toml",
    }


def dvd(method: str, camera: float, phone: float, **more: Any) -> dict[str, Any]:
    made = row(method, "smvs-dvd", **more)
    made["metrics"] = {"recall@1": (camera + phone) / 2, "recall@1/Canon": camera, "recall@1/E63": phone}
    return made


def test_tables_show_the_best_first_and_mark_the_best_of_each_column(methods: ModuleType) -> None:
    rows = [dvd("gem", 0.4, 0.2), row("gem", "grocery", mAP=0.31), dvd("mac", 0.6, 0.1), row("mac", "grocery", mAP=0.3)]
    page = methods.tables({"rows": rows})
    lines = page.splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    assert lines[2] == "### Pooling"
    assert table[0][:4] == ["method", "re-ranked by", "DVD, camera: R@1", "DVD, phone: R@1"]
    assert table[1][:6] == ["`mac`", "", "**0.600**", "0.100", "", "0.300"]
    assert table[2][:6] == ["`gem`", "", "0.400", "**0.200**", "", "**0.310**"]
    assert table[2][6:] == ["512", "2,048", "1", "4.2", "120", "`kindred evaluate SET -r gem.toml`"]
    assert "Measured 2026-11-26 on 2 cores." in lines[0]


def test_tables_keep_groups_and_rerankers_apart(methods: ModuleType) -> None:
    rows = [
        dvd("kin", 0.5, 0.5, group="Presets"),
        dvd("kin", 0.9, 0.9, group="Re-ranking", rerank="aqe"),
        dvd("gem", 0.1, 0.1),
    ]
    page = methods.tables({"rows": rows})
    assert [line for line in page.splitlines() if line.startswith("###")] == [
        "### Pooling",
        "### Re-ranking",
        "### Presets",
    ]
    assert "| `kin` | `aqe` | **0.900** |" in page


def test_without_results_there_is_no_table(methods: ModuleType) -> None:
    assert methods.tables({"rows": []}) == "Nothing has been measured yet."


def test_rows_are_sorted_and_replaced(methods: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "methods.json"
    for kept in (dvd("mac", 0.1, 0.1), dvd("gem", 0.2, 0.2), dvd("gem", 0.3, 0.3, rerank="aqe"), dvd("mac", 0.4, 0.4)):
        methods.keep(file, kept)
    rows = json.loads(file.read_text())["rows"]
    assert [(each["method"], each["rerank"]) for each in rows] == [("gem", ""), ("gem", "aqe"), ("mac", "")]
    assert rows[2]["metrics"]["recall@1/E63"] == 0.4
    assert [path.name for path in tmp_path.iterdir()] == ["methods.json"]


def test_only_unmeasured_rows_are_missing(methods: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "RESULTS", tmp_path / "methods.json")
    file = tmp_path / "gem.toml"
    file.write_text('# group: Pooling\n# rerank: aqe\n# rerank: aqe:n=5,diffusion\nname = "gem"\nbackbone = "kin"\n')
    method = methods.Method.read(file)
    assert (method.rerank, method.fits) == (("aqe", "aqe:n=5,diffusion"), False)
    digest = Recipe.load(file).digest
    assert methods.missing(method, "grocery", digest, again=False) == ["", "aqe", "aqe:n=5,diffusion"]
    methods.keep(methods.RESULTS, {**row("gem", "grocery", rerank="aqe"), "key": methods.key_of(method, "aqe", digest)})
    assert methods.missing(method, "grocery", digest, again=False) == ["", "aqe:n=5,diffusion"]
    assert methods.missing(method, "smvs-dvd", digest, again=False) == ["", "aqe", "aqe:n=5,diffusion"]
    assert len(methods.missing(method, "grocery", digest, again=True)) == 3
    assert len(methods.missing(method, "grocery", "of another recipe", again=False)) == 3


def test_the_command_of_a_row(methods: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "vlad.toml"
    file.write_text('# group: Embedding\n# fit: --words 64\nname = "vlad"\nbackbone = "kin"\n')
    method = methods.Method.read(file)
    assert method.fits
    assert methods.command_of(method, "aqe:n=5") == (
        "kindred fit vlad.toml POOL -o vlad-fitted.toml --words 64 "
        "&& kindred evaluate SET -r vlad-fitted.toml --rerank aqe:n=5"
    )


def test_a_result_is_rounded(methods: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "gem.toml"
    file.write_text('name = "gem"\nbackbone = "kin"\n')
    found = {"recall@1": 0.12345, "mAP": 1 / 3, "dimension": 8, "passes": 1.0, "bytes_per_image": 32.4}
    kept = methods.row_of(
        methods.Method.read(file),
        "",
        "grocery",
        "key",
        {**found, "CMC": [0.1], "seconds_per_image": 0.01234, "seconds_per_query": 0.5},
    )
    assert kept["metrics"] == {"recall@1": 0.123, "mAP": 0.333}
    assert (kept["bytes_per_image"], kept["ms_per_image"], kept["ms_per_query"]) == (32, 12.3, 500)


def test_every_recipe_file_can_be_read(methods: ModuleType) -> None:
    files = sorted(methods.RECIPES.glob("*.toml"))
    assert files
    for file in files:
        assert methods.Method.read(file).name == Recipe.load(file).name == file.stem


def test_measured_rows_can_be_shown(methods: ModuleType) -> None:
    page = methods.tables(methods.read_results(methods.RESULTS))
    assert all(line.count("|") >= 13 for line in page.splitlines() if line.startswith("|"))
