"""Exchanged data: rows of vectors with their images, and a record of how they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_COMPONENTS", "ExchangeRecord", "VectorRows"]

MOST_COMPONENTS = 65_536
"""Largest D of imported vectors."""


@dataclass(frozen=True, eq=False)
class VectorRows:
    """Rows of vectors; those of one image follow one another.

    ids: n public ids, "" if there is none. paths: n file names as text, as in the file system (bytes that are not UTF-8
    are lone surrogates). boxes: (n, 4) x0 y0 x1 y1 in pixels of the upright original; NaN if a row describes the whole
    image. words: (n,) int64, the visual word of each row, −1 if there is none. vectors: (n, D) float32.
    """

    ids: list[str]
    paths: list[str]
    boxes: NDArray[np.float32]
    words: NDArray[np.int64]
    vectors: NDArray[np.float32]

    def __len__(self) -> int:
        """Return n, the number of rows."""
        return len(self.paths)


@dataclass(frozen=True)
class ExchangeRecord:
    """How vectors were made: the recipe as TOML, the fingerprint of the describer, and the version of Kindred.

    provenance: `Describer.provenance` as JSON. All are "" for vectors that were not made by Kindred.
    """

    recipe: str = ""
    fingerprint: str = ""
    version: str = ""
    provenance: str = ""

    def to_json(self) -> str:
        """Return the record as one line of JSON."""
        return json.dumps({"kindred": asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the output of `to_json`; return an empty record for anything else (a file of another program)."""
        try:
            found = json.loads(text)
            fields = found["kindred"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return cls()
        if not isinstance(fields, Mapping) or not all(isinstance(value, str) for value in fields.values()):
            return cls()
        return cls(*(str(fields.get(name, "")) for name in ("recipe", "fingerprint", "version", "provenance")))
