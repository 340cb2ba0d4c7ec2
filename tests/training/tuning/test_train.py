"""`train_model`: a folder of classes and a backbone in, one that fits them out, used without PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from class_folders import NAMES, make_classes, member
from kindred.backbones.card import Card
from kindred.describer import Describer
from kindred.errors import TrainingError, UsageError
from kindred.recipe import Recipe
from kindred.training.log import read_log
from kindred.training.loop import Progress
from kindred.training.tuning.options import TrainingOptions
from kindred.training.tuning.train import TrainingResult, train
from pictures import make_folder
from tiny_model import CHANNELS, home, make_model

pytest.importorskip("onnx")


class Stopped(Exception):
    """Whatever ends a run."""


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GOMP_SPINCOUNT", "20000")  # `train_model` sets it, once
    with home(tmp_path / "home"):
        yield


@pytest.fixture
def images(tmp_path: Path) -> Path:
    make_classes(tmp_path / "images")
    return tmp_path / "images"


@pytest.fixture
def options(tmp_path: Path) -> TrainingOptions:
    backbone = str(make_model(tmp_path / "start"))
    return TrainingOptions(backbone=backbone, size=32, batch=8, epochs=2, rate=3e-3, hold_out=0.2)


def _train(images: Path, output: Path, options: TrainingOptions, **more: Any) -> TrainingResult:
    done = train(images, output=output, options=options, device="cpu", threads=1, **more)
    assert done is not None
    return done


def test_a_folder_of_classes_becomes_a_backbone_with_card_recipe_and_report(
    images: Path, options: TrainingOptions, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    read: list[tuple[int, int]] = []
    noted: list[str] = []
    output = tmp_path / "mine.onnx"
    done = _train(
        images,
        output,
        options,
        licence="my own",
        progress=seen.append,
        read_progress=lambda *here: read.append(here),
        on_note=noted.append,
    )
    assert (done.images, done.classes) == (20, 4)  # one of six held out
    assert noted == []
    assert read == [(number, 24) for number in range(1, 25)]
    assert [here.epoch for here in seen if here.stage == "training"] == [0] * 4 + [1] * 4
    stages = [stage for stage, _ in groupby(here.stage for here in seen)]
    epoch = ["planning", "training", "validating", "training"]  # the last reports the result of the validation
    last = ["exporting"] if done.fit.best_epoch == 2 else ["validating", "exporting"]
    assert stages == ["preparing", "validating", *epoch, *epoch, *last]
    assert (done.model, done.recipe) == (output, tmp_path / "mine-recipe.toml")
    assert set(done.files) == {output, tmp_path / "mine.toml", done.recipe}
    assert {each.name for each in tmp_path.iterdir()} == {
        *("images", "start", "mine.onnx", "mine.toml", "mine-recipe.toml", "mine.run")
    }
    assert Card.load(tmp_path / "mine.toml") == done.card
    assert (done.card.name, done.card.licence) == ("mine", "my own")
    assert done.card.source == f"{options.backbone}, fine-tuned by `kindred train`"
    facts = done.card.training
    assert facts["command"] == options.command(images, output)
    assert (facts["images"], facts["epochs"], facts["best_epoch"]) == (20, 2, done.fit.best_epoch)
    assert facts["mAP before"] == round(done.fit.before["mAP"], 4)
    assert facts["recall@1 after"] == round(done.fit.after["recall@1"], 4)
    run = tmp_path / "mine.run"
    assert {each.name for each in run.iterdir()} >= {"checkpoint.safetensors", "log.csv", "report.html"}
    assert {row.part for row in read_log(run / "log.csv")} == {"plan", "training", "validation"}
    assert done.report == run / "report.html"
    assert "<title>mine</title>" in done.report.read_text()
    recipe = Recipe.load(done.recipe)
    assert (recipe.pooling, recipe.size) == ("gem", 32)
    vectors = Describer(recipe).describe(member(0, 0))
    assert vectors.shape == (1, CHANNELS)
    assert np.linalg.norm(vectors) == pytest.approx(1, abs=1e-5)


def test_it_learns_to_tell_the_classes_apart(images: Path, options: TrainingOptions, tmp_path: Path) -> None:
    options = replace(options, epochs=12, rate=0.01, colour=0.1, area=(0.8, 1.0), flip=False)
    outcome = _train(images, tmp_path / "mine.onnx", options).fit
    losses = [row.value for row in read_log(tmp_path / "mine.run" / "log.csv") if row.name == "loss"]
    assert losses[-1] < 0.7 * losses[0]
    assert outcome.after["mAP"] >= outcome.before["mAP"]


def test_a_stopped_run_gives_the_same_network(images: Path, options: TrainingOptions, tmp_path: Path) -> None:
    def stop(here: Progress) -> None:
        if (here.epoch, here.step) == (1, 2):
            raise Stopped

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    straight = _train(images, tmp_path / "a" / "mine.onnx", options)
    with pytest.raises(Stopped):
        _train(images, tmp_path / "b" / "mine.onnx", options, progress=stop)
    again = _train(images, tmp_path / "b" / "mine.onnx", options)
    assert again.card.digest == straight.card.digest
    assert again.fit.after == straight.fit.after
    pages = [page.report.read_text().partition("<div")[2] for page in (straight, again)]
    assert pages[0] == pages[1]


def test_another_seed_gives_another_network(images: Path, options: TrainingOptions, tmp_path: Path) -> None:
    some, other = (
        _train(images, tmp_path / f"seed{seed}.onnx", replace(options, seed=seed, epochs=1)) for seed in (1, 2)
    )
    assert some.card.digest != other.card.digest


def test_options_reach_what_they_are_for(images: Path, options: TrainingOptions, tmp_path: Path) -> None:
    options = replace(
        options,
        method="triplet",
        loss="triplet_squared",
        loss_options={"margin": 0.3, "triplets": "all"},
        aggregation_options={"dimension": 6},
        tap="shallow",
        memory=16,
        images_per_class=2,
        accumulate=2,
        epochs=1,
    )
    done = _train(images, tmp_path / "mine.onnx", options)
    assert [tap.name for tap in done.card.taps] == ["shallow"]
    assert tmp_path / "mine-whitening.npz" in done.files
    assert Describer(Recipe.load(done.recipe)).dimension == 6
    assert done.fit.updates == 2


_WITHOUT_TORCH = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx", "safetensors"):
            raise ImportError(f"{name} must not be needed")

sys.meta_path.insert(0, Block())
from kindred.cli import main

sys.exit(main())
"""


