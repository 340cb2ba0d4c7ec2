"""train: what is typed reaches the training, what it came to is told, and what is wrong is one line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
pytest.importorskip("onnx")

from class_folders import NAMES, make_classes
from commands import Kindred
from kindred.cli import train as command
from kindred.cli import train_options
from kindred.errors import MissingExtra
from kindred.training.aggregation import AGGREGATIONS
from kindred.training.architectures import ARCHITECTURES
from kindred.training.loop import Progress
from kindred.training.losses import LOSSES
from kindred.training.tuning import train as training
from kindred.training.tuning.methods import METHODS
from kindred.training.tuning.options import TrainingOptions
from tiny_model import make_model

KEYS = [
    *("model", "recipe", "files", "report", "name", "digest", "images", "classes", "epochs", "best_epoch"),
    *("seconds", "before", "after"),
]


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of six pictures; not to be changed."""
    folder = tmp_path_factory.mktemp("classes") / "images"
    make_classes(folder)
    return folder


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("start"))


@pytest.fixture
def words(images: Path, start: Path) -> list[object]:
    """The words of a training that takes a fraction of a second."""
    short = ("--size", 32, "--batch", 8, "--epochs", 1, "--threads", 1, "--device", "cpu")
    return ["train", images, "-o", "mine.onnx", "--backbone", start, *short]


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "20000")  # `train` sets it, once


def test_json_has_exactly_the_promised_keys(kindred: Kindred, words: list[object]) -> None:
    done = kindred(*words, "--json")
    report = done.json
    assert list(report) == KEYS
    assert done.err == ""
    assert report["files"] == ["mine.onnx", "mine.toml", "mine-recipe.toml"]
    assert (report["model"], report["recipe"], report["name"]) == ("mine.onnx", "mine-recipe.toml", "mine")
    assert report["report"] == "mine.run/report.html"
    assert (report["images"], report["classes"], report["epochs"], report["best_epoch"]) == (20, 4, 1, 1)
    assert report["before"].keys() == report["after"].keys() == {"mAP", "recall@1", "recall@10"}
    assert all(Path(file).is_file() for file in (*report["files"], report["report"]))


def test_the_gain_and_the_next_command_are_printed(kindred: Kindred, words: list[object]) -> None:
    done = kindred(*words)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "Trained on 20 images of 4 classes; epoch 1 of 1 had the best result."
    for line, name in zip(lines[1:4], ("mAP", "recall@1", "recall@10"), strict=True):
        assert re.fullmatch(rf"  {name} +\d\.\d{{3}} → \d\.\d{{3}}", line)
    assert re.search(r"^Wrote mine\.onnx \(\d+(\.\d)? kB\), its card and mine-recipe\.toml$", done.out, re.MULTILINE)
    assert "Curves and queries: mine.run/report.html" in lines
    assert done.out.endswith("\n\nNext: kindred index FOLDER --library DIR --recipe mine-recipe.toml\n")
    assert re.fullmatch(r"epoch 1: mAP \d\.\d{3}, recall@1 \d\.\d{3}, recall@10 \d\.\d{3}\n", done.err)


def test_without_labels_no_gain_is_claimed(kindred: Kindred, words: list[object]) -> None:
    done = kindred(*words, "--method", "clusters", "--images-per-class", 2)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "Trained on 24 images; epoch 1 of 1 had the best result."
    assert (
        lines[1]
        == "Without labels the queries are augmented views, which measure what was forgotten, not what was learned:"
    )
    assert not any("No gain" in line for line in lines)


def test_the_result_indexes_and_searches(kindred: Kindred, words: list[object], images: Path) -> None:
    assert kindred(*words).code == 0
    assert kindred("index", images, "--recipe", "mine-recipe.toml").code == 0
    found = kindred("search", images / "dill" / "2.png", "--json").json["results"]
    assert Path(found[0]["path"]) == images / "dill" / "2.png"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_selected(method: str, kindred: Kindred, words: list[object]) -> None:
    done = kindred(*words, "--method", method, "--negatives", 2, "--images-per-class", 2, "--json")
    assert done.code == 0, done.err
    assert done.json["classes"] == (4 if METHODS[method].labelled else 0)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_can_be_selected(loss: str, kindred: Kindred, words: list[object]) -> None:
    method = "classification" if LOSSES[loss].kind == "classes" else "siamese"
    done = kindred(*words, "--method", method, "--loss", loss, "--images-per-class", 2, "--json")
    assert done.code == 0, done.err


