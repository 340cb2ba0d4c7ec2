"""Find the ends of a network's blocks: the narrow maps at which it can be split."""

from __future__ import annotations

from pathlib import Path

from kindred.backbones.card import Tap
from kindred.backbones.runtime import read_graph
from kindred.backbones.taps import activated, find_maps, graph_input, named_taps, trunk_of
from kindred.errors import ModelError

__all__ = ["block_ends"]


def block_ends(path: Path, *, until: str) -> tuple[Tap, ...]:
    """Return, in order of depth, the maps at which blocks of the trunk end, up to the map of tensor `until`.

    A block ends where a shortcut joins or leaves the trunk; the last block, before the final expansion, ends at the
    narrowest map after the last junction. Empty for a network without shortcuts. Raises `ModelError` if the graph has
    no such tensor.
    """
    model = read_graph(path)
    _, layout, size = graph_input(model, path)
    maps = find_maps(model, path, layout, size)
    end = next((at for at, entry in enumerate(maps) if entry.tensor == until), None)
    if end is None:
        raise ModelError(f"{path}: the graph has no feature map {until!r}")
    trunk = trunk_of(maps, end)
    users = [at for entry in maps[: end + 1] for at in entry.inputs]
    joints = {activated(maps, trunk, at) for at in trunk if len(maps[at].inputs) > 1}
    forks = {at for at in trunk if users.count(at) > 1}
    ends = {at for at in joints | forks if at < end and maps[at].stride > 1}
    behind = [at for at in trunk if at < end and at > max(ends, default=end)]
    if behind:
        narrowest = min(maps[at].channels for at in behind)
        ends.add([at for at in behind if maps[at].channels == narrowest][-1])
    return named_taps(maps[at] for at in sorted(ends) if maps[at].tensor is not None)
