"""The command line: one file for each verb. It parses, calls the library and prints; there is no logic here."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command that was typed; return the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    try:
        from kindred.cli.app import run

        return run(sys.argv[1:])
    except KeyboardInterrupt:  # while Python was still loading, or while it was going home
        print("\nkindred: stopped", file=sys.stderr)
        return 130
