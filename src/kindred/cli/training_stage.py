"""The stages of a training run on the progress meter: planning, training and validation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kindred.cli.progress import Meter

if TYPE_CHECKING:
    from kindred.training.loop import Progress

__all__ = ["begin_stage"]

TITLES = {"planning": "Planning", "training": "Training", "validating": "Validating"}


def begin_stage(meter: Meter, here: Progress, *, unit: str) -> bool:
    """Begin the stage of `here` on the meter if it is a new one; return whether it counts updates."""
    title, counts = TITLES[here.stage], here.stage == "training"
    if meter.title != title:
        # Only the update just reported belongs to this session; earlier ones of a resumed run do not.
        meter.begin(title, unit=unit, done=max(0, here.epoch * here.steps + here.step - 1) if counts else 0)
    return counts
