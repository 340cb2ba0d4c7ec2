"""The documentation says what the code does: every command is described, and generated pages are up to date."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHORT = 66  # characters of a first line: longer ones are cut short in the list of commands


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_docs = load_script("make_docs")
COMMANDS = {" ".join(words): command for words, command in make_docs.walk(make_docs.root())}


def test_every_verb_is_a_command() -> None:
    verbs = {name.split()[1] for name in COMMANDS if " " in name}
    assert verbs == {
        *("index", "search", "duplicates", "info", "tag", "untag", "remove", "doctor"),
        *("evaluate", "fit", "distill", "recipes", "models"),
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_fits_a_line(name: str) -> None:
    first = (COMMANDS[name].help or "").split("\n\n")[0]
    assert first.endswith(".")
    assert len(" ".join(first.split())) <= SHORT or name == "kindred"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_has_help(name: str) -> None:
    for parameter in COMMANDS[name].params:
        assert parameter.help, f"{name}: {parameter.name}"


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "kindred"])
def test_every_command_speaks_json(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in COMMANDS[name].params)


@pytest.mark.parametrize("page", ["cli.md", "methods.md"])
def test_generated_pages_are_up_to_date(page: str) -> None:
    committed = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert make_docs.PAGES[page]() == committed, "run python3 scripts/make_docs.py"


def test_every_command_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for name, command in COMMANDS.items():
        if name == "kindred":
            continue
        section = page.split(f"# {name}\n", 1)[1].split("\n#", 1)[0]
        for parameter in command.params:
            if parameter.param_type_name == "option" and "--help" not in parameter.opts:
                assert f"`{parameter.opts[-1]}`" in section, f"{name} {parameter.opts}"
