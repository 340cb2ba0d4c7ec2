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
    """Return the weights that turn the channels of a tap into classes, (classes, C), without the background.

    Their product with the tap's map is the class activation maps (Zhou et al. 2016), as far as the mean of each
    is the class's score, the bias left out. The tap is `card.classifier.tap`. The array is read-only and kept.
    Raise ModelError where the card names no weights (a card may name class maps instead, which are a tap), or
    where the graph has none of that name and size.
    """
    head = card.classifier
    if head is None or not head.weights:
        other = f"; its class maps are the tap {head.maps!r}" if head is not None else ""
        raise ModelError(f"model {card.name}: its card names no weights of a classifier{other}")
    check_digest(card, path)
    weights = _oriented(_constant(path, head.weights), card, head)
    if head.background >= len(weights):
        raise ModelError(f"model {card.name}: class {head.background} is no background: there are {len(weights)}")
    if head.background >= 0:
        weights = np.delete(weights, head.background, axis=0)
    weights.flags.writeable = False
    return weights


def _oriented(values: NDArray[np.float32], card: Card, head: ClassifierHead) -> NDArray[np.float32]:
    """Return the weights as (classes, C): a convolution and a transposed product have them so, a plain one not."""
    channels = card.tap(head.tap).channels
    matrix = values.reshape([side for side in values.shape if side != 1])
    if matrix.ndim == 2 and channels in matrix.shape:
        return np.ascontiguousarray(matrix if matrix.shape[1] == channels else matrix.T)
    raise ModelError(
        f"model {card.name}: tensor {head.weights!r} is {values.shape}; "
        f"expected (classes, {channels}), for the channels of tap {head.tap}"
    )


def _constant(path: Path, tensor: str) -> NDArray[np.float32]:
    """Return a tensor that the graph holds or computes from what it holds, such as weights kept in float16."""
    model = read_graph(path)
    outputs = [output for operation in model.get_ordered_ops() for output in operation.outputs()]
    found = next((output for output in outputs if tensor in output.get_names()), None)
    if found is None:
        raise ModelError(f"{path}: the graph has no tensor {tensor!r}, the weights of its classifier")
    try:
        alone = import_openvino().Model([found], [], "weights")  # without the image: it must not depend on it
        values = core().compile_model(alone, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([])[0]
    except RuntimeError as error:
        raise ModelError(f"{path}: tensor {tensor!r} is not a constant of the graph: {reason(error)}") from None
    note_freed()
    return np.array(values, dtype=np.float32)
