from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kindred.backbones.folders import cache_folder, models_folder
from kindred.errors import ModelError


def test_kindred_home_takes_precedence(home: Path) -> None:
    assert models_folder() == home / "models"
    assert cache_folder() == home / "cache"


@pytest.mark.skipif(sys.platform != "linux", reason="the platform's own folders")
def test_the_platforms_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KINDRED_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert models_folder() == tmp_path / ".local/share/kindred/models"
    assert cache_folder() == tmp_path / "elsewhere/kindred"


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("KINDRED_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert cache_folder() is None
    with pytest.raises(ModelError, match="no home folder to store models in: set KINDRED_HOME"):
        models_folder()
