"""The settings of the training of a local head, which with images, network and teacher decide its result."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf

from kindred.errors import UsageError
from kindred.training.loop import Schedule

__all__ = ["LocalSettings"]

EPOCH = 250  # steps from one validation to the next, about


@dataclass(frozen=True)
class LocalSettings:
    """What decides the result of training a local head, beside images, network and teacher.

    steps, batch: how many batches of how many images, each seen in two views. size: the side of a view in pixels.
    images: of the folders at most so many, drawn at random. dimension: of the descriptors. width: of the head's layers.
    rotation: the share of the pairs of views that are turned by any angle, the others by 40° at most; it grows from
    none to this over the first third of the run. zoom: the smallest and the largest scale of a view to its image.
    change: the largest change of scale between two views. cosine, detection, peak: weights of the losses beside that on
    the matches. temperature: of the softmax over the matches. signs_from: the share of the run from which the signs of
    descriptors are matched, too. rate: the largest learning rate. seed: of all random choices. Raises UsageError for
    values out of range.
    """

    steps: int = 2_500
    batch: int = 8
    size: int = 128
    images: int = 2_000
    dimension: int = 128
    width: int = 128
    rotation: float = 0.0
    zoom: tuple[float, float] = (0.6, 3.0)
    change: float = 2.5
    cosine: float = 1.0
    detection: float = 1.0
    peak: float = 0.0
    temperature: float = 0.06
    signs_from: float = 0.25
    rate: float = 3e-3
    warmup: float = 0.03
    decay: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2 or self.images < 2 or self.size < 64 or self.size % 32:
            raise UsageError(
                f"got {self.steps} steps of {self.batch} of {self.images} images in views of {self.size} pixels; "
                "expected at least 1 step, 2 images, and a multiple of 32 pixels from 64"
            )
        if not (1 <= self.dimension <= 1024 and self.dimension % 8 == 0 and self.width >= 8):
            raise UsageError(
                f"dimension is {self.dimension} and width {self.width}; expected a multiple of 8 up to 1024, and 8"
            )
        if not (0 < self.zoom[0] <= self.zoom[1] < inf and 1 <= self.change < inf and 0 <= self.rotation <= 1):
            raise UsageError(
                f"got zoom {self.zoom}, change {self.change}, rotation {self.rotation}; expected scales and a share"
            )
        if not 0 < self.rate < inf or not 0 < self.temperature < inf:
            raise UsageError(f"rate is {self.rate} and temperature {self.temperature}; expected numbers above 0")

    @property
    def epochs(self) -> int:
        """Parts of the run, after each of which it is validated."""
        return max(1, round(self.steps / EPOCH))

    def schedule(self) -> Schedule:
        """Return the schedule of the training loop."""
        return Schedule(epochs=self.epochs, rate=self.rate, warmup=self.warmup, decay=self.decay, seed=self.seed)

    def as_json(self) -> dict[str, object]:
        """Return all settings as JSON reads them back."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
