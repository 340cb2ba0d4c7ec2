"""The name: nobody is told to install another project's `kindred`, and that one is noticed."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import kindred
from kindred._support.distribution import other_kindred
from kindred.backbones.efficientnet_lite import LITE
from kindred.errors import MissingExtra
from kindred.extras import EXTRAS, install_command, needs

ROOT = Path(__file__).resolve().parents[1]
TEXTS = [
    *(ROOT / "src").rglob("*.py"),
    *(ROOT / "src").rglob("*.toml"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "scripts").rglob("*.py"),
    *(ROOT / "benchmarks").rglob("*.py"),
    *(ROOT / "benchmarks").rglob("*.md"),
    *(ROOT / "benchmarks").rglob("*.toml"),
    *(ROOT / ".ci").iterdir(),
    *ROOT.glob("*.md"),
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(requirements: list[str]) -> tuple[str, ...]:
    return tuple(re.split(r"[^A-Za-z0-9._-]", each)[0] for each in requirements)


def test_the_distribution_has_a_name_of_its_own() -> None:
    assert PROJECT["name"] == "kindred-images"
    assert PROJECT["version"] == kindred.__version__
    assert PROJECT["scripts"] == {"kindred": "kindred.cli:main"}


def test_the_table_of_extras_is_that_of_the_project() -> None:
    declared = {extra: names(listed) for extra, listed in PROJECT["optional-dependencies"].items() if extra != "dev"}
    assert declared == EXTRAS


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_text_installs_kindred_by_name(file: Path) -> None:
    known = {*names(PROJECT["dependencies"]), *(each for listed in EXTRAS.values() for each in listed)}
    known |= {*names(PROJECT["optional-dependencies"]["dev"]), "scikit-image"}
    known |= {lite.package for lite in LITE.values()}
    text = " ".join(file.read_text(encoding="utf-8").split())
    assert not re.search(r"kindred\[[a-z]", text)
    for word in re.findall(r"pip install(?: --?\S+| :all:)* ([^\s`\")':,]+|'[^']+')", text):
        clone = re.fullmatch(r"'?\.(\[[\w,]+\])?'?", word)
        assert clone or word in known or word.startswith(("{", "'", "…")), f"{file}: pip install {word}"
        assert clone or not word.strip("'").startswith("kindred")


def test_a_missing_extra_names_its_packages() -> None:
    assert str(MissingExtra("drawing", "maps")) == (
        "drawing needs optional packages: pip install matplotlib scikit-learn scipy threadpoolctl"
    )
    assert needs("HEIC", "heic") == "HEIC needs an optional package: pip install pillow-heif"
    assert not {*EXTRAS["verify"], *EXTRAS["maps"]} & {*names(PROJECT["dependencies"])}
    for extra in EXTRAS:
        assert "kindred" not in install_command(extra)


def _installed(folder: Path, name: str, summary: str) -> Path:
    packages = folder / "site-packages"
    info = packages / name
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: kindred\n{summary}\n", encoding="utf-8")
    return packages


def test_another_kindred_is_noticed_and_ours_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = _installed(tmp_path / "a", "kindred-2.8.4.dist-info", "Summary: A relation extraction toolkit")
    ours = _installed(tmp_path / "b", "kindred-0.1.0.dist-info", "Summary: Deep image retrieval: point it at")
    renamed = _installed(tmp_path / "c", "kindred_images-0.1.0.dist-info", "Summary: Deep image retrieval: point it at")
    monkeypatch.setattr(sys, "path", [str(ours), str(renamed), str(tmp_path / "no" / "site-packages")])
    assert other_kindred() is None
    monkeypatch.setattr(sys, "path", [str(ours), str(other)])
    assert other_kindred() == "kindred 2.8.4"


def test_the_first_import_says_so_in_one_line(tmp_path: Path) -> None:
    other = _installed(tmp_path, "kindred-2.8.4.dist-info", "Summary: A relation extraction toolkit")
    code = f"import sys; sys.path.append({str(other)!r}); import kindred; print(kindred.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == (
        "kindred:1: UserWarning: another project's package kindred 2.8.4 is installed: "
        "pip uninstall kindred, then pip install . in the clone of this project\n"
    )
    assert done.stdout.startswith("0.")
