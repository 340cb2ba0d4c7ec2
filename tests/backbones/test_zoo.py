from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kindred.backbones import load, zoo
from kindred.backbones.card import Card, digest_of
from kindred.backbones.zoo import add_model, list_models, load_card, remove_model
from kindred.errors import ModelError

PIXELS: dict[str, Any] = {"mean": (127.5, 127.5, 127.5), "std": (127.5, 127.5, 127.5)}
KNOWN = sorted((Path(zoo.__file__).parent / "known").glob("*.toml"))


@pytest.fixture(autouse=True)
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the bundled models by an empty folder."""
    folder = tmp_path / "bundled"
    monkeypatch.setattr(zoo, "BUNDLED", folder)
    return folder


def names() -> list[str]:
    return [entry.name for entry in list_models()]


def test_add_list_load_remove(tiny: Callable[..., Path], home: Path) -> None:
    assert list_models() == ()
    path = tiny()
    card = add_model(path, licence="MIT", source="here", description="small", **PIXELS)
    assert (card.name, card.file, card.default_tap) == ("tiny", "tiny.onnx", "deep")
    assert (card.licence, card.source, card.description, card.channel_order) == (
        "MIT",
        "here",
        "small",
        "RGB",
    )
    assert [tap.stride for tap in card.taps] == [2, 4, 8]
    assert sorted(entry.name for entry in (home / "models").iterdir()) == ["tiny.onnx", "tiny.toml"]
    path.unlink()  # the model is a copy
    assert load_card("tiny") == (card, home / "models" / "tiny.onnx")
    assert [(entry.name, entry.bundled, entry.card) for entry in list_models()] == [("tiny", False, card)]
    remove_model("tiny")
    assert list((home / "models").iterdir()) == []
    assert names() == []


def test_add_with_another_name_and_channel_order(tiny: Callable[..., Path]) -> None:
    card = add_model(
        tiny(),
        name="mine",
        mean=[1, 2, 3],
        std=[4, 5, 6],
        channel_order="BGR",
        default_tap="block",
    )
    assert load_card("mine")[0] == card
    assert (card.mean, card.std, card.channel_order, card.default_tap) == (
        (1, 2, 3),
        (4, 5, 6),
        "BGR",
        "block",
    )


def test_option_any_size(tiny: Callable[..., Path], save_graph: Callable[..., Path]) -> None:
    path = tiny(shape=(1, 3, 60, 45))
    assert add_model(path, name="fixed", **PIXELS).input_size == (60, 45)
    assert add_model(path, name="free", any_size=True, **PIXELS).input_size is None
    node = pytest.importorskip("onnx").helper.make_node
    nodes = [node("Add", ["image", "positions"], ["map"])]
    weights = {"positions": np.ones((1, 3, 16, 16), np.float32)}
    path = save_graph(nodes, weights, ["map"], shape=("batch", 3, 16, 16))
    assert add_model(path, name="bound", **PIXELS).input_size == (16, 16)
    with pytest.raises(ModelError, match=r"tiny.onnx: unbound cannot take images of 160 × 128 pixels"):
        add_model(path, name="unbound", any_size=True, **PIXELS)


def test_add_reports_missing_arguments(tiny: Callable[..., Path]) -> None:
    path = tiny()
    incomplete: list[dict[str, Any]] = [{}, {"mean": (0, 0, 0)}, {"std": (1, 1, 1)}]
    for given in incomplete:
        with pytest.raises(ModelError, match="not a network known to Kindred: give mean and std"):
            add_model(path, **given)
    with pytest.raises(ModelError, match=r"mean is \[1\]; expected three numbers"):
        add_model(path, mean=[1], std=[1, 1, 1])
    with pytest.raises(ModelError, match="unknown tap 'deeep'; did you mean 'deep'"):
        add_model(path, default_tap="deeep", **PIXELS)
    assert list_models() == ()


def test_invalid_files_are_not_added(tiny: Callable[..., Path], tmp_path: Path) -> None:
    whole = tiny().read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.onnx").write_text("hello")
    (tmp_path / "other.pb").write_bytes(whole)
    for name, message in {
        "cut.onnx": "not a valid ONNX model",
        "text.onnx": "not a valid ONNX model",
        "other.pb": r"expected an \.onnx file",
        "none.onnx": "the model cannot be read: no such file",
        ".": "the model cannot be read: it is a folder",
    }.items():
        with pytest.raises(ModelError, match=message) as caught:
            add_model(tmp_path / name, **PIXELS)
        assert "\n" not in str(caught.value)
    assert list_models() == ()


@pytest.mark.parametrize("location", ["split.data", "../private.bin", "absolute"])
def test_weights_in_another_file_are_not_read(tiny: Callable[..., Path], tmp_path: Path, location: str) -> None:
    onnx = pytest.importorskip("onnx")
    sound = add_model(tiny(), **PIXELS)
    folder = tmp_path / "received"
    folder.mkdir()
    path, model = folder / "split.onnx", onnx.load(tiny())
    onnx.save_model(model, path, save_as_external_data=True, location="split.data", size_threshold=0)
    private = tmp_path / "private.bin"
    private.write_bytes((folder / "split.data").read_bytes())  # the very weights: only following the name is missing
    graph = onnx.load(path, load_external_data=False)
    for weights in graph.graph.initializer:
        for entry in weights.external_data:
            if entry.key == "location":
                entry.value = str(private) if location == "absolute" else location
    path.write_bytes(graph.SerializeToString())
    expected = "not a valid ONNX model in a single file"
    with pytest.raises(ModelError, match=expected) as caught:
        add_model(path, name="split", **PIXELS)
    assert "\n" not in str(caught.value)
    replace(sound, name="split", file="split.onnx", digest=digest_of(path)).save(folder / "split.toml")
    with pytest.raises(ModelError, match=expected):
        load(path, engine="openvino")
    with pytest.raises(ModelError, match=expected):
        add_model(path, name="again")
    assert names() == ["tiny"]


def test_a_model_that_changes_while_it_is_added_is_refused(
    tiny: Callable[..., Path], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny()
    monkeypatch.setattr(zoo, "_verify_heads", lambda _card, path: path.write_bytes(b"another file"))
    with pytest.raises(ModelError, match="the file was changed while it was being added"):
        add_model(path, **PIXELS)
    assert not (home / "models").exists() or list((home / "models").iterdir()) == []
    assert names() == []


@pytest.mark.parametrize("name", ["a/b", "../up", "", " "])
def test_names_with_path_components_are_refused(tiny: Callable[..., Path], name: str) -> None:
    if name:
        with pytest.raises(ModelError, match="is not a valid model name"):
            add_model(tiny(), name=name, **PIXELS)
    with pytest.raises(ModelError, match="is not a valid model name"):
        remove_model(name)


def test_an_invalid_model_name_is_refused(tiny: Callable[..., Path]) -> None:
    path = tiny(name="my model.onnx")
    with pytest.raises(ModelError, match="'my model' is not a valid model name"):
        add_model(path, **PIXELS)
    assert add_model(path, name="model", **PIXELS).name == "model"


def test_a_name_can_be_used_once(tiny: Callable[..., Path], bundled: Path) -> None:
    path = tiny()
    card = add_model(path, **PIXELS)
    with pytest.raises(ModelError, match="a model named tiny already exists: give another name"):
        add_model(path, **PIXELS)
    bundled.mkdir()
    replace(card, name="kin").save(bundled / "kin.toml")
    with pytest.raises(ModelError, match="a model named kin already exists"):
        add_model(path, name="kin", **PIXELS)


def test_bundled_models_are_listed_first_and_cannot_be_removed(tiny: Callable[..., Path], bundled: Path) -> None:
    path = tiny()
    card = add_model(path, name="a", **PIXELS)
    bundled.mkdir()
    bundled.joinpath("kin.onnx").write_bytes(path.read_bytes())
    replace(card, name="kin", file="kin.onnx").save(bundled / "kin.toml")
    assert [(entry.name, entry.bundled) for entry in list_models()] == [("kin", True), ("a", False)]
    assert load_card("kin")[1] == bundled / "kin.onnx"
    with pytest.raises(ModelError, match="model kin is bundled with Kindred and cannot be removed"):
        remove_model("kin")


def test_an_unknown_name_suggests_the_nearest(tiny: Callable[..., Path]) -> None:
    with pytest.raises(
        ModelError, match=r"unknown model 'tyny'; no models are installed: `kindred models add FILE.onnx`"
    ):
        load_card("tyny")
    add_model(tiny(), **PIXELS)
    with pytest.raises(ModelError, match="unknown model 'tyny'; did you mean 'tiny'\\?"):
        load_card("tyny")
    with pytest.raises(ModelError, match="unknown model 'tyny' among those you added; did you mean 'tiny'\\?"):
        remove_model("tyny")


def test_a_damaged_model_is_listed_with_its_problem(tiny: Callable[..., Path], home: Path) -> None:
    path = tiny()
    for name in ("a", "b", "c"):
        add_model(path, name=name, **PIXELS)
    (home / "models" / "a.toml").write_text("name = 3")
    (home / "models" / "b.onnx").unlink()
    problems = {entry.name: entry.problem for entry in list_models()}
    assert "the key 'file' is missing" in problems["a"]
    assert "its graph b.onnx is missing" in problems["b"]
    assert problems["c"] == ""
    assert [entry.name for entry in list_models() if entry.card is None] == ["a", "b"]
    with pytest.raises(ModelError, match=r"its graph b.onnx is missing"):
        load_card("b")
    remove_model("b")
    assert names() == ["a", "c"]


def test_models_in_any_folder(tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny()
    with pytest.raises(ModelError, match=r"no card tiny.toml beside it; `kindred models add .*tiny.onnx` writes one"):
        load_card(path)
    card = add_model(path, **PIXELS)
    card.save(tmp_path / "tiny.toml")
    assert load_card(path) == (card, path)
    assert load_card(str(tmp_path / "tiny.toml")) == (card, path)
    monkeypatch.chdir(tmp_path)
    assert load_card("tiny.onnx") == (card, Path("tiny.onnx"))
    with pytest.raises(ModelError, match=r"none.onnx: no such model file"):
        load_card(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match=r"none.toml: no such card"):
        load_card("none.toml")
    with pytest.raises(ModelError, match=r"expected an .onnx file, or the .toml card of one"):
        load_card("./tiny")


def test_the_card_beside_a_file_is_used(tiny: Callable[..., Path], tmp_path: Path) -> None:
    path = tiny()
    made = replace(add_model(path, name="first", **PIXELS), name="trained", training={"epochs": 3})
    replace(made, file="tiny.onnx").save(tmp_path / "tiny.toml")
    assert add_model(path) == replace(made, file="trained.onnx")
    assert add_model(path, name="other", licence="MIT").licence == "MIT"
    replace(made, digest="0" * 64).save(tmp_path / "tiny.toml")
    with pytest.raises(ModelError, match="is not the graph that its card describes"):
        add_model(path, name="third")


@pytest.mark.parametrize(
    ("old", "new"),
    [("channels = 6", "channels = 7"), ("stride = 8", "stride = 16"), ('"deep"\nch', '"deeep"\nch')],
)
def test_a_card_that_does_not_match_its_graph_is_refused(
    tiny: Callable[..., Path], tmp_path: Path, old: str, new: str
) -> None:
    path = tiny()
    text = add_model(path, name="first", **PIXELS).to_toml().replace('"first', '"tiny')
    (tmp_path / "tiny.toml").write_text(text.replace(old, new))
    assert text != text.replace(old, new)
    channels = "tap deep has 6 channels, but its card declares 7"
    stride = r"tap deep gives maps of \[\(6, 16, 20\), \(6, 48, 52\)\] for"
    with pytest.raises(ModelError, match=f"{channels}|{stride}|no tensor 'deeep'"):
        add_model(path)
    assert names() == ["first"]


def test_a_model_put_into_the_folder_by_hand(tiny: Callable[..., Path], home: Path) -> None:
    (home / "models").mkdir(parents=True)
    path = tiny().replace(home / "models" / "tiny.onnx")
    assert names() == []
    add_model(path, **PIXELS)
    assert names() == ["tiny"]
    assert path.is_file()


def test_a_folder_that_cannot_be_written(tiny: Callable[..., Path], home: Path) -> None:
    path = tiny()
    home.write_text("a file")
    with pytest.raises(ModelError, match=r"tiny.onnx: the model cannot be copied"):
        add_model(path, **PIXELS)


def test_bundled_models_are_available_without_a_home_folder(bundled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise ModelError("no home folder")

    monkeypatch.setattr(zoo, "models_folder", no_home)
    assert list_models() == ()
    bundled.mkdir()
    (bundled / "kin.toml").write_text("")
    assert [entry.bundled for entry in list_models()] == [True]


def test_known_networks_have_different_digests() -> None:
    cards = [Card.load(path) for path in KNOWN]
    assert [card.name for card in cards] == [path.stem for path in KNOWN]
    assert len({card.digest for card in cards}) == len(cards) >= 5
    for card in cards:
        assert card.licence in ("Apache-2.0", "BSD-3-Clause")
        assert card.source.startswith(("https://github.com/", "https://pypi.org/"))


@pytest.mark.parametrize("name", [path.stem for path in KNOWN])
def test_public_networks_need_no_option(shared: Path, name: str) -> None:
    path = shared / "weights" / f"{name}.onnx"
    readme = (shared / "weights" / "README.md").read_text()
    digest = digest_of(path)
    assert digest[:16] in readme or f"| {digest[:8]} |" in readme
    card, known = add_model(path), Card.load(KNOWN[0].with_name(f"{name}.toml"))
    assert load_card(path) == (known, path)
    if known.local is not None:  # a second graph is named after the model
        card = replace(card, local=known.local)
    assert card == known
    for tap in card.taps:  # where the README has a row for it, its channels and stride
        if found := re.search(rf"`{re.escape(tap.name)}` \((\d+), (\d+)", readme):
            assert found.groups() == (str(tap.channels), str(tap.stride))


def test_a_model_that_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    fifo, zero = tmp_path / "fifo.onnx", tmp_path / "zero.onnx"
    os.mkfifo(fifo)
    zero.symlink_to("/dev/zero")
    for path in (fifo, zero):
        with pytest.raises(ModelError, match="the model cannot be read: not a regular file"):
            add_model(path, mean=(0.0,) * 3, std=(1.0,) * 3)
        with pytest.raises(ModelError, match="no such model file") as caught:
            load_card(path)
        assert "\n" not in str(caught.value)


def test_irregular_or_deeply_nested_cards_are_refused(tmp_path: Path) -> None:
    fifo, zero, large, deep = (tmp_path / f"{name}.toml" for name in ("fifo", "zero", "large", "deep"))
    os.mkfifo(fifo)
    zero.symlink_to("/dev/zero")
    large.write_text("#" * 2_000_000, encoding="utf-8")
    deep.write_text(f"name = {'[' * 100_000}", encoding="utf-8")
    reasons = {fifo: "not a regular file", zero: "not a regular file", large: "larger than", deep: "nested too deeply"}
    for path, reason in reasons.items():
        with pytest.raises(ModelError, match=reason) as caught:
            Card.load(path)
        assert "\n" not in str(caught.value)
