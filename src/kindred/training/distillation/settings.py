"""The settings of a distillation, which together with the images and the teachers determine its result."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf

from kindred.errors import UsageError
from kindred.training.loop import Schedule

__all__ = ["DistillationSettings"]

EPOCH = 500  # steps from one validation to the next, about


@dataclass(frozen=True)
class DistillationSettings:
    """What decides the result of a distillation, beside the images and the teachers.

    steps, batch: how many batches of how many crops. sizes: sides of the crops, in pixels; one is drawn for each step.
    blockwise: the share of the steps in which the segments of the student are trained separately. The deepest ones,
    which are slow to train and cheap to compute, are trained in each of these steps; of the others the share
    `shallow`, drawn in proportion to the error that they have left. blockwise_rate, rate: the largest learning rate in
    the blockwise part and in the end-to-end part of the run; warmup, decay: as in `Schedule`. pooled, relational:
    weights of the losses on the descriptors beside those on the maps; 25 is that of Park et al. 2019. noisy: in the
    end-to-end part, the share of the crops that the student sees at lower quality than its teachers do, so that it
    learns to describe them as its teachers describe a good photograph of the same (noisy student: Xie et al. 2020).
    strengths: of the teachers' heads in the joint map, 1 for those not given. strong_augmentation: whether crops vary
    as in classification (small parts, coarse images) or as in retrieval. freeze: the layers of the earlier
    student that training starts from stay as they are up to maps of this stride; 0 for none, that of its last map for
    all. seed: of all random choices. Raises UsageError for values out of
    range.
    """

    steps: int = 7_000
    batch: int = 32
    sizes: tuple[int, ...] = (128, 160)
    blockwise: float = 0.6
    shallow: float = 0.25
    blockwise_rate: float = 2e-2
    rate: float = 2e-3
    warmup: float = 0.05
    decay: float = 0.02
    pooled: float = 5.0
    relational: float = 25.0
    noisy: float = 0.3
    strengths: tuple[float, ...] = (2.0,)
    strong_augmentation: bool = True
    freeze: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 32 or self.steps < 1 or self.batch < 2:
            raise UsageError(
                f"got {self.steps} steps of {self.batch} crops of {self.sizes} pixels; "
                "expected at least 1 step, 2 crops and 32 pixels"
            )
        if not (0 <= self.blockwise < 1 and 0 <= self.noisy < 1 and 0 <= self.shallow <= 1):
            raise UsageError(
                f"blockwise is {self.blockwise}, noisy {self.noisy} and shallow {self.shallow}; "
                "expected shares from 0 to below 1, shallow up to 1"
            )
        if not all(0 < rate < inf for rate in (self.rate, self.blockwise_rate)):
            raise UsageError(f"rate is {self.rate} and blockwise_rate {self.blockwise_rate}; expected rates above 0")
        if not all(0 < strength < inf for strength in self.strengths):
            raise UsageError(f"strengths are {self.strengths}; expected numbers above 0")

    @property
    def epochs(self) -> int:
        """Parts of the run, of about 500 steps, after each of which it is validated."""
        return max(1, round(self.steps / EPOCH))

    def schedule(self) -> Schedule:
        """Return the schedule of the training loop."""
        return Schedule(
            epochs=self.epochs,
            rate=self.blockwise_rate if self.blockwise else self.rate,
            restart_at=self.blockwise,
            restart_rate=self.rate,
            warmup=self.warmup,
            decay=self.decay,
            seed=self.seed,
        )

    def as_json(self) -> dict[str, object]:
        """Return all settings as JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
