"""The tables and pictures of docs/scaling.md, from the measurements in docs/scaling.json.

Measured tables repeat what `scaling.py`, `million.py` and `postgres.py` found. Extrapolated ones multiply it, by the
assumptions in `PLAN`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, cast

Row = Mapping[str, object]
Document = Mapping[str, Mapping[str, object]]

MILLION = 1_000_000
SIZES = (10**8, 10**9, 10**10)
RECIPE = "kin"
KINDS = ("12 megapixels", "500 pixels", "256 pixels")
LINKS = 256  # bytes of the links of a vector in an HNSW graph with 32 neighbours
HALF = 1024  # bytes of 512 components of half precision


class Plan(NamedTuple):
    """Assumptions of the extrapolation: machines, and how much of them is used."""

    cores: int = 64
    memory: float = 256e9
    used: float = 0.75
    replicas: int = 2
    queries: float = 100.0
    links: Sequence[float] = (1e9, 50e9)


PLAN = Plan()


def rows_of(document: Document, part: str) -> list[Row]:
    """Return the rows of a part of the measurements; none if it was not measured."""
    return list(cast("Iterable[Row]", document.get(part, {}).get("rows", ())))


def number(row: Row, key: str) -> float:
    """Return a number of a row."""
    return float(cast(float, row[key]))


def described(document: Document, recipe: str, kind: str) -> dict[str, float]:
    """Return the core-seconds and the bytes read of an image by recipe and kind of files."""
    row = next(each for each in rows_of(document, "describe") if (each["recipe"], each["kind"]) == (recipe, kind))
    return {key: number(row, key) for key in ("core_seconds", "bytes_read")}


def commit_seconds(document: Document) -> float:
    """Return the processor time that an image takes to be stored, during which a database stores no other."""
    return number(rows_of(document, "commit")[0], "core_seconds")


def bytes_of(document: Document, recipe: str) -> float:
    """Return the bytes an image takes in the store."""
    return number(next(each for each in rows_of(document, "store") if each["recipe"] == recipe), "bytes")


def _table(heads: str, rows: Iterable[Sequence[object]], *, numbers: int) -> str:
    """A table with heads separated by |; all columns from `numbers` on are aligned to the right."""
    titles = heads.split("|")
    lines = [titles, ["---" if at < numbers else "---:" for at in range(len(titles))], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def conditions(document: Document, part: str) -> str:
    """The sentence about when and where a part was measured."""
    facts = document[part]
    where = f"{facts['cpu']}, {facts['cores']} cores, load {facts['load']:g}" if "cpu" in facts else ""
    return f"{facts.get('date', '')}: {where}. `{facts['command']}`" if where else f"`{facts['command']}`"


# Measured


def describing(document: Document) -> str:
    """What a million images cost to describe."""
    rows = []
    for row in rows_of(document, "describe"):
        seconds, size = number(row, "core_seconds"), number(row, "bytes_read")
        name = row["recipe"] if row["recipe"] == "decoding alone" else f"`{row['recipe']}`"
        rows.append(
            (row["kind"], name, row["images"], f"{1e3 * seconds:.1f}", f"{seconds * MILLION / 3600:.1f}", _size(size))
        )
    heads = "images|recipe|images measured|core-ms an image|core-hours a million|bytes read an image"
    return f"{_table(heads, rows, numbers=2)}\n\n{conditions(document, 'describe')}"


def storing(document: Document) -> str:
    """What a million images take in the store, and what storing one costs."""
    rows = []
    for row in rows_of(document, "store"):
        size = number(row, "bytes")
        vectors = f"{number(row, 'vectors'):.3g} × {number(row, 'components'):g}"
        rows.append((f"`{row['recipe']}`", vectors, f"{size:,.0f}", f"{size * MILLION / 1e9:.1f}"))
    heads = "recipe|vectors an image × components|bytes an image|GB a million"
    cost = f"Storing an image takes {1e3 * commit_seconds(document):.2f} core-ms, in commits of 256 images."
    return f"{_table(heads, rows, numbers=2)}\n\n{conditions(document, 'store')}\n\n{cost}"


def searching(document: Document) -> str:
    """What the vectors of an index take, and what a query costs."""
    rows = []
    for row in rows_of(document, "search"):
        build = number(row, "build_core_seconds") / number(row, "vectors") * MILLION
        rows.append(
            (
                row["index"],
                f"{number(row, 'vectors'):,.0f}",
                f"{number(row, 'bytes'):,.0f}",
                f"{build / 60:.1f}",
                f"{number(row, 'query_core_ms'):.2f}",
                f"{number(row, 'recall'):.3f}",
                f"{number(row, 'recall_among'):.3f}",
            )
        )
    heads = "index|vectors|bytes a vector|core-minutes to build a million|core-ms a query|recall@10|rescored"
    return f"{_table(heads, rows, numbers=1)}\n\n{conditions(document, 'search')}"


def recorded(document: Document) -> str:
    """Figures of other benchmarks, as their pages give them."""
    rows = [(each["what"], each["figure"], each["command"], each["source"]) for each in rows_of(document, "recorded")]
    return _table("what|figure|command|where it is described", rows, numbers=4)


def checked(document: Document) -> str:
    """The simulation beside real runs."""
    rows = []
    for row in rows_of(document, "queue"):
        real, simulated = number(row, "real_seconds"), number(row, "simulated_seconds")
        span = f"{number(row, 'simulated_low'):.1f} to {number(row, 'simulated_high'):.1f}"
        rows.append(
            (
                row["run"],
                f"{real:.1f}",
                f"{simulated:.1f}",
                span,
                f"{simulated / real:.2f}",
                f"{number(row, 'real_twice'):g} / {number(row, 'simulated_twice'):g}",
                f"{row['real_skipped']} / {row['simulated_skipped']}",
            )
        )
    heads = "run|real s|simulated s|of 20 simulations|ratio|begun again, real / simulated|skipped, real / simulated"
    return f"{_table(heads, rows, numbers=1)}\n\n{conditions(document, 'queue')}"


# Extrapolated


def totals(document: Document) -> str:
    """What 10^8 to 10^10 images take, by multiplication."""
    large, small = described(document, RECIPE, KINDS[0]), described(document, RECIPE, KINDS[2])
    slow, fast = PLAN.links
    stored = bytes_of(document, RECIPE)
    codes = {str(row["index"]): number(row, "bytes") for row in rows_of(document, "search")}
    one_bit = codes["rabitq, 512 bits"]
    lines: list[tuple[str, list[str]]] = [
        (
            "describing originals of 12 megapixels, core-hours",
            [_count(n * large["core_seconds"] / 3600) for n in SIZES],
        ),
        ("describing copies of 256 pixels, core-hours", [_count(n * small["core_seconds"] / 3600) for n in SIZES]),
        ("originals, bytes", [_size(n * large["bytes_read"]) for n in SIZES]),
        (f"reading the originals at {_size(slow)}/s", [_days(n * large["bytes_read"] / slow) for n in SIZES]),
        (f"reading the originals at {_size(fast)}/s", [_days(n * large["bytes_read"] / fast) for n in SIZES]),
        ("copies of 256 pixels, bytes", [_size(n * small["bytes_read"]) for n in SIZES]),
        (f"reading the copies at {_size(slow)}/s", [_days(n * small["bytes_read"] / slow) for n in SIZES]),
        (f"the store, `{RECIPE}`, bytes", [_size(n * stored) for n in SIZES]),
        ("in memory: vectors of half precision", [_size(n * HALF) for n in SIZES]),
        ("in memory: HNSW graph over them", [_size(n * (HALF + LINKS)) for n in SIZES]),
        ("in memory: RaBitQ, 1 bit a component", [_size(n * one_bit) for n in SIZES]),
        ("in memory: 30 patches an image, 1 bit", [_size(30 * n * one_bit) for n in SIZES]),
    ]
    rows = [(name, *cells) for name, cells in lines]
    return _table("|10⁸ images|10⁹ images|10¹⁰ images", rows, numbers=1)


def cluster(document: Document) -> str:
    """The machines that hold an index in memory, and those that compute its queries."""
    usable = PLAN.memory * PLAN.used
    codes = {str(row["index"]): row for row in rows_of(document, "search")}
    one_bit = codes["rabitq, 512 bits"]
    scan = number(one_bit, "query_core_ms") / 1e3 / number(one_bit, "vectors")
    rows = []
    for count in SIZES:
        for name, size, seconds in (
            ("HNSW, half precision", HALF + LINKS, None),
            ("RaBitQ, 1 bit, every code compared", number(one_bit, "bytes"), count * scan),
            ("RaBitQ, 1 bit, 1 % of the lists (IVF)", number(one_bit, "bytes") + 8, count * scan / 100),
        ):
            shards = max(1, math.ceil(count * size / usable))
            cores = "–" if seconds is None else _count(seconds * PLAN.queries)
            busy = 0.0 if seconds is None else seconds * PLAN.queries / (PLAN.cores * PLAN.used)
            machines = max(shards * PLAN.replicas, math.ceil(busy))
            rows.append(
                (_power(count), name, _size(count * size), shards, cores, machines, _count(machines * 24 * 365))
            )
    heads = "images|index|memory|shards|cores busy at 100 queries/s|machines|machine-hours a year"
    return _table(heads, rows, numbers=2)


def simulated(document: Document) -> str:
    """A billion images indexed by a thousand processes."""
    rows = []
    for row in rows_of(document, "simulated"):
        hours = number(row, "busy_seconds") / 3600
        rows.append(
            (
                row["run"],
                _days(number(row, "seconds")),
                _count(hours),
                f"{100 * number(row, 'reading'):.0f} %",
                f"{100 * number(row, 'idle'):.0f} %",
                f"{number(row, 'failures'):,.0f}",
                f"{100 * number(row, 'twice') / number(row, 'images'):.2f} %",
                f"{number(row, 'skipped'):,.0f}",
                f"{number(row, 'tail_seconds') / 60:.0f}",
            )
        )
    heads = "run|time|process-hours|bound by reading|idle|failures|begun again|skipped|minutes of an empty queue"
    return f"{_table(heads, rows, numbers=1)}\n\n{conditions(document, 'simulated')}"


def _size(size: float) -> str:
    """Bytes with three digits and a unit."""
    for power, unit in ((18, "EB"), (15, "PB"), (12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if size >= 0.9995 * 10**power:
            return f"{_three(size / 10**power)} {unit}"
    return f"{size:.0f} bytes"


def _days(seconds: float) -> str:
    for each, unit in ((365 * 86400, "years"), (86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * each:
            return f"{_three(seconds / each)} {unit}"
    return f"{_three(seconds)} s"


def _three(value: float) -> str:
    text = f"{value:,.0f}" if value >= 99.5 else f"{value:.1f}" if value >= 9.95 else f"{value:.2g}"
    return text.removesuffix(".0")


def _count(value: float) -> str:
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 1 else f"{rounded:g}"


def _power(value: int) -> str:
    return f"10{str(round(math.log10(value))).translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


TABLES = {
    "scaling_describing": describing,
    "scaling_storing": storing,
    "scaling_searching": searching,
    "scaling_recorded": recorded,
    "scaling_checked": checked,
    "scaling_totals": totals,
    "scaling_cluster": cluster,
    "scaling_simulated": simulated,
}


# Pictures

STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f1d1a}.soft{fill:#6b665d}.grid{stroke:#e4dfd4}"
    ".a{stroke:#0b6e63;fill:#0b6e63}.b{stroke:#7a6ad8;fill:#7a6ad8}.c{stroke:#b3541e;fill:#b3541e}"
    ".d{stroke:#3a6ea5;fill:#3a6ea5}.limit{stroke:#a09b91;stroke-width:1.5}path{fill:none!important}"
    "@media(prefers-color-scheme:dark){text{fill:#ece9e2}.soft{fill:#a09b91}.grid{stroke:#2e3135}"
    ".a{stroke:#6fd3c3;fill:#6fd3c3}.b{stroke:#b3a8ff;fill:#b3a8ff}.c{stroke:#f0a070;fill:#f0a070}"
    ".d{stroke:#8fc1f5;fill:#8fc1f5}}"
)
WIDTH, HEIGHT = 760, 430
LEFT, RIGHT, TOP, BOTTOM = 74, 560, 44, 372


class Curve(NamedTuple):
    """A line of a picture: a straight one in logarithms through `per_image`, and the points that were measured."""

    name: str
    style: str
    per_image: float
    points: Sequence[tuple[float, float]] = ()


def memory_picture(document: Document) -> str:
    """The memory of an index by its number of images: measured points, and lines of bytes a vector."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows_of(document, "search"):
        at = number(row, "vectors"), number(row, "vectors") * number(row, "bytes")
        found.setdefault(str(row["index"]), []).append(at)
    for row in rows_of(document, "recorded"):
        if "index_bytes" in row:
            found.setdefault("HNSW, half precision", []).append((number(row, "vectors"), number(row, "index_bytes")))
    codes = {name: points[0][1] / points[0][0] for name, points in found.items()}
    curves = [
        Curve("30 patches, 1 bit", "c", 30 * codes["rabitq, 512 bits"]),
        Curve("HNSW, half precision", "a", HALF + LINKS, found.get("HNSW, half precision", ())),
        Curve("RaBitQ, 4 bits", "d", codes["rabitq, 2048 bits"], found["rabitq, 2048 bits"]),
        Curve("RaBitQ, 1 bit", "b", codes["rabitq, 512 bits"], found["rabitq, 512 bits"]),
    ]
    units: dict[float, str] = {10**6: "1 MB", 10**9: "1 GB", 10**12: "1 TB", 10**15: "1 PB"}
    return _picture(
        "Memory of an index by the number of images",
        curves,
        across=(5, 10),
        up=(6, 15),
        labels=units,
        limits=[(PLAN.memory, "a machine of 256 GB")],
    )


