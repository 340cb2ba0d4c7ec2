"""Pictures that are easily taken for one another: pages of text, variants of a product, frames of a scene."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TEXT = "the of image query vector search index library picture region page shelf book answer score graph"
WORDS = TEXT.split(" ")


def font(size: int) -> ImageFont.FreeTypeFont:
    found = ImageFont.load_default(size)
    assert isinstance(found, ImageFont.FreeTypeFont)
    return found


def photograph(number: int, *, size: tuple[int, int] = (640, 480)) -> Image.Image:
    """Soft shapes of many sizes on a shaded ground, all chosen by `number`."""
    random = np.random.default_rng(number)
    small = random.integers(30, 225, (4, 5, 3)).astype(np.uint8)
    image = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(40):
        x, y = random.uniform(0, size[0]), random.uniform(0, size[1])
        wide, high = random.uniform(0.01, 0.15, 2) * size[0]
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape((x - wide, y - high, x + wide, y + high), fill=tuple(int(each) for each in random.integers(0, 256, 3)))
    return image


def page(number: int, *, size: tuple[int, int] = (850, 1200), letters: int = 17) -> Image.Image:
    """A justified page of words chosen by `number`; pages differ in their words only."""
    return _page(number, size, letters).copy()


@lru_cache
def _page(number: int, size: tuple[int, int], letters: int) -> Image.Image:
    random = np.random.default_rng(number)
    image, face = Image.new("RGB", size, (250, 250, 250)), font(letters)
    draw = ImageDraw.Draw(image)
    for top in range(90, size[1] - 90, round(letters * 1.5)):
        words, room = [], float(size[0] - 180)
        while (word := WORDS[random.integers(len(WORDS))]) and draw.textlength(word + " ", font=face) < room:
            words.append(word)
            room -= draw.textlength(word + " ", font=face)
        gap, left = room / max(1, len(words) - 1), 90.0
        for word in words:
            draw.text((left, top), word, font=face, fill=(20, 20, 20))
            left += draw.textlength(word + " ", font=face) + gap
    return image


def product(label: str, *, colour: tuple[int, int, int] = (190, 60, 50)) -> Image.Image:
    """A bottle on white with a label: one shot of which only the label or the colour differs."""
    image = Image.new("RGB", (700, 700), "white")
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((220, 100, 480, 640), 40, fill=colour)
    draw.rectangle((300, 40, 400, 110), fill=(90, 90, 90))
    draw.rectangle((235, 260, 465, 470), fill=(245, 240, 230))
    draw.text((250, 285), "BRAND", font=font(44), fill=(20, 20, 20))
    draw.text((250, 385), label, font=font(40), fill=(180, 30, 30))
    return image


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()
