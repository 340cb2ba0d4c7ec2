"""Drawing with smooth edges: a canvas painted at several times its size, and pens with their own coordinates.

Compositions do not depend on pixels. `Canvas.pen()` measures in widths of the canvas, with its origin in the top left
corner; `Pen.at()` returns a pen for a motif, whose own square extends from -1 to 1 around its origin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from kindred_demo.palettes import Colour

__all__ = ["Canvas", "Pen", "Point", "arc", "smooth_path"]

Point = tuple[float, float]

OVERSAMPLING = 3
"""Painted pixels per final pixel, along each side, for anti-aliasing."""


def smooth_path(points: Sequence[Point], *, closed: bool = True, steps: int = 10) -> list[Point]:
    """Return a smooth curve through the points (a uniform Catmull-Rom spline, Catmull and Rom 1974)."""
    knots = np.asarray(points, dtype=np.float64)
    ends = (knots[-1:], knots[:2]) if closed else (knots[:1], knots[-1:])
    knots = np.concatenate([ends[0], knots, ends[1]])
    p0, p1, p2, p3 = knots[:-3, None], knots[1:-2, None], knots[2:-1, None], knots[3:, None]
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[None, :, None]
    path = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * (p1 - p2) + p3 - p0) * t**3)
    curve = [(float(x), float(y)) for x, y in path.reshape(-1, 2)]
    return curve if closed else [*curve, points[-1]]


class Canvas:
    """A picture being drawn, of `width` x `height` final pixels; transparent unless a colour is given."""

    def __init__(self, width: int, height: int, *, colour: Colour | None = None) -> None:
        self.width, self.height = width, height
        size = (width * OVERSAMPLING, height * OVERSAMPLING)
        self.image = Image.new("RGB", size, colour or (127, 127, 127))
        self.alpha = Image.new("L", size, 255 if colour else 0)
        self._image_draw = ImageDraw.Draw(self.image)
        self._alpha_draw = ImageDraw.Draw(self.alpha)

    @property
    def ratio(self) -> float:
        """Height over width: the largest y of the canvas's own pen."""
        return self.height / self.width

    def pen(self) -> Pen:
        """The pen of the whole canvas: x from 0 to 1, y from 0 to `ratio`."""
        side = float(self.width * OVERSAMPLING)
        return Pen(self, np.array([[side, 0.0, 0.0], [0.0, side, 0.0]]))

    def fill(self, outline: NDArray[np.float64], colour: Colour, *, opacity: float = 1.0) -> None:
        """Fill a polygon, (N, 2) painted pixels."""
        flat: list[float] = outline.ravel().tolist()
        if opacity >= 1.0:
            self._image_draw.polygon(flat, fill=colour)
            self._alpha_draw.polygon(flat, fill=255)
            return
        left, top = (max(0, int(edge)) for edge in outline.min(axis=0))
        right, bottom = (int(edge) + 2 for edge in outline.max(axis=0))
        mask = Image.new(
            "L", (max(1, min(right, self.image.width) - left), max(1, min(bottom, self.image.height) - top))
        )
        moved: list[float] = (outline - (left, top)).ravel().tolist()
        ImageDraw.Draw(mask).polygon(moved, fill=round(255 * opacity))
        self.stamp(mask, colour, corner=(left, top))

    def stamp(self, mask: Image.Image, colour: Colour, *, corner: tuple[int, int] = (0, 0)) -> None:
        """Paint a colour through a mask, with its top left corner at `corner` in painted pixels."""
        self.image.paste(colour, corner, mask)
        self.alpha.paste(255, corner, mask)

    def inlay(self, art: Canvas, *, corner: Point) -> None:
        """Paste another canvas on this one, with its top left corner at `corner` in units of this canvas's pen."""
        x, y = self.pen().pixels([corner])[0]
        at = (round(x), round(y))
        self.image.paste(art.image, at, art.alpha)
        self.alpha.paste(255, at, art.alpha)

    def cut(self, shape: Callable[[Pen], None]) -> None:
        """Make everything outside the shape transparent: a die cut."""
        window = Canvas(self.width, self.height)
        shape(window.pen())
        self.alpha = ImageChops.multiply(self.alpha, window.alpha)
        self._alpha_draw = ImageDraw.Draw(self.alpha)

    def finished(self) -> Image.Image:
        """The picture at its final size, RGBA, with smooth edges."""
        picture = self.image.copy()
        picture.putalpha(self.alpha)
        return picture.reduce(OVERSAMPLING)


