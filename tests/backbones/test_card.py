from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindred.backbones.card import (
    Card,
    ClassifierHead,
    DetectorHead,
    LocalHead,
    Tap,
    check_digest,
    check_name,
    digest_of,
)
from kindred.errors import ModelError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)


def card(**changes: Any) -> Card:
    values: dict[str, Any] = {
        "name": "net",
        "file": "net.onnx",
        "digest": "0" * 64,
        "mean": (123.675, 116.28, 103.53),
        "std": (58.395, 57.12, 57.375),
        "input_name": "image",
        "default_tap": "deep",
        "taps": (
            Tap(name="early", tensor="/a/Relu_output_0", channels=8, stride=4),
            Tap(name="deep", tensor="b", channels=32, stride=16),
        ),
    }
    return Card(**values | changes)


def test_round_trip_of_a_full_card() -> None:
    full = card(
        description='a "quoted" line\nand ü',
        licence="Apache-2.0",
        source="https://example.org",
        channel_order="BGR",
        layout="NHWC",
        input_size=(300, 200),
        training={"epochs": 3, "rate": 1e-05, "teacher net": "big\x7f"},
    )
    assert Card.from_toml(full.to_toml()) == full


DETECTOR = DetectorHead(boxes="b", scores="/s:0", form="yxyx", units="relative")


@pytest.mark.parametrize(
    "heads",
    [
        {"detector": DETECTOR},
        {"detector": dataclasses.replace(DETECTOR, form="xyxy", units="pixels", background=0)},
        {"classifier": ClassifierHead(maps="early")},
        {"classifier": ClassifierHead(weights="fc.weight", tap="deep", background=1000), "detector": DETECTOR},
    ],
)
def test_round_trip_of_heads(heads: dict[str, Any]) -> None:
    full = card(**heads, training={"epochs": 3})
    assert Card.from_toml(full.to_toml()) == full
    assert hash(full) == hash(Card.from_toml(full.to_toml()))


def test_a_head_is_written_without_default_values() -> None:
    assert card(classifier=ClassifierHead(maps="early")).to_toml().endswith('\n\n[classifier]\nmaps = "early"\n')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[detecter]\nboxes = "b"', "unknown key 'detecter'; did you mean 'detector'\\?"),
        ('[detector]\nboxs = "b"', "card: detector: unknown key 'boxs'; did you mean 'boxes'\\?"),
        ('[detector]\nboxes = "b"\nscores = "s"\nform = "yxyx"', "detector: the key 'units' is missing"),
        ('[detector]\nboxes = ""\nscores = "s"\nform = "yxyx"\nunits = "pixels"', "detector is .*names of two tensors"),
        (
            '[detector]\nboxes = "b"\nscores = "s"\nform = "yxhw"\nunits = "pixels"',
            "form is yxhw; expected yxyx or xyxy",
        ),
        (
            '[detector]\nboxes = "b"\nscores = "s"\nform = "xyxy"\nunits = "m"',
            "units is m; expected relative or pixels",
        ),
        (
            '[detector]\nboxes = "b"\nscores = "s"\nform = "xyxy"\nunits = "pixels"\nbackground = -2',
            "detector.background is -2; expected a column from 0",
        ),
        ('[classifier]\nmap = "early"', "classifier: unknown key 'map'; did you mean 'maps'\\?"),
        ("[classifier]\nmaps = 3", "classifier: maps is 3; expected a quoted string"),
        ('[classifier]\nmaps = "erly"', "unknown tap 'erly'; did you mean 'early'"),
        ('[classifier]\nmaps = "early"\nbackground = 8', "classifier.background is 8; expected one of the 8 channels"),
        (
            '[classifier]\nmaps = "early"\nweights = "w"\ntap = "deep"',
            "classifier is .*; expected either maps, a tap, or",
        ),
        ('[classifier]\nweights = "w"', "classifier is .*; expected either maps, a tap, or weights"),
        ("[classifier]", "classifier is .*; expected either maps, a tap, or weights"),
        ('[[classifier]]\nmaps = "early"', r"classifier is \[.*; expected a table, headed \[classifier\]"),
    ],
)
def test_an_invalid_head_is_reported_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        Card.from_toml(f"{card().to_toml()}\n{text}\n")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ratio": 7.0}, "local.ratio is 7.0; expected a number above 0, up to 1"),
        ({"centre": math.inf}, "local.centre is inf; expected a number of pixels"),
        ({"descriptors": ""}, "local is without; expected either descriptors, a tap, or describe, an .onnx file"),
        (
            {"descriptors": "", "describe": "d.onnx"},
            "local.describe_digest is missing; expected the sha256 of that file",
        ),
        (
            {"descriptors": "", "describe": "d.onnx", "describe_digest": "0" * 64, "dimension": -1},
            "local.dimension is -1; expected that of the descriptors, 1 to 4096",
        ),
    ],
)
def test_a_wrong_value_of_a_local_head_is_reported_by_its_key(changes: dict[str, Any], message: str) -> None:
    taps = (*card().taps, Tap(name="one", tensor="one", channels=1, stride=1))
    head: dict[str, Any] = {"scores": "one", "descriptors": "deep", **changes}
    with pytest.raises(ModelError) as caught:
        card(taps=taps, local=LocalHead(**head))
    assert str(caught.value) == f"card of net: {message}"


