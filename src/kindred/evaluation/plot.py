"""Plot quality against cost: one mark per measured recipe, and the Pareto front as a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kindred._support.files import write_whole
from kindred.errors import MissingExtra, UsageError
from kindred.evaluation.plot_labels import Place, place_labels
from kindred.evaluation.result import Evaluation
from kindred.hints import check_known

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

__all__ = ["COSTS", "FORMATS", "Cost", "check_figure", "check_plot", "frontier", "plot_costs", "save_figure"]

FORMATS = (".png", ".svg", ".pdf")
UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""Formats that would contain the date omit it, so that the same results give the same file."""


class Cost(NamedTuple):
    """One entry of COSTS: the cost of a result, and the label of its axis."""

    value: Callable[[Evaluation], float]
    axis: str


COSTS: dict[str, Cost] = {
    "query": Cost(lambda found: 1e3 * found.seconds_per_query, "milliseconds per query"),
    "image": Cost(lambda found: 1e3 * found.seconds_per_image, "milliseconds per indexed image"),
    "bytes": Cost(lambda found: found.bytes_per_image, "bytes per image"),
    "passes": Cost(lambda found: found.passes, "network passes per image"),
}
"""The costs against which quality can be plotted."""

INK, QUIET, GRID, PLAIN, RERANKED = "#222222", "#8a8f98", "#e6e8eb", "#1f5f8b", "#c8553d"
INCHES = (7.2, 4.8)
LEAST_COST = 1e-6  # costs of 0 have no logarithm
MOST_LABELS = 24
"""With more results, only the Pareto front is labelled."""


def frontier(costs: Sequence[float], qualities: Sequence[float]) -> list[int]:
    """Return the positions of the Pareto front, cheapest first: nothing else is at most as expensive and as good.

    >>> frontier([1, 2, 3, 4], [0.5, 0.4, 0.7, 0.7])
    [0, 2]
    """
    best: list[int] = []
    for position in sorted(range(len(costs)), key=lambda at: (costs[at], -qualities[at])):
        if not best or qualities[position] > qualities[best[-1]]:
            best.append(position)
    return best


def plot_costs(found: Sequence[Evaluation], file: Path | str, *, cost: str = "query") -> Path:
    """Draw quality against `cost` (a name of COSTS), one panel for each set; return the file.

    The extension of `file` chooses the format. Raises as `check_plot`, and UsageError if there is nothing to draw.
    """
    file = Path(file)
    check_plot(file, cost)
    if not found:
        raise UsageError("nothing was measured, so there is nothing to draw")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    sets = list(dict.fromkeys(each.name for each in found))
    # A Figure without pyplot needs no display and leaves no global state.
    figure = Figure(figsize=(INCHES[0], INCHES[1] * len(sets)), layout=ConstrainedLayoutEngine(h_pad=0.12))
    FigureCanvasAgg(figure)
    panels = [
        _Panel(axes, [each for each in found if each.name == name], cost)
        for axes, name in zip(figure.subplots(len(sets), squeeze=False)[:, 0], sets, strict=True)
    ]
    for panel in panels:
        panel.draw()
    labels = [panel.label() for panel in panels]
    figure.draw_without_rendering()
    for panel, named in zip(panels, labels, strict=True):
        place_labels(panel.axes, named, panel.corners(), colour=QUIET)
    return save_figure(figure, file)


def save_figure(figure: Figure, file: Path) -> Path:
    """Write a figure in the format of the file's suffix, as a whole and without a date; return the file."""
    import matplotlib

    kind = file.suffix.lower().removeprefix(".")
    with matplotlib.rc_context({"svg.hashsalt": "kindred"}):  # otherwise ids in the file are random
        write_whole(
            file,
            "plot",
            lambda part: figure.savefig(part, format=kind, dpi=160, facecolor="white", metadata=UNDATED.get(kind)),
        )
    return file


def check_plot(file: Path, cost: str) -> None:
    """Raise UsageError for an unknown format or cost, MissingExtra without matplotlib; called before measuring."""
    check_figure(file, "drawing a comparison")
    check_known("cost", cost, COSTS, error=UsageError)


