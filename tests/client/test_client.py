"""One program on a library in a folder and on the same library on a server; and what only a client has."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kindred
from kindred import Client, Filter, Library
from kindred.errors import ImageError, RecipeError, ServerError, UsageError
from kindred.library import Example
from live_server import LiveServer, serving
from pictures import encoded, save_picture
from served import COUNT

Either = Library | Client


@pytest.fixture
def client(server: LiveServer) -> Iterator[Client]:
    with Client(server.address) as made:
        yield made


def program(library: Either, photos: list[Path]) -> list[object]:
    """What a program asks and changes, with its answers; `photos` are the images of the library."""
    said: list[object] = [len(library)]

    def hits(results: kindred.Results) -> None:
        said.append(
            [(hit.rank, hit.id, hit.path, round(hit.score, 4), hit.box, hit.tags, hit.width) for hit in results]
        )
        said.append(results.answered)

    record = library.get(photos[3])
    said.append((record.id, record.path, record.width, record.height, record.tags, record.missing))
    hits(library.search(photos[3], k=5))
    hits(library.search(record.id, k=4))
    hits(library.search(encoded(2), k=3, where=Filter(folder=photos[0].parent)))
    hits(library.search([photos[1], photos[2]], k=3))
    hits(library.search(photos[1], negatives=[photos[2], photos[3]], k=COUNT))
    hits(library.search(photos[1], box=(0, 0, 30, 40), k=3))
    hits(library.search(photos[1], k=COUNT, min_score=0.5, rerank="aqe"))
    with Image.open(photos[4]) as image:
        hits(library.search(image.convert("RGB"), k=2))
    vectors = library.describe([photos[0], photos[1]])
    said.append(vectors.shape)
    hits(library.search(vectors, k=3))
    hits(library.search_examples([Example(photos[0]), Example(record.id, -0.5)], wrong=[record.id], k=COUNT))
    said.append(library.tag(photos[:4], ["sea", "sky"]))
    said.append(library.untag(photos[:2], "sea"))
    said.append(library.untag(photos[:2], "sea"))
    said.append(library.set_metadata([record.id, photos[0]], {"price": 20, "by": "Leica", "on": date(2024, 5, 31)}))
    said.append(library.unset_metadata([photos[0], photos[1]], "by"))
    said.append((library.get(record.id).metadata, library.get(record.id).tags))
    said.append([image.id for image in library.images(Filter(tags=("sea",)))])
    said.append([image.id for image in library.images(Filter(where=("price<30", 'by="Leica"')))])  # type: ignore[arg-type]
    said.append([image.path.name for image in library.images(sort="path", descending=True)])
    said.append(library.layout(limit=3).ids)
    said.append(library.rename_tag("sky", "heaven"))
    said.append(library.mark_not_same([photos[0], photos[1]]))
    said.append(library.unmark_not_same([photos[0], photos[1]]))
    saved = library.save_search("mine", {"query": [{"image": record.id}]})
    said.append([(each.name, each.search) for each in library.saved_searches()])
    said.append([library.remove_search(saved.id), library.remove_search(saved.id)])
    said.append(library.remove([photos[5], "0" * 16]))
    info = library.info()
    said.append((info.images, info.tags, info.metadata, info.dimension, info.vectors, info.bytes > 0))
    said.append(library.skipped())
    return said


def test_one_program_runs_on_a_folder_and_on_a_server(
    library: Path, made: Path, tmp_path: Path, photos: list[Path]
) -> None:
    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    with Library.open(copy) as opened:
        by_folder = program(opened, photos)
    with serving(library) as server, Client(server.address) as client:
        by_server = program(client, photos)
    for number, (one, other) in enumerate(zip(by_folder, by_server, strict=True)):
        assert one == other, f"answer {number}"


@pytest.mark.parametrize("kind", ["folder", "server"])
def test_errors_are_the_same(client: Client, made: Path, photos: list[Path], kind: str, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(b"\xff\xd8\xff nothing")
    with Library.open(made) as opened:
        library: Either = opened if kind == "folder" else client
        with pytest.raises(UsageError):
            library.get("0" * 16)
        with pytest.raises(UsageError):
            library.get("/nowhere/at/all.jpg")
        with pytest.raises(UsageError):
            library.search("0" * 16)
        with pytest.raises(UsageError):
            library.search([])
        with pytest.raises(UsageError):
            library.search(photos[0], k=0)
        with pytest.raises(RecipeError, match="magic"):
            library.search(photos[0], rerank="magic")
        with pytest.raises(UsageError, match="price"):
            library.images(Filter(where="price"))  # type: ignore[arg-type]
        with pytest.raises(UsageError):
            library.set_metadata(photos[0], {"not a key!": 1})
        with pytest.raises(UsageError, match="probability"):
            library.search(photos[0], min_probability=0.5)
        with pytest.raises(ImageError):
            library.search(damaged)
        with pytest.raises(ImageError, match="no such file"):
            library.search(tmp_path / "none.jpg")


def test_images_are_added_and_removed(client: Client, tmp_path: Path) -> None:
    new = save_picture(tmp_path / "new.png", 50)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"nothing")
    report = client.add([new, bad], tags=["new", "added"])
    assert (report.found, report.indexed, report.unchanged) == (2, 1, 0)
    assert [path for path, _ in report.skipped] == [bad]
    assert client.add(new).unchanged == 1
    (record,) = client.images(Filter(tags=("new", "added")))
    assert client.search(new, k=1)[0].id == record.id
    assert client.file(record.id) == new.read_bytes()
    assert Image.open(io.BytesIO(client.thumbnail(record.id, 64))).size == (64, 48)
    assert client.remove(record.id) == 1


def test_folders_are_indexed_by_the_server(client: Client, photos: list[Path], tmp_path: Path) -> None:
    seen: list[str] = []
    job = client.index(photos[0].parents[1], progress=lambda job: seen.append(job.state))
    assert job.state == "done"
    assert job.result is not None
    assert job.result["found"] == COUNT
    assert client.index().state == "done"
    with pytest.raises(UsageError, match="does not allow"):
        client.index(tmp_path)


def test_duplicates_are_found_by_the_server(client: Client, photos: list[Path], tmp_path: Path) -> None:
    with Image.open(photos[0]) as image:
        image.save(tmp_path / "copy.png")
    client.add(tmp_path / "copy.png")
    groups = client.find_duplicates(kinds="same_picture")
    found = [{image.path.name for image in group.images} for group in groups]
    assert any({"00000.jpg", "copy.png"} <= names for names in found), found
    assert {group.kind for group in groups} == {"same_picture"}
    assert client.find_duplicates(kinds="same_shot") == []


def test_an_explanation_comes_back_as_arrays(client: Client, photos: list[Path], made: Path) -> None:
    uid = client.get(photos[1]).id
    found = client.explain(Example(photos[0]), uid)
    with Library.open(made) as library:
        same = library.explain(Example(photos[0]), uid)
    assert type(found) is type(same)
    np.testing.assert_allclose(found.image, same.image, atol=1e-3)  # type: ignore[union-attr]


def test_more_results_than_a_page(client: Client, photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(client.search(photos[0], k=1000, where=Filter(folder=photos[0].parents[1]))) == COUNT
    monkeypatch.setattr("kindred.client.naming.MOST_IDS", 2)
    monkeypatch.setattr("kindred.client.changing.MOST_IDS", 2)
    assert client.tag(photos, "all") == COUNT


def test_a_token_is_sent(library: Path) -> None:
    token = "a-token-of-24-characters"
    with serving(library, ["--token", token]) as server:
        address = server.address.partition("/login")[0]
        with Client(address, token=token) as client:
            assert len(client) == COUNT
        with Client(address) as client, pytest.raises(ServerError, match="requires its token") as raised:
            len(client)
        assert raised.value.status == 401


def test_a_server_that_is_not_there() -> None:
    with Client("http://127.0.0.1:9", timeout=5) as client, pytest.raises(ServerError, match="cannot be reached"):
        client.info()
    client.close()
    with pytest.raises(UsageError, match="closed"):
        client.info()
    for address in ("127.0.0.1:7700", "ftp://x", 5):
        with pytest.raises(UsageError, match="address is"):
            Client(address)  # type: ignore[arg-type]
