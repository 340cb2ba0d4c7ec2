"""`kindred train`: a folder of one's own images in, a backbone fine-tuned on them out, with its card and recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kindred.backbones.card import Card, Scalar
from kindred.training.preflight import check_output, load_pytorch
from kindred.training.run_folder import REPORT
from kindred.training.tuning.options import TrainingOptions

if TYPE_CHECKING:
    from kindred.training.loop import FitResult, Progress
    from kindred.training.tuning.assemble import TrainingSetup
    from kindred.training.tuning.export_embedder import ExportedModel

__all__ = ["TrainingResult", "train"]


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """The result of `train`.

    card, model, recipe: the new backbone, and the recipe that describes with it. files: all that belongs to it.
    report: a page with curves and queries. fit: how the training went; its metrics are empty if there was nothing
    to validate on. images, classes: how many it was trained on.
    """

    card: Card
    model: Path
    recipe: Path
    files: tuple[Path, ...]
    report: Path
    fit: FitResult
    images: int
    classes: int


def train(
    folder: Path,
    *,
    output: Path,
    options: TrainingOptions | None = None,
    licence: str = "",
    device: str | None = None,
    threads: int | None = None,
    read_progress: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> TrainingResult | None:
    """Fine-tune a backbone on the images below `folder`; write it as `output` (`.onnx`), with its card and a recipe.

    options: None for the defaults. licence: for the card. device, threads: see `join_process_group`. read_progress:
    called with the number of images read so far and of all. on_note: called with each note for the user. progress:
    called after each update and validation.

    Checkpoint, log and report are in a folder of the same name (`.run`), from which a run that was interrupted
    resumes, if options, images and initial weights are the same. Where `torchrun` started several processes they share
    the work, and all but the first return None. Raises MissingExtra without PyTorch, UsageError for invalid arguments
    or an `output` that exists already, TrainingError if a run cannot start or resume, ModelError for a backbone
    that cannot be used.
    """
    options = options or TrainingOptions()
    check_output(output, [output.with_suffix(".toml"), output.with_name(f"{output.stem}-recipe.toml")])
    load_pytorch("training")
    import torch

    from kindred.training.loop import announce, fit
    from kindred.training.process_group import join_process_group
    from kindred.training.tuning.assemble import assemble
    from kindred.training.tuning.report import write_report

    run_folder = output.with_suffix(".run")
    with join_process_group(device, threads=threads) as processes:
        if not processes.is_main:
            read_progress = on_note = progress = None
        torch.manual_seed(options.seed)
        setup = assemble(folder, options, processes=processes, read_progress=read_progress, progress=progress)
        if on_note is not None:
            for note in setup.notes:
                on_note(note)
        result = fit(setup.task, setup.schedule, run_folder, processes=processes, progress=progress)
        if result.best_epoch != result.epochs or setup.task.after is None:
            announce(progress, "validating")
            setup.task.validate()  # for the results of the best module, which the last validation was not of
        if not processes.is_main:
            return None
    announce(progress, "exporting")
    command = options.command(folder, output)
    exported = _export(setup, output, options, result, command, licence)
    report = run_folder / REPORT
    write_report(report, setup.task, result, title=output.stem, command=command)
    labels = setup.data.labels
    return TrainingResult(
        card=exported.card,
        model=output,
        recipe=exported.recipe_file,
        files=exported.files,
        report=report,
        fit=result,
        images=len(setup.data),
        classes=len(np.unique(labels[labels >= 0])),
    )


def _export(
    setup: TrainingSetup, output: Path, options: TrainingOptions, result: FitResult, command: str, licence: str
) -> ExportedModel:
    from kindred.training.tuning.export_embedder import export_embedder

    record: dict[str, Scalar] = {
        "command": command,
        "images": len(setup.data),
        "epochs": result.epochs,
        "best_epoch": result.best_epoch,
        "seconds": round(result.seconds),
    }
    for when, metrics in (("before", result.before), ("after", result.after)):
        record |= {f"{name} {when}": round(value, 4) for name, value in metrics.items()}
    return export_embedder(
        setup.task.embedder,
        output,
        name=output.stem,
        size=options.size,
        licence=licence or "the trainer's own; see the licences of the initial weights and of the images",
        source=f"{options.backbone}, fine-tuned by `kindred train`",
        description=f"{options.backbone}, fine-tuned on {len(setup.data)} images by {options.method}.",
        training=record,
    )