@settings(deadline=None)  # the machine may be busy
@given(
    TEXT,
    TEXT,
    st.tuples(NUMBER, NUMBER, NUMBER),
    st.dictionaries(TEXT, TEXT | NUMBER | st.integers(-(2**63), 2**63 - 1)),
)
def test_round_trip_of_any_text_and_number(
    source: str, tensor: str, mean: tuple[float, float, float], training: dict[str, str | int | float]
) -> None:
    tap = Tap(name="t", tensor=tensor + "x", channels=1, stride=1)
    any_card = card(source=source, mean=mean, training=training, taps=(tap,), default_tap="t")
    assert Card.from_toml(any_card.to_toml()) == any_card


def test_numpy_numbers_are_written_as_plain_ones() -> None:
    text = card(mean=tuple(np.array([1.5, 2.0, 3.0])), training={"steps": 4}).to_toml()
    assert "mean = [1.5, 2.0, 3.0]" in text
    assert "steps = 4" in text


def test_missing_keys_take_their_defaults() -> None:
    text = "\n".join(line for line in card().to_toml().splitlines() if not line.startswith(("channel_order", "layout")))
    read = Card.from_toml(text)
    assert (read.channel_order, read.layout, read.input_size, read.training) == ("RGB", "NCHW", None, {})


def test_cards_are_hashable_and_compared_by_value() -> None:
    assert card() == card()
    assert hash(card(training={"a": 1})) == hash(card(training={"a": 1}))
    with pytest.raises(dataclasses.FrozenInstanceError):
        card().name = "other"  # type: ignore[misc]


