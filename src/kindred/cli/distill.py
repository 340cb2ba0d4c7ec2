"""`kindred distill`: train a small network of one's own to see as pretrained ones do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.options import AsJson, Device, Licence, Seed, Threads
from kindred.cli.output import counted, print_json, say, shown, size, typed
from kindred.cli.progress import Meter
from kindred.cli.running import interruptible
from kindred.errors import UsageError

if TYPE_CHECKING:
    from kindred.training.loop import Progress

__all__ = ["distill"]


def distill(
    teacher: Annotated[str, typer.Argument(metavar="TEACHER", help="One of `kindred models`, or an .onnx file.")],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGES", help="Folders of images to learn from; no labels are needed.")
    ],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="MODEL.onnx", help="The new network; its card goes beside it.")
    ],
    also: Annotated[
        list[str] | None,
        typer.Option("--also", metavar="TEACHER", help="A second teacher, which lends its last map; may be repeated."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="GLOB", help="Leave out images whose path matches; may be repeated."),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, metavar="N", help="How long to train.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", min=2, metavar="N", help="Crops in a step.")] = None,
    start: Annotated[
        Path | None, typer.Option("--from", metavar="MODEL.onnx", help="Train on an earlier student of these teachers.")
    ] = None,
    sizes: Annotated[
        str, typer.Option("--sizes", metavar="PIXELS,…", help="Sides of the crops; each step draws one of them.")
    ] = "",
    alone: Annotated[
        float | None,
        typer.Option("--alone", metavar="SHARE", help="Share of the steps in which each piece learns on its own."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="R", help="The largest learning rate, once it is one network.")
    ] = None,
    relational: Annotated[
        float | None,
        typer.Option("--relational", min=0.0, metavar="W", help="Weight of how images lie to each other."),
    ] = None,
    seed: Seed = 0,
    licence: Licence = "",
    device: Device = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Train a small network to see as TEACHER does.

    It learns to return the feature maps of TEACHER, on any images, with no labels. That takes an hour or two on two
    cores, and PyTorch: pip install torch onnx safetensors. Checkpoint and log lie in MODEL.run; an interrupted run goes
    on from there. The result is a backbone like any other.
    """
    from kindred.training.distillation.distill import distill

    advice = f"the run is kept in {shown(output.with_suffix('.run'))}: run the same command again to go on"
    with interruptible(advice), Meter("Reading images", quiet=as_json) as meter:

        def learning(here: Progress) -> None:
            meter.title, meter.unit = "Learning", "steps"
            losses = [loss for name, loss in here.validation.items() if name.endswith(".gem")]
            aside = f"loss {sum(losses) / len(losses):.3f}" if losses else meter.aside
            meter.update(here.epoch * here.steps + here.step, here.epochs * here.steps, aside=aside)

        card = distill(
            [teacher, *(also or [])],
            images,
            output,
            exclude=exclude or [],
            start=start,
            steps=steps,
            batch=batch,
            sizes=_sizes(sizes),
            alone=alone,
            rate=rate,
            relational=relational,
            seed=seed,
            licence=licence,
            device=device,
            threads=threads,
            read_progress=lambda done, of: meter.update(done, of),
            progress=learning,
        )
    if as_json:
        print_json({"model": str(output), "name": card.name, "digest": card.digest, "training": dict(card.training)})
        return
    taps = ", ".join(f"{tap.name} ({tap.channels} channels, stride {tap.stride})" for tap in card.taps)
    say(f"Wrote {shown(output)} ({size(output.stat().st_size)}) and its card, with {counted(len(card.taps), 'tap')}:")
    say(f"  {taps}")
    say(f"Next: kindred models add {typed(output)}", gap=True)


def _sizes(text: str) -> tuple[int, ...]:
    """Read sides of crops with commas between."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise UsageError(f"--sizes is {text!r}; expected pixels with commas between, such as 128,160,192") from None
