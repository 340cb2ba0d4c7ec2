"""Where the line of a table of results is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kindred.cli.output import Clean
from kindred.cli.rating import BELOW, with_line
from kindred.library import Hit, Results


@pytest.mark.parametrize(
    ("probabilities", "line"),
    [((0.9, 0.4, 0.2), 2), ((0.14, 0.72, 0.1), 3), ((0.2, 0.1), None), ((0.3, 0.8), None), ((None, None), None)],
)
def test_the_line_is_below_the_last_probable_result(probabilities: tuple[float | None, ...], line: int | None) -> None:
    hits = tuple(
        Hit(rank, Path(f"{rank}.jpg"), 1.0 / rank, probability=each) for rank, each in enumerate(probabilities, 1)
    )
    ids = np.arange(len(hits))
    results = Results(hits, ids, np.ones(len(hits), np.float32), 0.0)
    lines = with_line(Clean("\n".join(["head", *(hit.path.name for hit in hits)])), results).split("\n")
    assert [at for at, text in enumerate(lines) if BELOW in text] == ([] if line is None else [line])
