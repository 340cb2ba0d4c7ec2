"""`kindred distill`: train a small network of one's own to see as pretrained ones do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kindred.cli.options import AsJson
from kindred.cli.output import counted, print_json, say, shown, size, typed
from kindred.cli.progress import Meter
from kindred.cli.running import interruptible

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
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="The same seed gives the same network.")] = 0,
    licence: Annotated[
        str, typer.Option("--licence", metavar="TEXT", help="For the card; mind those of teachers and images.")
    ] = "",
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, metavar="N", help="How many to use. Default: one per core.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a small network to see as TEACHER does.

    It learns to return the feature maps of TEACHER, on any images, with no labels. That takes an hour or two on two
    cores, and PyTorch: pip install 'kindred[train]'. Checkpoint and log lie in MODEL.run; an interrupted run goes on
    from there. The result is a backbone like any other.
    """
    from kindred.training.run import distill_model

    advice = f"the run is kept in {shown(output.with_suffix('.run'))}: run the same command again to go on"
    with interruptible(advice), Meter("Reading images", quiet=as_json) as meter:

        def learning(step: int, of: int, _pace: float, loss: float | None) -> None:
            meter.title, meter.unit = "Learning", "steps"
            meter.update(step, of, aside=f"loss {loss:.3f}" if loss is not None else meter.aside)

        card = distill_model(
            [teacher, *(also or [])],
            images,
            output,
            exclude=exclude or [],
            steps=steps,
            batch=batch,
            seed=seed,
            licence=licence,
            threads=threads,
            reading=lambda done: meter.update(done, 0),
            progress=learning,
        )
    if as_json:
        print_json({"model": str(output), "name": card.name, "digest": card.digest, "training": dict(card.training)})
        return
    taps = ", ".join(f"{tap.name} ({tap.channels} channels, stride {tap.stride})" for tap in card.taps)
    say(f"Wrote {shown(output)} ({size(output.stat().st_size)}) and its card, with {counted(len(card.taps), 'tap')}:")
    say(f"  {taps}")
    say(f"\nNext: kindred models add {typed(output)}")
