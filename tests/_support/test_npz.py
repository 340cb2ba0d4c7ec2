"""What was learned, made again of the arrays of a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred._support.npz import restoring
from kindred.errors import ModelError, UsageError

ARRAYS = {"mean": np.zeros(3), "projection": np.eye(3)}


def fail(error: Exception) -> None:
    with restoring("whitening", ARRAYS, "mean"):
        raise error


def test_the_arrays_come_in_the_order_asked_for() -> None:
    with restoring("whitening", ARRAYS, "projection", "mean") as (projection, mean):
        assert projection is ARRAYS["projection"]
        assert mean is ARRAYS["mean"]


def test_all_that_is_missing_is_named() -> None:
    with (
        pytest.raises(ModelError, match=r"^codebook: idf, gaps missing; expected idf, mean, gaps$"),
        restoring("codebook", ARRAYS, "idf", "mean", "gaps"),
    ):
        pytest.fail("nothing may be made of it")


@pytest.mark.parametrize("error", [UsageError("of two rows"), TypeError("of two rows"), ValueError("of two rows")])
def test_arrays_that_do_not_fit_are_damage(error: Exception) -> None:
    with pytest.raises(ModelError, match=r"^whitening: damaged \(of two rows\); fit it again$"):
        fail(error)


def test_how_to_mend_it_can_be_told() -> None:
    refuse: Callable[[NDArray[Any]], Any] = np.linalg.inv  # of a vector
    with (
        pytest.raises(ModelError, match=r"; fit them again$"),
        restoring("codes", ARRAYS, "mean", remedy="fit them again") as (mean,),
    ):
        refuse(mean)


@pytest.mark.parametrize("error", [ModelError("a part of it is damaged"), KeyError("a bug"), MemoryError()])
def test_other_errors_are_what_they_were(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        fail(error)
    assert caught.value is error
