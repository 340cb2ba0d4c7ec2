"""Folders of classes for tests of training: a class is one drawn picture, its images are shifted and lit otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pictures import picture

__all__ = ["NAMES", "make_classes", "member"]

NAMES = ("anise", "basil", "cumin", "dill")


def member(of: int, number: int) -> NDArray[np.uint8]:
    """Draw an image of class `of`: (48, 48, 3), or (48, 64, 3) where `number` is odd."""
    width = 64 if number % 2 else 48
    random = np.random.default_rng([of, number])
    drawn = np.roll(picture(of, width=width), tuple(random.integers(-6, 7, 2)), axis=(0, 1))
    lit: NDArray[np.uint8] = np.clip(drawn * random.uniform(0.7, 1.3), 0, 255).astype(np.uint8)
    return lit


def make_classes(folder: Path, counts: Mapping[str, int] | None = None, *, kind: str = "png") -> list[Path]:
    """Write so many images of each class into its folder, six of each of `NAMES` by default; return their paths."""
    paths = []
    for of, (name, count) in enumerate((counts or dict.fromkeys(NAMES, 6)).items()):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            paths.append(folder / name / f"{number}.{kind}")
            Image.fromarray(member(of, number)).save(paths[-1])
    return paths
