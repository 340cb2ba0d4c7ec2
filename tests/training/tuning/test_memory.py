"""Cross-batch memory: what is remembered, what is forgotten, and what is known of it."""

from __future__ import annotations

import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kindred.errors import UsageError
from kindred.training.tuning.memory import CrossBatchMemory

Remembered = set[tuple[float, int, int]]


def step(first: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """A batch of `count` vectors that all hold their image's number, with classes of ten images."""
    images = torch.arange(first, first + count)
    return images[:, None].expand(count, 3).float(), images // 10, images


def remembered(memory: CrossBatchMemory) -> Remembered:
    count = len(memory)
    rows = memory.references()
    assert rows.shape == (count, 3)
    labels, images = memory.labels[:count].tolist(), memory.images[:count].tolist()
    return set(zip(rows[:, 0].tolist(), labels, images, strict=True))


@given(st.integers(1, 12), st.lists(st.integers(0, 15), max_size=8))
@settings(max_examples=50, deadline=None)
def test_the_last_vectors_are_remembered(size: int, batches: list[int]) -> None:
    memory, first = CrossBatchMemory(size, 3), 0
    for count in batches:
        memory.enqueue(*step(first, count))
        first += count
    kept = range(max(0, first - size), first)
    assert len(memory) == len(kept)
    assert remembered(memory) == {(float(image), image // 10, image) for image in kept}


def test_it_begins_after_some_steps() -> None:
    memory = CrossBatchMemory(10, 3, start=2)
    for first in (0, 2, 4):
        assert len(memory) == 0
        assert memory.references().shape == (0, 3)
        memory.enqueue(*step(first, 2))
    assert remembered(memory) == {(4.0, 0, 4), (5.0, 0, 5)}


def test_an_image_is_no_positive_of_itself() -> None:
    memory = CrossBatchMemory(10, 3)
    memory.enqueue(torch.zeros(4, 3), torch.tensor([1, 1, 2, -1]), torch.tensor([10, 11, 12, 13]))
    found = memory.relation(torch.tensor([1, 2, -1]), torch.tensor([11, 99, 98]))
    assert found.tolist() == [[1, 0, -1, 0], [-1, -1, 1, 0], [0, 0, 0, 0]]
    assert found.dtype == torch.int8
    assert CrossBatchMemory(10, 3).relation(torch.tensor([1]), torch.tensor([0])).shape == (1, 0)


def test_no_gradient_passes_and_references_stay_as_they_were() -> None:
    memory = CrossBatchMemory(2, 3)
    vectors = torch.ones(2, 3, requires_grad=True)
    memory.enqueue(vectors.bfloat16(), torch.tensor([0, 1]), torch.tensor([0, 1]))
    found = memory.references()
    assert not found.requires_grad
    assert found.dtype == torch.float32
    memory.enqueue(torch.zeros(2, 3), torch.tensor([0, 1]), torch.tensor([2, 3]))
    assert found.tolist() == [[1.0] * 3] * 2


def test_its_state_goes_on_where_it_was() -> None:
    memory, restored = CrossBatchMemory(5, 3, start=1), CrossBatchMemory(5, 3, start=1)
    for first in (0, 3, 6):
        memory.enqueue(*step(first, 3))
    file = io.BytesIO()
    torch.save(memory.state_dict(), file)
    file.seek(0)
    restored.load_state_dict(torch.load(file, weights_only=True))
    for each in (memory, restored):
        each.enqueue(*step(20, 2))
    assert remembered(memory) == remembered(restored) == {(float(i), i // 10, i) for i in (6, 7, 8, 20, 21)}
    assert torch.equal(memory.references(), restored.references())


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="size: got 0"):
        CrossBatchMemory(0, 3)
    with pytest.raises(UsageError, match="start: got -1"):
        CrossBatchMemory(1, 3, start=-1)
