"""Where a server stores what it can make again, such as thumbnails: in the library, or in a temporary folder."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from kindred.server.state import State

__all__ = ["Caches", "is_writable"]


class Caches:
    """The folder of a server's caches: that of the library, unless nothing may be written there or nothing can be.

    folder: where files are stored. others: folders from which they are read too, such as those of a read-only library.
    The temporary folder is removed at the end.
    """

    def __init__(self, state: State) -> None:
        library = state.library.path
        self._temporary: Path | None = None
        if state.settings.read_only or not is_writable(library):
            self._temporary = Path(tempfile.mkdtemp(prefix="kindred-cache-"))
            state.library.rerank_cache.store_no_more()
        self.folder = library if self._temporary is None else self._temporary
        self.others = () if self._temporary is None else (library,)

    def close(self) -> None:
        """Remove the temporary folder, if there is one."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)


def is_writable(folder: Path) -> bool:
    """Return whether files can be made in a folder, itself made if need be: tried, as permissions do not tell all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
