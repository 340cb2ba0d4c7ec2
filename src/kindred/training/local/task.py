"""The task of training a local head, for the training loop.

The network that it is attached to is frozen. Two views of each image are drawn, under random homographies and in other
light. The teacher has described the image itself: its keypoints are projected into the views, where the head has to
find them, and its descriptors are the targets in both, so that the head learns more changes of view than the teacher
has. A contrastive loss between the two views separates each point from all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kindred.training.image_cache import ImageCache
from kindred.training.local.head import CELL, KeypointHead, keypoint_scores, sampled
from kindred.training.local.losses import (
    IGNORED,
    NEAR,
    as_signs,
    cells_of,
    cosine_loss,
    detection_loss,
    matching_loss,
    peak_loss,
)
from kindred.training.local.settings import LocalSettings
from kindred.training.local.targets import LocalTargets, Sighting
from kindred.training.local.trunk import Trunk
from kindred.training.local.views import View, carried, draw_views
from kindred.training.process_group import ProcessGroup

__all__ = ["LocalTask", "Pairs"]

POINTS = 80  # of a pair of views, at most
MARGIN = 3.0  # pixels to the border of a view
VALIDATION_IMAGES = 48


@dataclass(frozen=True, eq=False)
class Pairs:
    """A batch of B pairs of views.

    views: (2B, S, S, 3) uint8 RGB, all first views first. labels: (2B, h, w), the position of the keypoint in each
    cell, 64 for none, −1 for unknown. owner: (N,) the pair of each point. first, second: (N, 2) the points in the two
    views, x y from 0. target: (N, D) the teacher's descriptors. shown: (M, 3) view number and x y of the keypoints to
    find.
    """

    views: NDArray[np.uint8]
    labels: NDArray[np.int64]
    owner: NDArray[np.int64]
    first: NDArray[np.float32]
    second: NDArray[np.float32]
    target: NDArray[np.float32]
    shown: NDArray[np.float32]


class _Module(nn.Module):
    """All trained modules: the head, and the matrix from its descriptors to the teacher's, which is not exported."""

    def __init__(self, head: KeypointHead, dimension: int, target: int) -> None:
        super().__init__()
        self.head = head
        self.to_teacher = nn.Linear(dimension, target)


