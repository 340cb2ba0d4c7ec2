from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kindred.errors import ImageError, UsageError
from kindred.images import EXTENSIONS, Found, decode, find_images


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def found(root: Path) -> dict[str, str | None]:
    return {image.path.relative_to(root).as_posix(): image.reason for image in find_images(root)}


def test_image_files_are_yielded_in_order_with_size_and_time(tmp_path: Path) -> None:
    for name in ("b.jpg", "a/z.PNG", "a/a.jpeg", "c.HeIc", "a/notes.txt", "jpg", "README"):
        touch(tmp_path / name)
    os.utime(tmp_path / "b.jpg", ns=(1, 1_700_000_000_123_456_700))
    images = list(find_images(tmp_path))
    assert [image.path.relative_to(tmp_path).as_posix() for image in images] == [
        "a/a.jpeg",
        "a/z.PNG",
        "b.jpg",
        "c.HeIc",
    ]
    facts = (tmp_path / "b.jpg").stat()
    assert images[2] == Found(tmp_path / "b.jpg", 1, facts.st_mtime_ns, device=facts.st_dev, inode=facts.st_ino)


@pytest.mark.parametrize("extension", sorted(EXTENSIONS))
def test_every_extension_is_found(tmp_path: Path, extension: str) -> None:
    touch(tmp_path / f"picture{extension}")
    assert found(tmp_path) == {f"picture{extension}": None}


def test_hidden_folders_and_files_are_yielded_with_a_reason(tmp_path: Path) -> None:
    for name in (".thumbnails/deep/a.jpg", ".b.jpg", "c.jpg", "d/.e/f.png", ".thumbnails/notes.txt"):
        touch(tmp_path / name)
    assert found(tmp_path) == {
        ".b.jpg": "hidden file",
        ".thumbnails/deep/a.jpg": "inside a hidden folder",
        "c.jpg": None,
        "d/.e/f.png": "inside a hidden folder",
    }


def test_a_root_inside_a_hidden_folder_is_searched(tmp_path: Path) -> None:
    touch(tmp_path / ".cache" / "a.jpg")
    assert found(tmp_path / ".cache") == {"a.jpg": None}


def test_a_library_is_not_searched_unless_it_is_the_root(tmp_path: Path) -> None:
    touch(tmp_path / "library" / "kindred.json")
    touch(tmp_path / "library" / "cover.jpg")
    touch(tmp_path / "photo.jpg")
    assert found(tmp_path) == {"photo.jpg": None}
    assert found(tmp_path / "library") == {"cover.jpg": None}


def test_cycles_of_links_end_and_real_paths_take_precedence(tmp_path: Path) -> None:
    touch(tmp_path / "real" / "a.jpg")
    (tmp_path / "again").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "up").symlink_to(tmp_path)
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    assert found(tmp_path) == {"real/a.jpg": None, "self.jpg": "broken link"}


