from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kindred.images.exif import Exif, read_exif


def block(*, order: str = "<", orientation: int = 6, original: bytes = b"", changed: bytes = b"") -> bytes:
    """An EXIF block by hand: a folder of orientation, change date and EXIF folder; that; then the dates."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "L", 8)
    dates_at = 8 + 2 + 3 * 12 + 4 + 2 + 12 + 4
    entries = struct.pack(order + "H", 3)
    entries += struct.pack(order + "HHLHH", 0x0112, 3, 1, orientation, 0)
    entries += struct.pack(order + "HHLL", 0x0132, 2, len(changed), dates_at)
    entries += struct.pack(order + "HHLL", 0x8769, 4, 1, 8 + 2 + 3 * 12 + 4) + bytes(4)
    folder = struct.pack(order + "H", 1)
    folder += struct.pack(order + "HHLL", 0x9003, 2, len(original), dates_at + len(changed)) + bytes(4)
    return b"Exif\0\0" + head + entries + folder + changed + original


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_and_original_date_in_either_byte_order(order: str) -> None:
    data = block(order=order, original=b"2017:07:09 10:11:12\0", changed=b"2020:01:01 00:00:00\0")
    assert read_exif(data) == Exif(6, "2017-07-09T10:11:12")
    assert read_exif(data[6:]) == Exif(6, "2017-07-09T10:11:12")


def test_the_date_of_change_is_used_if_there_is_no_other() -> None:
    assert read_exif(block(changed=b"2020:01:02 03:04:05\0")).taken == "2020-01-02T03:04:05"


@pytest.mark.parametrize("date", [b"0000:00:00 00:00:00\0", b"2020:13:45 03:04:05\0", b"yesterday\0", b"    \0"])
def test_an_impossible_date_is_none(date: bytes) -> None:
    assert read_exif(block(original=date)).taken is None


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_impossible_orientation_is_upright(orientation: int) -> None:
    assert read_exif(block(orientation=orientation)).orientation == 1


def test_it_agrees_with_pillow() -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    exif.get_ifd(0x8769)[0x9004] = "2011:12:13 14:15:16"
    assert read_exif(exif.tobytes()) == Exif(8, "2011-12-13T14:15:16")


def test_a_truncated_block_gives_the_tags_read_so_far() -> None:
    data = block(original=b"2017:07:09 10:11:12\0")
    results = {read_exif(data[:length]) for length in range(len(data) - 1)}  # but for the closing zero
    assert results == {Exif(1, None), Exif(6, None), Exif(6, "2017-07-09T10:11:12")} - {read_exif(data)}


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_ignored(garbage: bytes) -> None:
    for data in (garbage, b"II*\0\x08\0\0\0" + garbage, b"Exif\0\0MM\0*\0\0\0\x08" + garbage):
        assert 1 <= read_exif(data).orientation <= 8


def test_a_directory_that_points_to_itself_ends() -> None:
    loop = b"II*\0\x08\0\0\0" + struct.pack("<HHHLL", 1, 0x8769, 4, 1, 8) + bytes(4)
    assert read_exif(loop) == Exif()
