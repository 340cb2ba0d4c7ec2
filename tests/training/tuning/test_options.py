"""The options of a training: what cannot be meant is refused, and the command line of a card gives them back."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindred.cli.app import run
from kindred.errors import UsageError
from kindred.training.tuning import train as training
from kindred.training.tuning.options import TrainingOptions

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=8).filter(
    lambda word: not word.startswith("-")
)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=6)
SHARES = st.floats(0.01, 1)
VALUES = st.integers(-9, 9) | st.floats(-1e6, 1e6)
TEXTS = st.sampled_from(["all", "hard", "semi-hard"])


def _paths() -> st.SearchStrategy[str]:
    return st.just("") | WORDS.map(lambda word: str(Path(word)))


OPTIONS = st.builds(
    TrainingOptions,
    method=WORDS,
    backbone=WORDS,
    weights=st.just("") | WORDS,
    tap=st.just("") | WORDS,
    aggregation=WORDS,
    aggregation_options=st.dictionaries(NAMES, VALUES | st.booleans(), max_size=3),
    freeze=st.just("") | WORDS,
    tune_norms=st.booleans(),
    loss=st.just("") | WORDS,
    loss_options=st.dictionaries(NAMES, VALUES | TEXTS, max_size=3),
    mining=st.sampled_from(["batch", "pool"]),
    memory=st.integers(0, 10**6),
    batch=st.integers(2, 999),
    images_per_class=st.integers(2, 99),
    negatives=st.integers(1, 99),
    clusters=st.integers(0, 999),
    labels=_paths(),
    pairs=_paths(),
    validate=_paths(),
    hold_out=st.floats(0, 0.9),
    size=st.integers(32, 4000),
    crop=st.just(0) | st.integers(32, 4000),
    area=st.tuples(SHARES, SHARES),
    flip=st.booleans(),
    colour=st.floats(0, 0.9),
    epochs=st.integers(1, 999),
    rate=st.floats(1e-12, 10),
    warmup=st.floats(0, 0.99),
    decay=st.floats(0, 9),
    accumulate=st.integers(1, 99),
    patience=st.integers(0, 99),
    seed=st.integers(0, 2**31),
)


@pytest.fixture(scope="module")
def trained() -> Iterator[list[tuple[Path, Path, TrainingOptions]]]:
    """What the command line would have trained."""
    calls: list[tuple[Path, Path, TrainingOptions]] = []

    def train(folder: Path, *, output: Path, options: TrainingOptions, **_: object) -> None:
        calls.append((folder, output, options))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", train)
        yield calls


@settings(max_examples=40, deadline=None)
@given(options=OPTIONS, folder=WORDS)
def test_the_command_gives_the_options_back(
    options: TrainingOptions, folder: str, trained: list[tuple[Path, Path, TrainingOptions]]
) -> None:
    trained.clear()
    words = shlex.split(options.command(Path(folder), Path("somewhere") / "mine.onnx"))
    assert words[:2] == ["kindred", "train"]
    assert run(words[1:]) == 0
    assert trained == [(Path(folder), Path("mine.onnx"), options)]


def test_what_is_usual_is_not_said() -> None:
    assert TrainingOptions().command(Path("a b"), Path("x/mine.onnx")) == "kindred train 'a b' -o mine.onnx"
    changed = TrainingOptions(weights="w.pth", flip=False, tune_norms=True, rate=1e-5, loss_options={"margin": 0.5})
    assert changed.changed() == {
        "weights": "w.pth",
        "tune_norms": True,
        "loss_options": {"margin": 0.5},
        "flip": False,
        "rate": 1e-5,
    }
    assert changed.command(Path("f"), Path("m.onnx")) == (
        "kindred train f -o m.onnx --from w.pth --tune-norms --set loss.margin=0.5 --no-flip --rate 1e-05"
    )


@settings(max_examples=30, deadline=None)
@given(OPTIONS)
def test_the_identity_is_what_json_gives_back(options: TrainingOptions) -> None:
    identity = options.as_json()
    assert json.loads(json.dumps(identity)) == identity
    assert len(identity) == len(TrainingOptions.__dataclass_fields__)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(
            ({name: 1.5}, f"{name} is 1.5; expected a whole number of at least ")
            for name in ("batch", "size", "epochs")
        ),
        *(({name: True}, f"{name} is True; expected a whole number of at least ") for name in ("seed", "accumulate")),
        *(({name: -1}, f"{name} is -1; expected a whole number of at least 0") for name in ("memory", "crop", "seed")),
        ({"batch": 1}, "batch is 1; expected a whole number of at least 2"),
        ({"crop": 31}, "crop is 31; expected at least 32 pixels, or 0 for the size"),
        ({"size": 31}, "size is 31; expected a whole number of at least 32"),
        *(
            ({name: value}, "got rate ")
            for name, value in (
                *(("rate", rate) for rate in (0, -1, float("nan"), float("inf"))),
                *(("hold_out", share) for share in (-0.1, 1, float("nan"))),
                *(("warmup", share) for share in (-0.1, 1, float("nan"))),
                *(("decay", decay) for decay in (-0.1, float("nan"), float("inf"))),
            )
        ),
        ({"mining": "both"}, "mining is 'both'; expected batch or pool"),
    ],
    ids=str,
)
def test_invalid_options_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        TrainingOptions(**changes)
    assert str(raised.value).startswith(message)