def check_figure(file: Path, purpose: str) -> None:
    """Raise UsageError for an unknown format or folder, MissingExtra without matplotlib, which names `purpose`."""
    if file.suffix.lower() not in FORMATS:
        raise UsageError(f"{file}: cannot be drawn; expected a name that ends in {', '.join(FORMATS)}")
    if not file.absolute().parent.is_dir():
        raise UsageError(f"plot {file} cannot be written: its folder does not exist; create it first")
    try:
        import matplotlib  # noqa: F401 - only to check that it is installed
    except ImportError:
        raise MissingExtra(purpose, "maps") from None


class _Panel:
    """The axes of one data set, with its marks, lines and labels."""

    def __init__(self, axes: Axes, found: Sequence[Evaluation], cost: str) -> None:
        self.axes, self.found, self.axis = axes, found, COSTS[cost].axis
        self.points = [(max(LEAST_COST, COSTS[cost].value(each)), each.quality) for each in found]
        self.best = frontier(*zip(*self.points, strict=True))

    def draw(self) -> None:
        """Draw the marks, the Pareto front, the axes and the legend."""
        axes = self.axes
        axes.set_xscale("log")
        axes.plot(*zip(*self.corners(), strict=True), color=QUIET, lw=1.2, zorder=1)
        for number, (each, (x, y)) in enumerate(zip(self.found, self.points, strict=True)):
            colour = RERANKED if each.rerank else PLAIN
            face = colour if number in self.best else "white"
            axes.scatter(x, y, s=44, color=colour, facecolor=face, linewidths=1.6, zorder=3)
        axes.set_title(self.title, loc="left", color=INK, fontsize=11, fontweight="bold")
        axes.set_xlabel(f"{self.axis} (log scale)", color=INK)
        axes.set_ylabel(self.found[0].main, color=INK)
        axes.grid(visible=True, which="major", color=GRID, lw=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.16, y=0.14)
        self.ticks()
        self.legend()

    @property
    def title(self) -> str:
        """The name of the set, and the numbers of queries and images."""
        first = self.found[0]
        added = f", {first.distractors:,} of them distractors" if first.distractors else ""
        return f"{first.name}: {first.queries:,} queries, {first.images:,} images{added}"

    def corners(self) -> list[Place]:
        """Return the corners of the Pareto front as a step function."""
        best = [self.points[at] for at in self.best]
        corners = best[:1]
        for earlier, later in pairwise(best):
            corners += [(later[0], earlier[1]), later]
        return corners

    def ticks(self) -> None:
        """Set several ticks per power of ten, since a range of costs is often shorter than one."""
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        costs = [x for x, _ in self.points]
        wide = max(costs) / min(costs)
        steps = (1, 1.5, 2, 3, 4, 5, 7) if wide < 8 else (1, 2, 5) if wide < 1e4 else (1,)
        self.axes.xaxis.set_major_locator(LogLocator(subs=steps, numticks=20))
        self.axes.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1000 else f"{value:.4g}")
        )
        self.axes.xaxis.set_minor_formatter(NullFormatter())
        if max(costs) < 1.5 * min(costs):  # too narrow for two ticks
            self.axes.set_xlim(min(costs) / 2, max(costs) * 2)

    def legend(self) -> None:
        """Draw the legend of the marks that occur."""
        from matplotlib.lines import Line2D

        marks = [Line2D([], [], color=QUIET, lw=1.2, marker="o", mfc=INK, mec=INK, ms=6, label="best at its cost")]
        for kind, colour, text in ((False, PLAIN, "search alone"), (True, RERANKED, "re-ranked")):
            if any(bool(each.rerank) == kind for each in self.found):
                marks.append(Line2D([], [], ls="", marker="o", mfc="white", mec=colour, ms=6, label=text))
        self.axes.legend(
            handles=marks, loc="upper left", bbox_to_anchor=(0, -0.13), ncols=3, frameon=False, fontsize=8.5
        )

    def label(self) -> list[Annotation]:
        """Label the marks, the Pareto front first; with very many marks, the front only."""
        from matplotlib.patheffects import withStroke

        order = sorted(range(len(self.found)), key=lambda at: (at not in self.best, -self.points[at][1]))
        named = order if len(order) <= MOST_LABELS else self.best
        return [
            self.axes.annotate(
                self.found[at].label,
                self.points[at],
                textcoords="offset points",
                xytext=(9, 0),
                va="center",
                fontsize=8,
                color=INK,
                zorder=4,
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
                fontweight="bold" if at in self.best else "normal",
            )
            for at in named
        ]