def test_the_result_searches_without_pytorch(images: Path, options: TrainingOptions, tmp_path: Path) -> None:
    done = _train(images, tmp_path / "mine.onnx", replace(options, epochs=1))

    def kindred(*words: object) -> str:
        command = [sys.executable, "-c", _WITHOUT_TORCH, *map(str, words)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    kindred("index", images, "--library", tmp_path / "library", "--recipe", done.recipe)
    found = json.loads(kindred("search", images / "dill" / "1.png", "--library", tmp_path / "library", "--json"))
    assert Path(found["results"][0]["path"]) == images / "dill" / "1.png"
    assert found["results"][0]["score"] > 0.999


def test_images_that_cannot_be_used_are_noted_and_left_out(
    images: Path, options: TrainingOptions, tmp_path: Path
) -> None:
    (images / "dill" / "3.png").write_bytes(b"no picture")
    (images / "anise" / "empty.jpg").touch()
    (images / "empty").mkdir()
    make_folder(images / "alone", 1)
    make_folder(images, 2)
    noted: list[str] = []
    done = _train(images, tmp_path / "mine.onnx", replace(options, epochs=1), on_note=noted.append)
    assert noted == [
        "1 empty classes left out: empty",
        f"2 images directly in {images} left out: they have no class",
        "1 classes have a single image and give no positive pair: alone",
        "2 unreadable images skipped: empty.jpg (empty file), and 1 more",
    ]
    assert (done.images, done.classes) == (20, 5)


def test_a_table_of_labels_stands_for_the_folders(images: Path, options: TrainingOptions, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    rows = [f"{name}/{number}.png,{name[0]}" for name in NAMES[:2] for number in range(6)]
    rows += [f"{NAMES[2]}/{number}.png,{NAMES[2]}" for number in range(6)]
    table.write_text("\n".join(["path,label", *rows]))
    done = _train(images, tmp_path / "mine.onnx", replace(options, epochs=1, labels=str(table)))
    assert (done.images, done.classes) == (15, 3)


def test_a_table_of_pairs_stands_for_the_classes(images: Path, options: TrainingOptions, tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    rows = [f"{name}/{number}.png,{name}/{number + 1}.png,1" for name in NAMES for number in range(0, 6, 2)]
    rows += [f"anise/{number}.png,dill/{number}.png,0" for number in range(6)]
    table.write_text("\n".join(["a,b,same", *rows]))
    options = replace(options, method="siamese", pairs=str(table), epochs=1)
    done = _train(images, tmp_path / "mine.onnx", options)
    assert (done.images, done.classes) == (24, 0)
    assert done.fit.after.keys() == {"mAP", "recall@1", "recall@10"}  # of views: no label is read


def test_another_set_may_be_what_it_is_validated_on(images: Path, options: TrainingOptions, tmp_path: Path) -> None:
    make_classes(tmp_path / "other", {"elder": 3, "fennel": 3})
    options = replace(options, validate=str(tmp_path / "other"), epochs=1)
    done = _train(images, tmp_path / "mine.onnx", options)
    assert done.images == 24
    assert 0 < done.fit.before["mAP"] <= 1


def test_nothing_held_out_is_no_error(images: Path, options: TrainingOptions, tmp_path: Path) -> None:
    done = _train(images, tmp_path / "mine.onnx", replace(options, hold_out=0, epochs=1))
    assert (done.images, done.fit.after, done.fit.best_epoch) == (24, {}, 1)
    assert "No validation: " in done.report.read_text()


def test_an_unknown_architecture_without_weights_asks_for_some(
    images: Path, options: TrainingOptions, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="backbone 'resnet18' needs weights: give a file"):
        _train(images, tmp_path / "mine.onnx", replace(options, backbone="resnet18"))


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"method": "classify"}, UsageError, "unknown method 'classify'; did you mean 'classification'?"),
    ({"loss": "contrastive"}, UsageError, "loss is 'contrastive'; this method takes one of cross_entropy, "),
    ({"backbone": "nobody"}, TrainingError, "unknown backbone 'nobody'; "),
    ({"tap": "middle"}, TrainingError, "the backbone: unknown tap 'middle'; known: shallow, deep"),
    ({"freeze": "middle"}, UsageError, "the backbone: unknown tap or submodule 'middle'; "),
    ({"aggregation": "gems"}, Exception, "unknown aggregation 'gems'; did you mean 'gem'?"),
    ({"aggregation_options": {"q": 3}}, Exception, "aggregation 'gem': unknown option 'q'; "),
    ({"loss_options": {"margin": 1}}, UsageError, "loss 'normalised_softmax': unknown option 'margin'; "),
    (
        {"loss_options": {"temperature": "hot"}},
        UsageError,
        "loss 'normalised_softmax': option temperature is 'hot'; expected a number",
    ),
    ({"area": (0.5, 0.1)}, UsageError, "augmentation "),
    ({"memory": 8}, UsageError, "loss 'normalised_softmax' is on classes, not on pairs: a memory has no effect"),
    ({"memory": 8, "method": "clusters"}, UsageError, "memory 8 has an effect only where classes are labelled"),
    (
        {"memory": 8, "method": "siamese", "pairs": "x.csv"},
        UsageError,
        "memory 8 has an effect only where classes are labelled",
    ),
    ({"mining": "pool"}, UsageError, "mining 'pool' has an effect only for methods on pairs with labelled classes"),
    ({"mining": "pool", "method": "manifold"}, UsageError, "mining 'pool' has an effect only for methods"),
    ({"pairs": "x.csv"}, UsageError, "method 'classification' does not train on listed pairs; leave out pairs"),
    ({"pairs": "x.csv", "method": "clusters"}, UsageError, "method 'clusters' does not train on listed pairs"),
    (
        {"labels": "x.csv", "method": "manifold"},
        UsageError,
        "labels have no effect with method 'manifold', for which no class is read",
    ),
    (
        {"labels": "x", "pairs": "x", "method": "triplet"},
        UsageError,
        "labels have no effect with listed pairs, for which no class is read",
    ),
]


