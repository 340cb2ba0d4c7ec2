"""Searches by the id of an image: by what is stored of it, and by its file only where no other image agrees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kindred.backbones import list_models
from kindred.describer import Describer
from kindred.library import Example, Library
from kindred.store import Filter

pytestmark = pytest.mark.skipif("kin" not in [entry.name for entry in list_models()], reason="needs the bundled model")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures, and the first one again: from nearer, by other light, and turned upside down in "turned.png"."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(6):
        tiles = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(tiles).resize((480, 360), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    with Image.open(folder / "0.png") as image:
        image.crop((40, 30, 440, 330)).point(lambda value: int(value * 0.8)).save(folder / "again.png")
    with Image.open(folder / "1.png") as image:
        image.rotate(180).save(folder / "turned.png")
    return folder


@pytest.fixture(scope="module")
def library(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with Library.create(tmp_path_factory.mktemp("stored") / "library") as made:
        made.index(photos)
        yield made


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is described from now on."""
    seen: list[object] = []
    one_by_one = Describer.one_by_one

    def counted(self: Describer, items: object, **options: bool) -> object:
        listed = list(items)  # type: ignore[call-overload]
        seen.extend(image for _, image in listed)
        return one_by_one(self, listed, **options)

    monkeypatch.setattr(Describer, "one_by_one", counted)
    return seen


def test_the_file_is_not_read_where_another_image_agrees(
    library: Library, photos: Path, described: list[object]
) -> None:
    uid = library.get(photos / "0.png").id
    found = library.search(uid, k=8)
    assert described == []
    by_file = library.search(photos / "0.png", k=8, where=Filter(ids=tuple(hit.id for hit in found if hit.id != uid)))
    assert [hit.path.name for hit in found[:2]] == ["0.png", "again.png"]
    assert found[0].probability == 1
    assert found[1].probability == pytest.approx(by_file[0].probability, abs=0.1)
    examples = library.search_examples([Example(uid)], k=8)
    assert [(hit.id, hit.probability) for hit in examples] == [(hit.id, hit.probability) for hit in found]


def test_the_image_itself_is_no_evidence_against_the_others(library: Library, photos: Path) -> None:
    """As the best candidate it made all others improbable: none is as similar to it as itself."""
    uid, again = library.get(photos / "0.png").id, library.get(photos / "again.png").id
    found = {hit.id: hit.probability for hit in library.search(uid, k=8)}
    others = library.search(uid, k=8, where=Filter(ids=tuple(each for each in found if each != uid)))
    assert {hit.id: hit.probability for hit in others} == {each: found[each] for each in found if each != uid}
    assert found[again] == max(each for id_, each in found.items() if each is not None and id_ != uid)


def test_the_file_is_looked_at_where_nothing_agrees(library: Library, photos: Path, described: list[object]) -> None:
    uid = library.get(photos / "1.png").id
    found = library.search(uid, k=3)
    assert described == [photos / "1.png"]
    assert [hit.path.name for hit in found[:2]] == ["1.png", "turned.png"]  # which is seen in a further pass only
    assert found[1].probability is not None
    assert found[1].probability > 0.9


def test_what_is_stored_is_enough_where_the_file_is_gone_or_changed(tmp_path: Path, photos: Path) -> None:
    for name in ("0.png", "again.png", "1.png", "2.png"):
        (tmp_path / name).write_bytes((photos / name).read_bytes())
    with Library.create(tmp_path / "library") as library:
        library.index(tmp_path)
        ids = {name: library.get(tmp_path / name).id for name in ("0.png", "1.png", "2.png")}
        (tmp_path / "0.png").unlink()
        (tmp_path / "1.png").write_bytes(b"no image any more")
        gone = library.search_examples([Example(ids["0.png"])], k=2)
        assert [hit.path.name for hit in gone] == ["0.png", "again.png"]
        assert library.search(ids["1.png"], k=2)[0].id == ids["1.png"]
        assert library.search(ids["1.png"], k=2)[0].probability == 1


def test_an_image_alone_in_its_library_finds_itself(tmp_path: Path, photos: Path) -> None:
    with Library.create(tmp_path / "library") as library:
        library.add(photos / "0.png")
        (found,) = library.search(library.get(photos / "0.png").id, k=3)
        assert (found.path, found.probability, found.rank) == (photos / "0.png", 1, 1)


def test_an_image_of_few_pixels_is_described_from_its_file(
    tmp_path: Path, photos: Path, described: list[object]
) -> None:
    with Image.open(photos / "0.png") as image:
        image.resize((96, 72)).save(tmp_path / "small.png")
    with Library.create(tmp_path / "library") as library:
        library.index([photos, tmp_path / "small.png"])
        described.clear()
        found = library.search(library.get(tmp_path / "small.png").id, k=2)
        assert described == [tmp_path / "small.png"]
        assert [hit.path.name for hit in found] == ["small.png", "0.png"]
