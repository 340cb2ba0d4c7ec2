from __future__ import annotations

import io
import struct
import sys
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageFile, features

from kindred.errors import ImageError, UsageError
from kindred.images import decode

if TYPE_CHECKING:
    from images.conftest import Encode, Pixels

LOSSLESS: list[tuple[str, dict[str, object]]] = [
    ("PNG", {}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", {"big_tiff": True}),
    ("WEBP", {"lossless": True}),
]
LOSSY: list[tuple[str, dict[str, object]]] = [
    ("JPEG", {"quality": 95}),
    ("JPEG", {"quality": 95, "progressive": True}),
    ("TIFF", {"compression": "jpeg", "quality": 95}),
    ("WEBP", {"quality": 95}),
    ("GIF", {}),
]
EXIF = Image.Exif()
EXIF[0x0112] = 6
EXIF.get_ifd(0x8769)[0x9003] = "2017:07:09 10:11:12"


def refused(source: bytes | Path | Image.Image, *, max_pixels: int = 200_000_000) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(source, max_pixels=max_pixels)
    return caught.value


def reason(source: bytes | Path | Image.Image, *, max_pixels: int = 200_000_000) -> str:
    return refused(source, max_pixels=max_pixels).reason


def png_of(width: int, height: int) -> bytes:
    """The first bytes of a PNG that claims this size."""
    header = b"IHDR" + struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">L", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">L", 13) + header + crc + struct.pack(">L", 0) + b"IDAT" + bytes(4)


@pytest.mark.parametrize(("name", "options"), LOSSLESS)
def test_lossless_files_are_decoded_exactly(
    picture: Pixels, encode: Encode, name: str, options: dict[str, object]
) -> None:
    image = decode(encode(picture, name, **options))
    assert (image.width, image.height, image.taken) == (64, 48, None)
    assert np.array_equal(image.pixels, picture)
    assert image.pixels.flags.c_contiguous
    assert image.pixels.flags.writeable


@pytest.mark.parametrize(("name", "options"), LOSSY)
def test_lossy_files_are_decoded_approximately(
    picture: Pixels, encode: Encode, name: str, options: dict[str, object]
) -> None:
    pixels = decode(encode(picture, name, **options)).pixels
    assert pixels.shape == (48, 64, 3)
    assert np.abs(pixels.astype(int) - picture).mean() < 4


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif(picture: Pixels, encode: Encode) -> None:
    image = decode(encode(picture, "AVIF", quality=95, exif=EXIF.tobytes()))
    assert (image.width, image.height, image.taken) == (48, 64, "2017-07-09T10:11:12")
    assert np.abs(image.pixels.astype(int) - np.rot90(picture, -1)).mean() < 4


def test_heic(picture: Pixels) -> None:
    heif = pytest.importorskip("pillow_heif", reason="needs pip install pillow-heif")
    file = io.BytesIO()
    heif.from_pillow(Image.fromarray(picture)).save(file, quality=95)
    image = decode(file.getvalue())
    assert (image.width, image.height) == (64, 48)
    assert np.abs(image.pixels.astype(int) - picture).mean() < 4
    assert reason(file.getvalue()[:-20]) == "image data ends early"
    assert "HEIF" not in Image.OPEN  # nothing was registered with Pillow


def test_heic_without_its_package_reports_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    heic = struct.pack(">L", 24) + b"ftypheic" + bytes(4) + b"mif1heic" + struct.pack(">L", 8) + b"mdat"
    assert not refused(heic).final
    assert reason(heic) == "HEIC needs an optional package: pip install pillow-heif"


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_of_several_frames_is_decoded(encode: Encode, name: str) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue", "lime")]
    options: dict[str, object] = {"lossless": True} if name == "WEBP" else {}
    data = encode(frames[0], name, save_all=True, append_images=frames[1:], **options)
    assert (decode(data).pixels == [255, 0, 0]).all()


