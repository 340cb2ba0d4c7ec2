"""The forms of trained networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kindred.service.form import Form

if TYPE_CHECKING:
    from kindred.backbones import Card
    from kindred.training.tuning.train import TrainingResult

__all__ = ["DistillationForm", "TrainingForm"]


@dataclass(frozen=True)
class TrainingForm(Form):
    """A fine-tuned network: its files, and its accuracy before and after."""

    model: Path
    recipe: Path
    files: tuple[Path, ...]
    report: Path
    name: str
    digest: str
    images: int
    classes: int
    epochs: int
    best_epoch: int
    seconds: float
    before: Mapping[str, float]
    after: Mapping[str, float]

    @classmethod
    def of(cls, result: TrainingResult, model: Path) -> Self:
        """Return the form of a finished run."""
        return cls(
            model=model,
            recipe=result.recipe,
            files=tuple(result.files),
            report=result.report,
            name=result.card.name,
            digest=result.card.digest,
            images=result.images,
            classes=result.classes,
            epochs=result.fit.epochs,
            best_epoch=result.fit.best_epoch,
            seconds=result.fit.seconds,
            before=dict(result.fit.before),
            after=dict(result.fit.after),
        )


@dataclass(frozen=True)
class DistillationForm(Form):
    """A distilled network."""

    model: Path
    name: str
    digest: str
    training: Mapping[str, object]

    @classmethod
    def of(cls, card: Card, model: Path) -> Self:
        """Return the form of the network with this card, in file `model`."""
        return cls(model, card.name, card.digest, dict(card.training))
