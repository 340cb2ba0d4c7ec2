"""Samplers: planners that use labels or listed pairs alone, and no vectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, check_whole
from kindred.errors import TrainingError, UsageError
from kindred.rerank.sparse import places_in
from kindred.training.mining.plan import Numbers, Plan, as_labels, epoch_rng, in_batches

__all__ = ["ClassBalanced", "ListedPairs", "Shuffled"]


@dataclass(frozen=True, eq=False)
class Shuffled:
    """Every image once per epoch, in a new random order; the last batch is filled up with the first images.

    labels: (N,), below 0 for images without a class, which are left out. batch: images per step. Raises UsageError for
    values out of range, TrainingError for a batch larger than the set.
    """

    labels: Numbers
    batch: int
    needs_vectors: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_whole(batch=self.batch)
        object.__setattr__(self, "labels", as_labels(self.labels))
        known = int((self.labels >= 0).sum())
        if self.batch > known:
            raise TrainingError(f"batch: got {self.batch} for {known} images with a class; lower it to {known} at most")

    def __call__(
        self,
        *,
        epoch: int,
        seed: int,
        vectors: Vectors | None = None,  # noqa: ARG002
    ) -> Plan:
        """Return the plan of an epoch."""
        known = np.flatnonzero(self.labels >= 0)
        indices = in_batches(epoch_rng(seed, epoch).permutation(known), self.batch)
        return Plan(indices, self.labels[indices], facts={"left_out": float(len(self.labels) - len(known))})


@dataclass(frozen=True, eq=False)
class ClassBalanced:
    """Batches of P classes with K images of each (P×K: Hermans, Beyer and Leibe 2017).

    labels: (N,), below 0 for images without a class. All classes are drawn equally often, and all images of a class; of
    a class with fewer than K images some are repeated; a class with a single image is left out, since it has no
    positive pair. steps: per epoch; None for as many as show the number of usable images. Raises UsageError for values
    out of range, TrainingError for fewer than two usable classes or fewer than P.
    """

    labels: Numbers
    classes_per_batch: int
    images_per_class: int
    steps: int | None = None
    needs_vectors: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_whole(steps=1 if self.steps is None else self.steps)
        for name in ("classes_per_batch", "images_per_class"):
            check_whole(**{name: getattr(self, name)})
            if getattr(self, name) < 2:
                raise UsageError(f"{name}: got 1; expected at least 2, or the batch has no negatives or no positives")
        object.__setattr__(self, "labels", as_labels(self.labels))
        usable = len(self._members)
        if usable < 2:
            raise TrainingError(f"labels: got {usable} classes of two images or more; expected at least 2: add images")
        if usable < self.classes_per_batch:
            raise TrainingError(
                f"classes_per_batch: got {self.classes_per_batch} for {usable} classes of two images or more; "
                f"lower it to {usable} at most"
            )

    def __call__(
        self,
        *,
        epoch: int,
        seed: int,
        vectors: Vectors | None = None,  # noqa: ARG002
    ) -> Plan:
        """Return the plan of an epoch."""
        rng = epoch_rng(seed, epoch)
        members, size = self._members, self.images_per_class
        usable = sum(len(each) for each in members)
        steps = self.steps or -(-usable // (self.classes_per_batch * size))
        chosen = _groups(rng, np.arange(len(members)), self.classes_per_batch, steps)
        images = np.empty((*chosen.shape, size), np.int64)
        for place, own in enumerate(members):
            here = chosen == place
            images[here] = _groups(rng, own, size, int(here.sum()))
        indices = images.reshape(steps, -1)
        facts = {
            "classes": float(len(members)),
            "left_out": float(len(self.labels) - usable),
            "classes_left_out": float(len(np.unique(self.labels[self.labels >= 0])) - len(members)),
        }
        return Plan(indices, self.labels[indices], facts=facts)

    @cached_property
    def _members(self) -> list[Numbers]:
        """The images of each class that has at least two."""
        known = np.flatnonzero(self.labels >= 0)
        order = known[np.argsort(self.labels[known], kind="stable")]
        parts = np.split(order, np.flatnonzero(np.diff(self.labels[order])) + 1)
        return [part for part in parts if len(part) > 1]


@dataclass(frozen=True, eq=False)
class ListedPairs:
    """Batches of listed pairs: every positive and every negative pair once per epoch.

    same: (n, 2) positive pairs, different: (m, 2) negative pairs, of indices below `count`. batch: images per step, two
    for each pair; the last one is filled up with the first pairs. Other pairs of a batch are unknown, unless they are
    listed too. components: images in different connected components of the positive pairs are negatives; within a
    component nothing follows, since pairs of overlapping views are not transitive. Raises UsageError for values out of
    range, TrainingError for lists that contradict each other, lack one kind of pair, or have too few pairs for a batch.
    """

    same: Numbers
    different: Numbers
    count: int
    batch: int
    components: bool = False
    needs_vectors: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_whole(count=self.count, batch=self.batch)
        if self.batch % 2:
            raise UsageError(f"batch: got {self.batch}; expected an even number, two images for each pair")
        for name in ("same", "different"):
            object.__setattr__(self, name, _checked_pairs(getattr(self, name), name, self.count))
        if not len(self.same) or not (len(self.different) or self.components):
            raise TrainingError(
                f"got {len(self.same)} positive and {len(self.different)} negative pairs; expected some of both, or "
                "components=True where images that no chain of positive pairs connects are negatives"
            )
        both = np.intersect1d(*self._listed)
        if both.size:
            raise TrainingError(
                f"images {both[0] // self.count} and {both[0] % self.count} are listed as positive and as negative "
                "pair; remove one of the two lines"
            )
        if self.components and not np.any(self._components):
            raise TrainingError("same: the pairs connect all images; with components=True there are no negatives")
        if self.batch > 2 * (len(self.same) + len(self.different)):
            raise TrainingError(f"batch: got {self.batch} for {len(self.same) + len(self.different)} pairs; lower it")

    def __call__(
        self,
        *,
        epoch: int,
        seed: int,
        vectors: Vectors | None = None,  # noqa: ARG002
    ) -> Plan:
        """Return the plan of an epoch."""
        rng = epoch_rng(seed, epoch)
        pairs = rng.permutation(np.concatenate((self.same, self.different)))
        indices = in_batches(pairs, self.batch // 2).reshape(-1, self.batch)
        relations = np.stack([self._relation(images) for images in indices])
        seen = len(np.unique(pairs))
        facts = {
            "same_pairs": float(len(self.same)),
            "different_pairs": float(len(self.different)),
            "left_out": float(self.count - seen),
        }
        return Plan(indices, None, relations, facts)

    def _relation(self, images: Numbers) -> NDArray[np.int8]:
        """Return the relation (B, B) of a batch (B,) by the lists."""
        first, second = np.meshgrid(images, images, indexing="ij")
        keys = self._keys(np.stack((first, second), axis=-1))
        relation = np.zeros(keys.shape, np.int8)
        if self.components:
            relation[self._components[first] != self._components[second]] = -1
        for listed, value in ((self._listed[1], -1), (self._listed[0], 1)):
            relation[places_in(listed, keys.ravel()).reshape(keys.shape) >= 0] = value
        return relation

    def _keys(self, pairs: Numbers) -> Numbers:
        """Return one number for each pair (…, 2), in either order the same."""
        keys: Numbers = pairs.min(axis=-1) * self.count + pairs.max(axis=-1)
        return keys

    @cached_property
    def _listed(self) -> tuple[Numbers, Numbers]:
        """The keys of the positive and of the negative pairs, each once, ascending."""
        return np.unique(self._keys(self.same)), np.unique(self._keys(self.different))

    @cached_property
    def _components(self) -> Numbers:
        """For each image its connected component of the positive pairs: (count,), 0 for the first image's."""
        return _connected_components(self.same, self.count)


