"""Assembling: the images, the network, the loss and the planner that a run's options ask for, as one task."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from kindred.errors import TrainingError, UsageError
from kindred.evaluation.datasets import read_dataset
from kindred.training.aggregation import build_aggregation
from kindred.training.architectures import ARCHITECTURES, build_backbone
from kindred.training.augment import Augmentation
from kindred.training.image_cache import ImageCache, read_images
from kindred.training.loop import Schedule
from kindred.training.process_group import ProcessGroup
from kindred.training.tuning.describing import whole_images
from kindred.training.tuning.embedder import Embedder
from kindred.training.tuning.labels import LabelledImages, read_classes, read_labels, read_pairs, read_unlabelled
from kindred.training.tuning.methods import Batching, Method, find_method, resolve_loss
from kindred.training.tuning.objective import build_objective, check_objective
from kindred.training.tuning.options import TrainingOptions
from kindred.training.tuning.task import TuningTask, ValidationData
from kindred.training.tuning.validation import Validation, hold_out, view_validation

__all__ = ["TrainingSetup", "assemble"]

MIN_IMAGES = 16
SPARE = 1.5  # images are kept so many times as large as crops, so that a crop of a part is still sharp
START_IMAGES = 2048  # images that a whitening or words start from, at most
VIEWS = 300  # images of a validation without labels, at most

Reading = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class TrainingSetup:
    """A task for the loop, its schedule, the images that it learns from, and what a person should know of them."""

    task: TuningTask
    schedule: Schedule
    data: LabelledImages
    notes: tuple[str, ...]


def assemble(
    folder: Path, options: TrainingOptions, *, processes: ProcessGroup, read_progress: Reading | None = None
) -> TrainingSetup:
    """Read the images below `folder`, and make of them and the options what the loop carries out.

    Raises UsageError for options that contradict each other or the images, TrainingError where images or classes do
    not suffice or weights do not fit.
    """
    method = find_method(options.method)
    loss = resolve_loss(method, options.loss or None)
    _check(options, method)
    check_objective(loss, memory=options.memory, options=options.loss_options)
    # What may be refused comes before the images, which take their time.
    augmentation = Augmentation(area=options.area, flip=options.flip, colour=options.colour)
    embedder = _embedder(options)
    if options.freeze:
        embedder.freeze(options.freeze)
    found = _labelled(folder, options, labelled=method.labelled)
    validation = Validation.from_groundtruth(read_dataset(Path(options.validate))) if options.validate else None
    longest = round(options.size * SPARE)
    pictures, refused = read_images(found.paths, longest=longest, progress=read_progress)
    data = _usable(found, pictures, refused)
    left, validation_data = _examined(data, pictures, options, validation)
    learned, kept = data.subset(left), pictures.subset(left.tolist())
    pairs = read_pairs(Path(options.pairs), learned.paths, folder) if options.pairs else None
    embedder.initialise(_start(kept, options))
    if not options.tune_norms:
        embedder.freeze_norms()
    objective = build_objective(
        loss,
        classes=len(data.classes),
        dimension=embedder.dimension,
        memory=options.memory,
        options=options.loss_options,
        gather=processes.gather,
    )
    task = TuningTask(
        embedder,
        objective,
        method.planner(learned.labels, _batching(options, pairs)),
        kept,
        size=options.size,
        crop=options.crop,
        processes=processes,
        augmentation=augmentation,
        validation_data=validation_data,
        identity={**options.identity(), "images": len(kept), "files": _digest(learned, folder)},
        seed=options.seed,
    )
    return TrainingSetup(task, _schedule(options), learned, (*found.notes, *_reasons(refused)))


def _check(options: TrainingOptions, method: Method) -> None:
    """Raise UsageError for an option that another one leaves without effect, or makes wrong."""
    from_classes = method.labelled and not options.pairs
    if options.pairs and not (method.kind == "pairs" and method.labelled):
        raise UsageError(f"method {options.method!r} does not learn from listed pairs; leave out pairs")
    if options.labels and not from_classes:
        other = "listed pairs" if options.pairs else f"method {options.method!r}"
        raise UsageError(f"{other} and labels cannot go together: no class is read; leave out labels")
    if options.mining == "pool" and not (from_classes and method.kind == "pairs"):
        raise UsageError("mining is 'pool'; only methods that make pairs of labelled classes mine in one; leave it out")
    if options.memory and not from_classes:
        raise UsageError(f"memory is {options.memory}; only where classes are labelled can it be of use; leave it out")


def _labelled(folder: Path, options: TrainingOptions, *, labelled: bool) -> LabelledImages:
    if options.labels:
        return read_labels(Path(options.labels), folder)
    return read_classes(folder) if labelled and not options.pairs else read_unlabelled(folder)


def _usable(found: LabelledImages, pictures: ImageCache, refused: Mapping[Path, str]) -> LabelledImages:
    data = found.subset([number for number, path in enumerate(found.paths) if path not in refused])
    if len(data) < MIN_IMAGES:
        raise TrainingError(
            f"{len(data)} usable images of {len(found)}; training needs at least {MIN_IMAGES}: give more images"
        )
    if data.classes and len(np.unique(data.labels)) < 2:
        raise TrainingError("fewer than two classes have an image that can be read; give more images")
    assert data.paths == pictures.paths
    return data


def _reasons(refused: Mapping[Path, str]) -> list[str]:
    if not refused:
        return []
    path, reason = next(iter(refused.items()))
    more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
    return [f"{len(refused)} images left out that cannot be read: {path.name} ({reason}){more}"]


def _examined(
    data: LabelledImages, pictures: ImageCache, options: TrainingOptions, validation: Validation | None
) -> tuple[NDArray[np.int64], ValidationData | None]:
    """Return the numbers of the images to learn from, and what the run is validated on."""
    everything = np.arange(len(data))
    if validation is not None:
        shown, refused = read_images(validation.paths, longest=pictures.longest)
        if refused:
            path, reason = next(iter(refused.items()))
            raise UsageError(f"{options.validate}: {path} cannot be read ({reason}); a validation needs all its images")
        return everything, ValidationData(validation, shown)
    if not (data.labels >= 0).any():
        return everything, ValidationData(*view_validation(pictures, seed=options.seed, most=VIEWS))
    left, held = hold_out(data, share=options.hold_out, seed=options.seed)
    return left, None if held is None else ValidationData(held, pictures)


def _digest(data: LabelledImages, folder: Path) -> str:
    """Return eight digits of what is learned from: a run may not go on with other images, or other classes of them."""
    names = [os.path.relpath(path, folder) for path in data.paths]
    return hashlib.sha256(os.fsencode("\0".join(names)) + data.labels.tobytes()).hexdigest()[:8]


def _embedder(options: TrainingOptions) -> Embedder:
    weights = options.weights or None
    if options.backbone in ARCHITECTURES and weights is None:
        raise UsageError(
            f"backbone {options.backbone!r} knows nothing without weights: give a file (.safetensors or .pth), "
            "'published' to fetch them, or 'random' to start from nothing"
        )
    backbone = build_backbone(options.backbone, weights=None if weights == "random" else weights, seed=options.seed)
    if options.tap:
        backbone.cut(options.tap)
    channels = backbone.taps[-1].channels
    return Embedder(backbone, build_aggregation(options.aggregation, channels, **options.aggregation_options))


def _start(pictures: ImageCache, options: TrainingOptions) -> _Start:
    rng = np.random.default_rng([options.seed, 0x57A7])
    count = min(START_IMAGES, len(pictures))
    return _Start(pictures, np.sort(rng.choice(len(pictures), count, replace=False)), options.size)


@dataclass(frozen=True)
class _Start:
    """Pixels of some training images, to be gone through more than once."""

    pictures: ImageCache
    numbers: NDArray[np.int64]
    size: int

    def __iter__(self) -> Iterator[Tensor]:
        for _, pixels in whole_images(self.pictures, self.numbers, size=self.size):
            yield pixels


def _batching(options: TrainingOptions, pairs: tuple[NDArray[np.int64], NDArray[np.int64]] | None) -> Batching:
    same = {key: getattr(options, key) for key in ("batch", "images_per_class", "mining", "negatives", "clusters")}
    return Batching(**same, pairs=pairs)


def _schedule(options: TrainingOptions) -> Schedule:
    keys = ("epochs", "rate", "warmup", "decay", "accumulate", "patience", "seed")
    return Schedule(**{key: getattr(options, key) for key in keys})
