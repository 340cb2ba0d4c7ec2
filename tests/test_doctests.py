"""The examples in docstrings: every module is collected, and every example must give what it shows."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest

import kindred
import kindred_demo

NEEDS_TORCH = "kindred.training"
"""The only package that imports PyTorch with its modules."""


def _modules() -> list[str]:
    """Return the names of all modules of both packages, found by their files: nothing is imported."""
    names = []
    for package in (kindred, kindred_demo):
        root = Path(package.__path__[0])
        for file in sorted(root.rglob("*.py")):
            parts = [package.__name__, *file.relative_to(root).with_suffix("").parts]
            if parts[-1] != "__main__":
                names.append(".".join(parts).removesuffix(".__init__"))
    return names


@pytest.mark.parametrize("name", _modules())
def test_examples_in_docstrings(name: str) -> None:
    if name.startswith(NEEDS_TORCH):
        pytest.importorskip("torch")
    module = importlib.import_module(name)
    examples = doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs={"np": np})
    for example in examples:
        found = doctest.DocTestRunner(verbose=False).run(example)
        assert found.failed == 0, f"{example.name}: {found.failed} of {found.attempted} examples fail"


def test_examples_are_found() -> None:
    attempted = 0
    for name in ("kindred.regions", "kindred.evaluation.metrics", "kindred.rerank.table", "kindred.hints"):
        for example in doctest.DocTestFinder().find(importlib.import_module(name), extraglobs={"np": np}):
            attempted += sum(doctest.SKIP not in each.options for each in example.examples)
    assert attempted >= 6
