"""The development photo folder: every file is decoded or refused as its manifest declares."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from kindred.errors import ImageError
from kindred.images import decode, find_images

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def photos(shared: Path) -> Path:
    return shared / "data" / "photos"


def outcome(path: Path, skipped: str | None, longest: int | None) -> tuple[str, str, str, str]:
    """The result of decoding a file, in the format of the manifest: expected, reason, width, height."""
    if skipped is not None:
        return "skipped", skipped, "", ""
    try:
        image = decode(path, longest=longest)
    except ImageError as error:
        return "skipped", error.reason, "", ""
    assert image.pixels.dtype == np.uint8
    assert max(image.pixels.shape) >= min(longest or 10_000, max(image.width, image.height))
    assert image.pixels.shape[0] / image.pixels.shape[1] == pytest.approx(image.height / image.width, rel=0.02)
    return "indexed", "", str(image.width), str(image.height)


@pytest.mark.parametrize("longest", [None, 320])
def test_every_file_of_the_manifest(photos: Path, longest: int | None) -> None:
    with (photos / "MANIFEST.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    expected = {}
    for path, row in rows.items():
        size = (row["width"], row["height"]) if row["expected"] == "indexed" else ("", "")
        expected[path] = (row["expected"], row["reason"], *size)
    happened = {
        found.path.relative_to(photos).as_posix(): outcome(found.path, found.reason, longest)
        for found in find_images(photos)
    }
    assert len(expected) == 59
    assert happened == expected


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("longest", [None, 160])
def test_turned_copies_match_the_upright_original(photos: Path, orientation: int, longest: int | None) -> None:
    upright = decode(photos / "rotated" / "portal.jpg", longest=longest).pixels
    turned = decode(photos / "rotated" / f"portal-orientation-{orientation}.jpg", longest=longest).pixels
    assert turned.shape == upright.shape
    assert np.abs(turned.astype(int) - upright).mean() < 4


def grey(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    return np.asarray(Image.fromarray(pixels).convert("L").resize(size, Image.Resampling.BOX))


@pytest.mark.parametrize("longest", [None, 100])
def test_the_cmyk_scan_is_not_inverted(photos: Path, longest: int | None) -> None:
    """The grey scan shows the same church from elsewhere: light walls and sky, dark below."""
    cmyk = grey(decode(photos / "scans" / "basilica-cmyk.jpg", longest=longest).pixels, (36, 48))
    sibling = grey(decode(photos / "scans" / "basilica-grey.png").pixels, (36, 48))
    assert np.corrcoef(cmyk.ravel(), sibling.ravel())[0, 1] > 0.4
    assert min(cmyk[:4, :4].mean(), sibling[:4, :4].mean()) > 150  # the sky


def test_the_sixteen_bit_scan_has_its_tones(photos: Path) -> None:
    pixels = decode(photos / "scans" / "bark-16bit.png").pixels
    assert 60 < pixels.mean() < 200
    assert pixels.std() > 25
    assert (pixels == 255).mean() < 0.05


def test_the_background_of_the_cut_out_pineapple_is_white(photos: Path) -> None:
    pixels = decode(photos / "downloads" / "pineapple.png").pixels
    assert (pixels[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()


def test_display_p3_becomes_srgb_also_at_a_reduced_scale(photos: Path) -> None:
    path = photos / "2017-07 forest" / "IMG_1038.JPG"
    with Image.open(path) as image:
        image.draft("RGB", (504, 378))
        plain = ImageOps.exif_transpose(image)
    p3 = ImageCms.ImageCmsProfile(io.BytesIO(plain.info["icc_profile"]))
    converted = ImageCms.profileToProfile(plain, p3, ImageCms.createProfile("sRGB"))
    pixels = decode(path, longest=320).pixels.astype(int)
    assert pixels.shape == (504, 378, 3)
    assert np.abs(pixels - np.asarray(converted)).mean() < 0.5
    assert np.abs(pixels - np.asarray(plain)).mean() > 1.0
