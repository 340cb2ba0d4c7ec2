"""What `import kindred` brings, and what it must not."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import kindred

HEAVY = ("numpy", "torch", "faiss", "openvino", "onnx", "scipy", "PIL", "rich", "typer")


def modules_after(statement: str) -> set[str]:
    """Run a statement in a new Python that takes warnings for errors; return what it had to load."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_kindred_loads_nothing_heavy_and_warns_of_nothing() -> None:
    assert modules_after("import kindred").isdisjoint(HEAVY)


def test_the_core_needs_no_torch() -> None:
    statement = "import kindred.library, kindred.duplicates, kindred.evaluation, kindred.html.results, kindred_demo"
    loaded = modules_after(statement)
    assert "numpy" in loaded
    assert loaded.isdisjoint({"torch", "faiss", "openvino", "onnx", "scipy"})


def test_the_command_line_starts_light() -> None:
    loaded = modules_after("from kindred.cli.app import run; run(['--version'])")
    assert loaded.isdisjoint({"numpy", "torch", "faiss", "openvino", "rich"})


def test_nothing_but_ours_is_loaded_before_the_command_line_handles_signals() -> None:
    """Until `kindred.cli.main` runs, Ctrl-C shows a traceback of Python's."""
    code = "import sys; known = set(sys.modules); import kindred.cli; print(*sorted(set(sys.modules) - known))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "kindred.cli" in loaded
    assert [name for name in loaded if not name.startswith("kindred") and name != "__future__"] == []
    assert len(loaded) <= 8


def test_public_names_are_few_and_sorted() -> None:
    assert kindred.__all__ == sorted(kindred.__all__)
    assert len(set(kindred.__all__)) == len(kindred.__all__) <= 20


@pytest.mark.parametrize("name", kindred.__all__)
def test_public_names_are_there_and_documented(name: str) -> None:
    assert getattr(kindred, name).__doc__
    assert name in dir(kindred)


def test_the_verbs_of_the_command_line_are_functions_of_the_package() -> None:
    assert {"compare", "distill", "evaluate", "fit", "map", "train"} <= set(kindred.__all__)
    assert all(callable(getattr(kindred, name)) for name in kindred.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Libary'"):
        _ = kindred.Libary
