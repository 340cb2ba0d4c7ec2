"""An image is found by its thumbnail, also where the thumbnails of other images are found."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from kindred.library import Library
from kindred_demo import render_demo


@pytest.mark.parametrize("recipe", ["kin", "kin-whitened"])
def test_thumbnails_of_64_pixels_find_their_originals(tmp_path: Path, recipe: str) -> None:
    photos = render_demo(tmp_path / "demo", objects=4, photos=12).photos
    originals = sorted(photos.rglob("*.jpg"))
    assert len(originals) == 12
    thumbnails = [tmp_path / "thumbnails" / f"{original.stem}.jpg" for original in originals]
    thumbnails[0].parent.mkdir()
    for original, thumbnail in zip(originals, thumbnails, strict=True):
        with Image.open(original) as image:
            image.thumbnail((64, 64), Image.Resampling.LANCZOS)
            assert max(image.size) == 64
            image.save(thumbnail, quality=85)
    with Library.create(tmp_path / "library", recipe=recipe) as library:
        library.index(photos)
        pairs = list(zip(originals, thumbnails, strict=True))
        assert sum(library.search(thumbnail, k=1)[0].path == original for original, thumbnail in pairs) >= 10
        library.index(thumbnails[0].parent)
        found = [[hit.path for hit in library.search(thumbnail, k=2)] for thumbnail in thumbnails]
    # The thumbnail itself is found first, as an equal image.
    assert [paths[0] for paths in found] == thumbnails
    assert sum(paths[1] == original for paths, original in zip(found, originals, strict=True)) >= 10
