"""Exports: tables, records and archives of files."""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from kindred.library import Library
from kindred.server import exports
from pictures import make_folder, save_picture
from served import COUNT, MakeClient

EXPORT = "/api/v1/export"


@pytest.fixture
def ids(library: Path, photos: list[Path]) -> list[str]:
    """The ids of the pictures, in order; two of them have metadata and tags."""
    with Library.open(library) as opened:
        opened.tag(photos[0], ["sea", "=cmd()"])
        opened.set_metadata(photos[0], {"maker": "=HYPERLINK(1)", "price": -5, "path": "x"})
        opened.set_metadata(photos[1], {"maker": 'a "b", c'})
        return [opened.get(path).id for path in photos]


def test_a_table_has_a_row_for_each_image(client: TestClient, ids: list[str], photos: list[Path]) -> None:
    wanted = [ids[1], "0" * 16, ids[0]]
    answer = client.post(EXPORT, json={"ids": wanted, "format": "csv"})
    assert answer.headers["content-disposition"] == 'attachment; filename="kindred-images.csv"'
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.reader(io.StringIO(answer.text, newline="")))
    assert rows == [
        ["id", "path", "width", "height", "taken", "tags", "maker", "metadata.path", "price"],
        [ids[1], str(photos[1]), "48", "64", "", "", 'a "b", c', "", ""],
        [ids[0], str(photos[0]), "64", "48", "", "'=cmd();sea", "'=HYPERLINK(1)", "x", "-5"],
    ]


def test_records_are_the_forms_of_the_images(client: TestClient, ids: list[str], photos: list[Path]) -> None:
    photos[2].unlink()
    images = json.loads(client.post(EXPORT, json={"ids": ids[:3], "format": "json"}).text)["images"]
    assert [image["id"] for image in images] == ids[:3]
    assert images[0]["metadata"] == {"maker": "=HYPERLINK(1)", "price": -5, "path": "x"}
    assert (images[0]["width"], images[0]["frames"], images[0]["missing"]) == (64, 1, False)
    assert images[2]["missing"] is True
    assert json.loads(client.post(EXPORT, json={"ids": [], "format": "json"}).text) == {"images": []}


def test_an_archive_has_the_files_and_a_table(
    make_client: MakeClient, library: Path, photos: list[Path], ids: list[str]
) -> None:
    other = save_picture(photos[0].parents[1] / "c" / photos[0].name.upper(), 77)
    with Library.open(library) as opened:
        opened.add(other)
        ids.append(opened.get(other).id)
    photos[4].unlink()
    answer = make_client().post(EXPORT, json={"ids": ids, "format": "zip"})
    assert answer.headers["content-disposition"] == 'attachment; filename="kindred-images.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == COUNT + 1  # one is missing, and there is the table
        assert archive.read(photos[0].name) == photos[0].read_bytes()
        assert archive.read("00000 (2).JPG") == other.read_bytes()
        rows = list(csv.DictReader(io.StringIO(archive.read("images.csv").decode(), newline="")))
    assert [row["file"] for row in rows[:2]] == [photos[0].name, photos[1].name]
    assert rows[4]["note"].startswith("not complete: ")
    assert [row["note"] for row in rows[:4]] == [""] * 4


def test_an_archive_is_made_in_pieces(library: Path, photos: list[Path]) -> None:
    from kindred.service.export import CHUNK, as_zip

    large = photos[0].parent / "large.bin"
    large.write_bytes(os.urandom(5 * CHUNK + 17))
    with Library.open(library) as opened:
        image = opened.get(photos[0]).id
        pieces = list(as_zip(opened, [image], lambda _: large.open("rb")))
    assert max(map(len, pieces)) < 1.1 * CHUNK
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.read(photos[0].name) == large.read_bytes()


def test_a_link_that_leaves_the_folders_is_not_followed(
    make_client: MakeClient, library: Path, photos: list[Path], tmp_path: Path
) -> None:
    secret = save_picture(tmp_path / "outside/secret.jpg", 300)
    folder = photos[0].parents[1]
    (folder / "in.jpg").symlink_to(photos[0])
    (folder / "out.jpg").symlink_to(secret)
    with Library.open(library) as opened:
        opened.index(folder)
        wanted = [opened.get(folder / name).id for name in ("in.jpg", "out.jpg")]
    answer = make_client().post(EXPORT, json={"ids": wanted, "format": "zip"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["in.jpg", "images.csv"]
        assert b"leads out of the folders" in archive.read("images.csv")


def test_a_folder_that_became_a_link_elsewhere_is_not_followed(
    make_client: MakeClient, library: Path, photos: list[Path], tmp_path: Path
) -> None:
    with Library.open(library) as opened:
        image = opened.get(photos[0]).id
    make_folder(tmp_path / "outside", 6)
    folder = photos[0].parent
    folder.rename(tmp_path / "moved away")
    folder.symlink_to(tmp_path / "outside")
    answer = make_client().post(EXPORT, json={"ids": [image], "format": "zip"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["images.csv"]


def test_a_prepared_export_is_downloaded_by_its_address(client: TestClient, ids: list[str]) -> None:
    prepared = client.post(EXPORT, json={"ids": ids[:2], "format": "csv", "link": True})
    assert prepared.status_code == 201
    address = prepared.json()["address"]
    plain = client.post(EXPORT, json={"ids": ids[:2], "format": "csv"}).text
    assert client.get(address).text == plain
    assert client.get(address).text == plain  # a browser may ask again
    assert client.get(f"{EXPORT}/unknown").status_code == 404


def test_prepared_exports_are_bounded(client: TestClient, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"ids": ids[:1], "format": "csv", "link": True}
    first = client.post(EXPORT, json=body).json()["address"]
    for _ in range(exports.MOST_WAITING + 1):
        last = client.post(EXPORT, json=body).json()["address"]
    assert client.get(first).status_code == 404
    assert client.get(last).status_code == 200
    monkeypatch.setattr(exports, "SECONDS", -1.0)
    assert client.get(last).status_code == 404


def test_an_export_is_refused_that_is_too_large_or_not_valid(
    client: TestClient, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "MOST_ZIPPED", 3)
    assert client.post(EXPORT, json={"ids": ids[:4], "format": "zip"}).status_code == 413
    assert client.post(EXPORT, json={"ids": ids[:4], "format": "csv"}).status_code == 200
    for wrong in ({"ids": ["../x"], "format": "csv"}, {"ids": [], "format": "exe"}, {"format": "csv"}):
        assert client.post(EXPORT, json=wrong).status_code == 422
