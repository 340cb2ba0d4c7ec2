"""The folders that may be indexed through a server: those of the command line, and those of the library itself."""

from __future__ import annotations

from pathlib import Path

from kindred._support.files import is_folder
from kindred._support.remote_path import RemotePath
from kindred.images.remote import is_allowed
from kindred.library import located
from kindred.server.problems import Problem
from kindred.server.state import State
from kindred.service.facts import folder_id

__all__ = ["allowed_folders", "chosen_folders"]


def allowed_folders(here: State) -> tuple[Path, ...]:
    """Return the folders that clients may name by id: `--folder` and the indexed folders, ordered by path."""
    given = [located(folder) for folder in here.settings.folders]
    roots = [root.path for root in here.library.store.roots()]
    return tuple(sorted(set(given + roots)))


def chosen_folders(here: State, folder: str | None) -> list[Path]:
    """Return the folder with this id, or for None all that exist; raises a problem for an unknown or missing one."""
    allowed = allowed_folders(here)
    if folder is None:
        found = [each for each in allowed if _obstacle(each) is None]
        if not found:
            why = "is there" if allowed else "may be indexed"
            raise Problem(409, f"no folder {why}", hint="start the server with kindred serve --folder DIR")
        return found
    named = next((each for each in allowed if folder_id(each) == folder), None)
    if named is None:
        raise Problem(404, "no such folder", hint="allow one with kindred serve --folder DIR")
    if obstacle := _obstacle(named):
        raise Problem(409, f"the folder {named.name!r} {obstacle[0]}", hint=obstacle[1])
    return [named]


def _obstacle(folder: Path) -> tuple[str, str] | None:
    """Return why a folder cannot be indexed and what to do about it, or None; a library may name any address."""
    if isinstance(folder, RemotePath):
        if is_allowed(folder):
            return None
        return "is remote, and reading it was not allowed", "start the server with kindred --remote ADDRESS serve"
    return None if is_folder(folder) else ("does not exist", "check whether its drive is connected")
