"""The stages of a training run on the meter: planning, training and validating."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kindred.cli.progress import Meter

if TYPE_CHECKING:
    from kindred.training.loop import Progress

__all__ = ["begin_stage"]

TITLES = {"planning": "Planning", "training": "Training", "validating": "Validating"}


def begin_stage(meter: Meter, here: Progress, *, unit: str) -> bool:
    """Begin the stage of `here` on the meter if it is another one; return whether it counts updates."""
    title, counts = TITLES[here.stage], here.stage == "training"
    if meter.title != title:
        # The update just reported took time of this session; those before it, in a resumed run, did not.
        meter.begin(title, unit=unit, done=max(0, here.epoch * here.steps + here.step - 1) if counts else 0)
    return counts
