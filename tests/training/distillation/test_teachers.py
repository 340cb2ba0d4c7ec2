"""Teachers: networks with a card, also such as have heads beside their maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kindred.training.distillation.teachers import EngineTeacher
from tiny_local import make_local_model


def test_a_network_with_a_local_head_can_teach(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    teacher = EngineTeacher(str(make_local_model(tmp_path)))
    assert teacher.taps[-1] == ("inner", 16, 2)
    maps = teacher.run(np.zeros((2, 32, 48, 3), np.uint8))
    assert [found.shape for found in maps][-1] == (2, 16, 16, 24)
