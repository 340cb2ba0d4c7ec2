"""Read the weights of a classifier's last layer out of its graph, for class activation maps."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred.backbones.card import Card, ClassifierHead, check_digest
from kindred.backbones.runtime import core, import_openvino, note_freed, read_graph, reason
from kindred.errors import ModelError

__all__ = ["class_weights"]


@lru_cache(maxsize=4)
def class_weights(card: Card, path: Path) -> NDArray[np.float32]:
    """Return the classifier weights (classes, C) for the channels of a tap, without the background class.

    Their product with the map of the tap gives the class activation maps (Zhou et al. 2016), each of whose mean is the
    score of the class without bias. The tap is `card.classifier.tap`. The array is read-only and cached. Raise
    ModelError if the card names no weights (it may name a tap of class maps instead), or if the graph has no such
    tensor of that size.
    """
    head = card.classifier
    if head is None or not head.weights:
        other = f"; its class maps are the tap {head.maps!r}" if head is not None else ""
        raise ModelError(f"model {card.name}: its card names no classifier weights{other}")
    check_digest(card, path)
    weights = _oriented(_constant(path, head.weights), card, head)
    if head.background >= len(weights):
        raise ModelError(
            f"model {card.name}: background class {head.background} is out of range: there are {len(weights)} classes"
        )
    if head.background >= 0:
        weights = np.delete(weights, head.background, axis=0)
    weights.flags.writeable = False
    return weights


def _oriented(values: NDArray[np.float32], card: Card, head: ClassifierHead) -> NDArray[np.float32]:
    """Return the weights as (classes, C), transposing those of a plain matrix product."""
    channels = card.tap(head.tap).channels
    matrix = values.reshape([side for side in values.shape if side != 1])
    if matrix.ndim == 2 and channels in matrix.shape:
        return np.ascontiguousarray(matrix if matrix.shape[1] == channels else matrix.T)
    raise ModelError(
        f"model {card.name}: tensor {head.weights!r} is {values.shape}; "
        f"expected (classes, {channels}), for the channels of tap {head.tap}"
    )


def _constant(path: Path, tensor: str) -> NDArray[np.float32]:
    """Return a constant tensor of the graph, also one computed from constants, such as a cast of float16 weights."""
    model = read_graph(path)
    outputs = [output for operation in model.get_ordered_ops() for output in operation.outputs()]
    found = next((output for output in outputs if tensor in output.get_names()), None)
    if found is None:
        raise ModelError(f"{path}: the graph has no tensor {tensor!r}, the weights of its classifier")
    try:
        alone = import_openvino().Model([found], [], "weights")  # without the image, which it must not depend on
        values = core().compile_model(alone, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([])[0]
    except RuntimeError as error:
        raise ModelError(f"{path}: tensor {tensor!r} is not a constant of the graph: {reason(error)}") from None
    note_freed()
    return np.array(values, dtype=np.float32)
