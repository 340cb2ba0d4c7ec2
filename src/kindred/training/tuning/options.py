"""The options of `kindred train`: with the images they decide the result."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import inf
from pathlib import Path
from typing import Literal

from kindred.errors import UsageError

__all__ = ["TrainingOptions"]


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Everything that decides the result of a run, beside the images.

    The network. backbone: a name of `kindred.training.architectures.ARCHITECTURES`, a model of `kindred models`, or an
    `.onnx` with its card. weights: of an architecture: a file, "published" or "random". tap: the feature map that is
    aggregated, "" for the last. aggregation, aggregation_options: a name of
    `kindred.training.aggregation.AGGREGATIONS`; the option `dimension` adds a whitening layer. freeze: the tap or
    submodule up to which no parameter is trained. tune_norms: whether batch norms update their running statistics.

    The training signal. method: a name of `kindred.training.tuning.methods.METHODS`. loss, loss_options: a name of
    `kindred.training.losses.LOSSES`, "" for the method's default. mining: "batch" or "pool". memory: vectors of earlier
    batches as further references of a loss on pairs. batch, images_per_class, negatives, clusters: as in `Batching` of
    `kindred.training.tuning.methods`. labels, pairs: CSV tables that replace a folder of classes. validate: a folder of
    classes or a ground truth to validate on; "" holds out the share `hold_out` of each class.

    The images. size: longest side of whole images that are described, in pixels, as in the recipe. crop: side of the
    square crops that are trained on, 0 for `size`; somewhat smaller ones take less time and serve as well, since a crop
    enlarges its objects (Touvron et al. 2019). area, flip, colour: as in `kindred.training.augment.Augmentation`.

    The schedule. epochs, rate, warmup, decay, accumulate, patience, seed: as in `kindred.training.loop.Schedule`.

    Raises UsageError for values out of range.
    """

    method: str = "classification"
    backbone: str = "kin"
    weights: str = ""
    tap: str = ""
    aggregation: str = "gem"
    aggregation_options: Mapping[str, float | bool] = field(default_factory=dict)
    freeze: str = ""
    tune_norms: bool = False
    loss: str = ""
    loss_options: Mapping[str, float | str] = field(default_factory=dict)
    mining: Literal["batch", "pool"] = "batch"
    memory: int = 0
    batch: int = 64
    images_per_class: int = 4
    negatives: int = 5
    clusters: int = 0
    labels: str = ""
    pairs: str = ""
    validate: str = ""
    hold_out: float = 0.1
    size: int = 224
    crop: int = 0
    area: tuple[float, float] = (0.3, 1.0)
    flip: bool = True
    colour: float = 0.3
    epochs: int = 10
    rate: float = 1e-4
    warmup: float = 0.05
    decay: float = 1e-4
    accumulate: int = 1
    patience: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"batch": 2, "images_per_class": 2, "negatives": 1, "size": 32, "epochs": 1, "accumulate": 1}
        least |= dict.fromkeys(("memory", "clusters", "patience", "seed", "crop"), 0)
        for name, low in least.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise UsageError(f"{name} is {value!r}; expected a whole number of at least {low}")
        if 0 < self.crop < 32:
            raise UsageError(f"crop is {self.crop}; expected at least 32 pixels, or 0 for the size")
        shares = 0 <= self.hold_out < 1 and 0 <= self.warmup < 1
        if not shares or not 0 < self.rate < inf or not 0 <= self.decay < inf:
            raise UsageError(
                f"got rate {self.rate}, hold_out {self.hold_out}, warmup {self.warmup} and decay {self.decay}; "
                "expected rate above 0, hold_out and warmup from 0 to below 1, and decay of at least 0"
            )
        if self.mining not in ("batch", "pool"):
            raise UsageError(f"mining is {self.mining!r}; expected batch or pool")

    def changed(self) -> dict[str, object]:
        """Return the options that differ from their defaults."""
        plain = TrainingOptions()
        mine = {key.name: getattr(self, key.name) for key in fields(self)}
        return {name: value for name, value in mine.items() if value != getattr(plain, name)}

    def as_json(self) -> dict[str, object]:
        """Return all options as JSON reads them back."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def command(self, folder: Path, output: Path) -> str:
        """Return the command line that trains with these options."""
        words = ["kindred", "train", str(folder), "-o", output.name]
        for key, value in self.changed().items():
            option = "--" + {"weights": "from"}.get(key, key).replace("_", "-")
            if isinstance(value, Mapping):
                prefix = key.removesuffix("_options")
                for name, each in value.items():
                    words += ["--set", f"{prefix}.{name}={str(each).lower() if isinstance(each, bool) else each}"]
            elif isinstance(value, bool):
                words.append(option if value else f"--no-{option[2:]}")
            else:
                words += [option, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
        return shlex.join(words)
