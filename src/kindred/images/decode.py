"""Decode any image to upright 8-bit sRGB, or say in a few words why it cannot be used."""

from __future__ import annotations

import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kindred._support.os_errors import explain_os_error
from kindred.errors import ImageError, UsageError
from kindred.images.colour import needs_conversion, to_srgb, turn_upright, upright_size
from kindred.images.exif import Exif, read_exif
from kindred.images.formats import HEAD, count_frames, load_image, open_image, seek_frame, sniff
from kindred.images.frames import first_showing
from kindred.images.jpeg import decode_jpeg, read_header, scaled_size
from kindred.images.memory import divisor_for
from kindred.images.quiet import quiet_pillow
from kindred.images.raster import Raster, RowReducer, plain_image
from kindred.images.reasons import Refused, check_size, refusal
from kindred.images.tiff import Tag, read_pages
from kindred.images.tiff_pixels import decode_page

__all__ = ["MAX_PIXELS", "Decoded", "ImageLike", "decode"]

MAX_PIXELS = 200_000_000  # decoded in full, 600 MB
ImageLike = (
    str | Path | bytes | bytearray | memoryview | BinaryIO | Image.Image | NDArray[np.uint8] | NDArray[np.uint16]
)
"""What can be decoded; `kindred.images.as_image` makes bytes of the streams and buffers among them."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """An upright image in sRGB.

    `pixels` is (H, W, 3) uint8 RGB, C-contiguous, perhaps reduced; `width` and `height` are in pixels of the
    upright original; `taken` is the ISO 8601 date from EXIF, without a time zone. `frames` is the number of
    frames or pages of the file, at least 1, and `frame` the position of the one decoded, from 0.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    taken: str | None = None
    frames: int = 1
    frame: int = 0


