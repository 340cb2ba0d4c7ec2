"""What `kindred search` prints where nothing in the library probably shows the same thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import Kindred
from pictures import make_folder, save_picture

pytest.importorskip("cv2")


def test_where_nothing_is_probable_regions_are_offered_once(kindred: Kindred, tmp_path: Path) -> None:
    make_folder(tmp_path / "images", 30)
    query, other = (save_picture(tmp_path / f"{number}.png", number, width=320, height=240) for number in (900, 901))
    library = ("--library", tmp_path / "kin")
    kindred("index", tmp_path / "images", *library, "--recipe", "kin")
    offered = "--regions also searches for parts of the image"
    found = kindred("search", query, other, *library)
    assert found.out.count("No image of this library probably shows the same thing") == 2
    assert found.err.count(offered) == 1
    assert offered not in kindred("search", query, *library, "--regions").err
    assert offered not in kindred("search", query, *library, "--json").err
    assert offered not in kindred("search", query, query, *library, "--together").err
    assert offered not in kindred("search", tmp_path / "images" / "00003.jpg", *library).err
