"""Signals as a shell sends them: one line, an exit code, nothing lost, and no traceback at any time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kindred.cli.signals import exit_code
from kindred.library import Library
from pictures import make_folder

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")

# The program sends the signal to itself: at an exact point, on a machine of any speed.
AFTER_SOME_IMAGES = """
import os, sys
import kindred.library.storing as storing
from kindred.cli import main
from kindred.cli.progress import Meter
storing.COMMIT_IMAGES, storing.COMMIT_SECONDS = 10**9, 1e9  # nothing is committed but by the signal
update = Meter.update
def updated(meter, done, total, *, aside=""):
    update(meter, done, total, aside=aside)
    if done >= 5:
        for _ in range(TIMES):
            os.kill(os.getpid(), NUMBER)
Meter.update = updated
raise SystemExit(main())
"""
AT_AN_IMPORT = """
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == MODULE:
            os.kill(os.getpid(), NUMBER)
sys.meta_path.insert(0, Finder())
from kindred.cli import main
raise SystemExit(main())
"""
AT_THE_END = """
import os, sys, threading
from kindred.cli import main
code = main()
os.kill(os.getpid(), NUMBER)
raise SystemExit(code)
"""


WITHIN_C = """
import os
import kindred.library.library
from kindred.cli import main
def fails(*arguments, **options):  # as the import of an extension in C does with an exception of another kind
    try:
        os.kill(os.getpid(), NUMBER)
    except KeyboardInterrupt:
        raise ERROR("initialization failed") from None
kindred.library.library.Library.open = fails
raise SystemExit(main())
"""
IN_A_DESTRUCTOR = """
import os, time
from kindred.cli import main
import kindred.library.library
class Ends:
    def __del__(self):
        os.kill(os.getpid(), NUMBER)
        for _ in range(1000):
            pass
def waits(*arguments, **options):
    Ends()
    time.sleep(60)
kindred.library.library.Library.open = waits
raise SystemExit(main())
"""


@pytest.fixture
def library(recipe: Path, own_folder: Path) -> Path:
    """An empty library: a command that does not find its library ends before it opens it."""
    Library.create(own_folder / "library", recipe=recipe).close()
    return own_folder / "library"


def python(program: str, *words: object, **values: object) -> subprocess.CompletedProcess[str]:
    for name, value in values.items():
        program = program.replace(name, repr(value))

    def defaults() -> None:  # a test run in the background of a script ignores SIGINT
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    command = [sys.executable, "-c", program, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=defaults)


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["INT", "TERM", "HUP"]
)
def test_what_was_described_is_committed(
    number: signal.Signals, code: int, times: int, recipe: Path, own_folder: Path
) -> None:
    make_folder(own_folder / "photos", 8)
    library = own_folder / "library"
    words = ("index", own_folder / "photos", "--library", library, "--recipe", recipe)
    done = python(AFTER_SOME_IMAGES, *words, NUMBER=int(number), TIMES=times)
    assert done.stderr.splitlines()[-1:] == [
        "kindred: stopped; the images indexed so far are saved: run the same command again to continue"
    ], done.stderr
    assert "Traceback" not in done.stderr
    assert (done.returncode, done.stdout) == (code, "")
    with Library.open(library) as opened:
        assert len(opened) >= 5


@pytest.mark.parametrize("module", ["kindred.cli.app", "typer", "kindred.cli.doctor", "kindred.cli.checks"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["INT", "TERM", "HUP"])
def test_no_traceback_while_it_loads(number: signal.Signals, module: str) -> None:
    done = python(AT_AN_IMPORT, "doctor", NUMBER=int(number), MODULE=module)
    assert done.stdout == ""
    assert done.stderr in ("", "kindred: stopped\n")
    assert done.returncode in (-number, 128 + number)


@pytest.mark.parametrize("error", ["ImportError", "SystemError", "RuntimeError"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"])
def test_an_interrupt_that_becomes_another_error_in_c_is_one_line(
    number: int, code: int, error: str, library: Path
) -> None:
    done = python(WITHIN_C.replace("ERROR", error), "info", "--library", library, NUMBER=int(number))
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "kindred: stopped\n")
    words = ("match", ROOT / "tests", "--library", library)
    done = python(WITHIN_C.replace("ERROR", error), *words, NUMBER=int(number))
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "kindred: stopped\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)], ids=["INT", "HUP"])
def test_an_interrupt_in_a_destructor_is_not_lost(number: int, code: int, library: Path) -> None:
    done = python(IN_A_DESTRUCTOR, "info", "--library", library, NUMBER=int(number))
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "kindred: stopped\n")


def test_ctrl_c_after_the_end_shows_nothing() -> None:
    done = python(AT_THE_END, "--version", NUMBER=int(signal.SIGINT))
    assert done.stderr == ""
    assert done.returncode == -signal.SIGINT


def test_signals_ignored_from_the_start_stay_ignored() -> None:
    program = "import os, signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + AT_AN_IMPORT
    done = python(program, "recipes", NUMBER=int(signal.SIGHUP), MODULE="kindred.recipe")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("name ")


def test_without_a_signal_the_code_is_that_of_ctrl_c() -> None:
    assert exit_code() == 130
