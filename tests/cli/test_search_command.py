from __future__ import annotations

import io
import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import pytest
from typer.main import get_command

from commands import COUNT, Kindred
from kindred.cli import progress
from kindred.cli.app import app
from kindred.cli.groups import FilterOptions, RankingOptions
from kindred.library import Library
from kindred.store import is_uid
from pictures import save_picture

pytestmark = pytest.mark.usefixtures("library")


def test_json_has_exactly_the_promised_keys(kindred: Kindred, photos: Path) -> None:
    query = photos / "a" / "00003.jpg"
    found = kindred("search", query, "-k", 4, "--json").json
    assert list(found) == ["query", "recipe", "answered", "results", "seconds"]
    assert (found["query"], found["recipe"]) == (str(query), "tiny")
    assert [each["rank"] for each in found["results"]] == [1, 2, 3, 4]
    first = found["results"][0]
    assert is_uid(first.pop("id"))
    assert (first.pop("width"), first.pop("height")) in {(64, 48), (48, 64)}
    assert first == {
        **{"rank": 1, "path": str(query), "score": 1.0, "probability": None, "box": None},
        **{"taken": None, "tags": [], "metadata": {}, "missing": False},
    }
    scores = [each["score"] for each in found["results"]]
    assert scores == sorted(scores, reverse=True)


def test_the_default_output_is_a_table(kindred: Kindred, photos: Path) -> None:
    done = kindred("search", photos / "b" / "00007.jpg", "-k", 2)
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert lines[0].split() == ["#", "score", "image"]
    assert lines[1].split() == ["1", "1.000", str(photos / "b" / "00007.jpg")]
    assert lines[2].split()[0] == "2"
    assert lines[3].startswith(f"2 of {COUNT} images in ")


