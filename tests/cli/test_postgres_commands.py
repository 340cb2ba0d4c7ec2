"""Every command that takes a library prints the same for one in a folder and one in PostgreSQL."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.main import get_group

from commands import COUNT, Kindred, Result
from kindred.cli.app import app
from kindred.cli.index import print_summary
from kindred.library import Library
from kindred.library.indexing import IndexReport
from kindred.store import STORES, Place, PostgresUrl
from lookalikes import photograph

pytest.importorskip("psycopg")

TRIED = {
    *("index", "search", "match", "duplicates", "map", "info", "tag", "untag", "remove", "move", "export", "import"),
    *("meta", "meta set", "meta unset", "meta import", "meta show", "doctor"),
}
OTHERS = {"serve", "verify", "build-index"}
"""Commands that other tests try."""


def commands_with_a_library() -> Iterator[str]:
    for name, command in get_group(app).commands.items():
        for path, each in ((f"{name} {sub}", found) for sub, found in getattr(command, "commands", {}).items()):
            if any("--library" in parameter.opts for parameter in each.params):
                yield path
        if any("--library" in parameter.opts for parameter in command.params):
            yield name


def test_every_command_that_takes_a_library_is_tried() -> None:
    assert set(commands_with_a_library()) - OTHERS == TRIED


class Said(NamedTuple):
    """What a command said, without what differs between two libraries of the same images."""

    code: int
    out: str
    err: str


@pytest.fixture
def said(kindred: Kindred) -> Callable[..., Said]:
    """Run a command on a library and return what it said, with public ids replaced by the paths of their images."""

    def run(place: Place, *words: object) -> Said:
        done = kindred(*words, "--library", place)
        names: dict[str, str] = {}
        try:
            with Library.open(place) as opened:
                rows = opened.store.images(range(1, 200))
                names = {row.uid: row.path.name for row in rows.values()}
        except Exception:
            names = {}
        return Said(done.code, *(_plain(text, names, place) for text in (done.out, done.err)))

    return run


def _plain(text: str, names: dict[str, str], place: Place) -> str:
    for uid, name in names.items():
        text = text.replace(uid, f"<{name}>")
    with_place = text.replace(str(place), "<LIBRARY>").replace(f"'{place}'", "<LIBRARY>")
    if isinstance(place, Path):
        with_place = re.sub(rf"(?<![\w/.]){re.escape(place.name)}(?![\w/])", "<LIBRARY>", with_place)
    with_place = with_place.replace("'<LIBRARY>'", "<LIBRARY>")
    with_place = with_place.replace("give its address", "give its folder")
    # Times, sizes on the disk, and the speed of a run.
    plain = re.sub(r'"(seconds|images_per_second|bytes|last_run|added_at)": [^,}\n]+', r'"\1": …', with_place)
    plain = re.sub(r"\d+(\.\d+)? (ms|s)\b", "… s", plain)
    plain = re.sub(r"(on disk|last run) +.*", r"\1 …", plain)
    # Sums of products differ in the last digit by where vectors lie in memory.
    plain = re.sub(r'(?<="score": )-?\d+\.\d+', lambda found: f"{float(found[0]):.3f}", plain)
    return re.sub(r", \d+ per second", "", plain)


def script(place: Place, said: Callable[..., Said], photos: Path, recipe: Path, out: Path) -> list[Said]:
    """Everything that one does with a library, one command after the other."""
    one, two = photos / "a" / "00000.jpg", photos / "b" / "00007.jpg"
    table = out / "facts.csv"
    table.write_text(f"path,price,maker\n{one},20,Leica\n{two},7.5,Nikon\nnone.jpg,1,x\n", encoding="utf-8")
    moved = photos.with_name("moved")
    vectors = out / "vectors.npz"
    done = [
        said(place, "info"),
        said(place, "index", photos, "--recipe", recipe),
        said(place, "index", photos, "--json"),
        said(place, "search", one, "--json"),
        said(place, "search", two, "-k", 3),
        said(place, "search", one, "--box", "10,10,90,90", "--json"),
        said(place, "search", one, "--rerank", "aqe", "--json"),
        said(place, "search", one, "--rerank", "diffusion", "--json"),
        said(place, "search", one, two, "--together", "--json"),
        said(place, "search", one, "--also", place, "--json"),
        said(place, "search", one, "--html", out / "page.html"),
        said(place, "match", photos / "b", "--json"),
        said(place, "duplicates", "--json"),
        said(place, "tag", "sea", photos / "a"),
        said(place, "tag", "sky", one, "none.jpg", "--json"),
        said(place, "untag", "sea", one),
        said(place, "search", one, "--tag", "sea", "--json"),
        said(place, "search", one, "--tag", "nothing"),
        said(place, "search", one, "--folder", photos / "b", "--json"),
        said(place, "meta", "set", "price=20", one, "--and", "bought=2024-05-31"),
        said(place, "meta", "set", "maker=Zeiss", two),
        said(place, "meta", "import", table),
        said(place, "meta", "--json"),
        said(place, "meta", "show", one, "--json"),
        said(place, "meta", "unset", "price", one),
        said(place, "search", one, "--where", "price<10", "--json"),
        said(place, "search", one, "--where", "price>a"),
        said(place, "map", "--method", "pca", "--output", out / "map.html", "--json"),
        said(place, "export", vectors, "--json"),
        said(place, "info", "--json"),
        said(place, "info"),
        said(place, "doctor", "--json"),
    ]
    photos.rename(moved)
    done += [
        said(place, "search", moved / "a" / "00001.jpg", "--json"),
        said(place, "doctor"),
        said(place, "move", photos, moved),
        said(place, "move", photos, moved),
        said(place, "remove", moved / "a" / "00001.jpg", "--json"),
        said(place, "index", moved, "--prune", "--json"),
        said(place, "search", moved / "a" / "00001.jpg", "--json"),
        said(place, "import", vectors, "--json"),
        said(place, "info"),
    ]
    moved.rename(photos)
    return done


def test_every_command_says_the_same_in_both_places(
    said: Callable[..., Said], photos: Path, recipe: Path, own_folder: Path, place_for: Callable[..., Place]
) -> None:
    own = Path(shutil.copytree(photos, own_folder / "photos"))
    (own / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    photograph(3).save(own / "b" / "copy1.jpg", quality=90)
    photograph(3).save(own / "b" / "copy2.jpg", quality=60)
    results: dict[str, list[Said]] = {}
    for kind in STORES:
        out = own_folder / "out"
        out.mkdir()
        results[kind] = script(place_for(kind, "shelf"), said, own, recipe, out)
        shutil.rmtree(out)
    assert [each.code for each in results["sqlite"]].count(0) > 25
    unlike = [(mine, theirs) for mine, theirs in zip(*results.values(), strict=True) if mine != theirs]
    assert unlike == []


def test_the_environment_may_name_the_library(
    kindred: Kindred, photos: Path, recipe: Path, place_for: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = place_for("postgres")
    assert isinstance(url, PostgresUrl)
    address = f"{url}".replace("kindred@", "kindred:s3cr3t@")
    monkeypatch.setenv("KINDRED_LIBRARY", address)
    done = kindred("index", photos, "--recipe", recipe)
    assert done.code == 0, done.err
    assert f"The library {url} contains {COUNT} images." in done.out
    assert "--library" not in done.out
    assert kindred("info", "--json").json["path"] == str(url)
    outputs: list[Result] = [done, kindred("info"), kindred("doctor"), kindred("search", "missing.jpg")]
    monkeypatch.setenv("KINDRED_LIBRARY", address.replace(f":{url.port}/", ":1/"))
    outputs += [kindred("info"), kindred("--help"), kindred("info", "--help")]
    assert outputs[4].code == 1
    assert "its server does not answer" in outputs[4].err
    for each in outputs[:-1]:
        assert "s3cr3t" not in each.out + each.err


@pytest.mark.parametrize("address", ["postgresql://h/d?options=x", "postgresql:/h/d", "postgresql://h"])
def test_a_wrong_address_is_one_line(kindred: Kindred, address: str, own_folder: Path) -> None:
    done = kindred("info", "--library", address)
    assert done.code == 2
    assert "postgresql://HOST/DATABASE?library=NAME" in done.err
    assert done.err.count("\n") == 1
    assert list(own_folder.iterdir()) == []


def test_processes_that_create_the_library_at_once_share_its_indexing(
    photos: Path, recipe: Path, place_for: Callable[[str], Place]
) -> None:
    command = [sys.executable, "-m", "kindred.cli", "index", str(photos), "--recipe", str(recipe)]
    place = place_for("postgres")
    runs = [
        subprocess.Popen(
            [*command, "--library", str(place), "--shared", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    outputs = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], outputs
    reports = [json.loads(out) for out, _ in outputs]
    assert sum(report["indexed"] for report in reports) == COUNT
    assert [report["found"] for report in reports] == [COUNT] * 3
    with Library.open(place) as library:
        assert len(library) == library.store.counts().vectors == COUNT


def test_a_shared_run_says_what_it_did_and_needs_a_server(
    kindred: Kindred, photos: Path, recipe: Path, place_for: Callable[..., Place]
) -> None:
    place, words = place_for("postgres"), ("index", photos, "--recipe", recipe, "--shared")
    done = kindred(*words, "--library", place)
    assert f"Indexed {COUNT} images" in done.out, done.err
    assert f"Nothing new: {COUNT} images had not changed" in kindred(*words, "--library", place).out
    refused = kindred(*words, "--library", place, "--force")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "force: each process of a shared run" in refused.err
    refused = kindred(*words, "--library", place_for("sqlite"))
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "expected a library on a server for a shared run" in refused.err


def test_a_process_of_a_shared_run_says_that_others_did_all(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Library.open(library) as opened:
        print_summary(IndexReport(found=COUNT, seconds=3.0), opened, [], prune="keep", verbose=False)
    assert capsys.readouterr().out.startswith(f"Other processes described all {COUNT} files (3.0 s).")


def test_a_library_is_copied_to_a_server_and_verified(
    kindred: Kindred, library: Path, place_for: Callable[[str], Place], photos: Path
) -> None:
    there = place_for("postgres")
    assert f"Copied {COUNT} images." in kindred("copy", library, there).out
    assert kindred("copy", library, there, "--json").json == {
        "copied": 0, "unchanged": COUNT, "removed": 0, "skipped": 0,
    }  # fmt: skip
    done = kindred("verify", "--library", there, "--with", library)
    assert (done.code, done.out.splitlines()[-1]) == (0, "Nothing is wrong.")
    kindred("tag", "sea", photos / "a" / "00000.jpg", "--library", there)
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    try:
        assert kindred("index", photos, "--library", library).code == 0
    finally:
        (photos / "broken.jpg").unlink()  # other tests use the folder
    done = kindred("verify", "--library", there, "--with", library)
    assert f"The other library has {COUNT} images and 1 skipped file." in done.out
    assert "and 1 skipped file in the other library." in done.out
    assert done.out.splitlines()[-1] == "Something is wrong: copy again; if it is still wrong, copy to a new place."
    done = kindred("verify", "--library", there, "--with", library, "--json")
    assert done.code == 1
    assert '"sound": false' in done.out
