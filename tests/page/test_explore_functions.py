"""The pure functions of the map: camera, grid of points, lasso, levels, months, strips; run in the browser."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from in_browser import Visitor
from kindred.atlas.columns import NO_DAY
from kindred.atlas.order import COARSEST, LAST_LEVEL, PER_OCTAVE, distance_of, levels_of
from kindred.atlas.sheets import thumbnail_size
from live_server import LiveServer


@pytest.fixture(scope="module")
def page(browser: Browser, site: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    visitor = Visitor(browser, site.address, tmp_path_factory.mktemp("shots"))
    yield visitor.open("#/explore")
    visitor.close()


def run(page: Page, module: str, body: str, given: object = None) -> Any:
    """Run JavaScript with the exports of a module of the map as `m` and an argument as `given`."""
    return page.evaluate(
        f"async (given) => {{ const m = await import('/assets/lib/atlas/{module}.js'); {body} }}", given
    )


WINDOW = "const size = { width: 800, height: 600 };"


def test_the_whole_map_is_framed_in_the_middle(page: Page) -> None:
    camera = run(page, "camera", f"{WINDOW} return m.framing(size)")
    assert camera == {"x": 0.5, "y": 0.5, "scale": 600 - 2 * 28}
    part = run(page, "camera", f"{WINDOW} return m.framing(size, {{ x0: 0.2, y0: 0.5, x1: 0.4, y1: 0.55 }})")
    assert part == pytest.approx({"x": 0.3, "y": 0.525, "scale": (800 - 56) / 0.2})
    beside = run(
        page,
        "camera",
        "const size = { width: 800, height: 600, pad: { left: 10, top: 90, right: 50, bottom: 10 } };"
        "const camera = m.framing(size); return [camera.scale, ...m.toWindow(camera, size, 0.5, 0.5)]",
    )
    assert beside == pytest.approx([500, 10 + 740 / 2, 90 + 500 / 2])  # in the middle of what tools leave free


@pytest.mark.parametrize(("x", "y"), [(0, 0), (800, 600), (123, 456), (400, 300)])
@pytest.mark.parametrize("factor", [0.8, 1.7, 30])
def test_zooming_leaves_the_point_under_the_pointer_where_it_is(page: Page, x: float, y: float, factor: float) -> None:
    before, after, scale = run(
        page,
        "camera",
        f"{WINDOW} const camera = {{ x: 0.5, y: 0.5, scale: 900 }};"
        "const next = m.zoomed(camera, size, given.f, given.x, given.y);"
        "return [m.toMap(camera, size, given.x, given.y), m.toMap(next, size, given.x, given.y), next.scale]",
        {"x": x, "y": y, "f": factor},
    )
    assert after == pytest.approx(before, abs=1e-9)
    assert scale == pytest.approx(900 * factor)


def test_the_camera_stays_over_the_map(page: Page) -> None:
    far = run(page, "camera", f"{WINDOW} return m.panned({{ x: 0.5, y: 0.5, scale: 900 }}, size, -9e9, 9e9)")
    assert far == {"x": 0, "y": 1, "scale": 900}
    near = run(page, "camera", f"{WINDOW} return m.zoomed({{ x: 0.5, y: 0.5, scale: 900 }}, size, 1e9)")
    assert near["scale"] == 600_000
    limited = run(
        page, "camera", "return m.zoomed({ x: 0.5, y: 0.5, scale: 900 }, { width: 800, height: 600, most: 5000 }, 1e9)"
    )
    assert limited["scale"] == 5000
    small = run(page, "camera", f"{WINDOW} return m.zoomed({{ x: 0.5, y: 0.5, scale: 900 }}, size, 1e-9)")
    assert small["scale"] == pytest.approx(0.7 * 544)


def test_a_camera_glides_from_one_place_to_another(page: Page) -> None:
    steps = run(
        page,
        "camera",
        "const from = { x: 0.1, y: 0.2, scale: 500 }, to = { x: 0.7, y: 0.4, scale: 8000 };"
        "return [0, 0.25, 0.5, 0.75, 1].map((t) => m.between(from, to, t))",
    )
    assert steps[0] == pytest.approx({"x": 0.1, "y": 0.2, "scale": 500})
    assert steps[-1] == pytest.approx({"x": 0.7, "y": 0.4, "scale": 8000})
    assert steps[2]["scale"] == pytest.approx(2000)  # halfway, as people see scales
    assert [step["x"] for step in steps] == sorted(step["x"] for step in steps)


GRID = "const grid = m.gridOf(new Float32Array(given.points.flat()));"


@pytest.fixture(scope="module")
def points() -> list[list[float]]:
    random = np.random.default_rng(0)
    crowd = np.concatenate([random.random((700, 2)), 0.4 + 0.02 * random.random((300, 2)), [[0, 0], [1, 1], [0, 1]]])
    return [[float(x), float(y)] for x, y in crowd.astype(np.float32)]


@pytest.mark.parametrize("box", [(0.1, 0.2, 0.35, 0.5), (0.4, 0.4, 0.42, 0.42), (-1, -1, 2, 2), (0.5, 0.5, 0.5, 0.5)])
def test_the_grid_finds_the_points_of_a_box(page: Page, points: list[list[float]], box: tuple[float, ...]) -> None:
    x0, y0, x1, y1 = box
    found = run(
        page,
        "pointgrid",
        f"{GRID} const out = new Uint32Array(5000); const [x0, y0, x1, y1] = given.box;"
        "const count = m.inBox(grid, { x0, y0, x1, y1 }, out); return [...out.slice(0, count)].sort((a, b) => a - b)",
        {"points": points, "box": list(box)},
    )
    assert found == [at for at, (x, y) in enumerate(points) if x0 <= x <= x1 and y0 <= y <= y1]


def test_the_grid_stops_where_there_is_no_room(page: Page, points: list[list[float]]) -> None:
    body = f"{GRID} return m.inBox(grid, {{ x0: 0, y0: 0, x1: 1, y1: 1 }}, new Uint32Array(10))"
    assert run(page, "pointgrid", body, {"points": points}) == 10


def test_the_nearest_point_is_found_within_a_radius(page: Page, points: list[list[float]]) -> None:
    random = np.random.default_rng(1)
    asked = [[float(x), float(y)] for x, y in random.random((60, 2))]
    body = f"{GRID} return given.asked.map(([x, y]) => m.nearest(grid, x, y, 0.03))"
    found = run(page, "pointgrid", body, {"points": points, "asked": asked})
    for (x, y), at in zip(asked, found, strict=True):
        apart = [math.hypot(x - px, y - py) for px, py in points]
        best = int(np.argmin(apart))
        assert at == (best if apart[best] <= 0.03 else -1)
    second = run(page, "pointgrid", f"{GRID} return m.nearest(grid, 0, 0, 2, (at) => at !== 1000)", {"points": points})
    assert second == int(np.argmin([9 if at == 1000 else math.hypot(x, y) for at, (x, y) in enumerate(points)]))


STAR = [0.5, 0.1, 0.62, 0.8, 0.1, 0.35, 0.9, 0.35, 0.38, 0.8]


def test_the_lasso_encloses_by_the_even_odd_rule(page: Page, points: list[list[float]]) -> None:
    found = run(
        page,
        "lasso",
        "const { gridOf } = await import('/assets/lib/atlas/pointgrid.js');"
        "return m.enclosed(gridOf(new Float32Array(given.points.flat())), given.star)",
        {"points": points, "star": STAR},
    )

    def inside(x: float, y: float) -> bool:
        corners = list(zip(STAR[::2], STAR[1::2], strict=True))
        crossed = 0
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
            if (y0 > y) != (y1 > y) and x < x0 + (x1 - x0) * (y - y0) / (y1 - y0):
                crossed += 1
        return crossed % 2 == 1

    assert found == [at for at, (x, y) in enumerate(points) if inside(x, y)]
    assert 50 < len(found) < 500


def test_a_line_of_two_corners_encloses_nothing(page: Page) -> None:
    body = (
        "const { gridOf } = await import('/assets/lib/atlas/pointgrid.js');"
        "return m.enclosed(gridOf(new Float32Array([0.5, 0.5])), [0, 0, 1, 1])"
    )
    assert run(page, "lasso", body) == []
    line = run(page, "lasso", "const line = []; for (let x = 0; x < 10; x += 1) m.extend(line, x, 0); return line")
    assert line == [0, 0, 3, 0, 6, 0, 9, 0]


def test_the_levels_are_those_of_the_server(page: Page) -> None:
    constants = run(page, "detail", "return [m.LAST_LEVEL, m.PER_OCTAVE, m.COARSEST]")
    assert constants == [LAST_LEVEL, PER_OCTAVE, COARSEST]
    distances = run(page, "detail", "return [0, 1, 7, 30].map(m.distanceOf)")
    assert distances == pytest.approx([distance_of(level) for level in (0, 1, 7, 30)])


@pytest.mark.parametrize(("scale", "size"), [(300, 46), (900, 56), (20_000, 90), (100, 56), (1e9, 20)])
def test_the_level_is_the_last_whose_thumbnails_do_not_overlap(page: Page, scale: float, size: float) -> None:
    level = run(page, "detail", "return m.levelAt(given[0], given[1])", [scale, size])
    fits = [each for each in range(LAST_LEVEL) if distance_of(each) * scale >= size * (1 - 1e-6)]
    assert level == (LAST_LEVEL if len(fits) == LAST_LEVEL else max(fits, default=-1))


def test_thumbnails_in_the_window_are_those_of_its_level(page: Page, points: list[list[float]]) -> None:
    xy = np.array(points, np.float32)
    levels = levels_of(xy)
    body = """
      const { mapData } = await import('/assets/lib/atlas/data.js');
      const data = mapData({ points: new Float32Array(given.points.flat()), levels: new Uint8Array(given.levels) });
      const camera = { x: given.x, y: 0.41, scale: given.scale }, size = { width: 700, height: 500 };
      const out = new Uint32Array(4096), shown = new Uint8Array(data.count).fill(1);
      shown[given.hidden] = 0;
      const count = m.thumbnailsIn(data, camera, size, given.level, 10, out, shown);
      return [...out.slice(0, count)].sort((a, b) => a - b);
    """
    for x, scale, level in ((0.5, 400, 9), (0.41, 30_000, 24), (0.41, 6000, 15)):
        given = {"points": points, "levels": levels.tolist(), "x": x, "scale": scale, "level": level, "hidden": 705}
        found = run(page, "detail", body, given)
        near = (np.abs(xy - (x, 0.41)) <= np.array([360, 260]) / scale + 1e-7).all(axis=1)
        expected = np.flatnonzero(near & (levels <= level))
        assert found == [at for at in expected.tolist() if at != 705]
        assert len(found) > 5


@pytest.mark.parametrize("size", [(96, 64), (64, 96), (50, 50), (0, 0), (9000, 10), (10, 9000), (1600, 1067)])
@pytest.mark.parametrize("cell", [32, 128])
def test_thumbnails_have_the_size_that_the_server_draws(page: Page, size: tuple[int, int], cell: int) -> None:
    aspect = size[0] / size[1] if size[1] else 0
    found = run(
        page, "detail", "return [m.widthIn(given[0], given[1]), m.heightIn(given[0], given[1])]", [cell, aspect]
    )
    assert tuple(found) == thumbnail_size(*size, cell)


@pytest.mark.parametrize(("at", "cell"), [(0, 32), (511, 32), (512, 32), (4097, 32), (31, 128), (32, 128), (300, 128)])
def test_the_place_of_an_image_in_its_strip(page: Page, at: int, cell: int) -> None:
    strip, left, top = run(
        page, "strips", "return [m.stripOf(...given), m.leftOf(...given), m.topOf(...given)]", [at, cell]
    )
    across = 2048 // cell
    column, row = at % across, at // across
    assert (left, 256 * strip + top) == (column * cell, row * cell)
    assert 0 <= top <= 256 - cell


def test_strips_are_held_within_their_slots_and_the_oldest_make_room(page: Page) -> None:
    body = """
      const put = [], loads = [];
      const whole = () => createImageBitmap(new ImageData(2048, 2048));
      const strips = new m.Strips({
        load: async (sheet, cell) => { loads.push(`${cell}/${sheet}`); return whole(); },
        put: (slot, bitmap) => { put.push([slot, bitmap.width, bitmap.height]); bitmap.close(); },
        changed: () => {}, slots: 3,
      });
      const settle = async () => { while (strips.loading.size > 0) await new Promise((done) => setTimeout(done, 5)); };
      const ask = async (...ats) => {
        for (let turn = 0; turn < 3; turn += 1) {
          strips.begin();
          ats.forEach((at) => strips.slot(at, 32));
          strips.end();
          await settle();
        }
        strips.begin(); return ats.map((at) => strips.slot(at, 32) >= 0);
      };
      const first = await ask(0, 600, 1200);
      const second = await ask(1200, 4096);
      strips.begin();
      const third = [0, 600, 1200, 4096].map((at) => strips.slot(at, 32) >= 0);
      const many = await ask(0, 600, 1200, 4096, 9000);
      strips.close();
      return { first, second, third, many, put, loads };
    """
    found = run(page, "strips", body)
    assert found["first"] == [True, True, True]
    assert found["second"] == [True, True]
    assert found["third"][2:] == [True, True]  # those that were drawn last are there
    assert found["third"][:2].count(True) == 1  # one of the others made room
    assert found["many"].count(True) == 3  # no more than there are slots
    assert {(width, height) for _, width, height in found["put"]} == {(2048, 256)}
    assert all(0 <= slot < 3 for slot, _, _ in found["put"])
    assert set(found["loads"]) == {"32/0", "32/1", "32/2"}


def test_a_sheet_that_fails_is_asked_for_again_later(page: Page) -> None:
    body = """
      let loads = 0;
      const load = async () => { loads += 1; throw new Error("busy"); };
      const strips = new m.Strips({ load, put: () => {}, changed: () => {} });
      for (let turn = 0; turn < 5; turn += 1) {
        strips.begin(); strips.slot(0, 32); strips.end();
        await new Promise((done) => setTimeout(done, 5));
      }
      const early = loads;
      strips.failed.set(32 * 0x1000000, performance.now() - 1);
      strips.begin(); strips.slot(0, 32); strips.end();
      return [early, loads];
    """
    assert run(page, "strips", body) == [1, 2]


def test_days_are_counted_by_months_quarters_or_years(page: Page) -> None:
    days = [int(np.datetime64(day).astype(int)) for day in ("1969-12-31", "1970-01-01", "1970-01-31", "1972-02-29")]
    given = [*days, NO_DAY]
    by_month = run(
        page, "months", "const b = m.barsOf(new Int32Array(given), 100); return { ...b, counts: [...b.counts] }", given
    )
    assert (by_month["first"], by_month["step"]) == (-1, 1)
    assert by_month["counts"] == [1, 2, *[0] * 24, 1]
    by_year = run(
        page, "months", "const b = m.barsOf(new Int32Array(given), 6); return { ...b, counts: [...b.counts] }", given
    )
    assert (by_year["first"], by_year["step"], by_year["counts"]) == (-12, 12, [1, 2, 0, 1])
    assert run(page, "months", "return m.barsOf(new Int32Array(given), 6)", [NO_DAY]) is None
    shown = run(
        page,
        "months",
        "const days = new Int32Array(given); const b = m.barsOf(days, 6);"
        "return [...m.countInto(b, days, new Uint8Array([0, 1, 0, 1, 1]), new Uint32Array(4))]",
        given,
    )
    assert shown == [0, 1, 0, 1]
    assert run(page, "months", "return given.map((day) => m.isoDay(day))", days) == [
        "1969-12-31", "1970-01-01", "1970-01-31", "1972-02-29"
    ]  # fmt: skip
    assert run(page, "months", "return [-1, 0, 11, 12, 25].map((each) => [m.dayOfMonth(each), m.yearOf(each)])") == [
        [-31, 1969], [0, 1970], [334, 1970], [365, 1971], [761, 1972]
    ]  # fmt: skip


def test_years_below_the_bars_keep_their_distance(page: Page) -> None:
    marks = run(page, "months", "return m.yearMarks({ first: 594, step: 1, counts: new Uint32Array(40) }, 5)")
    assert marks == [[6, 2020], [18, 2021], [30, 2022]]
    wide = run(page, "months", "return m.yearMarks({ first: 600, step: 12, counts: new Uint32Array(8) }, 10)")
    assert wide == [[0, 2020], [5, 2025]]


def test_colours_follow_groups_and_ranks_of_days(page: Page) -> None:
    body = """
      const groups = new Uint8Array(16), days = new Uint8Array(16);
      m.colourByGroup(groups, new Uint8Array([0, 255, 1, 0]));
      m.colourByDay(days, new Int32Array([0, 20000, m.NO_DAY, 10]));
      const part = (list, at) => [...list.slice(4 * at, 4 * at + 3)];
      return { groups: [0, 1, 2, 3].map((at) => part(groups, at)), days: [0, 1, 2, 3].map((at) => part(days, at)),
        first: m.rgb(m.GROUPS[0]), others: m.rgb(m.OTHERS), oldest: m.timeColour(0), newest: m.timeColour(1),
        none: m.NO_DAY };
    """
    found = run(page, "colours", body)
    assert found["groups"][0] == found["groups"][3] == found["first"]
    assert found["groups"][1] == found["days"][2] == found["others"]
    assert found["days"][0] == found["oldest"]
    assert found["days"][1] == found["newest"]
    assert found["days"][3] not in (found["oldest"], found["newest"])
    assert found["none"] == NO_DAY


def test_ids_are_read_from_their_bytes(page: Page) -> None:
    given = list(bytes.fromhex("0123456789abcdef00000000000000ff"))
    found = run(
        page, "data", "const ids = new Uint8Array(given); return [m.idOf({ ids }, 0), m.idOf({ ids }, 1)]", given
    )
    assert found == ["0123456789abcdef", "00000000000000ff"]
