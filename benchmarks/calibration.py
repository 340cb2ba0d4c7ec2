"""Calibrate the default recipe on the three development sets: by cross-validation, then on all of them.

    python benchmarks/calibration.py [--recipe kin] [--cache FOLDER] [--demo FOLDER] [--write] [--plot FILE] [--json]

Each fold is fitted on two sets and measured on the third; with `--demo`, the demo collection, rendered to that folder
unless it is there, is a fourth. `R@1` is the fraction of queries, of those whose relevant
images are among the candidates, whose first result is right; `error` the expected calibration error of the first
result, with and without relevant images in the database. `--write` stores the calibration fitted on all three beside
the recipe, `--plot` draws the reliability diagram.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from importlib.resources import files
from pathlib import Path

from kindred.calibration import first_results, reliability
from kindred.describer import fit_record, save_fitted
from kindred.errors import KindredError
from kindred.evaluation import Calibrated, calibrate, plot_reliability
from kindred.recipe import Recipe
from kindred_demo import render_demo

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
SETS = ("smvs-dvd", "gardens-point", "grocery")


def print_results(found: Calibrated) -> None:
    print(f"{'left out':16}{'R@1':>8}{'error':>8}{'Brier':>8}")
    for fold in found.folds:
        result = fold.reliability
        print(f"{fold.name:16}{fold.recall:8.3f}{result.error:8.3f}{result.brier:8.3f}")
    print(f"{'fitted on all':16}{'':8}{'error':>8}{'Brier':>8}")
    for each in found.sets:
        result = reliability(*first_results(found.calibration, each))
        print(f"{each.name:16}{'':8}{result.error:8.3f}{result.brier:8.3f}")
    for name, value in asdict(found.calibration).items():
        print(f"{name:20}{value:8.3f}")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="kin", help="a preset or a .toml file (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="the folder of the sets")
    parser.add_argument("--demo", type=Path, help="also calibrate on the demo collection in this folder")
    parser.add_argument("--queries", type=int, default=400, help="of each set, at most (default: %(default)s)")
    parser.add_argument("--cache", type=Path, help="a folder that stores descriptions for the next run")
    parser.add_argument("--write", action="store_true", help="store the calibration as that of the bundled recipe")
    parser.add_argument("--plot", type=Path, help="draw the reliability diagram (.png, .svg, .pdf)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    paths = [options.data / name / "groundtruth.json" for name in SETS]
    if not all(path.is_file() for path in paths):
        print("calibration.py: needs the development data in ../shared/data; nothing was measured")
        return 0

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done}/{total} ", end="\n" if done == total else "", file=sys.stderr)

    if options.demo:
        if not (options.demo / "groundtruth.json").is_file():
            render_demo(options.demo)
        paths.append(options.demo / "groundtruth.json")
    recipe = Recipe.load(options.recipe)
    found = calibrate(paths, recipe=recipe, limit=options.queries, cache=options.cache, progress=progress)
    if options.json:
        folds = [
            {"left_out": each.name, "recall@1": each.recall, "error": each.reliability.error} for each in found.folds
        ]
        print(json.dumps({"date": str(date.today()), "folds": folds, "calibration": asdict(found.calibration)}))
    else:
        print(f"{date.today()}  {platform.machine()}, {os.cpu_count()} cores  Python {platform.python_version()}")
        print_results(found)
    if options.plot:
        plot_reliability({fold.name: fold.reliability for fold in found.folds}, options.plot)
    if options.write:
        name = recipe.calibration or f"{recipe.name}-calibration"
        file = Path(str(files("kindred").joinpath("recipes", f"{name}.npz")))
        save_fitted(
            file, [found.calibration], found.recipe, fit_record(found.recipe, "calibration", found.fitted.identity)
        )
        print(f"wrote {file}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KindredError as error:
        sys.exit(f"calibration.py: {error}")
