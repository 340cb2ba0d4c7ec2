"""All tests of indexes run with one thread of FAISS."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="session")
def _one_thread(one_faiss_thread: None) -> None: ...
