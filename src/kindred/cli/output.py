"""How commands speak: text for people, JSON for programs, names that never garble a terminal."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import typer

__all__ = [
    "bold",
    "columns",
    "counted",
    "dim",
    "duration",
    "grouped",
    "note",
    "prepare_streams",
    "print_json",
    "say",
    "shown",
    "size",
    "typed",
]

EXAMPLES = 3  # files named of each kind, where not all are asked for


def prepare_streams() -> None:
    """Make printing safe: what a terminal's encoding lacks is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def say(text: str = "") -> None:
    """Print for a person, on standard output."""
    typer.echo(text)


def note(text: str) -> None:
    """Print for a person, on standard error, where it does not mix with the answer."""
    typer.echo(text, err=True)


def print_json(value: Mapping[str, object]) -> None:
    """Print one JSON document. Names that are not UTF-8 come out as lone surrogates, as Python's `json` reads them."""
    typer.echo(json.dumps(value, indent=2))


def shown(path: Path | str) -> str:
    """Return a path as people read it: from here where it lies below; control characters and the like as escapes."""
    text = str(path)
    with suppress(ValueError, OSError):  # it lies elsewhere, or the current folder is gone
        text = str(Path(path).relative_to(Path.cwd()))
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def typed(path: Path) -> str:
    """Return a path as it would be typed into a shell."""
    return shlex.quote(shown(path))


def bold(text: str) -> str:
    """Mark a heading; a pipe or a file gets plain text."""
    return text if "NO_COLOR" in os.environ else typer.style(text, bold=True)


def dim(text: str) -> str:
    """Mark what matters less; a pipe or a file gets plain text."""
    return text if "NO_COLOR" in os.environ else typer.style(text, dim=True)


def counted(number: int, noun: str) -> str:
    """Return "1 image", "1,000 images"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return "0.3 s", "45 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: float) -> str:
    """Return bytes as "512 bytes", "3.4 MB" (of 10⁶)."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.{0 if count >= 100 * step else 1}f} {unit}"
    return f"{count:.0f} bytes"


def columns(rows: Iterable[Sequence[str]], *, heads: Sequence[str] = (), right: Sequence[int] = ()) -> str:
    """Lay out rows in aligned columns, those numbered in `right` on the right; a column of nothing is left out.

    Lines are never cut: a path that is too long for the terminal wraps, and can still be copied.
    """
    from rich.cells import cell_len  # widths of e.g. Chinese characters

    cells = [list(row) for row in rows]
    kept = [at for at in range(len(cells[0])) if any(row[at] for row in cells)] if cells else []
    titled = [list(heads), *cells] if heads else cells
    widths = {at: max(cell_len(row[at]) for row in titled) for at in kept}

    def line(row: Sequence[str]) -> str:
        padded = []
        for at in kept:
            gap = " " * (widths[at] - cell_len(row[at]))
            padded.append(gap + row[at] if at in right else row[at] + gap)
        return "  ".join(padded).rstrip()

    lines = [line(row) for row in titled]
    if heads and lines:
        lines[0] = bold(lines[0])
    return "\n".join(lines)


def grouped(skipped: Sequence[tuple[Path, str]], *, verbose: bool) -> str:
    """List skipped files by reason, the most frequent first; a few of each, or all with `verbose`."""
    by_reason: dict[str, list[Path]] = {}
    for path, reason in skipped:
        by_reason.setdefault(reason, []).append(path)
    rows: list[tuple[str, str]] = []
    for reason, paths in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
        named = paths if verbose or len(paths) <= EXAMPLES + 1 else paths[:EXAMPLES]
        lines = [shown(path) for path in named]
        if len(named) < len(paths):
            lines.append(f"… and {len(paths) - len(named):,} more (--verbose lists all)")
        title = f"{reason} ({len(paths):,})" if len(paths) > 1 else reason
        rows += [(f"  {title}" if not at else "", line) for at, line in enumerate(lines)]
    return columns(rows)
