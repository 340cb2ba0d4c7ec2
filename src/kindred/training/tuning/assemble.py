"""Assembling a run: the images, the network, the loss and the planner that the options name, as one task."""

from __future__ import annotations

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
from kindred.training.identity import digest_arrays, digest_images, digest_weights
from kindred.training.image_cache import ImageCache, read_images
from kindred.training.loop import Progress, Schedule, announce
from kindred.training.process_group import ProcessGroup
from kindred.training.tuning.describing import whole_images
from kindred.training.tuning.embedder import Embedder
from kindred.training.tuning.labels import LabelledImages, read_classes, read_labels, read_pairs, read_unlabelled
from kindred.training.tuning.methods import Batching, Method, find_method, resolve_loss
from kindred.training.tuning.objective import Objective, build_objective, check_objective
from kindred.training.tuning.options import TrainingOptions
from kindred.training.tuning.task import TuningTask, ValidationData
from kindred.training.tuning.validation import Validation, hold_out, view_validation

__all__ = ["TrainingSetup", "assemble"]

MIN_IMAGES = 16
CACHED_SIZE = 1.5  # of the cached images relative to `size`, so that a crop of a part is still sharp
START_IMAGES = 2048  # images that a whitening or a codebook is initialised on, at most
VIEWS = 300  # images of a validation without labels, at most

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class TrainingSetup:
    """A task for the training loop, its schedule, the images to train on, and notes for the user, a line each."""

    task: TuningTask
    schedule: Schedule
    data: LabelledImages
    notes: tuple[str, ...]


