"""Hints: which known name a wrong one means."""

from __future__ import annotations

import pytest

from kindred.hints import nearest


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("gemm", ["mac", "gem"], "did you mean 'gem'?"),
        ("gemm", {"gem": 1}, "did you mean 'gem'?"),
        ("zzz", ["mac", "gem"], "expected one of mac, gem"),
        ("zzz", [], "it takes none"),
    ],
)
def test_says_which_name_is_meant(name: str, known: list[str], hint: str) -> None:
    assert nearest(name, known) == hint