def _groups(rng: np.random.Generator, members: Numbers, size: int, count: int) -> Numbers:
    """Return `count` groups of `size` members, distinct and about equally often: (count, size).

    They are cut out of successive shuffles, so that none is repeated before all others were drawn. Where there are
    fewer members than `size`, each group has all of them, some repeatedly.
    """
    per_shuffle = max(1, len(members) // size)
    shuffles = rng.permuted(np.tile(members, (-(-count // per_shuffle), 1)), axis=1)
    columns = np.resize(np.arange(len(members)), per_shuffle * size)
    return shuffles[:, columns].reshape(-1, size)[:count]


def _checked_pairs(pairs: Numbers, name: str, count: int) -> Numbers:
    """Return pairs (n, 2) as int64; raises UsageError for anything but pairs of two images below `count`."""
    given = np.asarray(pairs)
    if not given.size:
        return np.empty((0, 2), np.int64)
    if given.ndim != 2 or given.shape[1] != 2 or given.dtype.kind not in "iu":
        raise UsageError(f"{name}: got {given.dtype} of shape {given.shape}; expected indices of images (n, 2)")
    faulty = np.flatnonzero(((given < 0) | (given >= count)).any(axis=1) | (given[:, 0] == given[:, 1]))
    if faulty.size:
        first, second = given[faulty[0]]
        raise UsageError(f"{name}: pair {faulty[0]} is ({first}, {second}); expected two images of 0 to {count - 1}")
    return given.astype(np.int64)


def _connected_components(pairs: Numbers, count: int) -> Numbers:
    """Return for each of `count` images the smallest index in its connected component of pairs (n, 2): (count,)."""
    least = np.arange(count)
    while True:
        before = least.copy()
        lower = least[pairs].min(axis=1)
        # Both ends, and what they pointed to, take the lower index; then all follow their pointers to the end.
        for ends in (pairs[:, 0], pairs[:, 1], before[pairs[:, 0]], before[pairs[:, 1]]):
            np.minimum.at(least, ends, lower)
        while not np.array_equal(least, least[least]):
            least = least[least]
        if np.array_equal(least, before):
            return least
