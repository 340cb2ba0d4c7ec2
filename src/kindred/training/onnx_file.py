"""Export to ONNX: a module that returns feature maps becomes an `.onnx` file with a card, a usual backbone."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from kindred._support.files import write_whole
from kindred._support.halves import compressible_half
from kindred.backbones.card import Card, Scalar, Tap, digest_of

__all__ = ["trace", "write_model"]

Triple: TypeAlias = tuple[float, float, float]

OPSET = 17
EXAMPLE = (128, 160)  # pixels; two different sides, so that the tracer cannot confuse them
HALF_FROM = 1024  # arrays with at least this many numbers are stored at half precision


def write_model(
    module: nn.Module,
    file: Path,
    *,
    name: str,
    taps: Sequence[Tap],
    default_tap: str,
    mean: Triple,
    std: Triple,
    half: bool,
    description: str,
    licence: str,
    source: str,
    training: Mapping[str, Scalar],
) -> Card:
    """Write `file` (`.onnx`) and its card beside it (`.toml`); return the card.

    module: images (B, 3, H, W), normalised by `mean` and `std` (pixel units, red first) → a tuple of the maps of
    `taps`, in their order. It is exported in evaluation mode, with batch norms folded into the convolutions, for
    batches and images of any size. half: store the large weights in half precision, which halves the file; the
    arithmetic remains float32. Files are written atomically. Raises UsageError if a file cannot be written.
    """
    write_whole(file, "model", lambda part: _trace(module.eval(), part, taps, half=half))
    card = Card(
        name=name,
        file=file.name,
        digest=digest_of(file),
        channel_order="RGB",
        mean=mean,
        std=std,
        layout="NCHW",
        input_name="image",
        input_size=None,
        taps=tuple(taps),
        default_tap=default_tap,
        licence=licence,
        source=source,
        description=description,
        training=dict(training),
    )
    card.save(file.with_suffix(".toml"))
    return card


def _trace(module: nn.Module, file: Path, taps: Sequence[Tap], *, half: bool) -> None:
    trace(
        module, file, (torch.zeros(1, 3, *EXAMPLE),), inputs=["image"], outputs=[tap.tensor for tap in taps], half=half
    )


def trace(
    module: nn.Module,
    file: Path,
    examples: tuple[Tensor, ...],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    half: bool,
) -> None:
    """Write a module of maps (B, C, H, W) to maps to `file`, for batches and maps of any size.

    examples: of its inputs. half: store the large weights at half precision.
    """
    axes = {0: "N", 2: "H", 3: "W"}
    free = {name: {at: f"{name}.{axis}" if at else axis for at, axis in axes.items()} for name in (*inputs, *outputs)}
    with warnings.catch_warnings():
        # PyTorch's newer exporter needs onnxscript, which nothing else here needs.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            examples,
            str(file),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=free,
        )
    if half:
        _to_half(file)


def _to_half(file: Path) -> None:
    """Store the large weights as float16, each with a cast to float32 in front of its use: half the size.

    They have the precision of bfloat16, in which the engine computes where the CPU can.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(file))
    graph = model.graph
    casts = []
    for weight in list(graph.initializer):
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < HALF_FROM:
            continue
        stored = f"{weight.name}.half"
        graph.initializer.remove(weight)
        graph.initializer.append(numpy_helper.from_array(compressible_half(values), stored))
        casts.append(helper.make_node("Cast", [stored], [weight.name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))
