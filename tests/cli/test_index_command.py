from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from commands import COUNT, Kindred
from kindred.library import DEFAULT_LIBRARY, Library
from kindred.library.indexing import IndexProgress
from kindred.library.pruning import Prune
from kindred_demo import DemoCollection, render_demo
from pictures import make_folder, save_picture

KEYS = [
    *("found", "indexed", "unchanged", "moved", "missing", "removed", "held", "left_out", "skipped", "notes"),
    *("seconds", "images_per_second"),
]


def test_json_has_exactly_the_promised_keys(kindred: Kindred, photos: Path, recipe: Path) -> None:
    report = kindred("index", photos, "--recipe", recipe, "--json").json
    assert list(report) == KEYS
    assert (report["found"], report["indexed"], report["unchanged"], report["removed"]) == (COUNT, COUNT, 0, 0)
    assert report["skipped"] == []
    assert report["images_per_second"] == pytest.approx(COUNT / report["seconds"], rel=0.05)


def test_a_library_stores_its_recipe_and_a_second_run_describes_nothing(
    kindred: Kindred, photos: Path, recipe: Path
) -> None:
    first = kindred("index", photos, "--recipe", recipe)
    assert first.code == 0
    assert f"Indexed {COUNT} images" in first.out
    assert f"The library .kindred contains {COUNT} images." in first.out
    assert first.out.endswith("\nNext: kindred search IMAGE\n")
    second = kindred("index", photos)
    assert second.out.startswith(f"Nothing new: {COUNT} images had not changed (")
    assert "Next:" not in second.out


def test_unusable_files_are_listed_by_reason_and_do_not_stop_the_run(
    kindred: Kindred, recipe: Path, own_folder: Path
) -> None:
    folder = own_folder / "mixed"
    make_folder(folder, 2)
    for number in range(6):
        (folder / f"empty{number}.jpg").touch()
    (folder / "text.png").write_text("no picture")
    shown = kindred("index", folder, "--recipe", recipe)
    assert shown.code == 0
    listed = shown.out[shown.out.index("Skipped") :].splitlines()
    assert [line.split() for line in listed[:6]] == [
        ["Skipped", "7", "files:"],
        ["empty", "file", "(6)", "mixed/empty0.jpg"],
        ["mixed/empty1.jpg"],
        ["mixed/empty2.jpg"],
        ["…", "and", "3", "more", "(--verbose", "lists", "all)"],
        ["not", "an", "image", "mixed/text.png"],
    ]
    assert "mixed/empty5.jpg" in kindred("index", folder, "--verbose").out
    skipped = kindred("index", folder, "--json").json["skipped"]
    assert {(Path(each["path"]).name, each["reason"]) for each in skipped} == {
        *((f"empty{number}.jpg", "empty file") for number in range(6)),
        ("text.png", "not an image"),
    }


def test_prune_removes_images_whose_files_are_gone(kindred: Kindred, recipe: Path, own_folder: Path) -> None:
    kept, gone = make_folder(own_folder / "some", 2)
    kindred("index", "some", "--recipe", recipe)
    gone.unlink()
    assert kindred("index", "some", "--json").json["removed"] == 0
    assert "Removed 1 image (files missing).\n" in kindred("index", "some", "--prune").out
    with Library.open() as library:
        assert [path.name for path in library.store.paths_under(own_folder)] == [kept.name]


