"""Targets of a local head: the teacher's keypoints and descriptors of the images at two sizes, stored on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kindred.errors import TrainingError
from kindred.features import LocalFeatures
from kindred.images import resize
from kindred.training.image_cache import ImageCache

__all__ = ["LocalTargets", "Sighting", "Teacher", "find_targets"]

SCALES = (1.0, 2.0)
"""Scales at which the teacher describes an image."""
MOST = (96, 192)
"""Maximum number of keypoints at each scale."""
STEP = 1 / 256
"""Quantisation step of a stored component; values above 0.496 are clipped."""
FACTS, POINTS, DESCRIPTORS, COUNTS = "facts.json", "points.npy", "descriptors.npy", "counts.npy"
BLOCK = 64  # images after which the files are brought up to date


class Teacher(Protocol):
    """The source of targets, such as `kindred.features.network.LocalNetwork`."""

    @property
    def depends_on(self) -> list[object]:
        """A digest of what its features depend on."""

    def find(self, image: NDArray[np.uint8], *, count: int, longest: int) -> LocalFeatures:
        """Return the features of an image, reduced to `longest` pixels."""


@dataclass(frozen=True, eq=False)
class Sighting:
    """Keypoints of an image at one scale, best first: points (N, 2) in its pixels, unit descriptors (N, D)."""

    points: NDArray[np.float32]
    descriptors: NDArray[np.float32]


class LocalTargets:
    """The teacher's features of each image of a run, read from files on demand."""

    def __init__(self, folder: Path) -> None:
        self._points = np.load(folder / POINTS, mmap_mode="r", allow_pickle=False)
        self._descriptors = np.load(folder / DESCRIPTORS, mmap_mode="r", allow_pickle=False)
        self._counts = np.load(folder / COUNTS, mmap_mode="r", allow_pickle=False)

    @property
    def dimension(self) -> int:
        """The number of components of a descriptor."""
        return int(self._descriptors.shape[2])

    def sighting(self, index: int, zoom: float) -> Sighting:
        """Return the teacher's features of an image at the scale nearest to `zoom`."""
        scale = int(np.argmin([abs(np.log(zoom / each)) for each in SCALES]))
        begin = sum(MOST[:scale])
        end = begin + int(self._counts[index, scale])
        descriptors = self._descriptors[index, begin:end].astype(np.float32)
        norms = np.linalg.norm(descriptors, axis=1, keepdims=True)
        return Sighting(np.array(self._points[index, begin:end]), descriptors / np.maximum(norms, 1e-6))


def find_targets(
    teacher: Teacher,
    images: ImageCache,
    folder: Path,
    *,
    digest: str,
    progress: Callable[[int, int], None] | None = None,
) -> LocalTargets:
    """Compute the teacher's features of all images once and store them in `folder`; an interrupted run resumes there.

    digest: of the images, stored with the files. progress: called with the number of images done and the total, after
    each that was not done before. Raises TrainingError if the files belong to other images or another teacher, or
    cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        facts = {"images": digest, "count": len(images), "teacher": teacher.depends_on, "scales": SCALES, "most": MOST}
        text = json.dumps(facts, sort_keys=True)
        if (folder / FACTS).exists() and (folder / FACTS).read_text(encoding="utf-8") != text:
            raise TrainingError(f"{folder}: holds the targets of other images or another teacher; remove the folder")
        _find(teacher, images, folder, text, progress)
        return LocalTargets(folder)
    except (OSError, ValueError) as error:
        raise TrainingError(f"{folder}: the teacher's targets cannot be stored or read: {error}") from None


def _find(
    teacher: Teacher, images: ImageCache, folder: Path, facts: str, progress: Callable[[int, int], None] | None
) -> None:
    first = _seen(teacher, images[0])
    shapes = {
        POINTS: (np.float32, (len(images), sum(MOST), 2)),
        DESCRIPTORS: (np.int8, (len(images), sum(MOST), first[0].descriptors.shape[1])),
        COUNTS: (np.int16, (len(images), len(SCALES))),
    }
    new = not (folder / FACTS).exists()
    mode = "w+" if new else "r+"
    files = {
        name: np.lib.format.open_memmap(folder / name, mode, kind, shape)
        if new
        else np.load(folder / name, mmap_mode="r+", allow_pickle=False)
        for name, (kind, shape) in shapes.items()
    }
    if any(files[name].shape != shape for name, (_, shape) in shapes.items()):
        raise TrainingError(f"{folder}: its files do not fit one another; remove the folder")
    if new:
        files[COUNTS][:] = -1
        files[COUNTS].flush()
        (folder / FACTS).write_text(facts, encoding="utf-8")
    for index in range(len(images)):
        is_missing = files[COUNTS][index].min() < 0
        if is_missing:
            _store(files, index, _seen(teacher, images[index]))
        if index % BLOCK == BLOCK - 1 or index == len(images) - 1:
            for name in (POINTS, DESCRIPTORS, COUNTS):
                files[name].flush()
        if is_missing and progress is not None:
            progress(index + 1, len(images))


def _seen(teacher: Teacher, image: NDArray[np.uint8]) -> list[LocalFeatures]:
    """Return the features at each scale, points in pixels of the image."""
    found = []
    height, width = image.shape[:2]
    for scale, count in zip(SCALES, MOST, strict=True):
        sized = resize(image, longest=round(scale * max(height, width)), enlarge=True)
        features = teacher.find(sized, count=count, longest=max(sized.shape[:2]))
        found.append(features.scaled(width / sized.shape[1], height / sized.shape[0]))
    return found


def _store(files: dict[str, NDArray[np.int8]], index: int, found: list[LocalFeatures]) -> None:
    begin = 0
    for features, most in zip(found, MOST, strict=True):
        end = begin + len(features)
        files[POINTS][index, begin:end] = features.points
        files[DESCRIPTORS][index, begin:end] = np.clip(np.rint(features.descriptors / STEP), -127, 127)
        begin += most
    files[COUNTS][index] = [len(features) for features in found]
