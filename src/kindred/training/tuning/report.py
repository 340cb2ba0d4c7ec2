"""The report of a run: its curves, what it gained, and queries with their answers before and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred.errors import ImageError
from kindred.html.document import fill, html_text, picture_address, write_document
from kindred.images import thumbnail_jpeg
from kindred.training.log import LogRow, read_log
from kindred.training.loop import LOG, FitResult
from kindred.training.tuning.curves import draw_curves
from kindred.training.tuning.task import TuningTask, ValidationData

__all__ = ["write_report"]

GAINED, LOST = 6, 3  # queries shown whose first answer became right, and wrong
ANSWERS = 5
THUMBNAIL = 112  # pixels
SMOOTHED = 8  # points of the loss that one of its curve stands for, at least where there are many
NAMES = {"mAP": "mAP", "recall@1": "recall@1", "recall@10": "recall@10"}


def write_report(file: Path, task: TuningTask, outcome: FitResult, *, title: str, command: str) -> None:
    """Write the page of a run that is over, `file` in its folder beside the log; raises UsageError where it cannot.

    Queries are shown whose first answer became right, and honestly those where it became wrong.
    """
    log = read_log(file.with_name(LOG))
    document = fill(
        _template(),
        images="data:",
        title=html_text(title),
        command=html_text(command),
        facts=_facts(outcome),
        figures=_figures(outcome),
        curves=_curves(log),
        queries=_queries(task),
    )
    write_document(file, "report", document)


@cache
def _template() -> str:
    return (files("kindred.training.tuning") / "report.html").read_text(encoding="utf-8")


def _facts(outcome: FitResult) -> str:
    learning = outcome.seconds - outcome.planned - outcome.validated
    facts = [
        f"<b>{outcome.epochs}</b> epochs, the best the <b>{outcome.best_epoch}.</b>",
        f"<b>{outcome.updates:,}</b> updates in <b>{_minutes(learning)}</b>",
        f"plans <b>{_minutes(outcome.planned)}</b>",
        f"validation <b>{_minutes(outcome.validated)}</b>",
    ]
    return "".join(f"<li>{fact}</li>" for fact in facts)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _figures(outcome: FitResult) -> str:
    """The table of what the validation found before and after."""
    if not outcome.after:
        return '<p class="empty">Nothing was validated on: there were too few images to hold some back.</p>'
    rows = [
        f"<tr><th>{NAMES[name]}</th><td>{outcome.before[name]:.3f}</td><td>{outcome.after[name]:.3f}</td>"
        f"<td>{_gain(outcome.before[name], outcome.after[name])}</td></tr>"
        for name in NAMES
    ]
    head = "<thead><tr><th></th><th>before</th><th>after</th><th>gain</th></tr></thead>"
    return f"<table>{head}<tbody>{''.join(rows)}</tbody></table>"


def _gain(before: float, after: float) -> str:
    return f"{(after / before - 1) * 100:+.0f} %" if before else f"{after - before:+.3f}"


def _curves(log: Sequence[LogRow]) -> str:
    def of(part: str, name: str) -> list[tuple[float, float]]:
        return [(row.epoch, row.value) for row in log if row.part == part and row.name == name]

    losses = {
        name: _smooth(of("training", name)) for name in dict.fromkeys(r.name for r in log if r.part == "training")
    }
    losses.pop("gradient", None)
    drawn = [
        ("What it learned by", draw_curves(losses, title="The loss, epoch by epoch")),
        ("What it was worth", draw_curves({name: of("validation", name) for name in NAMES}, title="The validation")),
    ]
    return "".join(f"<figure><figcaption>{name}</figcaption>{curve}</figure>" for name, curve in drawn if curve)


def _smooth(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the means of neighbouring points, some forty of them at least."""
    width = max(1, min(SMOOTHED, len(points) // 40))
    groups = [points[at : at + width] for at in range(0, len(points), width)]
    return [(group[-1][0], float(np.mean([y for _, y in group]))) for group in groups]


def _queries(task: TuningTask) -> str:
    validation_data, before, after = task.validation_data, task.before, task.after
    if validation_data is None or before is None or after is None:
        return ""
    relevant = validation_data.validation.relevant
    right = [_is_right(answers, relevant) for answers in (before, after)]
    gained, lost = np.flatnonzero(~right[0] & right[1]), np.flatnonzero(right[0] & ~right[1])
    counts = (
        f"<p>Of {len(relevant):,} queries the first answer became right for <b>{len(gained):,}</b> "
        f"and wrong for <b>{len(lost):,}</b>.</p>"
    )
    shown = [*_spread(gained, GAINED), *_spread(lost, LOST)]
    return counts + "".join(_query(validation_data, query, before[query], after[query]) for query in shown)


def _is_right(answers: NDArray[np.int64], relevant: Sequence[NDArray[np.int64]]) -> NDArray[np.bool_]:
    return np.array([best[0] in places for best, places in zip(answers, relevant, strict=True)], bool)


def _spread(numbers: NDArray[np.int64], most: int) -> list[int]:
    """Return `most` of the numbers, evenly spread."""
    chosen = np.linspace(0, len(numbers) - 1, min(most, len(numbers))).round().astype(int)
    return [int(number) for number in numbers[chosen]]


def _query(validation_data: ValidationData, query: int, before: NDArray[np.int64], after: NDArray[np.int64]) -> str:
    validation = validation_data.validation
    number = int(validation.queries[query])
    rows = (("before", before), ("after", after))
    shown = "".join(
        f'<div class="row"><span>{name}</span>{"".join(_answers(validation_data, query, answers))}</div>'
        for name, answers in rows
    )
    path = validation.paths[number]
    name = html_text(f"{path.parent.name}/{path.name}")
    asked = f"{_picture(validation_data, number)}<figcaption><bdi>{name}</bdi></figcaption>"
    return f'<section><figure class="asked">{asked}</figure><div>{shown}</div></section>'


def _answers(validation_data: ValidationData, query: int, answers: NDArray[np.int64]) -> Iterator[str]:
    validation = validation_data.validation
    for place in answers[answers >= 0][:ANSWERS].tolist():
        mark = "right" if place in validation.relevant[query] else "wrong"
        number = int(validation.database[place])
        title = html_text(str(validation.paths[number]))
        yield f'<span class="answer {mark}" title="{title}">{_picture(validation_data, number)}</span>'


def _picture(validation_data: ValidationData, number: int) -> str:
    try:
        jpeg = thumbnail_jpeg(validation_data.pictures[number], THUMBNAIL)
    except ImageError:  # its file went away during the run
        return ""
    return f'<img src="{picture_address(jpeg)}" alt="">'
