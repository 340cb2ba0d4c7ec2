"""Install Kindred here and see it work: python3 scripts/try.py [FOLDER] [IMAGE]

Makes a virtual environment in .venv, installs Kindred into it, indexes FOLDER (or a demo collection that Kindred
draws itself), searches with IMAGE (or a query of the demo's, or the first image of FOLDER), writes the results to
results.html, and names the command that opens the library in the browser; with --open it does that at once. Needs
Python 3.11 or newer and nothing else. Run it again as often as you like: what is done stays done.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEMO = Path("kindred-demo")


def main() -> int:
    """Install, index, search, show."""
    options = _options()
    if sys.version_info < (3, 11):  # noqa: UP036 - run by whatever python3 there is
        version = sys.version.split()[0]
        print(f"Kindred needs Python 3.11 or newer; this is {version} ({sys.executable})", file=sys.stderr)
        return 2
    if options.folder is not None and not options.folder.is_dir():
        print(f"{options.folder}: no such folder", file=sys.stderr)
        return 2
    try:
        kindred = _install(options.venv)
        _run([*kindred, "index", *_folder_and_library(options.folder)])
        image = options.image or _query(kindred, options.folder)
        library = _folder_and_library(options.folder)[1:]
        _run([*kindred, "search", str(image), *library, "--html", str(options.page)])
    except subprocess.CalledProcessError as error:
        return int(error.returncode)  # what went wrong was said by the command itself
    except KeyboardInterrupt:
        return 130
    print(f"\nSee the results: {options.page.resolve().as_uri()}")
    serve = [*kindred, "serve", *library, "--open"]
    if not options.open:
        print(f"Search, explore and tidy up the library in the browser: {shlex.join(serve)}")
        return 0
    try:
        _run(serve)
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    except KeyboardInterrupt:
        return 130
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="your images; left out: the demo's")
    parser.add_argument("image", nargs="?", type=Path, metavar="IMAGE", help="what to look for")
    parser.add_argument("--open", action="store_true", help="open the library in the browser at the end")
    parser.add_argument("--page", type=Path, default=Path("results.html"), help="where to write the results")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where to install")
    return parser.parse_args()


def _install(venv: Path) -> list[str]:
    """Return the command `kindred` of the environment, which is made and brought up to date."""
    programs = venv.absolute() / ("Scripts" if os.name == "nt" else "bin")
    if not (programs / _program("python")).exists():
        _run([sys.executable, "-m", "venv", str(venv)])
    print(f"Installing Kindred into {venv} (some 400 MB, a minute or two the first time) …", flush=True)
    pip = [str(programs / _program("python")), "-m", "pip", "--disable-pip-version-check"]
    _run([*pip, "install", "--quiet", "-c", str(ROOT / "constraints.txt"), f"{ROOT}[serve]"], show=False)
    return [str(programs / _program("kindred"))]


def _program(name: str) -> str:
    return f"{name}.exe" if os.name == "nt" else name


def _folder_and_library(folder: Path | None) -> list[str]:
    """Return the arguments of `index`. A folder of one's own gets a library of its own, apart from the demo's."""
    return [] if folder is None else [str(folder), "--library", f"{folder.resolve().name or 'images'}.kindred"]


def _query(kindred: list[str], folder: Path | None) -> Path:
    """Return the demo's query of the documentation, or the first image of a folder."""
    if folder is None:
        return DEMO / "queries" / "mug-guitar.jpg"
    # The first that can be used: index, run once more, changes nothing and names those that cannot.
    report = subprocess.run(
        [*kindred, "index", *_folder_and_library(folder), "--json"], check=True, capture_output=True, text=True
    )
    skipped = {each["path"] for each in json.loads(report.stdout)["skipped"]}
    endings = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".heic")
    for path in sorted(folder.absolute().rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder.absolute()).parts)
        if path.suffix.lower() in endings and path.is_file() and not hidden and str(path) not in skipped:
            return path
    print(f"{folder}: no image to look for", file=sys.stderr)
    raise subprocess.CalledProcessError(1, kindred)


def _run(command: list[str], *, show: bool = True) -> None:
    """Run a command, shown as one would type it."""
    if show:
        print(f"\n$ {shlex.join([Path(command[0]).name, *command[1:]])}", flush=True)
    subprocess.run(command, check=True)


if __name__ == "__main__":
    raise SystemExit(main())
