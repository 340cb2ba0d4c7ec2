"""`kindred distill`: teachers and folders in, a backbone with its card out."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from kindred.backbones.card import Card, Scalar
from kindred.errors import TrainingError
from kindred.images import find_images
from kindred.training.preflight import check_output, load_pytorch

if TYPE_CHECKING:
    from kindred.training.distillation.task import DistillationSettings
    from kindred.training.distillation.teachers import EngineTeacher
    from kindred.training.loop import FitResult, Progress

__all__ = ["distill"]

MIN_IMAGES = 16
KEPT_SIZE = 256  # longest side of the images that crops are cut of, in pixels


def distill(
    teachers: Sequence[str],
    folders: Sequence[Path],
    output: Path,
    *,
    exclude: Sequence[str] = (),
    start: Path | None = None,
    steps: int | None = None,
    batch: int | None = None,
    sizes: Sequence[int] = (),
    alone: float | None = None,
    rate: float | None = None,
    relational: float | None = None,
    seed: int = 0,
    licence: str = "",
    device: str | None = None,
    threads: int | None = None,
    read_progress: Callable[[int, int], None] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Card:
    """Distil `teachers`, the leading one first, on the images below `folders` into the backbone `output` (`.onnx`).

    `exclude` holds glob patterns, matched against the path below its folder. `start` is an earlier student of the same
    teachers, to be trained on, as one network, or first, for the share `alone` of the steps, its deepest pieces each on
    its own; at half the rates, unless `rate` is given. The others are of `DistillationSettings`. The card is written beside the
    model; checkpoint and log lie in a folder of the same name (`.run`), from which an interrupted run goes on.
    `reading` is called with the number of images read and of all, `progress` after each step and validation. Raises
    `MissingExtra` without PyTorch, `ModelError` for a teacher that cannot be used, `TrainingError` where a run cannot
    start or go on, and `UsageError` where `output` or its card is there already or an argument cannot be meant.
    """
    check_output(output, [output.with_suffix(".toml")])
    load_pytorch("distillation")
    from kindred.training.distillation.export import export_student
    from kindred.training.distillation.task import DistillationSettings, DistillationTask, images_to_input
    from kindred.training.distillation.teachers import EngineTeacher
    from kindred.training.distillation.warm_start import warm_start
    from kindred.training.image_cache import read_images
    from kindred.training.loop import fit
    from kindred.training.process_group import join_process_group

    given = {
        "steps": steps,
        "batch": batch,
        "sizes": tuple(sizes) or None,
        "alone": alone,
        "rate": rate,
        "relational": relational,
    }
    chosen = {key: value for key, value in given.items() if value is not None}
    if start is not None:  # its pieces have learned alone already, the deepest ones perhaps not enough
        chosen = {"alone": 0.0, "part": 0.0, "rate_alone": 1e-2, "rate": 1e-3, **chosen}
    settings = DistillationSettings(seed=seed, **chosen)  # type: ignore[arg-type]
    with join_process_group(device, threads=threads) as processes:
        engines = [EngineTeacher(teacher, device=str(processes.device)) for teacher in teachers]
        pictures, _ = read_images(_images(folders, exclude), longest=KEPT_SIZE, progress=read_progress)
        if len(pictures) < MIN_IMAGES:
            places = ", ".join(map(str, folders))
            raise TrainingError(f"{places}: {len(pictures)} usable images; training needs at least {MIN_IMAGES}")
        task = DistillationTask(engines, pictures, settings, processes=processes)
        if start is not None:
            warm_start(task.student, start, images_to_input(task.held, processes.device))
        outcome = fit(task, settings.schedule(), output.with_suffix(".run"), processes=processes, progress=progress)
    names = " and ".join(engine.name for engine in engines)
    command = ["kindred", "distill", *_arguments(teachers, folders, output, exclude, start, settings)]
    return export_student(
        task.student,
        output,
        held=task.held,
        lead=settings.lead,
        name=output.stem,
        licence=licence or "the distiller's own; see the licences of the teachers and of the images",
        source=f"distilled from {names}",
        description=f"A student of {names}.",
        training={"command": shlex.join(command), **_record(engines, outcome, settings, images=len(pictures))},
    )


def _images(folders: Sequence[Path], exclude: Sequence[str]) -> list[Path]:
    """Return the images below the folders, without those whose path below its folder matches a pattern."""
    return [
        found.path
        for folder in folders
        for found in find_images(folder)
        if found.reason is None and not any(found.path.relative_to(folder).match(pattern) for pattern in exclude)
    ]


def _record(
    engines: Sequence[EngineTeacher], outcome: FitResult, settings: DistillationSettings, *, images: int
) -> dict[str, Scalar]:
    """What the card says of a run beside its command."""
    return {
        "teachers": ", ".join(f"{engine.name} (sha256 {engine.card.digest[:12]})" for engine in engines),
        "images": images,
        "seconds": round(outcome.seconds),
        **{f"unexplained {name}": round(loss, 4) for name, loss in outcome.after.items() if "/" not in name},
        **{key: str(value) for key, value in asdict(settings).items()},
    }


def _arguments(
    teachers: Sequence[str],
    folders: Sequence[Path],
    output: Path,
    exclude: Sequence[str],
    start: Path | None,
    settings: DistillationSettings,
) -> list[str]:
    """The command line that does the same again."""
    lead, *others = teachers
    words = [lead, *map(str, folders), "-o", output.name]
    for other in others:
        words += ["--also", other]
    for pattern in exclude:
        words += ["--exclude", pattern]
    words += ["--from", str(start)] if start is not None else []
    words += [f"--{key}={getattr(settings, key)}" for key in ("steps", "batch", "alone", "rate", "relational", "seed")]
    return [*words, f"--sizes={','.join(map(str, settings.sizes))}"]
