from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kindred.backbones.runtime import read_graph, reason
from kindred.errors import ModelError

MakeGraph = Callable[..., Path]


def in_a_fresh_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_does_not_import_openvino() -> None:
    code = "import sys, kindred.backbones; print(*{'openvino', 'torch', 'onnx', 'PIL'} & set(sys.modules))"
    assert in_a_fresh_process(code) == ""


def test_openvino_is_imported_without_telemetry() -> None:
    code = (
        "import sys; from kindred.backbones.runtime import core; core();"
        "print(*{'openvino_telemetry', 'openvino.tools.ovc'} & set(sys.modules), 'openvino' in sys.modules)"
    )
    assert in_a_fresh_process(code) == "True"


def test_the_model_converter_is_imported_on_first_use() -> None:
    code = (
        "from kindred.backbones.runtime import import_openvino; openvino = import_openvino();"
        "print(openvino.convert_model.__name__, hasattr(openvino, 'no_such_name'))"
    )
    assert in_a_fresh_process(code) == "convert_model False"


def test_an_imported_openvino_is_reused() -> None:
    code = (
        "import openvino; from kindred.backbones.runtime import import_openvino;"
        "print(import_openvino() is openvino, '__getattr__' in vars(openvino))"
    )
    assert in_a_fresh_process(code) == "True False"


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model.pb: expected an \.onnx file"):
        read_graph(tmp_path / "model.pb")
    with pytest.raises(ModelError, match="the model cannot be read: no such file"):
        read_graph(tmp_path / "model.onnx")
    for content in (b"", b"not a graph", b"\0" * 1000):
        (tmp_path / "model.onnx").write_bytes(content)
        with pytest.raises(ModelError, match="not a valid ONNX model in a single file") as caught:
            read_graph(tmp_path / "model.onnx")
        assert "\n" not in str(caught.value)


def test_an_operator_that_openvino_does_not_have_is_named(save_graph: MakeGraph) -> None:
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("Sharpen", ["image"], ["sharp"], domain="my.own")
    path = save_graph([node, onnx.helper.make_node("ArgMax", ["sharp"], ["map"], axis=2)], {}, ["map"])
    model = onnx.load(path)
    model.opset_import.append(onnx.helper.make_opsetid("my.own", 1))
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"tiny\.onnx: OpenVINO has no operator my\.own\.Sharpen; export"):
        read_graph(path)


def test_the_informative_line_of_an_error() -> None:
    stack = "Exception from src/core.cpp:1:\nCheck 'a' failed at src/x.cpp:2:\nThe shapes  do not fit.\n\n"
    assert reason(RuntimeError(stack)) == "The shapes do not fit"
    assert reason(RuntimeError("Check 'a' failed at src/x.cpp:2:")) == "Check 'a' failed at src/x.cpp:2:"
    assert reason(RuntimeError("")) == "no reason given"
