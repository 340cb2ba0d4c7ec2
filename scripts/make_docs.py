"""Write the parts of the documentation that the code knows best: docs/cli.md, and the tables in other pages.

python3 scripts/make_docs.py            writes them
python3 scripts/make_docs.py --check    fails where what is committed differs
"""

from __future__ import annotations

import argparse
import difflib
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

DOCS = Path(__file__).resolve().parents[1] / "docs"


class Parameter(Protocol):
    """What typer knows of an argument or an option."""

    name: str
    opts: list[str]
    help: str | None
    metavar: str | None
    required: bool
    multiple: bool
    nargs: int
    default: object
    envvar: str | list[str] | None
    param_type_name: str


class Command(Protocol):
    """What typer knows of a command; a group has `commands` too."""

    help: str | None
    params: list[Parameter]


def walk(command: Command, words: tuple[str, ...] = ("kindred",)) -> Iterator[tuple[tuple[str, ...], Command]]:
    """Yield a command and all below it, each with the words that call it."""
    yield words, command
    below: dict[str, Command] = getattr(command, "commands", {})
    for name, each in below.items():
        yield from walk(each, (*words, name))


def root() -> Command:
    """Return the command `kindred` itself."""
    from typer.main import get_command

    from kindred.cli.app import app

    return cast(Command, get_command(app))


def cli_page() -> str:
    """The reference of the command line."""
    parts = [
        "# The command line",
        "<!-- Written by scripts/make_docs.py from the commands themselves; changes belong there. -->",
        "Every command takes `--help`, and `--json` to print one JSON document on standard output and nothing else. "
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. An error is one line on standard error that "
        "says what was given, what was expected and what to do. Progress is shown on standard error.",
        "`kindred --remote ADDRESS COMMAND` (repeatable, or the variable `KINDRED_REMOTE`) allows a command to read "
        "remote images below an address, such as s3://BUCKET/FOLDER: [remote.md](remote.md).",
        "JSON of `index`: `found`, `indexed`, `unchanged`, `moved`, `missing`, `removed`, `held` (why "
        "images were not removed), `left_out`, `skipped` (a "
        "list of `path` and `reason`), `seconds`, `images_per_second`. JSON of `search`: `query` (a path, or a list "
        "with `--together`), `recipe`, `answered` (whether an image probably shows the same thing, null without a "
        "calibration), `results` (a list of `rank`, `id`, `path`, `score`, `probability`, likewise, `box`, null where "
        "the whole image matched, `width`, `height`, `taken`, `tags`, `metadata` and `missing`, true where its file is "
        "gone), `seconds`; several queries are several lines, one with `query` and `error` where an image cannot be "
        "used. The forms of all commands are the dataclasses of `kindred.service`; a number that is not "
        "finite is null. An error "
        "is shown with escapes for what steers a terminal; JSON and CSV hold names as they are, so a spreadsheet may "
        "take a name that begins with `=` for a formula. Exit codes of signals are 143 for SIGTERM and 129 for SIGHUP. "
        "Names that are not UTF-8 come out as lone surrogates, as Python's `json` and `os` read them.",
    ]
    parts += [_section(words, command) for words, command in walk(root()) if len(words) > 1]
    return "\n\n".join(parts) + "\n"


def _section(words: tuple[str, ...], command: Command) -> str:
    lines = [f"{'#' * len(words)} {' '.join(words)}", f"```\n{_usage(words, command)}\n```", _prose(command.help)]
    shown = [each for each in command.params if "--help" not in each.opts]
    if shown:
        lines.append("\n".join(["| | |", "|---|---|", *(_row(each) for each in shown)]))
    return "\n\n".join(lines)


def _usage(words: tuple[str, ...], command: Command) -> str:
    parts = list(words)
    for each in command.params:
        named = each.metavar or each.name.upper()
        many = "..." if each.nargs == -1 and not named.endswith("...") else ""
        if each.param_type_name == "argument":
            parts.append(f"{named}{many}" if each.required else f"[{named}{many}]")
        elif each.required:
            parts.append(f"{each.opts[-1]} {named}")
    return " ".join([*parts, "[OPTIONS]"] + (["COMMAND"] if hasattr(command, "commands") else []))


def _row(each: Parameter) -> str:
    facts = [each.help or ""]
    if each.required and each.param_type_name == "option":
        facts.append("Required.")
    if isinstance(each.default, (int, float, str, Path)) and not isinstance(each.default, bool) and each.default != "":
        facts.append(f"Default: `{each.default}`.")
    if each.envvar:
        facts.append(f"Environment: `{each.envvar if isinstance(each.envvar, str) else each.envvar[0]}`.")
    named = each.metavar or ""
    if each.param_type_name == "argument":
        label = f"`{named or each.name.upper()}`"
    else:
        label = ", ".join(f"`{word}`" for word in each.opts) + (f" `{named}`" if named else "")
    return f"| {_cell(label)} | {_cell(' '.join(facts))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _prose(text: str | None) -> str:
    """Docstrings are wrapped for the source; a page is not."""
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(text or "").split("\n\n"))


