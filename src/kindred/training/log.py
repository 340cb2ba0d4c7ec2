"""`log.csv`: what a run measured, one figure a row, for a person, a plot or a report."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from kindred._support.files import replacing
from kindred._support.os_errors import explain_os_error
from kindred.errors import TrainingError

__all__ = ["Figure", "Log", "read_log"]

HEADS = ("step", "epoch", "seconds", "part", "name", "value")


class Figure(NamedTuple):
    """One row of a log: after `step` updates and so many epochs (a fraction within one), `value` of `name`.

    `part` is "training", "validation" or "plan".
    """

    step: int
    epoch: float
    seconds: float
    part: str
    name: str
    value: float


class Log:
    """The log of a run. A run that goes on from a checkpoint cuts what came after its step, and the plan that it had.

    Raises TrainingError where it cannot be written.
    """

    def __init__(self, file: Path, *, step: int) -> None:
        self._file = file
        before = read_log(file) if step and file.exists() else []
        with self._no_room(), replacing(file) as part:
            self._append(part, [HEADS, *map(_texts, (row for row in before if _came_before(row, step)))])

    def write(self, step: int, epoch: float, seconds: float, part: str, figures: Mapping[str, float]) -> None:
        """Add a row for each of `figures`."""
        rows = [_texts(Figure(step, epoch, seconds, part, name, value)) for name, value in figures.items()]
        with self._no_room():
            self._append(self._file, rows)

    @staticmethod
    def _append(file: Path, rows: Sequence[Sequence[str]]) -> None:
        with file.open("a", newline="", encoding="utf-8") as stored:
            csv.writer(stored).writerows(rows)

    @contextmanager
    def _no_room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"{self._file}: the log cannot be written ({explain_os_error(error, self._file)}); "
                "the checkpoint is whole, make room and go on"
            ) from error


def _came_before(row: Figure, step: int) -> bool:
    """Return whether a run that goes on after `step` updates has the row behind it: a plan is for updates to come."""
    return row.step < step or (row.step == step and row.part != "plan")


def _texts(row: Figure) -> tuple[str, ...]:
    return (str(row.step), f"{row.epoch:.3f}", f"{row.seconds:.1f}", row.part, row.name, f"{row.value:.5f}")


def read_log(file: Path) -> list[Figure]:
    """Read a log; a last row that a kill cut short is left out. Raises TrainingError for a file that is none."""
    whole, _, _ = file.read_bytes().rpartition(b"\n")
    try:
        rows = list(csv.reader(whole.decode("utf-8").splitlines()))
        return [Figure(int(row[0]), float(row[1]), float(row[2]), row[3], row[4], float(row[5])) for row in rows[1:]]
    except (ValueError, IndexError, csv.Error) as error:
        raise TrainingError(f"{file}: not a log of a training ({error}); remove it") from error
