"""Images in memory and from their files: the same pixels, and reasons for those that cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from kindred.errors import ImageError
from kindred.images import decode
from kindred.training import image_cache as module
from kindred.training.image_cache import ImageCache, image_memory, read_images
from pictures import make_folder, picture, save_picture

ROOM = 40 * 30 * 3  # bytes of a picture at 40 pixels of the longer side


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Six pictures of 64 × 48 and 48 × 64 pixels."""
    return make_folder(tmp_path, 6)


def test_what_is_kept_has_the_pixels_of_its_file(paths: list[Path]) -> None:
    kept, none_refused = read_images(paths, longest=40)
    read, also = read_images(paths, longest=40, memory=0)
    assert (kept.cached, read.cached, none_refused, also) == (6, 0, {}, {})
    assert kept.paths == read.paths == tuple(paths)
    assert len(kept) == len(read) == 6
    for number in range(6):
        assert kept[number].dtype == np.uint8
        assert kept[number].shape == ((30, 40, 3), (40, 30, 3))[number % 2]
        np.testing.assert_array_equal(kept[number], read[number])
    assert kept[3] is kept[3]


def test_no_more_is_kept_than_there_is_room_for(paths: list[Path]) -> None:
    some, _ = read_images(paths, longest=40, memory=2 * ROOM + ROOM // 2)
    everything, _ = read_images(paths, longest=40)
    assert some.cached == 2
    for number in range(6):
        np.testing.assert_array_equal(some[number], everything[number])


def test_small_images_are_not_enlarged(tmp_path: Path) -> None:
    path = save_picture(tmp_path / "small.png", 3)
    found, _ = read_images([path], longest=500)
    np.testing.assert_array_equal(found[0], picture(3))


def test_what_cannot_be_used_is_refused_with_its_reason(paths: list[Path], tmp_path: Path) -> None:
    bad = {tmp_path / "empty.jpg": b"", tmp_path / "text.jpg": b"no picture"}
    for path, data in bad.items():
        path.write_bytes(data)
    seen: list[tuple[int, int]] = []
    asked = [paths[0], *bad, paths[1], tmp_path / "gone.jpg", *paths[2:]]
    found, refused = read_images(asked, longest=40, progress=lambda *here: seen.append(here))
    assert found.paths == tuple(paths)
    assert found.cached == 6
    assert list(refused) == [*bad, tmp_path / "gone.jpg"]
    assert list(refused.values())[:2] == ["empty file", "not an image"]
    assert seen == [(number, 9) for number in range(1, 10)]
    for number in range(6):
        np.testing.assert_array_equal(found[number], read_images(paths, longest=40)[0][number])


@pytest.mark.parametrize("memory", [0, None])
def test_a_file_that_goes_away_is_an_error_unless_it_is_kept(memory: int | None, paths: list[Path]) -> None:
    found, _ = read_images(paths, longest=40, memory=memory)
    before = found[1].copy()
    paths[1].unlink()
    if memory is None:
        np.testing.assert_array_equal(found[1], before)
        return
    with pytest.raises(ImageError) as raised:
        found[1]
    assert raised.value.path == paths[1]
    assert found[2].shape == (30, 40, 3)


def test_a_part_shares_what_is_in_memory(paths: list[Path]) -> None:
    found, _ = read_images(paths, longest=40, memory=4 * ROOM)
    part = found.subset([4, 3, 0])
    assert part.paths == (paths[4], paths[3], paths[0])
    assert (part.cached, part.longest) == (2, 40)
    assert part[1] is found[3]
    np.testing.assert_array_equal(part[0], found[4])


def test_arrays_are_pictures_too() -> None:
    images = [picture(number, width=40 + number) for number in range(3)]
    found = ImageCache.from_arrays(images)
    assert (len(found), found.cached, found.longest) == (3, 3, 48)
    assert all(found[number] is image for number, image in enumerate(images))
    assert len(ImageCache.from_arrays([])) == 0


def test_pictures_may_take_a_quarter_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}
    monkeypatch.setattr(os, "sysconf", values.__getitem__)
    assert image_memory() == 1_024_000
    monkeypatch.setattr(os, "sysconf", _unknown)
    assert image_memory() == 2**31


def test_as_much_as_that_is_kept_unless_said_otherwise(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "image_memory", lambda: 3 * ROOM)
    assert read_images(paths, longest=40)[0].cached == 3


def _unknown(name: str) -> int:
    raise ValueError(name)


def test_an_image_that_is_nearly_as_large_is_decoded_as_any(tmp_path: Path) -> None:
    path = save_picture(tmp_path / "large.jpg", 5, width=400, height=300)
    found, _ = read_images([path], longest=80)
    assert found[0].shape == (60, 80, 3)
    whole = decode(path).pixels.reshape(60, 5, 80, 5, 3).mean(axis=(1, 3))
    assert np.abs(found[0] - whole).mean() < 4
