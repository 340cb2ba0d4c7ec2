"""One reader for each format: the bytes of a file to a decoded picture.

Each counts what its decoder needs and refuses before any memory is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kindred.images.colour import to_srgb
from kindred.images.decoded import Decoded
from kindred.images.exif import Exif, read_exif
from kindred.images.formats import count_frames, load_image, open_image, seek_frame
from kindred.images.frames import first_showing
from kindred.images.jpeg import coefficient_bytes, decode_jpeg, read_header, scaled_size
from kindred.images.memory import check_memory, divisor_for
from kindred.images.png import decode_rows, read_png, whole_file
from kindred.images.quiet import quiet_pillow
from kindred.images.raster import Raster, brighten, plain_image
from kindred.images.reasons import check_size, refusal
from kindred.images.tiff import Tag, read_pages
from kindred.images.tiff_pixels import decode_page
from kindred.images.turning import turn_upright, upright_size

__all__ = ["READERS", "finish", "finish_image"]

Pixels = NDArray[np.uint8]

_PIXELS_WHOLE = 30_000_000  # of a PNG that Pillow decodes at once, which is faster than by rows


def finish(source: Raster | Pixels, mode: str, *, size: tuple[int, int], exif: Exif, profile: bytes = b"") -> Decoded:
    """Bring decoded samples to upright sRGB; `size` is the stored (width, height) before any reduction."""
    pixels = source.eight_bits() if isinstance(source, Raster) else source
    del source
    pixels = turn_upright(to_srgb(pixels, mode, profile), exif.orientation)
    return Decoded(pixels, *upright_size(*size, exif.orientation), exif.taken)


def finish_image(
    image: Image.Image, *, exif: Exif, divisor: int, profile: bytes | None = None, gamma: float = 1.0
) -> Decoded:
    """The same for a loaded Pillow image, reduced by `divisor` on the way; its own profile unless one is given."""
    size = image.size
    profile = info(image, "icc_profile") if profile is None else profile
    try:
        plain = brighten(plain_image(image, divisor), gamma)
        pixels = turn_upright(to_srgb(plain, plain.mode, profile), exif.orientation)
    except (ValueError, OSError) as error:
        raise refusal(error, otherwise=f"unsupported colours: {image.mode}") from error
    return Decoded(pixels, *upright_size(*size, exif.orientation), exif.taken)


def info(image: Image.Image, key: str) -> bytes:
    """A block of bytes that came with an image, empty where there is none."""
    value = image.info.get(key)
    return value if isinstance(value, bytes) else b""


def _read_jpeg(data: bytes, longest: int | None, max_pixels: int) -> Decoded:
    header = read_header(data)
    check_size(header.width, header.height, max_pixels)
    exif = read_exif(header.exif)
    size, scaled = (header.width, header.height), scaled_size(header, longest)
    turned = exif.orientation != 1 or header.components != 3
    check_memory(
        len(data) + coefficient_bytes(header) + scaled[0] * scaled[1] * (header.components + 3 * turned), max_pixels
    )
    try:
        pixels = decode_jpeg(data, header, longest=longest)
    except ValueError:
        with quiet_pillow(), open_image("JPEG", data) as image:
            image.draft(None, scaled)
            load_image(image)
            decoded = finish_image(image, exif=exif, divisor=divisor_for(*image.size, longest), profile=header.icc)
        width, height = upright_size(*size, exif.orientation)
        return replace(decoded, width=width, height=height)
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[pixels.shape[2]]
    return finish(pixels, mode, size=size, exif=exif, profile=header.icc)


def _read_tiff(data: bytes, longest: int | None, max_pixels: int) -> Decoded:
    pages, taken = read_pages(data), read_exif(data).taken

    def frame(number: int) -> Decoded:
        page = pages[number]
        raster = decode_page(page, longest, max_pixels)
        exif = Exif(page.number(Tag.ORIENTATION, 1), taken)
        return finish(raster, raster.mode, size=page.size, exif=exif, profile=page.raw(Tag.ICC_PROFILE))

    with quiet_pillow():
        return first_showing(frame, len(pages))


def _read_png(data: bytes, longest: int | None, max_pixels: int) -> Decoded:
    png = read_png(data, max_pixels)
    size = png.width, png.height
    exif, divisor = read_exif(png.exif), divisor_for(*size, longest)
    with quiet_pillow():
        if png.animation:
            return _read_frames("PNG", whole_file(png, animated=True), longest, max_pixels, exif=exif)
        if png.depth == 16 or (not png.interlaced and png.width * png.height > _PIXELS_WHOLE):
            raster = replace(decode_rows(png, divisor=divisor, max_pixels=max_pixels), gamma=png.gamma)
            return finish(raster, raster.mode, size=size, exif=exif, profile=png.profile)
        check_memory(3 * len(data) + png.width * png.height * (1 if png.channels == 1 else 4), max_pixels)
        with open_image("PNG", whole_file(png)) as image:
            load_image(image)
            return finish_image(image, exif=exif, divisor=divisor, profile=png.profile, gamma=png.gamma)


def _read_frames(name: str, data: bytes, longest: int | None, max_pixels: int, *, exif: Exif | None = None) -> Decoded:
    with quiet_pillow(), open_image(name, data) as image:
        check_size(*image.size, max_pixels)
        load_image(image)
        exif = exif or read_exif(info(image, "exif"))

        def frame(number: int) -> Decoded:
            if number:
                seek_frame(image, number)
                check_size(*image.size, max_pixels)
                load_image(image)
            return finish_image(image, exif=exif, divisor=divisor_for(*image.size, longest))

        return first_showing(frame, count_frames(image))


def _by_pillow(name: str) -> Callable[[bytes, int | None, int], Decoded]:
    def read(data: bytes, longest: int | None, max_pixels: int) -> Decoded:
        return _read_frames(name, data, longest, max_pixels)

    return read


READERS: dict[str, Callable[[bytes, int | None, int], Decoded]] = {
    "JPEG": _read_jpeg,
    "TIFF": _read_tiff,
    "PNG": _read_png,
    **{name: _by_pillow(name) for name in ("WebP", "GIF", "BMP", "AVIF", "HEIC")},
}
