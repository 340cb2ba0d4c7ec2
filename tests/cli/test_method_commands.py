"""models, recipes, fit, evaluate and distill."""

from __future__ import annotations

import inspect
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import COUNT, Kindred
from kindred.arrays import l2_normalise
from kindred.backbones import list_models, load_card
from kindred.backbones.card import digest_of
from kindred.describer import Describer
from kindred.features import LocalNetwork
from kindred.recipe import Recipe, list_recipes
from kindred.training.distillation import distill as training_run
from kindred.training.loop import Progress
from kindred.whitening.classes import SHRINKAGES
from pictures import make_folder, picture, save_picture
from tiny_local import make_local_model, make_pyramid
from tiny_model import CHANNELS, home, make_model


@pytest.fixture
def model(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network that nobody has added yet, and a home of its own to add it to."""
    monkeypatch.setenv("KINDRED_HOME", str(own_folder / "home"))
    return make_model(own_folder / "downloads", name="mine")


def test_a_model_is_added_listed_shown_and_removed(kindred: Kindred, model: Path) -> None:
    added = kindred("models", "add", model, "--licence", "my own", "--tap", "shallow")
    assert added.code == 0, added.err
    assert added.out.startswith("Added mine, with 2 taps:\n")
    assert [line.split() for line in added.out.splitlines()[2:4]] == [
        ["shallow", "16", "4", "default"],
        ["deep", str(CHANNELS), "16"],
    ]
    listed = {each["name"]: each for each in kindred("models", "--json").json["models"]}
    assert listed["mine"]["bundled"] is False
    assert listed["mine"]["licence"] == "my own"
    assert [tap["name"] for tap in listed["mine"]["taps"]] == ["shallow", "deep"]
    assert any(line.split()[0] == "mine" for line in kindred("models").out.splitlines())
    assert load_card("mine")[0].digest in kindred("models", "show", "mine").out
    assert kindred("models", "show", "mine", "--json").json["path"] == str(load_card("mine")[1])
    assert kindred("models", "remove", "mine", "--json").json == {"removed": "mine"}
    assert "mine" not in [entry.name for entry in list_models()]


def test_a_matcher_is_added_and_shown(kindred: Kindred, model: Path, own_folder: Path) -> None:
    pytest.importorskip("onnx")
    from tiny_matcher import make_matcher

    local = make_local_model(own_folder / "downloads", name="eyes")
    kindred("models", "add", local, "--name", "plain")
    shown = kindred("models", "show", "plain").out
    assert "described by descriptors, paired by nearest neighbours" in shown
    added = kindred("models", "add", local, "--matcher", make_matcher(own_folder / "lightglue.onnx"))
    assert 'features = "eyes"' in added.out
    assert "described by descriptors, paired by eyes.matcher.onnx" in kindred("models", "show", "eyes").out
    card = kindred("models", "show", "eyes", "--json").json
    assert card["local"]["matcher_digest"] == digest_of(own_folder / "lightglue.onnx")
    done = kindred("models", "add", model, "--name", "blind", "--matcher", own_folder / "lightglue.onnx")
    assert done.code == 1
    assert "no table [local]" in done.err
    kindred("models", "add", model)
    assert "local features" not in kindred("models", "show", "mine").out


def test_an_unknown_network_needs_its_preprocessing(kindred: Kindred, model: Path) -> None:
    pytest.importorskip("onnx", reason="finding the taps of an unknown graph needs the extra train")
    model.with_suffix(".toml").unlink()
    done = kindred("models", "add", model)
    assert done.code == 1
    assert "give mean and std" in done.err
    done = kindred("models", "add", model, "--mean", "1,2", "--std", "1,1,1")
    assert done.code == 2
    assert "--mean is '1,2'; expected 3 numbers" in done.err
    words = ("--name", "other", "--mean", "10,20,30", "--std", "50,60,70", "--channel-order", "BGR")
    card = kindred("models", "add", model, *words, "--json").json
    assert (card["name"], card["mean"], card["std"]) == ("other", [10, 20, 30], [50, 60, 70])
    assert card["channel_order"] == "BGR"


def test_a_damaged_model_is_listed_with_its_problem(kindred: Kindred, model: Path, own_folder: Path) -> None:
    kindred("models", "add", model)
    (own_folder / "home" / "models" / "mine.toml").write_text("name = 3")
    done = kindred("models")
    assert done.code == 0
    assert "mine cannot be used: " in done.out
    listed = [each for each in kindred("models", "--json").json["models"] if each["name"] == "mine"]
    assert listed[0]["problem"]


@pytest.mark.usefixtures("model")
def test_removing_nothing_is_an_error(kindred: Kindred) -> None:
    done = kindred("models", "remove", "never")
    assert (done.code, done.out) == (1, "")
    assert done.err == "kindred: unknown model 'never' among those you added; you have not added any\n"


def test_recipes_are_listed_and_shown_as_they_are_written(kindred: Kindred, own_folder: Path) -> None:
    names = [recipe.name for recipe in list_recipes()]
    assert [each["name"] for each in kindred("recipes", "--json").json["recipes"]] == names
    assert [line.split()[0] for line in kindred("recipes").out.splitlines()[1 : 1 + len(names)]] == names
    copy = own_folder / "copy.toml"
    copy.write_text(kindred("recipes", "show", "kin").out, encoding="utf-8")
    assert Recipe.load(copy) == Recipe.load("kin")
    assert kindred("recipes", "show", "kin", "--json").json["digest"] == Recipe.load("kin").digest
    done = kindred("recipes", "show", "kim")
    assert (done.code, done.out) == (1, "")
    assert "did you mean 'kin'?" in done.err


def test_fit_writes_a_recipe_that_works(kindred: Kindred, photos: Path, recipe: Path, own_folder: Path) -> None:
    make_folder(own_folder / "others", 30, first=100)
    words = ("others", photos / "a" / "00000.jpg", "-o", "white.toml", "--dimension", 8)
    found = kindred("fit", recipe, *words, "--json").json
    assert found == {
        "recipe": "white.toml",
        "files": ["white-whitening.npz"],
        "images": 31,
        "dimension": 8,
        "words": None,
        "code_bytes": None,
    }
    written = tomllib.loads((own_folder / "white.toml").read_text())
    assert (written["name"], written["whitening"]) == ("white", "white-whitening.npz")
    assert kindred("index", photos, "--recipe", "white.toml", "--json").json["indexed"] == COUNT
    assert kindred("info", "--json").json["dimension"] == 8


def test_fit_fits_words_and_then_a_whitening(kindred: Kindred, photos: Path, recipe: Path, own_folder: Path) -> None:
    make_folder(own_folder / "others", 30, first=100)
    words = ("--words", 4, "--local-dimension", 8, "--dimension", 16, "--set", "pooling_options={}")
    done = kindred("fit", recipe, "others", "-o", "vlad.toml", *words, "--set", "embedding=vlad", "--json")
    assert done.json == {
        "recipe": "vlad.toml",
        "files": ["vlad-codebook.npz", "vlad-whitening.npz"],
        "images": 30,
        "dimension": 16,
        "words": 4,
        "code_bytes": None,
    }
    assert kindred("index", photos, "--recipe", "vlad.toml", "--json").json["indexed"] == COUNT
    assert (
        kindred("search", photos / "a" / "00000.jpg", "-k", 1, "--json")
        .json["results"][0]["path"]
        .endswith("00000.jpg")
    )
    done = kindred(
        "fit", recipe, "others", "-o", "asmk.toml", "--words", 4, "--set", "embedding=asmk", "--no-whitening"
    )
    assert "Fitted on 30 images" in done.out
    assert kindred("index", photos, "--library", "words", "--recipe", "asmk.toml", "--json").json["indexed"] == COUNT
    found = kindred("search", photos / "a" / "00001.jpg", "--library", "words", "-k", 2, "--json").json["results"]
    assert [found[0]["path"].endswith("00001.jpg"), found[0]["score"]] == [True, pytest.approx(1, abs=0.01)]


def test_a_codebook_or_whitening_of_another_recipe_is_refused(
    kindred: Kindred, photos: Path, recipe: Path, own_folder: Path
) -> None:
    make_folder(own_folder / "others", 30, first=100)
    kindred("fit", recipe, "others", "-o", "white.toml", "--dimension", 8)
    done = kindred("index", photos, "--recipe", "white.toml", "--set", "pooling=max", "--set", "pooling_options={}")
    assert (done.code, done.out) == (1, "")
    assert "was fitted for recipe 'white', which differs: pooling 'gem', not 'max'" in done.err
    done = kindred("index", photos, "--recipe", recipe, "--set", "embedding=vlad", "--set", "pooling_options={}")
    assert "vlad needs a codebook; fit one with kindred fit" in done.err


def _labelled_set(folder: Path, *, classes: int, first: int) -> Path:
    """A folder of classes: each has four crops and brightnesses of one picture."""
    for number in range(classes):
        whole = Image.fromarray(picture(first + number, width=96, height=80))
        (folder / f"thing{number}").mkdir(parents=True)
        for view in range(4):
            crop = whole.crop((4 * view, 3 * view, 76 + 4 * view, 64 + 3 * view)).point(lambda x, v=view: x - 9 * v)
            crop.save(folder / f"thing{number}" / f"{view}.png")
    return folder


def test_fit_labels_adapts_vectors_to_classes_of_several_sets(
    kindred: Kindred, photos: Path, recipe: Path, own_folder: Path
) -> None:
    _labelled_set(own_folder / "one", classes=6, first=200)
    _labelled_set(own_folder / "two", classes=3, first=300)
    table = ["path,label", *(f"two/thing{at}/{view}.png,thing {at}" for at in range(3) for view in range(4))]
    (own_folder / "two.csv").write_text("\n".join([*table, "two/thing0/0.png,thing 0"]) + "\n")
    words = ("--labels", "one", "--labels", "two.csv", "--dimension", 8)
    found = kindred("fit", recipe, "-o", "bare.toml", *words, "--json").json
    folds = found.pop("folds")
    assert found.pop("shrinkage") in SHRINKAGES
    assert found == {"recipe": "bare.toml", "files": ["bare-whitening.npz"], "images": 36, "dimension": 8}
    assert [(each["name"], each["classes"], each["images"]) for each in folds] == [("one", 6, 24), ("two.csv", 3, 12)]
    assert all(0 < each["before"] <= 1 and 0 < each["after"] <= 1 for each in folds)
    done = kindred("fit", recipe, "-o", "again.toml", *words)
    assert "mAP before" in done.out
    assert "Fitted on 36 images: dimension 8." in done.out
    assert kindred("index", photos, "--recipe", "bare.toml", "--json").json["indexed"] == COUNT
    assert kindred("search", photos / "a" / "00000.jpg", "-k", 1, "--json").json["results"][0]["score"] > 0.99
    # After a whitening, one projection stands for both.
    kindred("fit", recipe, "one", "-o", "white.toml", "--dimension", 12)
    kindred("fit", "white.toml", "-o", "both.toml", *words)
    images = sorted((own_folder / "one").rglob("*.png"))[:5]
    white, both = Describer(Recipe.load("white.toml")), Describer(Recipe.load("both.toml"))
    (first,), (last,) = white.fitted.whitenings, both.fitted.whitenings
    projection = last.projection @ np.linalg.pinv(first.projection)
    expected = l2_normalise(white.describe(images) @ projection.T)
    np.testing.assert_allclose(both.describe(images), expected, atol=2e-3)
    done = kindred("fit", recipe, "one", "-o", "no.toml", "--labels", "one")
    assert (done.code, "--labels names its images; leave out IMAGE" in done.err) == (2, True)


def test_fit_refuses_invalid_options(kindred: Kindred, photos: Path, recipe: Path, own_folder: Path) -> None:
    assert "ends in .toml" in kindred("fit", recipe, photos, "-o", "white").err
    done = kindred("fit", recipe, photos, "-o", "white.toml")
    assert done.code == 2
    assert f"got {COUNT} rows to whiten {CHANNELS} dimensions" in done.err
    missing = kindred("fit", recipe, "nowhere", "-o", "white.toml")
    assert missing.err.startswith("kindred: nowhere: no such file or folder; check its spelling")
    assert list(own_folder.iterdir()) == []


@pytest.fixture
def groundtruth(own_folder: Path) -> Path:
    """Each picture of "a" looks for itself, which it finds."""
    paths = [f"a/{number:05}.jpg" for number in range(COUNT // 2)]
    queries = {path: {"relevant": [path], "junk": [], "box": None} for path in paths}
    file = own_folder / "truth.json"
    file.write_text(json.dumps({"name": "small", "database": paths, "queries": queries}))
    return file


def test_a_code_is_fitted_searched_and_evaluated(
    kindred: Kindred, groundtruth: Path, photos: Path, recipe: Path, own_folder: Path
) -> None:
    make_folder(own_folder / "others", 40, first=100)
    words = ("others", "-o", "coded.toml", "--dimension", 16, "--code", "itq", "--bits", 12)
    found = kindred("fit", recipe, *words, "--json").json
    assert found["files"] == ["coded-whitening.npz", "coded-code.npz"]
    assert (found["dimension"], found["code_bytes"]) == (16, 2)
    assert "dimension 16, 2 bytes per image in the code.\n" in kindred("fit", recipe, *words).out
    assert kindred("index", photos, "--recipe", "coded.toml", "--json").json["indexed"] == COUNT
    results = kindred("search", photos / "a" / "00003.jpg", "-k", 2, "--json").json["results"]
    assert [results[0]["path"].endswith("00003.jpg"), results[0]["score"]] == [True, pytest.approx(1, abs=0.01)]
    measured = kindred("evaluate", groundtruth, "--recipe", "coded.toml", "--images", photos, "--json").json
    assert (measured["bytes_per_image"], measured["dimension"]) == (2, 16)
    options = ("--images", photos, "--cache", "kept", "--json")
    for _ in range(2):
        compared = kindred("compare", groundtruth, "--recipes", f"{recipe},coded.toml", *options).json["results"]
        assert {each["recipe"]: each["bytes_per_image"] for each in compared} == {"tiny": 4 * CHANNELS, "coded": 2}
    # Another code of the same name is another result.
    kindred("fit", "coded.toml", "others", "-o", "coded.toml", "--code", "lsh", "--bits", 24)
    compared = kindred("compare", groundtruth, "--recipes", "coded.toml", *options).json["results"]
    assert compared[0]["bytes_per_image"] == 3
    done = kindred("fit", recipe, "others", "-o", "other.toml", "--code", "opq")
    assert (done.code, done.err.partition(";")[0]) == (2, "kindred: unknown code 'opq'")


def test_a_code_follows_a_whitening_of_pairs(kindred: Kindred, photos: Path, recipe: Path, own_folder: Path) -> None:
    names = [path.name for path in make_folder(own_folder / "others", 40, first=100)]
    queries = {name: {"relevant": [names[place - 1]]} for place, name in enumerate(names)}
    truth = own_folder / "others" / "pairs.json"
    truth.write_text(json.dumps({"name": "pairs", "database": names, "queries": queries}))
    words = ("--pairs", truth, "--dimension", 4, "--code", "sign", "--bits", 4)
    found = kindred("fit", recipe, "others", "-o", "pairs.toml", *words, "--json").json
    assert (found["files"], found["code_bytes"]) == (["pairs-whitening.npz", "pairs-code.npz"], 1)
    assert kindred("index", photos, "--recipe", "pairs.toml", "--json").json["indexed"] == COUNT


def test_evaluate_measures(kindred: Kindred, groundtruth: Path, recipe: Path, photos: Path) -> None:
    found = kindred("evaluate", groundtruth, "--recipe", recipe, "--images", photos, "--json").json
    assert {key: found[key] for key in ("name", "recipe", "queries", "recall@1", "mAP")} == {
        "name": "small",
        "recipe": "tiny",
        "queries": COUNT // 2,
        "recall@1": 1.0,
        "mAP": 1.0,
    }
    assert (found["left_out_of_own_ranking"], found["MRR"], found["nDCG@10"]) == (0, 1.0, 1.0)
    shown = kindred("evaluate", groundtruth, "--recipe", recipe, "--images", photos).out
    lines = [line.split() for line in shown.splitlines()]
    for name in ("recall@1", "mAP", "mAP@10", "MRR", "nDCG", "nDCG@10", "MAP@R", "R-precision"):
        assert [name, "1.000"] in lines
    assert ["precision@10", "0.100"] in lines
    assert "own ranking" not in shown
    assert f"{COUNT // 2} queries, {COUNT // 2} images, recipe tiny" in shown


def test_evaluate_reports_metrics_that_are_named(
    kindred: Kindred, groundtruth: Path, recipe: Path, photos: Path
) -> None:
    words = ("evaluate", groundtruth, "--recipe", recipe, "--images", photos, "--metric")
    found = kindred(*words, "precision@4", "--metric", "nDCG@3", "--json").json
    assert (found["precision@4"], found["nDCG@3"]) == (0.25, 1.0)
    done = kindred(*words, "presicion@4")
    assert done.code == 2
    assert done.err.startswith("kindred: unknown metric 'presicion@4'; did you mean 'precision@10'?")


def test_evaluate_lists_the_queries_left_out_of_their_own_results(
    kindred: Kindred, groundtruth: Path, recipe: Path, photos: Path
) -> None:
    table = json.loads(groundtruth.read_text())
    names = table["database"]
    table["queries"] = {name: {"relevant": [names[at - 1]]} for at, name in enumerate(names)}
    groundtruth.write_text(json.dumps(table))
    words = ("evaluate", groundtruth, "--recipe", recipe, "--images", photos)
    assert kindred(*words, "--json").json["left_out_of_own_ranking"] == len(names)
    said = f"{len(names)} queries are in the database and were left out of their own ranking\n"
    assert said in kindred(*words).out
    assert said in kindred("compare", groundtruth, "--recipes", recipe, "--images", photos).out
    table["queries"] = dict([*table["queries"].items()][:1])
    groundtruth.write_text(json.dumps(table))
    assert "1 query is in the database and was left out of its own ranking\n" in kindred(*words).out


def test_distill_passes_all_options_on(
    kindred: Kindred, own_folder: Path, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    calls: list[inspect.BoundArguments] = []
    signature = inspect.signature(training_run.distill)

    def distill(*args: object, **options: object) -> object:
        call = signature.bind(*args, **options)  # raises where the function is called wrongly
        calls.append(call)
        call.arguments["read_progress"](3, 20)
        call.arguments["progress"](Progress(0, 1, 1, 7, {"a": 1.0}))
        call.arguments["progress"](Progress(0, 1, 7, 7, {}, {"a.gem": 0.25}))
        with home(own_home):
            return load_card(make_model(own_folder, name="student"))[0]

    monkeypatch.setattr(training_run, "distill", distill)
    words = ["one.onnx", "x", "y", "-o", "student.onnx", "--also", "two.onnx", "--exclude", "*_0*", "--steps", "7"]
    found = kindred(
        "distill", *words, "--batch", "4", "--sizes", "64,96", "--seed", "3", "--licence", "mine", "--json"
    ).json
    assert (found["model"], found["name"]) == ("student.onnx", "student")
    wanted = {
        "teachers": ["one.onnx", "two.onnx"],
        "folders": [Path("x"), Path("y")],
        "output": Path("student.onnx"),
        "exclude": ["*_0*"],
        "steps": 7,
        "batch": 4,
        "sizes": (64, 96),
        "seed": 3,
        "licence": "mine",
    }
    assert {key: calls[0].arguments[key] for key in wanted} == wanted
    assert kindred("distill", *words).out.startswith("Wrote student.onnx (")


def test_an_interrupted_distillation_says_how_to_resume(kindred: Kindred, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(training_run, "distill", interrupted)
    done = kindred("distill", "one.onnx", "x", "-o", "student.onnx")
    assert done.code == 130
    assert done.err == "kindred: stopped; the run is saved in student.run: the same command resumes it\n"
    monkeypatch.setattr("kindred.training.local.train.distill_local_head", interrupted)
    local = ["distill", "one.onnx", "x", "-o", "student.onnx", "--local-teacher", "t.onnx"]
    assert "the run is saved in student.local: the same" in kindred(*local, "--local-only").err
    assert "the run is saved in student.backbone.run and student.local: the same" in kindred(*local).err


def test_distill_trains_a_local_head(kindred: Kindred, own_folder: Path, own_home: Path) -> None:
    for number in range(8):
        save_picture(own_folder / "photos" / f"{number}.png", number, width=96, height=72)
    network, teacher = make_pyramid(own_folder), make_local_model(own_folder)
    output = own_folder / "both.onnx"
    words = ["distill", network, own_folder / "photos", "--threads", "1", "-o"]
    refused = kindred(*words, output, "--local-only")
    assert refused.code == 2
    assert "--local-teacher" in refused.err
    with home(own_home):
        said = kindred(*words, output, "--local-only", "--local-teacher", teacher, "--local-steps", "2")
        assert said.out.startswith("Wrote ")
        assert "keypoints (1 channels, stride 1)" in said.out
        found = LocalNetwork(output).find(picture(1, width=96, height=72), count=50, longest=96)
    assert found.descriptors.shape == (len(found), 128)
    assert len(found) > 0
    assert (own_folder / "both.local" / "log.csv").exists()
    assert "both.onnx" in kindred(*words, output, "--local-only", "--local-teacher", teacher).err
    assert kindred(*words, own_folder / "x.onnx", "--local-teacher", "a,b,c").code == 2