class LocalTask:
    """A local head trained on `targets` in views of `images`; a `kindred.training.loop.Task`.

    identity: further values that determine the result, such as digests.
    """

    monitor = "matched"

    def __init__(
        self,
        trunk: Trunk,
        images: ImageCache,
        targets: LocalTargets,
        settings: LocalSettings,
        *,
        processes: ProcessGroup,
        identity: Mapping[str, object] | None = None,
    ) -> None:
        torch.manual_seed(settings.seed)
        head = KeypointHead(trunk.channels, dimension=settings.dimension, width=settings.width)
        self.module: nn.Module = _Module(head, settings.dimension, targets.dimension)
        self.module.to(processes.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub
        self.settings = settings
        self.identity: Mapping[str, object] = {**settings.as_json(), **(identity or {})}
        self._trunk, self._images, self._targets, self._processes = trunk, images, targets, processes
        self._held_out = min(VALIDATION_IMAGES, len(images) // 2)
        self._mean = torch.tensor(trunk.card.mean, device=processes.device)[:, None, None]
        self._std = torch.tensor(trunk.card.std, device=processes.device)[:, None, None]
        self._epoch = 0

    @property
    def head(self) -> KeypointHead:
        """The head, which is exported."""
        head = self.module.head
        assert isinstance(head, KeypointHead)
        return head

    @property
    def steps(self) -> int:
        """The number of batches of an epoch."""
        return -(-self.settings.steps // self.settings.epochs)

    def parameter_groups(self) -> Sequence[Mapping[str, object]]:
        """Return all parameters as one group."""
        return [{"params": list(self.module.parameters())}]

    def begin_epoch(self, epoch: int) -> Mapping[str, float]:
        """Begin an epoch."""
        self._epoch = epoch
        return {}

    def make_batch(self, step: int) -> Pairs:
        """Draw the views of a step."""
        settings, number = self.settings, self._epoch * self.steps + step
        rng = np.random.default_rng([settings.seed, number, 1])
        chosen = self._held_out + rng.integers(len(self._images) - self._held_out, size=settings.batch)
        done = number / (self.steps * settings.epochs)
        return self._pairs(chosen, settings.rotation * min(1.0, 3 * done), rng)

    def losses(self, batch: Pairs, *, done: float) -> Mapping[str, Tensor]:
        """Return the losses of a batch."""
        settings, device = self.settings, self._processes.device
        logits, first, second = self._run(batch)
        module = self.module
        assert isinstance(module, _Module)
        target = torch.from_numpy(batch.target).to(device)
        labels = torch.from_numpy(batch.labels).to(device)
        losses = {"detection": settings.detection * detection_loss(logits, labels)}
        if settings.peak:
            losses["peak"] = settings.peak * self._peaks(logits, batch)
        if len(target):
            both = torch.cat((first, second))
            losses["cosine"] = settings.cosine * cosine_loss(module.to_teacher(both), torch.cat((target, target)))
            wrong = self._wrong(batch)
            losses["matches"] = self._matches(first, second, wrong, signs=done >= settings.signs_from)
        return losses

    def describe_batch(self, batch: Pairs) -> str:
        """Describe the contents of a batch."""
        return f"{len(batch.views) // 2} pairs of views of {batch.views.shape[1]} pixels"

    def validate(self) -> Mapping[str, float]:
        """Return the shares of held-out points whose descriptor, and whose signs, match the right point best."""
        found = []
        for begin in range(0, self._held_out, self.settings.batch):
            chosen = np.arange(begin, min(begin + self.settings.batch, self._held_out))
            batch = self._pairs(chosen, self.settings.rotation, np.random.default_rng([self.settings.seed, begin, 2]))
            with torch.no_grad():
                logits, first, second = self._run(batch)
                labels = torch.from_numpy(batch.labels).to(logits.device)
                found.append(
                    (
                        *self._matched(first, second, batch),
                        *self._matched(as_signs(first), as_signs(second), batch),
                        float(detection_loss(logits, labels)) * len(first),
                        len(first),
                    )
                )
        right, _, signs, _, detection, count = np.sum(np.array(found, np.float64).reshape(-1, 6), axis=0).tolist()
        count = max(count, 1)
        return {"matched": signs / count, "matched by values": right / count, "detection": detection / count}

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the epoch."""
        return {"epoch": torch.tensor(self._epoch)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` returned; raises ValueError or KeyError for anything else."""
        epoch = state["epoch"]
        if epoch.shape != () or not 0 <= int(epoch) <= self.settings.epochs:
            raise ValueError("epoch is out of range")
        self._epoch = int(epoch)

    def _run(self, batch: Pairs) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits of all views, and the descriptors (N, D) of the points in the first and the second."""
        device, half = self._processes.device, len(batch.views) // 2
        maps = [self._tensor(each) for each in self._trunk.run(batch.views)]
        images = (torch.from_numpy(batch.views).to(device).permute(0, 3, 1, 2).float() - self._mean) / self._std
        if self._trunk.card.channel_order == "BGR":
            images = images.flip(1)
        with torch.autocast(device.type, torch.bfloat16):
            logits, descriptors = self.head(images, *maps)
        logits, descriptors = logits.float(), descriptors.float()
        owner = torch.from_numpy(batch.owner).to(device)
        found = [
            _at(descriptors, owner + shift, torch.from_numpy(points).to(device))
            for shift, points in ((0, batch.first), (half, batch.second))
        ]
        return logits, found[0], found[1]

    def _tensor(self, maps: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(maps).to(self._processes.device, memory_format=torch.channels_last)

    def _matches(self, first: Tensor, second: Tensor, wrong: Tensor, *, signs: bool) -> Tensor:
        """Return the matching loss; with `signs`, half of it is between values of one view and signs of the other."""
        temperature = self.settings.temperature
        values = matching_loss(first, second, wrong=wrong, temperature=temperature)
        if not signs:
            return values
        some = matching_loss(first, as_signs(second), wrong=wrong, temperature=temperature)
        others = matching_loss(as_signs(first), second, wrong=wrong, temperature=temperature)
        return values / 2 + (some + others) / 4

    def _peaks(self, logits: Tensor, batch: Pairs) -> Tensor:
        shown = torch.from_numpy(batch.shown).to(logits.device)
        return peak_loss(keypoint_scores(logits), shown[:, 0].long(), shown[:, 1:])

    def _wrong(self, batch: Pairs) -> Tensor:
        """Return (N, N): which pairs of points are of different images, or distant from each other in both views."""
        owner = torch.from_numpy(batch.owner)
        first, second = torch.from_numpy(batch.first), torch.from_numpy(batch.second)
        far = (torch.cdist(first, first) > NEAR) & (torch.cdist(second, second) > NEAR)
        return (far | (owner[:, None] != owner[None])).to(self._processes.device)

    def _matched(self, first: Tensor, second: Tensor, batch: Pairs) -> tuple[float, float]:
        """Return the number of correctly matched points, among those of all images of the batch, and their total."""
        if not len(first):
            return 0.0, 0.0
        best = (first @ second.T).argmax(1).cpu().numpy()
        near = np.linalg.norm(batch.second[best] - batch.second, axis=1) <= NEAR
        right = near & (batch.owner[best] == batch.owner)
        return float(right.sum()), float(len(right))

    def _pairs(self, chosen: NDArray[np.int64], rotation: float, rng: np.random.Generator) -> Pairs:
        firsts, seconds, points, labels, shown = [], [], [], [], []
        for number, index in enumerate(chosen.tolist()):
            one, other = draw_views(self._images[index], self.settings, rotation, rng)
            sighting = self._targets.sighting(index, one.zoom)
            points.append(_shared(number, sighting, one, other, self.settings.size, rng))
            for place, view in ((number, one), (len(chosen) + number, other)):
                cells, keypoints = _cells(self._targets.sighting(index, view.zoom), view, self._images[index].shape)
                labels.append((place, cells))
                shown.append(np.column_stack((np.full(len(keypoints), place), keypoints)))
            firsts.append(one.pixels)
            seconds.append(other.pixels)
        owner, first, second, target = (np.concatenate(part) for part in zip(*points, strict=True))
        ordered = [cells for _, cells in sorted(labels, key=lambda entry: entry[0])]
        return Pairs(
            np.stack(firsts + seconds),
            np.stack(ordered),
            owner,
            first,
            second,
            target,
            np.concatenate(shown).astype(np.float32),
        )


def _at(maps: Tensor, numbers: Tensor, points: Tensor) -> Tensor:
    """Return the unit descriptors (N, D) of maps (B, D, h, w) at points (N, 2), each of the map of its number."""
    count = maps.shape[0]
    order = torch.argsort(numbers, stable=True)
    lengths = torch.bincount(numbers, minlength=count).tolist()
    parts = []
    for number, own in enumerate(torch.split(points[order], lengths)):
        if len(own):
            parts.append(sampled(maps[number : number + 1], own[None])[0])
    if not parts:
        return maps.new_zeros(0, maps.shape[1])
    found = torch.cat(parts)[torch.argsort(order)]
    return nn.functional.normalize(found, dim=1)


def _shared(
    number: int, sighting: Sighting, one: View, other: View, size: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return pair, positions in two views and descriptors of keypoints visible in both, at most `POINTS`."""
    first, second = (carried(view.matrix, sighting.points) - np.float32(0.5) for view in (one, other))
    seen = np.flatnonzero(_inside(first, size) & _inside(second, size))
    if len(seen) > POINTS:
        seen = np.sort(rng.choice(seen, POINTS, replace=False))
    return np.full(len(seen), number, np.int64), first[seen], second[seen], sighting.descriptors[seen]


def _cells(sighting: Sighting, view: View, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the labels of a view's cells (h, w), and the keypoints (N, 2) in it that they are of, best first."""
    size = view.pixels.shape[0]
    cells = size // CELL
    points = carried(view.matrix, sighting.points) - np.float32(0.5)
    points = points[_inside(points, size - CELL // 2)]
    labels = np.full((cells, cells), CELL * CELL, np.int64)
    labels[~_covered(view, shape, cells)] = IGNORED
    places, inside = (each.numpy() for each in cells_of(torch.from_numpy(points)))
    for (x, y), place in zip(places[::-1].tolist(), inside[::-1].tolist(), strict=True):  # the best is written last
        labels[y, x] = place
    return labels, points


def _covered(view: View, shape: tuple[int, ...], cells: int) -> NDArray[np.bool_]:
    """Return which cells (h, w) of a view show the image; outside it the teacher has no targets."""
    rows, columns = np.mgrid[:cells, :cells].reshape(2, -1) * CELL
    corners = np.stack((columns, rows), axis=1).astype(np.float32)
    back = carried(np.linalg.inv(view.matrix).astype(np.float64), corners)
    x, y = back.T
    inside: NDArray[np.bool_] = (x > 0) & (x < shape[1]) & (y > 0) & (y < shape[0])
    return inside.reshape(cells, cells)


def _inside(points: NDArray[np.float32], size: int) -> NDArray[np.bool_]:
    low, high = points.min(axis=1), points.max(axis=1)
    within: NDArray[np.bool_] = (low >= MARGIN) & (high < size - 1 - MARGIN)
    return within