def methods_page() -> str:
    """The page on methods, its tables made anew."""
    return _with_tables("methods.md")


def evaluation_page() -> str:
    """The page on evaluation, its table made anew."""
    return _with_tables("evaluation.md")


def training_page() -> str:
    """The page on training, its tables made anew."""
    return _with_tables("training.md")


def _with_tables(name: str) -> str:
    """A page with all that stands between its marks made anew."""

    def made(match: re.Match[str]) -> str:
        return f"{match[1]}{TABLES[match[2]]()}\n{match[4]}"

    page = (DOCS / name).read_text(encoding="utf-8")
    return re.sub(r"(<!-- (\w+): made by .*? -->\n)(.*?)(<!-- end -->)", made, page, flags=re.DOTALL)


def _table(heads: str, rows: Iterable[Sequence[object]]) -> str:
    """A table with the heads named in a text, `|` between them."""
    titles = heads.split("|")
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(_cell(str(each)) for each in line) + " |" for line in lines)


def _options(function: Callable[..., object], *, keep: Callable[[inspect.Parameter], bool]) -> str:
    """The options of a function with their defaults."""
    known = inspect.signature(function).parameters.values()
    return ", ".join(f"`{each.name}={each.default}`" for each in known if keep(each))


def _is_keyword(parameter: inspect.Parameter) -> bool:
    return parameter.kind is inspect.Parameter.KEYWORD_ONLY


def _passes() -> str:
    from kindred.describer import PASSES

    rows = [
        (f"`{name}`", each.summary, _options(each.options, keep=_is_keyword) if each.options else "", each.source)
        for name, each in PASSES.items()
    ]
    return _table("name|which regions|options|source", rows)


def _aggregates() -> str:
    from kindred.describer import AGGREGATES

    return _table("name|how passes are combined", [(f"`{name}`", each.summary) for name, each in AGGREGATES.items()])


def _embeddings() -> str:
    from kindred.embedding import EMBEDDINGS, MULTI_VECTOR_EMBEDDINGS, Embedding, MultiVectorEmbedding

    known: dict[str, Embedding | MultiVectorEmbedding] = {**EMBEDDINGS, **MULTI_VECTOR_EMBEDDINGS}
    rows = [
        (f"`{name}`", each.summary, _options(each.function, keep=_is_keyword), each.vocabulary, each.source)
        for name, each in known.items()
    ]
    return _table("name|what it does|options|needs a fitted|source", rows)


def _matchings() -> str:
    from kindred.matching import MATCHINGS

    return _table("name|the score of an image|source", _summaries(MATCHINGS))


def _fusions() -> str:
    from kindred.fusion import FUSIONS

    return _table("name|the score of an image|source", _summaries(FUSIONS))


def _codes() -> str:
    from kindred.codes import CODES

    return _table("name|what it does|source", _summaries(CODES))


def _features() -> str:
    from kindred.features import FEATURES

    return _table("name|what they are|source", _summaries(FEATURES))


def _rerankers() -> str:
    from kindred.rerank import RERANKERS

    rows = [
        (f"`{name}`", each.summary, _options(each.function, keep=_is_keyword), each.needs, each.source)
        for name, each in RERANKERS.items()
    ]
    return _table("name|what it does|options|needs|source", rows)


def _maps() -> str:
    from kindred.manifold import MAPS

    return _table("name|what it does|source", _summaries(MAPS))


def _datasets() -> str:
    from kindred.evaluation.datasets import DATASETS

    return _table("name|how it is read|source", _summaries(DATASETS))


def _measured() -> str:
    """The tables of what benchmarks/methods.py measured."""
    methods = _benchmark("methods")
    made: str = methods.tables(methods.read_results(DOCS / "methods.json"))
    return made


def scaling_page() -> str:
    """The page on scaling, its tables made anew from the measurements."""
    return _with_tables("scaling.md")


def _scaling(name: str) -> Callable[[], str]:
    """A table or a picture of benchmarks/scaling_tables.py."""

    def made() -> str:
        document = json.loads((DOCS / "scaling.json").read_text(encoding="utf-8"))
        module = _benchmark("scaling_tables")
        found: str = (module.TABLES.get(name) or module.PICTURES[name])(document)
        return found

    return made


def _finetuned() -> str:
    """The tables of what benchmarks/finetune.py measured."""
    made: str = _finetune().tables({"rows": _finetune().read_rows()})
    return made


