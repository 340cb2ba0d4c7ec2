"""Run a model on the CPU through OpenVINO."""

from __future__ import annotations

import hashlib
import json
import platform
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from kindred._support.forks import ForkSafeLock, ProcessMark, abandon, not_freed_in_children, renewed_in_children
from kindred.backbones.blobs import load_blob, store_blob
from kindred.backbones.card import Card, Tap, check_digest
from kindred.backbones.engine import Batch, Maps, Precision, as_batch, check_channels, requested_taps
from kindred.backbones.folders import cache_folder
from kindred.backbones.runtime import core, import_openvino, note_freed, read_graph, reason
from kindred.errors import ModelError, UsageError

__all__ = ["OpenVINOEngine"]

T = TypeVar("T")
Hint: TypeAlias = Literal["LATENCY", "THROUGHPUT"]
_BLOB_FORMAT = 1  # increase it whenever `_prepared` builds a different graph

FULL, SMALL = 4, 224 * 168
"""Images that run as one batch, if they have at most `SMALL` pixels each; larger ones and the remainder run one by one.

Each request holds the activations of its largest batch, and OpenVINO caches compiled code for every batch shape, so
each image size has one or two shapes, not one per batch size. Larger batches are no faster; single small images take a
third longer: with kin 5.9, 5.9 and 8.1 ms of a core per image in batches of 8, 4 and 1 images of 224 × 160 pixels,
14.4, 13.0 and 13.1 for 320 × 240 (2 cores under load, 2026-11-29).
"""

STREAM = "this stream of batches"

COMPILED = 96
"""Capacity of OpenVINO's cache of compiled layers, per kind and stream (least recently used).

A layer takes about 40 kB; a batch shape needs as many as the network has different layers. With OpenVINO's default,
5,000, indexing 600 images of different shapes took 1.4 GB. With many shapes, code is compiled anew for most batches
whether 96 layers are cached or 256.
"""


class _Running(NamedTuple):
    token: Any
    piece: Batch  # the request reads this memory until it has finished
    request: Any
    found: list[Maps]  # results of the finished pieces of the batch, shared by all its pieces
    is_last: bool


