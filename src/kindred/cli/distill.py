"""`kindred distill`: train a small network to reproduce the feature maps of pretrained ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.distill_options import LocalHeadOptions, StudentOptions
from kindred.cli.groups import with_groups
from kindred.cli.options import AsJson, Device, Licence, Seed, Threads
from kindred.cli.output import counted, print_json, say, shown, size, typed
from kindred.cli.progress import Meter
from kindred.cli.running import interruptible
from kindred.cli.training_stage import READING, begin_stage, show_reading
from kindred.errors import UsageError

if TYPE_CHECKING:
    from kindred.backbones.card import Card
    from kindred.training.loop import Progress

__all__ = ["distill"]


@with_groups
def distill(
    teacher: Annotated[str, typer.Argument(metavar="TEACHER", help="One of `kindred models`, or an .onnx file.")],
    images: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Folders of images to train on; no labels are needed.")
    ],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="MODEL.onnx", help="The new model; its card is written beside it.")
    ],
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also", metavar="TEACHER", help="A further teacher, whose last feature map is also a target; repeatable."
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="GLOB", help="Leave out images whose path matches; repeatable."),
    ] = None,
    student: StudentOptions,
    local: LocalHeadOptions,
    strengths: Annotated[
        str,
        typer.Option(
            "--strengths",
            metavar="S,…",
            help="Strengths of the teachers' heads in the joint map, in their order. Default: 2, further ones 1.",
        ),
    ] = "",
    seed: Seed = 0,
    licence: Licence = "",
    device: Device = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Train a small network to reproduce the feature maps of TEACHER.

    It needs no labels, an hour or two on two cores, and PyTorch: pip install torch onnx safetensors. Checkpoint and
    log are in MODEL.run; the same command resumes an interrupted run. The result is a backbone like any other.

    With --local-teacher it also finds and describes keypoints, in the same pass, for spatial verification:
    `features` in a recipe names such a model. That run is in MODEL.local, and the one before in MODEL.backbone.run.
    """
    from kindred.training import distill as distill_backbone
    from kindred.training import distill_local_head
    from kindred.training.preflight import check_output

    graphs = _graphs(
        local.local_teacher,
        local_only=local.local_only,
        more=local.local_steps is not None or local.local_images is not None,
    )
    backbone = output
    if graphs is not None:
        check_output(output, [output.with_suffix(".toml")])
        backbone = output.with_suffix(".backbone.onnx")
    card = None
    runs = [] if local.local_only else [backbone.with_suffix(".run")]
    runs += [] if graphs is None else [output.with_suffix(".local")]
    advice = f"the run is saved in {' and '.join(map(shown, runs))}: the same command resumes it"
    with interruptible(advice), Meter(READING, quiet=as_json) as meter:
        if not local.local_only and (graphs is None or not backbone.exists()):
            card = distill_backbone(
                [teacher, *(also or [])],
                images,
                output=backbone,
                exclude=exclude or [],
                start=student.start,
                steps=student.steps,
                batch=student.batch,
                sizes=_sizes(student.sizes),
                strengths=_strengths(strengths),
                freeze=student.freeze,
                blockwise=student.blockwise,
                rate=student.rate,
                relational=student.relational,
                seed=seed,
                licence=licence,
                device=device,
                threads=threads,
                read_progress=lambda done, of: show_reading(meter, done, of),
                progress=lambda here: print_progress(meter, here),
            )
        if graphs is not None:
            card = distill_local_head(
                teacher if local.local_only else backbone,
                graphs,
                images,
                output=output,
                exclude=exclude or [],
                steps=local.local_steps,
                images=local.local_images,
                seed=seed,
                device=device,
                threads=threads,
                read_progress=lambda done, of: show_reading(meter, done, of),
                teacher_progress=lambda done, of: meter.stage(
                    "Finding the teacher's keypoints", done, of, unit="images"
                ),
                progress=lambda here: print_progress(meter, here),
            )
    if card is not None:
        print_summary(card, output, as_json=as_json)


def print_progress(meter: Meter, here: Progress) -> None:
    """Show how far a run is on the meter, with the mean loss of the descriptors after a validation."""
    if not begin_stage(meter, here, unit="steps"):
        return
    losses = [loss for name, loss in here.validation.items() if name.endswith(".gem")]
    aside = f"loss {sum(losses) / len(losses):.3f}" if losses else meter.aside
    meter.update(here.epoch * here.steps + here.step, here.epochs * here.steps, aside=aside)


def print_summary(card: Card, output: Path, *, as_json: bool) -> None:
    """Print the new model and its taps."""
    if as_json:
        from kindred.service import DistillationForm

        print_json(DistillationForm.of(card, output))
        return
    taps = ", ".join(f"{tap.name} ({tap.channels} channels, stride {tap.stride})" for tap in card.taps)
    say(f"Wrote {shown(output)} ({size(output.stat().st_size)}) and its card, with {counted(len(card.taps), 'tap')}:")
    say(f"  {taps}")
    say(f"Next: kindred models add {typed(output)}", gap=True)


def _graphs(text: str, *, local_only: bool, more: bool) -> tuple[Path, Path | None] | None:
    """Read the graphs of a local teacher, None for none; raise UsageError for options that go without one."""
    if not text:
        if local_only or more:
            raise UsageError(
                "--local-only, --local-steps and --local-images need --local-teacher MAPS.onnx[,DESCRIBE.onnx]"
            )
        return None
    maps, *rest = text.split(",")
    if len(rest) > 1:
        raise UsageError(f"--local-teacher is {text!r}; expected MAPS.onnx, or MAPS.onnx,DESCRIBE.onnx")
    return Path(maps), Path(rest[0]) if rest else None


def _sizes(text: str) -> tuple[int, ...]:
    """Read the sides of crops, separated by commas."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise UsageError(f"--sizes is {text!r}; expected pixels separated by commas, such as 128,160,192") from None


def _strengths(text: str) -> tuple[float, ...]:
    """Read the strengths of heads, separated by commas."""
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise UsageError(f"--strengths is {text!r}; expected numbers separated by commas, such as 2,1,1") from None