@pytest.mark.parametrize(("name", "suffix"), [("PNG", ".jpg"), ("JPEG", ".png"), ("GIF", ".tiff"), ("BMP", ".heic")])
def test_the_format_is_detected_by_content(
    picture: Pixels, encode: Encode, tmp_path: Path, name: str, suffix: str
) -> None:
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(encode(picture, name))
    assert np.abs(decode(path).pixels.astype(int) - picture).mean() < 5
    assert np.array_equal(decode(str(path)).pixels, decode(path).pixels)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("longest", [None, 16])
def test_exif_turns_the_picture_upright(picture: Pixels, encode: Encode, name: str, longest: int | None) -> None:
    stored = np.ascontiguousarray(np.rot90(picture))  # orientation 6 turns it back
    image = decode(encode(stored, name, quality=95, exif=EXIF.tobytes()), longest=longest)
    assert (image.width, image.height) == (64, 48)
    expected = picture if longest is None else np.asarray(Image.fromarray(picture).reduce(4))
    assert image.pixels.shape == expected.shape
    assert np.abs(image.pixels.astype(int) - expected).mean() < 4
    assert image.taken == "2017-07-09T10:11:12"


@pytest.mark.parametrize(("name", "options"), LOSSLESS[:-1] + LOSSY)
@pytest.mark.parametrize("longest", [1, 20, 63, 64, 65, 1000])
def test_longest_is_a_lower_bound(
    picture: Pixels, encode: Encode, name: str, options: dict[str, object], longest: int
) -> None:
    image = decode(encode(picture, name, **options), longest=longest)
    height, width = image.pixels.shape[:2]
    assert (image.width, image.height) == (64, 48)
    assert min(longest, 64) <= width <= 64
    assert width < max(2 * longest + 8, 9)
    assert height == pytest.approx(width * 0.75, abs=1)


def test_pillow_images_and_arrays(picture: Pixels, encode: Encode) -> None:
    assert np.array_equal(decode(Image.fromarray(picture)).pixels, picture)
    assert np.array_equal(decode(picture).pixels, picture)
    assert np.array_equal(decode(picture[..., 0]).pixels[..., 1], picture[..., 0])
    assert np.array_equal(decode(picture.astype(np.uint16) * 257).pixels, picture)
    with Image.open(io.BytesIO(encode(picture, "PNG", exif=EXIF.tobytes()))) as image:
        assert np.array_equal(decode(image).pixels, np.rot90(picture, -1))
    with Image.open(io.BytesIO(encode(picture, "TIFF"))) as image:
        image.load()
        assert np.array_equal(decode(image).pixels, picture)
    with Image.open(io.BytesIO(encode(picture, "JPEG")[:-200])) as image:
        assert reason(image) == "image data ends early"


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_an_array_of_another_type_or_shape_is_a_usage_error(array: Pixels) -> None:
    with pytest.raises(UsageError, match="is not an image; expected uint8 or uint16"):
        decode(array)


def test_a_longest_below_one_is_a_usage_error(picture: Pixels) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        decode(picture, longest=0)


def test_reasons_for_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg"
    assert reason(path) == "file vanished"
    path.touch()
    assert reason(path) == "empty file"
    assert reason(tmp_path) == "is a folder"
    assert reason(Path("a\0b.jpg")).startswith("cannot be read: ")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert reason(path) == "cannot be read: permission denied"


