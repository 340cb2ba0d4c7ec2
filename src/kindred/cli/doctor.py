"""`kindred doctor`: check the installation."""

from __future__ import annotations

import typer

from kindred.cli.options import DEFAULT_LIBRARY, AsJson, LibraryPlace
from kindred.cli.output import columns, counted, print_json, say

__all__ = ["doctor"]

MARKS = {"ok": "ok", "note": "note", "wrong": "WRONG"}


def doctor(*, library: LibraryPlace = DEFAULT_LIBRARY, as_json: AsJson = False) -> None:
    """Check the installation, the networks and the library.

    Each problem is listed with its remedy; the exit code is then 1.
    """
    from kindred.cli.checks import examine

    findings = list(examine(library))
    wrong, notes = (sum(finding.state == state for finding in findings) for state in ("wrong", "note"))
    if as_json:
        from kindred.service import FindingForm, HealthForm

        print_json(HealthForm(not wrong, tuple(FindingForm(each.state, each.what, each.detail) for each in findings)))
    else:
        say(columns([(MARKS[each.state], each.what, each.detail) for each in findings]))
        works = f"Everything works; {counted(notes, 'note')} above." if notes else "Everything works."
        say(f"{counted(wrong, 'problem')} found." if wrong else works, gap=True)
    if wrong:
        raise typer.Exit(1)
