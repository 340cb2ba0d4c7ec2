"""Fit all that belongs to an edition of `kin` anew, and measure the rows of the README: one command after a training.

    python scripts/refit.py [STEP ...] [--network NEW.onnx] [--work FOLDER] [--data ../shared/data] [--distractors]

STEP is any of network, whitening, words, calibration and measure; without one, all are run in this order:

- network: NEW.onnx and NEW.toml become the bundled network (left out without --network);
- whitening: `kin-pca512` and `kin-average512`, on 2,500 images of the pool (decisions/0008); whitening and code of
  `patches`, on the 30 cells of each of 300 images;
- words: `kin-words4096`, the visual words of its keypoints, on 3,000 images of the pool (decisions/0010);
- calibration: that of `kin` and docs/calibration.png, on the three development sets (`benchmarks/calibration.py`);
- measure: `kindred evaluate` of `kin`, `kin-whitened` and `fast` on the sets and the demo collection, as rows of the
  README, on groceries without regions of queries. With --distractors, `kin` on smvs-dvd also among the images of the
  pool (without its DVD covers).

The folder of --work stores descriptions and results, so that a run that was stopped goes on where it was: a command
whose result is there is not run again (use another folder for another edition). On two free cores all takes about an
hour, the distractors a quarter more.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kindred.backbones.card import Card, digest_of

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "kindred"
RECIPES = PACKAGE / "recipes"
POOL = ("caltech101", "corel5k", "dtd10", "imagenet-sample", "msrc-v2", "youthinkk")
SETS = ("smvs-dvd", "gardens-point", "grocery")
MEASURED = ("kin", "kin-whitened", "fast")
FIGURES = ("recall@1", "mAP", "no-answer recall", "right results lost", "calibration error", "bytes_per_image")
STEPS = ("network", "whitening", "words", "calibration", "measure")


def run(*command: object) -> str:
    """Run a command in the root of the checkout; return what it printed."""
    words = [sys.executable, *map(str, command)]
    print("$", " ".join(words), flush=True)
    return subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def kindred(*words: object) -> str:
    """Run a command of the command line of this checkout."""
    return run("-m", "kindred.cli", *words)


def put_network(new: Path) -> None:
    """Make a network and its card the bundled ones."""
    models = PACKAGE / "backbones" / "models"
    card = Card.load(new.with_suffix(".toml"))
    if card.digest != digest_of(new):
        raise SystemExit(f"{new} is not the file that {new.with_suffix('.toml')} describes")
    shutil.copyfile(new, models / "kin.onnx")
    (models / "kin.toml").write_text(replace(card, name="kin").to_toml(), encoding="utf-8")


def fit(work: Path, pool: Sequence[Path], recipe: str, name: str, key: str, *options: object) -> None:
    """Fit parameters of a recipe on the pool, and make them the bundled ones of that name."""
    made = work / f"{name}-{key}.npz"
    if not made.is_file():
        kindred("fit", recipe, *pool, "-o", work / f"{name}.toml", *options)
    shutil.copyfile(made, RECIPES / f"{name}.npz")


def evaluated(work: Path, truth: Path, recipe: str, name: str, *options: object) -> dict[str, object]:
    """Return the figures of a recipe on a set, from the result that an earlier run stored if there is one."""
    file = work / f"result-{name}-{recipe}.json"
    if not file.is_file():
        text = kindred("evaluate", truth, "-r", recipe, "--cache", work / "cache", "--json", *options)
        file.write_text(text, encoding="utf-8")
    found: dict[str, object] = json.loads(file.read_text(encoding="utf-8"))
    return {key: value for key, value in found.items() if key.startswith(FIGURES)}


def measure(work: Path, data: Path, pool: Sequence[Path], *, distractors: bool) -> None:
    """Print the figures of the README."""
    demo = work / "kindred-demo"
    if not (demo / "groundtruth.json").is_file():
        run("-c", f"from pathlib import Path; from kindred_demo import render_demo; render_demo(Path({str(demo)!r}))")
    truths = {name: data / name / "groundtruth.json" for name in SETS} | {"demo": demo / "groundtruth.json"}
    for recipe in MEASURED:
        for name, truth in truths.items():
            # The regions of most of its 2,485 queries would be searched twice each, which takes hours.
            whole = ("--no-regions",) if name == "grocery" else ()
            print(recipe, name, json.dumps(evaluated(work, truth, recipe, name, *whole)), flush=True)
    if distractors:
        added = [word for folder in pool for word in ("--distractors", folder)]
        found = evaluated(work, truths["smvs-dvd"], "kin", "smvs-dvd-distractors", *added)
        print("kin smvs-dvd with distractors", json.dumps(found))
    size = sum(file.stat().st_size for file in PACKAGE.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    print(f"package: {size / 1e6:.1f} MB")


def main(arguments: Sequence[str]) -> None:
    """Run the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"{', '.join(STEPS)} (default: all)")
    parser.add_argument("--network", type=Path, help="the ONNX file of the new edition, its card beside it")
    parser.add_argument("--work", type=Path, default=ROOT / "refit", help="folder of results (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="(default: %(default)s)")
    parser.add_argument("--distractors", action="store_true", help="measure smvs-dvd among the pool, too")
    given = parser.parse_args(arguments)
    steps = given.steps or STEPS
    if unknown := set(steps) - set(STEPS):
        parser.error(f"unknown step {min(unknown)}; expected {', '.join(STEPS)}")
    work, pool = given.work.absolute(), [given.data / "training-pool" / name for name in POOL]
    work.mkdir(parents=True, exist_ok=True)
    if "network" in steps and given.network is not None:
        put_network(given.network)
    if "whitening" in steps:
        fit(work, pool, "kin-plain", "kin-pca512", "whitening", "-d", 512, "--limit", 2500, "--power", 0.35)
        average = ("--set", "pooling=average", "-d", 512, "--limit", 2500)
        fit(work, pool, "kin-plain", "kin-average512", "whitening", *average)
        rows = ("--set", "whitening=", "--set", "code=", "-d", 128, "--limit", 300, "--code", "rabitq", "--bits", 512)
        fit(work, pool, "patches", "patches-pca128", "whitening", *rows)
        shutil.copyfile(work / "patches-pca128-code.npz", RECIPES / "patches-rabitq512.npz")
    if "words" in steps:
        options = ("--set", "features=kin", "--feature-words", 4096, "--limit", 3000)
        fit(work, pool, "kin-whitened", "kin-words4096", "words", *options)
    if "calibration" in steps:
        plot = ROOT / "docs" / "calibration.png"
        print(
            run("benchmarks/calibration.py", "--data", given.data, "--cache", work / "cache", "--plot", plot, "--write")
        )
    if "measure" in steps:
        distant = [*pool, given.data / "training-pool" / "tiny-imagenet-200"]
        measure(work, given.data, distant, distractors=given.distractors)


if __name__ == "__main__":
    main(sys.argv[1:])
