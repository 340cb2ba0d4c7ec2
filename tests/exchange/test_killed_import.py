"""An import that is killed loses nothing of the library, and the same import completes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kindred.arrays import Vectors, l2_normalise
from kindred.exchange import import_vectors
from kindred.library import Library

SOURCE = Path(__file__).resolve().parents[2] / "src"
COUNT, KNOWN, BATCH, KILLS = 300, 40, 5, 6

# Commits often, and reports each commit, so that there are many moments to be killed in.
IMPORTER = f"""
import sys
from kindred.exchange import import_vectors, vectors_in
vectors_in.COMMIT_IMAGES = {BATCH}
import_vectors(sys.argv[1], sys.argv[2], progress=lambda done: print(done, flush=True))
print("done", flush=True)
"""


def saved(file: Path, count: int, *, seed: int) -> Vectors:
    """Write vectors of `count` images that do not exist, and return them."""
    rows: Vectors = l2_normalise(np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32))
    np.savez(file, paths=np.array([f"{number:04}.jpg" for number in range(count)]), vectors=rows)
    return rows


def stored(library: Library) -> dict[int, Vectors]:
    """Return the vector of each image by the number in its name; each image has exactly one."""
    found: dict[int, Vectors] = {}
    for ids, rows in library.store.vectors():
        images = library.store.rows(ids.tolist())
        for number, row in zip(ids.tolist(), rows, strict=True):
            name = int(images[number].path.stem)
            assert name not in found
            found[name] = row
    return found


def killed_import(library: Path, file: Path, random: np.random.Generator) -> tuple[bool, int]:
    """Start the import and kill it in its work; return whether it had ended, and how many images it had reported."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", IMPORTER, str(library), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(random.integers(1, COUNT // BATCH - 5))]
        time.sleep(random.uniform(0, 0.01))
        process.kill()
        lines += process.stdout
    assert process.returncode in (0, -signal.SIGKILL), "it failed by itself"
    reported = [int(line) for line in lines if line.strip().isdigit()]
    return "done\n" in lines, max(reported, default=0)


@pytest.mark.skipif(sys.platform == "win32", reason="kills as kill -9 does")
def test_kills_lose_nothing_and_the_same_import_completes_it(tmp_path: Path) -> None:
    random, folder, file = np.random.default_rng(3), tmp_path / "library", tmp_path / "vectors.npz"
    old = saved(file, KNOWN, seed=1)
    import_vectors(folder, file)
    names = [tmp_path / f"{number:04}.jpg" for number in range(KNOWN)]
    with Library.open(folder) as library:
        library.tag(names, "known")
        ids = {row.path: row.uid for row in library.store.images(range(1, KNOWN + 1)).values()}
    new = saved(file, COUNT, seed=2)
    most = 0
    for _ in range(KILLS):
        ended, reported = killed_import(folder, file, random)
        assert not ended
        with Library.open(folder) as library:
            found = stored(library)
            most = max(most, reported)
            assert len(found) == len(library) >= max(KNOWN, most)
            for number, row in found.items():
                choices = [new[number], *([old[number]] if number < KNOWN else [])]
                assert any(np.allclose(row, each, atol=1e-6) for each in choices)
            assert all(np.allclose(found[number], new[number], atol=1e-6) for number in range(reported))
            assert library.store.tags() == {"known": KNOWN}
            assert len(library.search(new[:1], k=COUNT)) == len(found)
    report = import_vectors(folder, file)
    assert (report.images, report.vectors) == (COUNT, COUNT)
    with Library.open(folder) as library:
        found = stored(library)
        assert np.allclose(np.stack([found[number] for number in range(COUNT)]), new, atol=1e-6)
        assert {row.path: row.uid for row in library.store.images(range(1, KNOWN + 1)).values()} == ids
        assert library.store.tags() == {"known": KNOWN}
