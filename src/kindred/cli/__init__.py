"""The command line: one module per command. It parses arguments, calls the library and prints the result."""

from __future__ import annotations

__all__ = ["main"]


def main() -> int:
    """Run the command given in `sys.argv`; return its exit code: 0 done, 1 failed, 2 wrong usage, 128 + a signal."""
    import _signal as signal  # type: ignore[import-not-found]  # `signal` itself takes milliseconds to import

    # During the imports, Ctrl-C ends the process at once: there is nothing to save, and no traceback is shown.
    loading = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if loading:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    import os
    import sys

    from kindred.cli.loading import limit_threads, modules_loading

    limit_threads(sys.argv[1:], os.environ)  # before NumPy is imported
    with modules_loading():
        from kindred.cli.app import run
        from kindred.cli.output import note, report_from_libraries
        from kindred.cli.signals import exit_code, interrupts

    report_from_libraries()
    try:
        with interrupts(ctrl_c=loading):
            return run(sys.argv[1:], alone=True)
    except KeyboardInterrupt:  # before the command started or after it ended
        note("kindred: stopped")
        return exit_code()