@pytest.mark.parametrize(("changes", "kind", "message"), REFUSED, ids=[str(changes) for changes, _, _ in REFUSED])
def test_what_cannot_be_meant_is_refused_before_an_image_is_read(
    changes: dict[str, Any],
    kind: type[Exception],
    message: str,
    images: Path,
    options: TrainingOptions,
    tmp_path: Path,
) -> None:
    with pytest.raises(kind) as raised:
        _train(
            images, tmp_path / "mine.onnx", replace(options, **changes), read_progress=lambda *_: pytest.fail("read")
        )
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "mine.run").exists()


@pytest.mark.parametrize("there", ["mine.onnx", "mine.toml", "mine-recipe.toml"])
def test_what_is_there_is_not_overwritten(there: str, images: Path, options: TrainingOptions, tmp_path: Path) -> None:
    (tmp_path / there).write_bytes(b"precious")
    with pytest.raises(UsageError, match=f"{there}: exists already; choose another name or remove it"):
        _train(images, tmp_path / "mine.onnx", options, read_progress=lambda *_: pytest.fail("read"))
    assert (tmp_path / there).read_bytes() == b"precious"


def test_too_few_images_are_said_to_be_too_few(images: Path, options: TrainingOptions, tmp_path: Path) -> None:
    for path in images.glob("*/[2-5].png"):
        path.unlink()
    with pytest.raises(TrainingError, match="8 usable images of 8; training needs at least 16: give more images"):
        _train(images, tmp_path / "mine.onnx", options)


