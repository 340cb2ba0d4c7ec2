"""The folders of a user's models and of the cache of compiled graphs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from kindred.errors import ModelError

__all__ = ["cache_folder", "models_folder"]


def models_folder() -> Path:
    """Return the folder of the models that the user added, which may not exist yet.

    `$KINDRED_HOME/models` if that variable is set, else the platform's data folder (on Linux
    `~/.local/share/kindred/models`). Raise ModelError if the user has no home folder.
    """
    folder = _folder("XDG_DATA_HOME", ".local/share", "Library/Application Support")
    if folder is None:
        raise ModelError("no home folder to store models in: set KINDRED_HOME to a folder")
    return folder / "models"


def cache_folder() -> Path | None:
    """Return the folder of caches, which may be deleted at any time; None if the user has no home folder.

    `$KINDRED_HOME/cache` if that variable is set, else the platform's cache folder (on Linux
    `~/.cache/kindred`).
    """
    if os.environ.get("KINDRED_HOME"):
        return Path(os.environ["KINDRED_HOME"]).expanduser() / "cache"
    folder = _folder("XDG_CACHE_HOME", ".cache", "Library/Caches")
    return folder / "cache" if folder is not None and sys.platform == "win32" else folder


def _folder(variable: str, linux: str, mac: str) -> Path | None:
    if os.environ.get("KINDRED_HOME"):
        return Path(os.environ["KINDRED_HOME"]).expanduser()
    try:
        home = Path.home()
    except RuntimeError:  # a container user without an entry in the password file
        return None
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData/Local") / "kindred"
    if sys.platform == "darwin":
        return home / mac / "kindred"
    return Path(os.environ.get(variable) or home / linux) / "kindred"
