"""What `import kindred` brings, and what it must not."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import kindred
from kindred import Library
from kindred.cli.app import COMMANDS
from pictures import save_picture
from tiny_model import home, make_recipe

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


def test_a_command_loads_no_other() -> None:
    loaded = modules_after("from kindred.cli.app import run; run(['recipes', '--json'])")
    commands = {name for name in loaded if name.startswith("kindred.cli.")}
    assert "kindred.cli.recipes" in commands
    assert commands.isdisjoint({home.partition(":")[0] for home in COMMANDS.values()} - {"kindred.cli.recipes"})


def test_a_search_loads_what_it_needs(tmp_path: Path) -> None:
    """By an image of the usual format and without re-ranking: 60 modules more took a tenth of a second."""
    photo = save_picture(tmp_path / "photo.jpg", 1)
    with home(tmp_path / "home"), Library.create(tmp_path / "library", recipe=make_recipe(tmp_path)) as library:
        library.add(photo)
    words = ["search", str(photo), "--library", str(tmp_path / "library"), "--json"]
    loaded = modules_after(f"from kindred.cli.app import run; assert run({words!r}) == 0")
    assert "kindred.library.search" in loaded
    unneeded = {
        *("PIL.PngImagePlugin", "PIL.TiffImagePlugin", "PIL.WebPImagePlugin", "cv2", "filelock", "numpy.random"),
        *(f"kindred.images.{name}" for name in ("bmp", "jxl", "png", "raw", "tiff", "tiff_pixels", "webp")),
        *(f"kindred.index.{name}" for name in ("coded", "hnsw", "inverted", "multi_vector")),
        *(f"kindred.library.{name}" for name in ("indexing", "metadata", "moves", "pruning", "scanning", "storing")),
        *("kindred.codes", "kindred.describer.fit", "kindred.duplicates", "kindred.manifold", "kindred.rerank.table"),
    }
    assert sorted(loaded & unneeded) == []


LATE = ("kindred", "kindred.describer", "kindred.index", "kindred.rerank", "kindred.service", "kindred.training")


@pytest.mark.parametrize("package", LATE)
def test_names_that_are_imported_late_are_those_of_the_package(package: str) -> None:
    found = import_module(package)
    assert all(getattr(found, name) is not None for name in found.__all__)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = found.nothing


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
