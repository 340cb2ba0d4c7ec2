"""The page's pure functions: its address, the split of answers, boxes, words, colours; run in the browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from in_browser import Visitor
from kindred._support.printable import printable
from live_server import LiveServer


@pytest.fixture(scope="module")
def page(browser: Browser, site: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    visitor = Visitor(browser, site.address, tmp_path_factory.mktemp("shots"))
    yield visitor.open()
    visitor.close()


def run(page: Page, module: str, body: str, given: object = None) -> Any:
    """Run JavaScript with the exports of a module as `m` and an argument as `given`."""
    return page.evaluate(f"async (given) => {{ const m = await import('/assets/{module}.js'); {body} }}", given)


STATE = "views/search/state"


@pytest.mark.parametrize("text", ["i.0123456789abcdef", "-i.ab", "i.a_10_20_30.5_40", "-u.b_0_0_1_1"])
def test_a_query_image_survives_its_address(page: Page, text: str) -> None:
    assert run(page, STATE, "return m.writeQueryImage(m.parseQueryImage(given))", text) == text


@pytest.mark.parametrize(
    "text", ["", "i.", "x.abc", "i.a/b", "i.a_1_2_3", "i.a_5_0_1_1", "i.a_1_2_4", "--i.a", "i.<img>", "u.a b"]
)
def test_malformed_query_images_are_left_out(page: Page, text: str) -> None:
    assert run(page, STATE, "return m.parseQueryImage(given)", text) is None


def test_the_request_of_an_address(page: Page) -> None:
    address = (
        "q=i.a_0_0_10_10&q=-u.b&right=c&right=<x>&wrong=d&folder=/x&tag=red&tag=blue&from=2024-01-01&to=now"
        "&where=price<20&rerank=aqe,gv&line=0.7&nocopies=1&regions=1&scores=1"
    )
    body = run(
        page, STATE, "return m.searchBody(m.parseState(new URLSearchParams(given)), { k: 5, offset: 0 })", address
    )
    assert body == {
        "query": [{"image": "a", "weight": 1, "box": [0, 0, 10, 10]}, {"upload": "b", "weight": -0.5}],
        "k": 5,
        "offset": 0,
        "filter": {"folder": "/x", "tag": ["red", "blue"], "from": "2024-01-01", "where": ["price<20"]},
        "rerank": ["aqe", "gv"],
        "right": ["c"],
        "wrong": ["d"],
        "no_copies": True,
    }  # no regions: those are of one query image only


def test_what_only_changes_the_view_does_not_search_again(page: Page) -> None:
    body = """
    const key = (text) => JSON.stringify(m.searchBody(m.parseState(new URLSearchParams(text)), { k: 5, offset: 0 }));
    return given.map((more) => key(`q=i.a&${more}`) === key("q=i.a"));
    """
    changes = ["line=0.9", "below=1", "scores=1", "show=b", "why=b", "sort=newest", "tag=x", "rerank=none", "q=i.b"]
    assert run(page, STATE, body, changes) == [True] * 6 + [False] * 3


def test_unwanted_images_alone_are_no_search(page: Page) -> None:
    body = "return given.map((text) => m.isSearch(m.parseState(new URLSearchParams(text))))"
    assert run(page, STATE, body, ["", "q=-i.a", "q=i.a", "right=a", "q=-i.a&q=i.b"]) == [
        False,
        False,
        True,
        True,
        True,
    ]


def test_routes_of_fragments(page: Page) -> None:
    body = "return given.map((text) => { const r = m.parse(text); return [r.view, r.params.toString()]; })"
    fragments = ["", "#/", "#/explore", "#/search?q=i.a&tag=x", "#main", "#/<b>"]
    expected = [
        ["search", ""],
        ["search", ""],
        ["explore", ""],
        ["search", "q=i.a&tag=x"],
        ["search", ""],
        ["search", ""],
    ]
    assert run(page, "lib/router", body, fragments) == expected


def answer(rank: int, probability: float | None, taken: str | None = None) -> dict[str, object]:
    return {"id": str(rank), "rank": rank, "probability": probability, "taken": taken}


def test_answers_end_at_the_line(page: Page) -> None:
    answers = [answer(1, 0.9), answer(2, 0.5), answer(3, 0.49), answer(4, None)]
    body = "const s = m.splitAt(given, 0.5); return [s.above.map((a) => a.rank), s.below.map((a) => a.rank), s.known]"
    assert run(page, "views/search/split", body, answers) == [[1, 2], [3, 4], True]


def test_without_a_calibration_there_is_no_line(page: Page) -> None:
    body = "const s = m.splitAt(given, 0.5); return [s.above.length, s.below.length, s.known]"
    assert run(page, "views/search/split", body, [answer(1, None), answer(2, None)]) == [2, 0, False]


def test_answers_by_date_have_those_without_one_last(page: Page) -> None:
    dates = ["2020-01-01", None, "2024-05-01T10:00:00", "2024-05-01T09:00:00"]
    answers = [answer(rank, 0.9, taken) for rank, taken in enumerate(dates, 1)]
    body = "return ['newest', 'oldest'].map((order) => m.byDate(given, order).map(({ rank }) => rank))"
    assert run(page, "views/search/split", body, answers) == [[3, 4, 1, 2], [1, 4, 3, 2]]


def test_changes_of_rank(page: Page) -> None:
    body = "return Object.fromEntries(m.changesAgainst(given.now, given.before))"
    now, before = [answer(1, 1), answer(2, 1), answer(3, 1)], [answer(1, 1), answer(2, 1)]
    before[0]["rank"], before[1]["rank"] = 4, 1
    assert run(page, "views/search/split", body, {"now": now, "before": before}) == {"1": 3, "2": -1, "3": None}


def test_sections_of_a_timeline(page: Page) -> None:
    months = [("2023-11", 20), ("2023-12", 10), ("2024-05", 30)]
    timeline = {"months": [{"month": month, "images": images} for month, images in months], "undated": 1}
    body = """
    const at = (total, order) => m.sectionsOf(given, total, order);
    return [at(61, "desc"), at(61, "asc"), at(62, "desc")];
    """
    newest, oldest, changed = run(page, "views/search/browse", body, timeline)
    names = ["May 2024", "December 2023", "November 2023", "Without a date"]
    assert newest == {"breaks": [0, 30, 40, 60], "names": names}
    assert oldest == {"breaks": [0, 1, 21, 31], "names": names[::-1]}
    assert changed == {"breaks": [], "names": []}


def test_sections_are_years_or_none_where_months_have_few_images(page: Page) -> None:
    body = """
    const timeline = (images) => ({ months: given.map((month) => ({ month, images })), undated: 0 });
    return [m.sectionsOf(timeline(4), 16, "desc"), m.sectionsOf(timeline(1), 4, "desc")];
    """
    years, none = run(page, "views/search/browse", body, ["2022-11", "2023-12", "2023-05", "2023-06"])
    assert years == {"breaks": [0, 12], "names": ["2023", "2022"]}
    assert none == {"breaks": [], "names": []}


SIZE = {"width": 400, "height": 200}


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("m.movedBox([10, 10, 110, 60], 50, 500, size)", [60, 150, 160, 200]),
        ("m.movedBox([10, 10, 110, 60], -50, -5, size)", [0, 5, 100, 55]),
        ("m.resizedBox([100, 50, 200, 150], 'nw', -200, 10, size)", [0, 60, 200, 150]),
        ("m.resizedBox([100, 50, 200, 150], 'e', 900, 900, size)", [100, 50, 400, 150]),
        ("m.resizedBox([100, 50, 200, 150], 'se', -900, -900, size)", [100, 50, 120, 70]),
        ("m.resizedBox([100, 50, 200, 150], 'n', 5, 900, size)", [100, 130, 200, 150]),
        ("m.scaledBox([100, 50, 200, 150], 0.5, size)", [125, 75, 175, 125]),
        ("m.scaledBox([0, 0, 100, 100], 9, size)", [0, 0, 400, 200]),
        ("m.boxBetween([300, 150], [100, 20], size)", [100, 20, 300, 150]),
        ("m.boxBetween([399, 199], [500, 500], size)", [380, 180, 400, 200]),
    ],
)
def test_boxes_stay_within_the_image(page: Page, call: str, expected: list[float]) -> None:
    assert run(page, "lib/box", f"const size = given; return {call}", SIZE) == expected


def test_dates_are_those_of_the_camera(page: Page) -> None:
    body = "return given.map((text) => m.dateText(text, { time: true }))"
    texts = ["2024-05-01T12:30:00", "2024-05-01", "0050-02-03T00:00:00", "yesterday", None]
    assert run(page, "lib/images", body, texts) == ["1 May 2024, 12:30", "1 May 2024, 00:00", "3 Feb 50, 00:00", "", ""]


def test_probabilities_claim_no_more_than_is_known(page: Page) -> None:
    body = "return given.map(m.percent)"
    expected = ["over 99 %", "99 %", "50 %", "1 %", "below 1 %", "below 1 %"]
    assert run(page, "lib/images", body, [0.999999, 0.99, 0.5, 0.01, 0.009, 0]) == expected


def test_zoom_keeps_the_point_and_the_edges(page: Page) -> None:
    body = """
    const at = m.zoomedAt({ scale: 1, x: 0, y: 0 }, 2, { x: 100, y: -50 });
    const size = { width: 800, height: 600 };
    const narrow = { width: 400, height: 600 };
    const bounded = (scale, x, y, element) => m.bounded({ scale, x, y }, element, size, 8);
    return [at, bounded(2, 5000, -5000, size), bounded(0.2, 9, 9, size), bounded(1.2, 500, 0, narrow)];
    """
    assert run(page, "lib/zoom", body) == [
        {"scale": 2, "x": -100, "y": 50},
        {"scale": 2, "x": 400, "y": -300},
        {"scale": 1, "x": 0, "y": 0},
        {"scale": 1.2, "x": 0, "y": 0},
    ]


def test_a_map_of_similarity_is_veiled_where_low_and_warm_where_high(page: Page) -> None:
    body = "const { width, height, data } = m.heatColours([[0, 1], [0.5, 0.7]]); return [width, height, [...data]]"
    width, height, data = run(page, "views/search/heat", body)
    assert (width, height) == (2, 2)
    pixels = [data[at : at + 4] for at in range(0, 16, 4)]
    assert pixels[0][:3] == [0, 0, 0]
    assert pixels[0][3] > pixels[2][3] > 0
    assert pixels[1][0] > pixels[3][0] > 0


def test_no_attribute_runs_code(page: Page) -> None:
    body = """
    const tried = [];
    for (const name of ["onclick", "onerror", "srcdoc"]) {
      try {
        m.h("img", { [name]: "alert(1)" });
        tried.push(name);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
      }
    }
    const text = m.h("p", null, "<img src=x onerror=alert(1)>", ["&amp;", null, false, 0]);
    return [tried, text.childElementCount, text.textContent];
    """
    assert run(page, "lib/dom", body) == [[], 0, "<img src=x onerror=alert(1)>&amp;0"]


def test_what_the_page_escapes_is_what_the_command_line_escapes(page: Page) -> None:
    escaped = [chr(code) for code in range(0x11000) if printable(chr(code)) != chr(code)]
    texts = [*escaped, "a\u202eb\u2066\u200e.jpg", "Zoë \u05e9\u05dc 日本 👩\u200d🚀 a\u00a0b.jpg", "<b>&amp;"]
    assert run(page, "lib/text", "return given.map(m.printable)", texts) == [printable(each) for each in texts]
    assert {"\u202a", "\u202e", "\u2066", "\u2069", "\u200e", "\u200f", "\n", "\x1b", "\ud800"} <= set(escaped)


def test_words_of_elements_are_escaped_and_values_are_not(page: Page) -> None:
    body = """
    const field = m.h("input", { value: given, title: given, "aria-label": given, name: given, data: { id: given } });
    const list = m.suggestions("names", ["fine", given]);
    return [field.value, field.title, field.getAttribute("aria-label"), field.name, field.dataset.id,
      m.h("p", null, given).textContent, [...list.children].map(({ value }) => value)];
    """
    name, shown = "a\u202eb", "a\\u202eb"
    assert run(page, "lib/dom", body, name) == [name, shown, shown, name, name, shown, ["fine"]]


def test_names_from_right_to_left_do_not_change_the_order_of_a_path(page: Page) -> None:
    body = """
    const line = document.createElement("p");
    const { fill } = await import("/assets/lib/dom.js");
    fill(line, m.pathText(given));
    document.getElementById("main").append(line);
    const lefts = [...line.querySelectorAll("bdi")].map((part) => part.getBoundingClientRect().left);
    const text = line.textContent;
    line.remove();
    return [text, lefts];
    """
    path = "/photos/\u05e9\u05dc\u05d5\u05dd/\u05d9\u05dc\u05d3\u05d9\u05dd/2020"
    text, lefts = run(page, "lib/images", body, path)
    assert text == path
    assert len(lefts) == 4
    assert lefts == sorted(lefts)
