"""Labels: folders and tables become classes and pairs, and what is wrong in them is named with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from class_folders import make_classes
from kindred.errors import UsageError
from kindred.training.tuning.labels import read_classes, read_labels, read_pairs, read_unlabelled
from pictures import make_folder, save_picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Classes "a", "b" and "c" of three, two and two images."""
    make_classes(tmp_path / "images", {"a": 3, "b": 2, "c": 2})
    return tmp_path / "images"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


def test_sub_folders_are_classes_with_all_below_them(folder: Path) -> None:
    deep = save_picture(folder / "b" / "more" / "x.jpg", 9)
    found = read_classes(folder)
    assert found.classes == ("a", "b", "c")
    assert [found.classes[label] for label in found.labels] == [
        path.relative_to(folder).parts[0] for path in found.paths
    ]
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert found.labels.dtype == np.int64
    assert found.labels[found.paths.index(deep)] == 1
    assert found.notes == ()
    assert len(found) == 8


def test_what_is_left_out_is_noted(folder: Path) -> None:
    for name in ("empty", "also", "nothing", "z"):
        (folder / name).mkdir()
    (folder / "also" / "notes.txt").write_text("no image")
    (folder / ".hidden").mkdir()
    save_picture(folder / ".hidden" / "x.jpg", 1)
    save_picture(folder / "alone" / "x.jpg", 1)
    make_folder(folder, 2)
    found = read_classes(folder)
    assert found.classes == ("a", "alone", "b", "c")
    assert len(found) == 8
    assert found.notes == (
        "4 empty classes left out: also, empty, nothing, …",
        f"2 images directly in {folder} left out: they have no class",
        "1 classes have a single image and give no positive pair: alone",
    )


def test_some_images_are_kept_with_their_labels(folder: Path) -> None:
    found = read_classes(folder)
    part = found.subset(np.array([0, 3, 6]))
    assert part.paths == (found.paths[0], found.paths[3], found.paths[6])
    assert (part.labels.tolist(), part.classes, part.notes) == ([0, 1, 2], found.classes, found.notes)


@pytest.mark.parametrize("classes", [{}, {"a": 3}])
def test_fewer_than_two_classes_are_refused(classes: dict[str, int], tmp_path: Path) -> None:
    make_folder(tmp_path / "images", 2)
    if classes:
        make_classes(tmp_path / "images", classes)
    with pytest.raises(UsageError) as raised:
        read_classes(tmp_path / "images")
    assert str(raised.value) == (
        f"{tmp_path / 'images'}: {len(classes)} classes; expected two or more sub-folders with images, one for each "
        "class (or --labels FILE.csv, or a method that needs no labels: manifold, clusters)"
    )


