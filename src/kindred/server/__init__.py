"""The server: the HTTP API of a library, and the page that uses it (extra `serve`).

`create_app` makes the application; `kindred serve` runs it. Routes are thin: they read a request, call the library in
a bounded number of threads (`work`), and answer with a form of `kindred.service`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kindred._support.late import imported_late

if TYPE_CHECKING:
    from kindred.server.app import create_app
    from kindred.server.settings import ServerSettings
    from kindred.server.state import State

__all__ = ["ServerSettings", "State", "create_app"]

__getattr__ = imported_late(__name__, {"app": "create_app", "settings": "ServerSettings", "state": "State"})
