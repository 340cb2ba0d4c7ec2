"""Arrays in `.npz` files: read without trust, and turned back into fitted objects."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kindred._support.npz import read_npz, restoring
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


def _saved(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _with_member(content: bytes, *, compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("a.npy", content)
    return file.getvalue()


def _npy(header: str, rest: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + rest


def test_arrays_come_back_as_they_were_saved() -> None:
    arrays = {
        "matrix": np.arange(6, dtype=np.float16).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "text": np.array('{"a": 1}'),
        "none": np.empty((0, 4), np.int64),
        "scalar": np.array(3),
    }
    read = read_npz(_saved(**arrays), 10_000)
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
        assert read[name].flags.writeable


def test_what_a_hostile_file_claims_is_not_believed() -> None:
    good = _saved(a=np.arange(100))
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}"
    encrypted = bytearray(_with_member(_npy(header)))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.index(signature) + at] |= 1
    hostile = {
        "more than it may hold": _with_member(b"\0" * 10_000_000, compression=zipfile.ZIP_DEFLATED),
        "with 0 bytes": _with_member(_npy(header)),
        "array of objects": _saved(a=np.array([{}], dtype=object)),
        "encrypted": bytes(encrypted),
        "not a zip file": b"\0" * 100,
        "Bad CRC": good.replace((50).to_bytes(8, "little"), (51).to_bytes(8, "little")),
        "damaged": good[: len(good) // 2],
    }
    for reason, data in hostile.items():
        with pytest.raises(ValueError, match=reason) as caught:
            read_npz(data, 1_000_000)
        assert "\n" not in str(caught.value)


@given(st.data())
def test_flipped_bytes_give_arrays_or_one_clear_error(data: st.DataObject) -> None:
    content = bytearray(_saved(a=np.arange(8), b=np.eye(3, dtype=np.float32)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damage = ""
    try:
        read_npz(bytes(content), 100_000)
    except ValueError as error:  # and of no other kind
        damage = str(error)
    assert not damage or damage.startswith("damaged or not an .npz file: ")
