"""Names, tags, recipes and errors that hold what steers a terminal never reach it, whatever the command."""

from __future__ import annotations

import ast
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import kindred.cli
from commands import Kindred
from kindred.cli.app import app
from kindred.library import Library
from pictures import save_picture

EVIL = "\x1b]0;owned\x07\x9b31m\n\u202egpj\u2066\x7f[red]"
"""A title for the terminal, a colour, a second line, letters from right to left, DEL and rich's markup."""
NAME = f"evil{EVIL}.jpg"

# How each command is made to print hostile text; what it cannot take is refused with that text in the message.
COMMANDS: dict[str, list[list[str]]] = {
    "index": [["PHOTOS"], [f"no{EVIL}"], ["PHOTOS", "--recipe", EVIL], ["PHOTOS", "--set", f"{EVIL}=1"]],
    "search": [["IMAGE"], ["IMAGE", "--rerank", EVIL], [f"no{EVIL}.jpg"], ["IMAGE", "--after", EVIL], ["TEXT"]],
    "duplicates": [["--threshold", "-1"], ["--threshold", EVIL]],
    "map": [["-o", f"map{EVIL}.html", "--csv", f"map{EVIL}.csv"], ["-o", EVIL]],
    "info": [[], ["--verbose"], ["--library", f"no{EVIL}"]],
    "tag": [[EVIL, "IMAGE"], ["x", f"no{EVIL}"]],
    "untag": [[EVIL, "IMAGE"], ["x", f"no{EVIL}"]],
    "remove": [["IMAGE"], [f"no{EVIL}"]],
    "move": [[f"no{EVIL}", f"new{EVIL}"], ["IMAGE", f"new{EVIL}"]],
    "meta": [[]],
    "meta set": [[EVIL, "IMAGE"], ["a=1", f"no{EVIL}"], [f"a={EVIL.strip()}", "IMAGE"]],
    "meta unset": [[EVIL, "IMAGE"], ["a", f"no{EVIL}"]],
    "meta import": [[f"no{EVIL}.csv"], ["TEXT"]],
    "meta show": [["IMAGE"], [f"no{EVIL}"]],
    "copy": [[".kindred", f"copy{EVIL}"], [f"no{EVIL}", "x"], [".kindred", ".kindred"]],
    "build-index": [
        [],
        ["--index", f"milvus://host/x{EVIL}"],
        ["--index", "milvus://127.0.0.1:1/x?timeout=1", "--kind", f"x{EVIL}"],
    ],
    "verify": [[], ["--with", ".kindred"], ["--with", f"no{EVIL}"]],
    "serve": [["--library", f"no{EVIL}"], ["--folder", f"no{EVIL}"], ["--host", EVIL]],
    "doctor": [["--library", f"no{EVIL}"], []],
    "recipes": [[]],
    "recipes show": [[EVIL], ["RECIPE"], [f"no{EVIL}.toml"]],
    "models": [[]],
    "models add": [[f"no{EVIL}.onnx", "--name", "x"], ["TEXT", "--name", EVIL]],
    "models show": [[EVIL]],
    "models remove": [[EVIL]],
    "evaluate": [[f"no{EVIL}.json"], [f"no{EVIL}", "--dataset", EVIL]],
    "compare": [[f"no{EVIL}.json", "-r", "kin"], ["TEXT", "-r", EVIL]],
    "fit": [[EVIL, "PHOTOS", "-o", "x.toml"], ["kin", f"no{EVIL}", "-o", "x.toml"], ["kin", "PHOTOS", "-o", EVIL]],
    "train": [[f"no{EVIL}", "-o", "x.onnx", "--backbone", "tiny"], ["PHOTOS", "-o", "x.onnx", "--method", EVIL]],
    "distill": [[EVIL, "PHOTOS", "-o", "x.onnx"], ["kin", f"no{EVIL}", "-o", "x.onnx"]],
    "match": [[f"no{EVIL}"], ["PHOTOS", "--exclude", EVIL]],
    "export": [[f"no{EVIL}.xyz"], [f"out{EVIL}.csv"]],
    "import": [[f"no{EVIL}.csv"], ["TEXT"]],
}
PRINTING = {"print", "echo", "secho", "Console", "pprint"}


