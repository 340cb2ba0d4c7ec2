"""A network, a teacher and folders of images in; the network with a local head out."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from kindred.backbones import load_card
from kindred.backbones.card import Card, Scalar
from kindred.errors import TrainingError, UsageError
from kindred.training.preflight import check_output, load_pytorch
from kindred.training.training_images import find_training_images

if TYPE_CHECKING:
    from kindred.training.image_cache import ImageCache
    from kindred.training.local.settings import LocalSettings
    from kindred.training.loop import FitResult, Progress

__all__ = ["distill_local_head"]

MIN_IMAGES = 8
LONGEST = 256  # side of the images that views are drawn from, in pixels
RATIO = 0.95
"""The threshold of the ratio test for descriptors of this kind."""


def distill_local_head(
    network: str | Path,
    teacher: tuple[Path, Path | None],
    folders: Sequence[Path],
    *,
    output: Path,
    exclude: Sequence[str] = (),
    steps: int | None = None,
    images: int | None = None,
    seed: int = 0,
    device: str | None = None,
    threads: int | None = None,
    read_progress: Callable[[int, int], None] | None = None,
    teacher_progress: Callable[[int, int], None] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Card | None:
    """Train a local head for `network`, which stays as it is, and write both as one model `output` (`.onnx`).

    teacher: the graph of a model with a local head, and its second graph, None for the one that its card names.
    folders, exclude: as in `distill`. steps, images, seed: see `LocalSettings`; None for its default. progress,
    read_progress: as in `distill`. teacher_progress: called with the number of images in which the teacher found its
    keypoints and of all. Returns None in all processes but the first. Raises as `distill` does.

    Checkpoint, log and what the teacher found are in a folder beside `output` (`.local`), from which an interrupted run
    goes on.
    """
    check_output(output, [output.with_suffix(".toml")])
    load_pytorch("distillation")
    from kindred.features import LocalNetwork
    from kindred.training.local.attach import attach
    from kindred.training.local.settings import LocalSettings
    from kindred.training.local.targets import find_targets
    from kindred.training.local.task import LocalTask
    from kindred.training.local.trunk import Trunk
    from kindred.training.loop import announce, fit
    from kindred.training.process_group import join_process_group

    chosen = {key: value for key, value in {"steps": steps, "images": images}.items() if value is not None}
    settings = LocalSettings(seed=seed, **chosen)  # type: ignore[arg-type]
    folder = output.with_suffix(".local")
    maps, describe = teacher
    with join_process_group(device, threads=threads) as processes:
        trunk = Trunk(network, device=str(processes.device), threads=threads)
        seer = LocalNetwork(maps, describe=describe, threads=threads)
        if not processes.is_main:
            read_progress = teacher_progress = progress = None
        pictures, digest = _pictures(find_training_images(folders, exclude), settings, read_progress)
        if not processes.is_main and not (folder / "targets").exists():
            raise TrainingError(f"{folder}: let one process find the teacher's targets first")
        targets = find_targets(seer, pictures, folder / "targets", digest=digest, progress=teacher_progress)
        identity = {"images": digest, "network": trunk.card.digest, "teacher": seer.depends_on}
        task = LocalTask(trunk, pictures, targets, settings, processes=processes, identity=identity)
        result = fit(task, settings.schedule(), folder, processes=processes, progress=progress)
        if not processes.is_main:
            return None
    announce(progress, "exporting")
    card, path = load_card(network)
    command = _command(card.name, teacher, folders, output, exclude, settings)
    record = _record(seer.card, result, settings, command, len(pictures))
    return attach(task.head, card, path, output, name=output.stem, ratio=RATIO, training=record)


def _pictures(
    images: dict[Path, str], settings: LocalSettings, progress: Callable[[int, int], None] | None
) -> tuple[ImageCache, str]:
    """Read the images of a run, drawn from all, and return them with their digest."""
    import numpy as np

    from kindred.training.identity import digest_images
    from kindred.training.image_cache import read_images

    paths = sorted(images, key=images.__getitem__)
    order = np.random.default_rng(settings.seed).permutation(len(paths))[: settings.images]
    pictures, _ = read_images([paths[at] for at in order.tolist()], longest=LONGEST, progress=progress)
    if len(pictures) < MIN_IMAGES:
        raise UsageError(f"{len(pictures)} usable images; training a local head needs at least {MIN_IMAGES}")
    return pictures, f"{len(pictures)}, {digest_images((images[path], path) for path in pictures.paths)}"


def _record(teacher: Card, result: FitResult, settings: LocalSettings, command: str, images: int) -> dict[str, Scalar]:
    """Return what the card says of the run."""
    facts: dict[str, Scalar] = {
        "teacher": f"{teacher.name} (sha256 {teacher.digest[:12]})",
        **{key: str(value) for key, value in asdict(settings).items()},
        "images": images,
        "seconds": round(result.seconds),
        **{f"validation {name}": round(value, 4) for name, value in result.after.items()},
    }
    facts["command"] = command
    return {f"local {key}": value for key, value in facts.items()}


def _command(
    network: str,
    teacher: tuple[Path, Path | None],
    folders: Sequence[Path],
    output: Path,
    exclude: Sequence[str],
    settings: LocalSettings,
) -> str:
    """Return the command line that does the same."""
    graphs = ",".join(str(path) for path in teacher if path is not None)
    words = ["kindred", "distill", network, *map(str, folders), "-o", output.name]
    for pattern in exclude:
        words += ["--exclude", pattern]
    words += ["--local-only", "--local-teacher", graphs, f"--local-steps={settings.steps}"]
    return shlex.join([*words, f"--local-images={settings.images}", f"--seed={settings.seed}"])
