"""`kindred build-index`: the index of a library on a server."""

from __future__ import annotations

from typing import Annotated

import typer

from kindred.cli.options import DEFAULT_LIBRARY, AsJson, IndexAddress, LibraryPlace
from kindred.cli.output import counted, duration, print_json, say, shown
from kindred.cli.progress import Meter
from kindred.cli.running import interruptible
from kindred.errors import UsageError

__all__ = ["KINDS_HELP", "build_index"]

# The same as in `kindred.index.milvus.kinds`, which is too slow to import for a help text. A test checks it.
KINDS_HELP = "Kind of index: hnsw, ivf, pq, diskann or rabitq. Default: that of the index there is, or hnsw."


def build_index(
    *,
    library: LibraryPlace = DEFAULT_LIBRARY,
    index: IndexAddress = None,
    kind: Annotated[str | None, typer.Option("--kind", metavar="NAME", help=KINDS_HELP)] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build a new index, as after a library was restored from a backup.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build the index of a library in Milvus, or bring it up to date.

    Needs --index or KINDRED_INDEX. Searches go on meanwhile, with the index there is. kindred index does the same after
    many changes.
    """
    from kindred.library import Library

    if index is None:
        raise UsageError(
            "build-index: give the address of a server with --index milvus://HOST:PORT/COLLECTION; "
            "indexes in files are built by kindred index"
        )
    advice = "the previous index is searched: run the same command again"
    with (
        Library.open(library, index=index) as opened,
        interruptible(advice),
        Meter("Storing", unit="vectors", quiet=as_json) as meter,
    ):
        report = opened.build_index(kind, rebuild=rebuild, progress=meter.stage)
        if as_json:
            from kindred.service import BuildForm

            print_json(BuildForm.of(report))
            return
    gone = f", {report.removed:,} removed" if report.removed else ""
    what = "Built an index" if report.created else "Brought the index up to date"
    took = duration(report.seconds)
    say(f"{what} ({report.kind}) of {counted(report.vectors, 'vector')} in {took}: {report.added:,} stored{gone}.")
    say(f"Searches use it with --index {shown(str(opened.server))}, or KINDRED_INDEX.")
