"""Measure every method on the three development sets: the same backbone, preprocessing and whitening for all.

    python benchmarks/methods.py [--methods NAME ...] [--sets NAME ...] [--again] [--work FOLDER] [--json]

Each file of benchmarks/methods/ is a recipe, with comments that only this script reads:

    # group: Pooling                        the table that it belongs to
    # fit: --words 64 --dimension 512       options of `kindred fit`, if something is to be fitted
    # rerank: aqe:n=5,diffusion             re-rankers to measure it with too, one line for each list

Parameters are fitted on POOL, images that are in none of the sets. Every result is written to docs/methods.json
as it comes, and what is there already, by the same recipe and options, is not measured again: the run can be stopped
and goes on. `tables` makes the tables of docs/methods.md of it. Times are wall time on whatever else the machine does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date
from itertools import product
from pathlib import Path
from typing import NamedTuple, cast

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
RECIPES = ROOT / "benchmarks" / "methods"
RESULTS = ROOT / "docs" / "methods.json"
WORK_HELP = "where fitted recipes and descriptions are stored for the next run (default: %(default)s)"
SETS = ("smvs-dvd", "gardens-point", "grocery")
POOL = ("corel5k", "youthinkk", "msrc-v2")
GROUPS = ("Pooling", "Multiple passes", "Embedding", "Fusion", "After the pooling", "Re-ranking", "Presets")
# The figures of the tables: set, metric, heading.
FIGURES = (
    ("smvs-dvd", "recall@1/Canon", "DVD, camera: R@1"),
    ("smvs-dvd", "recall@1/E63", "DVD, phone: R@1"),
    ("gardens-point", "recall@1", "Gardens Point: R@1"),
    ("grocery", "mAP", "Grocery: mAP"),
)
COSTS = ("dimension", "bytes_per_image", "passes", "ms_per_image", "ms_per_query")

Row = dict[str, object]


class Method(NamedTuple):
    """One recipe file and what its comments ask for."""

    name: str
    file: Path
    group: str
    fit: str
    rerank: tuple[str, ...]

    @classmethod
    def read(cls, file: Path) -> Method:
        text = file.read_text(encoding="utf-8")

        def noted(key: str) -> list[str]:
            return [line.strip() for line in re.findall(rf"^# {key}:(.*)$", text, re.MULTILINE)]

        (group,) = noted("group") or [GROUPS[0]]
        if group not in GROUPS:
            raise SystemExit(f"{file}: group is {group!r}; expected {', '.join(GROUPS)}")
        return cls(file.stem, file, group, " ".join(noted("fit")), tuple(noted("rerank")))

    @property
    def fits(self) -> bool:
        return "# fit:" in self.file.read_text(encoding="utf-8")


# The tables: pure, so that the documentation can be made anywhere.


def tables(document: Mapping[str, object]) -> str:
    """Make Markdown of what this script wrote: a table for each group, its best rows first, then the commands."""
    rows = cast("list[Row]", document["rows"])
    parts = [_conditions(rows)] if rows else ["Nothing has been measured yet."]
    for group in GROUPS:
        merged = _merged([row for row in rows if row["group"] == group])
        if merged:
            parts += [f"### {group}", _table(merged)]
    return "\n\n".join(parts)


def _merged(rows: Sequence[Row]) -> list[Row]:
    """Put the rows of one method on all sets together, the best on average first."""
    merged: dict[tuple[object, object], Row] = {}
    for row in sorted(rows, key=lambda row: SETS.index(str(row["set"]))):
        both = merged.setdefault((row["method"], row["rerank"]), {**row, "figures": {}})
        metrics = cast("Mapping[str, float]", row["metrics"])
        figures = cast("dict[str, float]", both["figures"])
        figures |= {heading: metrics[metric] for name, metric, heading in FIGURES if name == row["set"]}
    return sorted(merged.values(), key=lambda row: (-_average(row), str(row["method"]), str(row["rerank"])))


def _average(row: Row) -> float:
    figures = cast("Mapping[str, float]", row["figures"])
    return sum(figures.get(heading, 0.0) for _, _, heading in FIGURES) / len(FIGURES)


def _table(rows: Sequence[Row]) -> str:
    headings = [heading for _, _, heading in FIGURES]
    best = {heading: max(_figure(row, heading) for row in rows) for heading in headings}
    heads = ["method", "re-ranked by", *headings, "numbers", "bytes", "passes", "ms an image", "ms a query", "command"]
    lines = ["| " + " | ".join(heads) + " |", "|---|---" + "|---:" * (len(heads) - 3) + "|---|"]
    for row in rows:
        figures = [_shown(_figure(row, heading), best[heading]) for heading in headings]
        cells = [f"`{row['method']}`", f"`{row['rerank']}`" if row["rerank"] else "", *figures]
        cells += [_number(cast(float, row[cost])) for cost in COSTS]
        lines.append("| " + " | ".join([*cells, f"`{row['command']}`"]) + " |")
    return "\n".join(lines)


def _figure(row: Row, heading: str) -> float:
    return cast("Mapping[str, float]", row["figures"]).get(heading, -1.0)


def _shown(value: float, best: float) -> str:
    if value < 0:
        return ""
    return f"**{value:.3f}**" if value == best else f"{value:.3f}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def _conditions(rows: Sequence[Row]) -> str:
    days = sorted({str(row["date"]) for row in rows})
    machines = sorted({str(row["hardware"]) for row in rows})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    pool = " ".join(f"../shared/data/training-pool/{name}" for name in POOL)
    return (
        f"Measured {when} on {'; '.join(machines)}. Costs are those of the first set that was measured (DVD covers at "
        "their own size, where it was). Commands run from the folder `benchmarks/methods`; SET is one of "
        + ", ".join(f"`../../../shared/data/{name}`" for name in SETS)
        + f", and POOL is `{pool.replace('../shared', '../../../shared')}`."
    )


# Measuring


def key_of(method: Method, rerank: str, digest: str) -> str:
    """The command of a row: the recipe, what is fitted for it, the re-rankers."""
    return hashlib.sha256(repr((digest, method.fits, method.fit, rerank, POOL)).encode()).hexdigest()[:16]


def command_of(method: Method, rerank: str) -> str:
    """The commands that reproduce a row."""
    fitted = f"{method.name}-fitted.toml" if method.fits else f"{method.name}.toml"
    fit = f"kindred fit {method.name}.toml POOL -o {fitted} {method.fit}".strip() + " && " if method.fits else ""
    return f"{fit}kindred evaluate SET -r {fitted}" + (f" --rerank {rerank}" if rerank else "")


def read_results(file: Path) -> dict[str, list[Row]]:
    """Read what was measured before; nothing where there is no such file."""
    if not file.is_file():
        return {"rows": []}
    return cast("dict[str, list[Row]]", json.loads(file.read_text(encoding="utf-8")))


def keep(file: Path, row: Row) -> None:
    """Write a row among the others, in place of an older one of the same method, set and re-rankers."""
    same = ("set", "method", "rerank")
    rows = [old for old in read_results(file)["rows"] if any(old[key] != row[key] for key in same)]
    rows = sorted([*rows, row], key=lambda each: tuple(str(each[key]) for key in ("group", "method", "rerank", "set")))
    unfinished = file.with_suffix(".part")
    unfinished.write_text(json.dumps({"rows": rows}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    unfinished.replace(file)


def row_of(method: Method, rerank: str, name: str, key: str, found: Mapping[str, object]) -> Row:
    """The recorded part of a result of `Evaluation.as_dict`, rounded."""
    values = {metric: round(value, 3) for metric, value in found.items() if isinstance(value, float | int)}
    metrics = {metric: value for metric, value in values.items() if re.match(r"recall@|mAP|MAP@R|R-prec", metric)}
    return {
        "group": "Re-ranking" if rerank else method.group,
        "method": method.name,
        "rerank": rerank,
        "set": name,
        "key": key,
        "metrics": metrics,
        "dimension": values["dimension"],
        "bytes_per_image": round(cast(float, found["bytes_per_image"])),
        "passes": values["passes"],
        "ms_per_image": round(1e3 * cast(float, found["seconds_per_image"]), 1),
        "ms_per_query": round(1e3 * cast(float, found["seconds_per_query"]), 1),
        "date": str(date.today()),
        "hardware": hardware(),
        "command": command_of(method, rerank),
    }


def hardware() -> str:
    """The processor and its cores."""
    names = re.findall(r"^model name\s*: (.*)$", _text(Path("/proc/cpuinfo")), re.MULTILINE)
    return f"{len(os.sched_getaffinity(0))} cores of {names[0] if names else platform.machine()}"


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def prepared(method: Method, work: Path) -> Path:
    """Return the recipe file, fitted if needed; what was fitted before is reused."""
    if not method.fits:
        return method.file
    mark = hashlib.sha256((method.file.read_text() + method.fit + repr(POOL)).encode()).hexdigest()[:8]
    fitted = work / f"{method.name}-{mark}.toml"
    if not fitted.is_file():
        pool = [str(SHARED / "data" / "training-pool" / name) for name in POOL]
        command = [sys.executable, "-m", "kindred.cli", "fit", str(method.file), *pool, "-o", str(fitted)]
        subprocess.run([*command, *method.fit.split()], check=True, stdout=subprocess.DEVNULL)
    return fitted


def add_models(work: Path) -> None:
    """Give recipes the public networks by their names, in a home of this script's own."""
    os.environ["KINDRED_HOME"] = str(work / "home")
    from kindred.backbones import add_model, list_models
    from kindred.errors import ModelError

    known = {model.name for model in list_models()}
    for file in sorted((SHARED / "weights").glob("*.onnx")):
        if file.stem not in known:
            with suppress(ModelError):  # such as a part of a local feature, which takes more than an image
                add_model(file)


