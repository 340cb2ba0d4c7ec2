"""Further graphs of a model: `.onnx` files beside its own that its card names with their digests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kindred._support.forks import ForkSafeLock, abandon, renewed_in_children
from kindred.backbones.card import check_graph
from kindred.errors import ModelError

__all__ = ["FurtherGraph", "Sizes"]

Sizes = tuple[int | None, ...]
"""The shape of an input; None for a size that is free."""


class FurtherGraph:
    """A graph that the card of a model names besides the model's own, run on the CPU in float32. Thread-safe.

    path, digest: the file, and its sha256 in the card. inputs: the shape of each input by name, None if its number of
    dimensions is free. outputs: the names of the outputs. A forked child compiles the graph again on first use. Raises
    ModelError if the file is missing, damaged, or not the one that the card describes.
    """

    def __init__(self, path: Path, digest: str, *, threads: int | None = None) -> None:
        from kindred.backbones.runtime import read_graph, reason

        check_graph(path, digest)
        self._reason, self._read = reason, read_graph
        self._path, self._threads = path, threads
        model = read_graph(path)
        self.inputs: dict[str, Sizes | None] = {entry.get_any_name(): _sizes(entry) for entry in model.inputs}
        self._places = {name: at for at, output in enumerate(model.outputs) for name in output.get_names()}
        self._lock = ForkSafeLock()
        self._network: Any = self._compiled(model)
        renewed_in_children(self)

    @property
    def outputs(self) -> frozenset[str]:
        """The names of the outputs; one output may have several."""
        return frozenset(self._places)

    def renew(self) -> None:
        """Compile the graph again at its next use, and never free that of the parent, in a forked child."""
        abandon(self._network)
        self._network = None

    def run(self, given: Mapping[str, NDArray[np.float32]]) -> list[NDArray[Any]]:
        """Return the outputs for all inputs, by name; raises ModelError if the graph cannot take them."""
        with self._lock:
            if self._network is None:  # in a forked child
                self._network = self._compiled(self._read(self._path))
            request = self._network.create_infer_request()  # one per call, as threads must not share one
        try:
            found = request.infer(dict(given))
            return [np.array(found[at]) for at in range(len(self._network.outputs))]
        except RuntimeError as error:
            shapes = ", ".join(f"{name} {value.shape}" for name, value in sorted(given.items()))
            raise ModelError(f"{self._path}: the graph cannot take {shapes}: {self._reason(error)}") from None

    def place(self, name: str) -> int:
        """Return the place of an output of that name among those of `run`."""
        return self._places[name]

    def _compiled(self, model: Any) -> Any:
        from kindred.backbones.openvino import COMPILED
        from kindred.backbones.runtime import core

        # Most inputs have another shape; with OpenVINO's default for compiled layers, memory would grow with them.
        options: dict[str, object] = {"INFERENCE_PRECISION_HINT": "f32", "CPU_RUNTIME_CACHE_CAPACITY": str(COMPILED)}
        if self._threads is not None:
            options["INFERENCE_NUM_THREADS"] = self._threads
        try:
            return core().compile_model(model, "CPU", options)
        except RuntimeError as error:
            raise ModelError(f"{self._path}: OpenVINO cannot compile the graph: {self._reason(error)}") from None


def _sizes(entry: Any) -> Sizes | None:
    shape = entry.get_partial_shape()
    if shape.rank.is_dynamic:
        return None
    return tuple(None if size.is_dynamic else size.get_length() for size in shape)
