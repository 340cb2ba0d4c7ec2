"""Install Kindred into a fresh virtual environment and pass its checks: python3 scripts/check.py

Lint, types, generated documentation, tests. Needs Python 3.11 or newer and nothing else; this is all that CI runs.
With --keep, the environment of an earlier run is used again. Every step prints how long it took, and the tests the
slowest of them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = "dev,heic,jxl,maps,milvus,parquet,postgres,s3,serve,sift,train,verify"
CHECKS = {
    "lint": ["ruff", "check"],
    "format": ["ruff", "format", "--check"],
    "documentation": ["python", "scripts/make_docs.py", "--check"],
}
TYPES = ["mypy"]
# "worksteal" gives each process one stretch of the tests: what the tests of a file share is made once, not in each.
TESTS = ["pytest", "--numprocesses", "auto", "--dist", "worksteal", "--durations", "25"]


def main() -> int:
    """Install and check; the summary of the tests is the last line, unless something failed."""
    options = _options()
    if sys.version_info < (3, 11):  # noqa: UP036 - run by whatever python3 there is
        version = sys.version.split()[0]
        print(f"Kindred needs Python 3.11 or newer; this is {version} ({sys.executable})", file=sys.stderr)
        return 2
    if options.venv.exists() and not options.keep:
        shutil.rmtree(options.venv)
    steps = Steps(options.venv.absolute())
    if not steps.install():
        return 1
    passed = {title: steps.run(title, command) for title, command in CHECKS.items()}
    # mypy keeps one processor busy for more than a minute; the tests leave it some while they wait for other processes.
    with ThreadPoolExecutor(1) as pool:
        types = pool.submit(steps.run, "types", TYPES, beside=True)
        passed["tests"] = steps.run("tests", [*TESTS, *options.pytest])
        passed["types"] = types.result()
    if failed := [title for title, good in passed.items() if not good]:
        print(f"\n== failed: {', '.join(failed)}", flush=True)
    return 1 if failed else 0


class Steps:
    """Runs commands in a virtual environment, and prints how long they took."""

    def __init__(self, venv: Path) -> None:
        self.venv = venv
        self.programs = venv / ("Scripts" if os.name == "nt" else "bin")
        # Everything must come from the environment: a PYTHONPATH could hide a file that is missing from the package.
        # And bytecode is stored, or every process that a test starts compiles all that it imports.
        left_out = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")
        self.environment = {key: value for key, value in os.environ.items() if key not in left_out}
        self.environment["PATH"] = os.pathsep.join([str(self.programs), self.environment.get("PATH", "")])
        self.environment["VIRTUAL_ENV"] = str(venv)

    def install(self) -> bool:
        """Install the project with its extras; a module is compiled when it is first imported, which most never are."""
        if not self.programs.exists():
            subprocess.run([sys.executable, "-m", "venv", str(self.venv)], check=True)
        pip = ["python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile"]
        return self.run("install", [*pip, "-c", "constraints.txt", f".[{EXTRAS}]"])

    def run(self, title: str, command: list[str], *, beside: bool = False) -> bool:
        """Run a command and return whether it succeeded; `beside` another, its output is printed when it ends."""
        heading = f"\n== {title}: {' '.join(command)}"
        if not beside:
            print(heading, flush=True)
        program = shutil.which(command[0], path=self.environment["PATH"]) or command[0]
        started = time.monotonic()
        done = subprocess.run(
            [program, *command[1:]],
            cwd=ROOT,
            env=self.environment,
            check=False,
            stdout=subprocess.PIPE if beside else None,
            stderr=subprocess.STDOUT if beside else None,
            text=True,
        )
        if beside:
            print(f"{heading}\n{done.stdout}", end="", flush=True)
        if title != "tests":  # pytest prints its own time
            print(f"== {title} took {time.monotonic() - started:.0f} s", flush=True)
        return done.returncode == 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-check", help="the environment; made anew")
    parser.add_argument("--keep", action="store_true", help="keep the environment of an earlier run")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
