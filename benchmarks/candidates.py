"""Measure candidates, storage and costs of local features: what a default of vectors and visual words is worth.

    python benchmarks/candidates.py [recall storage costs] [--recipe NAME|FILE.toml] [--distractors DIR …]
                                    [--data DIR] [--cache DIR] [--images N] [--kind KIND] [--json]

recall: the share of queries of smvs-dvd whose cover is among the best by vectors, by visual words, and among both
together, with the images of the development pool (but not its DVD covers) as distractors.
storage: bytes of the local features of an image by the number of points and the bits of a component, and what
verification makes of them on smvs-dvd and gardens-point: right pairs with at least 8 inliers, queries whose best match
by inliers is right, the median and the fewest of the inliers of right pairs, and the most of wrong ones.
costs: indexing beside `kin` alone in turns, bytes an image on disk, and the time of a query: a whole process on N
images, and the work of one in a process that is open. `--kind "12 megapixels"` or `--kind "500 pixels"` indexes the
files of `indexing.py` of that kind: the speed of the default beside that of the descriptor alone, as in decision 9.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from indexing import prepare_files
from kindred.describer import Describer
from kindred.errors import KindredError
from kindred.evaluation import read_groundtruth
from kindred.evaluation.describing import DescribingTask
from kindred.features import FEATURES, LocalFeatures, from_bytes, sift, to_bytes
from kindred.images import decode, find_images
from kindred.index import CANDIDATES, ArraySource, best_of_passes, index_for
from kindred.index.synced_words import SyncedWords
from kindred.library import Library
from kindred.recipe import Recipe
from kindred.rerank.verification import match

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
POOL = ("caltech101", "corel5k", "dtd10", "imagenet-sample", "msrc-v2", "youthinkk", "tiny-imagenet-200")
STORED = [(150, 8), (150, 4), (150, 3), (150, 2), (100, 4), (100, 3), (200, 3), (250, 4)]
"""Points of an image and bits of a component."""
PARTS = ("recall", "storage", "costs")
ROUNDS = 3

Row = dict[str, object]


def recall(recipe: Recipe, data: Path, distractors: Sequence[Path], cache: Path | None) -> Iterator[Row]:
    """The short lists of each query: where the right image is in them."""
    truth = read_groundtruth(data / "smvs-dvd" / "groundtruth.json")
    database, queries = truth.locate()
    task = DescribingTask(Describer(recipe), cache=cache)
    added = [found.path for folder in distractors for found in find_images(folder) if found.reason is None]
    parts = [(path, None) for path in (*database, *added)]
    task.begin(len(parts) + len(queries), progress)
    found, asked = task.describe(parts, lenient=True), task.describe([(path, None) for path in queries], is_query=True)
    found = found.chosen(np.flatnonzero(found.usable))
    source = ArraySource(found.first_rows(), visual_words=found.visual_words)
    vectors, words = index_for(replace(recipe, words=""), source), SyncedWords(source)
    short = CANDIDATES // 2
    hits: dict[str, list[tuple[bool, bool, float]]] = {}
    for number, query in enumerate(truth.queries):
        (relevant,) = query.judgement.relevant.tolist()
        own = asked.words_of(number)
        assert own is not None
        by_vector = vectors.search(asked.first_rows()[number : number + 1], short).ids
        began = time.perf_counter()
        by_words = best_of_passes(words.search(own, short)).ids
        seconds = time.perf_counter() - began
        folder = queries[number].parent.name
        hits.setdefault(folder, []).append((relevant + 1 in by_vector, relevant + 1 in by_words, seconds))
    for folder, each in hits.items():
        yield {
            "queries": folder,
            "images": len(found),
            "by vectors": round(float(np.mean([one for one, _, _ in each])), 4),
            "by words": round(float(np.mean([two for _, two, _ in each])), 4),
            "both": round(float(np.mean([one or two for one, two, _ in each])), 4),
            "ms by words": round(1e3 * median(seconds for *_, seconds in each), 1),
        }


def storage(data: Path, variants: Sequence[tuple[int, int]]) -> Iterator[Row]:
    """What verification makes of features stored in fewer bytes."""
    for name in ("smvs-dvd", "gardens-point"):
        truth = read_groundtruth(data / name / "groundtruth.json")
        database, queries = truth.locate()
        most = max(count for count, _ in variants)
        images = [features(path, {**FEATURES["sift"].indexed, "count": most}) for path in database]
        asked = [features(path, FEATURES["sift"].query) for path in queries]
        for count, bits in variants:
            stored = [to_bytes(each.first(count), bits=bits) for each in images]
            restored = [from_bytes(each) for each in stored]
            right, wrong, best = [], [], 0
            for query, own in zip(truth.queries, asked, strict=True):
                relevant = set(query.judgement.relevant.tolist())
                inliers = [0 if (found := match(own, each)) is None else found.inliers for each in restored]
                right.append(max(inliers[number] for number in relevant))
                wrong.append(max(inliers[number] for number in range(len(inliers)) if number not in relevant))
                best += max(range(len(inliers)), key=inliers.__getitem__) in relevant
            yield {
                "set": name,
                "points": count,
                "bits": bits,
                "bytes": round(float(np.mean([len(each) for each in stored]))),
                "verified": round(float(np.mean([each >= 8 for each in right])), 4),
                "best is right": round(best / len(asked), 4),
                "median inliers": median(right),
                "fewest of right": min(right),
                "most of wrong": max(wrong),
            }


def features(path: Path, options: Mapping[str, int]) -> LocalFeatures:
    decoded = decode(path, longest=480)
    found = sift(decoded.pixels, **options)
    height, width = decoded.pixels.shape[:2]
    return found.scaled(decoded.width / width, decoded.height / height)


def costs(recipe: Recipe, data: Path, folder: Path, count: int) -> Iterator[Row]:
    """Indexing, bytes and query times beside `kin` alone; of the processor too, as a busy machine decides the rest."""
    kin = replace(Recipe.load("kin"), name="kin alone", features="", words="", calibration="")
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        files = [found.path for found in find_images(folder) if found.reason is None][:count]
        seconds: dict[str, list[tuple[float, float]]] = {kin.name: [], recipe.name: []}
        for number in range(ROUNDS):
            for each in (kin, recipe):
                with Library.create(root / f"{each.name}-{number}", recipe=each) as library:
                    library.describe(files[:9])  # compiles what a long run needs
                    began = time.perf_counter(), time.process_time()
                    library.add(files)
                    library.renew_index()
                    seconds[each.name].append((time.perf_counter() - began[0], time.process_time() - began[1]))
        last = root / f"{recipe.name}-{ROUNDS - 1}"
        on_disk = sum(file.stat().st_size for file in last.iterdir())
        yield {
            "images": len(files),
            "bytes an image": round(on_disk / len(files)),
            **{
                f"{name}: ms of processor": round(1e3 * median(cpu for _, cpu in found) / len(files), 1)
                for name, found in seconds.items()
            },
            "share of speed": round(_ratio(seconds[kin.name], seconds[recipe.name], 0), 3),
            "by processor": round(_ratio(seconds[kin.name], seconds[recipe.name], 1), 3),
        }
        query = next(data.joinpath("smvs-dvd/Canon").iterdir())
        command = [sys.executable, "-m", "kindred.cli", "search", str(query), "--library", str(last), "--json"]
        method = None if recipe.calibration else "verify"
        whole = []
        for _ in range(5):
            began = time.perf_counter(), _of_children()
            subprocess.run([*command, *(["--rerank", method] if method else [])], check=True, capture_output=True)
            whole.append((time.perf_counter() - began[0], _of_children() - began[1]))
        work = []
        with Library.open(last) as library:
            library.describe([query])
            for _ in range(6):
                began = time.perf_counter(), time.process_time()
                library.search(query, rerank=method)
                work.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        yield {
            "process s": _both(whole),
            "first search s": _both(work[:1]),
            "search s": _both(work[1:]),
            "(of the processor)": "in brackets",
        }


def _ratio(one: Sequence[tuple[float, float]], other: Sequence[tuple[float, float]], clock: int) -> float:
    """The speed of the other as a share of that of the one, by round."""
    return median(a[clock] / b[clock] for a, b in zip(one, other, strict=True))


def _both(seconds: Sequence[tuple[float, float]]) -> str:
    wall, cpu = (median(each) for each in zip(*seconds, strict=True))
    return f"{wall:.2f} ({cpu:.2f})"


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done}/{total} ", end="\n" if done == total else "", file=sys.stderr)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help="what to measure (default: all)")
    parser.add_argument("--recipe", default="kin", help="a preset or .toml file with words (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="(default: %(default)s)")
    parser.add_argument("--distractors", type=Path, nargs="*", help="folders (default: the development pool)")
    parser.add_argument("--folder", type=Path, help="images to index for the costs (default: gardens-point)")
    parser.add_argument("--kind", choices=["12 megapixels", "500 pixels"], help="files of the costs, as of indexing.py")
    parser.add_argument("--stored", nargs="+", metavar="POINTS,BITS", help="variants of the storage (default: several)")
    parser.add_argument("--images", type=int, default=400, help="of the costs (default: %(default)s)")
    parser.add_argument("--cache", type=Path, help="a folder that stores descriptions for the next run")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each row")
    given = parser.parse_args(arguments)
    recipe = Recipe.load(given.recipe)
    pool = [given.data / "training-pool" / name for name in POOL]
    distractors = pool if given.distractors is None else given.distractors
    folder = given.folder or given.data / "gardens-point"
    if given.kind is not None:
        folder = Path(tempfile.gettempdir()) / "kindred-benchmark" / f"{given.kind}-{given.images}".replace(" ", "-")
        prepare_files(given.kind, folder, given.images)
    variants = [(int(one), int(other)) for one, _, other in (each.partition(",") for each in given.stored or ())]
    measured = {
        "recall": lambda: recall(recipe, given.data, distractors, given.cache),
        "storage": lambda: storage(given.data, variants or STORED),
        "costs": lambda: costs(recipe, given.data, folder, given.images),
    }
    for part in given.parts or PARTS:
        for row in measured[part]():
            shown = json.dumps({"part": part, **row})
            print(shown if given.json else "  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KindredError as error:
        sys.exit(f"candidates.py: {error}")
