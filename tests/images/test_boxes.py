"""Properties in the boxes of AVIF and JPEG XL that the decoders do not report."""

from __future__ import annotations

import io
import struct
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, features

from kindred.errors import ImageError
from kindred.images import decode
from kindred.images.boxes import boxes, clean_aperture, has_size
from kindred.images.jxl import jxl_size
from pictures import encoded

if TYPE_CHECKING:
    from images.conftest import Encode, Pixels

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def with_property(data: bytes, kind: bytes, content: bytes) -> bytes:
    """An AVIF file with one more property of its image, put in place of the colours' (`colr`) and linked as it is."""
    new = struct.pack(">L4s", 8 + len(content), kind) + content
    at = data.index(b"colr") - 4
    (old,) = struct.unpack_from(">L", data, at)
    grown = len(new) - old
    out = bytearray(data[:at] + new + data[at + old :])
    for name in (b"meta", b"iprp", b"ipco"):
        place = out.index(name) - 4
        struct.pack_into(">L", out, place, struct.unpack_from(">L", out, place)[0] + grown)
    pixels = out.index(b"mdat") + 4
    where = out.index(b"iloc")
    place = out.index(struct.pack(">L", pixels - grown), where)
    struct.pack_into(">L", out, place, pixels)
    ipma = out.index(b"ipma")
    last = out.index(b"\1\2\x83\4", ipma) + 3
    out[last] |= 0x80  # must not be ignored, as it transforms the picture
    return bytes(out)


def aperture(width: int, height: int, right: int, low: int) -> bytes:
    return struct.pack(">LLLLlLlL", width, 1, height, 1, right, 1, low, 1)


@needs_avif
@pytest.mark.parametrize("longest", [None, 16])
def test_the_clean_aperture_of_an_avif_is_shown(picture: Pixels, encode: Encode, longest: int | None) -> None:
    data = with_property(encode(picture, "AVIF", quality=100, subsampling="4:4:4"), b"clap", aperture(32, 24, 8, -6))
    image = decode(data, longest=longest)
    assert (image.width, image.height) == (32, 24)
    expected = picture[6:30, 24:56]
    expected = expected if longest is None else np.asarray(Image.fromarray(expected).reduce(2))
    assert image.pixels.shape == expected.shape
    assert np.abs(image.pixels.astype(int) - expected).mean() < 4


@needs_avif
def test_an_aperture_outside_the_picture_is_ignored(picture: Pixels, encode: Encode) -> None:
    data = encode(picture, "AVIF")
    for wrong in (aperture(65, 48, 0, 0), aperture(32, 24, 30, 0), aperture(0, 0, 0, 0), bytes(32), b"short"):
        assert clean_aperture(with_property(data, b"clap", wrong), 64, 48) == (0, 0, 64, 48)


@needs_avif
def test_an_avif_without_its_size_is_refused(picture: Pixels, encode: Encode) -> None:
    data = encode(picture, "AVIF")
    assert has_size(data)
    with pytest.raises(ImageError) as caught:
        decode(data.replace(b"ispe", b"free"))
    assert caught.value.reason == "unsupported AVIF: without the size of its image (ispe)"


def jxl(picture: Image.Image, **options: object) -> bytes:
    plugin = pytest.importorskip("pillow_jxl", reason="needs pip install pillow-jxl-plugin")
    assert plugin
    file = io.BytesIO()
    picture.save(file, "JXL", **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("longest", [None, 16])
def test_jpeg_xl(picture: Pixels, mode: str, longest: int | None) -> None:
    image = Image.fromarray(picture).convert(mode)
    data = jxl(image, lossless=True)
    decoded = decode(data, longest=longest)
    expected = np.asarray((image if longest is None else image.reduce(4)).convert("RGB")).astype(int)
    assert (decoded.width, decoded.height) == (64, 48)
    assert np.abs(decoded.pixels - expected).max() <= 1


@pytest.mark.parametrize(
    "size", [(64, 48), (8, 8), (2, 1), (257, 300), (640, 480), (1920, 1080), (600, 500), (9000, 2)]
)
@pytest.mark.parametrize("use_container", [False, True])
def test_the_size_of_a_jpeg_xl_is_known_before_it_is_decoded(size: tuple[int, int], use_container: bool) -> None:
    data = jxl(Image.new("RGB", size), lossless=True, effort=1, use_container=use_container)
    assert jxl_size(data) == size
    with pytest.raises(ImageError, match="too large"):
        decode(data, max_pixels=size[0] * size[1] - 1)


def test_a_jpeg_xl_made_of_a_jpeg_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first box holds but a few bytes of the picture, as the data that brings back the JPEG comes in between."""
    (tmp_path / "a.jpg").write_bytes(encoded(1))  # the plugin looks for the name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(tmp_path / "a.jpg") as jpeg:
            data, pixels = jxl(jpeg), np.asarray(jpeg.convert("RGB"))
    first, *_ = [end - start for kind, start, end in boxes(data) if kind == b"jxlp"]
    assert first < 14
    assert jxl_size(data) == (64, 48)
    decoded = decode(data)
    assert np.abs(decoded.pixels.astype(int) - pixels).max() <= 4
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    monkeypatch.delitem(sys.modules, "pillow_jxl.JpegXLImagePlugin", raising=False)
    with pytest.raises(ImageError, match="JPEG XL needs an optional package") as caught:
        decode(data)
    assert not caught.value.final


def test_a_damaged_jpeg_xl_is_refused(picture: Pixels) -> None:
    data = jxl(Image.fromarray(picture))
    for broken in (data[: len(data) // 2], data[:20], data[:5], data[:30] + bytes(len(data) - 30)):
        with pytest.raises(ImageError) as caught:
            decode(broken)
        assert caught.value.final


def test_jpeg_xl_without_its_package_reports_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    monkeypatch.delitem(sys.modules, "pillow_jxl.JpegXLImagePlugin", raising=False)
    with pytest.raises(ImageError) as caught:
        decode(b"\xff\x0a" + bytes([0x7F, 0x02, 0x08] * 20))
    assert caught.value.reason == "JPEG XL needs an optional package: pip install pillow-jxl-plugin"
    assert not caught.value.final