def missing(method: Method, name: str, digest: str, *, again: bool) -> list[str]:
    """The lists of re-rankers, "" for none, that are still to be measured."""
    done = {} if again else {(row["set"], row["key"]): row for row in read_results(RESULTS)["rows"]}
    return [rerank for rerank in ("", *method.rerank) if (name, key_of(method, rerank, digest)) not in done]


def measure(method: Method, name: str, work: Path, *, again: bool) -> Iterator[Row]:
    """Measure one method on one set: as the recipe says (""), and with each list of re-rankers."""
    from kindred.evaluation.datasets import read_dataset
    from kindred.evaluation.evaluate import Bench
    from kindred.evaluation.files import Files
    from kindred.recipe import Recipe

    digest = Recipe.load(method.file).digest
    wanted = missing(method, name, digest, again=again)
    if not wanted:
        return
    truth = read_dataset(SHARED / "data" / name)
    bench = Bench(truth, Files.of(truth), prepared(method, work), cache=work / "cache")
    for rerank in wanted:
        found = bench.measure(rerank or None, progress=_progress(f"{method.name} {rerank} on {name}"))
        yield row_of(method, rerank, name, key_of(method, rerank, digest), found.as_dict())


def _progress(what: str) -> Callable[[int, int], None]:
    def tell(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{what}: {done}/{total} ", end="\n" if done == total else "", file=sys.stderr)

    return tell


def main(arguments: Sequence[str]) -> int:
    from kindred.errors import KindredError

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", help="names of files in benchmarks/methods/ (default: all)")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="(default: all)")
    parser.add_argument("--again", action="store_true", help="measure what was measured before, too")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "kindred-methods", help=WORK_HELP)
    parser.add_argument("--json", action="store_true", help="print the new rows as JSON, one a line")
    options = parser.parse_args(arguments)
    methods = {file.stem: Method.read(file) for file in sorted(RECIPES.glob("*.toml"))}
    if unknown := [name for name in options.methods or () if name not in methods]:
        parser.error(f"no method {', '.join(unknown)} in {RECIPES}")
    options.work.mkdir(parents=True, exist_ok=True)
    add_models(options.work)
    failed = 0
    for method, name in product(options.methods or methods, options.sets):
        try:
            for row in measure(methods[method], name, options.work, again=options.again):
                keep(RESULTS, row)
                print(json.dumps(row) if options.json else _line(row), flush=True)
        except (KindredError, subprocess.CalledProcessError) as error:  # the others go on
            failed += 1
            print(f"{method} on {name} failed: {error}", file=sys.stderr)
    return 1 if failed else 0


def _line(row: Row) -> str:
    metrics = cast("Mapping[str, float]", row["metrics"])
    label = f"{row['method']} {row['rerank']}".strip()
    cost = f"{row['ms_per_image']} ms an image, {row['ms_per_query']} ms a query"
    return f"{label:32}{row['set']:15}{metrics['recall@1']:8.3f}{metrics['mAP']:8.3f}  {cost}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
