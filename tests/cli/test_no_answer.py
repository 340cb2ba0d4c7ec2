"""What `kindred search` prints where nothing in the library probably shows the same thing as the whole query."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from commands import Kindred
from pictures import label, picture, save_picture

NOTHING = "No image of this library probably shows the same thing"


def test_small_things_are_found_without_an_option(kindred: Kindred, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(4):
        label(number).save(tmp_path / "images" / f"{number}.png")
    other = save_picture(tmp_path / "other.png", 901, width=640, height=480)
    scene = Image.fromarray(picture(77, width=2000, height=1500))
    scene.paste(label(3), (1580, 20))
    scene.save(tmp_path / "scene.png")
    library = ("--library", tmp_path / "kin")
    kindred("index", tmp_path / "images", *library, "--recipe", "kin")
    found = kindred("search", tmp_path / "scene.png", other, *library, "-k", 1)
    assert found.out.count(NOTHING) == 1
    assert "3.png" in found.out
    assert not found.err
    assert NOTHING in kindred("search", tmp_path / "scene.png", *library, "--no-regions").out