class Pen:
    """Draws on a canvas in its own coordinates; every method takes the colour first, then the shape."""

    def __init__(self, canvas: Canvas, frame: NDArray[np.float64]) -> None:
        self.canvas = canvas
        self.frame = frame

    def at(self, centre: Point, size: float, *, turn: float = 0.0, flip: bool = False) -> Pen:
        """Return a pen whose origin is at `centre` and whose unit is `size`, rotated clockwise by `turn` degrees."""
        cosine, sine = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        mirror = -1.0 if flip else 1.0
        local = np.array([[cosine * mirror, -sine, centre[0]], [sine * mirror, cosine, centre[1]], [0.0, 0.0, 1.0]])
        local[:2, :2] *= size
        return Pen(self.canvas, self.frame @ local)

    @property
    def unit(self) -> float:
        """Painted pixels per unit of this pen."""
        return float(np.hypot(self.frame[0, 0], self.frame[1, 0]))

    def pixels(self, points: Iterable[Point]) -> NDArray[np.float64]:
        """Return the painted pixels of the points, (N, 2)."""
        return np.asarray(list(points), dtype=np.float64) @ self.frame[:, :2].T + self.frame[:, 2]

    def shape(self, colour: Colour, points: Sequence[Point], *, smooth: bool = False, opacity: float = 1.0) -> None:
        """Fill a polygon, or with `smooth` the closed curve through its points."""
        path = smooth_path(points) if smooth else points
        self.canvas.fill(self.pixels(path), colour, opacity=opacity)

    def stroke(self, colour: Colour, points: Sequence[Point], *, width: float, smooth: bool = False) -> None:
        """Draw a line of the given width with round ends and joints."""
        path = smooth_path(points, closed=False) if smooth else points
        dots = self.pixels(path)
        half = width * self.unit / 2
        for (x0, y0), (x1, y1) in pairwise(dots):
            length = math.hypot(x1 - x0, y1 - y0) or 1.0
            dx, dy = (y1 - y0) / length * half, (x0 - x1) / length * half
            quad = np.array([[x0 + dx, y0 + dy], [x1 + dx, y1 + dy], [x1 - dx, y1 - dy], [x0 - dx, y0 - dy]])
            self.canvas.fill(quad, colour)
        for x, y in path:
            self.disc(colour, (x, y, width / 2))

    def oval(
        self,
        colour: Colour,
        oval: tuple[float, float, float, float],
        *,
        turn: float = 0.0,
        opacity: float = 1.0,
    ) -> None:
        """Fill the ellipse (x, y, half width, half height), rotated clockwise by `turn` degrees."""
        self.shape(colour, arc(oval, start=0.0, stop=360.0, turn=turn), opacity=opacity)

    def disc(self, colour: Colour, disc: tuple[float, float, float], *, opacity: float = 1.0) -> None:
        """Fill the circle (x, y, radius)."""
        x, y, radius = disc
        self.oval(colour, (x, y, radius, radius), opacity=opacity)

    def pie(self, colour: Colour, disc: tuple[float, float, float], *, start: float, stop: float) -> None:
        """Fill a slice of the circle (x, y, radius), degrees clockwise from the right."""
        x, y, radius = disc
        self.shape(colour, [(x, y), *arc((x, y, radius, radius), start=start, stop=stop)])

    def ring(self, colour: Colour, disc: tuple[float, float, float], *, width: float) -> None:
        """Draw the circle (x, y, radius) as a band of the given width, inside the radius."""
        x, y, radius = disc
        outer = arc((x, y, radius, radius), start=0.0, stop=360.0)
        inner = arc((x, y, radius - width, radius - width), start=360.0, stop=0.0)
        self.shape(colour, [*outer, *inner])

    def bow(self, colour: Colour, disc: tuple[float, float, float], *, start: float, stop: float, width: float) -> None:
        """Draw an arc of the circle (x, y, radius) as a line of the given width with round ends."""
        x, y, radius = disc
        self.stroke(colour, arc((x, y, radius, radius), start=start, stop=stop), width=width)

    def bar(
        self,
        colour: Colour,
        box: tuple[float, float, float, float],
        *,
        rounding: float = 0.0,
        opacity: float = 1.0,
    ) -> None:
        """Fill the rectangle (x0, y0, x1, y1), with corners rounded by a radius."""
        x0, y0, x1, y1 = box
        if rounding <= 0:
            self.shape(colour, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)], opacity=opacity)
            return
        r = min(rounding, (x1 - x0) / 2, (y1 - y0) / 2)
        corners = (
            (x1 - r, y0 + r, 270.0),
            (x1 - r, y1 - r, 0.0),
            (x0 + r, y1 - r, 90.0),
            (x0 + r, y0 + r, 180.0),
        )
        path = [point for x, y, start in corners for point in arc((x, y, r, r), start=start, stop=start + 90)]
        self.shape(colour, path, opacity=opacity)

    def star(
        self,
        colour: Colour,
        disc: tuple[float, float, float],
        *,
        points: int = 5,
        depth: float = 0.42,
        turn: float = 0.0,
    ) -> None:
        """Fill a star in the circle (x, y, radius); `depth` is the inner radius as a fraction of the outer."""
        x, y, radius = disc
        angles = np.radians(np.arange(2 * points) * 180.0 / points - 90.0 + turn)
        radii = np.where(np.arange(2 * points) % 2 == 0, radius, radius * depth)
        self.shape(
            colour,
            [(x + r * math.cos(t), y + r * math.sin(t)) for t, r in zip(angles, radii, strict=True)],
        )


def arc(oval: tuple[float, float, float, float], *, start: float, stop: float, turn: float = 0.0) -> list[Point]:
    """Return points on the ellipse (x, y, half width, half height) between two angles, in degrees clockwise."""
    x, y, rx, ry = oval
    count = max(3, round(abs(stop - start) / 6) + 1)
    angles = np.radians(np.linspace(start, stop, count))
    across, down = rx * np.cos(angles), ry * np.sin(angles)
    cosine, sine = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    xs, ys = x + across * cosine - down * sine, y + across * sine + down * cosine
    return [(float(a), float(b)) for a, b in zip(xs, ys, strict=True)]