def commands() -> Iterator[str]:
    def walk(command: Any, words: tuple[str, ...]) -> Iterator[str]:
        if words:
            yield " ".join(words)
        for name, each in getattr(command, "commands", {}).items():
            yield from walk(each, (*words, name))

    yield from walk(get_command(app), ())


@pytest.fixture
def hostile(own_folder: Path, recipe: Path) -> dict[str, str]:
    """A library whose file names, tags, dates and recipe are hostile, and what stands for its parts in COMMANDS."""
    photos = own_folder / "photos"
    for number in range(6):
        save_picture(photos / f"{number}{NAME}", number)
    (photos / f"text{NAME}").write_text("no picture")
    text = own_folder / f"text{EVIL}.jpg"
    text.write_text(EVIL)
    evil = own_folder / f"recipe{EVIL}.toml"
    written = recipe.read_text(encoding="utf-8").replace("description = ", "description_ = ")
    lines = [line for line in written.splitlines() if not line.startswith(("description_", "name"))]
    lines = [line.replace('"tiny.toml"', f'"{recipe.parent / "tiny.toml"}"') for line in lines]
    escaped = "".join(f"\\u{ord(each):04x}" if not each.isprintable() else each for each in EVIL)
    evil.write_text(f'name = "x{escaped}"\ndescription = "y{escaped}"\n' + "\n".join(lines), encoding="utf-8")
    with Library.create(own_folder / ".kindred", recipe=evil) as library:
        library.index(photos)
        library.tag(photos / f"0{NAME}", f"sea{EVIL.strip()}".replace("\n", ""))
    return {"PHOTOS": str(photos), "IMAGE": str(photos / f"0{NAME}"), "TEXT": str(text), "RECIPE": str(evil)}


def acting(text: str) -> str:
    """The characters of a text that steer a terminal or a reader, but for the ends of lines."""
    return "".join(
        each for each in text if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") and each != "\n"
    )


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("command", COMMANDS)
def test_control_characters_are_never_printed(
    command: str, as_json: bool, kindred: Kindred, hostile: dict[str, str]
) -> None:
    for words in COMMANDS[command]:
        given = [hostile.get(word, word) for word in words]
        done = kindred(*command.split(), *given, *(["--json"] if as_json else []))
        assert acting(done.out + done.err) == "", (command, words)
        if done.code:  # an error is one line, whatever the names in it
            assert done.out == "" or command in ("doctor", "compare")
            assert len(done.err.splitlines()) == 1, done.err


def test_every_command_is_covered() -> None:
    assert set(commands()) <= set(COMMANDS)


def test_pages_escape_control_characters(kindred: Kindred, hostile: dict[str, str]) -> None:
    assert kindred("search", hostile["IMAGE"], "--html", "page.html").code == 0
    text = Path("page.html").read_text(encoding="utf-8")
    assert "owned" in text
    assert acting(text.replace("\t", "")) == ""


def test_nothing_else_in_the_command_line_prints() -> None:
    """Only `kindred.cli.output` writes to a stream, and lines are not begun by hand."""
    folder = Path(kindred.cli.__file__).parent
    for file in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and file.name != "output.py":
                called = ast.unparse(node.func).rpartition(".")[2]
                assert called not in PRINTING, f"{file.name}:{node.lineno}: {called}"
                if called in ("say", "note"):
                    assert "\\n" not in ast.unparse(node), f"{file.name}:{node.lineno}: a line break in one line"
            if isinstance(node, ast.Attribute) and file.name != "output.py":
                assert ast.unparse(node) not in ("sys.stdout", "sys.stderr"), f"{file.name}:{node.lineno}"
