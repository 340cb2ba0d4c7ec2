from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kindred.backbones.card import Card, Tap
from kindred.backbones.engine import as_batch, requested_taps
from kindred.errors import ModelError, UsageError

CARD = Card(
    name="net",
    file="net.onnx",
    digest="0" * 64,
    mean=(0, 0, 0),
    std=(1, 1, 1),
    input_name="image",
    input_size=(4, 6),
    default_tap="deep",
    taps=(
        Tap(name="early", tensor="a", channels=8, stride=4),
        Tap(name="deep", tensor="b", channels=32, stride=16),
    ),
)


def test_requested_taps() -> None:
    early, deep = CARD.taps
    assert requested_taps(CARD, None) == (deep,)
    assert requested_taps(CARD, "early") == (early,)
    assert requested_taps(CARD, ["deep", "early"]) == (deep, early)
    with pytest.raises(ModelError, match="unknown tap 'late'"):
        requested_taps(CARD, ["late"])
    with pytest.raises(UsageError, match="expected at least one of early, deep"):
        requested_taps(CARD, [])
    with pytest.raises(UsageError, match="taps deep, deep: expected each tap once"):
        requested_taps(CARD, ["deep", "deep"])


def test_a_contiguous_batch_is_not_copied() -> None:
    batch = np.zeros((2, 4, 6, 3), np.uint8)
    assert as_batch(batch, CARD) is batch
    turned = np.zeros((2, 6, 4, 3), np.uint8).transpose(0, 2, 1, 3)
    assert as_batch(turned, CARD).flags.c_contiguous


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (np.zeros((4, 6, 3), np.uint8), r"a batch of uint8 \(4, 6, 3\); expected uint8 \(B, H, W, 3\), RGB"),
        (np.zeros((1, 4, 6, 4), np.uint8), "expected uint8"),
        (np.zeros((1, 4, 6, 3), np.float32), r"a batch of float32 \(1, 4, 6, 3\)"),
        ([[1]], "a batch of list; expected"),
        (np.zeros((0, 4, 6, 3), np.uint8), "has no pixels"),
        (np.zeros((1, 6, 4, 3), np.uint8), "net takes images of 6 × 4 pixels only, not 4 × 6"),
    ],
)
def test_an_invalid_batch_is_refused(batch: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        as_batch(batch, CARD)
