"""What the tests of the server speak of."""

from __future__ import annotations

from collections.abc import Callable

from fastapi.testclient import TestClient

COUNT = 12
"""Pictures in the fixture `library`, half of them in each of the folders "a" and "b"."""

ADDRESS = "http://127.0.0.1:7700"

MakeClient = Callable[..., TestClient]
