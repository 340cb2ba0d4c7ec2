"""kindred fit --calibration."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import Kindred
from kindred.recipe import Recipe

pytest.importorskip("cv2")
pytest.importorskip("scipy")
COUNT = 6
SIFT = ("--set", "features=sift", "--set", "size=32")


@pytest.fixture
def truth(own_folder: Path) -> Path:
    """A ground truth of rich pictures, each a query as its own half in size."""
    queries = {}
    for number in range(COUNT):
        tiles = np.random.default_rng(number).integers(0, 256, (15, 20, 3), dtype=np.uint8)
        picture = Image.fromarray(tiles).resize((320, 240), Image.Resampling.BICUBIC)
        picture.save(own_folder / f"{number}.png")
        picture.rotate(180).save(own_folder / f"turned-{number}.png")
        queries[f"turned-{number}.png"] = {"relevant": [f"{number}.png"], "junk": [], "box": None}
    file = own_folder / "groundtruth.json"
    database = [f"{number}.png" for number in range(COUNT)]
    file.write_text(json.dumps({"name": "turned", "database": database, "queries": queries}))
    return file


def test_results_of_the_new_recipe_have_a_probability(
    kindred: Kindred, recipe: Path, truth: Path, own_folder: Path
) -> None:
    done = kindred("fit", recipe, *SIFT, "--calibration", truth, "-o", "mine.toml")
    assert done.code == 0, done.err
    assert "turned, part 1" in done.out
    assert f"Calibrated on {2 * COUNT} images" in done.out
    assert Path(Recipe.load(own_folder / "mine.toml").calibration).name == "mine-calibration.npz"
    assert kindred("index", own_folder, "--recipe", "mine.toml").code == 0
    found = kindred("search", "turned-2.png", "--json", "-k", 3).json
    assert found["results"][0]["probability"] > 0.5
    # The query itself and the picture that it shows are surer than others.
    assert {Path(hit["path"]).name for hit in found["results"][:2]} == {"2.png", "turned-2.png"}


def test_reports_its_folds_for_programs_and_draws_them(kindred: Kindred, recipe: Path, truth: Path) -> None:
    pytest.importorskip("matplotlib")
    command = ("fit", recipe, *SIFT, "--calibration", truth, "--calibration", truth, "-o", "mine.toml")
    found = kindred(*command, "--plot", "mine.png", "--json").json
    assert [fold["name"] for fold in found["folds"]] == ["turned", "turned"]
    assert found["images"] == 4 * COUNT
    assert 0 <= found["error"] < 0.5
    with Image.open("mine.png") as plot:
        assert min(plot.size) > 200


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("0.png",), "--calibration takes its images from ground truths"),
        (("--plot", "mine.txt"), "mine.txt"),
        (("--set", "features="), "stores no local features to verify"),
    ],
)
def test_refuses_what_it_cannot_do(
    kindred: Kindred, recipe: Path, truth: Path, words: tuple[str, ...], said: str
) -> None:
    done = kindred("fit", recipe, *SIFT, *words, "--calibration", truth, "-o", "mine.toml")
    assert done.code in (1, 2)
    assert said in done.err
    assert not Path("mine.toml").exists()


def test_plot_needs_a_calibration(kindred: Kindred, recipe: Path, truth: Path) -> None:
    done = kindred("fit", recipe, truth.parent, "--plot", "mine.png", "-o", "mine.toml")
    assert "--plot draws what --calibration fits" in done.err


def test_what_is_missing_for_the_end_is_said_before_images_are_measured(
    kindred: Kindred, recipe: Path, truth: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_: object, **__: object) -> None:
        raise AssertionError("images were measured")

    monkeypatch.setattr("kindred.evaluation.calibrating.labelled_candidates", measured)
    command = ("fit", recipe, *SIFT, "--calibration", truth, "-o", "mine.toml")
    if find_spec("matplotlib") is not None:
        refused = kindred(*command, "--plot", "nowhere/mine.png")
        assert refused.code == 2
        assert "plot nowhere/mine.png cannot be written: its folder does not exist" in refused.err
    monkeypatch.setattr("kindred.calibration.fit.find_spec", lambda _: None)
    assert "fitting a calibration needs an optional package: pip install scipy" in kindred(*command).err
