"""The report of a run: loss and validation curves, the gain, and queries with their results before and after."""

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
from kindred.training.loop import FitResult
from kindred.training.run_folder import LOG
from kindred.training.tuning.curves import draw_curves
from kindred.training.tuning.task import TuningTask, ValidationData

__all__ = ["write_report"]

SHOWN_GAINED, SHOWN_LOST = 6, 3  # queries shown whose first result became right, and wrong
SHOWN_RESULTS = 5
THUMBNAIL = 112  # pixels
SMOOTHING = 8  # rows of the log that one point of a curve averages, at most
METRICS = ("mAP", "recall@1", "recall@10")


def write_report(file: Path, task: TuningTask, result: FitResult, *, title: str, command: str) -> None:
    """Write the page of a finished run, `file` in its folder beside the log; raises UsageError if it cannot.

    It shows queries whose first result became right, and also those where it became wrong.
    """
    log = read_log(file.with_name(LOG))
    document = fill(
        _template(),
        images="data:",
        title=html_text(title),
        command=html_text(command),
        facts=_facts(result),
        metrics=_metrics_table(result),
        curves=_curves(log),
        queries=_queries(task),
    )
    write_document(file, "report", document)


@cache
def _template() -> str:
    return (files("kindred.training.tuning") / "report.html").read_text(encoding="utf-8")


def _facts(result: FitResult) -> str:
    updating = result.seconds - result.planning_seconds - result.validation_seconds
    facts = [
        f"<b>{result.epochs}</b> epochs, best epoch <b>{result.best_epoch}</b>",
        f"<b>{result.updates:,}</b> updates in <b>{_duration(updating)}</b>",
        f"planning <b>{_duration(result.planning_seconds)}</b>",
        f"validation <b>{_duration(result.validation_seconds)}</b>",
    ]
    return "".join(f"<li>{fact}</li>" for fact in facts)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _metrics_table(result: FitResult) -> str:
    """Return the table of the validation's metrics before and after."""
    if not result.after:
        return '<p class="empty">No validation: there were too few images to hold some out.</p>'
    rows = [
        f"<tr><th>{name}</th><td>{result.before[name]:.3f}</td><td>{result.after[name]:.3f}</td>"
        f"<td>{_gain(result.before[name], result.after[name])}</td></tr>"
        for name in METRICS
    ]
    head = "<thead><tr><th></th><th>before</th><th>after</th><th>gain</th></tr></thead>"
    return f"<table>{head}<tbody>{''.join(rows)}</tbody></table>"


def _gain(before: float, after: float) -> str:
    return f"{(after / before - 1) * 100:+.0f} %" if before else f"{after - before:+.3f}"


def _curves(log: Sequence[LogRow]) -> str:
    def of(part: str, name: str) -> list[tuple[float, float]]:
        return [(row.epoch, row.value) for row in log if row.part == part and row.name == name]

    names = dict.fromkeys(row.name for row in log if row.part == "training" and row.name != "gradient")
    losses = {name: _smooth(of("training", name)) for name in names}
    drawn = [
        ("Training loss", draw_curves(losses, title="The training loss by epoch")),
        (
            "Validation",
            draw_curves({name: of("validation", name) for name in METRICS}, title="The validation metrics by epoch"),
        ),
    ]
    return "".join(f"<figure><figcaption>{name}</figcaption>{curve}</figure>" for name, curve in drawn if curve)


def _smooth(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the means of up to eight neighbouring points, such that some forty points are left."""
    width = max(1, min(SMOOTHING, len(points) // 40))
    groups = [points[at : at + width] for at in range(0, len(points), width)]
    return [(group[-1][0], float(np.mean([y for _, y in group]))) for group in groups]


def _queries(task: TuningTask) -> str:
    data, before, after = task.validation_data, task.before, task.after
    if data is None or before is None or after is None:
        return ""
    relevant = data.validation.relevant
    right = [_is_right(results, relevant) for results in (before, after)]
    gained, lost = np.flatnonzero(~right[0] & right[1]), np.flatnonzero(right[0] & ~right[1])
    counts = (
        f"<p>Of {len(relevant):,} queries the first result became right for <b>{len(gained):,}</b> "
        f"and wrong for <b>{len(lost):,}</b>.</p>"
    )
    shown = [*_spread(gained, SHOWN_GAINED), *_spread(lost, SHOWN_LOST)]
    return counts + "".join(_query(data, query, before[query], after[query]) for query in shown)


def _is_right(results: NDArray[np.int64], relevant: Sequence[NDArray[np.int64]]) -> NDArray[np.bool_]:
    return np.array([best[0] in positions for best, positions in zip(results, relevant, strict=True)], bool)


def _spread(queries: NDArray[np.int64], most: int) -> list[int]:
    """Return at most `most` of the queries, evenly spread."""
    chosen = np.linspace(0, len(queries) - 1, min(most, len(queries))).round().astype(int)
    return [int(query) for query in queries[chosen]]


def _query(data: ValidationData, query: int, before: NDArray[np.int64], after: NDArray[np.int64]) -> str:
    index = int(data.validation.queries[query])
    rows = (("before", before), ("after", after))
    results = "".join(
        f'<div class="row"><span>{name}</span>{"".join(_results(data, query, shown))}</div>' for name, shown in rows
    )
    path = data.validation.paths[index]
    name = html_text(f"{path.parent.name}/{path.name}")
    image = f"{_picture(data, index)}<figcaption><bdi>{name}</bdi></figcaption>"
    return f'<section><figure class="query">{image}</figure><div>{results}</div></section>'


def _results(data: ValidationData, query: int, results: NDArray[np.int64]) -> Iterator[str]:
    validation = data.validation
    for position in results[results >= 0][:SHOWN_RESULTS].tolist():
        mark = "right" if position in validation.relevant[query] else "wrong"
        index = int(validation.database[position])
        title = html_text(str(validation.paths[index]))
        yield f'<span class="result {mark}" title="{title}">{_picture(data, index)}</span>'


def _picture(data: ValidationData, index: int) -> str:
    try:
        jpeg = thumbnail_jpeg(data.images[index], THUMBNAIL)
    except ImageError:  # its file was removed during the run
        return ""
    return f'<img src="{picture_address(jpeg)}" alt="">'
