"""The inputs and outputs of a matcher, a graph that pairs keypoints, in the forms of `kindred.features.matcher`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kindred.backbones.further import FurtherGraph, Sizes
from kindred.errors import ModelError

__all__ = ["APART", "TOGETHER", "MatcherForm", "check_matcher", "form_of"]


@dataclass(frozen=True)
class MatcherForm:
    """The inputs and outputs of a graph: names, and the number of images that an input is of."""

    matches: str
    scores: str
    points: tuple[str, ...]
    descriptors: tuple[str, ...]
    images: int

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of all inputs."""
        return self.points + self.descriptors


APART = MatcherForm("matches0", "mscores0", ("kpts0", "kpts1"), ("desc0", "desc1"), 1)
"""The images apart, with any number of keypoints of each."""
TOGETHER = MatcherForm("matches", "mscores", ("keypoints",), ("descriptors",), 2)
"""Both images as one batch, with as many keypoints of each."""


def check_matcher(graph: FurtherGraph, path: Path, dimension: int) -> None:
    """Raise ModelError unless the graph, of the file `path`, is a matcher of descriptors of that dimension."""
    form = form_of(graph)
    if not {form.matches, form.scores} <= graph.outputs:
        found = ", ".join(sorted(graph.outputs))
        raise ModelError(
            f"{path}: the matcher returns {found}; expected {APART.matches} and {APART.scores}, or "
            f"{TOGETHER.matches} and {TOGETHER.scores}"
        )
    other = graph.inputs.keys() - set(form.inputs)
    if other:
        raise ModelError(
            f"{path}: the matcher takes {', '.join(sorted(other))}; expected {', '.join(form.inputs)} alone: "
            "export it without the network that finds keypoints"
        )
    for name, sizes in graph.inputs.items():
        _check_input(name, sizes, form, path, dimension)


def _check_input(name: str, sizes: Sizes | None, form: MatcherForm, path: Path, dimension: int) -> None:
    """Raise ModelError for an input of another shape than (images, any number, 2 or D); free sizes are allowed."""
    if sizes is None:
        return
    is_points = name in form.points
    width = 2 if is_points else dimension
    if len(sizes) != 3 or sizes[0] not in (None, form.images):
        raise ModelError(f"{path}: input {name} is {_shown(sizes)}; expected ({form.images}, any, {width})")
    if is_points and sizes[2] == 4:
        raise ModelError(
            f"{path}: input {name} takes scale and orientation of each keypoint, which the features of a "
            "network do not have; expected its position alone"
        )
    if sizes[2] not in (None, width):
        raise ModelError(f"{path}: input {name} has {sizes[2]} numbers for a keypoint; expected {width}")
    if sizes[1] is not None:
        raise ModelError(
            f"{path}: input {name} takes exactly {sizes[1]} keypoints, and images have different numbers; "
            "export the matcher with a free number of keypoints"
        )


def form_of(graph: FurtherGraph) -> MatcherForm:
    """Return which of the two forms a graph has."""
    return TOGETHER if TOGETHER.matches in graph.outputs else APART


def _shown(sizes: Sizes) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in sizes)})"