def decode(source: ImageLike, *, longest: int | None = None, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode a file, the bytes of one, a Pillow image or an array to upright sRGB.

    JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF and HEIC are recognised by their content. Of several frames or pages the
    first that is not of one colour is taken, among the first 16. EXIF orientation and embedded colour profiles are
    applied, transparency is laid on white, 16 bits are scaled by their full range. Arrays are (H, W), (H, W, 3) or
    (H, W, 4), uint8 or uint16, and already upright.

    With `longest` the decoder may return any scale whose long side is at least `longest` pixels (smaller
    images keep their size), which for photos is several times as fast.

    Raises `ImageError` for a file that cannot be used and `UsageError` for an array of another kind. Emits no
    warning, changes no setting of Pillow, and may be called from many threads.
    """
    if longest is not None and longest < 1:
        raise UsageError(f"longest is {longest}; give the wanted long side in pixels, at least 1")
    try:
        if isinstance(source, np.ndarray):
            return _from_array(source, longest)
        if isinstance(source, Image.Image):
            return _from_pillow(source, longest, max_pixels)
        data = _read(Path(source), max_pixels) if isinstance(source, str | Path) else _held(source)
        return _from_bytes(data, longest, max_pixels)
    except (Refused, MemoryError) as error:
        refused = refusal(error)
        raise ImageError(_label(source), refused.reason, final=refused.final) from error


def _label(source: ImageLike) -> Path | str:
    if isinstance(source, str | Path):
        return source
    return str(getattr(source, "filename", "")) or f"<{type(source).__name__}>"


def _held(source: bytes | bytearray | memoryview | BinaryIO) -> bytes:
    """The bytes of a buffer, or of a stream from where it stands to its end."""
    from kindred.images.given import as_image

    return cast(bytes, as_image(source))


def _read(path: Path, max_pixels: int) -> bytes:
    """The bytes of a regular file that starts like an image; of others nothing past the start is read."""
    try:
        facts = path.stat()  # before opening, as opening a pipe would wait for its writer
        if not stat.S_ISREG(facts.st_mode):
            raise Refused("is a folder" if stat.S_ISDIR(facts.st_mode) else "not a regular file", final=False)
        with path.open("rb", buffering=0) as file:
            sniff(file.read(HEAD))
            # 8 bytes a pixel are more than any picture takes; the rest is room for what else files hold.
            if facts.st_size > 8 * max_pixels + 2**28:
                raise Refused(f"too large: {facts.st_size / 1e6:.0f} megabytes", final=False)
            file.seek(0)
            return file.read()
    except FileNotFoundError:
        raise Refused("file vanished", final=False) from None
    except (OSError, ValueError) as error:
        raise Refused(f"cannot be read: {explain_os_error(error)}", final=False) from error


def _from_bytes(data: bytes, longest: int | None, max_pixels: int) -> Decoded:
    name = sniff(data[:HEAD])
    if name == "JPEG":
        return _from_jpeg(data, longest, max_pixels)
    if name == "TIFF":
        return _from_tiff(data, longest, max_pixels)
    with quiet_pillow(), open_image(name, data) as image:
        check_size(*image.size, max_pixels)
        load_image(image)
        exif = read_exif(_info(image, "exif"))

        def frame(number: int) -> Decoded:
            if number:
                seek_frame(image, number)
                check_size(*image.size, max_pixels)
                load_image(image)
            return _finish(image, exif, longest)

        return first_showing(frame, count_frames(image))


def _from_tiff(data: bytes, longest: int | None, max_pixels: int) -> Decoded:
    pages, taken = read_pages(data), read_exif(data).taken

    def frame(number: int) -> Decoded:
        page = pages[number]
        raster = decode_page(page, longest, max_pixels)
        exif = Exif(page.number(Tag.ORIENTATION, 1), taken)
        return _from_raster(raster, page.size, exif, page.raw(Tag.ICC_PROFILE))

    with quiet_pillow():
        return first_showing(frame, len(pages))


def _from_raster(raster: Raster, size: tuple[int, int], exif: Exif, profile: bytes) -> Decoded:
    """`size` is the stored (width, height) before any reduction."""
    pixels = raster.eight_bits()
    if raster.mode != "RGB" or exif.orientation != 1 or needs_conversion(profile):
        image = Image.fromarray(pixels if pixels.shape[2] > 1 else pixels[..., 0], raster.mode)
        del pixels, raster
        pixels = _upright_srgb(image, profile, exif.orientation, 1)
    return Decoded(np.ascontiguousarray(pixels), *upright_size(*size, exif.orientation), exif.taken)


def _from_jpeg(data: bytes, longest: int | None, max_pixels: int) -> Decoded:
    header = read_header(data)
    check_size(header.width, header.height, max_pixels)
    exif = read_exif(header.exif)
    size = upright_size(header.width, header.height, exif.orientation)
    try:
        pixels = decode_jpeg(data, header, longest=longest)
    except ValueError:
        with quiet_pillow(), open_image("JPEG", data) as image:
            image.draft(None, scaled_size(header, longest))
            load_image(image)
            pixels = _upright_srgb(image, header.icc, exif.orientation, divisor_for(*image.size, longest))
        return Decoded(pixels, *size, exif.taken)
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[pixels.shape[2]]
    if mode != "RGB" or exif.orientation != 1 or needs_conversion(header.icc):
        image = Image.frombuffer(mode, (pixels.shape[1], pixels.shape[0]), pixels, "raw", mode, 0, 1)
        pixels = _upright_srgb(image, header.icc, exif.orientation, divisor_for(*image.size, longest))
    return Decoded(pixels, *size, exif.taken)


def _from_pillow(image: Image.Image, longest: int | None, max_pixels: int) -> Decoded:
    check_size(*image.size, max_pixels)
    with quiet_pillow():
        load_image(image)
        decoded = _finish(image, read_exif(_info(image, "exif")), longest)
        return replace(decoded, frames=count_frames(image), frame=image.tell())


def _from_array(array: NDArray[np.uint8] | NDArray[np.uint16], longest: int | None) -> Decoded:
    well = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype not in (np.uint8, np.uint16) or not well or 0 in array.shape:
        raise UsageError(
            f"an array of {array.dtype} {array.shape} is no image; "
            "give uint8 or uint16 of shape (H, W), (H, W, 3) or (H, W, 4)"
        )
    shaped = array if array.ndim == 3 else array[..., None]
    height, width, channels = shaped.shape
    reducer = RowReducer(width, height, divisor=divisor_for(width, height, longest), alpha=channels == 4)
    reducer.add(shaped)
    return _from_raster(reducer.raster(), (width, height), Exif(), b"")


def _finish(image: Image.Image, exif: Exif, longest: int | None) -> Decoded:
    width, height = upright_size(*image.size, exif.orientation)
    divisor = divisor_for(width, height, longest)
    pixels = _upright_srgb(image, _info(image, "icc_profile"), exif.orientation, divisor)
    return Decoded(pixels, width, height, exif.taken)


def _upright_srgb(image: Image.Image, profile: bytes, orientation: int, divisor: int) -> NDArray[np.uint8]:
    try:
        plain = plain_image(image, divisor)
        return np.array(turn_upright(to_srgb(plain, profile=profile), orientation))
    except (ValueError, OSError) as error:
        raise refusal(error, otherwise=f"unsupported colours: {image.mode}") from error


def _info(image: Image.Image, key: str) -> bytes:
    value = image.info.get(key)
    return value if isinstance(value, bytes) else b""
