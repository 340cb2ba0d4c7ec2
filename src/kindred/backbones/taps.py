"""Find the feature maps of a graph, with their channels and strides, by shape inference."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from kindred.backbones.card import Layout, Tap
from kindred.backbones.runtime import import_openvino, read_graph, reason
from kindred.errors import ModelError

__all__ = ["Graph", "Map", "activated", "find_maps", "graph_input", "inspect", "named_taps", "trunk_of"]

# Two image sizes, height and width, that differ by a multiple of every common stride, so that the map grows by exactly
# difference / stride for any padding.
_SMALL, _GROWTH = (224, 288), 256

# The map of a larger stride is a single cell for an image of typical size.
_DEEPEST = 64

# Operations after a junction of branches that belong to it.
_ACTIVATIONS = {"Relu", "Clamp", "Maximum", "Minimum", "Sigmoid", "Swish", "HSwish", "PRelu", "Elu", "Gelu"}


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The input of a graph, and its taps in order of depth, the deepest being the default."""

    input_name: str
    layout: Layout
    input_size: tuple[int, int] | None
    taps: tuple[Tap, ...]
    default_tap: str


@dataclass(frozen=True, kw_only=True)
class Map:
    """One feature map of the graph, and the maps that it is computed from (indices into the list of maps)."""

    tensor: str | None
    operation: str
    channels: int
    stride: int
    is_output: bool
    inputs: tuple[int, ...]


def inspect(path: Path) -> Graph:
    """Read an `.onnx` file and find its taps.

    Taps are the outputs that are feature maps and, at every stride without such an output, two maps of the trunk (the
    tensors that every path to the deepest map passes through): the end of the last block, and the last map before the
    stride changes. Raise ModelError if the file is not an image network with at least one feature map.
    """
    try:
        return _inspected(read_graph(path), path)
    except UnicodeDecodeError:  # damaged, but still a graph
        raise ModelError(f"{path}: not a valid ONNX model: a name in it is not valid UTF-8") from None


def _inspected(model: Any, path: Path) -> Graph:
    input_name, layout, size = graph_input(model, path)
    maps = find_maps(model, path, layout, size)
    named = [at for at, entry in enumerate(maps) if entry.tensor is not None]
    if not named:
        raise ModelError(f"{path}: found no feature map (a 4-D tensor that grows with the image) in the graph")
    outputs = [at for at in named if maps[at].is_output]
    usable = [at for at in outputs or named if maps[at].stride <= _DEEPEST] or outputs or named
    end = max(usable, key=lambda at: (maps[at].stride, at))
    chosen = sorted({*outputs, *_inner(maps, end)})
    taps = named_taps(maps[at] for at in chosen)
    return Graph(
        input_name=input_name,
        layout=layout,
        input_size=size,
        taps=taps,
        default_tap=taps[chosen.index(end)].name,
    )


def graph_input(model: Any, path: Path) -> tuple[str, Layout, tuple[int, int] | None]:
    """Return the name, the layout and, if it is fixed, the size (height, width) of a graph's input image."""
    if len(model.inputs) != 1:
        raise ModelError(f"{path}: the graph has {len(model.inputs)} inputs; expected one, the image")
    entry = model.inputs[0]
    shape = entry.get_partial_shape()
    if shape.rank.is_dynamic or len(shape) != 4:
        raise ModelError(f"{path}: the graph's input has shape {shape}; expected (batch, 3, height, width)")
    fixed = [dimension.get_length() if dimension.is_static else None for dimension in shape]
    layout: Layout = "NHWC" if fixed[3] == 3 != fixed[1] else "NCHW"
    channels, height, width = (fixed[at] for at in ((1, 2, 3) if layout == "NCHW" else (3, 1, 2)))
    if channels not in (3, None):
        raise ModelError(f"{path}: the graph takes images of shape {shape}; expected three colour channels")
    return entry.get_any_name(), layout, (height, width) if height and width else None


def find_maps(model: Any, path: Path, layout: Layout, size: tuple[int, int] | None) -> list[Map]:
    """Return the graph's feature maps in topological order, with shapes inferred at two image sizes."""
    openvino = import_openvino()
    wanted = _image_tensors(model)
    if not wanted:
        return []
    # Without the head, as a classifier of fixed input size must not exclude other sizes.
    trunk = openvino.Model(wanted, model.get_parameters())
    small = _shapes(trunk, wanted, layout, size or _SMALL, path)
    try:
        large = _shapes(trunk, wanted, layout, tuple(side + _GROWTH for side in size or _SMALL), path)
    except ModelError:
        if size is None:
            raise
        large = None  # a network of fixed input size: the stride is estimated
    tensors = {name for output in model.outputs for name in output.get_names()}
    maps: list[Map] = []
    positions: dict[str, int] = {}
    for at, output in enumerate(wanted):
        measured = _measure(small[at], large[at] if large else None, size)
        if measured is None:
            continue
        operation = output.get_node()
        inputs = {positions[key] for key in map(_key, operation.input_values()) if key in positions}
        names = sorted(output.get_names(), key=lambda name: (name not in tensors, len(name), name))
        positions[_key(output)] = len(maps)
        maps.append(
            Map(
                tensor=names[0] if names else None,
                operation=operation.get_type_name(),
                channels=measured[0],
                stride=measured[1],
                is_output=bool(tensors.intersection(names)),
                inputs=tuple(sorted(inputs)),
            )
        )
    return maps


