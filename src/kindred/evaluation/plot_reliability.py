"""Draw reliability diagrams: how often results of a probability are right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kindred.calibration import Reliability
from kindred.evaluation.plot import GRID, INK, QUIET, check_figure, save_figure

__all__ = ["check_reliability_plot", "plot_reliability"]

COLOURS = ("#1f5f8b", "#c8553d", "#4f8a5b", "#8a6fb0", "#b58a1f")
INCHES = (5.2, 5.2)
LARGEST, SMALLEST = 240.0, 14.0
"""Areas of a mark, in square points, for all cases and for none."""


def check_reliability_plot(file: Path) -> None:
    """Raise UsageError for an unknown format, MissingExtra without matplotlib; called before measuring."""
    check_figure(file, "drawing a reliability diagram")


def plot_reliability(found: Mapping[str, Reliability], file: Path | str) -> Path:
    """Draw one line of marks for each of `found`, by name, and the diagonal of perfect calibration; return the file.

    The area of a mark is the share of cases in its interval. Raises as `check_reliability_plot`.
    """
    file = Path(file)
    check_reliability_plot(file)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot((0, 1), (0, 1), color=QUIET, lw=1, ls="--", zorder=1)
    for number, (name, each) in enumerate(found.items()):
        colour = COLOURS[number % len(COLOURS)]
        x, y = [one.predicted for one in each.bins], [one.observed for one in each.bins]
        axes.plot(x, y, color=colour, lw=1.4, zorder=2, label=f"{name} (error {each.error:.3f})")
        axes.scatter(x, y, s=[SMALLEST + LARGEST * one.weight for one in each.bins], color=colour, zorder=3)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    axes.set_xlabel("probability of the first result", color=INK)
    axes.set_ylabel("fraction that shows the same thing", color=INK)
    axes.grid(visible=True, color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=8.5, loc="outside upper left", ncols=2)  # within the axes it hides lines
    return save_figure(figure, file)
