"""Training: fine-tuning and distillation of backbones. The only place that needs PyTorch.

`train` fine-tunes a backbone on one's own images, `distill` trains a small network to reproduce the feature maps of
pretrained ones, `distill_local_head` gives a network keypoints and descriptors. All are loaded at first use, so that
importing this package imports no PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kindred._support.late import imported_late

if TYPE_CHECKING:
    from kindred.training.distillation.distill import distill
    from kindred.training.local.train import distill_local_head
    from kindred.training.tuning.options import TrainingOptions
    from kindred.training.tuning.train import TrainingResult, train

__all__ = ["TrainingOptions", "TrainingResult", "distill", "distill_local_head", "train"]

__getattr__ = imported_late(
    __name__,
    {
        "distillation.distill": "distill",
        "local.train": "distill_local_head",
        "tuning.options": "TrainingOptions",
        "tuning.train": "TrainingResult, train",
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
