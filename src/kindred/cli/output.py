"""Output of commands: text for people, JSON for programs. Nothing else in `kindred.cli` writes to a stream.

Everything printed is escaped by `kindred._support.printable`, since a file name, tag, date, recipe or error may contain
control characters or fake line breaks. `Clean` is text that has been escaped.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import typer

from kindred._support.printable import printable, printable_lines
from kindred._support.remote_path import remote_path
from kindred.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from kindred.service.form import Form
    from kindred.store import Place

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

EXAMPLES = 3  # files listed per reason without --verbose


class Clean(str):
    """Text that is safe to print: outside text is escaped, line breaks and styles are Kindred's own."""

    __slots__ = ()


class _Streams:
    """The output streams: Python's own (None), or copies of them while other libraries are silenced."""

    out: TextIO | None = None
    err: TextIO | None = None


def prepare_streams() -> None:
    """Escape characters that the encoding of the terminal lacks."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


@contextmanager
def libraries_silenced() -> Iterator[None]:
    """Suppress the output of other libraries, including C code, on standard output and standard error.

    A program that reads JSON then gets one document and Kindred's own errors. An unexpected exception still shows its
    traceback, since the streams are restored first.
    """
    try:
        sys.stdout.flush()
        copies = os.dup(1), os.dup(2)
    except (OSError, AttributeError):  # closed, so nothing can be printed
        yield
        return
    with ExitStack() as stack:
        out, err = (_opened(copy, like) for copy, like in zip(copies, (sys.stdout, sys.stderr), strict=True))
        for stream in (out, err):
            stack.callback(_closed, stream)
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
                    stream.flush()  # to /dev/null, not to the restored streams
            os.dup2(copies[0], 1)
            os.dup2(copies[1], 2)


def _closed(stream: TextIO) -> None:
    """Close a stream; what a closed pipe or a full disk did not take was noticed by `finish_output` or a print."""
    with suppress(OSError):
        stream.close()


def _opened(descriptor: int, like: TextIO) -> TextIO:
    return open(descriptor, "w", encoding=like.encoding, errors="backslashreplace")


def report_from_libraries() -> None:
    """Print Kindred's log records as one line each on standard error; hide the warnings of other packages."""
    import logging
    import warnings

    class _Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            note(f"kindred: {record.getMessage()}")

    logging.getLogger("kindred").addHandler(_Notes(logging.WARNING))
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def say(text: str = "", *, gap: bool = False) -> None:
    """Print one line on standard output, with `gap` after an empty line; `Clean` text may have several lines."""
    if gap:
        typer.echo("", file=_Streams.out)
    typer.echo(_clean(text), file=_Streams.out)


def say_lines(text: str) -> None:
    """Print text of several lines, such as a help text or a recipe."""
    typer.echo(printable_lines(text), file=_Streams.out)


def note(text: str) -> None:
    """Print one line on standard error, separate from the results."""
    typer.echo(_clean(text), file=_Streams.err, err=True)


def print_json(form: Form) -> None:
    """Print one JSON document. Names that are not UTF-8 contain lone surrogates, which Python's `json` can read."""
    # JSON escapes all control characters except DEL.
    typer.echo(json.dumps(form.to_json(), indent=2, allow_nan=False).replace("\x7f", "\\u007f"), file=_Streams.out)


def print_json_line(form: Form) -> None:
    """Print one JSON document on one line (JSON Lines)."""
    typer.echo(json.dumps(form.to_json(), allow_nan=False).replace("\x7f", "\\u007f"), file=_Streams.out)


def finish_output() -> None:
    """Flush the output, so that a full disk or a closed pipe is noticed here."""
    stream = _Streams.out or sys.stdout
    if stream is not None:
        stream.flush()


def abandon_output() -> None:
    """Discard buffered output after the pipe was closed; Python would otherwise report an error at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), (_Streams.out or sys.stdout).fileno())


def is_terminal() -> bool:
    """Return whether standard error is a terminal that can redraw a line."""
    stream = _Streams.err or sys.stderr
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def console() -> Console:
    """Return a rich console on standard error, for progress; its text must be escaped by `printable`."""
    from rich.console import Console

    return Console(file=_Streams.err, stderr=True, markup=False, emoji=False, highlight=False)


def _from_here(path: Place | str) -> str:
    """Return a path as text, relative if below the current folder; an address as it is."""
    with suppress(UsageError):  # an address that is never read
        if isinstance(path, Path) and (remote := remote_path(path)):
            return str(remote)
    if isinstance(path, Path | str):
        with suppress(ValueError, OSError):  # outside the current folder, or that no longer exists
            return str(Path(path).relative_to(Path.cwd()))
    return str(path)


def shown(path: Place | str) -> str:
    """Return a path for display, relative if below the current folder, with control characters escaped."""
    return printable(_from_here(path))


def typed(path: Place) -> str:
    """Return a path quoted for the shell."""
    text = _from_here(path)
    if text.startswith("-"):
        text = f"./{text}"
    if printable(text) == text:
        return shlex.quote(text)
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}" for byte in _bytes(text))
    return f"$'{''.join(plain)}'"


def bold(text: str) -> Clean:
    """Return a heading in bold; plain text in pipes and files."""
    return _styled(text, "\x1b[1m")


def dim(text: str) -> Clean:
    """Return dimmed text; plain in pipes and files."""
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
    """Format rows as aligned columns, those numbered in `right` right-aligned; empty columns are omitted.

    Lines are never truncated: a long path wraps and can still be copied.
    """
    from rich.cells import cell_len  # widths of e.g. Chinese characters

    cells = [[printable(cell) for cell in row] for row in rows]
    filled = [at for at in range(len(cells[0])) if any(row[at] for row in cells)] if cells else []
    titled = [list(heads), *cells] if heads else cells
    widths = {at: max(cell_len(row[at]) for row in titled) for at in filled}

    def line(row: Sequence[str]) -> str:
        padded = []
        for at in filled:
            gap = " " * (widths[at] - cell_len(row[at]))
            padded.append(gap + row[at] if at in right else row[at] + gap)
        return "  ".join(padded).rstrip()

    lines = [line(row) for row in titled]
    if heads and lines:
        lines[0] = bold(lines[0])
    return Clean("\n".join(lines))


def grouped(skipped: Sequence[tuple[Path, str]], *, verbose: bool = False, option: str = "--verbose") -> Clean:
    """List skipped files by reason, most frequent first; a few of each, or all with `verbose`.

    option: the one that lists all, for the line that says how many more there are.
    """
    by_reason: dict[str, list[Path]] = {}
    for path, reason in skipped:
        by_reason.setdefault(reason, []).append(path)
    rows: list[tuple[str, str]] = []
    for reason, paths in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
        named = paths if verbose or len(paths) <= EXAMPLES + 1 else paths[:EXAMPLES]
        lines = [shown(path) for path in named]
        if len(named) < len(paths):
            lines.append(f"… and {len(paths) - len(named):,} more ({option} lists all)")
        title = f"{reason} ({len(paths):,})" if len(paths) > 1 else reason
        rows += [(f"  {title}" if not at else "", line) for at, line in enumerate(lines)]
    return columns(rows)
