"""No message of a decoder reaches the terminal, and no process-wide setting is changed."""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from kindred.errors import ImageError
from kindred.images import decode
from kindred.images.quiet import quiet_pillow

if TYPE_CHECKING:
    from images.conftest import Encode, Pixels


def warn_as(module: str) -> None:
    warnings.warn_explicit("from a decoder", UserWarning, "decoder.py", 1, module=module)


def test_only_pillows_warnings_are_silenced_and_only_inside() -> None:
    before = list(warnings.filters)
    with quiet_pillow():
        warn_as("PIL.TiffImagePlugin")
        with pytest.warns(UserWarning, match="from a decoder"):
            warn_as("somebody.else")
    assert list(warnings.filters) == before
    with pytest.warns(UserWarning, match="from a decoder"):
        warn_as("PIL.TiffImagePlugin")


def test_overlapping_threads_restore_the_warning_filters() -> None:
    before = list(warnings.filters)
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with quiet_pillow():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=stay)
    thread.start()
    inside.wait(60)
    with quiet_pillow():
        pass
    warn_as("PIL.PngImagePlugin")  # the other thread is still inside
    leave.set()
    thread.join()
    assert list(warnings.filters) == before


@pytest.fixture
def damaged_lzw(picture: Pixels, encode: Encode) -> bytes:
    """A TIFF file that makes libtiff print a message."""
    data = bytearray(encode(picture, "TIFF", compression="tiff_lzw"))
    data[200:2000] = bytes([0x5A, 0xC3] * 900)
    return bytes(data)


def load_by_pillow(data: bytes) -> None:
    with pytest.raises(OSError, match="decoder error"), Image.open(io.BytesIO(data)) as image:
        image.load()


def test_libtiff_is_silent_under_threads_and_prints_again_afterwards(
    damaged_lzw: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    load_by_pillow(damaged_lzw)
    assert "tempfile.tif" in capfd.readouterr().err

    def work(_: int) -> str:
        with pytest.raises(ImageError) as caught:
            decode(damaged_lzw)
        return caught.value.reason

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(work, range(40))) == {"image data is damaged"}
    assert capfd.readouterr().err == ""
    load_by_pillow(damaged_lzw)
    assert "tempfile.tif" in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of Python 3.12, about what is tested
def test_a_child_forked_during_decoding_is_neither_silent_nor_blocked(in_forked_child: Callable[..., int]) -> None:
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with quiet_pillow():
            inside.set()
            leave.wait(60)

    before = list(warnings.filters)
    thread = threading.Thread(target=stay)
    thread.start()
    inside.wait(60)

    def child() -> bool:
        untouched = list(warnings.filters) == before
        with quiet_pillow():
            pass
        return untouched and list(warnings.filters) == before

    try:
        assert in_forked_child(child) == 0
    finally:
        leave.set()
        thread.join()


@pytest.fixture
def in_forked_child() -> Callable[[Callable[[], bool]], int]:
    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")

    def run(work: Callable[[], bool]) -> int:
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if work() else 1)
            finally:
                os._exit(2)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return run
