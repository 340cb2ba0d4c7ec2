from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import kindred as package
from commands import Kindred
from kindred.cli.running import finish, interruptible
from kindred.errors import KindredError, LibraryLocked, MissingExtra, UsageError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KindredError("it failed"), 1, "kindred: it failed\n"),
        (LibraryLocked("two\n  lines"), 1, "kindred: two lines\n"),
        (UsageError("not so"), 2, "kindred: not so\n"),
        (
            MissingExtra("distillation", "train"),
            1,
            "kindred: distillation needs optional packages: pip install torch onnx safetensors\n",
        ),
        (PermissionError(13, "Permission denied", "x.npz"), 1, "kindred: x.npz: permission denied\n"),
        (KeyboardInterrupt(), 130, "kindred: stopped\n"),
    ],
)
def test_each_error_is_one_line_and_a_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def app(**_: object) -> None:
        raise error

    assert finish(app, []) == code
    assert capsys.readouterr() == ("", line)


def test_a_bug_shows_its_traceback() -> None:
    def app(**_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        finish(app, [])


def test_ctrl_c_reports_what_was_saved(capsys: pytest.CaptureFixture[str]) -> None:
    def app(**_: object) -> None:
        with interruptible("nothing is lost"):
            raise KeyboardInterrupt

    assert finish(app, []) == 130
    assert capsys.readouterr().err == "kindred: stopped; nothing is lost\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["serch"], "kindred: no such command 'serch'. Did you mean 'search', 'serve'? See kindred --help\n"),
        (
            ["search", "--nope"],
            "kindred: no such option: --nope (Possible options: --crop, --no-copies, --not); "
            "see kindred search --help\n",
        ),
        (["info", "--library"], "kindred: option '--library' requires an argument; see kindred --help\n"),
        (["models", "nope"], "kindred: no such command 'nope'; see kindred models --help\n"),
        (["tag", "sea"], "kindred: missing argument 'IMAGE...'; see kindred tag --help\n"),
    ],
)
def test_unknown_arguments_are_one_line(kindred: Kindred, words: list[str], line: str) -> None:
    assert kindred(*words) == (2, "", line)


def test_help_and_version_succeed(kindred: Kindred) -> None:
    assert kindred("--version") == (0, f"kindred {package.__version__}\n", "")
    bare, asked = kindred(), kindred("--help")
    assert (bare.code, asked.code) == (0, 0)
    assert bare.out == asked.out
    assert "Getting started: kindred index FOLDER" in bare.out


def test_main_uses_the_arguments_of_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kindred.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"kindred {package.__version__}\n"


def test_a_missing_library_is_reported_before_anything_heavy_is_loaded(own_folder: Path) -> None:
    program = (
        "import sys; from kindred.cli.app import run; code = run(['search', 'photo.jpg', '--library', 'nowhere']); "
        "print(code, sorted({'kindred.library', 'kindred.describer', 'PIL', 'openvino', 'sqlite3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1 []\n"
    reason = "no library found; create one with kindred index, or give its folder with --library"
    assert done.stderr == f"kindred: {own_folder / 'nowhere'}: {reason}\n"


def test_a_closed_pipe_is_not_an_error(own_folder: Path) -> None:
    # Through a shell, as a pipe whose other end is closed at once; the command must fail without a word.
    errors = own_folder / "errors"
    command = f"{sys.executable} -W error -m kindred.cli recipes --json 2>{errors} | true"
    subprocess.run(["bash", "-c", command], check=True, cwd=ROOT)
    assert errors.read_text() == ""


def test_a_pipe_closed_after_the_first_of_many_lines_is_not_an_error(library: Path, photos: Path) -> None:
    errors = library.parent / "errors"
    images = " ".join(str(path) for path in sorted(path for path in photos.rglob("*") if path.is_file()) * 20)
    command = f"{sys.executable} -W error -m kindred.cli search {images} --json 2>{errors} | head -1"
    done = subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True)
    assert done.stdout.count("\n") == 1
    assert errors.read_text() == ""


def test_a_full_disk_and_a_closed_output_do_not_crash(own_folder: Path) -> None:
    errors = own_folder / "errors"
    command = f"{sys.executable} -W error -m kindred.cli recipes 2>{errors}"
    closed = subprocess.run(["bash", "-c", f"{command} >&-"], check=False, cwd=ROOT)
    assert (closed.returncode, errors.read_text()) == (0, "")
    if Path("/dev/full").exists():
        full = subprocess.run(["bash", "-c", f"{command} >/dev/full"], check=False, cwd=ROOT)
        assert (full.returncode, errors.read_text()) == (1, "kindred: the disk is full\n")
