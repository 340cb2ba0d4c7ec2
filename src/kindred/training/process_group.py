"""The processes of a run: a single one, or several started by `torchrun`, each with a device of its own.

Data parallelism: W processes see different batches of the same plan and average their gradients, so that their updates
are exactly those of one process with W times the `accumulate` (except for batch norms in training mode, whose
statistics remain those of each process).
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

__all__ = ["ProcessGroup", "join_process_group"]


@dataclass(frozen=True)
class ProcessGroup:
    """The device of this process, its rank from 0, and the number of processes (`world_size`) that train together."""

    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process (rank 0) writes the files and reports progress."""
        return self.rank == 0

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its mean over all processes, in one all-reduce."""
        if self.world_size == 1:
            return
        trainable = [each for each in parameters if each.requires_grad]
        gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in trainable]
        flat = torch.cat([gradient.reshape(-1).float() for gradient in gradients]) / self.world_size
        torch.distributed.all_reduce(flat)
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for each, gradient, part in zip(trainable, gradients, parts, strict=True):
            each.grad = gradient.copy_(part.view_as(gradient))

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of `values` over all processes, on each of them."""
        if self.world_size > 1:
            torch.distributed.all_reduce(values)
        return values

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows (n, …) of all processes in the order of their ranks, on each of them; n may differ."""
        if self.world_size == 1:
            return rows
        counts = torch.zeros(self.world_size, dtype=torch.int64, device=rows.device)
        counts[self.rank] = len(rows)
        lengths = self.sum(counts).tolist()
        padded = rows.new_zeros((max(lengths), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(self.world_size)]
        torch.distributed.all_gather(parts, padded)
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    def barrier(self) -> None:
        """Wait for all processes: what the main process has written is then readable by all."""
        if self.world_size > 1:
            torch.distributed.barrier()


@contextmanager
def join_process_group(device: str | None = None, *, threads: int | None = None) -> Iterator[ProcessGroup]:
    """Join the processes started by `torchrun`, as given by the environment; without `torchrun`, be the only one.

    device: "cpu", "cuda" or "cuda:1"; None for the variable KINDRED_DEVICE, else CUDA if available. Each of several
    processes uses the CUDA device of its local rank. threads: of the CPU; None for an equal share of the cores for each
    process on this machine. Raises UsageError for a device that does not exist.
    """
    world_size, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    torch.set_num_threads(threads or max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))
    found = _device(device, int(os.environ.get("LOCAL_RANK", 0)) if world_size > 1 else None)
    if world_size == 1:
        yield ProcessGroup(found)
        return
    torch.distributed.init_process_group("nccl" if found.type == "cuda" else "gloo", rank=rank, world_size=world_size)
    try:
        yield ProcessGroup(found, rank, world_size)
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