def test_the_environment_names_the_library(
    kindred: Kindred, photos: Path, recipe: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINDRED_LIBRARY", str(own_folder / "other"))
    assert kindred("index", photos, "--recipe", recipe).out.endswith("kindred search IMAGE\n")
    assert (own_folder / "other" / "kindred.json").is_file()
    assert not (own_folder / DEFAULT_LIBRARY).exists()


def test_the_suggested_command_names_a_library_that_is_not_the_default(
    kindred: Kindred, photos: Path, recipe: Path
) -> None:
    done = kindred("index", photos, "--recipe", recipe, "--library", "my lib")
    assert done.out.endswith("Next: kindred search IMAGE --library 'my lib'\n")


def test_a_missing_folder_creates_no_library(kindred: Kindred, recipe: Path, own_folder: Path) -> None:
    done = kindred("index", "nowhere", "--recipe", recipe)
    assert (done.code, done.out, done.err) == (
        2,
        "",
        "kindred: nowhere: no such file or folder; check its spelling, or whether its drive is connected\n",
    )
    assert list(own_folder.iterdir()) == []


def test_an_empty_folder_is_reported(kindred: Kindred, recipe: Path, own_folder: Path) -> None:
    (own_folder / "empty").mkdir()
    done = kindred("index", "empty", "--recipe", recipe)
    assert (done.code, done.err) == (0, "")
    assert done.out == "No images in empty: no library was created at .kindred.\n"
    assert kindred("index", "empty", "--json").json["found"] == 0
    (own_folder / "empty" / "film.mp4").touch()
    assert kindred("index", "empty").out.splitlines()[1:] == ["Excluded 1 file: 1 .mp4."]
    assert [each.name for each in own_folder.iterdir()] == ["empty"]


@pytest.mark.usefixtures("library")
def test_an_empty_folder_is_reported_by_a_library_that_exists(kindred: Kindred, own_folder: Path) -> None:
    (own_folder / "empty").mkdir()
    done = kindred("index", "empty")
    assert done.code == 0
    assert done.out == f"No images in empty.\nThe library .kindred contains {COUNT} images.\n"


@pytest.mark.usefixtures("library")
def test_another_recipe_is_refused(kindred: Kindred, photos: Path, recipe: Path, own_folder: Path) -> None:
    other = own_folder / "other.toml"
    other.write_text(recipe.read_text().replace("size = 64", "size = 96"))
    done = kindred("index", photos, "--recipe", other)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "size 64, not 96" in done.err


def test_ctrl_c_reports_what_was_saved_and_the_next_run_continues(
    kindred: Kindred, recipe: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(own_folder / "many", 60)
    index = Library.index

    def interrupted(self: Library, folder: Path, *, prune: Prune, **_: object) -> object:
        def press(here: IndexProgress, _: int) -> None:
            # Not a signal: whoever runs the tests in the background of a shell has them ignored.
            if here.indexed == 20:
                raise KeyboardInterrupt

        return index(self, folder, prune=prune, progress=press)

    with monkeypatch.context() as patch:
        patch.setattr(Library, "index", interrupted)
        done = kindred("index", "many", "--recipe", recipe)
    assert (done.code, done.out) == (130, "")
    assert done.err == "kindred: stopped; the images indexed so far are saved: run the same command again to continue\n"
    report = kindred("index", "many", "--json").json
    assert report["unchanged"] >= 20
    assert report["indexed"] + report["unchanged"] == 60


# The demo collection


@pytest.fixture
def small_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two objects in four photographs, which takes a second."""

    def small(folder: Path, *, progress: object) -> DemoCollection:
        assert callable(progress)
        return render_demo(folder, objects=2, photos=4)

    monkeypatch.setattr("kindred_demo.render_demo", small)


@pytest.mark.usefixtures("small_demo")
def test_without_a_folder_the_demo_is_rendered_and_indexed(kindred: Kindred, recipe: Path, own_folder: Path) -> None:
    done = kindred("index", "--recipe", recipe)
    assert done.code == 0, done.err
    assert "Indexed 4 images" in done.out
    words = done.out.splitlines()[-1].split()
    assert words[:3] == ["Next:", "kindred", "search"]
    assert words[4:] == ["--html", "results.html"]
    query = own_folder / words[3]
    truth = json.loads((own_folder / "kindred-demo" / "groundtruth.json").read_text())
    assert truth["queries"][f"queries/{query.name}"]["box"] is None
    # The command that was named works as it stands, and so does the one that made the demo.
    assert kindred(*words[2:]).code == 0
    assert (own_folder / "results.html").is_file()
    assert kindred("index", "--json").json["unchanged"] == 4


@pytest.mark.usefixtures("small_demo", "library")
def test_the_demo_is_not_mixed_into_a_library_in_use(kindred: Kindred, own_folder: Path) -> None:
    done = kindred("index")
    assert done.code == 2
    assert done.err.startswith("kindred: index: which folder? .kindred is in use; ")
    assert not (own_folder / "kindred-demo").exists()


def test_names_that_are_not_utf8_are_indexed_and_printed(kindred: Kindred, recipe: Path, own_folder: Path) -> None:
    folder = own_folder / "odd"
    save_picture(folder / "caf\udce9 [bold]\n\x1b[31m.jpg", 1)
    (folder / "bad\udce9\t.jpg").touch()
    done = kindred("index", folder, "--recipe", recipe)
    assert done.code == 0, done.err
    assert "odd/bad\\udce9\\t.jpg" in done.out
    assert "\x1b" not in done.out
    assert kindred("index", folder, "--json").json["skipped"][0]["path"] == str(folder / "bad\udce9\t.jpg")


def test_a_library_beside_the_images_is_not_indexed(
    kindred: Kindred, recipe: Path, photos: Path, own_folder: Path
) -> None:
    shutil.copytree(photos, own_folder / "here")
    assert kindred("index", ".", "--recipe", recipe, "--json").json["found"] == COUNT
    assert kindred("index", ".", "--json").json["found"] == COUNT


def test_a_folder_without_usable_images_is_not_an_error(kindred: Kindred, recipe: Path, own_folder: Path) -> None:
    (own_folder / "bad").mkdir()
    (own_folder / "bad" / "x.jpg").touch()
    done = kindred("index", "bad", "--recipe", recipe)
    assert done.code == 0
    assert done.out.splitlines()[:2] == ["Skipped 1 file:", "  empty file  bad/x.jpg"]


def test_an_unknown_executor_is_one_line(kindred: Kindred, photos: Path, recipe: Path, own_folder: Path) -> None:
    words = ("index", photos, "--recipe", recipe, "--library", own_folder / "library")
    done = kindred(*words, "--executor", "spark")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "unknown executor 'spark'; expected local, ray or ray://HOST:PORT" in done.err
    done = kindred(*words, "--executor", "ray://me:secret@host:1")
    assert "unknown executor an address with an @; expected local" in done.err
    assert "secret" not in done.err
    assert kindred(*words, "--executor", "local").code == 0
