"""With --json a program reads one document, whatever libraries print, in Python or in C."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

NOISY = """
import os, sys, warnings, logging
import kindred.recipe as recipe
listed = recipe.list_recipes
def noisy():
    print("a library prints")
    print("a library complains", file=sys.stderr)
    os.write(1, b"a library in C prints\\n")
    os.write(2, b"a library in C complains\\n")
    warnings.warn("a library warns")
    logging.getLogger("kindred.index").warning("kindred\\x1b says")
    if FAIL:
        raise ZeroDivisionError("a mistake")
    return listed()
recipe.list_recipes = noisy
from kindred.cli import main
raise SystemExit(main())
"""


def noisy(*words: str, fail: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", NOISY.replace("FAIL", repr(fail)), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_standard_output_is_one_document_and_errors_are_kindreds() -> None:
    done = noisy("recipes", "--json")
    assert done.returncode == 0, done.stderr
    assert "kin" in [each["name"] for each in json.loads(done.stdout)["recipes"]]
    assert done.stderr == "kindred: kindred\\x1b says\n"


def test_a_bug_still_shows_its_traceback() -> None:
    done = noisy("recipes", "--json", fail=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.rstrip().endswith("ZeroDivisionError: a mistake")


@pytest.mark.parametrize("words", [("recipes", "--json", "--help"), ("search", "--json", "-h")])
def test_help_is_still_shown(words: tuple[str, ...]) -> None:
    assert "Usage: kindred " in noisy(*words).stdout