def test_options_reach_the_training(kindred: Kindred, own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    monkeypatch.setattr(training, "train", lambda *given, **more: calls.append((given, more)))
    typed = "--method siamese --backbone resnet18 --from w.pth --pairs p.csv --validate v --hold-out 0.2 --tap layer3 "
    typed += "--aggregation rmac -d 16 --loss triplet --set loss.margin=0.3 --set aggregation.levels=2 "
    typed += "--set aggregation.power=true --set loss.triplets=all --mining pool --memory 9 --clusters 7 "
    typed += "--freeze layer1 --tune-norms --size 96 --area 0.2,0.8 --no-flip --colour 0.1 --batch 12 "
    typed += "--images-per-class 3 --negatives 4 --epochs 5 --rate 0.01 --warmup 0.1 --decay 0.2 --accumulate 6 "
    typed += "--patience 8 --seed 11 --licence mine --device cuda:1 --threads 2"
    done = kindred("train", "images", "-o", "mine.onnx", *typed.split())
    assert (done.code, done.out) == (0, "")  # as of a process that is not the main one
    ((given, more),) = calls
    assert given == (Path("images"),)
    assert (more["output"], more["options"]) == (
        Path("mine.onnx"),
        TrainingOptions(
            method="siamese",
            backbone="resnet18",
            weights="w.pth",
            tap="layer3",
            aggregation="rmac",
            aggregation_options={"levels": 2, "power": True, "dimension": 16},
            freeze="layer1",
            tune_norms=True,
            loss="triplet",
            loss_options={"margin": 0.3, "triplets": "all"},
            mining="pool",
            memory=9,
            batch=12,
            images_per_class=3,
            negatives=4,
            clusters=7,
            pairs="p.csv",
            validate="v",
            hold_out=0.2,
            size=96,
            area=(0.2, 0.8),
            flip=False,
            colour=0.1,
            epochs=5,
            rate=0.01,
            warmup=0.1,
            decay=0.2,
            accumulate=6,
            patience=8,
            seed=11,
        ),
    )
    assert (more["licence"], more["device"], more["threads"]) == ("mine", "cuda:1", 2)
    assert list(own_folder.iterdir()) == []


def test_without_options_the_defaults_are_used(kindred: Kindred, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(training, "train", lambda *_, **more: calls.append(more))
    kindred("train", "images", "-o", "mine.onnx")
    assert [(more["output"], more["options"]) for more in calls] == [(Path("mine.onnx"), TrainingOptions())]


def test_the_help_lists_all_names(kindred: Kindred) -> None:
    done = kindred("train", "--help")
    assert (done.code, done.err) == (0, "")
    shown = " ".join(done.out.split())
    for words in (
        "--method",
        "--backbone",
        "--from",
        "--set",
        "the same command resumes an interrupted run",
        "torchrun",
    ):
        assert words in shown
    assert command.METHODS.split(", ") == list(METHODS)
    assert [name for name, method in METHODS.items() if not method.labelled] == list(METHODS)[-2:]
    listed = []
    for entry in command.ARCHITECTURES.split(", "):  # "resnet18/34" lists two
        first, *others = entry.split("/")
        listed += [first, *(first.rstrip("0123456789") + size for size in others)]
    assert listed == list(ARCHITECTURES)
    assert train_options.AGGREGATIONS.split(", ")[:-1] == list(AGGREGATIONS)[:4]
    assert train_options.AGGREGATIONS.endswith(", or any pooling")


def test_the_help_needs_no_pytorch() -> None:
    program = "import sys; sys.modules['torch'] = None; from kindred.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", program, "train", "--help"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_pytorch_the_command_that_installs_it_is_named(
    kindred: Kindred, words: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    done = kindred(*words)
    assert (done.code, done.out) == (1, "")
    assert done.err == f"kindred: {MissingExtra('training', 'train')}\n"


MISTAKES: list[tuple[list[str], int, str]] = [
    (["--method", "classify"], 2, "unknown method 'classify'; did you mean 'classification'?"),
    (["--backbone", "nobody"], 1, "unknown backbone 'nobody'; "),
    (["--backbone", "alexnet"], 2, "backbone 'alexnet' needs weights: give a file (.safetensors"),
    (["--backbone", "alexnet", "--from", "no.pth"], 1, "no.pth: no such file; expected weights"),
    (["--loss", "triplet"], 2, "loss is 'triplet'; this method takes one of cross_entropy"),
    (["--set", "loss.margin=1"], 2, "loss 'normalised_softmax': unknown option 'margin'; known: temperature"),
    (["--set", "margin=1"], 2, "--set is 'margin=1'; expected loss.NAME=VALUE or aggregation.NAME=VALUE"),
    (["--set", "loss.margin"], 2, "--set is 'loss.margin'; expected"),
    (["--set", "network.margin=1"], 2, "--set is 'network.margin=1'; expected"),
    (["--set", "loss.=1"], 2, "--set is 'loss.=1'; expected"),
    (["--mining", "poool"], 2, "--mining is 'poool'; expected batch or pool"),
    (["--area", "0.5"], 2, "--area is '0.5'; expected 2 numbers separated by commas, such as 0.3,1"),
    (["--area", "0.9,0.1"], 2, "augmentation Augmentation(area=(0.9, 0.1), "),
    (["--rate", "0"], 2, "got rate 0.0, hold_out 0.1, warmup 0.05 and decay 0.0001; expected rate above 0"),
    (["--rate", "nan"], 2, "got rate nan, "),
    (["--decay", "nan"], 2, "got rate 0.0001, hold_out 0.1, warmup 0.05 and decay nan; "),
    (["--warmup", "1"], 2, "got rate 0.0001, hold_out 0.1, warmup 1.0 and "),
    (["--batch", "1"], 2, "invalid value for '--batch': 1 is not in the range x>=2; see kindred train --help"),
    (["--size", "8"], 2, "invalid value for '--size': 8 is not in the range x>=32; see kindred train --help"),
    (["--device", "gpu"], 2, "device is 'gpu'; expected 'cpu', 'cuda' or 'cuda:1'"),
    (["-o", "mine.pt"], 2, "mine.pt: the model must be a file that ends in .onnx"),
    (["-o", "no/mine.onnx"], 2, "no/mine.onnx: its folder does not exist; create it first"),
    (["--labels", "no.csv"], 2, "no.csv: the table cannot be read (no such file or folder)"),
    (["--method", "siamese", "--pairs", "no.csv"], 2, "no.csv: the table cannot be read (no such file or fold"),
    (["--validate", "nowhere"], 2, "nowhere: the ground truth cannot be read (no such file or folder)"),
]


@pytest.mark.parametrize(("typed", "code", "told"), MISTAKES, ids=[" ".join(typed) for typed, _, _ in MISTAKES])
def test_invalid_options_are_one_line(
    typed: list[str], code: int, told: str, kindred: Kindred, words: list[object], own_folder: Path
) -> None:
    done = kindred(*words, *typed)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(f"kindred: {told}"), done.err
    assert done.err.count("\n") == 1
    assert list(own_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("counts", "code", "told"),
    [
        ({}, 2, "other: no such "),
        (
            {"only": 20},
            2,
            "other: 1 classes; expected two or more sub-folders with images, one for each class (or --la",
        ),
        ({"a": 3, "b": 4}, 1, "7 usable images of 7; training needs at least 16: give more images"),
    ],
    ids=["none", "one class", "few"],
)
def test_too_few_images_are_one_line(
    counts: dict[str, int], code: int, told: str, kindred: Kindred, words: list[object], own_folder: Path
) -> None:
    if counts:
        make_classes(own_folder / "other", counts)
    words[1] = "other"
    done = kindred(*words)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(f"kindred: {told}"), done.err
    assert done.err.count("\n") == 1


def test_a_table_that_names_a_missing_file_is_one_line(
    kindred: Kindred, words: list[object], own_folder: Path, images: Path
) -> None:
    Path("labels.csv").write_text("path,label\nanise/0.png,a\nanise/9.png,a\nbasil/9.png,b\n")
    done = kindred(*words, "--labels", "labels.csv")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"kindred: labels.csv: line 3: anise/9.png is not in {images} (2 such lines); "
        "paths are relative to the folder of the images\n"
    )
    assert [each.name for each in own_folder.iterdir()] == ["labels.csv"]


def test_unreadable_images_are_noted_and_do_not_stop_the_run(
    kindred: Kindred, words: list[object], own_folder: Path
) -> None:
    make_classes(own_folder / "other", dict.fromkeys(NAMES, 6))
    Path("other/dill/0.png").write_bytes(b"no picture")
    words[1] = "other"
    done = kindred(*words)
    assert done.code == 0, done.err
    assert done.err.startswith("1 unreadable images skipped: 0.png (not an image)\nepoch 1: ")
    assert done.out.startswith("Trained on 19 images of 4 classes; ")


def test_ctrl_c_says_how_to_resume_and_the_next_run_resumes(
    kindred: Kindred, words: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = kindred(*words, "--epochs", 2, "--json").json
    Path("mine.run").rename("straight.run")
    for file in straight["files"]:
        Path(file).unlink()
    told = command.print_progress

    def press(meter: Any, here: Progress, *, quiet: bool) -> None:
        told(meter, here, quiet=quiet)
        # Not a signal: whoever runs the tests in the background of a shell has them ignored.
        if (here.epoch, here.step) == (1, 2):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command, "print_progress", press)
        done = kindred(*words, "--epochs", 2)
    assert (done.code, done.out) == (130, "")
    line = "kindred: stopped; the run is saved in mine.run: the same command resumes it\n"
    assert done.err.endswith(line)
    again = kindred(*words, "--epochs", 2, "--json").json
    assert again["digest"] == straight["digest"]
    assert again["after"] == straight["after"]


def test_a_training_without_gain_is_reported(kindred: Kindred, words: list[object]) -> None:
    done = kindred(*words, "--rate", "1e-12", "--warmup", 0)
    assert "No gain: try another method, a smaller --rate, or more images" in done.out
