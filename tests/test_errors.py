from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from kindred import errors
from kindred.errors import ImageError, KindredError, MissingExtra, RemoteError

MADE: dict[type[KindredError], KindredError] = {
    ImageError: ImageError(Path("a/b.jpg"), "image data ends early", final=False),
    MissingExtra: MissingExtra("reading this", "verify"),
    RemoteError: RemoteError("s3://bucket/a.jpg", "no such file", missing=True),
}


def classes(base: type[KindredError] = KindredError) -> Iterator[type[KindredError]]:
    yield base
    for kind in base.__subclasses__():
        yield from classes(kind)


def own() -> list[type[KindredError]]:
    return [kind for kind in classes() if kind.__module__ == errors.__name__]


def test_the_whole_tree_is_exported() -> None:
    assert sorted(kind.__name__ for kind in own()) == sorted(errors.__all__)


@pytest.mark.parametrize("kind", own())
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_survives_pickling_with_all_its_fields(kind: type[KindredError], protocol: int) -> None:
    error = MADE.get(kind) or kind("one line")
    error.add_note("seen by a worker")
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is kind
    assert str(again) == str(error)
    assert again.args == error.args
    assert vars(again) == vars(error)
    assert vars(copy.copy(error)) == vars(error)


def test_a_reason_is_final_unless_it_may_change_without_the_bytes() -> None:
    assert ImageError("a.jpg", "image data is damaged").final
    assert not ImageError("a.jpg", "file vanished", final=False).final
