"""Measure what fine-tuning gains: Grocery Store, from MobileNetV2's published weights and from `kin`, method by method.

    python benchmarks/finetune.py [--protocols unseen seen] [--starts mobilenet_v2 kin] [--runs NAME ...] [--again]

Two protocols. `unseen`, the usual one of metric learning: training on the first half of the classes (by name), search
in the other half, so that no class of a query was trained on. `seen`: training on the train split, with the queries and
the database of the set's ground truth. Every run is `kindred train` and then `kindred evaluate` with the recipe that it
wrote, without PyTorch; a tenth of each training class is held out to choose the epoch, and the queries are used once,
at the end. Results are written to docs/finetune.json one by one, and a result of the same options is not measured
again: the benchmark can be interrupted. `tables` and `picture` make those of docs/training.md from it. Each run leaves
its report with curves and queries in the folder --work.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple, cast

from methods import SHARED, add_models, hardware

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "finetune.json"
GROCERY = SHARED / "data" / "grocery"
PROTOCOLS = {
    "unseen": "classes not seen in training: trained on the first half of the classes, evaluated on the other half",
    "seen": "queries and database of the set itself, trained on its train split",
}
# How a start is named to `kindred train`, and the recipe of the network as it was.
STARTS = {
    "mobilenet_v2": ["--backbone", "mobilenet_v2", "--from", str(SHARED / "weights" / "mobilenet_v2.safetensors")],
    "kin": ["--backbone", "kin"],
}
COMMON = ["--size", "224", "--crop", "160", "--batch", "48"]
EPOCHS = {"unseen": "5", "seen": "3"}  # `seen` has twice the images: both take about as many steps
RUNS: dict[str, list[str]] = {
    "classification": ["--method", "classification"],
    "siamese": ["--method", "siamese"],
    "triplet": ["--method", "triplet"],
    "multi-similarity": ["--method", "multi_similarity"],
    "smooth AP": ["--method", "smooth_ap"],
    "manifold (no labels)": ["--method", "manifold"],
    "clusters (no labels)": ["--method", "clusters"],
    "classification, ArcFace": ["--method", "classification", "--loss", "arcface"],
    "classification, cross-entropy": ["--method", "classification", "--loss", "cross_entropy"],
    "siamese, hard negatives of all": ["--method", "siamese", "--mining", "pool"],
    "triplet, semi-hard": ["--method", "triplet", "--set", "loss.triplets=semi_hard"],
    "multi-similarity, memory": ["--method", "multi_similarity", "--memory", "512"],
}
BARS = {"supervised": 0.15, "best": 0.30, "unlabelled": 0.05}

Row = dict[str, object]


class ProtocolData(NamedTuple):
    """The images that a protocol trains on, and the ground truth that it is measured on."""

    images: Path
    groundtruth: Path


# The tables and the picture: pure, so that the documentation can be made anywhere.


def tables(document: Mapping[str, object]) -> str:
    """Make Markdown of what this script wrote: a table for each protocol and start."""
    rows = cast("list[Row]", document["rows"])
    if not rows:
        return "Nothing has been measured yet."
    machines = "; ".join(sorted({str(row["hardware"]) for row in rows}))
    days = sorted({str(row["date"]) for row in rows})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    parts = [f"Measured {when} on {machines}, by `python benchmarks/finetune.py`; FOLDER is what it trains on."]
    for protocol, meaning in PROTOCOLS.items():
        for start in STARTS:
            own = [row for row in rows if (row["protocol"], row["start"]) == (protocol, start)]
            if own:
                parts += [f"### `{start}`, {protocol} classes", meaning[0].upper() + meaning[1:] + ".", _table(own)]
    return "\n\n".join(parts)


def _table(rows: Sequence[Row]) -> str:
    """The network as it was, and each run by what it adds to the command that all of them have in common."""
    before = next(row for row in rows if row["run"] == "")
    runs = sorted((row for row in rows if row is not before), key=lambda row: cast(float, row["mAP"]))
    shared = str(runs[0]["command"]).partition(" --method ")[0] if runs else ""
    best = max(cast(float, row["mAP"]) for row in rows)
    lines = [
        f"Off the shelf is the {before['command']}; all others are `{shared}` with the options of the row.\n",
        "| method | recall@1 | mAP | mAP gained | minutes | options |",
        "|---|---:|---:|---:|---:|---|",
        f"| off the shelf | {before['recall@1']:.3f} | {before['mAP']:.3f} | | | |",
    ]
    for row in runs:
        quality = cast(float, row["mAP"])
        shown = f"**{quality:.3f}**" if quality == best else f"{quality:.3f}"
        gain = f"{100 * (quality / cast(float, before['mAP']) - 1):+.0f} %"
        minutes = f"{cast(float, row['seconds']) / 60:.0f}"
        options = f"`{str(row['command']).removeprefix(shared).strip()}`"
        cells = [str(row["run"]), f"{cast(float, row['recall@1']):.3f}", shown, gain, minutes, options]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f1d1a}.soft{fill:#6b665d}.grid{stroke:#e4dfd4}"
    ".before{stroke:#a09b91;stroke-width:1.5}.labels{fill:#0b6e63;stroke:#0b6e63}.none{fill:#7a6ad8;stroke:#7a6ad8}"
    "@media(prefers-color-scheme:dark){text{fill:#ece9e2}.soft{fill:#a09b91}.grid{stroke:#2e3135}"
    ".labels{fill:#6fd3c3;stroke:#6fd3c3}.none{fill:#b3a8ff;stroke:#b3a8ff}}"
)


def picture(document: Mapping[str, object]) -> str:
    """Draw what was gained on unseen classes as an SVG: a line for each run, from the mAP before to that after."""
    rows = [row for row in cast("list[Row]", document["rows"]) if row["protocol"] == "unseen"]
    parts, top = [], 16
    for start in STARTS:
        own = {str(row["run"]): cast(float, row["mAP"]) for row in rows if row["start"] == start}
        before = own.pop("", None)
        if before is not None and own:
            drawn = _panel(f"from {start}: mAP on classes not seen in training", before, own, top)
            parts.append(drawn)
            top += 26 * len(own) + 74
    size = f'viewBox="0 0 760 {top}" width="760" height="{top}"'
    title = "<title>mAP before and after fine-tuning, method by method</title>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{title}<style>{STYLE}</style>{"".join(parts)}</svg>\n'


def _panel(title: str, before: float, found: Mapping[str, float], top: int) -> str:
    """The rows of one start, the best first, on an axis from 0 to 1."""

    def across(quality: float) -> float:
        return 250 + 440 * quality

    bottom = top + 26 * len(found) + 30
    parts = [f'<text x="0" y="{top + 6}" font-weight="600">{title}</text>']
    for tick in (0, 0.2, 0.4, 0.6, 0.8, 1):
        parts.append(f'<path class="grid" d="M{across(tick):.0f} {top + 18}V{bottom}"/>')
        parts.append(
            f'<text class="soft" x="{across(tick):.0f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>'
        )
    parts.append(f'<path class="before" d="M{across(before):.1f} {top + 18}V{bottom}" stroke-dasharray="3 3"/>')
    for place, (run, quality) in enumerate(sorted(found.items(), key=lambda item: -item[1])):
        y, kind = top + 36 + 26 * place, "none" if "no labels" in run else "labels"
        parts.append(f'<text x="238" y="{y + 4}" text-anchor="end">{run}</text>')
        parts.append(f'<path class="{kind}" stroke-width="3" d="M{across(before):.1f} {y}H{across(quality):.1f}"/>')
        parts.append(f'<circle class="{kind}" cx="{across(quality):.1f}" cy="{y}" r="5"/>')
        parts.append(f'<text x="{across(quality) + 12:.1f}" y="{y + 4}">{quality:.3f}</text>')
    return "".join(parts)


# Measuring


def protocol_data(protocol: str, work: Path) -> ProtocolData:
    """Prepare the data of a protocol: links to the images, and a ground truth."""
    if protocol == "seen":
        return ProtocolData(GROCERY / "train", GROCERY / "groundtruth.json")
    classes = sorted(folder.name for folder in (GROCERY / "train").iterdir() if folder.is_dir())
    half = len(classes) // 2
    images = work / "unseen" / "train"
    images.mkdir(parents=True, exist_ok=True)
    for name in classes[:half]:
        if not (images / name).exists():
            (images / name).symlink_to(GROCERY / "train" / name)
    truth = json.loads((GROCERY / "groundtruth.json").read_text())
    wanted = set(classes[half:])

    def kept(path: str) -> bool:
        return path.split("/")[1] in wanted

    truth["name"] = "grocery-unseen"
    truth["database"] = [path for path in truth["database"] if kept(path)]
    truth["queries"] = {path: query for path, query in truth["queries"].items() if kept(path)}
    file = work / "unseen" / "groundtruth.json"
    file.write_text(json.dumps(truth))
    return ProtocolData(images, file)


def measure(protocol: str, start: str, run: str, work: Path) -> Row:
    """Train, unless `run` is "" (the network before training), and evaluate."""
    what = protocol_data(protocol, work)
    if run:
        options = options_of(protocol, start, run)
        model = model_of(protocol, start, run, work)
        if not model.exists():
            _kindred("train", str(what.images), "-o", str(model), *options, "--json")
        seconds, recipe = _seconds(model), model.with_name(f"{model.stem}-recipe.toml")
        command = " ".join(["kindred train FOLDER -o MODEL.onnx", *(_shown(word) for word in options)])
    else:
        recipe = work / f"{start}-before.toml"
        backbone = "mobilenet_v2" if start == "mobilenet_v2" else "kin"
        recipe.write_text(f'name = "before"\nbackbone = "{backbone}"\nsize = 224\n')
        seconds, command = 0.0, f"backbone {backbone}, GeM, size 224"
    found = json.loads(
        _kindred("evaluate", str(what.groundtruth), "-r", str(recipe), "--images", str(GROCERY), "--json")
    )
    return {
        "protocol": protocol,
        "start": start,
        "run": run,
        "key": key_of(protocol, start, run),
        "recall@1": round(found["recall@1"], 4),
        "mAP": round(found["mAP"], 4),
        "seconds": round(seconds),
        "command": command,
        "date": str(date.today()),
        "hardware": hardware(),
    }


def options_of(protocol: str, start: str, run: str) -> list[str]:
    """Return the options of `kindred train`."""
    return [*STARTS[start], *COMMON, "--epochs", EPOCHS[protocol], *RUNS[run]]


def key_of(protocol: str, start: str, run: str) -> str:
    """Return a digest of the options of a run, by which its row is found again."""
    words = options_of(protocol, start, run) if run else [start]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16]


def model_of(protocol: str, start: str, run: str, work: Path) -> Path:
    """Return the file of the model of a run; other options give another file."""
    words = "".join(c if c.isalnum() else " " for c in run).split()
    return work / f"{'-'.join([protocol, start, *words, key_of(protocol, start, run)[:6]])}.onnx"


def forget(model: Path) -> None:
    """Remove the files of a run, so that it is trained again."""
    for file in (model, model.with_suffix(".toml"), model.with_name(f"{model.stem}-recipe.toml")):
        file.unlink(missing_ok=True)
    shutil.rmtree(model.with_suffix(".run"), ignore_errors=True)


def keep(row: Row) -> None:
    """Store a row, in place of an older one of the same run."""
    same = ("protocol", "start", "run")
    rows = [old for old in read_rows() if any(old[key] != row[key] for key in same)]
    rows = sorted([*rows, row], key=lambda each: tuple(str(each[key]) for key in same))
    unfinished = RESULTS.with_suffix(".part")
    unfinished.write_text(json.dumps({"rows": rows}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    unfinished.replace(RESULTS)


def read_rows() -> list[Row]:
    """Read the stored rows."""
    return cast("list[Row]", json.loads(RESULTS.read_text())["rows"]) if RESULTS.is_file() else []


def _kindred(*words: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "kindred.cli", *words], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def _seconds(model: Path) -> float:
    from kindred.backbones.card import Card

    return float(Card.load(model.with_suffix(".toml")).training["seconds"])


def _shown(word: str) -> str:
    return Path(word).name if os.sep in word else word


def judge(rows: Sequence[Row]) -> list[str]:
    """Return for each start which targets are met, a line each."""
    lines = []
    for start in STARTS:
        own = {
            str(row["run"]): cast(float, row["mAP"])
            for row in rows
            if (row["protocol"], row["start"]) == ("unseen", start)
        }
        before = own.pop("", None)
        if before is None or not own:
            continue
        gains = {run: quality / before - 1 for run, quality in own.items()}
        supervised = {run: gain for run, gain in gains.items() if "no labels" not in run}
        for run, gain in gains.items():
            bar = BARS["supervised" if run in supervised else "unlabelled"]
            lines.append(f"{start:14}{run:34}{gain:+8.1%}  bar {bar:+.0%}  {'met' if gain >= bar else 'MISSED'}")
        if supervised:
            best = max(supervised.values())
            met = "met" if best >= BARS["best"] else "MISSED"
            lines.append(f"{start:14}{'the best with labels':34}{best:+8.1%}  bar {BARS['best']:+.0%}  {met}")
    return lines


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocols", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS))
    parser.add_argument("--starts", nargs="+", choices=list(STARTS), default=list(STARTS))
    parser.add_argument("--runs", nargs="+", choices=list(RUNS), default=list(RUNS))
    parser.add_argument("--again", action="store_true", help="measure everything again")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "kindred-finetune")
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    add_models(options.work)
    for protocol in options.protocols:
        for start in options.starts:
            for run in ["", *options.runs]:
                done = {(row["protocol"], row["start"], row["run"]): row["key"] for row in read_rows()}
                if not options.again and done.get((protocol, start, run)) == key_of(protocol, start, run):
                    continue
                if options.again:
                    forget(model_of(protocol, start, run, options.work))
                row = measure(protocol, start, run, options.work)
                keep(row)
                name = run or "off the shelf"
                print(f"{protocol:8}{start:14}{name:34}R@1 {row['recall@1']:.3f}  mAP {row['mAP']:.3f}", flush=True)
    print("\n".join(judge(read_rows())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