def test_tap_by_name() -> None:
    assert card().tap("early").channels == 8
    with pytest.raises(ModelError, match="model net: unknown tap 'erly'; did you mean 'early'\\?"):
        card().tap("erly")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mean =", "maen =", "unknown key 'maen'; did you mean 'mean'\\?"),
        ("mean =", "# mean =", "the key 'mean' is missing"),
        ("channels = 8", "chanels = 8", "taps: unknown key 'chanels'; did you mean 'channels'\\?"),
        ("channels = 8", "", "taps: the key 'channels' is missing"),
        ("channels = 8", "channels = true", "taps: channels is True; expected a whole number"),
        ("stride = 4", "stride = 4.0", "taps: stride is 4.0; expected a whole number"),
        ("stride = 4", "stride = 0", "taps is Tap.*channels and stride of at least 1"),
        ('name = "net"', "name = 3", "name is 3; expected a quoted string"),
        ('name = "net"', 'name = "../net"', "is not a valid model name"),
        (
            'file = "net.onnx"',
            'file = "../net.onnx"',
            "file is ../net.onnx; expected the name of an .onnx file",
        ),
        ('file = "net.onnx"', 'file = "net.bin"', "file is net.bin; expected the name of an .onnx file"),
        ('digest = "0', 'digest = "', "digest is 0*; expected the sha256"),
        ('"RGB"', '"GBR"', "channel_order is GBR; expected RGB or BGR"),
        ('"NCHW"', '"CHW"', "layout is CHW; expected NCHW or NHWC"),
        ("mean = [123.675, ", "mean = [", "mean is .*; expected three numbers"),
        ("mean = [123.675, ", 'mean = ["1", ', "mean is .*; expected a list of numbers"),
        ("std = [58.395, ", "std = [0.0, ", "std is .*; expected three numbers"),
        ("std = [58.395, ", "std = [nan, ", "std is .*; expected three numbers"),
        ("layout =", "input_size = [0, 3]\nlayout =", "input_size is .*; expected \\[height, width\\]"),
        ("layout =", "input_size = 224\nlayout =", "input_size is 224; expected \\[height, width\\]"),
        ('name = "early"', 'name = "deep"', "expected different names"),
        ('default_tap = "deep"', 'default_tap = "deap"', "unknown tap 'deap'; did you mean 'deep'"),
        ("[[taps]]", "[[taps]", "not a TOML file"),
    ],
)
def test_an_invalid_card_is_reported_in_one_line(old: str, new: str, message: str) -> None:
    text = card().to_toml().replace(old, new, 1)
    with pytest.raises(ModelError, match=message) as caught:
        Card.from_toml(text, "net.toml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["true", "[1]", "1979-05-27"])
def test_training_takes_strings_and_numbers_only(value: str) -> None:
    with pytest.raises(ModelError, match=r"card: training.key is .*; expected a string or a number"):
        Card.from_toml(card().to_toml() + f"\n[training]\nkey = {value}\n")


def test_taps_and_training_must_be_tables() -> None:
    head = card().to_toml().split("\n\n")[0]
    with pytest.raises(ModelError, match="taps is 3; expected tables"):
        Card.from_toml(f"{head}\ntaps = 3")
    with pytest.raises(ModelError, match="training is 3; expected a table"):
        Card.from_toml(f"training = 3\n{card().to_toml()}")
    with pytest.raises(ModelError, match="expected at least one feature map"):
        Card.from_toml(f"{head}\ntaps = []")


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    card().save(path)
    assert Card.load(path) == card()
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.toml"]
    with pytest.raises(ModelError, match="cannot be written"):
        card().save(tmp_path / "missing" / "net.toml")


def test_load_reports_why_it_fails(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"net.toml: no such card; .*`kindred models add`"):
        Card.load(tmp_path / "net.toml")
    with pytest.raises(ModelError, match="the card cannot be read"):
        Card.load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(ModelError, match="the card cannot be read"):
        Card.load(tmp_path / "latin.toml")


def test_digest(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_of(path) == digest
    check_digest(card(digest=digest), path)
    with pytest.raises(ModelError, match=r"net.onnx is not the graph that its card describes .*ba7816bf8f01…"):
        check_digest(card(), path)
    with pytest.raises(ModelError, match="the model cannot be read: no such file"):
        digest_of(tmp_path / "none.onnx")


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a\\b", "a b", "x" * 65, "é"])
def test_invalid_model_names(name: str) -> None:
    with pytest.raises(ModelError, match="is not a valid model name: expected 1 to 64 letters"):
        check_name(name)


@pytest.mark.parametrize("name", ["kin", "mobilenet_v2", "resnet-50.v2", "3d"])
def test_valid_model_names(name: str) -> None:
    check_name(name)
    assert card(name=name).name == name
