"""Confirmation by pixels: which changes leave a picture the same, and which do not."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from kindred.duplicates.alignment import Alignment, coarse_alignment, refine_alignment, warped
from kindred.duplicates.confirmation import confirm, grey, may_be_same
from kindred.images import decode, resize
from lookalikes import font, jpeg, page, photograph, product

Change = Callable[[Image.Image], bytes]


def scaled(image: Image.Image, by: float) -> Image.Image:
    return image.resize((round(image.width * by), round(image.height * by)), Image.Resampling.LANCZOS)


def cut(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    return image.crop(
        (round(width * left), round(height * top), round(width * (1 - right)), round(height * (1 - bottom)))
    )


def graded(image: Image.Image) -> Image.Image:
    """Warmer, and lighter in the middle tones."""
    levels = np.asarray(image, np.float32) * [1.08, 1.0, 0.88] + [6, 0, -4]
    return Image.fromarray((255 * (levels.clip(0, 255) / 255) ** 0.9).astype(np.uint8))


def webp(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=50)
    return file.getvalue()


COPIES: dict[str, Change] = {
    "JPEG quality 30": lambda image: jpeg(image, 30),
    "WebP": webp,
    "half the size": lambda image: jpeg(scaled(image, 0.5)),
    "a quarter of the size": lambda image: jpeg(scaled(image, 0.25)),
    "edges cut by 2 %": lambda image: jpeg(cut(image, 0.02, 0.02, 0.02, 0.02)),
    "edges cut by 5 %": lambda image: jpeg(cut(image, 0.05, 0.05, 0.05, 0.05)),
    "left cut by 10 %": lambda image: jpeg(cut(image, 0.1, 0, 0, 0)),
    "bottom cut by 10 %": lambda image: jpeg(cut(image, 0, 0, 0, 0.1)),
    "cut, half the size, quality 40": lambda image: jpeg(scaled(cut(image, 0.03, 0.05, 0.02, 0), 0.5), 40),
    "a fifth brighter": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(1.2)),
    "a fifth darker": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(0.8)),
    "less contrast": lambda image: jpeg(ImageEnhance.Contrast(image).enhance(0.75)),
    "graded": lambda image: jpeg(graded(image)),
    "grey": lambda image: jpeg(image.convert("L")),
    "sharpened": lambda image: jpeg(ImageEnhance.Sharpness(image).enhance(2)),
}
PICTURES = {
    "photograph": photograph(1),
    "upright photograph": photograph(2, size=(480, 720)),
    "page": page(1),
    "product": product("apple"),
}


def agreement(one: bytes | Image.Image, other: bytes | Image.Image) -> float | None:
    """Compare like `find_duplicates`: thumbnails first, then pixels."""
    first, second = (decode(each, longest=512).pixels for each in (one, other))
    small = [grey(resize(each, longest=96)) for each in (first, second)]
    alignment = may_be_same(*small)
    return None if alignment is None else confirm(resize(first, longest=512), resize(second, longest=512), alignment)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("change", COPIES)
def test_a_changed_copy_is_the_same_picture(name: str, change: str) -> None:
    score = agreement(PICTURES[name], COPIES[change](PICTURES[name]))
    assert score is not None
    assert 0.8 <= score <= 1


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_agrees_with_itself_entirely(name: str) -> None:
    assert agreement(PICTURES[name], PICTURES[name]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("size", [(64, 48), (96, 72), (200, 150)])
def test_a_thumbnail_is_the_same_picture_and_not_that_of_another(size: tuple[int, int]) -> None:
    thumbnails = [jpeg(photograph(number).resize(size, Image.Resampling.LANCZOS)) for number in range(4)]
    found = [[agreement(photograph(one), each) is not None for each in thumbnails] for one in range(4)]
    assert found == np.eye(4, dtype=bool).tolist()


@pytest.mark.parametrize("letters", [13, 17, 26])
@pytest.mark.parametrize("reduced", [1, 0.5, 0.25])
def test_pages_of_other_text_are_not_the_same(letters: int, reduced: float) -> None:
    one, other = page(1, letters=letters), scaled(page(2, letters=letters), reduced)
    assert agreement(one, jpeg(other)) is None


def test_pages_that_differ_in_one_line_are_not_the_same() -> None:
    one, other = page(1), page(1)
    strip = page(2).crop((0, 600, 850, 640))
    other.paste(strip, (0, 600))
    assert agreement(one, jpeg(other)) is None


@pytest.mark.parametrize(
    ("one", "other"), [("apple", "orange"), ("apple", "apples"), ("0.5 l", "1.0 l"), ("100 g", "200 g")]
)
@pytest.mark.parametrize("quality", [95, 50])
def test_a_product_with_another_label_is_not_the_same(one: str, other: str, quality: int) -> None:
    assert agreement(product(one), jpeg(product(other), quality)) is None


def test_a_product_of_another_colour_is_not_the_same_though_its_grey_levels_agree() -> None:
    red, blue = product("apple", colour=(200, 60, 60)), product("apple", colour=(60, 98, 200))
    assert np.abs(grey(np.asarray(red)) - grey(np.asarray(blue))).max() < 20
    assert agreement(red, jpeg(blue)) is None


def test_blank_and_nearly_blank_pictures_are_never_the_same() -> None:
    white = Image.new("RGB", (400, 500), "white")
    assert agreement(white, white) is None
    numbered = white.copy()
    ImageDraw.Draw(numbered).text((190, 470), "12", font=font(16), fill="black")
    assert agreement(numbered, jpeg(numbered, 60)) is None


def test_a_negative_is_not_the_same() -> None:
    picture = photograph(5)
    assert agreement(picture, Image.eval(picture, lambda level: 255 - level)) is None


def test_two_frames_of_one_scene_are_not_the_same() -> None:
    first, second = photograph(6), photograph(6)
    for image, at in ((first, 200), (second, 260)):
        ImageDraw.Draw(image).ellipse((at, 250, at + 60, 350), fill=(240, 30, 30))
    assert agreement(first, second) is None


def test_an_alignment_is_found_and_refined() -> None:
    whole = photograph(7)
    first = np.asarray(whole.convert("L").resize((96, 72), Image.Resampling.BOX), np.float32)
    window = cut(whole.convert("L"), 0.12, 0.02, 0, 0.08)
    second = np.asarray(window.resize((96, 72), Image.Resampling.BOX), np.float32)
    start = coarse_alignment(first, second, stretch=(0.88 / 0.9))
    found, score = refine_alignment(first, second, start)
    # x from −1 to 1 of the whole is 0 to 1; the window runs from 0.12 to 1.
    assert found.scale_x == pytest.approx(1 / 0.88, abs=0.01)
    assert found.scale_y == pytest.approx(1 / 0.9, abs=0.01)
    assert found.shift_x == pytest.approx(-0.12 / 0.88, abs=0.02)
    assert found.shift_y == pytest.approx(0.06 / 0.9, abs=0.02)
    assert score > 0.98


def test_a_warped_image_is_sampled_at_pixel_centres() -> None:
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32), (8, 8))
    part, rows, columns = warped(ramp, Alignment(), (8, 8))
    assert (rows, columns) == (slice(0, 8), slice(0, 8))
    np.testing.assert_allclose(part, ramp)
    part, _, columns = warped(ramp, Alignment(shift_x=0.5), (8, 8))  # two pixels to the right
    assert columns == slice(0, 6)
    np.testing.assert_allclose(part[0], [2, 3, 4, 5, 6, 7])
