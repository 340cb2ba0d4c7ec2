"""Training: fine-tuning and distillation of backbones. The only place that needs PyTorch.

`train` fine-tunes a backbone on one's own images, `distill` trains a small network to reproduce the feature maps of
pretrained ones. Both are loaded at first use, so that importing this package imports no PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kindred.training.distillation.distill import distill
    from kindred.training.tuning.options import TrainingOptions
    from kindred.training.tuning.train import TrainingResult, train

__all__ = ["TrainingOptions", "TrainingResult", "distill", "train"]

_HOMES = {
    "TrainingOptions": "kindred.training.tuning.options",
    "TrainingResult": "kindred.training.tuning.train",
    "distill": "kindred.training.distillation.distill",
    "train": "kindred.training.tuning.train",
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