def test_what_takes_long_is_shown(
    kindred: Kindred, library: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    for options, shown in ((("--json",), False), ((), True)):
        copy = shutil.copytree(library, tmp_path / f"{shown}.kindred")  # without what was computed before
        asked = ("search", photos / "a" / "00003.jpg", "--rerank", "diffusion", "--library", copy, *options)
        assert (f"Comparing all images: {COUNT} of {COUNT} images" in kindred(*asked).err) is shown


def test_ten_results_by_default(kindred: Kindred, photos: Path) -> None:
    assert len(kindred("search", photos / "a" / "00000.jpg", "--json").json["results"]) == 10
    everything = kindred("search", photos / "a" / "00000.jpg", "-k", 999, "--json").json["results"]
    assert len(everything) == COUNT


def test_several_images_are_separate_queries(kindred: Kindred, photos: Path, own_folder: Path) -> None:
    images = [photos / "a" / "00000.jpg", photos / "b" / "00008.jpg", photos / "a" / "00001.jpg"]
    lines = [json.loads(line) for line in kindred("search", *images, "-k", 2, "--json").out.splitlines()]
    assert [line["query"] for line in lines] == [str(image) for image in images]
    assert [line["results"][0]["path"] for line in lines] == [str(image) for image in images]
    table = kindred("search", *images, "-k", 1).out
    assert [table.index(str(image)) for image in images] == sorted(table.index(str(image)) for image in images)
    (own_folder / "text.jpg").write_text("no image")
    done = kindred("search", images[0], "text.jpg", images[1], "-k", 1, "--json")
    assert done.code == 1
    first, bad, last = (json.loads(line) for line in done.out.splitlines())
    assert (first["query"], last["query"]) == (str(images[0]), str(images[1]))
    assert bad == {"query": "text.jpg", "error": "not an image"}


def test_negatives_a_minimum_score_and_copies(kindred: Kindred, photos: Path) -> None:
    query, other = photos / "a" / "00003.jpg", photos / "b" / "00007.jpg"
    plain = {each["path"]: each["score"] for each in kindred("search", query, "-k", COUNT, "--json").json["results"]}
    moved = kindred("search", query, "--not", other, "-k", COUNT, "--json").json["results"]
    assert {each["path"]: each["score"] for each in moved}[str(other)] < plain[str(other)]
    some = kindred("search", query, "--min-score", 0.9999, "--json").json["results"]
    assert [each["path"] for each in some] == [path for path, score in plain.items() if score >= 0.9999]
    without = kindred("search", query, "--no-copies", "-k", 3, "--json").json["results"]
    assert str(query) not in {each["path"] for each in without}
    assert [each["rank"] for each in without] == [1, 2, 3]
    table = kindred("search", query, "--no-copies", "-k", 3).out
    assert table.rstrip().endswith("; 1 copy of the query was left out")
    none = kindred("search", query, "--no-copies", "--min-score", 0.9999).out
    assert none == "No image scores 0.9999 or more. 1 copy of the query was left out.\n"
    done = kindred("search", query, "--not", query)
    assert (done.code, done.err) == (
        2,
        "kindred: search: the negative examples are the query itself; give other images\n",
    )
    done = kindred("search", query, "--also", ".kindred", "--not", other)
    assert done.code == 2
    assert "--also cannot be combined" in done.err


def test_the_groups_of_options_are_the_same_in_all_commands() -> None:
    """Each is declared once; what a command shows of it is the option itself."""
    commands = cast("Any", get_command(app)).commands
    shown = {name: {each.name: each for each in commands[name].params} for name in ("search", "match", "export")}
    for group, names in ((FilterOptions, ("search", "match", "export")), (RankingOptions, ("search", "match"))):
        for field in fields(group):
            options = [shown[name][field.name] for name in names]
            assert len({(tuple(each.opts), each.help, str(each.default), each.multiple) for each in options}) == 1
            assert options[0].help
    assert not {"filters", "ranking", "subject", "others"} & shown["search"].keys()
    order = [each.name for each in commands["search"].params]
    assert order[order.index("crop") :][:6] == ["crop", "folder", "tag", "after", "before", "where"]


def test_match_filters_and_re_ranks(kindred: Kindred, photos: Path) -> None:
    assert kindred("tag", "sea", photos / "b/00006.jpg").code == 0

    def found(*options: object) -> set[str]:
        lines = kindred("match", photos / "a", *options, "--json").out.splitlines()
        assert len(lines) == COUNT // 2
        return {hit["path"] for line in lines for hit in json.loads(line)["results"]}

    assert found("--folder", photos / "b") <= {str(photos / f"b/{number:05}.jpg") for number in range(6, 12)}
    assert found("--tag", "sea") == {str(photos / "b/00006.jpg")}
    assert found("--tag", "land") == set()
    assert found("-k", 3, "--rerank", "aqe:n=3")
    refused = kindred("match", photos / "a", "--rerank", "aqo")
    assert (refused.code, "unknown re-ranker 'aqo'" in refused.err) == (1, True)


def test_export_takes_every_filter(kindred: Kindred, photos: Path) -> None:
    assert kindred("meta", "set", "price=20", photos / "a/00001.jpg").code == 0
    assert kindred("export", "some.csv", "--where", "price>=20", "--json").json["vectors"] == 1
    assert kindred("export", "all.csv", "--after", "2000-01-01", "--json").json["vectors"] == COUNT
    assert kindred("export", "none.csv", "--before", "2000-01-01", "--json").json["vectors"] == 0
    assert "--after is 'May'" in kindred("export", "x.csv", "--after", "May").err


def test_match_searches_for_every_image_of_a_folder(kindred: Kindred, photos: Path, own_folder: Path) -> None:
    shutil.copytree(photos / "a", own_folder / "new")
    (own_folder / "new" / "bad.jpg").write_text("no image")
    lines = [json.loads(line) for line in kindred("match", "new", "--json").out.splitlines()]
    assert len(lines) == COUNT // 2 + 1
    for line in lines:
        name = Path(line["query"]).name
        if name == "bad.jpg":
            assert (line["results"], line["error"]) == ([], "not an image")
        else:
            assert [each["path"] for each in line["results"]] == [str(photos / "a" / name)]
            assert line["results"][0]["score"] == pytest.approx(1, abs=1e-3)
    inside = [json.loads(line) for line in kindred("match", photos / "a", "--json").out.splitlines()]
    assert all(each["path"] != line["query"] for line in inside for each in line["results"])
    done = kindred("match", "new", "--min-score", 0.999)
    assert f"{COUNT // 2} of {COUNT // 2 + 1} images with a result of at least 0.999." in done.out
    assert "Skipped 1 file" in done.out


def test_together_makes_several_images_one_query(kindred: Kindred, photos: Path) -> None:
    images = [photos / "a" / "00000.jpg", photos / "a" / "00001.jpg"]
    found = kindred("search", *images, "--together", "-k", 2, "--json").json
    assert found["query"] == [str(image) for image in images]
    assert {each["path"] for each in found["results"]} == {str(image) for image in images}


def test_a_crop_is_searched_as_if_it_were_the_image(kindred: Kindred, photos: Path, own_folder: Path) -> None:
    from PIL import Image

    from kindred.images import decode

    whole = photos / "a" / "00002.jpg"
    part = own_folder / "part.png"
    # As large as the recipe's size: an image file of fewer pixels is compared as a small query, a crop is not.
    Image.fromarray(decode(whole).pixels[2:46, 4:64]).save(part)
    by_box = kindred("search", whole, "--crop", "4,2,64,46", "--json").json["results"]
    by_file = kindred("search", part, "--json").json["results"]
    assert [each["path"] for each in by_box] == [each["path"] for each in by_file]
    assert [each["score"] for each in by_box] == pytest.approx([each["score"] for each in by_file], abs=1e-3)


def test_filters_limit_the_results(kindred: Kindred, photos: Path, own_folder: Path) -> None:
    query = photos / "a" / "00000.jpg"
    inside = kindred("search", query, "--folder", photos / "b", "--json").json["results"]
    assert {Path(each["path"]).parent.name for each in inside} == {"b"}
    kindred("tag", "sea", photos / "b" / "00006.jpg", photos / "b" / "00007.jpg")
    kindred("tag", "old", photos / "b" / "00007.jpg")
    tagged = kindred("search", query, "--tag", "sea", "--tag", "old", "--json").json["results"]
    assert [each["path"] for each in tagged] == [str(photos / "b" / "00007.jpg")]
    assert kindred("search", query, "--tag", "sea").out.splitlines()[0].split() == ["#", "score", "image", "tags"]
    assert kindred("search", query, "--before", "1990-01-01", "--json").json["results"] == []
    assert len(kindred("search", query, "--after", "1990-01-01", "-k", 99, "--json").json["results"]) == COUNT
    assert kindred("search", query, "--tag", "none").out == "No image has the tag 'none'; known: old, sea.\n"
    assert kindred("search", query, "--where", "prize<20").out == "No image has metadata 'prize'; there are none.\n"
    assert kindred("search", query, "--folder", own_folder).out == f"No image of the library is in {own_folder}.\n"
    assert kindred("search", query, "--min-score", 2).out == "No image scores 2 or more.\n"
    assert not (own_folder / "results.html").exists()


def test_the_page_holds_the_results_and_survives_a_missing_original(
    kindred: Kindred, photos: Path, recipe: Path, own_folder: Path
) -> None:
    shutil.copytree(photos / "a", own_folder / "mine")
    kindred("index", "mine", "--recipe", recipe, "--library", "lib")
    query = photos / "a" / "00000.jpg"
    (own_folder / "mine" / "00001.jpg").unlink()
    done = kindred("search", query, query, "--together", "--library", "lib", "--html", "found.html")
    assert done.code == 0, done.err
    assert done.out.endswith("Page: found.html\n")
    page = (own_folder / "found.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 1 + 5  # the query, and six results less one
    assert "No preview" in page
    assert "Images like 00000.jpg and 1 more" in page


def test_a_page_that_cannot_be_written_is_an_error(kindred: Kindred, photos: Path) -> None:
    done = kindred("search", photos / "a" / "00000.jpg", "--html", "nowhere/page.html", "--json")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("kindred: page nowhere/page.html cannot be written")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nope.jpg"], 2, "kindred: nope.jpg: no such file; expected a query image\n"),
        (["text.jpg"], 1, "kindred: text.jpg: not an image\n"),
        (["."], 2, "kindred: .: is a folder; expected a query image\n"),
        (["https://a.org/b.jpg"], 2, "kindred: https://a.org/b.jpg: is a URL, not a file; download it"),
        (["a.jpg", "-k", "0"], 2, "see kindred search --help\n"),
        (["a.jpg", "--crop", "1,2,3"], 2, "--crop is '1,2,3'; expected 4 numbers"),
        (["a.jpg", "--crop", "1,2,nan,4"], 2, "--crop is '1,2,nan,4'; expected 4 numbers"),
        (["a.jpg", "--crop", "50,2,3,40"], 2, "which is empty"),
        (["a.jpg", "--crop", "500,500,600,600"], 2, "does not overlap"),
        (["a.jpg", "text.jpg", "--together", "--crop", "0,0,9,9"], 2, "a box needs a single query image"),
        (["a.jpg", "--after", "May"], 2, "--after is 'May'; expected a day such as 2024-05-31"),
        (["a.jpg", "--library", "none"], 1, "no library found"),
        ([], 2, "kindred: missing argument 'IMAGE...'; see kindred search --help\n"),
    ],
)
def test_invalid_arguments_are_one_line(
    kindred: Kindred, own_folder: Path, words: list[str], code: int, message: str
) -> None:
    save_picture(own_folder / "a.jpg", 1)
    (own_folder / "text.jpg").write_text("no picture")
    done = kindred("search", *words, "--json")
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert done.err.startswith("kindred: ")
    assert done.err.count("\n") == 1


