"""The stages of a training run on the progress meter, from reading the images to writing the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kindred.cli.progress import Meter

if TYPE_CHECKING:
    from kindred.training.loop import Progress, Stage

__all__ = ["READING", "begin_stage", "show_reading"]

READING = "Reading images"
TITLES: dict[Stage, str] = {
    "preparing": "Preparing the network",
    "planning": "Planning",
    "training": "Training",
    "validating": "Validating",
    "exporting": "Writing the model",
}


def show_reading(meter: Meter, done: int, total: int) -> None:
    """Show how many images were read, before the first stage of a run or between two runs."""
    meter.stage(READING, done, total, unit="images")


def begin_stage(meter: Meter, here: Progress, *, unit: str) -> bool:
    """Begin the stage of `here` on the meter if it is a new one; return whether it counts updates."""
    title, counts = TITLES[here.stage], here.stage == "training"
    if meter.title != title:
        # The rate counts from the first report on: what was done before took time in another session or stage.
        meter.begin(title, unit=unit, done=here.epoch * here.steps + here.step if counts else 0)
    return counts
