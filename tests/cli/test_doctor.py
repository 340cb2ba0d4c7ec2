from __future__ import annotations

import builtins
import contextlib
import inspect
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest
from typer.main import get_command

from commands import COUNT, Kindred
from kindred.backbones import list_models
from kindred.cli import checks
from kindred.cli.app import app
from kindred.cli.checks import FORMATS, _extras, examine
from kindred.library import Library
from pictures import make_folder
from tiny_local import make_local_pair
from tiny_model import make_model

ROOT = Path(__file__).resolve().parents[2]
HAS_KIN = "kin" in [entry.name for entry in list_models()]


def findings(library: Path) -> dict[str, str]:
    return {found.what: f"{found.state}: {found.detail}" for found in examine(library)}


def test_an_intact_installation_has_no_findings(kindred: Kindred, library: Path) -> None:
    done = kindred("doctor", "--json")
    assert done.code == (0 if HAS_KIN else 1)
    found = {each["what"]: each for each in json.loads(done.out)["findings"]}
    wrong = [what for what, each in found.items() if each["state"] == "wrong"]
    assert wrong == ([] if HAS_KIN else ["recipe"])
    assert found["library"]["detail"] == f"{library.name}: {COUNT} images, {COUNT} vectors, all readable"
    for name in FORMATS:
        assert name.lower() in found["images"]["detail"].lower()


def test_no_library_is_only_a_note(own_folder: Path) -> None:
    assert findings(own_folder / "none")["library"].startswith("note: none at none; create one with")


