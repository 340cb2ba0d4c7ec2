"""The report: a page that needs nothing else, says what was gained and lost, and escapes every name."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from class_folders import member
from kindred.errors import UsageError
from kindred.training.aggregation import build_aggregation
from kindred.training.image_cache import ImageCache
from kindred.training.log import Log
from kindred.training.loop import FitResult
from kindred.training.mining import ClassBalanced
from kindred.training.run_folder import LOG
from kindred.training.tuning.embedder import Embedder
from kindred.training.tuning.objective import build_objective
from kindred.training.tuning.report import SHOWN_GAINED, SHOWN_LOST, write_report
from kindred.training.tuning.task import REPORTED_RESULTS, TuningTask, ValidationData
from kindred.training.tuning.validation import Validation
from tiny_backbone import TinyBackbone
from tiny_task import HERE

BEFORE = {"mAP": 0.5, "recall@1": 0.25, "recall@10": 0.0}
AFTER = {"mAP": 0.75, "recall@1": 0.25, "recall@10": 0.1}
OUTCOME = FitResult(7, 5, 1234, 1000.0, 50.0, 30.5, BEFORE, AFTER)
NAUGHTY = "<script>alert('x')</script>&amp;\"\u202e"
VOID = {"meta", "img", "br", "hr", "link", "input", "path", "circle"}


class Page(HTMLParser):
    """The elements of a page: every tag that is opened is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def _examined(queries: int) -> ValidationData:
    """So many queries for a database of two images, of which the first is right."""
    count = queries + 2
    pictures = ImageCache.from_arrays([member(number % 4, number) for number in range(count)])
    paths = tuple(Path("folder") / NAUGHTY.replace("/", "") / f"{number}<b>.jpg" for number in range(count))
    return ValidationData(
        Validation(
            paths,
            np.arange(queries),
            np.array([queries, queries + 1]),
            (np.array([0]),) * queries,
            (np.zeros(0, np.int64),) * queries,
        ),
        pictures,
    )


def _results(first: list[int]) -> NDArray[np.int64]:
    """The results of queries: the first of them, the other of the two, and no more."""
    found = np.full((len(first), REPORTED_RESULTS), -1)
    found[:, 0], found[:, 1] = first, [1 - each for each in first]
    return found


