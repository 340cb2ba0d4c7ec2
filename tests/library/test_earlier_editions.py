"""Libraries made with an earlier edition of a bundled recipe are searched as before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from kindred.library import Library
from kindred.recipe import Recipe


def test_a_library_of_the_default_with_sift_still_gives_probabilities(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        tiles = np.random.default_rng(number).integers(0, 256, (15, 20, 3), dtype=np.uint8)
        Image.fromarray(tiles).resize((320, 240), Image.Resampling.BICUBIC).save(photos / f"{number}.png")
    earlier = replace(Recipe.load("kin"), features="sift", words="points-words4096", calibration="kin-calibration")
    with Library.create(tmp_path / "library", recipe=earlier) as library:
        library.index(photos)
    with Library.open(tmp_path / "library") as library:
        first = library.search(photos / "1.png")[0]
    assert first.path.name == "1.png"
    assert first.probability is not None
    assert first.probability > 0.5
