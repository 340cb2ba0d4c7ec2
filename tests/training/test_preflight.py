"""Opening: what could not be written at the end of a run is refused at its beginning."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kindred.errors import KindredError, MissingExtra, ModelError, UsageError
from kindred.training.preflight import check_output, load_pytorch


def test_a_file_that_can_be_written_is_accepted_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_output(tmp_path / "mine.onnx", [tmp_path / "mine.toml"])
    monkeypatch.chdir(tmp_path)
    check_output(Path("mine.onnx"), [Path("mine.toml")])


@pytest.mark.parametrize("there", ["mine.onnx", "mine.toml"])
def test_what_is_there_is_not_overwritten(there: str, tmp_path: Path) -> None:
    (tmp_path / there).touch()
    with pytest.raises(UsageError, match=f"{there}: exists already; choose another name or remove it"):
        check_output(tmp_path / "mine.onnx", [tmp_path / "mine.toml"])


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("mine.pt", UsageError, r"mine\.pt: the model must be a file that ends in \.onnx"),
        ("nowhere/mine.onnx", UsageError, r"mine\.onnx: its folder does not exist; create it first"),
        ("my model.onnx", ModelError, "'my model' is not a valid model name: expected"),
    ],
)
def test_what_could_not_be_written_is_refused(
    name: str, kind: type[KindredError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=message):
        check_output(tmp_path / name, [])


@pytest.mark.parametrize("package", ["torch", "onnx", "safetensors"])
def test_what_is_missing_is_said_before_the_run(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "20000")  # `load_pytorch` sets it, once
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match="cooking needs optional packages: pip install torch onnx safetensors"):
        load_pytorch("cooking")
