"""The default recipe looks at a query again, turned and larger, only if the first look verifies nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kindred.backbones import list_models
from kindred.describer.local import LocalFeatureExtractor
from kindred.features import LocalFeatures
from kindred.images import Decoded
from kindred.library import Library

pytestmark = pytest.mark.skipif("kin" not in [entry.name for entry in list_models()], reason="needs the bundled model")


@pytest.fixture
def second_looks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One entry for each extraction of local features that is not part of a description pass."""
    seen: list[bool] = []
    extract = LocalFeatureExtractor.extract

    def counted(
        self: LocalFeatureExtractor, decoded: Decoded, *, is_query: bool, first_look: bool = True
    ) -> LocalFeatures | None:
        seen.append(first_look)
        return extract(self, decoded, is_query=is_query, first_look=first_look)

    monkeypatch.setattr(LocalFeatureExtractor, "extract", counted)
    return seen


def test_only_a_query_that_is_turned_is_looked_at_again(tmp_path: Path, second_looks: list[bool]) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(6):
        tiles = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(tiles).resize((480, 360), Image.Resampling.BICUBIC).save(photos / f"{number}.png")
    with Image.open(photos / "4.png") as image:
        turned = np.asarray(image.convert("RGB").rotate(90, expand=True))
    with Image.open(photos / "3.png") as image:
        part = np.asarray(image.convert("RGB").crop((0, 0, 400, 320)))
    with Library.create(tmp_path / "library") as library:
        library.index(photos)
        assert second_looks == []
        same = library.search(part, k=3)
        assert same[0].path.name == "3.png"
        assert second_looks == []
        other = library.search(turned, k=3)
        assert second_looks == [False]
        assert other[0].path.name == "4.png"
        assert other[0].probability is not None
        assert other[0].probability > 0.9
        library.search(turned, k=3, rerank="none")
        assert second_looks == [False]
        library.search(photos / "3.png", k=3, rerank="verify")
        assert second_looks == [False, False]
        (each,) = library.search_each([turned], k=3)
        assert each.results is not None
        assert [hit.path.name for hit in each.results][:1] == ["4.png"]


def test_a_query_that_is_in_the_library_finds_its_turned_original(tmp_path: Path, second_looks: list[bool]) -> None:
    """It agrees with itself at the first look, which must not be the last."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(6):
        tiles = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(tiles).resize((480, 360), Image.Resampling.BICUBIC).save(photos / f"{number}.png")
    with Image.open(photos / "4.png") as image:
        image.rotate(90, expand=True).save(photos / "turned.png")
    with Library.create(tmp_path / "library") as library:
        library.index(photos)
        found = library.search(photos / "turned.png", k=3)
        assert [hit.path.name for hit in found][:2] == ["turned.png", "4.png"]
        assert found[1].probability is not None
        assert found[1].probability > 0.5
        assert second_looks == [False]
