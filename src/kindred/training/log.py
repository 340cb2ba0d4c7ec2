"""`log.csv`: the measurements of a run, one value per row, for reading, plotting and the report."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from kindred._support.files import replacing
from kindred._support.os_errors import explain_os_error
from kindred.errors import TrainingError
from kindred.training.run_folder import check_file

__all__ = ["Log", "LogRow", "read_log"]

COLUMNS = ("step", "epoch", "seconds", "part", "name", "value")
MAX_BYTES = 2**28  # six million rows


class LogRow(NamedTuple):
    """One row of a log: the `value` of `name` after `step` updates of the run.

    epoch: complete epochs, with the fraction of the current one. seconds: of training so far. part: "training",
    "validation" or "plan".
    """

    step: int
    epoch: float
    seconds: float
    part: str
    name: str
    value: float


class Log:
    """The log of a run.

    A run that resumes at `step` drops the rows of later updates, and those of a plan made at that step. Raises
    TrainingError if the file cannot be written, or the rows to continue cannot be read.
    """

    def __init__(self, file: Path, *, step: int) -> None:
        self._file = file
        stored = read_log(file) if step and (file.exists() or file.is_symlink()) else []
        with self._write_errors(), replacing(file) as part:
            self._append(part, [COLUMNS, *map(_texts, (row for row in stored if _is_before(row, step)))])

    def write(self, step: int, epoch: float, seconds: float, part: str, values: Mapping[str, float]) -> None:
        """Add a row for each of `values`."""
        rows = [_texts(LogRow(step, epoch, seconds, part, name, value)) for name, value in values.items()]
        with self._write_errors():
            self._append(self._file, rows)

    @staticmethod
    def _append(file: Path, rows: Sequence[Sequence[str]]) -> None:
        with file.open("a", newline="", encoding="utf-8") as stored:
            csv.writer(stored).writerows(rows)

    @contextmanager
    def _write_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"{self._file}: the log cannot be written ({explain_os_error(error, self._file)}); the checkpoint is "
                "intact; free some disk space and run the same command again"
            ) from error


def _is_before(row: LogRow, step: int) -> bool:
    """Return whether a row is in the past of a run that resumes after `step` updates; plans are for later updates."""
    return row.step < step or (row.step == step and row.part != "plan")


def _texts(row: LogRow) -> tuple[str, ...]:
    return (str(row.step), f"{row.epoch:.3f}", f"{row.seconds:.1f}", row.part, row.name, f"{row.value:.5f}")


def read_log(file: Path) -> list[LogRow]:
    """Read a log; an incomplete last row is left out. Raises TrainingError for a file that is not a log."""
    check_file(file, max_bytes=MAX_BYTES)
    whole, _, _ = file.read_bytes().rpartition(b"\n")
    try:
        rows = list(csv.reader(whole.decode("utf-8").splitlines()))
        return [LogRow(int(row[0]), float(row[1]), float(row[2]), row[3], row[4], float(row[5])) for row in rows[1:]]
    except (ValueError, IndexError, csv.Error) as error:
        raise TrainingError(f"{file}: not the log of a run ({error}); remove it") from error