def _image_tensors(model: Any) -> list[Any]:
    """Return the 4-D float tensors that depend on the pixels of the image, not only on weights or its shape."""
    computed: set[str] = set()
    found = []
    for operation in model.get_ordered_ops():
        kind = operation.get_type_name()
        if kind == "Parameter" or (
            kind not in ("ShapeOf", "Result") and any(_key(source) in computed for source in operation.input_values())
        ):
            computed.update(map(_key, operation.outputs()))
            found += [output for output in operation.outputs() if kind != "Parameter" and _is_image_like(output)]
    return found


def _is_image_like(output: Any) -> bool:
    shape = output.get_partial_shape()
    return bool(shape.rank.is_static and len(shape) == 4 and output.get_element_type().is_real())


def _key(output: Any) -> str:
    return f"{output.get_node().get_name()}:{output.get_index()}"


def _shapes(
    trunk: Any, outputs: Sequence[Any], layout: Layout, size: Sequence[int], path: Path
) -> list[tuple[int, ...] | None]:
    """Return the shapes of the outputs for a batch of two images of that size; None for a dynamic shape."""
    height, width = size
    shape = [2, 3, height, width] if layout == "NCHW" else [2, height, width, 3]
    try:
        trunk.reshape(shape)
    except RuntimeError as error:
        raise ModelError(
            f"{path}: the graph cannot take a batch of two images of {width} × {height} pixels "
            f"(export it with a free batch size): {reason(error)}"
        ) from None
    found = [output.get_partial_shape() for output in outputs]
    return [tuple(entry.to_shape()) if entry.is_static else None for entry in found]


def _measure(
    small: tuple[int, ...] | None, large: tuple[int, ...] | None, size: tuple[int, int] | None
) -> tuple[int, int] | None:
    """Return channels and stride from the shapes at two image sizes, or None if it is not a feature map."""
    if small is None or small[0] != 2:
        return None
    channels, *sides = small[1:]
    if large is None:
        assert size is not None  # only a network of fixed input size has no second shape
        if min(sides) < 2:
            return None
        ratios = {round(math.log2(whole / part)) for whole, part in zip(size, sides, strict=True)}
        return (channels, 2 ** ratios.pop()) if len(ratios) == 1 and min(ratios | {0}) >= 0 else None
    grown = [after - before for before, after in zip(sides, large[2:], strict=True)]
    if large[:2] != small[:2] or grown[0] != grown[1] or grown[0] <= 0 or _GROWTH % grown[0]:
        return None
    return channels, _GROWTH // grown[0]


def _inner(maps: Sequence[Map], end: int) -> set[int]:
    """Choose up to two trunk maps for every stride ≥ 2 at which no output of the graph is a feature map."""
    covered = {entry.stride for entry in maps if entry.is_output}
    trunk = trunk_of(maps, end)
    junctions = [at for at in trunk if len(maps[at].inputs) > 1]
    chosen: set[int] = set()
    for stride in {maps[at].stride for at in trunk} - covered - {1}:
        here = [at for at in trunk if maps[at].stride == stride and maps[at].tensor is not None]
        chosen.update(here[-1:])
        blocks = [at for at in junctions if maps[at].stride == stride]
        if blocks:
            chosen.add(activated(maps, trunk, blocks[-1]))
    return {at for at in chosen if maps[at].tensor is not None}


def activated(maps: Sequence[Map], trunk: Sequence[int], at: int) -> int:
    """Return the activation directly after a junction of branches, or the junction itself."""
    after = trunk[trunk.index(at) + 1 :]
    while after and maps[after[0]].operation in _ACTIVATIONS and maps[after[0]].inputs == (at,):
        at, after = after[0], after[1:]
    return at


def trunk_of(maps: Sequence[Map], end: int) -> list[int]:
    """Return, in order, the maps that every path to `end` passes through."""
    needed = {end}
    for at in range(end, -1, -1):
        if at in needed:
            needed.update(maps[at].inputs)
    last_use = {at: at for at in needed}
    for at in sorted(needed):
        for source in maps[at].inputs:
            last_use[source] = at
    trunk, reach = [], 0
    for at in sorted(needed):
        if reach <= at:
            trunk.append(at)
        reach = max(reach, last_use[at])
    return trunk


def named_taps(maps: Iterable[Map]) -> tuple[Tap, ...]:
    """Return taps of those maps, all with a tensor, under unique readable names."""
    taps: list[Tap] = []
    for entry in maps:
        assert entry.tensor is not None  # maps without a tensor name are never chosen
        wish = _readable(entry.tensor) or f"stride{entry.stride}"
        taken = [tap.name for tap in taps]
        name = next(text for text in (wish, *(f"{wish}.{n}" for n in range(2, 99))) if text not in taken)
        taps.append(Tap(name=name, tensor=entry.tensor, channels=entry.channels, stride=entry.stride))
    return tuple(taps)


def _readable(tensor: str) -> str | None:
    """Return a readable name: `/layer1/layer1.2/relu_1/Relu_output_0` becomes `layer1.2.relu_1`."""
    parts = [part for part in re.split(r"[/:]", re.sub(r"_output_\d+$|:\d+$", "", tensor)) if part]
    if "_output_" in tensor:
        parts.pop()  # the operator's own name
    path = ".".join(part for part, deeper in pairwise([*parts, ""]) if not deeper.startswith(f"{part}."))
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", path)
    return name if re.search("[A-Za-z]", name) else None