def test_a_damaged_model_is_wrong(kindred: Kindred, own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINDRED_HOME", str(own_folder / "home"))
    graph = make_model(own_folder / "home" / "models", name="mine")
    graph.write_bytes(graph.read_bytes() + b"x")
    done = kindred("doctor")
    assert done.code == 1
    line = next(line for line in done.out.splitlines() if "model mine" in line)
    assert line.startswith("WRONG")
    assert "is not the graph that its card describes" in line
    assert "problem found." in done.out.splitlines()[-1]


def test_a_damaged_further_graph_of_a_model_is_wrong(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINDRED_HOME", str(own_folder / "home"))
    graph = make_local_pair(own_folder / "home" / "models", name="mine")
    assert "model mine" not in findings(own_folder / "none")
    graph.with_name("mine_describe.onnx").write_bytes(b"another")
    assert "mine_describe.onnx is not the graph" in findings(own_folder / "none")["model mine"]


def test_a_damaged_library_is_wrong(library: Path) -> None:
    (library / "store.sqlite").write_bytes(b"nothing of the kind")
    assert findings(library)["library"].startswith("wrong: ")


@pytest.mark.parametrize("path", ["CAST('relative.jpg' AS BLOB)", "x'2f006a7067'", "'text'"])
def test_a_damaged_row_is_wrong(library: Path, path: str) -> None:
    with contextlib.closing(sqlite3.connect(library / "store.sqlite")) as connection:
        connection.execute(f"UPDATE images SET path = {path} WHERE id = 2")
        connection.commit()
    assert "image 2: path is " in findings(library)["library"]
    assert findings(library)["library"].startswith("wrong: ")


def test_missing_files_are_noted_with_commands_that_work(kindred: Kindred, recipe: Path, own_folder: Path) -> None:
    photos = own_folder / "my photos"
    make_folder(photos / "a", 8)
    make_folder(photos / "it's\nb", 3, first=8)
    assert kindred("index", photos, "--recipe", recipe).code == 0
    (photos / "a" / "00002.jpg").unlink()
    shutil.rmtree(photos / "it's\nb")
    notes = [each.detail for each in examine(Path(".kindred")) if each.what == "library" and each.state == "note"]
    assert [note.partition("; ")[0] for note in notes] == [
        "3 files of my photos/it's\\nb missing",
        "1 file of my photos/a missing",
    ]
    for note in notes:  # through a shell, as a person would
        command = note[note.index("kindred ") :].replace("kindred ", f"{sys.executable} -m kindred.cli ", 1)
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Removed " in done.stdout
    assert [each.state for each in examine(Path(".kindred")) if each.what == "library"] == ["ok"]
    with Library.open(".kindred") as library:
        assert len(library) == 7


@pytest.mark.parametrize("left", [0, 1, 30])
def test_the_advice_for_missing_files_removes_them(kindred: Kindred, recipe: Path, own_folder: Path, left: int) -> None:
    """Whatever holds `--prune` back: an empty folder, one without images, too many gone at once."""
    photos = own_folder / "photos"
    make_folder(photos, 60 if left else 3)
    assert kindred("index", photos, "--recipe", recipe).code == 0
    files = sorted(photos.iterdir())
    for file in files[left:]:
        file.unlink()
    if left == 1:
        files[0].rename(photos / "notes.txt")
    (note,) = [each.detail for each in examine(Path(".kindred")) if each.what == "library" and each.state == "note"]
    done = subprocess.run(
        ["bash", "-c", note[note.index("kindred ") :].replace("kindred ", f"{sys.executable} -m kindred.cli ", 1)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"Removed {len(files) - (left if left > 1 else 0)} images" in done.stdout, (note, done.stdout, done.stderr)
    assert done.returncode == 0
    assert [each.state for each in examine(Path(".kindred")) if each.what == "library"] == ["ok"]


def test_every_remedy_is_an_existing_command() -> None:
    """Commands in the findings are ours with options that they have, or pip's with packages of this project."""
    source = inspect.getsource(checks)
    known = {line.partition(">")[0].partition("=")[0] for line in _requirements()}
    for words in re.findall(r"pip install ([^;\"{]*)", source):
        named = [word for word in words.split() if not word.startswith(("-", ":"))]
        assert all(word in known or word in (".", "in", "its", "clone") for word in named), words
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for name, rest in re.findall(r"kindred (index|info|remove|models|search|move)\b([^\"]*)", source):
        options = {option for each in commands[name].params for option in each.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, f"kindred {name}{rest}"


def _requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [
        *project["dependencies"],
        *(each for listed in project["optional-dependencies"].values() for each in listed),
    ]


def test_a_cache_that_cannot_be_written_to_is_noted(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINDRED_HOME", str(own_folder))
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    found = findings(own_folder / "none")["cache"]
    assert found.startswith("note: ")
    assert "cannot be written to, so every start is slow; " in found


@pytest.mark.parametrize("kind", ["file", "circle"])
def test_a_cache_that_is_a_file_is_noted(own_folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    place = own_folder / "home"
    place.touch(mode=0o777) if kind == "file" else place.symlink_to(place)
    monkeypatch.setenv("KINDRED_HOME", str(place))
    assert "cannot be written to, so every start is slow; " in findings(own_folder / "none")["cache"]


def test_a_broken_package_is_reported_and_the_other_checks_run(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str) -> object:
        if name == "faiss":
            raise ImportError("libgomp.so.1: cannot open shared object file")
        return builtins.__import__(name)

    monkeypatch.setattr("kindred.cli.checks.import_module", broken)
    found = findings(own_folder / "none")
    assert found["package"] == (
        "wrong: faiss-cpu cannot be used (libgomp.so.1: cannot open shared object file); "
        "pip install --force-reinstall faiss-cpu"
    )
    assert found["packages"].startswith("ok: numpy ")


def test_a_broken_extra_is_not_also_called_good(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> object:
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file")
        return builtins.__import__(name)

    monkeypatch.setattr("kindred.cli.checks.import_module", broken)
    states = [(each.state, each.detail) for each in _extras() if each.what == "extra sift"]
    assert [state for state, _ in states] == ["wrong"]
    assert states[0][1].endswith("; pip install --force-reinstall opencv-python-headless")


def test_an_extra_that_is_missing_names_its_install_command(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = metadata.version

    def without(name: str) -> str:
        if name in ("pillow-heif", "torch"):
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("kindred.cli.checks.metadata.version", without)
    found = findings(own_folder / "none")
    assert found["extra heic"] == "note: not installed (reads HEIC); pip install pillow-heif"
    assert found["extra train"].endswith("pip install torch onnx safetensors")


def test_a_check_that_fails_itself_is_a_finding(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Sequence[object]) -> object:
        raise RuntimeError("no such device")

    monkeypatch.setattr("kindred.backbones.runtime.core", failing)
    assert findings(own_folder / "none")["processor"] == "wrong: RuntimeError: no such device"
