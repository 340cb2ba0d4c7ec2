"""The page of results: escaped, self-contained, complete and in order."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from kindred.errors import UsageError
from kindred.html.results import PageHit, PageResults, results_page, write_page

VOID = {"br", "img", "input", "link", "meta", "rect", "path", "hr"}
JPEG = b"\xff\xd8\xff\xe0 picture \xff\xd9"
HOSTILE = "/photos/<script>alert(1)<\\script>/\"><img src=x onerror='alert(2)'>&amp;.jpg"


class Page(HTMLParser):
    """Collects what a page holds and checks that every element is closed where it should be."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"script", "style"}:
            self.texts.append(data)

    def all(self, tag: str, css_class: str = "") -> list[dict[str, str]]:
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and (not css_class or css_class in attributes.get("class", "").split())
        ]


def hit(rank: int, *, path: str = "/photos/one.jpg", score: float = 0.5, **more: object) -> PageHit:
    fields: dict[str, object] = {"thumbnail": JPEG, "width": 400, "height": 200, **more}
    return PageHit(rank=rank, path=path, score=score, **fields)  # type: ignore[arg-type]


def results(
    *hits: PageHit, name: str = "query.jpg", box: tuple[float, float, float, float] | None = None
) -> PageResults:
    return PageResults(name, JPEG, (400, 300), box, hits)


def page_of(*queries: PageResults, title: str = "Results", recipe: str = "kin") -> str:
    return results_page(queries, title=title, recipe=recipe, seconds=0.25, library_size=1234)


def test_all_hits_are_shown_in_order_with_their_scores() -> None:
    hits = [hit(n, path=f"/photos/{n:02d}.jpg", score=1 - n / 20) for n in range(1, 16)]
    page = Page(page_of(results(*hits)))
    assert [each["data-label"] for each in page.all("a", "open")] == [
        f"{n} · {n:02d}.jpg · {1 - n / 20:.3f}" for n in range(1, 16)
    ]
    assert [each["href"] for each in page.all("a", "name")] == [f"file:///photos/{n:02d}.jpg" for n in range(1, 16)]
    shown = "".join(page.texts)
    assert "1,234" in shown
    assert "0.25 s" in shown


def test_pictures_are_embedded_unchanged() -> None:
    images = Page(page_of(results(hit(1)))).all("img")
    assert [base64.b64decode(each["src"].removeprefix("data:image/jpeg;base64,")) for each in images] == [JPEG, JPEG]


def test_hostile_names_stay_text() -> None:
    page = page_of(results(hit(1, path=HOSTILE), name=HOSTILE), title="</title><script>x()</script>", recipe="<b>&")
    parsed = Page(page)
    assert len(parsed.all("script")) == 1
    assert all(each["src"].startswith("data:image/jpeg;base64,") for each in parsed.all("img"))
    assert not any(key.startswith("on") for _, attributes in parsed.elements for key in attributes)
    assert "</title><script>x()</script>" in "".join(parsed.texts)
    assert parsed.all("button", "copy")[0]["data-path"] == HOSTILE


@pytest.mark.parametrize(
    "path",
    ["/photos/caf\udce9 \udcff.jpg", "/photos/new\nline.jpg", "/photos/\u202egpj.exe", "/photos/nul\x00.jpg"],
    ids=["not UTF-8", "line break", "direction mark", "nul"],
)
def test_unprintable_names_are_replaced_and_still_link_to_the_file(path: str) -> None:
    page = page_of(results(hit(1, path=path), name=path))
    page.encode("utf-8")
    parsed = Page(page)
    assert not {"\u202e", "\x00"} & set(page)
    assert "\ufffd" in parsed.all("a", "open")[0]["data-label"]
    address = parsed.all("a", "name")[0]["href"]
    assert unquote_to_bytes(address.removeprefix("file://")) == os.fsencode(path)
    # The clipboard gets something that names the file too, not a name with replaced letters.
    assert parsed.all("button", "copy")[0]["data-path"] == address


def test_nothing_is_loaded_from_outside() -> None:
    page = page_of(results(hit(1)), results(hit(1), name="second.jpg"))
    assert "http://" not in page
    assert "https://" not in page
    assert "@import" not in page
    assert "url(" not in page
    addresses = [
        value for _, attributes in Page(page).elements for key, value in attributes.items() if key in {"src", "href"}
    ]
    assert all(value.startswith(("data:", "file:", "#")) for value in addresses)


def test_the_security_policy_allows_the_pages_own_script_only() -> None:
    page = page_of(results(hit(1)))
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    (policy,) = (each["content"] for each in Page(page).all("meta") if "http-equiv" in each)
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_boxes_are_overlaid_in_fractions_of_the_original() -> None:
    page = Page(page_of(results(hit(1, box=(100, 50, 300, 250)), box=(40, 30, 200, 300))))
    assert [each["style"] for each in page.all("span", "box")] == [
        "--x:10.00%;--y:10.00%;--w:40.00%;--h:90.00%",
        "--x:25.00%;--y:25.00%;--w:50.00%;--h:100.00%",
    ]
    assert len(page.all("span", "crop")) == 1


@pytest.mark.parametrize(
    ("scores", "bars"),
    [
        ((0.9, 0.5, 0.0), ["90.0%", "50.0%", "0.0%"]),
        ((-1.0, -2.0, -3.0), ["100.0%", "55.0%", "10.0%"]),
        ((7.0, 7.0), ["100.0%", "100.0%"]),
        ((float("inf"), 0.25), ["0.0%", "25.0%"]),
    ],
)
def test_score_bars(scores: tuple[float, ...], bars: list[str]) -> None:
    page = Page(page_of(results(*(hit(n, score=score) for n, score in enumerate(scores, start=1)))))
    assert [each["style"] for each in page.all("i")] == [f"--share:{bar}" for bar in bars]


def test_a_hit_without_picture_size_or_date() -> None:
    page = Page(
        page_of(results(hit(1, thumbnail=None, width=0, height=0), hit(2, width=0, height=0, taken="long ago")))
    )
    shown = "".join(page.texts)
    assert "No preview" in shown
    assert "long ago" in shown


def test_dates_and_folders_are_shortened() -> None:
    page = Page(page_of(results(hit(1, path="/home/ida/photos/market/a.jpg", taken="2024-05-07T10:32:00"))))
    assert "7 May 2024" in page.texts
    assert "photos/market" in page.texts
    assert page.all("span", "folder")[0]["title"] == "/home/ida/photos/market/"


def test_no_hits_and_no_queries() -> None:
    empty = Page(page_of(results()))
    assert "No results." in "".join(empty.texts)
    assert empty.all("ol") == []
    assert "No image was searched for." in "".join(Page(page_of()).texts)


def test_several_queries_have_a_list_of_contents() -> None:
    page = Page(page_of(results(hit(1), name="a.jpg"), results(hit(1), name="b.jpg")))
    links = [each["href"] for each in page.all("a") if each["href"].startswith("#")]
    assert links == ["#query-1", "#query-2"]
    assert [each["id"] for each in page.all("section")] == ["query-1", "query-2"]


def test_write_page_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "results.html"
    file.write_text("old")
    page = page_of(results(hit(1, path="/photos/\udcff.jpg")))
    write_page(file, page)
    assert file.read_text(encoding="utf-8") == page
    assert list(tmp_path.iterdir()) == [file]


def test_write_page_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"results\.html cannot be written: no such file or folder"):
        write_page(tmp_path / "missing" / "results.html", "page")
