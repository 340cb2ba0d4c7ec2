from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kindred.atlas import Layout, cell_size, draw, lay_out, write_picture
from kindred.errors import UsageError

COLOURS = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]


def plain(
    colour: tuple[int, int, int], height: int = 8, width: int = 8
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.full((height, width, 3), colour, np.uint8)


def test_thumbnails_are_drawn_in_their_cells() -> None:
    layout = Layout(2, 2, np.array([[0, 0], [1, 0], [1, 1]]))
    pixels = draw(layout, [plain(colour) for colour in COLOURS], size=100)
    assert pixels.shape == (100, 100, 3)
    assert pixels[25, 25].tolist() == list(COLOURS[0])
    assert pixels[25, 75].tolist() == list(COLOURS[1])
    assert pixels[75, 75].tolist() == list(COLOURS[2])
    assert pixels[75, 25].tolist() == pixels[0, 0].tolist() == [250, 248, 244]


def test_nothing_covers_anything() -> None:
    points = np.random.default_rng(0).standard_normal((40, 2))
    colours = [(number, 255 - number, number) for number in range(40)]
    pixels = draw(lay_out(points), [plain(colour) for colour in colours], size=300)
    areas = {colour: int((pixels == colour).all(axis=2).sum()) for colour in colours}
    assert len(set(areas.values())) == 1
    assert min(areas.values()) > 100


def test_of_a_long_picture_the_middle_is_shown() -> None:
    long = np.concatenate([plain(COLOURS[0]), plain(COLOURS[1]), plain(COLOURS[2])], axis=1)
    pixels = draw(Layout(1, 1, np.array([[0, 0]])), [long], size=100)
    shown = pixels[50, 10:90]
    assert (shown == COLOURS[1]).all()


def test_pixels_enough_for_a_cell() -> None:
    for count in (1, 10, 1000):
        layout = lay_out(np.random.default_rng(0).standard_normal((count, 2)))
        pixels = draw(layout, [plain((0, 0, 0))] * count, size=2400)
        cell = pixels.shape[1] / layout.columns
        assert cell_size(count, 2400) >= min(400, 0.9 * cell)


def test_too_small_a_size_is_refused() -> None:
    layout = lay_out(np.random.default_rng(0).standard_normal((500, 2)))
    with pytest.raises(UsageError, match=r"size is 80; expected at least \d+ pixels for 500 images, or fewer images"):
        draw(layout, [plain((0, 0, 0))] * 500, size=80)


@pytest.mark.parametrize("name", ["map.png", "map.JPG", "map.webp"])
def test_the_format_follows_the_extension(name: str, tmp_path: Path) -> None:
    pixels = plain((10, 200, 30), 20, 30)
    write_picture(tmp_path / name, pixels)
    with Image.open(tmp_path / name) as image:
        assert image.size == (30, 20)
        assert image.format == {"map.png": "PNG", "map.JPG": "JPEG", "map.webp": "WEBP"}[name]
        assert np.abs(np.array(image.convert("RGB")).astype(int) - pixels).max() < 10
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_pictures_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a name that ends in \.png"):
        write_picture(tmp_path / "map.bmp", plain((0, 0, 0)))
    with pytest.raises(UsageError, match="cannot be written: no such file or folder"):
        write_picture(tmp_path / "no" / "map.png", plain((0, 0, 0)))
