"""The client of a server of Kindred, for programs: the verbs of `Library`, over HTTP (extra `serve`).

>>> from kindred import Client
>>> with Client("http://127.0.0.1:7700") as library:  # doctest: +SKIP
...     for hit in library.search("castle.jpg", k=5):
...         print(hit.rank, hit.score, hit.path)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kindred._support.late import imported_late

if TYPE_CHECKING:
    from kindred.client.client import Client
    from kindred.client.connection import Connection

__all__ = ["Client", "Connection"]

__getattr__ = imported_late(__name__, {"client": "Client", "connection": "Connection"})