def test_only_reasons_in_the_content_are_final(
    picture: Pixels, encode: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(picture, "PNG")
    for damaged in (b"", b"a text", b"%PDF-1.7", data[:100], data[:60] + bytes(len(data) - 60)):
        assert refused(damaged).final
    assert not refused(tmp_path / "gone.png").final
    assert not refused(tmp_path).final
    assert not refused(data, max_pixels=100).final  # another limit may be set
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for error in (PermissionError(13, "Permission denied"), OSError(5, "Input/output error"), MemoryError()):

        def fail(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(Path, "open", fail)
        assert not refused(path).final


def test_the_error_names_the_source(tmp_path: Path) -> None:
    for source, name in ((tmp_path / "no.jpg", tmp_path / "no.jpg"), (b"", "<bytes>"), ("no.jpg", "no.jpg")):
        with pytest.raises(ImageError) as caught:
            decode(source)
        assert caught.value.path == name
        assert str(caught.value) == f"{name}: {caught.value.reason}"


def test_a_huge_file_that_is_not_an_image_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "film.jpg"
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse: a terabyte that takes no room
    assert reason(path) == "not an image"
    with path.open("r+b") as file:
        file.write(b"\xff\xd8\xff\xe0")
    assert reason(path) == "too large: 1099512 megabytes"


def test_decompression_bombs_are_refused_before_memory_is_allocated(picture: Pixels, encode: Encode) -> None:
    assert reason(png_of(20_000, 20_000)) == "too large: 400 megapixels, limit 200"
    assert reason(png_of(2**31 - 1, 2**31 - 1)).startswith("too large: ")
    for name in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"):
        data = encode(picture, name)
        assert reason(data, max_pixels=3071) == "too large: 0.003072 megapixels, limit 0.003071"
        assert decode(data, max_pixels=3072).width == 64
    assert reason(Image.fromarray(picture), max_pixels=3071).startswith("too large: ")


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"])
def test_a_limit_set_in_pillow_neither_warns_nor_changes(
    picture: Pixels, encode: Encode, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    data = encode(picture, name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # Pillow warns above, and fails above twice as many
    assert decode(data).width == 64
    assert Image.MAX_IMAGE_PIXELS == 2000
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_tiff_over_pillows_limit_is_decoded(picture: Pixels, encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(picture, "TIFF", exif=EXIF.tobytes())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert np.array_equal(decode(data).pixels, np.rot90(picture, -1))


def test_warnings_of_pillow_about_a_tiff_are_suppressed(picture: Pixels, encode: Encode) -> None:
    data = bytearray(encode(picture, "TIFF", software="a long name"))
    at = data.index(struct.pack("<HHL", 305, 2, 12)) + 8
    data[at : at + 4] = b"\xff\xff\xff\x7f"  # the name of the software lies past the end of the file
    with pytest.warns(UserWarning, match="."), Image.open(io.BytesIO(data)):
        pass
    before = list(warnings.filters)
    assert np.array_equal(decode(bytes(data)).pixels, picture)
    assert list(warnings.filters) == before


def test_warnings_of_pillow_about_an_animated_png_are_suppressed(picture: Pixels, encode: Encode) -> None:
    data = encode(picture, "PNG")
    chunk = b"acTL" + bytes(8)
    animated = data[:33] + struct.pack(">L", 8) + chunk + struct.pack(">L", zlib.crc32(chunk)) + data[33:]
    with pytest.warns(UserWarning, match="Invalid APNG"), Image.open(io.BytesIO(animated)):
        pass
    assert np.array_equal(decode(animated).pixels, picture)


@pytest.mark.parametrize(("name", "options"), LOSSLESS + LOSSY)
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_a_truncated_file_is_refused(
    picture: Pixels, encode: Encode, name: str, options: dict[str, object], part: float
) -> None:
    data = encode(picture, name, **options)
    why = reason(data[: int(part * len(data))])
    if name in ("TIFF", "GIF"):  # which may be cut within their tables
        assert why in {
            "image data ends early",
            "image data is damaged",
            f"damaged or unsupported {name} file",
        }
    else:
        assert why == "image data ends early"


def test_decoding_is_thread_safe(picture: Pixels, encode: Encode) -> None:
    files = [encode(picture, name, **options) for name, options in LOSSLESS + LOSSY]
    alone = [decode(data).pixels for data in files]
    before = list(warnings.filters)
    start = threading.Barrier(4)

    def work(_: int) -> list[bool]:
        start.wait(60)
        return [np.array_equal(decode(data).pixels, pixels) for data, pixels in zip(files, alone, strict=True)]

    with ThreadPoolExecutor(4) as pool:
        assert all(all(same) for same in pool.map(work, range(4)))
    assert list(warnings.filters) == before
