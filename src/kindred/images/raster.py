"""Samples of any type, downscaled row by row while decoding, then converted to 8 bits.

If a small image is requested, a picture of 200 megapixels is never in memory as a whole: each group of rows is
downscaled by an integer at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["Raster", "RowReducer", "brighten", "eight_bits", "full_scale", "plain_image", "unpack_bits"]

Samples = NDArray[np.generic]

_MODES = {(1, False): "L", (2, True): "LA", (3, False): "RGB", (4, True): "RGBA", (4, False): "CMYK"}
_ROWS_AT_ONCE = 256  # in conversion to 8 bits
_PIXELS_AT_ONCE = 4_000_000


@dataclass(frozen=True, eq=False)
class Raster:
    """Samples (H, W, C) and their interpretation.

    `alpha`: the last channel is alpha; the others are one of grey, three of RGB or four of CMYK. `dtype` is the type in
    the file, `low` and `high` the least and greatest colour value, `opaque` the greatest alpha value. `gamma` is the
    exponent applied to colours from 0 to 1.
    """

    samples: Samples
    dtype: np.dtype[np.generic]
    alpha: bool
    low: float
    high: float
    opaque: float
    gamma: float = 1.0

    @property
    def mode(self) -> str:
        """Pillow's name for the channels."""
        return _MODES[self.samples.shape[2], self.alpha]

    def eight_bits(self) -> NDArray[np.uint8]:
        """Return the samples in 8 bits (H, W, C): integers up to 16 bits scaled by type, others by their range."""
        if self.samples.dtype == np.uint8:
            eight = self.samples.view(np.uint8)
            return eight if self.gamma == 1 else self._raised(eight)
        with np.errstate(all="ignore"):  # floats may be anything
            return self._scaled(*self._range())

    def _scaled(self, low: float, high: float) -> NDArray[np.uint8]:
        height, width, channels = self.samples.shape
        out = np.empty((height, width, channels), np.uint8)
        for start in range(0, height, _ROWS_AT_ONCE):
            rows = np.asarray(self.samples[start : start + _ROWS_AT_ONCE], np.float64)
            if self.dtype.kind == "f":
                rows = np.nan_to_num(rows, posinf=0.0, neginf=0.0)
            scaled = (rows - low) * (255.0 / (high - low)) if high > low else np.zeros_like(rows)
            if self.gamma != 1:
                scaled = 255 * np.clip(scaled / 255, 0, 1) ** self.gamma
            if self.alpha:
                scaled[..., -1] = rows[..., -1] * (255.0 / full_scale(self.dtype, self.opaque))
            out[start : start + _ROWS_AT_ONCE] = np.rint(np.clip(np.nan_to_num(scaled), 0, 255))
        return out

    def _raised(self, eight: NDArray[np.uint8]) -> NDArray[np.uint8]:
        raised: NDArray[np.uint8] = _power(self.gamma)[eight]
        if self.alpha:
            raised[..., -1] = eight[..., -1]
        return raised

    def _range(self) -> tuple[float, float]:
        if self.dtype.kind == "u" and self.dtype.itemsize <= 2:
            return 0.0, full_scale(self.dtype, self.high)
        if self.dtype.kind == "f" and self.low >= 0 and 0.5 < self.high <= 1:  # the usual range of floats
            return 0.0, 1.0
        return self.low, self.high


def eight_bits(values: Samples) -> NDArray[np.uint8]:
    """Convert samples (H, W), (H, W, 3) or (H, W, 4) to 8 bits, the last of four being alpha."""
    shaped = values if values.ndim == 3 else values[..., None]
    reducer = RowReducer(shaped.shape[1], shaped.shape[0], divisor=1, alpha=shaped.shape[2] == 4)
    reducer.add(shaped)
    return reducer.raster().eight_bits().reshape(values.shape)


def plain_image(image: Image.Image, divisor: int) -> Image.Image:
    """Convert a loaded image of any mode to L, LA, RGB, RGBA or CMYK, downscaled by an integer.

    Works in groups of rows, so that the conversion needs little memory.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _wide_image(image, divisor)
    plain = image.mode in ("L", "RGB", "CMYK") and "transparency" not in image.info
    if plain or divisor == 1 or image.width * image.height <= _PIXELS_AT_ONCE:
        image = _as_plain_mode(image)
        return image.reduce(divisor) if divisor > 1 else image
    size = -(-image.width // divisor), -(-image.height // divisor)
    out: Image.Image | None = None
    for top, rows in _row_groups(image, divisor):
        part = _as_plain_mode(rows).reduce(divisor)
        out = out or Image.new(part.mode, size)
        out.paste(part, (0, top // divisor))
    assert out is not None
    return out


def brighten(image: Image.Image, gamma: float) -> Image.Image:
    """Apply the exponent `gamma` to the colours, from 0 to 1, of an L, LA, RGB or RGBA image."""
    if gamma == 1:
        return image
    table = _power(gamma).tolist()
    bands = image.getbands()
    return image.point([value for band in bands for value in (range(256) if band == "A" else table)])


def _power(gamma: float) -> NDArray[np.uint8]:
    return np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)


def _wide_image(image: Image.Image, divisor: int) -> Image.Image:
    reducer = RowReducer(*image.size, divisor=divisor)
    for _, rows in _row_groups(image, divisor):
        values = np.asarray(rows)
        reducer.add(values.astype(values.dtype.newbyteorder("="), copy=False)[..., None])
    return Image.fromarray(reducer.raster().eight_bits()[..., 0])


def _row_groups(image: Image.Image, divisor: int) -> Iterator[tuple[int, Image.Image]]:
    step = max(1, _PIXELS_AT_ONCE // (image.width * divisor)) * divisor
    for top in range(0, image.height, step):
        yield top, image.crop((0, top, image.width, min(image.height, top + step)))


def _as_plain_mode(image: Image.Image) -> Image.Image:
    """Convert an image to L, LA, RGB, RGBA or CMYK."""
    mode = image.mode
    if mode in ("PA", "La", "RGBa") or "transparency" in image.info:
        return image.convert("LA" if mode == "La" else "RGBA")
    if mode == "1":
        return image.convert("L")
    return image if mode in ("L", "LA", "RGB", "RGBA", "CMYK") else image.convert("RGB")


def unpack_bits(packed: NDArray[np.uint8], count: int, bits: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Unpack samples (..., count) of 1 to 15 bits from bytes (..., L), highest bits first."""
    ones = np.unpackbits(packed, axis=-1, count=count * bits).reshape(*packed.shape[:-1], count, bits)
    out = np.zeros(ones.shape[:-1], np.uint8 if bits < 8 else np.uint16)
    for place in range(bits):
        out = (out << 1) | ones[..., place]
    return out