def test_an_unusual_file_name_can_be_a_query(kindred: Kindred, own_folder: Path) -> None:
    query = save_picture(own_folder / "caf\udce9\n.jpg", 3)
    done = kindred("search", query, "-k", 1, "--html", "p.html")
    assert done.code == 0, done.err
    assert json.loads(kindred("search", query, "--json").out)["query"] == str(query)


def test_the_page_says_why_there_are_no_results(kindred: Kindred, photos: Path, own_folder: Path) -> None:
    done = kindred("search", photos / "a" / "00000.jpg", "--min-score", 2, "--html", "p.html")
    assert done.out.splitlines()[0] == "No image scores 2 or more."
    assert "No image scores 2 or more." in (own_folder / "p.html").read_text(encoding="utf-8")


def test_an_empty_library_is_an_error(kindred: Kindred, recipe: Path, photos: Path, own_folder: Path) -> None:
    Library.create(own_folder / "lib", recipe=recipe).close()
    done = kindred("search", photos / "a" / "00000.jpg", "--library", "lib")
    assert done.code == 1
    assert "the library is empty; index a folder first" in done.err


@pytest.mark.usefixtures("library")
def test_an_image_may_come_from_standard_input(kindred: Kindred, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = photos / "a" / "00003.jpg"
    stream = io.TextIOWrapper(io.BytesIO(picture.read_bytes()))
    monkeypatch.setattr("sys.stdin", stream)
    found = kindred("search", "-", "-k", 1, "--html", "page.html", "--json").json
    assert found["query"] == "-"
    assert found["results"][0]["path"] == str(picture)
    assert "standard input" in Path("page.html").read_text(encoding="utf-8")