def finetune_picture() -> str:
    """The picture of what benchmarks/finetune.py measured."""
    made: str = _finetune().picture({"rows": _finetune().read_rows()})
    return made


def _finetune() -> ModuleType:
    _benchmark("methods")  # which it imports
    return _benchmark("finetune")


def _benchmark(name: str) -> ModuleType:
    """Load a script of benchmarks/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, DOCS.parent / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _tunings() -> str:
    from kindred.training.tuning.methods import METHODS

    rows = [
        (f"`{name}`", each.summary, f"`{each.loss}`", "yes" if each.labelled else "no", each.source)
        for name, each in METHODS.items()
    ]
    return _table("name|what it learns|loss|labels|source", rows)


def _losses() -> str:
    from kindred.training.losses import LOSSES

    rows = [
        (
            f"`{name}`",
            each.summary,
            each.kind,
            ", ".join(f"`{key}={value}`" for key, value in each.options.items()),
            each.source,
        )
        for name, each in LOSSES.items()
    ]
    return _table("name|the loss|compares|options|source", rows)


def _aggregations() -> str:
    from kindred.training.aggregation import AGGREGATIONS

    return _table("name|what it does|source", _summaries(AGGREGATIONS))


def _architectures() -> str:
    import torch

    from kindred.training.architectures import ARCHITECTURES

    rows = []
    for name, each in ARCHITECTURES.items():
        with torch.device("meta"):  # without memory
            backbone = each.build()
        taps = ", ".join(f"`{tap.name}` ({tap.channels}, {tap.stride})" for tap in backbone.taps)
        rows.append((f"`{name}`", each.summary, taps, each.source))
    return _table("name|what it is|taps (channels, stride)|source", rows)


class Described(Protocol):
    """What every table of methods knows of an entry."""

    @property
    def summary(self) -> str:
        """What it does."""

    @property
    def source(self) -> str:
        """Who described it."""


def _summaries(table: Mapping[str, Described]) -> list[tuple[str, str, str]]:
    return [(f"`{name}`", each.summary, each.source) for name, each in table.items()]


def _poolings() -> str:
    from kindred.pooling import POOLINGS

    rows = []
    for name, pooling in POOLINGS.items():
        given = ", ".join(f"`{key}={default}`" for key, default in pooling.options.items())
        size = f"{pooling.dimension(1280, 10, 8):,}"
        rows.append((f"`{name}`", pooling.summary, given, size, pooling.source))
    return _table("name|what it does|parameters|numbers for a 1280 × 10 × 8 map|source", rows)


def _similarities() -> str:
    from kindred.similarity import SIMILARITIES

    sentences = {
        name: _prose(function.__doc__).split("\n\n")[0].removeprefix("Return the ").removesuffix(".")
        for name, function in SIMILARITIES.items()
    }
    return _table("name|the score", [(f"`{name}`", sentence) for name, sentence in sentences.items()])


SCALING = tuple(
    f"scaling_{name}"
    for name in ("describing", "storing", "searching", "recorded", "checked", "totals", "cluster", "simulated")
)
TABLES: dict[str, Callable[[], str]] = {
    "poolings": _poolings,
    "passes": _passes,
    "aggregates": _aggregates,
    "embeddings": _embeddings,
    "matchings": _matchings,
    "fusions": _fusions,
    "codes": _codes,
    "features": _features,
    "rerankers": _rerankers,
    "maps": _maps,
    "similarities": _similarities,
    "datasets": _datasets,
    "measured": _measured,
    "tunings": _tunings,
    "losses": _losses,
    "aggregations": _aggregations,
    "architectures": _architectures,
    "finetuned": _finetuned,
    **{name: _scaling(name) for name in SCALING},
}
PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "methods.md": methods_page,
    "evaluation.md": evaluation_page,
    "training.md": training_page,
    "finetune.svg": finetune_picture,
    "scaling.md": scaling_page,
    "scaling-memory.svg": _scaling("scaling-memory.svg"),
    "scaling-time.svg": _scaling("scaling-time.svg"),
}


def main() -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page would change")
    check: bool = parser.parse_args().check
    stale = 0
    for name, make in PAGES.items():
        file, page = DOCS / name, make()
        before = file.read_text(encoding="utf-8") if file.exists() else ""
        if page == before:
            continue
        if check:
            stale += 1
            lines = (before.splitlines(True), page.splitlines(True))
            sys.stdout.writelines(difflib.unified_diff(*lines, f"docs/{name}", "from the code", n=0))
        else:
            file.write_text(page, encoding="utf-8", newline="\n")
            print(f"wrote docs/{name}")
    if stale:
        print("the documentation is out of date: python3 scripts/make_docs.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
