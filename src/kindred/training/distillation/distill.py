"""`kindred distill`: teachers and folders of images in, a backbone with its card out."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from kindred.backbones.card import Card, Scalar, digest_of
from kindred.errors import TrainingError, UsageError
from kindred.training.preflight import check_output, load_pytorch
from kindred.training.training_images import find_training_images

if TYPE_CHECKING:
    from kindred.training.distillation.settings import DistillationSettings
    from kindred.training.distillation.task import DistillationTask
    from kindred.training.distillation.teachers import EngineTeacher
    from kindred.training.loop import FitResult, Progress
    from kindred.training.process_group import ProcessGroup

__all__ = ["distill"]

MIN_IMAGES = 16
CACHED_SIZE = 256  # longest side of the images that crops are cut from, in pixels


def distill(
    teachers: Sequence[str],
    folders: Sequence[Path],
    *,
    output: Path,
    exclude: Sequence[str] = (),
    start: Path | None = None,
    steps: int | None = None,
    batch: int | None = None,
    sizes: Sequence[int] = (),
    blockwise: float | None = None,
    rate: float | None = None,
    relational: float | None = None,
    strengths: Sequence[float] = (),
    freeze: int | None = None,
    seed: int = 0,
    licence: str = "",
    device: str | None = None,
    threads: int | None = None,
    read_progress: Callable[[int, int], None] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Card | None:
    """Distil `teachers`, the leading one first, into a new backbone `output` (`.onnx`); return its card.

    teachers: names of models, or `.onnx` files with their cards. folders: of the images, which need no labels.
    exclude: glob patterns, matched against the path of an image below its folder. start: the `.onnx` of an earlier
    student of the same teachers, or of the first of them, to be trained further: end to end at half the rates, unless
    `blockwise` and `rate` say otherwise. freeze: the layers of that student stay as they are up to maps of this stride;
    where that is all of them, the branches of further teachers are trained as a new student is. steps, batch, sizes,
    blockwise, rate, relational, strengths, freeze, seed: see `DistillationSettings`; None or empty for its default.
    licence: for the card. device, threads: see `join_process_group`. read_progress: called with the number of
    images read so far and of all. progress: called after each step and validation.

    The card is written beside the model; checkpoint and log are in a folder of the same name (`.run`), from which a
    run that was interrupted resumes, if settings, images and teachers are the same. Where `torchrun` started several
    processes they share the work, and all but the first return None. Raises MissingExtra without PyTorch, ModelError
    for a teacher that cannot be used, TrainingError if a run cannot start or resume, and UsageError if `output`
    or its card exists already or an argument is invalid.
    """
    check_output(output, [output.with_suffix(".toml")])
    load_pytorch("distillation")
    from kindred.training.distillation.teachers import EngineTeacher
    from kindred.training.loop import announce, fit
    from kindred.training.process_group import join_process_group

    settings = _settings(
        start,
        seed=seed,
        steps=steps,
        batch=batch,
        sizes=tuple(sizes) or None,
        blockwise=blockwise,
        rate=rate,
        relational=relational,
        strengths=tuple(strengths) or None,
        freeze=freeze or 0,
    )
    with join_process_group(device, threads=threads) as processes:
        engines = [EngineTeacher(teacher, device=str(processes.device)) for teacher in teachers]
        if not processes.is_main:
            read_progress = progress = None
        task, count = _task(engines, folders, exclude, settings, start, processes, read_progress, progress)
        result = fit(
            task,
            settings.schedule(),
            output.with_suffix(".run"),
            processes=processes,
            progress=progress,
        )
        if not processes.is_main:
            return None
    announce(progress, "exporting")
    command = ["kindred", "distill", *_arguments(teachers, folders, output, exclude, start, settings)]
    record = {"command": shlex.join(command), **_record(engines, result, settings, images=count)}
    return _export(task, output, engines, licence, record)


def _settings(start: Path | None, *, seed: int, freeze: int, **given: object) -> DistillationSettings:
    """Return the settings with what was given; a further training of what is there already has its own defaults."""
    from kindred.training.distillation.layout import DEEPEST
    from kindred.training.distillation.settings import DistillationSettings

    chosen = {key: value for key, value in given.items() if value is not None}
    if freeze and start is None:
        raise UsageError("freeze was given without an earlier student; name one with --from, whose layers are frozen")
    if start is not None and freeze < DEEPEST:
        # Blockwise training was done; where it is asked for again, it is for the deepest segments.
        chosen = {"blockwise": 0.0, "shallow": 0.0, "blockwise_rate": 1e-2, "rate": 1e-3, **chosen}
    return DistillationSettings(seed=seed, freeze=freeze, **chosen)  # type: ignore[arg-type]


def _task(
    engines: Sequence[EngineTeacher],
    folders: Sequence[Path],
    exclude: Sequence[str],
    settings: DistillationSettings,
    start: Path | None,
    processes: ProcessGroup,
    read_progress: Callable[[int, int], None] | None,
    progress: Callable[[Progress], None] | None,
) -> tuple[DistillationTask, int]:
    """Read the images and return the task, from an earlier student if `start` is given, and the number of images."""
    from kindred.training.distillation.task import DistillationTask
    from kindred.training.identity import digest_images
    from kindred.training.image_cache import read_images
    from kindred.training.loop import announce

    identity: dict[str, object] = {}
    if start is not None:
        if not start.is_file():
            raise UsageError(f"{start}: no such file; expected the .onnx of an earlier student")
        identity["start"] = digest_of(start)
    names = find_training_images(folders, exclude)
    images, _ = read_images(list(names), longest=CACHED_SIZE, progress=read_progress)
    if len(images) < MIN_IMAGES:
        searched = ", ".join(map(str, folders))
        raise TrainingError(f"{searched}: {len(images)} usable images; training needs at least {MIN_IMAGES}")
    announce(progress, "preparing")
    identity["images"] = f"{len(images)}, {digest_images((names[path], path) for path in images.paths)}"
    task = DistillationTask(engines, images, settings, processes=processes, start=start, identity=identity)
    return task, len(images)


def _export(
    task: DistillationTask, output: Path, engines: Sequence[EngineTeacher], licence: str, record: dict[str, Scalar]
) -> Card:
    from kindred.training.distillation.export import export_student

    names = " and ".join(engine.name for engine in engines)
    return export_student(
        task.student,
        output,
        crops=task.validation_crops,
        strengths=task.settings.strengths,
        name=output.stem,
        licence=licence or "the distiller's own; see the licences of the teachers and of the images",
        source=f"distilled from {names}",
        description=f"A student of {names}.",
        training=record,
    )


def _record(
    engines: Sequence[EngineTeacher], result: FitResult, settings: DistillationSettings, *, images: int
) -> dict[str, Scalar]:
    """Return the record of a run for the card, beside its command."""
    return {
        "teachers": ", ".join(f"{engine.name} (sha256 {engine.digest[:12]})" for engine in engines),
        "images": images,
        "seconds": round(result.seconds),
        **{f"validation loss {name}": round(loss, 4) for name, loss in result.after.items() if "/" not in name},
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
    """Return the equivalent arguments of the command line."""
    lead, *others = teachers
    words = [lead, *map(str, folders), "-o", output.name]
    for other in others:
        words += ["--also", other]
    for pattern in exclude:
        words += ["--exclude", pattern]
    words += ["--from", str(start)] if start is not None else []
    words += [f"--freeze={settings.freeze}"] if settings.freeze else []
    options = ("steps", "batch", "blockwise", "rate", "relational", "seed")
    words += [f"--{key}={getattr(settings, key)}" for key in options]
    words += [f"--strengths={','.join(f'{strength:g}' for strength in settings.strengths)}"]
    return [*words, f"--sizes={','.join(map(str, settings.sizes))}"]
