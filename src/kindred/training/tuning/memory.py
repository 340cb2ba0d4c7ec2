"""Cross-batch memory: the vectors of earlier batches, as further references of a loss on pairs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kindred.arrays import check_whole
from kindred.errors import UsageError
from kindred.training.mining import relation_of

__all__ = ["CrossBatchMemory"]


class CrossBatchMemory(nn.Module):
    """The last M vectors, with their labels and the indices of their images (XBM: Wang et al. 2020).

    A network changes slowly, so that vectors of some steps ago are nearly what they would be now, and cost no forward
    pass. size: M. dimension: D of the vectors. start: steps before the first vectors are stored, since a network
    changes fast at first. Its whole content is in `state_dict`. Raises UsageError for values out of range.
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
        self.register_buffer("stored", torch.zeros((), dtype=torch.int64))  # vectors that were ever stored

    def __len__(self) -> int:
        """Return how many vectors it holds."""
        return min(self.size, int(self.stored))

    @torch.no_grad()
    def enqueue(self, vectors: Tensor, labels: Tensor, images: Tensor) -> None:
        """Replace the oldest vectors by those of a step: vectors (B, D), labels (B,) and indices of images (B,).

        They are stored without gradients. In the first `start` steps nothing is stored.
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
        """Return a copy of its vectors, in no particular order, without gradients: (m, D), m ≤ M."""
        return self.vectors[: len(self)].clone()

    def relation(self, labels: Tensor, images: Tensor) -> Tensor:
        """Return the relation of a batch, labels (B,) and indices of images (B,), and the `references`: (B, m) int8.

        An image and its own earlier vector are 0, neither a positive nor a negative pair.
        """
        count = len(self)
        return relation_of(labels, self.labels[:count], images=images, other_images=self.images[:count])
