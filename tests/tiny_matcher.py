"""Matchers of keypoints as ONNX graphs, made in milliseconds, with the inputs and outputs of exports of LightGlue."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from kindred.backbones import Card
from kindred.backbones.card import digest_of
from tiny_model import change_card

Form = Literal["pairs", "list", "together"]
APART = ("kpts0", "kpts1", "desc0", "desc1")
DTYPES = {np.dtype(np.int64): TensorProto.INT64, np.dtype(np.float32): TensorProto.FLOAT}


def make_matcher(
    file: Path, *, form: Form = "pairs", by_position: bool = False, least: float = 0.0, number: int | str = "N"
) -> Path:
    """Write a matcher that pairs the mutual maxima of a double softmax over the products of descriptors.

    `form` is that of inputs and outputs. Pairs have a score above `least`. With `by_position`, keypoints are compared
    by the distance of their positions alone. `number` is that of the keypoints.
    """
    nodes: list[Any] = []
    constants: dict[str, Any] = {"sharp": np.float32(20), "least": np.float32(least), "zero": np.float32(0)}
    constants |= {"none": np.int64(-1), "axes2": np.array([2]), "axes0": np.array([0])}
    constants |= {"start": np.int64(0), "step": np.int64(1), "at1": np.int64(1), "flat": np.array([-1])}

    def add(kind: str, inputs: Sequence[str], outputs: str | Sequence[str], **attributes: Any) -> None:
        named = [outputs] if isinstance(outputs, str) else list(outputs)
        nodes.append(helper.make_node(kind, list(inputs), named, **attributes))

    if form == "together":
        inputs: list[tuple[str, Sequence[int | str]]] = [
            ("keypoints", (2, number, 2)),
            ("descriptors", (2, number, "D")),
        ]
        add("Split", ["keypoints"], ["kpts0", "kpts1"], axis=0, num_outputs=2)
        add("Split", ["descriptors"], ["desc0", "desc1"], axis=0, num_outputs=2)
    else:
        inputs = [(name, (1, number if name[-1] == "0" else "M", 2 if name[0] == "k" else "D")) for name in APART]
    ours, theirs = ("kpts0", "kpts1") if by_position else ("desc0", "desc1")
    add("Transpose", [theirs], "turned", perm=[0, 2, 1])
    add("MatMul", [ours, "turned"], "products")
    if by_position:  # −|p − q|²
        for name in (ours, theirs):
            add("Mul", [name, name], f"{name}_squares")
            add("ReduceSum", [f"{name}_squares", "axes2"], f"{name}_norms", keepdims=1)
        add("Transpose", [f"{theirs}_norms"], "turned_norms", perm=[0, 2, 1])
        add("Add", [f"{ours}_norms", "turned_norms"], "norms")
        add("Add", ["products", "products"], "twice")
        add("Sub", ["twice", "norms"], "alike")
    else:
        add("Identity", ["products"], "alike")
    add("Mul", ["alike", "sharp"], "logits")
    add("Softmax", ["logits"], "rows", axis=2)
    add("Softmax", ["logits"], "columns", axis=1)
    add("Mul", ["rows", "columns"], "scores")
    add("ArgMax", ["scores"], "nearest", axis=2, keepdims=0)
    add("ArgMax", ["scores"], "back", axis=1, keepdims=0)
    add("ReduceMax", ["scores", "axes2"], "best", keepdims=0)
    add("GatherElements", ["back", "nearest"], "there_and_back", axis=1)
    add("Shape", ["nearest"], "shape")
    add("Gather", ["shape", "at1"], "count")
    add("Range", ["start", "count", "step"], "own")
    add("Equal", ["there_and_back", "own"], "mutual")
    add("Greater", ["best", "least"], "good")
    add("And", ["mutual", "good"], "valid")
    outputs = _outputs(form, add)
    return _save(file, nodes, constants, inputs, outputs)


def make_answer(
    file: Path,
    matches: NDArray[Any],
    scores: NDArray[Any],
    *,
    names: Sequence[str] = ("matches0", "mscores0"),
    inputs: Sequence[tuple[str, Sequence[int | str]]] | None = None,
) -> Path:
    """Write a matcher that returns the same whatever it is given."""
    listed = [(name, (1, "NM"[int(name[-1])], 2 if name[0] == "k" else "D")) for name in APART]
    given = listed if inputs is None else inputs
    values = {"pairs": matches, "score0": scores, "nothing": np.float32(0)}
    nodes = [helper.make_node("Identity", ["pairs"], [names[0]])]
    for at, (name, _) in enumerate(given):  # an input that is not used would not be one
        nodes.append(helper.make_node("ReduceSum", [name], [f"sum{at}"], keepdims=0))
        nodes.append(helper.make_node("Mul", [f"sum{at}", "nothing"], [f"zero{at}"]))
        nodes.append(helper.make_node("Add", [f"score{at}", f"zero{at}"], [f"score{at + 1}"]))
    nodes.append(helper.make_node("Identity", [f"score{len(given)}"], [names[1]]))
    return _save(file, nodes, values, given, [(names[0], DTYPES[matches.dtype]), (names[1], TensorProto.FLOAT)])


def set_matcher(model: Path, matcher: Path, *, threshold: float = 0.0) -> Path:
    """Name a matcher in the card of a model with a local head, in whose folder it lies; return the model."""
    head = Card.load(model.with_suffix(".toml")).local
    assert head is not None
    named = {"matcher": matcher.name, "matcher_digest": digest_of(matcher), "matcher_threshold": threshold}
    return change_card(model, local=dataclasses.replace(head, **named))  # type: ignore[arg-type]


def _outputs(form: Form, add: Any) -> list[tuple[str, int]]:
    """Add the nodes that bring pairs and scores into their form; return the outputs and their types."""
    if form == "list":
        add("Where", ["valid", "nearest", "none"], "matches0")
        add("Where", ["valid", "best", "zero"], "mscores0")
        return [("matches0", TensorProto.INT64), ("mscores0", TensorProto.FLOAT)]
    add("NonZero", ["valid"], "places")  # (2, K): the number of the pair of images, and the keypoint
    add("Split", ["places"], ["batch", "mine"], axis=0, num_outputs=2)
    add("Reshape", ["mine", "flat"], "index")
    for source, name in (("nearest", "partners"), ("best", "values")):
        add("Reshape", [source, "flat"], f"{name}_all")
        add("Gather", [f"{name}_all", "index"], name)
    add("Unsqueeze", ["partners", "axes0"], "theirs")
    add("Concat", ["batch", "mine", "theirs"] if form == "together" else ["mine", "theirs"], "pairs", axis=0)
    names = ("matches", "mscores") if form == "together" else ("matches0", "mscores0")
    add("Transpose", ["pairs"], names[0], perm=[1, 0])
    add("Identity", ["values"], names[1])
    return [(names[0], TensorProto.INT64), (names[1], TensorProto.FLOAT)]


def _save(
    file: Path,
    nodes: Sequence[Any],
    constants: dict[str, Any],
    inputs: Sequence[tuple[str, Sequence[int | str]]],
    outputs: Sequence[tuple[str, int]],
) -> Path:
    graph = helper.make_graph(
        list(nodes),
        "matcher",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in inputs],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), file)
    return file