def _task(validation_data: ValidationData | None) -> TuningTask:
    embedder = Embedder(TinyBackbone(), build_aggregation("gem", 10))
    objective = build_objective("contrastive", classes=2, dimension=10, memory=0, options={})
    planner = ClassBalanced(np.array([0, 0, 1, 1]), 2, 2)
    return TuningTask(
        embedder,
        objective,
        planner,
        ImageCache.from_arrays([]),
        size=32,
        processes=HERE,
        validation_data=validation_data,
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run with its log; a report goes into it."""
    log = Log(tmp_path / LOG, step=0)
    for epoch in range(8):
        if epoch:
            log.write(9 * epoch, epoch, 0, "training", {"loss": 1 / epoch, "gradient": 5.0})
        log.write(9 * epoch, epoch, 0, "validation", dict.fromkeys(BEFORE, epoch / 10))
        log.write(9 * epoch, epoch, 0, "plan", {"batches": 9})
    return tmp_path


def _page(run: Path, task: TuningTask, outcome: FitResult = OUTCOME) -> tuple[Page, str]:
    write_report(run / "report.html", task, outcome, title=NAUGHTY, command=f"kindred train {NAUGHTY}")
    text = (run / "report.html").read_text(encoding="utf-8")
    return Page(text), text


def _gained_and_lost(gained: int, lost: int, same: int) -> TuningTask:
    task = _task(_examined(gained + lost + same))
    task.before = _results([1] * gained + [0] * lost + [0] * same)
    task.after = _results([0] * gained + [1] * lost + [0] * same)
    return task


def test_it_says_what_the_run_came_to(run: Path) -> None:
    page, text = _page(run, _gained_and_lost(1, 0, 0))
    assert "7 epochs, best epoch 5" in page.text
    assert "1,234 updates in 15 min" in page.text
    assert "planning 50 s validation 30 s" in page.text
    assert "mAP 0.500 0.750 +50 %" in page.text
    assert "recall@1 0.250 0.250 +0 %" in page.text
    assert "recall@10 0.000 0.100 +0.100" in page.text
    assert "Of 1 queries the first result became right for <b>1</b> and wrong for <b>0</b>." in text


def test_it_draws_the_loss_and_the_validation(run: Path) -> None:
    page, text = _page(run, _gained_and_lost(1, 0, 0))
    assert len(page.named("svg")) == 2
    for name in ("loss 0.143", "mAP 0.7", "recall@1 0.7", "recall@10 0.7"):
        assert f">{name}</text>" in text
    assert "gradient" not in text
    assert "batches" not in text


def test_names_are_escaped_wherever_they_come_from(run: Path) -> None:
    page, text = _page(run, _gained_and_lost(2, 1, 0))
    for markup in ("<script", "<b>.jpg", "alert('x')", "\u202e", '&amp;"', "&amp;amp;amp;"):
        assert markup not in text.replace("<b>7", "")
    assert {"script"} & {tag for tag, _ in page.elements} == set()
    shown = NAUGHTY.replace("\u202e", "\ufffd")
    assert page.texts.count(shown) == 2  # as title and as heading
    assert f"kindred train {shown}" in page.texts
    assert any("<b>.jpg" in str(attributes.get("title")) for attributes in page.named("span"))


def test_nothing_is_loaded_and_nothing_runs(run: Path) -> None:
    page, text = _page(run, _gained_and_lost(2, 1, 0))
    (policy,) = (each["content"] for each in page.named("meta") if each.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe-eval" not in policy
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("href", "src", "srcset", "action", "style"):
            assert (attributes.get(name) or "data:image/jpeg;base64,").startswith("data:image/jpeg;base64,")
    assert not re.search(r"https?:|//[a-z]|url\(|@import", text)
    assert "$" not in text


def test_queries_are_shown_with_their_results_before_and_after(run: Path) -> None:
    page, _ = _page(run, _gained_and_lost(1, 1, 3))
    marks = [each["class"] for each in page.named("span") if "class" in each]
    assert marks == [
        *("result wrong", "result right", "result right", "result wrong"),
        *("result right", "result wrong", "result wrong", "result right"),
    ]
    assert len(page.named("section")) == 2
    assert len(page.named("img")) == 2 * 5


def test_of_many_queries_some_are_shown(run: Path) -> None:
    page, text = _page(run, _gained_and_lost(20, 10, 2))
    assert "Of 32 queries the first result became right for <b>20</b> and wrong for <b>10</b>." in text
    assert len(page.named("section")) == SHOWN_GAINED + SHOWN_LOST
    names = [text for text in page.texts if text.endswith("<b>.jpg")]
    numbers = [int(name.rpartition("/")[2].removesuffix("<b>.jpg")) for name in names]
    assert numbers[:SHOWN_GAINED] == [0, 4, 8, 11, 15, 19]
    assert numbers[SHOWN_GAINED:] == [20, 24, 29]


def test_without_a_validation_it_says_so(run: Path) -> None:
    page, _ = _page(run, _task(None), FitResult(2, 2, 8, 20.0, 0.0, 0.0, {}, {}))
    assert "No validation: there were too few images to hold some out." in page.text
    assert page.named("section") == []
    assert page.named("table") == []


def test_a_picture_that_went_away_leaves_its_place(run: Path) -> None:
    task = _gained_and_lost(1, 0, 0)
    assert task.validation_data is not None
    task.validation_data = ValidationData(
        task.validation_data.validation, ImageCache(task.validation_data.validation.paths, longest=64)
    )
    page, _ = _page(run, task)
    assert page.named("img") == []
    assert len(page.named("section")) == 1


def test_many_points_are_drawn_as_means(run: Path) -> None:
    log = Log(run / LOG, step=0)
    for step in range(400):
        log.write(step, step / 100, 0, "training", {"loss": float(step % 8)})
    _, text = _page(run, _gained_and_lost(1, 0, 0))
    assert ">loss 3.5</text>" in text
    assert text.partition('class="curve c0" d="')[2].partition('"')[0].count("L") == 49


def test_a_file_that_cannot_be_written_is_named(run: Path) -> None:
    (run / "report.html").mkdir()
    with pytest.raises(UsageError, match=r"report .*report\.html cannot be written"):
        write_report(run / "report.html", _task(None), OUTCOME, title="x", command="y")


def test_the_template_is_a_file_of_the_package() -> None:
    template = (files("kindred.training.tuning") / "report.html").read_text(encoding="utf-8")
    assert set(re.findall(r"\$(\w+)", template)) == {
        "title",
        "facts",
        "command",
        "metrics",
        "curves",
        "queries",
    }
