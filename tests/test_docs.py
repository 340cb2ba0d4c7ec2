"""The documentation says what the code does: every command is described, and generated pages are up to date."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
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
        *(
            "index",
            "build-index",
            "search",
            "match",
            "duplicates",
            "map",
            "serve",
            "info",
            "tag",
            "untag",
            "remove",
            "move",
            "meta",
            "export",
            "import",
            "copy",
            "verify",
            "doctor",
        ),
        *("evaluate", "compare", "fit", "train", "distill", "recipes", "models"),
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_usage_lines_show_which_arguments_repeat(name: str) -> None:
    arguments = [each for each in COMMANDS[name].params if each.param_type_name == "argument"]
    repeated = {each.name for each in arguments if each.nargs == -1}
    assert {each.name for each in arguments if (each.metavar or "").rstrip("]").endswith("...")} == repeated


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


@pytest.mark.parametrize("page", ["cli.md", "methods.md", "evaluation.md"])
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


# What people wrote by hand

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINKING = [page for page in PAGES if page.name != "README.md"]  # that has tests of its own


def typed_commands(page: Path) -> Iterator[list[str]]:
    """The lines of code blocks that call `kindred`, as words."""
    for block in re.findall(r"^```[a-z]*\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", "").splitlines():
            text = line.removeprefix("$ ")
            if text.startswith("kindred "):
                yield shlex.split(text, comments=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_documentation_exist(page: Path) -> None:
    for words in typed_commands(page):
        length = max(length for length in (1, 2, 3) if " ".join(words[:length]) in COMMANDS)
        known = {
            option
            for each in COMMANDS[" ".join(words[:length])].params
            for option in (*each.opts, *each.secondary_opts)
        }
        given = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert length > 1, words
        assert given <= known | {"--help"}, words


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


def test_ci_runs_the_same_checks() -> None:
    assert lines_of(".ci/run")[-1] == "python3 scripts/check.py"
    assert (ROOT / "scripts" / "check.py").is_file()


def test_every_dependency_has_its_exact_version() -> None:
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines_of("constraints.txt") if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    assert {re.split(r"[<>=!~\[; ]", each)[0].lower() for each in wanted} <= pinned
    assert "torch==2.13.0" in lines_of("constraints.txt")


def lines_of(name: str) -> list[str]:
    return (ROOT / name).read_text(encoding="utf-8").splitlines()