def test_a_linked_folder_elsewhere_is_followed_once(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    touch(root / "z.jpg")
    touch(outside / "a.jpg")
    (root / "first").symlink_to(outside)
    (root / "second").symlink_to(outside)
    (root / ".hidden").symlink_to(outside)
    assert found(root) == {"z.jpg": None, "first/a.jpg": None}


def test_broken_links_and_pipes_are_reported_not_opened(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert found(tmp_path) == {"gone.jpg": "broken link", "pipe.jpg": "not a regular file"}
    with pytest.raises(ImageError, match="not a regular file"):
        decode(tmp_path / "pipe.jpg")


def test_a_file_that_vanishes_during_the_scan_is_reported(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    walk = iter(find_images(touch(tmp_path / "b.jpg").parent))
    assert next(walk).path.name == "a.jpg"
    (tmp_path / "b.jpg").unlink()
    assert next(walk) == Found(tmp_path / "b.jpg", 0, 0, "file vanished")


def test_a_folder_that_cannot_be_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a" / "a.jpg")
    touch(tmp_path / "b.jpg")
    scandir = os.scandir

    def refuse(path: Path) -> os._ScandirIterator[str]:
        if path == tmp_path / "a":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    scan = find_images(tmp_path)
    assert [(image.path, image.reason) for image in scan] == [
        (tmp_path / "a", "folder cannot be read: permission denied"),
        (tmp_path / "b.jpg", None),
    ]
    assert scan.unreadable == [tmp_path / "a"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names that are not UTF-8")
def test_names_that_are_not_utf8_are_found(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9 \xf0\x9f\x93\xb7 .jpg"
    Path(os.fsdecode(name)).write_bytes(b"")
    (image,) = find_images(tmp_path)
    assert os.fsencode(image.path) == name
    with pytest.raises(ImageError) as caught:
        decode(image.path)
    assert (caught.value.path, caught.value.reason) == (image.path, "empty file")


def test_a_missing_root_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing: no such file or folder"):
        find_images([tmp_path, tmp_path / "missing"])


def test_several_folders_and_files_are_scanned_once_each(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/2.jpg", "b/3.jpg", "scan.bin"):
        touch(tmp_path / name)
    scan = find_images(
        [tmp_path / "a" / "2.jpg", tmp_path / "a", tmp_path / "b", tmp_path / "scan.bin", tmp_path / "b"]
    )
    assert [image.path.name for image in scan] == ["2.jpg", "1.jpg", "3.jpg", "scan.bin"]


def test_files_left_out_are_counted_by_kind(tmp_path: Path) -> None:
    for name in ("a.jpg", "film.MP4", "b/c.mp4", "README", "._a.jpg", "b/list.csv", "b/d.jpg"):
        touch(tmp_path / name)
    scan = find_images(tmp_path)
    assert {image.path.name for image in scan} == {"a.jpg", "d.jpg"}
    assert scan.left_out.files == {".mp4": 2, "without extension": 1, ".csv": 1, "of macOS": 1}
    assert str(scan.left_out) == "5 files: 2 .mp4, 1 of macOS, 1 without extension, 1 .csv"
    list(scan)
    assert scan.left_out.files.total() == 5, "a second walk counts anew"


@pytest.mark.parametrize(
    "name",
    ["@eaDir", "#recycle", ".Trashes", ".Trash-1000", "$RECYCLE.BIN", "Catalog Previews.lrdata", "x.photoslibrary"],
)
def test_machine_made_folders_are_not_searched_unless_given_as_a_root(tmp_path: Path, name: str) -> None:
    touch(tmp_path / name.lower() / "deep" / "a.jpg")
    touch(tmp_path / "b.jpg")
    scan = find_images(tmp_path)
    assert [image.path.name for image in scan] == ["b.jpg"]
    assert (scan.left_out.folders, scan.left_out.named) == ({"machine-made": 1}, [tmp_path / name.lower()])
    assert str(scan.left_out) == "1 folder: 1 machine-made"
    assert [image.path.name for image in find_images(tmp_path / name.lower())] == ["a.jpg"]


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("*.png", ["2019/a.jpg", "drafts/c.jpg"]),
        ("DRAFTS", ["2019/a.jpg", "2019/b.png"]),
        ("2019/*", ["drafts/c.jpg"]),
        ("2019/b.*", ["2019/a.jpg", "drafts/c.jpg"]),
        ("20?9", ["drafts/c.jpg"]),
    ],
)
def test_globs_leave_out_files_and_folders(tmp_path: Path, pattern: str, left: list[str]) -> None:
    for name in ("2019/a.jpg", "2019/b.png", "drafts/c.jpg"):
        touch(tmp_path / name)
    scan = find_images(tmp_path, exclude=[pattern])
    assert [image.path.relative_to(tmp_path).as_posix() for image in scan] == left
    assert scan.left_out.files["by pattern"] + scan.left_out.folders["by pattern"] >= 1


def test_a_raw_file_beside_its_developed_image_is_left_out(tmp_path: Path) -> None:
    for name in ("IMG_1.CR2", "img_1.jpg", "IMG_2.heic", "IMG_2.dng", "IMG_2.mov", "b/IMG_1.nef"):
        touch(tmp_path / name)
    scan = find_images(tmp_path)
    names = {image.path.name for image in scan}
    assert names - {"IMG_1.nef"} == {"img_1.jpg", "IMG_2.heic"}
    assert scan.left_out.files["raw beside its developed image"] == 2


def test_a_raw_file_without_its_developed_image_is_found(tmp_path: Path) -> None:
    for name in ("IMG_1.NEF", "IMG_2.dng", "IMG_2.jpg"):
        (tmp_path / name).write_bytes(b"x")
    assert {found.path.name for found in find_images(tmp_path)} == {"IMG_1.NEF", "IMG_2.jpg"}
