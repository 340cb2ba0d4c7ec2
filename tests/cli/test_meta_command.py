"""meta, move, ids instead of paths, and search --where."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from commands import COUNT, Kindred
from kindred.library.metadata import read_metadata

pytestmark = pytest.mark.usefixtures("library")


def test_metadata_is_set_shown_filtered_by_and_removed(kindred: Kindred, photos: Path) -> None:
    one, other = photos / "a" / "00000.jpg", photos / "a" / "00001.jpg"
    assert kindred("meta").out == "No metadata yet. Set it with kindred meta set KEY=VALUE IMAGE.\n"
    done = kindred("meta", "set", "price=20", one, "--and", "maker=Leica", "--and", 'code="007"')
    assert done.out == "Set price, maker, code of 1 image.\n"
    assert kindred("meta", "set", "price=25.5", "lens=50", other).out == "Set price, lens of 1 image.\n"
    done = kindred("meta", "set", "price=25.5", "lens=50")
    assert (done.code, done.err) == (2, "kindred: meta set: no image after lens=50; name the images to change\n")
    kindred("meta", "unset", "lens", other)
    assert kindred("meta", "--json").json == {"keys": {"code": 1, "maker": 1, "price": 2}}
    (shown,) = kindred("meta", "show", one, "--json").json["images"]
    assert (shown["path"], shown["missing"]) == (str(one), False)
    assert shown["metadata"] == {"code": "007", "maker": "Leica", "price": 20}
    assert "code=007, maker=Leica, price=20" in kindred("meta", "show", one).out
    found = kindred("search", one, "--where", "price>=20", "--where", "price<25.5", "--json").json["results"]
    assert [(each["path"], each["metadata"]["price"], each["id"]) for each in found] == [(str(one), 20, shown["id"])]
    assert kindred("search", one, "--where", "price>100").out == "No image matches the filter.\n"
    done = kindred("search", one, "--where", "price")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "expected a key, an operator" in done.err
    assert kindred("meta", "unset", "price", photos / "a").out == "Removed price from 2 images.\n"
    done = kindred("meta", "set", "price", one)
    assert (done.code, done.err) == (
        2,
        "kindred: metadata: got 'price'; expected KEY=VALUE, such as price=20\n",
    )


def test_a_long_text_is_a_value_like_any_other(kindred: Kindred, photos: Path) -> None:
    """It is longer than a file name may be, so that the system refuses to look for such a file."""
    one, caption = photos / "a" / "00000.jpg", "A white house by the sea, in the evening. " * 20
    done = kindred("meta", "set", "price=1", f"caption={caption}", one)
    assert (done.code, done.out) == (0, "Set price, caption of 1 image.\n")
    (shown,) = kindred("meta", "show", one, "--json").json["images"]
    assert shown["metadata"] == {"caption": caption.strip(), "price": 1}


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("maker<5", "5 is a number, and all values of 'maker' are text; quotes make it text."),
        ("price<cheap", "cheap is text, and all values of 'price' are numbers; write a number as 20."),
        (
            "bought>=yesterday",
            "yesterday is text, and all values of 'bought' are dates; write a date as 2024-01-31.",
        ),
        (
            "size=2024-01-31",
            "2024-01-31 is a date, and all values of 'size' are numbers or text; write a number as 20; quotes make it "
            "text.",
        ),
        ("prize<5", "No image has metadata 'prize'; did you mean 'price'? known: bought, maker, price, size."),
    ],
)
def test_a_condition_on_values_of_another_type_is_reported(
    kindred: Kindred, photos: Path, condition: str, why: str
) -> None:
    one, other = photos / "a" / "00000.jpg", photos / "a" / "00001.jpg"
    kindred("meta", "set", "maker=Leica", "price=20", "bought=2024-01-02", "size=3", one)
    kindred("meta", "set", "size=large", other)
    assert kindred("search", one, "--where", condition).out == f"{why}\n"
    done = kindred("search", one, other, "--where", condition, "--json")
    assert (done.code, done.err, done.out.count('"results": []')) == (0, f"Note: {why}\n", 2)


def test_an_unequal_type_is_reported_although_images_match(kindred: Kindred, photos: Path) -> None:
    one = photos / "a" / "00000.jpg"
    kindred("meta", "set", "maker=5 Star", one)
    done = kindred("search", one, "--where", "maker!=5")
    assert str(one) in done.out
    assert done.err == "Note: 5 is a number, and all values of 'maker' are text; quotes make it text.\n"
    assert kindred("search", one, "--where", 'maker!="5"').err == ""


def test_an_export_of_nothing_says_why(kindred: Kindred, own_folder: Path) -> None:
    done = kindred("export", own_folder / "none.csv", "--tag", "nothing")
    assert done.out.startswith("Wrote 0 vectors to ")
    assert done.err == "Note: No image has the tag 'nothing'; there are none.\n"


def test_an_import_of_metadata_is_atomic(kindred: Kindred, photos: Path, own_folder: Path) -> None:
    table = own_folder / "table.csv"
    table.write_text(f"path;price;bought\n{photos}/a/00000.jpg;20;2024-01-31\nnowhere.jpg;3;\n{photos}/a/00001.jpg;;\n")
    done = kindred("meta", "import", table)
    assert (done.out, done.err) == ("Set metadata of 2 images.\n", "Not in the library: nowhere.jpg\n")
    (shown,) = kindred("meta", "show", photos / "a" / "00000.jpg", "--json").json["images"]
    assert shown["metadata"] == {"bought": "2024-01-31", "price": 20}
    table.write_text(f"path,price,bad key\n{photos}/a/00001.jpg,1,2\n")
    assert kindred("meta", "import", table).code == 2
    assert kindred("meta", "--json").json == {"keys": {"bought": 1, "price": 1}}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("a.jpg;7,5;-0,25", {"price": 7.5, "shift": -0.25}),
        ("a.jpg;1,2,3;f,4", {"price": "1,2,3", "shift": "f,4"}),
        ('a.jpg,"7,5",8', {"price": "7,5", "shift": 8}),
    ],
)
def test_a_comma_is_a_decimal_point_where_semicolons_separate(
    tmp_path: Path, row: str, expected: dict[str, object]
) -> None:
    table = tmp_path / "table.csv"
    separator = ";" if ";" in row else ","
    table.write_text(f"{separator.join(('path', 'price', 'shift'))}\n{row}\n")
    assert read_metadata(table) == [(tmp_path / "a.jpg", expected)]


def test_images_are_named_by_their_ids(kindred: Kindred, photos: Path) -> None:
    one = photos / "a" / "00000.jpg"
    (first,) = kindred("search", one, "-k", 1, "--json").json["results"]
    assert kindred("tag", "sea", first["id"]).out == "Added tag 'sea' to 1 image.\n"
    assert kindred("search", one, "-k", 1, "--json").json["results"][0]["tags"] == ["sea"]
    assert kindred("remove", first["id"], "0" * 16, "--json").json["removed"] == 1
    assert kindred("search", one, "-k", 1, "--json").json["results"][0]["id"] != first["id"]


def test_move_and_missing_files_are_reported(kindred: Kindred, photos: Path, own_folder: Path) -> None:
    copies = shutil.copytree(photos, own_folder / "mine")
    assert kindred("move", photos, copies).out == f"{COUNT} images moved from {photos} to mine in the library.\n"
    assert kindred("index", copies).out.startswith(f"Nothing new: {COUNT} images had not changed")
    (copies / "a" / "00000.jpg").rename(copies / "renamed.jpg")
    assert "1 image moved or renamed" in kindred("index", copies).out
    shutil.rmtree(copies / "b")
    (copies / "renamed.jpg").unlink()
    gone = COUNT // 2 + 1
    assert f"The files of {gone} images are missing; use --prune to remove them" in kindred("index", copies).out
    done = kindred("search", copies / "a" / "00001.jpg", "-k", COUNT)
    assert done.out.count("(file missing)") == gone
    assert f"Removed {gone} images (files missing)." in kindred("index", copies, "--prune").out
    shutil.rmtree(copies)
    copies.mkdir()
    left = COUNT - gone
    advice = f"The files of {left} images are missing; use --prune-all to remove them (--prune would not: "
    assert f"{advice}mine is empty, as if its disk were not mounted)" in kindred("index", copies).out
    held = kindred("index", copies, "--prune")
    assert (
        f"The files of {left} images are missing, and none of them were removed: mine is empty, as if its disk were "
        "not mounted. Use --prune-all to remove them anyway." in held.out.replace(str(own_folder) + "/", "")
    )
    report = kindred("index", copies, "--prune-all", "--json").json
    assert (report["missing"], report["removed"], report["held"]) == (left, left, [])


def test_moving_to_a_missing_path_is_a_warning(kindred: Kindred, photos: Path) -> None:
    done = kindred("move", photos, "/no/where")
    assert done.code == 0
    assert done.err.startswith("Warning: /no/where does not exist.")
    done = kindred("move", photos, "/no/where")
    assert (done.code, done.err.count("\n")) == (2, 1)


def test_force_describes_every_image_again(kindred: Kindred, photos: Path) -> None:
    report = kindred("index", photos, "--force", "--json").json
    assert (report["indexed"], report["unchanged"]) == (COUNT, 0)
