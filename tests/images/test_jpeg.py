from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from kindred.errors import ImageError
from kindred.images import decode
from kindred.images.jpeg import MAX_SCANS, decode_jpeg, encode_jpeg, read_header, scaled_size
from kindred.images.reasons import Refused

if TYPE_CHECKING:
    from images.conftest import Encode, Pixels


def reason(data: bytes, longest: int | None = None) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, longest=longest)
    return caught.value.reason


def with_frame(data: bytes, at: int, value: int) -> bytes:
    """The same JPEG with one byte of its frame header changed; 0 is the precision."""
    start = data.index(b"\xff\xc0") + 4 + at
    return data[:start] + bytes([value]) + data[start + 1 :]


def test_the_header_has_size_components_and_profile(picture: Pixels, encode: Encode) -> None:
    profile = bytes(range(256)) * 600  # larger than one segment
    header = read_header(encode(picture, "JPEG", icc_profile=profile, exif=b"Exif\0\0rest"))
    assert (header.width, header.height, header.components, header.one_scan) == (64, 48, 3, True)
    assert (header.icc, header.exif) == (profile, b"Exif\0\0rest")
    assert not read_header(encode(picture, "JPEG", progressive=True)).one_scan
    assert read_header(encode(Image.fromarray(picture).convert("CMYK"), "JPEG")).adobe


@pytest.mark.parametrize(
    ("longest", "size"),
    [
        (None, (4032, 3024)),
        (504, (504, 378)),
        (505, (1008, 756)),
        (1, (504, 378)),
        (2017, (4032, 3024)),
        (9999, (4032, 3024)),
    ],
)
def test_the_scale_is_the_smallest_sufficient_one(encode: Encode, longest: int | None, size: tuple[int, int]) -> None:
    header = read_header(encode(Image.new("L", (4032, 3024)), "JPEG"))
    assert scaled_size(header, longest) == size


@pytest.mark.parametrize("longest", [None, 63, 32, 16, 8])
def test_scaled_pixels_equal_the_downscaled_picture(picture: Pixels, encode: Encode, longest: int | None) -> None:
    data = encode(picture, "JPEG", quality=95, subsampling=0)
    header = read_header(data)
    pixels = decode_jpeg(data, header, longest=longest)
    width, height = scaled_size(header, longest)
    expected = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))
    assert pixels.shape == (height, width, 3)
    assert np.abs(pixels.astype(int) - expected).mean() < 2


@pytest.mark.parametrize("longest", [None, 16])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
def test_truncation_at_any_position_is_detected(
    picture: Pixels, encode: Encode, options: dict[str, object], longest: int | None
) -> None:
    data = encode(picture, "JPEG", **options)
    assert {reason(data[:length], longest) for length in range(3, len(data) - 2)} == {"image data ends early"}


def test_a_picture_without_the_end_marker_is_whole(picture: Pixels, encode: Encode) -> None:
    data = encode(picture, "JPEG")
    assert np.array_equal(decode(data[:-2]).pixels, decode(data).pixels)
    assert np.array_equal(decode(data[:-1], longest=16).pixels, decode(data, longest=16).pixels)


def test_a_tail_of_zeros_is_refused(picture: Pixels, encode: Encode) -> None:
    data = encode(picture, "JPEG")
    half = len(data) // 2
    for tail in (bytes(half), bytes(half) + b"\xff\xd9", bytes(5 * half) + b"\xff\xd9"):
        assert reason(data[:half] + tail) in {"image data ends early", "image data is damaged"}


@pytest.mark.parametrize("longest", [None, 16])
def test_padding_and_what_follows_the_picture_do_no_harm(picture: Pixels, encode: Encode, longest: int | None) -> None:
    data = encode(picture, "JPEG", exif=bytes.fromhex("457869660000 49492a0008000000 0100 1201 0300 01000000 06000000"))
    whole = decode(data, longest=longest)
    padded = decode(data[:-2] + bytes(9) + data[-2:], longest=longest)
    assert padded.pixels.shape == whole.pixels.shape == ((64, 48, 3) if longest is None else (16, 12, 3))
    assert np.abs(padded.pixels.astype(int) - whole.pixels).mean() < 1  # Pillow's libjpeg may round otherwise
    assert (padded.width, padded.height) == (48, 64)
    assert np.array_equal(decode(data + b"a film, as phones append it", longest=longest).pixels, whole.pixels)


def test_a_lost_restart_marker_is_damage(picture: Pixels, encode: Encode) -> None:
    data = encode(picture, "JPEG", restart_marker_blocks=2)
    damaged = re.sub(rb"\xff\xd1", b"", data, count=1)
    assert len(damaged) == len(data) - 2
    assert reason(damaged) == "image data is damaged"


def test_rare_sampling_is_left_to_pillow(picture: Pixels, encode: Encode) -> None:
    data = with_frame(encode(picture, "JPEG", subsampling=0), 7, 0x31)  # 3 x 1, which simplejpeg refuses
    with pytest.raises(ValueError, match="subsampling"):
        decode_jpeg(data, read_header(data))
    assert decode(data).pixels.shape == (48, 64, 3)


def test_unsupported_files_are_reported(picture: Pixels, encode: Encode) -> None:
    data = encode(picture, "JPEG")
    assert reason(with_frame(data, 0, 12)) == "unsupported JPEG of 12 bits per sample"
    assert reason(with_frame(data, 0, 77)) == "image data is damaged"
    no_height = with_frame(with_frame(data, 1, 0), 2, 0)
    assert reason(no_height) == "image data is damaged"
    assert reason(b"\xff\xd8\xff\xd9") == "image data is damaged"


def test_a_bomb_of_scans_is_refused(picture: Pixels, encode: Encode) -> None:
    data = encode(picture, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    assert reason(data[:-2] + scan * MAX_SCANS + data[-2:]) == f"JPEG of more than {MAX_SCANS} scans"


def test_endless_padding_and_segments_end() -> None:
    start = b"\xff\xd8"
    with pytest.raises(Refused, match="ends early"):
        read_header(start + b"\xff" * 1_000_000)
    with pytest.raises(Refused, match="damaged"):
        read_header(start + b"\xff\xe5\0\2" * 20_000)


def test_a_grey_jpeg_is_decoded_to_grey(picture: Pixels, encode: Encode) -> None:
    pixels = decode(encode(picture[..., 0], "JPEG", quality=95)).pixels
    assert np.array_equal(pixels[..., 0], pixels[..., 1])
    assert np.abs(pixels[..., 2].astype(int) - picture[..., 0]).mean() < 2


@pytest.mark.parametrize("longest", [None, 32])
def test_cmyk_is_not_inverted(picture: Pixels, encode: Encode, longest: int | None) -> None:
    data = encode(Image.fromarray(picture).convert("CMYK"), "JPEG", quality=95)
    pixels = decode(data, longest=longest).pixels
    by = 1 if longest is None else 2
    expected = np.asarray(Image.fromarray(picture).reduce(by)).astype(int)
    assert np.abs(pixels - expected).mean() < 4


def test_encoding_round_trips(picture: Pixels) -> None:
    data = encode_jpeg(picture[:, ::-1], quality=90)  # not contiguous
    with Image.open(io.BytesIO(data)) as image:
        assert np.abs(np.asarray(image).astype(int) - picture[:, ::-1]).mean() < 3
