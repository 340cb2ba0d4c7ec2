"""Error messages for unknown names and wrong options."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

import kindred
from kindred.errors import RecipeError, UsageError
from kindred.hints import REQUIRED, check_known, check_options, nearest, options_of
from kindred.pooling import gem

ROOT = Path(kindred.__file__).parent


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("gemm", ["mac", "gem"], "did you mean 'gem'? known: mac, gem"),
        ("gemm", {"gem": 1}, "did you mean 'gem'? known: gem"),
        ("zzz", ["mac", "gem"], "known: mac, gem"),
        ("zzz", [], "there are none"),
        ("zzz", [str(each) for each in range(42)], f"known: {', '.join(map(str, range(40)))} and 2 more"),
    ],
)
def test_suggests_the_nearest_name(name: str, known: list[str], hint: str) -> None:
    assert nearest(name, known) == hint


@pytest.mark.parametrize(
    ("name", "where", "message"),
    [
        ("difusion", "", "unknown re-ranker 'difusion'; did you mean 'diffusion'? known: aqe, diffusion"),
        ("x\x1b", "here", "here: unknown re-ranker 'x\\x1b'; known: aqe, diffusion"),
        (3, "", "unknown re-ranker 3; known: aqe, diffusion"),
        (None, "", "unknown re-ranker None; known: aqe, diffusion"),
    ],
)
def test_an_unknown_name_is_one_line(name: object, where: str, message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        check_known("re-ranker", name, ["aqe", "diffusion"], error=RecipeError, where=where)
    assert str(raised.value) == message


def test_a_known_name_is_accepted() -> None:
    check_known("re-ranker", "aqe", {"aqe": 1}, error=RecipeError)


USUAL: Mapping[str, object] = {"n": 10, "alpha": 3.0, "deep": False, "start": "v1", "sides": (1, 2), "k": None}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"m": 1}, "method 'x': unknown option 'm'; known: n, alpha, deep, start, sides, k"),
        ({"n": "many"}, "method 'x': option n is 'many'; expected a whole number, such as 10"),
        ({"n": True}, "method 'x': option n is True; expected a whole number, such as 10"),
        ({"n": None}, "method 'x': option n is None; expected a whole number, such as 10"),
        ({"alpha": "a"}, "method 'x': option alpha is 'a'; expected a number, such as 3.0"),
        ({"alpha": [1]}, "method 'x': option alpha is [1]; expected a number, such as 3.0"),
        ({"deep": 1}, "method 'x': option deep is 1; expected true or false, such as False"),
        ({"start": 2}, "method 'x': option start is 2; expected text, such as 'v1'"),
    ],
)
def test_a_wrong_option_is_one_line(given: Mapping[str, object], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_options("method 'x'", given, USUAL, error=UsageError)
    assert str(raised.value) == message


def test_correct_options_are_accepted() -> None:
    check_options("method 'x'", {"n": 3.0, "alpha": 2, "deep": True, "k": "any", "sides": 3}, USUAL, error=UsageError)
    with pytest.raises(UsageError, match="method 'x': unknown option 'n'; it takes none"):
        check_options("method 'x'", {"n": 3}, {}, error=UsageError)


def test_options_are_the_keyword_parameters_of_a_function() -> None:
    def method(maps: object, p: float, *, n: int, alpha: float = 3.0) -> None:
        del maps, p, n, alpha

    assert options_of(method) == {"n": REQUIRED, "alpha": 3.0}
    assert options_of(method, without=("n",)) == {"alpha": 3.0}


def test_all_unknown_names_are_reported_by_hints() -> None:
    """Whatever raises "unknown … 'x'" for a name of a table does it through `kindred.hints`."""
    for file in sorted(ROOT.rglob("*.py")):
        if file == ROOT / "hints.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                text = ast.unparse(node)
                begins = "unknown " in text and "!r}" in text and "unknown tensor" not in text  # of a damaged file
                assert not begins or "hint" in text or "nearest" in text, f"{file}:{node.lineno}: {text}"


def test_an_option_that_may_be_an_array_takes_any_type() -> None:
    """For example GeM's exponent, of which trained networks have one per channel."""
    usual = options_of(gem)
    check_options("pooling 'gem'", {"p": [2.0, 3.0]}, usual, error=UsageError)
    assert usual["eps"] == 1e-6
