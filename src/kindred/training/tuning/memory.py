"""Cross-batch memory: the vectors of the batches before, as further references of a loss on pairs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kindred.arrays import check_whole
from kindred.errors import UsageError
from kindred.training.mining import relation_of

__all__ = ["CrossBatchMemory"]


class CrossBatchMemory(nn.Module):
    """The last M vectors with their labels and the numbers of their images (Wang et al. 2020).

    A network changes slowly, so that vectors of some steps ago are nearly what they would be now, and cost no pass.
    size: M. dimension: D of the vectors. start: steps before it begins to remember, for at first a network changes
    fast. All of it is in `state_dict`. Raises UsageError for what is out of range.
    """

    vectors: Tensor
    labels: Tensor
    images: Tensor
    steps: Tensor
    stored: Tensor

    def __init__(self, size: int, dimension: int, *, start: int = 0) -> None:
        super().__init__()
        check_whole(size=size, dimension=dimension)
        if start < 0:
            raise UsageError(f"start: got {start}; expected a number of steps of at least 0")
        self.size, self.start = size, start
        self.register_buffer("vectors", torch.zeros(size, dimension))
        self.register_buffer("labels", torch.full((size,), -1))
        self.register_buffer("images", torch.full((size,), -1))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("stored", torch.zeros((), dtype=torch.int64))  # vectors that ever came in

    def __len__(self) -> int:
        """Return how many vectors are remembered."""
        return min(self.size, int(self.stored))

    @torch.no_grad()
    def enqueue(self, vectors: Tensor, labels: Tensor, images: Tensor) -> None:
        """Take the vectors (B, D) of a step, their labels (B,) and images (B,) for the oldest ones.

        No gradient passes. In the first `start` steps nothing is taken.
        """
        self.steps += 1
        if int(self.steps) <= self.start:
            return
        last = slice(max(0, len(vectors) - self.size), None)
        count = len(vectors[last])
        at = (self.stored + torch.arange(count, device=self.stored.device)) % self.size
        self.vectors[at] = vectors.detach()[last].to(self.vectors.dtype)
        self.labels[at], self.images[at] = labels[last], images[last]
        self.stored += count

    def references(self) -> Tensor:
        """Return the vectors that are remembered, in no order of time: (m, D), m ≤ M, a copy without gradient."""
        return self.vectors[: len(self)].clone()

    def relation(self, labels: Tensor, images: Tensor) -> Tensor:
        """Return what is known of a batch, labels (B,) and images (B,), and the `references`: (B, m) int8.

        An image and its own former vector are 0: it is no positive of itself.
        """
        count = len(self)
        return relation_of(labels, self.labels[:count], images=images, other_images=self.images[:count])
