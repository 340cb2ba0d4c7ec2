"""Curves: an SVG that shows its points where they belong, whatever they are."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kindred.training.tuning import curves as module
from kindred.training.tuning.curves import draw_curves

SVG = {"svg": "http://www.w3.org/2000/svg"}


def _parsed(drawn: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawn)


def _texts(drawn: str, kind: str) -> list[str]:
    return [each.text or "" for each in _parsed(drawn).iter("text") if kind in (each.get("class") or "").split()]


def _points(drawn: str, number: int = 0) -> list[tuple[float, float]]:
    for each in _parsed(drawn).iter("path"):
        if each.get("class") == f"curve c{number}":
            return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", each.get("d") or "")]
    raise AssertionError(f"no curve {number}")


def test_points_lie_where_their_ticks_say() -> None:
    drawn = draw_curves({"loss": [(0, 4.0), (1, 2.0), (2, 0.0)]}, title="The loss")
    left, right = module.LEFT, module.WIDTH - module.RIGHT
    top, bottom = module.TOP, module.HEIGHT - module.BOTTOM
    assert _points(drawn) == [(left, top), ((left + right) / 2, (top + bottom) / 2), (right, bottom)]
    assert _texts(drawn, "tick") == ["0", "1", "2", "3", "4", "0", "1", "2", "epochs"]
    assert _texts(drawn, "name") == ["loss 0"]
    (dot,) = _parsed(drawn).iter("circle")
    assert (dot.get("cx"), dot.get("cy")) == (f"{right:.1f}", f"{bottom:.1f}")


def test_each_curve_is_named_where_it_ends_and_names_lie_apart() -> None:
    drawn = draw_curves(
        {name: [(0, 0.0), (1, value)] for name, value in (("a", 0.5), ("b", 0.501), ("c", 1.0))},
        title="x",
        across="steps",
    )
    heights = {
        (each.text or "").split()[0]: float(each.get("y") or 0)
        for each in _parsed(drawn).iter("text")
        if "name" in (each.get("class") or "")
    }
    assert _texts(drawn, "name") == ["a 0.5", "b 0.501", "c 1"]
    assert heights["a"] - heights["b"] == pytest.approx(module.GAP)
    assert heights["c"] < heights["b"]
    assert "steps" in _texts(drawn, "tick")


def test_names_and_titles_are_escaped() -> None:
    drawn = draw_curves({'<b>"&': [(0, 1.0), (1, 2.0)]}, title='a "title" & <more>', across="<i>")
    assert _parsed(drawn).get("aria-label") == 'a "title" & <more>'
    assert _texts(drawn, "name") == ['<b>"& 2']
    assert "<b>" not in drawn


@pytest.mark.parametrize("curves", [{}, {"a": []}, {"a": [(0, math.nan), (1, math.inf)]}])
def test_nothing_to_draw_is_nothing(curves: dict[str, list[tuple[float, float]]]) -> None:
    assert draw_curves(curves, title="x") == ""


def test_points_that_are_no_numbers_are_left_out() -> None:
    drawn = draw_curves({"a": [(0, 1.0), (1, math.nan), (2, 3.0)], "b": [(0, math.inf)]}, title="x")
    assert len(_points(drawn)) == 2
    assert _texts(drawn, "name") == ["a 3"]


@pytest.mark.parametrize("value", [0.0, 0.25, -3.0, 1e-9, 1e12])
def test_one_point_and_a_flat_curve_are_drawn(value: float) -> None:
    for points in ([(1.0, value)], [(0.0, value), (5.0, value)]):
        for x, y in _points(draw_curves({"a": points}, title="x")):
            assert module.LEFT <= x <= module.WIDTH - module.RIGHT
            assert module.TOP <= y <= module.HEIGHT - module.BOTTOM


NUMBERS = st.floats(-1e12, 1e12) | st.floats(-1, 1)


@settings(max_examples=100, deadline=None)
@example([(0.0, 5e-324)])
@example([(0.0, 5.0), (1.0, 5.000000000000001)])
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=8))
def test_everything_lies_within_the_drawing(points: list[tuple[float, float]]) -> None:
    drawn = draw_curves({"a": sorted(points)}, title="x")
    ticks = _texts(drawn, "tick")[:-1]
    assert 4 <= len(ticks) <= 14
    for x, y in _points(drawn):
        assert module.LEFT - 0.1 <= x <= module.WIDTH - module.RIGHT + 0.1
        assert module.TOP - 0.1 <= y <= module.HEIGHT - module.BOTTOM + 0.1
