"""Imports point one way: a module imports from lower floors and from its own package, never from above."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import kindred
import kindred_demo

ROOT = Path(kindred.__file__).parent
DEMO = Path(kindred_demo.__file__).parent

FLOORS = (
    {"extras"},
    {"errors"},
    {"hints"},
    {"_support", "arrays", "regions"},
    {"blocks", "ranking", "images", "backbones", "store"},
    {
        "similarity",
        "pooling",
        "whitening",
        "proposals",
        "matching",
        "fusion",
        "codes",
        "features",
        "manifold",
        "calibration",
    },
    {"embedding"},
    {"recipe"},
    {"index", "describer", "rerank"},
    {"library"},
    {"html"},
    {"duplicates", "evaluation", "exchange", "atlas", "kindred_demo"},
    {"training"},
    {"service"},
    {"server", "client"},
    {"cli"},
)
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}

# Where a heavy package may be imported with the module. Everywhere else it is imported in the function that needs it.
HOMES = {
    "cv2": (),
    "faiss": (),
    "fastapi": ("server",),
    "filelock": ("store",),
    "grpc": (),
    "httpx2": ("client",),
    "matplotlib": (),
    "onnx": ("training", "backbones.onnx_torch"),
    "openvino": (),
    "psycopg": ("store.postgres",),
    "pymilvus": (),
    "PIL": ("images", "server.thumbnails", "kindred_demo", "training.augment", "training.local.views"),
    "pillow_heif": (),
    "ray": (),
    "rich": (),
    "safetensors": ("training",),
    "scipy": (),
    "simplejpeg": ("images",),
    "pydantic": ("server",),
    "sklearn": (),
    "starlette": ("server",),
    "torch": ("training", "backbones.torch", "backbones.onnx_torch", "backbones.onnx_ops"),
    "typer": ("cli",),
    "uvicorn": ("server.connections",),
}


class Import(NamedTuple):
    """One import: of which module, on which line, and whether it happens when the file is imported."""

    module: str
    line: int
    at_once: bool


def modules() -> list[str]:
    own = (path.relative_to(ROOT).with_suffix("") for path in sorted(ROOT.rglob("*.py")))
    demo = (path.relative_to(DEMO.parent).with_suffix("") for path in sorted(DEMO.rglob("*.py")))
    return [".".join(name.parts) for name in (*own, *demo) if name.parts != ("__init__",)]


def imports_of(module: str) -> Iterator[Import]:
    root = DEMO.parent if module.startswith("kindred_demo") else ROOT
    file = root.joinpath(*module.split(".")).with_suffix(".py")
    yield from _imports(ast.parse(file.read_text(encoding="utf-8")).body, at_once=True)


def _imports(body: list[ast.stmt], *, at_once: bool) -> Iterator[Import]:
    for statement in body:
        if isinstance(statement, ast.Import):
            yield from (Import(alias.name, statement.lineno, at_once) for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            # `from kindred import x` may mean the module x; a dot would hide what is imported.
            assert statement.level == 0, f"line {statement.lineno}: relative import"
            names = [f"kindred.{alias.name}" for alias in statement.names]
            found = names if statement.module == "kindred" else [statement.module or ""]
            yield from (Import(name, statement.lineno, at_once) for name in found)
        else:
            deferred = isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) or _is_type_checking(statement)
            children = [each for each in ast.iter_child_nodes(statement) if isinstance(each, ast.stmt)]
            handlers = getattr(statement, "handlers", [])
            children += [each for handler in handlers for each in handler.body]
            yield from _imports(children, at_once=at_once and not deferred)


def _is_type_checking(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"


@pytest.mark.parametrize("module", modules())
def test_imports_only_from_below(module: str) -> None:
    package = module.split(".")[0]
    for found in imports_of(module):
        target = found.module.removeprefix("kindred.").split(".")[0]
        if not found.module.startswith("kindred") or target in (package, "__version__"):
            continue
        assert LEVEL[target] < LEVEL[package], f"{module}:{found.line} imports {target}, which is not below {package}"


@pytest.mark.parametrize("module", modules())
def test_heavy_packages_are_imported_where_they_are_needed(module: str) -> None:
    for found in imports_of(module):
        homes = HOMES.get(found.module.split(".")[0])
        if homes is not None and found.at_once:
            at_home = any(module == home or module.startswith(f"{home}.") for home in homes)
            assert at_home, f"{module}:{found.line} imports {found.module} at once; import it inside the function"


def test_every_module_has_a_floor() -> None:
    packages = {module.split(".")[0] for module in modules()}
    assert packages == set(LEVEL)


def test_the_reader_of_imports_sees_them_all() -> None:
    source = """
import torch
from kindred import library
if TYPE_CHECKING:
    import faiss
try:
    import onnx
except ImportError:
    import scipy
def function():
    with open("x"):
        import openvino
class Some:
    import rich
    def method(self):
        import typer
"""
    found = {(each.module, each.at_once) for each in _imports(ast.parse(source).body, at_once=True)}
    assert found == {
        ("torch", True),
        ("kindred.library", True),
        ("faiss", False),
        ("onnx", True),
        ("scipy", True),
        ("openvino", False),
        ("rich", True),
        ("typer", False),
    }
