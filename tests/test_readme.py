"""The README's commands are run as they stand there, and say what they say there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from kindred.backbones import list_models

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
IMAGE = re.compile(r"\S+\.jpg")

pytestmark = pytest.mark.skipif(
    "kin" not in [entry.name for entry in list_models()], reason="needs the bundled network"
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readme")


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, "COLUMNS": "100"}, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_command_runs_and_gives_the_first_result_shown(folder: Path) -> None:
    shown: list[tuple[str, str]] = []
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            shown.append((command, output))
    assert [command.split()[:2] for command, _ in shown][:2] == [["kindred", "index"], ["kindred", "search"]]
    for command, output in shown:
        program, *arguments = shlex.split(command)
        assert program == "kindred"
        said = run([sys.executable, "-m", "kindred.cli", *arguments], folder)
        # Scores and times differ between machines, and with them the order of images that are equally right.
        first, known = IMAGE.findall(said)[:1], IMAGE.findall(output)
        assert bool(first) == bool(known), command
        assert {*first} <= {*known}, command


def test_the_python_lines_run(folder: Path) -> None:
    (lines,) = blocks("python")
    said = run([sys.executable, "-c", lines], folder)
    assert len(said.splitlines()) == 3
    assert said.startswith("1 ")


def test_the_first_two_commands_are_scripts_that_are_there() -> None:
    first = next(block for block in blocks("") if "scripts/" in block)
    scripts = re.findall(r"python3 (\S+)", first)
    assert list(dict.fromkeys(scripts)) == ["scripts/try.py", "scripts/check.py"]
    for script in scripts:
        assert (Path(__file__).parents[1] / script).is_file()


def test_every_link_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(targets) > 5
    for target in targets:
        assert (Path(__file__).parents[1] / target).exists(), target
