"""OpenVINO: fast import without telemetry, one shared core, reading of graphs."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from kindred._support.files import read_bounded
from kindred._support.os_errors import explain_os_error
from kindred.backbones.card import MODEL_BYTES
from kindred.errors import ModelError

__all__ = ["core", "import_openvino", "note_freed", "read_graph", "reason"]

_CONVERTER = "openvino.tools.ovc"
_UNKNOWN = re.compile(r"No conversion rule found for operations: (.{1,200})")


@functools.cache
def import_openvino() -> ModuleType:
    """Return the module `openvino`, imported without its model converter.

    The converter takes a third of the import time and loads OpenVINO's telemetry client, which Kindred must not start.
    `openvino` works without it, and `openvino.convert_model` is still imported on first use.
    """
    with _without_converter():
        import openvino
    if not hasattr(openvino, "convert_model"):
        openvino.__getattr__ = _late_converter
    return openvino  # type: ignore[no-any-return]  # openvino is untyped


@contextmanager
def _without_converter() -> Iterator[None]:
    if "openvino" in sys.modules or _CONVERTER in sys.modules:
        yield
        return
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # None makes its import raise ImportError
    try:
        yield
    finally:
        del sys.modules[_CONVERTER]


def _late_converter(name: str) -> object:
    if name == "convert_model":
        from openvino.tools.ovc import convert_model

        return convert_model
    raise AttributeError(f"module 'openvino' has no attribute {name!r}")


@functools.cache
def core():  # type: ignore[no-untyped-def]  # openvino is untyped
    """Return the OpenVINO core of the process, created once, as it loads the CPU plug-in."""
    # oneDNN has its own cache of compiled code, by default of 1,024 entries, about 50 MB; it is set by the environment
    # only.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "200")
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_drop_idle_threads)
    return import_openvino().Core()


_freed = False  # whether a compiled network was freed whose threads are now idle


def note_freed() -> None:
    """Record that a compiled network was freed; OpenVINO keeps its threads for the next one."""
    global _freed
    _freed = True


def _drop_idle_threads() -> None:
    """End idle threads of OpenVINO before a fork, as the child's next network would wait for them.

    OpenVINO ends them for the whole process when a core that loaded the CPU plug-in is freed.
    """
    global _freed
    if _freed:
        import_openvino().Core().get_property("CPU", "NUM_STREAMS")  # loads the plug-in
        _freed = False


def read_graph(path: Path):  # type: ignore[no-untyped-def]  # openvino is untyped
    """Read an `.onnx` file into an `openvino.Model`; raise ModelError if it is not one, or is damaged."""
    if path.suffix.lower() != ".onnx":
        raise ModelError(f"{path}: expected an .onnx file")
    try:
        # Read from memory, so that a graph with weights in other files fails, as the digest covers one file only.
        return core().read_model(read_bounded(path, MODEL_BYTES))
    except OSError as error:
        raise ModelError(f"{path}: the model cannot be read: {explain_os_error(error)}") from None
    except RuntimeError as error:
        unknown = _UNKNOWN.search(str(error))
        if unknown:
            raise ModelError(f"{path}: OpenVINO has no operator {unknown[1]}; export the network without it") from None
        raise ModelError(f"{path}: not a valid ONNX model in a single file: {reason(error)}") from None


def reason(error: RuntimeError) -> str:
    """Return the informative line of an OpenVINO error, without its source positions."""
    lines = [line.strip() for line in str(error).splitlines()]
    informative = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return " ".join((informative or lines or ["no reason given"])[-1].split()).rstrip(".")