def test_without_labels_folders_mean_nothing(folder: Path, tmp_path: Path) -> None:
    make_folder(folder, 2)
    found = read_unlabelled(folder)
    assert (len(found), found.classes, set(found.labels.tolist())) == (9, (), {-1})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty: no images; expected a folder of images to train on"):
        read_unlabelled(tmp_path / "empty")
    with pytest.raises(UsageError, match="nowhere: no such file or folder"):
        read_unlabelled(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na/0.png,cat\nb/0.png,dog\nb/1.png,cat\n",
        "\ufeffpath,label\r\na/0.png,cat\r\nb/0.png,dog\r\nb/1.png,cat\r\n",
        "\ufeffpath;label\r\na/0.png;cat\r\nb/0.png;dog\r\nb/1.png;cat\r\n",
        "path\tlabel\na/0.png\tcat\nb/0.png\tdog\nb/1.png\tcat\n",
        "label,path,source\ncat,a/0.png,mine\ndog,b/0.png,mine\ncat,b/1.png,\n",
        'path, label\na/0.png, cat\n"b/0.png", " dog"\n\nb/1.png,\tcat \n',
        "path,label\na/0.png,cat\nb/0.png,dog\nb/1.png,cat\n./a/0.png,cat\nc/0.png,\nc/1.png, \n",
    ],
    ids=[
        "plain",
        "from a spreadsheet",
        "with semicolons",
        "with tabs",
        "more columns",
        "spaces",
        "twice and unlabelled",
    ],
)
def test_a_table_gives_the_classes(text: str, folder: Path, table: Path) -> None:
    table.write_bytes(text.encode("utf-8"))
    found = read_labels(table, folder)
    assert found.paths == (folder / "a" / "0.png", folder / "b" / "0.png", folder / "b" / "1.png")
    assert (found.classes, found.labels.tolist()) == (("cat", "dog"), [0, 1, 0])
    assert found.notes[-1] == "1 classes have a single image and give no positive pair: dog"
    assert found.notes[:-1] == (("2 rows without a label left out",) if "c/0.png" in text else ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,label\na/0.png,x\na/9.png,x\nb/9.png,y\n",
            "line 3: a/9.png is not in {folder} (2 such lines); paths are relative",
        ),
        ("path,label\na/0.png,x\na/0.png,y\n", "line 3: a/0.png has the labels 'x' and 'y'; give one"),
        ("path,label\na/0.png,x\na/1.png,x\n", "1 classes; expected two or more in the column label"),
        ("path,label\n", "0 classes; expected two or more in the column label"),
        ("file,label\na/0.png,x\n", "no column path; expected a header with path,label"),
        ("a/0.png,x\n", "no column path, label; expected a header with path,label"),
        ("", "no column path, label; expected a header with path,label"),
        ("path,label\na/0.png,x\nb/0.png\n", "line 3: too few columns; expected path,label"),
        ("path,label\n,x\nb/0.png,y\n", "line 2:  is not in {folder} (1 such lines)"),
        (f"path,label\n{'a' * 5000}/0.png,x\n", "line 2: aaa"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(text: str, message: str, folder: Path, table: Path) -> None:
    table.write_text(text)
    with pytest.raises(UsageError) as raised:
        read_labels(table, folder)
    assert str(raised.value).startswith(f"{table}: {message.format(folder=folder)}")
    assert "\n" not in str(raised.value)


def test_a_table_that_is_not_text_is_refused(folder: Path, table: Path) -> None:
    table.write_bytes("path,label\na/0.png,über\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"table\.csv: not a CSV table in UTF-8 \("):
        read_labels(table, folder)
    table.write_text("path,label\n" + "x" * 200_000)
    with pytest.raises(UsageError, match=r"table\.csv: not a CSV table in UTF-8 \("):
        read_labels(table, folder)
    with pytest.raises(UsageError, match=r"nowhere\.csv: the table cannot be read \(no such file or folder\)"):
        read_labels(table.with_name("nowhere.csv"), folder)


def test_a_table_of_pairs_gives_both_kinds(folder: Path, table: Path) -> None:
    paths = read_unlabelled(folder).paths
    table.write_text("a,b,same\na/0.png,a/1.png,1\na/0.png,b/0.png, 0\nc/0.png,c/1.png,1\n")
    same, different = read_pairs(table, paths, folder)
    assert same.dtype == different.dtype == np.int64
    assert [[paths[number].name for number in pair] for pair in same] == [["0.png", "1.png"]] * 2
    assert same.tolist() == [[0, 1], [5, 6]]
    assert different.tolist() == [[0, 3]]
    table.write_text("a,b,same\na/0.png,a/1.png,1\n")
    assert read_pairs(table, paths, folder)[1].shape == (0, 2)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a/0.png,a/1.png,yes", "line 2: same is 'yes'; expected 1 or 0"),
        ("a/0.png,a/9.png,1", "line 2: a/9.png is not a usable image of {folder}"),
        ("a/0.png,b/0.png,0", "no pair with same = 1; expected at least one positive pair"),
        ("a/0.png,b/0.png", "line 2: too few columns; expected a,b,same"),
        ("a/0.png,a/1.png,1\na/0.png,a/0.png,1", "line 3: a/0.png is paired with itself"),
    ],
)
def test_what_is_wrong_in_a_table_of_pairs_is_named(rows: str, message: str, folder: Path, table: Path) -> None:
    table.write_text(f"a,b,same\n{rows}\n")
    with pytest.raises(UsageError) as raised:
        read_pairs(table, read_unlabelled(folder).paths, folder)
    assert str(raised.value).startswith(f"{table}: {message.format(folder=folder)}")
