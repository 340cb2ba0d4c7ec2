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

from kindred._support.forks import ForkSafeLock, ProcessMark
from kindred.backbones.blobs import load_blob, store_blob
from kindred.backbones.card import Card, Tap, check_digest
from kindred.backbones.engine import Batch, Maps, Precision, as_batch, requested_taps
from kindred.backbones.folders import cache_folder
from kindred.backbones.runtime import core, import_openvino, note_freed, read_graph, reason
from kindred.errors import ModelError, UsageError

__all__ = ["OpenVINOEngine"]

T = TypeVar("T")
Hint: TypeAlias = Literal["LATENCY", "THROUGHPUT"]
_BLOB_FORMAT = 1  # raise it when `_prepared` changes what it builds

FULL = 8
"""Images that run together; of a smaller batch each runs alone.

OpenVINO keeps compiled code for every shape of a batch, so each image size has two, and not one for each number.
"""

COMPILED = 256
"""Compiled layers of each kind that OpenVINO may keep in each stream, the least recently used dropped first.

One takes some 40 kB; a shape of a batch needs as many as the network has different layers. With OpenVINO's own bound,
5,000, an index of 600 images of different shapes took 1.4 GB.
"""

_ABANDONED: list[Any] = []
"""Compiled networks that a forked child inherited; freeing them would wait for threads that it does not have."""


class _Running(NamedTuple):
    token: Any
    piece: Batch  # the request reads this memory until it is done
    request: Any
    found: list[Maps]  # those of the batch's pieces that are done, shared by all its pieces
    is_last: bool


class OpenVINOEngine:
    """A model on the CPU.

    The graph is cut behind the requested taps, and the card's preprocessing becomes a part of it, so uint8
    pixels go in as they are. It takes every batch and image size without compiling the whole again: on MobileNetV2
    a size seen for the first time costs about 20 ms of one core, where a graph compiled for that size alone
    costs 190 ms and is no faster afterwards. Memory does not grow with the number of sizes; see `COMPILED`.

    Any thread may use it. A forked child compiles the network anew when it first uses it.

    `threads` is how many to use, None for one per core. `precision` "auto" is bfloat16 where the processor
    multiplies it natively, else float32. `cache_dir` keeps the compiled graph; None is the user's cache
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
        # The compiled graph from the cache: both networks read their weights from it for as long as they live.
        self._weights: NDArray[np.uint8] | None = None
        self._networks: dict[Hint, Any] = {}
        self._made_in = ProcessMark()
        weakref.finalize(self, note_freed)
        self._network("LATENCY")

    def run(self, batch: Batch) -> Maps:
        """Return the maps of one batch, all cores at work on it; see `Engine.run`."""
        network = self._network("LATENCY")
        found = []
        for piece in _pieces(as_batch(batch, self.card)):
            request = network.create_infer_request()  # its own, so that threads do not meet; it costs nothing
            self._start(request, piece)
            found.append(self._maps(request, piece))
        return _joined(found)

    def stream(self, batches: Iterable[tuple[T, Batch]]) -> Iterator[tuple[T, Maps]]:
        """Yield the maps of many batches in order, several at work side by side; see `Engine.stream`."""
        network = self._network("THROUGHPUT")
        # One more than can run, so that no core waits while maps are copied and handed on.
        slots = network.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") + 1
        idle = [network.create_infer_request() for _ in range(slots)]
        running: deque[_Running] = deque()
        try:
            for token, batch in batches:
                pieces, found = _pieces(as_batch(batch, self.card)), list[Maps]()
                for at, piece in enumerate(pieces, 1):
                    while running and (not idle or _is_done(running[0].request)):
                        yield from self._finish(running, idle)
                    job = _Running(token, piece, idle.pop(), found, at == len(pieces))
                    running.append(job)
                    self._start(job.request, job.piece)
            while running:
                yield from self._finish(running, idle)
        finally:
            # The consumer left, or a batch was bad: no request may outlive the memory that it reads.
            for job in running:
                with suppress(RuntimeError):
                    job.request.wait()

    def _finish(self, running: deque[_Running], idle: list[Any]) -> Iterator[tuple[Any, Maps]]:
        """Wait for the first piece; yield its batch where it was the last one of it."""
        job = running[0]
        job.found.append(self._maps(job.request, job.piece))
        idle.append(running.popleft().request)
        if job.is_last:
            yield job.token, _joined(job.found)

    def _start(self, request: Any, batch: Batch) -> None:
        # OpenVINO shares memory only where it may be written to; a read-only batch is copied.
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
        return tuple(np.array(request.get_output_tensor(at).data, dtype=np.float32) for at in range(len(self.taps)))

    def _network(self, hint: Hint) -> Any:
        """Return the compiled network, made at its first use in this process."""
        with self._lock:
            if self._made_in.inherited:
                _ABANDONED.append(self._networks)
                self._networks, self._made_in = {}, ProcessMark()
            if hint not in self._networks:
                self._networks[hint] = self._compiled(hint)
            return self._networks[hint]

    def _compiled(self, hint: Hint) -> Any:
        """Compile the graph, or take it from the cache: one blob serves both hints and any threads."""
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
            except RuntimeError:  # made by another OpenVINO or for another processor: compile again
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
        """Return the digest of all that decides what a compiled graph is."""
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


def _pieces(batch: Batch) -> list[Batch]:
    """Cut a batch into parts of `FULL` images, and single ones; see there."""
    full = len(batch) - len(batch) % FULL
    parts = [batch[at : at + FULL] for at in range(0, full, FULL)]
    return parts + [batch[at : at + 1] for at in range(full, len(batch))]


def _joined(found: Sequence[Maps]) -> Maps:
    return found[0] if len(found) == 1 else tuple(np.concatenate(maps) for maps in zip(*found, strict=True))


def _is_done(request: Any) -> bool:
    try:
        return bool(request.wait_for(0))  # milliseconds
    except RuntimeError:  # it failed; collecting its maps says how
        return True


def _native_precision() -> str:
    # OpenVINO's own default is bfloat16 only where the processor has instructions for it. (That "BF16" is
    # among the device's capabilities says less: with plain AVX-512 it is emulated, and slow.)
    preferred = core().get_property("CPU", "INFERENCE_PRECISION_HINT")
    return "bf16" if preferred == import_openvino().Type.bf16 else "f32"


def _checked_precision(precision: str) -> str:
    if precision not in ("f32", "bf16"):
        raise UsageError(f"precision is {precision!r}; expected 'auto', 'f32' or 'bf16'")
    if precision == "bf16" and "BF16" not in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UsageError("precision='bf16': this processor cannot compute in bfloat16; use 'auto' or 'f32'")
    return precision


def _prepared(model: Any, card: Card, taps: tuple[Tap, ...], path: Path) -> Any:
    """Return the graph from uint8 NHWC RGB pixels to the taps, and no further, for every batch size."""
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
            raise ModelError(f"{path}: the graph has no tensor {tap.tensor!r}, which is its card's tap {tap.name!r}")
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
        raise ModelError(f"{path}: the graph does not take what its card says: {reason(error)}") from None
