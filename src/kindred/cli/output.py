"""How commands print: text for people, JSON for programs. Nothing else in `kindred.cli` writes to a stream.

Whatever is printed passes `kindred._support.printable`: a file name, a tag, a date, a recipe or an error may hold what
steers a terminal or pretends to be another line. `Clean` is text that has passed.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import typer

from kindred._support.printable import printable, printable_lines

if TYPE_CHECKING:
    from rich.console import Console

    from kindred.service.form import Form

__all__ = [
    "Clean",
    "abandon_output",
    "bold",
    "columns",
    "console",
    "counted",
    "dim",
    "duration",
    "finish_output",
    "grouped",
    "is_terminal",
    "libraries_silenced",
    "note",
    "prepare_streams",
    "print_json",
    "print_json_line",
    "report_from_libraries",
    "say",
    "say_lines",
    "shown",
    "size",
    "typed",
]

EXAMPLES = 3  # files named of each kind, where not all are asked for


class Clean(str):
    """Text that can be printed as it is: what came from outside is escaped, lines and styles are our own."""

    __slots__ = ()


class _Streams:
    """Where output goes: Python's own streams, or copies of them while those of libraries lead nowhere."""

    out: TextIO | None = None
    err: TextIO | None = None


def prepare_streams() -> None:
    """Make printing safe: what a terminal's encoding lacks is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


@contextmanager
def libraries_silenced() -> Iterator[None]:
    """Let nothing but this module write to standard output and standard error, whatever libraries print, in C too.

    A program that reads JSON gets one document, and the errors of Kindred, and no more. An unexpected exception still
    shows its traceback, as the streams are put back first.
    """
    try:
        sys.stdout.flush()
        copies = os.dup(1), os.dup(2)
    except (OSError, AttributeError):  # closed, so nothing can be printed anyway
        yield
        return
    out, err = (_opened(copy, like) for copy, like in zip(copies, (sys.stdout, sys.stderr), strict=True))
    with out, err:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        _Streams.out, _Streams.err = out, err
        try:
            yield
        finally:
            _Streams.out = _Streams.err = None
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    stream.flush()  # into nowhere, not into what is put back
            os.dup2(copies[0], 1)
            os.dup2(copies[1], 2)


def _opened(descriptor: int, like: TextIO) -> TextIO:
    return open(descriptor, "w", encoding=like.encoding, errors="backslashreplace")


def report_from_libraries() -> None:
    """Print what the package logs and warns of as one line each on standard error; of other packages say nothing."""
    import logging
    import warnings

    class _Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            note(f"kindred: {record.getMessage()}")

    logging.getLogger("kindred").addHandler(_Notes(logging.WARNING))
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def say(text: str = "", *, gap: bool = False) -> None:
    """Print one line for a person on standard output, after an empty one with `gap`; `Clean` text may be several."""
    if gap:
        typer.echo("", file=_Streams.out)
    typer.echo(_clean(text), file=_Streams.out)


def say_lines(text: str) -> None:
    """Print text whose lines are its own, as a page of help or a recipe has them."""
    typer.echo(printable_lines(text), file=_Streams.out)


def note(text: str) -> None:
    """Print one line for a person on standard error, where it does not mix with the answer."""
    typer.echo(_clean(text), file=_Streams.err, err=True)


def print_json(form: Form) -> None:
    """Print one JSON document. Names that are not UTF-8 come out as lone surrogates, as Python's `json` reads them."""
    # JSON escapes all that acts but DEL.
    typer.echo(json.dumps(form.to_json(), indent=2, allow_nan=False).replace("\x7f", "\\u007f"), file=_Streams.out)


def print_json_line(form: Form) -> None:
    """Print one JSON document on one line, as one of many (JSON Lines)."""
    typer.echo(json.dumps(form.to_json(), allow_nan=False).replace("\x7f", "\\u007f"), file=_Streams.out)


def finish_output() -> None:
    """Write out what waits to be written: a full disk or a reader that went away is noticed here."""
    stream = _Streams.out or sys.stdout
    if stream is not None:
        stream.flush()


def abandon_output() -> None:
    """Drop what waits to be written to a reader that went away: Python would complain when it closes the stream."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), (_Streams.out or sys.stdout).fileno())


def is_terminal() -> bool:
    """Return whether standard error is a terminal on which a line can be drawn again and again."""
    stream = _Streams.err or sys.stderr
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def console() -> Console:
    """Return a rich console on standard error, for progress; what it shows must be `printable`."""
    from rich.console import Console

    return Console(file=_Streams.err, stderr=True, markup=False, emoji=False, highlight=False)


def shown(path: Path | str) -> str:
    """Return a path as people read it: from here where it lies below; control characters and the like as escapes."""
    text = str(path)
    with suppress(ValueError, OSError):  # it lies elsewhere, or the current folder is gone
        text = str(Path(path).relative_to(Path.cwd()))
    return printable(text)


def typed(path: Path) -> str:
    """Return a path as it can be typed into a shell, whatever is in its name."""
    text = str(path)
    with suppress(ValueError, OSError):
        text = str(path.relative_to(Path.cwd()))
    if text.startswith("-"):
        text = f"./{text}"
    if printable(text) == text:
        return shlex.quote(text)
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}" for byte in _bytes(text))
    return f"$'{''.join(plain)}'"


def bold(text: str) -> Clean:
    """Mark a heading; a pipe or a file gets plain text."""
    return _styled(text, "\x1b[1m")


def dim(text: str) -> Clean:
    """Mark what matters less; a pipe or a file gets plain text."""
    return _styled(text, "\x1b[2m")


def _styled(text: str, code: str) -> Clean:
    clean = _clean(text)
    return clean if "NO_COLOR" in os.environ else Clean(f"{code}{clean}\x1b[0m")


def _clean(text: str) -> Clean:
    return text if isinstance(text, Clean) else Clean(printable(text))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogateescape")


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


def columns(rows: Iterable[Sequence[str]], *, heads: Sequence[str] = (), right: Sequence[int] = ()) -> Clean:
    """Lay out rows in aligned columns, those numbered in `right` on the right; a column of nothing is left out.

    Lines are never cut: a path that is too long for the terminal wraps, and can still be copied.
    """
    from rich.cells import cell_len  # widths of e.g. Chinese characters

    cells = [[printable(cell) for cell in row] for row in rows]
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
    return Clean("\n".join(lines))


def grouped(skipped: Sequence[tuple[Path, str]], *, verbose: bool) -> Clean:
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
