"""Install Kindred into a fresh virtual environment and pass its checks: python3 scripts/check.py

Lint, types, generated documentation, tests. Needs Python 3.11 or newer and nothing else; this is all that CI runs.
With --keep, the environment of an earlier run is used again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = "dev,heic,jxl,maps,milvus,parquet,postgres,s3,serve,train,verify"
CHECKS = {
    "lint": ["ruff", "check"],
    "format": ["ruff", "format", "--check"],
    "types": ["mypy"],
    "documentation": ["python", "scripts/make_docs.py", "--check"],
}


def main() -> int:
    """Install and check; the tests come last, so that their summary is the last line."""
    options = _options()
    if sys.version_info < (3, 11):  # noqa: UP036 - run by whatever python3 there is
        version = sys.version.split()[0]
        print(f"Kindred needs Python 3.11 or newer; this is {version} ({sys.executable})", file=sys.stderr)
        return 2
    venv: Path = options.venv.absolute()
    if venv.exists() and not options.keep:
        shutil.rmtree(venv)
    programs = venv / ("Scripts" if os.name == "nt" else "bin")
    # Everything must come from the environment: a PYTHONPATH could hide a file that is missing from the package.
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    environment["PATH"] = os.pathsep.join([str(programs), environment.get("PATH", "")])
    environment["VIRTUAL_ENV"] = str(venv)

    def run(title: str, command: list[str]) -> bool:
        print(f"\n== {title}: {' '.join(command)}", flush=True)
        program = shutil.which(command[0], path=environment["PATH"]) or command[0]
        return subprocess.run([program, *command[1:]], cwd=ROOT, env=environment, check=False).returncode == 0

    if not programs.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = ["python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if not run("install", [*pip, "-c", "constraints.txt", f".[{EXTRAS}]"]):
        return 1
    failed = [title for title, command in CHECKS.items() if not run(title, command)]
    if failed:
        print(f"\n== failed before the tests: {', '.join(failed)}", flush=True)
    passed = run("tests", ["pytest", "--numprocesses", "auto", *options.pytest])
    return 0 if passed and not failed else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-check", help="the environment; made anew")
    parser.add_argument("--keep", action="store_true", help="keep the environment of an earlier run")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
