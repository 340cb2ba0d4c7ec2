"""A model with a local head of two graphs is added and removed with both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kindred.backbones import add_model, load_card, remove_model
from kindred.errors import ModelError
from kindred.features import LocalNetwork
from pictures import picture
from tiny_local import make_local_model, make_local_pair
from tiny_model import home


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path) -> Iterator[Path]:
    with home(tmp_path / "home") as folder:
        yield folder


def test_both_graphs_are_added_and_removed(tmp_path: Path) -> None:
    path = make_local_pair(tmp_path / "download")
    before = LocalNetwork(path).find(picture(1), count=20, longest=64)
    add_model(path, name="mine")
    for file in (tmp_path / "download").iterdir():
        file.unlink()
    after = LocalNetwork("mine").find(picture(1), count=20, longest=64)
    assert after.points.tolist() == before.points.tolist()
    assert after.descriptors == pytest.approx(before.descriptors, abs=1e-6)
    _, stored = load_card("mine")
    assert len(list(stored.parent.iterdir())) == 3
    remove_model("mine")
    assert not list(stored.parent.iterdir())


def test_a_head_in_one_graph_is_added(tmp_path: Path) -> None:
    add_model(make_local_model(tmp_path), name="eyes2")
    assert len(LocalNetwork("eyes2").find(picture(1, width=96, height=96), count=20, longest=96)) > 0


@pytest.mark.parametrize("missing", [True, False])
def test_without_the_right_second_graph_nothing_is_added(tmp_path: Path, missing: bool) -> None:
    path = make_local_pair(tmp_path)
    second = path.with_name("pair_describe.onnx")
    if missing:
        second.unlink()
    else:
        second.write_bytes(path.read_bytes())
    with pytest.raises(ModelError, match=r"pair_describe\.onnx"):
        add_model(path, name="mine")
    with pytest.raises(ModelError, match="unknown model"):
        load_card("mine")