def time_picture(document: Document) -> str:
    """Days to index by the number of images: describing on a thousand cores, and reading."""
    large, small = described(document, RECIPE, KINDS[0]), described(document, RECIPE, KINDS[2])
    slow, fast = PLAN.links
    hours = 1 / 3600
    curves = [
        Curve(f"reading originals, {_size(slow)}/s", "c", large["bytes_read"] / slow * hours),
        Curve(f"reading originals, {_size(fast)}/s", "d", large["bytes_read"] / fast * hours),
        Curve("describing originals", "a", large["core_seconds"] / 1000 * hours),
        Curve("describing copies of 256 px", "b", small["core_seconds"] / 1000 * hours),
    ]
    labels = {0.01: "36 s", 1: "1 hour", 24: "1 day", 24 * 30: "1 month", 24 * 365: "1 year"}
    return _picture(
        "Time to index by the number of images; describing on 1,000 cores",
        curves,
        across=(6, 10),
        up=(-3, 5),
        labels=labels,
        limits=[],
    )


PICTURES = {"scaling-memory.svg": memory_picture, "scaling-time.svg": time_picture}


def _picture(
    title: str,
    curves: Sequence[Curve],
    *,
    across: tuple[int, int],
    up: tuple[int, int],
    labels: Mapping[float, str],
    limits: Sequence[tuple[float, str]],
) -> str:
    def x(value: float) -> float:
        return LEFT + (math.log10(value) - across[0]) / (across[1] - across[0]) * (RIGHT - LEFT)

    def y(value: float) -> float:
        return BOTTOM - (math.log10(value) - up[0]) / (up[1] - up[0]) * (BOTTOM - TOP)

    parts = [f'<text x="0" y="18" font-weight="600">{title}</text>']
    for power in range(across[0], across[1] + 1):
        parts.append(f'<path class="grid" d="M{x(10**power):.0f} {TOP}V{BOTTOM}"/>')
        place = f'x="{x(10**power):.0f}" y="{BOTTOM + 20}" text-anchor="middle"'
        parts.append(f'<text class="soft" {place}>{_power(10**power)}</text>')
    parts.append(
        f'<text class="soft" x="{(LEFT + RIGHT) / 2:.0f}" y="{BOTTOM + 42}" text-anchor="middle">images</text>'
    )
    for value, label in labels.items():
        parts.append(f'<path class="grid" d="M{LEFT} {y(value):.0f}H{RIGHT}"/>')
        parts.append(f'<text class="soft" x="{LEFT - 8}" y="{y(value) + 4:.0f}" text-anchor="end">{label}</text>')
    for value, label in limits:
        parts.append(f'<path class="limit" stroke-dasharray="3 3" d="M{LEFT} {y(value):.1f}H{RIGHT}"/>')
        parts.append(f'<text class="soft" x="{LEFT + 8}" y="{y(value) - 6:.0f}">{label}</text>')
    first, last = 10 ** across[0], 10 ** across[1]
    ends = _apart([y(curve.per_image * last) + 4 for curve in curves])
    for curve, end in zip(curves, ends, strict=True):
        measured = max((at for at, _ in curve.points), default=first)
        line = f"M{x(measured):.1f} {y(curve.per_image * measured):.1f}L{x(last):.1f} {y(curve.per_image * last):.1f}"
        parts.append(f'<path class="{curve.style}" stroke-width="2" stroke-dasharray="6 4" d="{line}"/>')
        if measured > first:
            end_of_points = f"L{x(measured):.1f} {y(curve.per_image * measured):.1f}"
            line = f"M{x(first):.1f} {y(curve.per_image * first):.1f}{end_of_points}"
            parts.append(f'<path class="{curve.style}" stroke-width="2" d="{line}"/>')
        for at, value in curve.points:
            parts.append(f'<circle class="{curve.style}" cx="{x(at):.1f}" cy="{y(value):.1f}" r="4.5"/>')
        parts.append(f'<text x="{RIGHT + 10}" y="{end:.0f}">{curve.name}</text>')
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><title>{title}</title><style>{STYLE}</style>'
    return f"{head}{''.join(parts)}</svg>\n"


def _apart(places: Sequence[float], least: float = 17.0) -> list[float]:
    """Move labels at `places` down until none overlaps the one above it."""
    moved, last = dict[int, float](), -math.inf
    for at in sorted(range(len(places)), key=lambda each: places[each]):
        last = moved[at] = max(places[at], last + least)
    return [moved[at] for at in range(len(places))]