class OpenVINOEngine:
    """A model on the CPU. Thread-safe; a forked child compiles the network again on first use.

    The graph is cut after the requested taps, and the card's preprocessing is compiled into it, so that its input is
    uint8 pixels. It accepts every batch and image size without recompilation: with MobileNetV2, a new size costs about
    20 ms of one core, while a graph compiled for that size alone costs 190 ms and is no faster afterwards. Memory does
    not grow with the number of sizes; see `COMPILED`.

    `threads` is the number of threads, None for one per core. `precision` "auto" is bfloat16 on processors with native
    bfloat16 multiplication, else float32. `cache_dir` is the folder of compiled graphs, None for the user's cache
    folder. Raise ModelError if the graph is missing, damaged, or not the one that the card describes.
    """

    def __init__(
        self,
        card: Card,
        path: Path,
        *,
        taps: str | Sequence[str] | None = None,
        threads: int | None = None,
        cache_dir: Path | None = None,
        precision: Precision = "auto",
    ) -> None:
        if threads is not None and threads < 1:
            raise UsageError(f"threads is {threads}; expected at least 1, or None for one per core")
        self.card = card
        self.device = "cpu"
        self.taps = requested_taps(card, taps)
        check_digest(card, path)
        self.precision = _native_precision() if precision == "auto" else _checked_precision(precision)
        self._path = path
        self._threads = threads
        folder = cache_dir if cache_dir is not None else cache_folder()
        self._blob = folder / "openvino" / f"{card.name}-{self._key()}.blob" if folder is not None else None
        self._lock = ForkSafeLock()
        # The compiled graph from the cache, which must outlive both networks, as they read their weights from it.
        self._weights: NDArray[np.uint8] | None = None
        self._networks: dict[Hint, Any] = {}
        renewed_in_children(self)
        weakref.finalize(self, note_freed)
        _check_outputs(self._network("LATENCY"), self.taps, path)

    def run(self, batch: Batch) -> Maps:
        """Return the maps of one batch, computed on all cores; see `Engine.run`."""
        network = self._network("LATENCY")
        found = []
        for piece in _pieces(as_batch(batch, self.card)):
            request = network.create_infer_request()  # one per call, as threads must not share one
            self._start(request, piece)
            found.append(self._maps(request, piece))
        return _joined(found)

    def stream(self, batches: Iterable[tuple[T, Batch]]) -> Iterator[tuple[T, Maps]]:
        """Yield the maps of many batches in order, several of them computed in parallel; see `Engine.stream`."""
        network = self._network("THROUGHPUT")
        # One more than can run, so that no core idles while maps are copied and yielded.
        slots = network.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") + 1
        idle = [network.create_infer_request() for _ in range(slots)]
        running: deque[_Running] = deque()
        made_in = ProcessMark()
        with not_freed_in_children([*idle, running]):
            try:
                for token, batch in batches:
                    made_in.check(STREAM)
                    pieces, found = _pieces(as_batch(batch, self.card)), list[Maps]()
                    for at, piece in enumerate(pieces, 1):
                        while running and (not idle or _is_done(running[0].request)):
                            yield from self._finish(running, idle)
                            made_in.check(STREAM)
                        job = _Running(token, piece, idle.pop(), found, at == len(pieces))
                        running.append(job)
                        self._start(job.request, job.piece)
                while running:
                    yield from self._finish(running, idle)
                    made_in.check(STREAM)
            finally:
                # The generator was closed, or a batch was invalid: no request may outlive the memory that it reads.
                for job in () if made_in.inherited else running:
                    with suppress(RuntimeError):
                        job.request.wait()

    def _finish(self, running: deque[_Running], idle: list[Any]) -> Iterator[tuple[Any, Maps]]:
        """Wait for the first piece; yield its batch if this was the last piece of it."""
        job = running[0]
        job.found.append(self._maps(job.request, job.piece))
        idle.append(running.popleft().request)
        if job.is_last:
            yield job.token, _joined(job.found)

    def _start(self, request: Any, batch: Batch) -> None:
        # OpenVINO shares writable memory only; a read-only batch is copied.
        request.set_input_tensor(import_openvino().Tensor(batch, shared_memory=batch.flags.writeable))
        request.start_async()

    def _maps(self, request: Any, batch: Batch) -> Maps:
        try:
            request.wait()
        except RuntimeError as error:
            height, width = batch.shape[1:3]
            raise UsageError(
                f"{self.card.name} cannot take images of {width} × {height} pixels (too small?): {reason(error)}"
            ) from None
        # A copy, because the request's next run overwrites its outputs.
        maps = tuple(np.array(request.get_output_tensor(at).data, dtype=np.float32) for at in range(len(self.taps)))
        for tap, found in zip(self.taps, maps, strict=True):
            check_channels(tap, found.shape, self._path)  # those that the compiled graph left open
        return maps

    def _network(self, hint: Hint) -> Any:
        """Return the compiled network, compiled on its first use in this process."""
        with self._lock:
            if hint not in self._networks:
                self._networks[hint] = self._compiled(hint)
            return self._networks[hint]

    def renew(self) -> None:
        """Compile the networks again at their next use, and never free those of the parent, in a forked child."""
        abandon(self._networks)
        self._networks = {}

    def _compiled(self, hint: Hint) -> Any:
        """Compile the graph, or load it from the cache; one blob is used for both hints and any number of threads."""
        options: dict[str, object] = {
            "PERFORMANCE_HINT": hint,
            "INFERENCE_PRECISION_HINT": self.precision,
            "CPU_RUNTIME_CACHE_CAPACITY": str(COMPILED),
        }
        if self._threads is not None:
            options["INFERENCE_NUM_THREADS"] = self._threads
        if self._weights is None and self._blob is not None:
            self._weights = load_blob(self._blob)
        if self._weights is not None:
            try:
                return core().import_model(import_openvino().Tensor(self._weights, shared_memory=True), "CPU", options)
            except RuntimeError:  # from another OpenVINO version or processor: compile again
                if not self._networks:
                    self._weights = None
        model = _prepared(read_graph(self._path), self.card, self.taps, self._path)
        try:
            compiled = core().compile_model(model, "CPU", options)
        except RuntimeError as error:
            raise ModelError(f"{self._path}: OpenVINO cannot compile the graph: {reason(error)}") from None
        if self._blob is not None:
            store_blob(self._blob, compiled.export_model().getvalue())
        return compiled

    def _key(self) -> str:
        """Return a digest of all that the compiled graph depends on."""
        card = self.card
        parts = [
            _BLOB_FORMAT,
            import_openvino().__version__,
            platform.machine(),
            sorted(core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
            self.precision,
            card.digest,
            [card.channel_order, card.mean, card.std, card.layout, card.input_name, card.input_size],
            [tap.tensor for tap in self.taps],
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _check_outputs(network: Any, taps: Sequence[Tap], path: Path) -> None:
    for tap, output in zip(taps, network.outputs, strict=True):
        check_channels(tap, [each.get_length() if each.is_static else None for each in output.partial_shape], path)


def _pieces(batch: Batch) -> list[Batch]:
    """Split a batch into pieces of as many images as run together, and single images for the remainder."""
    together = FULL if batch.shape[1] * batch.shape[2] <= SMALL else 1
    full = len(batch) - len(batch) % together
    parts = [batch[at : at + together] for at in range(0, full, together)]
    return parts + [batch[at : at + 1] for at in range(full, len(batch))]


def _joined(found: Sequence[Maps]) -> Maps:
    return found[0] if len(found) == 1 else tuple(np.concatenate(maps) for maps in zip(*found, strict=True))


def _is_done(request: Any) -> bool:
    try:
        return bool(request.wait_for(0))  # milliseconds
    except RuntimeError:  # it failed; `_maps` reports the error
        return True


def _native_precision() -> str:
    # OpenVINO's default is bfloat16 only on processors with native instructions. ("BF16" among the device's
    # capabilities is not enough: with plain AVX-512 it is emulated, and slow.)
    preferred = core().get_property("CPU", "INFERENCE_PRECISION_HINT")
    return "bf16" if preferred == import_openvino().Type.bf16 else "f32"


def _checked_precision(precision: str) -> str:
    if precision not in ("f32", "bf16"):
        raise UsageError(f"precision is {precision!r}; expected 'auto', 'f32' or 'bf16'")
    if precision == "bf16" and "BF16" not in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UsageError("precision='bf16': this processor cannot compute in bfloat16; use 'auto' or 'f32'")
    return precision


def _prepared(model: Any, card: Card, taps: tuple[Tap, ...], path: Path) -> Any:
    """Return the graph from uint8 NHWC RGB pixels to the taps, with a dynamic batch size."""
    openvino = import_openvino()
    tensors = {
        name: output
        for operation in model.get_ordered_ops()
        if operation.get_type_name() != "Result"
        for output in operation.outputs()
        for name in output.get_names()
    }
    for tap in taps:
        if tap.tensor not in tensors:
            raise ModelError(f"{path}: the graph has no tensor {tap.tensor!r}, the tap {tap.name!r} of its card")
    height, width = card.input_size or (-1, -1)
    shape = [-1, 3, height, width] if card.layout == "NCHW" else [-1, height, width, 3]
    try:
        cut = openvino.Model([tensors[tap.tensor] for tap in taps], model.get_parameters(), card.name)
        cut.reshape({card.input_name: openvino.PartialShape(shape)})
        steps = openvino.preprocess.PrePostProcessor(cut)
        pixels = steps.input()
        pixels.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
        pixels.model().set_layout(openvino.Layout(card.layout))
        pixels.preprocess().convert_element_type(openvino.Type.f32)
        pixels.preprocess().mean(list(card.mean)).scale(list(card.std))
        if card.channel_order == "BGR":
            pixels.preprocess().reverse_channels()
        for at in range(len(taps)):
            steps.output(at).tensor().set_element_type(openvino.Type.f32)
        return steps.build()
    except RuntimeError as error:
        raise ModelError(f"{path}: the input of the graph differs from its card: {reason(error)}") from None
