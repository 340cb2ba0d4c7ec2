"""Small pictures for tests: drawn from a number, the same on every machine, unlike one another."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Pixels = NDArray[np.uint8]


def picture(number: int, *, width: int = 64, height: int = 48) -> Pixels:
    """Draw (height, width, 3) RGB: a shaded ground with a few rectangles, all chosen by `number`."""
    random = np.random.default_rng(number)
    corners = random.integers(0, 256, (2, 2, 3)).astype(np.float64)
    y, x = np.linspace(0, 1, height)[:, None, None], np.linspace(0, 1, width)[None, :, None]
    ground = (corners[0, 0] * (1 - x) + corners[0, 1] * x) * (1 - y) + (corners[1, 0] * (1 - x) + corners[1, 1] * x) * y
    pixels: Pixels = np.rint(ground).astype(np.uint8)
    for _ in range(6):
        left, top = random.integers(0, width), random.integers(0, height)
        wide, high = random.integers(width // 8, width // 2 + 1), random.integers(height // 8, height // 2 + 1)
        pixels[top : top + high, left : left + wide] = random.integers(0, 256, 3)
    return pixels


def label(number: int) -> Image.Image:
    """Draw a label of many shapes, 400 × 300, with enough details to be recognised by."""
    random = np.random.default_rng(number)
    drawn = Image.fromarray(picture(number, width=400, height=300))
    draw = ImageDraw.Draw(drawn)
    for _ in range(40):
        left, top, side = int(random.integers(0, 380)), int(random.integers(0, 280)), int(random.integers(8, 40))
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape((left, top, left + side, top + side), fill=tuple(random.integers(0, 256, 3).tolist()))
    return drawn


def encoded(number: int, kind: str = "JPEG", *, width: int = 64, height: int = 48) -> bytes:
    """Encode `picture(number)` in a format that Pillow writes."""
    file = io.BytesIO()
    options = {"quality": 90} if kind in ("JPEG", "WEBP") else {}
    Image.fromarray(picture(number, width=width, height=height)).save(file, kind, **options)
    return file.getvalue()


def save_picture(path: Path, number: int, *, width: int = 64, height: int = 48) -> Path:
    """Write `picture(number)` to `path`, in the format of its extension (JPEG for others); return the path."""
    kind = {"png": "PNG", "webp": "WEBP", "bmp": "BMP", "gif": "GIF", "tif": "TIFF"}.get(
        path.suffix[1:].lower(), "JPEG"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(number, kind, width=width, height=height))
    return path


def make_folder(folder: Path, count: int, *, first: int = 0) -> list[Path]:
    """Write pictures `first` to `first + count − 1` as JPEG files of two shapes into `folder`; return their paths."""
    shapes = ((64, 48), (48, 64))
    return [
        save_picture(folder / f"{number:05}.jpg", number, width=shapes[number % 2][0], height=shapes[number % 2][1])
        for number in range(first, first + count)
    ]


def make_groundtruth(folder: Path, *, count: int, asked: int) -> Path:
    """Write a ground truth: each of `asked` pictures looks for one of `count`, and two of them lie among these."""
    make_folder(folder / "db", count)
    make_folder(folder / "asked", asked - 2, first=300)
    database = sorted(f"db/{path.name}" for path in (folder / "db").iterdir())
    queries = sorted(f"asked/{path.name}" for path in (folder / "asked").iterdir()) + database[10:12]
    table = {name: {"relevant": [database[at]]} for at, name in enumerate(queries)}
    file = folder / "groundtruth.json"
    file.write_text(json.dumps({"name": "numbers", "database": database, "queries": table}))
    return file


def mutated(data: bytes, other: bytes, random: np.random.Generator) -> bytes:
    """Damage an encoded image in one of four ways: flip bits, cut it off, swap headers with `other`, blank a part."""
    way = random.integers(4)
    if way == 0:
        flipped = bytearray(data)
        for at in random.integers(0, len(data), random.integers(1, 20)):
            flipped[at] ^= 1 << random.integers(8)
        return bytes(flipped)
    if way == 1:
        return data[: random.integers(0, len(data))]
    if way == 2:
        at = int(random.integers(4, 200))
        return other[:at] + data[at:]
    start = int(random.integers(0, len(data)))
    length = int(random.integers(1, len(data) // 4))
    return data[:start] + b"\0" * length + data[start + length :]
