"""Readers of all formats: from the bytes of a file to a decoded image.

Each estimates the memory of its decoder and raises `Refused` before anything is allocated. The modules of a format are
imported with its first file, so that a search by one JPEG imports no others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kindred.images.colour import needs_conversion, to_srgb
from kindred.images.decoded import Decoded
from kindred.images.exif import Exif, read_exif
from kindred.images.formats import count_frames, load_image, open_image, seek_frame
from kindred.images.frames import first_showing
from kindred.images.jpeg import coefficient_bytes, decode_jpeg, read_header, scaled_size
from kindred.images.memory import check_memory, divisor_for
from kindred.images.quiet import quiet_pillow
from kindred.images.raster import Raster, RowReducer, brighten, plain_image
from kindred.images.reasons import DAMAGED, Refused, check_size, refusal
from kindred.images.turning import turn_upright, upright_size

__all__ = ["READERS", "finish", "finish_image"]

Pixels = NDArray[np.uint8]

# Bytes per pixel that Pillow and its decoders need while decoding, without and with alpha: measured
# (benchmarks/image_memory.py), with allowance for samples of more than 8 bits. Later frames are drawn over earlier
# ones.
_BYTES_A_PIXEL = {"WebP": (17, 17), "GIF": (2, 5), "BMP": (6, 6), "AVIF": (11, 15), "HEIC": (10, 14), "PNG": (5, 9)}
_BYTES_A_PIXEL["TIFF"] = (6, 6)  # of old JPEG
_OLD_JPEG = 6
_JXL_BYTES_A_PIXEL = 16
_LATER_FRAME = 20
_PIXELS_WHOLE = 30_000_000  # up to this many, Pillow decodes a PNG at once, which is faster than by rows


def finish(source: Raster | Pixels, mode: str, *, size: tuple[int, int], exif: Exif, profile: bytes = b"") -> Decoded:
    """Convert decoded samples to upright sRGB; `size` is the stored (width, height) before downscaling."""
    pixels = source.eight_bits() if isinstance(source, Raster) else source
    del source
    pixels = turn_upright(to_srgb(pixels, mode, profile), exif.orientation)
    return Decoded(pixels, *upright_size(*size, exif.orientation), exif.taken)


def finish_image(
    image: Image.Image, *, exif: Exif, divisor: int, profile: bytes | None = None, gamma: float = 1.0
) -> Decoded:
    """Convert a loaded Pillow image like `finish`, downscaled by `divisor`; `profile` replaces its own profile."""
    size = image.size
    profile = info(image, "icc_profile") if profile is None else profile
    try:
        plain = brighten(plain_image(image, divisor), gamma)
        pixels = turn_upright(to_srgb(plain, plain.mode, profile), exif.orientation)
    except (ValueError, OSError) as error:
        raise refusal(error, otherwise=f"unsupported colours: {image.mode}") from error
    return Decoded(pixels, *upright_size(*size, exif.orientation), exif.taken)


def info(image: Image.Image, key: str) -> bytes:
    """Return a metadata block of an image, empty if there is none."""
    value = image.info.get(key)
    return value if isinstance(value, bytes) else b""


def _read_jpeg(data: bytes, longest: int | None, max_pixels: int, outer: Exif | None = None) -> Decoded:
    header = read_header(data)
    check_size(header.width, header.height, max_pixels)
    exif = read_exif(header.exif) if header.exif or outer is None else outer
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
    divisor = divisor_for(*scaled, longest)
    if divisor > 1 and (mode != "RGB" or needs_conversion(header.icc)):  # convert colours at the smallest size
        reducer = RowReducer(pixels.shape[1], pixels.shape[0], divisor=divisor)
        reducer.add(pixels)
        pixels = reducer.raster().eight_bits()
    return finish(pixels, mode, size=size, exif=exif, profile=header.icc)


def _read_tiff(data: bytes, longest: int | None, max_pixels: int) -> Decoded:
    from kindred.images.raw import is_raw_tiff
    from kindred.images.tiff import Tag, read_pages
    from kindred.images.tiff_pixels import decode_page

    pages, taken = read_pages(data), read_exif(data).taken
    if is_raw_tiff(data, pages):
        return _read_raw(data, longest, max_pixels)
    if pages[0].number(Tag.COMPRESSION, 1) == _OLD_JPEG:  # whose strips cannot be decoded without the rest of the file
        return _read_frames("TIFF", data, longest, max_pixels, exif=Exif(taken=taken))

    def frame(number: int) -> Decoded:
        page = pages[number]
        raster = decode_page(page, longest, max_pixels)
        exif = Exif(page.number(Tag.ORIENTATION, 1), taken)
        return finish(raster, raster.mode, size=page.size, exif=exif, profile=page.raw(Tag.ICC_PROFILE))

    with quiet_pillow():
        return first_showing(frame, len(pages))


def _read_raw(data: bytes, longest: int | None, max_pixels: int) -> Decoded:
    from kindred.images.raw import container_exif, previews

    check_memory(2 * len(data), max_pixels)
    own, refused = container_exif(data), Refused(DAMAGED)
    for preview in previews(data):
        try:
            return _read_jpeg(preview, longest, max_pixels, outer=own)
        except Refused as error:
            refused = error
    raise refused


def _read_jxl(data: bytes, longest: int | None, max_pixels: int) -> Decoded:
    from kindred.images.jxl import jxl_size

    size = jxl_size(data)
    check_size(*size, max_pixels)
    check_memory(len(data) + size[0] * size[1] * _JXL_BYTES_A_PIXEL, max_pixels)
    with quiet_pillow(), open_image("JPEG XL", data) as image:
        check_size(*image.size, max_pixels)
        load_image(image)
        exif = read_exif(info(image, "exif"))
        turned = exif if getattr(image, "jpeg", False) else Exif(taken=exif.taken)  # others are decoded upright
        return finish_image(image, exif=turned, divisor=divisor_for(*image.size, longest))


def _read_png(data: bytes, longest: int | None, max_pixels: int) -> Decoded:
    from kindred.images.png import decode_rows, read_png, whole_file

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


def _read_bitmap(data: bytes, longest: int | None, max_pixels: int) -> Decoded:
    from kindred.images.bmp import decode_bitmap, read_bitmap

    bitmap = read_bitmap(data, max_pixels)
    if bitmap.run_length:
        return _read_frames("BMP", data, longest, max_pixels)
    size = bitmap.width, bitmap.height
    raster = decode_bitmap(bitmap, divisor=divisor_for(*size, longest), max_pixels=max_pixels)
    return finish(raster, raster.mode, size=size, exif=Exif())


def _read_frames(name: str, data: bytes, longest: int | None, max_pixels: int, *, exif: Exif | None = None) -> Decoded:
    if name == "WebP":
        from kindred.images.webp import webp_size

        size = webp_size(data)
        check_size(*size, max_pixels)
        check_memory(len(data) + size[0] * size[1] * _BYTES_A_PIXEL[name][0], max_pixels)
    if name == "AVIF":
        from kindred.images.boxes import has_size

        if not has_size(data):
            raise Refused("unsupported AVIF: without the size of its image (ispe)")
    with quiet_pillow(), open_image(name, data) as image:
        exif = exif or read_exif(info(image, "exif"))

        def frame(number: int) -> Decoded:
            if number:
                seek_frame(image, number)
            check_size(*image.size, max_pixels)
            divisor = divisor_for(*image.size, longest)
            each = _LATER_FRAME if number else _BYTES_A_PIXEL[name][image.has_transparency_data]
            each += 0 if divisor > 1 else 8 if image.mode == "P" else 3
            check_memory(2 * len(data) + image.width * image.height * each, max_pixels)
            part = _shown(image, name, data, number)
            load_image(image)
            profile = info(image, "icc_profile")
            shown = image
            if part != (0, 0, *image.size):
                shown = _cleared(image, part) if name == "GIF" else image.crop(part)
            return finish_image(shown, exif=exif, divisor=divisor_for(*shown.size, longest), profile=profile)

        return first_showing(frame, count_frames(image))


def _shown(image: Image.Image, name: str, data: bytes, number: int) -> tuple[int, int, int, int]:
    """Return the area of an opened image to be shown: the clean aperture of an AVIF, the first frame of a GIF."""
    if name == "AVIF":
        from kindred.images.boxes import clean_aperture

        return clean_aperture(data, *image.size)
    tiles = getattr(image, "tile", None)
    if name == "GIF" and not number and tiles:
        left, top, right, lower = tiles[0].extents
        return left, top, right, lower
    return 0, 0, *image.size


def _cleared(image: Image.Image, part: tuple[int, int, int, int]) -> Image.Image:
    """Return a GIF with the canvas outside its first frame made transparent, as in browsers."""
    clear = Image.new("RGBA", image.size, (0, 0, 0, 0))
    clear.paste(image.crop(part).convert("RGBA"), part[:2])
    return clear


def _by_pillow(name: str) -> Callable[[bytes, int | None, int], Decoded]:
    def read(data: bytes, longest: int | None, max_pixels: int) -> Decoded:
        return _read_frames(name, data, longest, max_pixels)

    return read


READERS: dict[str, Callable[[bytes, int | None, int], Decoded]] = {
    "JPEG": _read_jpeg,
    "TIFF": _read_tiff,
    "RAW": _read_raw,
    "JPEG XL": _read_jxl,
    "PNG": _read_png,
    "BMP": _read_bitmap,
    **{name: _by_pillow(name) for name in ("WebP", "GIF", "AVIF", "HEIC")},
}
