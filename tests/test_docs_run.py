"""The pages of docs/ are run: every `kindred` command and every block of Python in them, on the demo collection.

A page runs in a folder of its own, from top to bottom. In it lie `kindred-demo` with its library `.kindred`, and, for
what pages write in capitals, folders of images under that name. Above a block that cannot run here stands
`<!-- not run: WHY -->`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from kindred.backbones import list_models

ROOT = Path(__file__).parents[1]
PAGES = sorted(page for page in (ROOT / "docs").glob("*.md") if page.name != "cli.md")
BLOCK = re.compile(r"(?:^<!-- not run: (?P<why>[^>]+) -->\n)?^```(?P<language>[a-z]*)\n(?P<text>.*?)^```", re.M | re.S)
FOLDERS = ("POOL", "SHELVES", "FOLDER")
THINGS, EACH = 4, 6

pytestmark = pytest.mark.skipif(
    "kin" not in [entry.name for entry in list_models()], reason="needs the bundled network"
)


class Block(NamedTuple):
    """A block of code of a page; why: the reason why it is not run, if there is one."""

    language: str
    text: str
    why: str | None

    @property
    def commands(self) -> list[str]:
        """The lines that call `kindred`, continued lines joined."""
        lines = [line.removeprefix("$ ") for line in self.text.replace("\\\n", "").splitlines()]
        return [line for line in lines if line.startswith("kindred ")] if self.language in ("", "console", "sh") else []


def blocks_of(page: Path) -> list[Block]:
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(match["language"], match["text"], match["why"]) for match in found]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo collection and its library."""
    folder = tmp_path_factory.mktemp("collection")
    run([sys.executable, "-m", "kindred.cli", "index"], folder)
    return folder


@pytest.fixture
def folder(collection: Path, tmp_path: Path) -> Path:
    """Where a page is run."""
    (tmp_path / "kindred-demo").symlink_to(collection / "kindred-demo")
    shutil.copytree(collection / ".kindred", tmp_path / ".kindred")
    truth = json.loads((collection / "kindred-demo" / "groundtruth.json").read_text(encoding="utf-8"))
    shots = [(name, facts["relevant"]) for name, facts in truth["queries"].items() if len(facts["relevant"]) >= EACH]
    for name, relevant in shots[:THINGS]:
        products = tmp_path / "PRODUCTS" / Path(name).stem
        products.mkdir(parents=True)
        for path in relevant[:EACH]:
            shutil.copy(collection / "kindred-demo" / path, products)
    for name in FOLDERS:
        (tmp_path / name).mkdir()
        for path in truth["database"][:20]:
            shutil.copy(collection / "kindred-demo" / path, tmp_path / name)
    return tmp_path


def run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "COLUMNS": "100", "HOME": str(folder), "KINDRED_HOME": str(folder / "models")}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_block_of_python_runs(page: Path, folder: Path) -> None:
    for block in blocks_of(page):
        if block.why is not None:
            continue
        for command in block.commands:
            run([sys.executable, "-m", "kindred.cli", *shlex.split(command, comments=True)[1:]], folder)
        if block.language == "python":
            run([sys.executable, "-c", block.text], folder)


def test_what_is_not_run_says_why() -> None:
    reasons = [block.why for page in PAGES for block in blocks_of(page) if block.why is not None]
    assert all(len(reason.split()) > 2 for reason in reasons)
    run_here = [block for page in PAGES for block in blocks_of(page) if block.why is None]
    assert sum(len(block.commands) for block in run_here) >= 3


def test_the_pooling_method_of_contributing_works() -> None:
    """The three blocks that add a method, put together, agree with one another."""
    import numpy as np

    from kindred.pooling import table
    from kindred.pooling.common import open_maps
    from pooling_oracles import cells_of

    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    function, entry, oracle = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)[:3]
    space = {"ArrayT": object, "open_maps": open_maps, "cells_of": cells_of, **vars(table)}
    exec(function, space)
    maps = np.random.default_rng(0).random((2, 3, 4, 5), np.float32)
    made = eval("{" + entry.partition("...\n")[2].strip(), space)["energy"]
    expected = eval("{" + oracle.strip() + "}", space)["energy"]
    pooled = made.function(maps)
    assert made.dimension(3, 4, 5) == pooled.shape[1] == 3
    for row, image in zip(pooled, maps, strict=True):
        np.testing.assert_allclose(row, expected(image), rtol=1e-5)
