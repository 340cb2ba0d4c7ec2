"""Measure how well recipes find the same thing, on the three development sets, beside the plain MobileNetV2.

    python benchmarks/recall.py [RECIPE ...] [--sets smvs-dvd ...] [--data FOLDER] [--cache FOLDER]
                                [--queries N] [--own-size] [--json]

Without recipes: kin and kin-plain, if they are bundled, and mobilenet_v2. A recipe runs at its own size, on grocery
(whose pictures have at most 232 pixels) at no more than 224. Where mobilenet_v2 is measured too, the share that the
others reach of it is printed, with the share that the bundled backbone must reach by the same plain recipe. With
`--queries N`, at most N queries of a set are asked, evenly spaced, and with `--own-size` a recipe keeps its size on
grocery, too: `recall.py kin --sets grocery --queries 400 --own-size` measures the default as the README states it, as
verification of all 2,485 queries takes an hour. Whole queries are compared, not small regions of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

from kindred.backbones import list_models
from kindred.errors import KindredError
from kindred.evaluation import Evaluation, evaluate
from kindred.recipe import Recipe, list_recipes

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
BASELINE = "mobilenet_v2"
PLAIN = "kin-plain"
LARGEST = {"smvs-dvd": 4096, "gardens-point": 4096, "grocery": 224}
METRICS = {"smvs-dvd": "recall@1", "gardens-point": "recall@1", "grocery": "mAP"}
BAR = 1.0


@dataclass(frozen=True)
class Share:
    """What a recipe reached beside the baseline; `bar` is what kin-plain must reach."""

    recipe: str
    set: str
    metric: str
    value: float
    baseline: float
    share: float
    bar: float | None


def default_recipes() -> list[str]:
    bundled = {model.name for model in list_models()}
    return [
        recipe.name for recipe in list_recipes() if recipe.name in ("kin", PLAIN) and recipe.backbone in bundled
    ] + [BASELINE]


def load_recipe(name: str) -> Recipe:
    """The recipe; a public network that was not added is taken from the development weights, where they are."""
    recipe = Recipe.load(name)
    weights = SHARED / "weights" / f"{recipe.backbone}.onnx"
    if weights.is_file() and all(model.name != recipe.backbone for model in list_models()):
        return replace(recipe, backbone=str(weights))
    return recipe


def some_queries(groundtruth: Path, most: int, folder: Path) -> Path:
    """Write the ground truth with at most so many of its queries, evenly spaced; return the new file."""
    table = json.loads(groundtruth.read_text(encoding="utf-8"))
    queries = list(table["queries"].items())
    kept = min(most, len(queries))
    table["queries"] = dict(queries[number * len(queries) // kept] for number in range(kept))
    file = folder / groundtruth.name
    file.write_text(json.dumps(table), encoding="utf-8")
    return file


def measure(recipe: Recipe, name: str, data: Path, cache: Path | None, queries: int | None) -> Evaluation:

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{recipe.name} on {name}: {done}/{total} ", end="\n" if done == total else "", file=sys.stderr)

    groundtruth = data / name / "groundtruth.json"
    with tempfile.TemporaryDirectory() as folder:
        chosen = groundtruth if queries is None else some_queries(groundtruth, queries, Path(folder))
        return evaluate(chosen, recipe=recipe, images=data / name, regions=False, progress=progress, cache=cache)


def shares(found: Sequence[Evaluation]) -> list[Share]:
    """The share of the baseline that each other recipe reached on each set."""
    baseline = {result.name: result.metrics for result in found if result.recipe.name == BASELINE}
    reached = []
    for result in found:
        if result.recipe.name != BASELINE and result.name in baseline:
            metric = METRICS[result.name]
            least = BAR if result.recipe.name == PLAIN else None
            value, other = result.metrics[metric], baseline[result.name][metric]
            reached.append(Share(result.recipe.name, result.name, metric, value, other, value / other, least))
    return reached


def print_row(result: Evaluation) -> None:
    folders = [name.partition("/")[2] for name in result.metrics if name.startswith("recall@1/")]
    parts = ", ".join(f"{folder} {result.metrics[f'recall@1/{folder}']:.3f}" for folder in folders)
    milliseconds = 1e3 * result.seconds_per_image
    print(
        f"{result.recipe.name:18}{result.name:15}{result.recipe.size:5}{result.dimension:6}"
        f"{result.metrics['recall@1']:10.3f}{result.metrics['mAP']:8.3f}{milliseconds:10.1f}  {parts}",
        flush=True,
    )


def print_share(share: Share) -> None:
    verdict = ""
    if share.bar is not None:
        verdict = f"; bar {share.bar:.0%} {'reached' if share.share >= share.bar else 'missed'}"
    print(
        f"{share.recipe} on {share.set}: {share.metric} {share.value:.3f}, {share.share:.0%} of the "
        f"{share.baseline:.3f} of {BASELINE}{verdict}"
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", help="presets or .toml files (default: kin, kin-plain, mobilenet_v2)")
    parser.add_argument("--sets", nargs="+", choices=list(LARGEST), default=list(LARGEST), help="(default: all)")
    parser.add_argument(
        "--data", type=Path, default=SHARED / "data", help="the folder of the sets (default: %(default)s)"
    )
    parser.add_argument("--cache", type=Path, help="a folder that stores descriptions for the next run")
    parser.add_argument("--own-size", action="store_true", help="of the recipe, also on grocery")
    parser.add_argument("--queries", type=int, metavar="N", help="of each set, at most (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    found = []
    if not options.json:
        print(f"{date.today()}  {platform.machine()}, {os.cpu_count()} cores  Python {platform.python_version()}")
        print(f"{'recipe':18}{'set':15}{'size':>5}{'dim':>6}{'recall@1':>10}{'mAP':>8}{'ms/image':>10}")
    for recipe in [load_recipe(name) for name in options.recipes or default_recipes()]:
        for name in options.sets:
            sized = recipe if options.own_size else replace(recipe, size=min(recipe.size, LARGEST[name]))
            found.append(measure(sized, name, options.data, options.cache, options.queries))
            if not options.json:
                print_row(found[-1])
    reached = shares(found)
    if options.json:
        results = [result.as_dict() | {"size": result.recipe.size} for result in found]
        print(json.dumps({"date": str(date.today()), "results": results, "shares": [asdict(one) for one in reached]}))
    else:
        for share in reached:
            print_share(share)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KindredError as error:
        sys.exit(f"recall.py: {error}")
