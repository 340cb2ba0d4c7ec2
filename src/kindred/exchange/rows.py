"""What is exchanged: rows of vectors with the images they belong to, and a record of how they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_COMPONENTS", "ExchangeRecord", "VectorRows"]

MOST_COMPONENTS = 65_536
"""D of a vector from outside, at most."""


@dataclass(frozen=True, eq=False)
class VectorRows:
    """Rows of vectors, those of one image together.

    ids: n public ids, "" where there is none. paths: n file names as text, as the file system has them (a byte that is
    no UTF-8 is a lone surrogate). boxes: (n, 4) x0 y0 x1 y1 in pixels of the upright original; NaN where a row
    describes the whole image. words: (n,) int64, the visual word of each row; −1 where there is none. vectors: (n, D)
    float32.
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
    """How vectors were made: the recipe as TOML, what they depend on (`Describer.fingerprint`), by which Kindred.

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
        """Read what `to_json` wrote; an empty record for anything else, as the file is then another program's."""
        try:
            found = json.loads(text)
            fields = found["kindred"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return cls()
        if not isinstance(fields, Mapping) or not all(isinstance(value, str) for value in fields.values()):
            return cls()
        return cls(*(str(fields.get(name, "")) for name in ("recipe", "fingerprint", "version", "provenance")))