def full_scale(dtype: np.dtype[np.generic], high: float) -> float:
    """Return the value of full brightness or opacity, given `high`, the greatest value that occurs.

    16-bit samples often hold 8, 10 or 12 bits: values below a sixteenth of the range are treated so. 14 bits are not
    assumed, as a dark 16-bit picture may look the same.
    """
    if dtype.kind == "f":
        return max(1.0, high)
    if dtype.kind == "u" and dtype.itemsize == 2:
        return float(next(scale for scale in (255, 1023, 4095, 65535) if high <= scale))
    return float(2 ** (8 * dtype.itemsize - (dtype.kind == "i")) - 1)


class RowReducer:
    """Collects the rows of an image from top to bottom and downscales them by an integer in both directions.

    Each output value is the mean of a block of `divisor` × `divisor` samples; blocks at the right and lower edge may be
    smaller. Colours are weighted by opacity if the last channel is `alpha`.
    """

    def __init__(self, width: int, height: int, *, divisor: int, alpha: bool = False) -> None:
        self.width, self.height, self.divisor, self.alpha = width, height, divisor, alpha
        self._out: Samples | None = None
        self._done = 0  # rows of the output
        self._left: Samples | None = None  # rows of an incomplete block
        self._dtype: np.dtype[np.generic] = np.dtype(np.uint8)
        self._low, self._high, self._opaque = np.inf, -np.inf, 0.0

    def add(self, rows: Samples) -> None:
        """Add the next rows (R, W, C)."""
        if self._left is not None:
            rows = np.concatenate([self._left, rows])
        taken = self._done * self.divisor + len(rows)
        whole = len(rows) if taken >= self.height else len(rows) // self.divisor * self.divisor
        self._left = rows[whole:].copy() if whole < len(rows) else None
        if not whole:
            return
        rows = rows[:whole]
        self._measure(rows)
        reduced = rows if self.divisor == 1 else self._reduce(rows)
        if self._out is None:
            self._dtype = rows.dtype
            shape = (-(-self.height // self.divisor), -(-self.width // self.divisor), rows.shape[2])
            self._out = np.empty(shape, reduced.dtype)
        self._out[self._done : self._done + len(reduced)] = reduced
        self._done += len(reduced)

    def raster(self) -> Raster:
        """Return the downscaled image of all rows."""
        assert self._out is not None
        assert self._done == len(self._out)
        return Raster(self._out, self._dtype, self.alpha, float(self._low), float(self._high), float(self._opaque))

    def _measure(self, rows: Samples) -> None:
        if rows.dtype == np.uint8:
            return
        colours = rows[..., :-1] if self.alpha else rows
        if colours.dtype.kind == "f":
            colours = np.where(np.isfinite(colours), colours, 0)
        self._low, self._high = min(self._low, colours.min()), max(self._high, colours.max())
        if self.alpha:
            self._opaque = max(self._opaque, rows[..., -1].max())

    def _reduce(self, rows: Samples) -> Samples:
        if rows.dtype == np.uint8:
            mode = _MODES[rows.shape[2], self.alpha]
            image = Image.fromarray(rows if rows.shape[2] > 1 else rows[..., 0], mode)
            return np.asarray(image.reduce(self.divisor)).reshape(-1, -(-rows.shape[1] // self.divisor), rows.shape[2])
        values = np.nan_to_num(rows.astype(np.float32), posinf=0.0, neginf=0.0)
        if self.alpha:
            values[..., :-1] *= values[..., -1:]
        means = _block_means(values, self.divisor)
        if self.alpha:
            means[..., :-1] /= np.maximum(means[..., -1:], 1e-12)
        return means


def _block_means(values: NDArray[np.float32], divisor: int) -> NDArray[np.float32]:
    """Return the means over blocks of (H, W, C)."""
    height, width = values.shape[:2]
    across, down = np.arange(0, width, divisor), np.arange(0, height, divisor)
    sums = np.add.reduceat(np.add.reduceat(values, across, axis=1, dtype=np.float64), down, axis=0)
    counts = np.minimum(divisor, height - down)[:, None] * np.minimum(divisor, width - across)
    means: NDArray[np.float32] = (sums / counts[..., None]).astype(np.float32)
    return means