def assemble(
    folder: Path,
    options: TrainingOptions,
    *,
    processes: ProcessGroup,
    read_progress: Callable[[int, int], None] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> TrainingSetup:
    """Read the images below `folder`, and build the task that the options describe.

    read_progress: called with the number of images read so far and of all. progress: called before the network is
    prepared for them. Raises UsageError for options that
    contradict each other or the images, TrainingError if there are too few images or classes, or weights do not
    fit the network.
    """
    method = find_method(options.method)
    loss = resolve_loss(method, options.loss or None)
    _check(options, method)
    check_objective(loss, memory=options.memory, options=options.loss_options)
    # Everything that can be refused is checked before the images are read, which takes time.
    augmentation = Augmentation(area=options.area, flip=options.flip, colour=options.colour)
    embedder = _embedder(options)
    weights = digest_weights(embedder.backbone)
    found = _labelled_images(folder, options, labelled=method.labelled)
    validation = Validation.from_groundtruth(read_dataset(Path(options.validate))) if options.validate else None
    cached, skipped = read_images(found.paths, longest=round(options.size * CACHED_SIZE), progress=read_progress)
    announce(progress, "preparing")
    data = _usable(found, cached, skipped)
    left, validation_data = _validation_data(data, cached, options, validation)
    train_data, images = data.subset(left), cached.subset(left.tolist())
    pairs = read_pairs(Path(options.pairs), train_data.paths, folder) if options.pairs else None
    embedder.initialise(_StartImages.drawn(images, options))
    if not options.tune_norms:
        embedder.freeze_norms()
    task = TuningTask(
        embedder,
        _objective(loss, train_data, embedder, options, processes),
        method.planner(train_data.labels, _batching(options, pairs)),
        images,
        size=options.size,
        crop=options.crop,
        processes=processes,
        augmentation=augmentation,
        validation_data=validation_data,
        identity={**options.as_json(), "initial weights": weights, **_data_identity(data, folder, pairs, validation)},
        seed=options.seed,
    )
    return TrainingSetup(task, _schedule(options), train_data, (*found.notes, *_skip_notes(skipped)))


def _check(options: TrainingOptions, method: Method) -> None:
    """Raise UsageError for an option that contradicts another one or has no effect beside it."""
    from_classes = method.labelled and not options.pairs
    if options.pairs and not (method.kind == "pairs" and method.labelled):
        raise UsageError(f"method {options.method!r} does not train on listed pairs; leave out pairs")
    if options.labels and not from_classes:
        other = "listed pairs" if options.pairs else f"method {options.method!r}"
        raise UsageError(f"labels have no effect with {other}, for which no class is read; leave out labels")
    if options.mining == "pool" and not (from_classes and method.kind == "pairs"):
        raise UsageError("mining 'pool' has an effect only for methods on pairs with labelled classes; leave it out")
    if options.memory and not from_classes:
        raise UsageError(f"memory {options.memory} has an effect only where classes are labelled; leave it out")


def _labelled_images(folder: Path, options: TrainingOptions, *, labelled: bool) -> LabelledImages:
    if options.labels:
        return read_labels(Path(options.labels), folder)
    return read_classes(folder) if labelled and not options.pairs else read_unlabelled(folder)


def _usable(found: LabelledImages, images: ImageCache, skipped: Mapping[Path, str]) -> LabelledImages:
    """Return the images that were not skipped; raises TrainingError if they are too few."""
    data = found.subset([index for index, path in enumerate(found.paths) if path not in skipped])
    if len(data) < MIN_IMAGES:
        raise TrainingError(
            f"{len(data)} usable images of {len(found)}; training needs at least {MIN_IMAGES}: give more images"
        )
    if data.classes and len(np.unique(data.labels)) < 2:
        raise TrainingError("fewer than two classes have an image that can be read; give more images")
    assert data.paths == images.paths
    return data


def _skip_notes(skipped: Mapping[Path, str]) -> list[str]:
    if not skipped:
        return []
    path, reason = next(iter(skipped.items()))
    more = f", and {len(skipped) - 1} more" if len(skipped) > 1 else ""
    return [f"{len(skipped)} unreadable images skipped: {path.name} ({reason}){more}"]


def _validation_data(
    data: LabelledImages, images: ImageCache, options: TrainingOptions, validation: Validation | None
) -> tuple[NDArray[np.int64], ValidationData | None]:
    """Return the indices of the images to train on, and what the run is validated on."""
    everything = np.arange(len(data))
    if validation is not None:
        own, skipped = read_images(validation.paths, longest=images.longest)
        if skipped:
            path, reason = next(iter(skipped.items()))
            raise UsageError(f"{options.validate}: {path} cannot be read ({reason}); a validation needs all its images")
        return everything, ValidationData(validation, own)
    if not (data.labels >= 0).any():
        return everything, ValidationData(*view_validation(images, seed=options.seed, most=VIEWS))
    left, held_out = hold_out(data, share=options.hold_out, seed=options.seed)
    return left, None if held_out is None else ValidationData(held_out, images)


def _data_identity(
    data: LabelledImages, folder: Path, pairs: Pairs | None, validation: Validation | None
) -> dict[str, object]:
    """Return the digests of what is trained and validated on: a run resumes only with the same."""
    names = ((os.path.relpath(path, folder), path) for path in data.paths)
    found: dict[str, object] = {
        "images": f"{len(data)}, {digest_images(names)}",
        "classes": digest_arrays(data.labels),
    }
    if pairs is not None:
        found["listed pairs"] = digest_arrays(*pairs)
    if validation is not None:
        judgements = (validation.queries, validation.database, *validation.relevant, *validation.junk)
        content = digest_images((path.name, path) for path in validation.paths)
        found["validation"] = f"{len(validation.paths)}, {content}, {digest_arrays(*judgements)}"
    return found


def _embedder(options: TrainingOptions) -> Embedder:
    weights = options.weights or None
    if options.backbone in ARCHITECTURES and weights is None:
        raise UsageError(
            f"backbone {options.backbone!r} needs weights: give a file (.safetensors or .pth), 'published' to download "
            "them, or 'random' to train from scratch"
        )
    backbone = build_backbone(options.backbone, weights=None if weights == "random" else weights, seed=options.seed)
    if options.tap:
        backbone.cut(options.tap)
    channels = backbone.taps[-1].channels
    embedder = Embedder(backbone, build_aggregation(options.aggregation, channels, **options.aggregation_options))
    if options.freeze:
        embedder.freeze(options.freeze)
    return embedder


def _objective(
    loss: str, data: LabelledImages, embedder: Embedder, options: TrainingOptions, processes: ProcessGroup
) -> Objective:
    return build_objective(
        loss,
        classes=len(data.classes),
        dimension=embedder.dimension,
        memory=options.memory,
        options=options.loss_options,
        gather=processes.gather,
    )


@dataclass(frozen=True)
class _StartImages:
    """Pixels of some training images, in batches, to be iterated over more than once."""

    images: ImageCache
    indices: NDArray[np.int64]
    size: int

    @classmethod
    def drawn(cls, images: ImageCache, options: TrainingOptions) -> _StartImages:
        rng = np.random.default_rng([options.seed, 0x57A7])
        count = min(START_IMAGES, len(images))
        return cls(images, np.sort(rng.choice(len(images), count, replace=False)), options.size)

    def __iter__(self) -> Iterator[Tensor]:
        for _, pixels in whole_images(self.images, self.indices, size=self.size):
            yield pixels


def _batching(options: TrainingOptions, pairs: Pairs | None) -> Batching:
    same = {key: getattr(options, key) for key in ("batch", "images_per_class", "mining", "negatives", "clusters")}
    return Batching(**same, pairs=pairs)


def _schedule(options: TrainingOptions) -> Schedule:
    keys = ("epochs", "rate", "warmup", "decay", "accumulate", "patience", "seed")
    return Schedule(**{key: getattr(options, key) for key in keys})
