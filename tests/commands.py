"""What the tests of the command line speak of: a command's result, and the function that runs one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

COUNT = 12
"""Pictures in the fixture `photos`, half of them in each of the folders "a" and "b"."""


class Result(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON document on standard output, of a command that succeeded."""
        assert self.code == 0, self.err
        found: dict[str, Any] = json.loads(self.out)
        return found


Kindred = Callable[..., Result]
