"""Processes: one by itself, or several that `torchrun` started, each with a device of its own.

Several processes see different batches of the same plan and average their gradients, so that W of them take the very
updates that one takes with `accumulate` W times as large (batch norms that learn statistics apart).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor, nn

from kindred._support.cores import usable_cores
from kindred.errors import UsageError

__all__ = ["Place", "taking_place"]


@dataclass(frozen=True)
class Place:
    """Where a process works: its device, its rank from 0, and how many processes there are."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and tells how far the run is."""
        return self.rank == 0

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Put the mean over all processes in the place of each gradient, in one exchange."""
        if self.world == 1:
            return
        learned = [each for each in parameters if each.requires_grad]
        gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in learned]
        flat = torch.cat([gradient.reshape(-1).float() for gradient in gradients]) / self.world
        torch.distributed.all_reduce(flat)
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for each, gradient, part in zip(learned, gradients, parts, strict=True):
            each.grad = gradient.copy_(part.view_as(gradient))

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of `values` over all processes, on each of them."""
        if self.world > 1:
            torch.distributed.all_reduce(values)
        return values

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows (n, …) of all processes, those of the first one first, on each of them; n may differ."""
        if self.world == 1:
            return rows
        counts = torch.zeros(self.world, dtype=torch.int64, device=rows.device)
        counts[self.rank] = len(rows)
        lengths = self.sum(counts).tolist()
        padded = rows.new_zeros((max(lengths), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(self.world)]
        torch.distributed.all_gather(parts, padded)
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    def wait(self) -> None:
        """Wait until all processes are here: what the leader wrote is there for all."""
        if self.world > 1:
            torch.distributed.barrier()


@contextmanager
def taking_place(device: str | None = None, *, threads: int | None = None) -> Iterator[Place]:
    """Give the place of this process, as `torchrun` tells it in the environment.

    `device` is "cpu", "cuda" or "cuda:1", None for CUDA where there is one; of several processes each takes the CUDA
    device of its local rank. `threads` are those of the CPU, None for an equal share of the cores. Raises `UsageError`
    for a device that is not there.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    torch.set_num_threads(threads or max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))
    found = _device(device, int(os.environ.get("LOCAL_RANK", 0)) if world > 1 else None)
    if world == 1:
        yield Place(found)
        return
    torch.distributed.init_process_group("nccl" if found.type == "cuda" else "gloo", rank=rank, world_size=world)
    try:
        yield Place(found, rank, world)
    finally:
        torch.distributed.destroy_process_group()


def _device(name: str | None, local_rank: int | None) -> torch.device:
    name = name or os.environ.get("KINDRED_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UsageError(f"device is {name!r}; expected 'cpu', 'cuda' or 'cuda:1'")
    if name == "cuda" and local_rank is not None:
        name = f"cuda:{local_rank}"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"device is {name!r}; this PyTorch finds {torch.cuda.device_count()} CUDA devices; use 'cpu'")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device
