"""Digests: other content, another name, size or order is another digest; the place of a folder is not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kindred._support.digests import HEAD, TAIL
from kindred.training.identity import digest_arrays, digest_images, digest_weights


def _digest(folder: Path) -> str:
    return digest_images((str(path.relative_to(folder)), path) for path in sorted(folder.iterdir()))


def _folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.png").write_bytes(b"a" * 3000)
    (folder / "b.png").write_bytes(b"b" * (HEAD + 5000))
    return folder


def test_a_moved_folder_has_the_same_digest(tmp_path: Path) -> None:
    before = _digest(_folder(tmp_path / "one"))
    assert len(before) == 16
    shutil.move(tmp_path / "one", tmp_path / "two")
    os.utime(tmp_path / "two" / "a.png", (1, 1))
    assert _digest(tmp_path / "two") == before


def test_other_images_of_the_same_names_or_number_have_another_digest(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "one")
    digests = [_digest(folder)]
    (folder / "a.png").write_bytes(b"c" * 3000)  # the same size
    digests.append(_digest(folder))
    (folder / "a.png").write_bytes(b"c" * 3001)
    digests.append(_digest(folder))
    (folder / "a.png").rename(folder / "c.png")
    digests.append(_digest(folder))
    (folder / "b.png").write_bytes(b"b" * (HEAD + 4999) + b"x")  # its last byte, the same size
    digests.append(_digest(folder))
    (folder / "b.png").unlink()
    digests.append(_digest(folder))
    assert len(set(digests)) == len(digests)


def test_a_name_that_is_no_text_and_a_file_that_is_gone_are_counted(tmp_path: Path) -> None:
    strange = os.fsdecode(b"\xff.png")
    assert digest_images([(strange, tmp_path / "none")]) != digest_images([("x.png", tmp_path / "none")])
    assert digest_images([("x.png", tmp_path / "none")]) != digest_images([])


def test_bytes_in_the_middle_of_a_large_file_are_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large"
    content = bytearray(b"\0" * (HEAD + 10 * TAIL))
    file.write_bytes(content)
    before = digest_images([("large", file)])
    content[HEAD + TAIL] = 1
    file.write_bytes(content)
    assert digest_images([("large", file)]) == before
    content[HEAD - 1] = 1
    file.write_bytes(content)
    assert digest_images([("large", file)]) != before


def test_arrays_differ_by_value_type_and_shape() -> None:
    arrays: list[Any] = [np.arange(4), np.arange(4, dtype=np.int32), np.arange(4).reshape(2, 2), np.arange(1, 5)]
    assert len({digest_arrays(array) for array in arrays}) == 4
    assert digest_arrays(arrays[0], arrays[3]) != digest_arrays(arrays[3], arrays[0])
    assert digest_arrays(np.asfortranarray(arrays[2])) == digest_arrays(arrays[2])


def test_weights_differ_by_value_and_name() -> None:
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 2)
    before = digest_weights(module)
    assert digest_weights(torch.nn.Sequential(module)) != before
    with torch.no_grad():
        module.bias[0] += 1e-6
    assert digest_weights(module) != before