def test_one_class_alone_teaches_nothing(options: TrainingOptions, tmp_path: Path) -> None:
    make_classes(tmp_path / "one", {"anise": 20})
    with pytest.raises(UsageError, match="1 classes; expected two or more sub-folders with images"):
        _train(tmp_path / "one", tmp_path / "mine.onnx", options)
    (tmp_path / "one" / "bad").mkdir()
    (tmp_path / "one" / "bad" / "0.png").write_bytes(b"no picture")
    with pytest.raises(TrainingError, match="fewer than two classes have an image that can be read"):
        _train(tmp_path / "one", tmp_path / "mine.onnx", options)


def test_a_validation_needs_all_its_images(images: Path, options: TrainingOptions, tmp_path: Path) -> None:
    make_classes(tmp_path / "other", {"elder": 3, "fennel": 3})
    (tmp_path / "other" / "elder" / "0.png").write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"elder/0\.png cannot be read \(not an image\); a validation needs all"):
        _train(images, tmp_path / "mine.onnx", replace(options, validate=str(tmp_path / "other")))


def test_a_run_of_other_options_is_not_gone_on_with(images: Path, options: TrainingOptions, tmp_path: Path) -> None:
    output = tmp_path / "mine.onnx"
    done = _train(images, output, replace(options, epochs=1))
    for file in done.files:
        file.unlink()
    with pytest.raises(TrainingError, match=r"belongs to another run .*size 32, now 48.*; give another output, or rem"):
        _train(images, output, replace(options, epochs=1, size=48))


def test_a_run_is_not_gone_on_with_on_other_images(images: Path, options: TrainingOptions, tmp_path: Path) -> None:
    output, options = tmp_path / "mine.onnx", replace(options, epochs=1)
    first = _train(images, output, options)
    for file in first.files:
        file.unlink()
    images.rename(tmp_path / "moved")  # the same images, which may lie elsewhere
    again = _train(tmp_path / "moved", output, options)
    assert again.card.digest == first.card.digest
    for file in again.files:
        file.unlink()
    (tmp_path / "moved" / "dill" / "0.png").rename(tmp_path / "moved" / "anise" / "9.png")
    with pytest.raises(
        TrainingError,
        match=r"belongs to another run \(classes '\w{16}', now '\w{16}', images '24, \w{16}', now '24, \w{16}'\); give",
    ):
        _train(tmp_path / "moved", output, options)


def test_a_picture_that_goes_away_costs_its_place_in_the_report(
    images: Path, options: TrainingOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kindred.training.image_cache.image_memory", lambda: 0)

    def lose(here: Progress) -> None:
        if here.validation:
            for path in images.glob("dill/*.png"):
                path.unlink(missing_ok=True)

    done = _train(images, tmp_path / "mine.onnx", options, progress=lose)
    assert done.fit.epochs == 2
    assert done.report.is_file()


def test_small_and_odd_pictures_are_no_obstacle(images: Path, options: TrainingOptions, tmp_path: Path) -> None:
    for name, shape in (("thin", (1, 400, 3)), ("dot", (1, 1, 3))):
        Image.fromarray(np.full(shape, 90, np.uint8)).save(images / "anise" / f"{name}.png")
    Image.new("L", (40, 30), 128).save(images / "basil" / "grey.png")
    assert _train(images, tmp_path / "mine.onnx", replace(options, epochs=1)).images == 22  # two of eight held out
