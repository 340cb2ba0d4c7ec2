"""A model with a local head of several graphs is added and removed with all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kindred.backbones import add_model, load_card, remove_model
from kindred.backbones.card import digest_of
from kindred.errors import ModelError
from kindred.features import LearnedMatcher, LocalNetwork, find_matcher
from pictures import picture
from tiny_local import make_local_model, make_local_pair
from tiny_model import home, make_model


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


def test_a_matcher_is_added_and_removed_with_its_model(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from tiny_matcher import make_matcher

    path = make_local_pair(tmp_path / "download")
    matcher = make_matcher(tmp_path / "elsewhere" / "lightglue.onnx")
    card = add_model(path, name="mine", matcher=matcher)
    assert card.local is not None
    assert card.local.matcher == "mine.matcher.onnx"
    assert card.local.matcher_digest == digest_of(matcher)
    content = matcher.read_bytes()
    matcher.unlink()
    _, stored = load_card("mine")
    assert stored.with_name("mine.matcher.onnx").read_bytes() == content
    again = add_model(stored, name="again")  # with the matcher of its card
    assert again.local is not None
    assert again.local.matcher == "again.matcher.onnx"
    assert stored.with_name("again.matcher.onnx").read_bytes() == content
    for name in ("mine", "again"):
        assert isinstance(find_matcher(name), LearnedMatcher)
        remove_model(name)
    assert not list(stored.parent.iterdir())


def test_without_a_matcher_that_is_a_graph_of_a_local_head_nothing_is_added(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from tiny_matcher import make_matcher, set_matcher

    matcher, broken = make_matcher(tmp_path / "matcher.onnx"), tmp_path / "broken.onnx"
    broken.write_bytes(matcher.read_bytes()[:100])
    local = make_local_model(tmp_path)
    for path, given, said in (
        (make_model(tmp_path), matcher, r"no table \[local\]"),
        (local, broken, "not a valid ONNX model"),
        (local, tmp_path / "missing.onnx", "missing.onnx"),
        (local, local.with_suffix(".toml"), "expected an .onnx file"),
    ):
        with pytest.raises(ModelError, match=said):
            add_model(path, name="mine", matcher=given)
    pair = make_local_pair(tmp_path)
    with pytest.raises(ModelError, match=r"pair_describe\.onnx: the matcher returns descriptors; expected matches0"):
        add_model(local, name="mine", matcher=pair.with_name("pair_describe.onnx"))
    fixed = make_matcher(tmp_path / "fixed.onnx", number=64)
    with pytest.raises(ModelError, match="takes exactly 64 keypoints"):
        add_model(local, name="mine", matcher=fixed)
    set_matcher(local, matcher)
    matcher.write_bytes(b"another")
    with pytest.raises(ModelError, match=r"matcher\.onnx is not the graph"):
        add_model(local, name="mine")
    with pytest.raises(ModelError, match="unknown model"):
        load_card("mine")


@pytest.mark.parametrize("name", ["eyes.matcher", "eyes.describe"])
def test_a_name_whose_file_would_be_a_further_graph_of_another_model_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="files of other models"):
        add_model(make_local_model(tmp_path), name=name)
