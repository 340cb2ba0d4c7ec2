"""`kindred train`: a folder of one's own images in, a backbone that fits them out, with its card and recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kindred.backbones.card import Card, Scalar
from kindred.training.preflight import check_output, load_pytorch
from kindred.training.tuning.options import TrainingOptions

if TYPE_CHECKING:
    from kindred.training.loop import FitResult, Progress
    from kindred.training.tuning.assemble import TrainingSetup
    from kindred.training.tuning.export_embedder import ExportedModel

__all__ = ["TrainingResult", "train"]


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """What a run came to.

    card, model, recipe: the new backbone, and how it is used. files: all that was written for it. report: a page with
    curves and pictures. outcome: how it went; its validations are empty where there was nothing to validate on.
    images, classes: how many of them it learned from.
    """

    card: Card
    model: Path
    recipe: Path
    files: tuple[Path, ...]
    report: Path
    outcome: FitResult
    images: int
    classes: int


def train(
    folder: Path,
    output: Path,
    options: TrainingOptions,
    *,
    licence: str = "",
    device: str | None = None,
    threads: int | None = None,
    read_progress: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> TrainingResult | None:
    """Tune a backbone on the images below `folder`; write it as `output` (`.onnx`), with its card and a recipe.

    Checkpoint, log and report lie in a folder of the same name (`.run`), from which a run that was stopped goes on.
    `reading` is called with the number of images read and of all, `noting` with what a person should know of them,
    `progress` after each update and validation. Where `torchrun` started several processes they share the work, and
    all but the first return None. Raises `MissingExtra` without PyTorch, `UsageError` for arguments that cannot be
    meant or an `output` that is there already, `TrainingError` where a run cannot start or go on, `ModelError` for a
    backbone that cannot be used.
    """
    check_output(output, [output.with_suffix(".toml"), output.with_name(f"{output.stem}-recipe.toml")])
    load_pytorch("training")
    import torch

    from kindred.training.loop import fit
    from kindred.training.process_group import join_process_group
    from kindred.training.tuning.assemble import assemble
    from kindred.training.tuning.report import write_report

    with join_process_group(device, threads=threads) as processes:
        torch.manual_seed(options.seed)
        made = assemble(
            folder, options, processes=processes, read_progress=read_progress if processes.is_main else None
        )
        if on_note is not None and processes.is_main:
            for note in made.notes:
                on_note(note)
        run_folder = output.with_suffix(".run")
        outcome = fit(
            made.task, made.schedule, run_folder, processes=processes, progress=progress if processes.is_main else None
        )
        if outcome.best_epoch != outcome.epochs or made.task.after is None:
            made.task.validate()  # for the answers of what is kept, which those of the last validation are not
        if not processes.is_main:
            return None
    command = options.command(folder, output)
    exported = _export(made, output, options, outcome, command, licence)
    report = run_folder / "report.html"
    write_report(report, made.task, outcome, title=output.stem, command=command)
    classes = len(np.unique(made.data.labels[made.data.labels >= 0]))
    files = exported.files
    return TrainingResult(exported.card, output, exported.recipe_file, files, report, outcome, len(made.data), classes)


def _export(
    made: TrainingSetup, output: Path, options: TrainingOptions, outcome: FitResult, command: str, licence: str
) -> ExportedModel:
    from kindred.training.tuning.export_embedder import export_embedder

    record: dict[str, Scalar] = {
        "command": command,
        "images": len(made.data),
        "epochs": outcome.epochs,
        "best_epoch": outcome.best_epoch,
        "seconds": round(outcome.seconds),
    }
    for when, figures in (("before", outcome.before), ("after", outcome.after)):
        record |= {f"{name} {when}": round(value, 4) for name, value in figures.items()}
    return export_embedder(
        made.task.embedder,
        output,
        name=output.stem,
        size=options.size,
        licence=licence or "the trainer's own; see the licences of the first weights and of the images",
        source=f"{options.backbone}, tuned by `kindred train`",
        description=f"{options.backbone}, tuned on {len(made.data)} images by {options.method}.",
        training=record,
    )
