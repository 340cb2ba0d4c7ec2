"""What `kindred search` prints where nothing in the library probably shows the same thing."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

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
    plain = tmp_path / "plain.png"
    Image.new("RGB", (320, 240), (30, 90, 160)).save(plain)  # without local features, which decide on regions
    found = kindred("search", plain, *library)
    assert "No image of this library probably shows the same thing" in found.out
    assert offered not in found.err
    # A plain part of an image is plain as well.
    Image.open(query).resize((160, 240)).save(query)
    wide = Image.new("RGB", (320, 240), (30, 90, 160))
    wide.paste(Image.open(query), (160, 0))
    wide.save(plain)
    for crop, offers in (("0,0,150,240", False), ("160,0,320,240", True)):
        found = kindred("search", plain, *library, "--crop", crop)
        assert "No image of this library probably shows the same thing" in found.out
        assert (offered in found.err) is offers
