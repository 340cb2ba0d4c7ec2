"""The default recipe finds an image by its thumbnail, since small images are enlarged to the recipe's size."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from kindred.library import Library
from kindred_demo import render_demo


def test_thumbnails_of_64_pixels_find_their_originals(tmp_path: Path) -> None:
    photos = render_demo(tmp_path / "demo", objects=4, photos=12).photos
    originals = sorted(photos.rglob("*.jpg"))
    assert len(originals) == 12
    found = 0
    with Library.create(tmp_path / "library", recipe="kin") as library:
        library.index(photos)
        for original in originals:
            with Image.open(original) as image:
                image.thumbnail((64, 64), Image.Resampling.LANCZOS)
                assert max(image.size) == 64
                image.save(tmp_path / "thumbnail.jpg", quality=85)
            found += library.search(tmp_path / "thumbnail.jpg", k=1)[0].path == original
    assert found >= 10
