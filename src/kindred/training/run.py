"""`kindred distill`: teachers and folders in, a backbone with its card out."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from kindred.backbones.card import Card, Scalar
from kindred.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from kindred.training.distill import Distillation, Settings
    from kindred.training.teachers import EngineTeacher

__all__ = ["distill_model"]


def distill_model(
    teachers: Sequence[str],
    folders: Sequence[Path],
    output: Path,
    *,
    exclude: Sequence[str] = (),
    steps: int | None = None,
    batch: int | None = None,
    seed: int = 0,
    licence: str = "",
    threads: int | None = None,
    reading: Callable[[int], None] | None = None,
    progress: Callable[[int, int, float, float | None], None] | None = None,
) -> Card:
    """Distil `teachers`, the leading one first, on the images below `folders` into the backbone `output` (`.onnx`).

    The card is written beside it; checkpoint and log lie in a folder of the same name (`.run`), from which an
    interrupted run goes on. `reading` is called with the number of images read, `progress` with the step, the number
    of steps, images per second and, now and then, the validation loss: one minus the cosine between the student's and
    the teachers' GeM descriptions. Raises `MissingExtra` without PyTorch, `ModelError` for a teacher that cannot be
    used, `TrainingError` where a run cannot start or go on, and `UsageError` where `output` is there already.
    """
    if output.suffix != ".onnx":
        raise UsageError(f"{output}: the model must be a file that ends in .onnx")
    if output.exists():
        raise UsageError(f"{output}: exists already; choose another name or remove it")
    # Read when PyTorch is loaded: threads that spin for ever between operations take the cores from the teachers,
    # and ones that sleep at once take four times as long to a step.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("distillation", "train") from error
    from kindred.training.crops import load_pool
    from kindred.training.distill import Progress, Settings, distill
    from kindred.training.export import export_student
    from kindred.training.teachers import EngineTeacher

    torch.set_num_threads(threads or os.cpu_count() or 1)
    usual = Settings()
    settings = Settings(
        steps=usual.steps if steps is None else steps, batch=usual.batch if batch is None else batch, seed=seed
    )
    engines = [EngineTeacher(teacher) for teacher in teachers]
    pool = load_pool(folders, exclude=exclude, progress=reading)

    def tell(here: Progress) -> None:
        if progress is not None:
            heads = [loss for name, loss in (here.validation or {}).items() if name.endswith(".gem")]
            loss = sum(heads) / len(heads) if heads else None
            progress(here.step, here.steps, here.images_per_second, loss)

    done = distill(engines, pool, settings=settings, folder=output.with_suffix(".run"), progress=tell)
    names = " and ".join(engine.name for engine in engines)
    return export_student(
        done,
        output,
        name=output.stem,
        licence=licence or "the distiller's own; see the licences of the teachers and of the images",
        source=f"distilled from {names}",
        description=f"A student of {names}.",
        training={
            "command": shlex.join(["kindred", "distill", *_arguments(teachers, folders, output, exclude, settings)]),
            **_record(engines, done, settings),
        },
    )


def _record(engines: Sequence[EngineTeacher], done: Distillation, settings: Settings) -> dict[str, Scalar]:
    """What the card says of a run beside its command."""
    return {
        "teachers": ", ".join(f"{engine.name} (sha256 {engine.card.digest[:12]})" for engine in engines),
        "images": done.images,
        "seconds": round(done.seconds),
        **{f"unexplained {name}": round(loss, 4) for name, loss in done.validation.items() if "/" not in name},
        **{key: str(value) for key, value in asdict(settings).items()},
    }


def _arguments(
    teachers: Sequence[str],
    folders: Sequence[Path],
    output: Path,
    exclude: Sequence[str],
    settings: Settings,
) -> list[str]:
    """The command line that does the same again."""
    lead, *others = teachers
    words = [lead, *map(str, folders), "-o", output.name]
    for other in others:
        words += ["--also", other]
    for pattern in exclude:
        words += ["--exclude", pattern]
    return [*words, *(f"--{key}={getattr(settings, key)}" for key in ("steps", "batch", "seed"))]
