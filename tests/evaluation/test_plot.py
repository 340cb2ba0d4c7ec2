from __future__ import annotations

import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from kindred.errors import MissingExtra, UsageError
from kindred.evaluation import Evaluation, plot_costs
from kindred.evaluation.plot import COSTS, FORMATS, _Panel, frontier
from kindred.evaluation.plot_labels import place_labels
from kindred.recipe import Recipe

pytest.importorskip("matplotlib")


def measured(name: str, quality: float, milliseconds: float, *, of: str = "photos", rerank: str = "") -> Evaluation:
    return Evaluation(
        name=of,
        recipe=Recipe(name, "kin"),
        queries=20,
        metrics={"mAP": quality, "recall@1": quality},
        dimension=8,
        seconds_per_image=milliseconds / 1e3,
        seconds_per_query=milliseconds / 1e3,
        images=100,
        bytes_per_image=32,
        rerank=(rerank,) if rerank else (),
    )


def many(count: int) -> list[Evaluation]:
    random = np.random.default_rng(1)
    return [
        measured(f"recipe-{number}", float(random.random()), float(10 ** random.uniform(0.5, 2)))
        for number in range(count)
    ]


@pytest.mark.parametrize("ending", FORMATS)
def test_a_picture_of_each_kind(tmp_path: Path, ending: str) -> None:
    found = [*many(5), measured("a", 0.9, 300, rerank="verify"), measured("b", 0.4, 3, of="other")]
    file = plot_costs(found, tmp_path / f"costs{ending}")
    assert file.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml", b"%PDF-")
    again = tmp_path / f"again{ending}"
    assert plot_costs(found, again).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("cost", COSTS)
def test_every_cost_can_be_drawn(tmp_path: Path, cost: str) -> None:
    text = plot_costs([measured("one", 0.5, 7)], tmp_path / "one.svg", cost=cost).read_text()
    assert "<svg" in text


def test_the_frontier_is_the_pareto_front() -> None:
    costs, qualities = [3, 1, 2, 2, 5, 1], [0.9, 0.2, 0.6, 0.7, 0.9, 0.2]
    literal = [
        at
        for at in range(6)
        if not any(
            (costs[other], -qualities[other], other) < (costs[at], -qualities[at], at)
            and qualities[other] >= qualities[at]
            for other in range(6)
        )
    ]
    assert sorted(frontier(costs, qualities)) == literal == [0, 1, 3]
    assert frontier(costs, qualities) == [1, 3, 0]


@pytest.mark.parametrize("count", [1, 2, 12, 20])
def test_labels_do_not_overlap(count: int) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    panel = _Panel(figure.subplots(), many(count), "query")
    panel.draw()
    labels = panel.label()
    figure.draw_without_rendering()
    place_labels(panel.axes, labels, panel.corners(), colour="grey")
    boxes = [label.get_window_extent() for label in labels]
    assert len(boxes) == count
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    edge = panel.axes.bbox.padded(1)
    assert all(edge.contains(box.x0, box.y0) and edge.contains(box.x1, box.y1) for box in boxes)


def test_of_very_many_only_the_best_are_named() -> None:
    from matplotlib.figure import Figure

    panel = _Panel(Figure().subplots(), many(60), "query")
    assert [label.get_text() for label in panel.label()] == [panel.found[at].label for at in panel.best]


def test_invalid_plots_are_refused(tmp_path: Path) -> None:
    found = [measured("one", 0.5, 7)]
    with pytest.raises(UsageError, match=r"costs\.gif: cannot be drawn; expected a name that ends in \.png"):
        plot_costs(found, tmp_path / "costs.gif")
    with pytest.raises(UsageError, match="unknown cost 'money'; known: query, image"):
        plot_costs(found, tmp_path / "costs.png", cost="money")
    with pytest.raises(UsageError, match="nothing was measured"):
        plot_costs([], tmp_path / "costs.png")
    with pytest.raises(UsageError, match="cannot be written"):
        plot_costs(found, tmp_path / "none" / "costs.png")


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match="pip install matplotlib scikit-learn"):
        plot_costs([measured("one", 0.5, 7)], tmp_path / "costs.png")


def test_costs_of_zero_are_plotted(tmp_path: Path) -> None:
    found = [replace(measured("free", 0.5, 7), seconds_per_query=0.0), measured("dear", 0.6, 9)]
    assert plot_costs(found, tmp_path / "costs.png").stat().st_size > 1000
