"""benchmarks/gpu.py runs where there is no GPU, and says that it measured none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_it_runs_on_a_cpu_and_says_so(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU: run the benchmark itself")
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--images", "9", "--rounds", "1", "--json"]
    environment = {**os.environ, "KINDRED_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["device"] == "cpu (no CUDA was measured)"
    assert 0.99 < found["smallest_cosine"] <= 1.000001  # bfloat16 where the CPU has it, beside float32
    assert found["describing_images_per_second"] > 0
    assert found["describing_share"] > 0
    assert found["training_share"] > 0
