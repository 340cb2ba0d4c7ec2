"""Curves of a run as SVG inside a page; its style sheet sets the colours, for light and dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from kindred.html.document import html_text

__all__ = ["draw_curves"]

WIDTH, HEIGHT = 560, 260
LEFT, RIGHT, TOP, BOTTOM = 48, 108, 14, 34
TICKS = 4
GAP = 15  # between the names of two curves, at least
FINEST = 1e-6  # of the largest value: a curve that varies by less is flat, its tick labels would all be equal

Curve = Sequence[tuple[float, float]]


def draw_curves(curves: Mapping[str, Curve], *, title: str, across: str = "epochs") -> str:
    """Return an SVG element with the curves, each a list of points (x, y) in order of x and named at its end.

    title: for screen readers. across: name of the x axis. Points that are not finite are left out; without any point
    the text is empty.
    """
    drawn = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)] for name, points in curves.items()
    }
    drawn = {name: points for name, points in drawn.items() if points}
    every = [point for points in drawn.values() for point in points]
    if not every:
        return ""
    x_ticks = _ticks(min(x for x, _ in every), max(x for x, _ in every), least=1.0)  # whole epochs
    y_ticks = _ticks(min(y for _, y in every), max(y for _, y in every))

    def place(x: float, y: float) -> tuple[float, float]:
        share_x = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        share_y = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return LEFT + share_x * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - share_y * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg class="curves" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html_text(title)}">']
    for y in y_ticks:
        _, at = place(x_ticks[0], y)
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{y:g}</text>')
    for x in x_ticks:
        at, _ = place(x, y_ticks[0])
        parts.append(f'<text class="tick" x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{x:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="tick" x="{middle}" y="{HEIGHT - 3}" text-anchor="middle">{html_text(across)}</text>')
    heights = _apart({name: place(*points[-1])[1] for name, points in drawn.items()})
    for number, (name, points) in enumerate(drawn.items()):
        placed = [place(x, y) for x, y in points]
        line = "L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
        end = placed[-1]
        parts.append(f'<path class="curve c{number}" d="M{line}"/>')
        parts.append(f'<circle class="c{number}" cx="{end[0]:.1f}" cy="{end[1]:.1f}" r="3"/>')
        label = f"{html_text(name)} {points[-1][1]:.3g}"
        parts.append(f'<text class="name c{number}" x="{end[0] + 9:.1f}" y="{heights[name] + 4:.1f}">{label}</text>')
    return "".join([*parts, "</svg>"])


def _ticks(low: float, high: float, *, least: float = 0.0) -> list[float]:
    """Return round numbers, at least `least` apart, from `low` or below to `high` or above."""
    largest = max(abs(low), abs(high))
    span = max(high - low or largest, FINEST * largest)
    if span < FINEST**2:  # nothing but zeros
        span = 1.0
    rough = max(span / TICKS, least)
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _apart(heights: Mapping[str, float]) -> dict[str, float]:
    """Return the heights of names, moved down where they would overlap."""
    placed: dict[str, float] = {}
    lowest = -math.inf
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        lowest = max(height, lowest + GAP)
        placed[name] = lowest
    return placed
