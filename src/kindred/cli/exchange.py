"""`kindred export` and `kindred import`: write the vectors of a library to a file, and add vectors from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kindred.cli.groups import FilterOptions, with_groups
from kindred.cli.options import DEFAULT_LIBRARY, AsJson, ExistingLibrary, LibraryPlace
from kindred.cli.output import counted, note, print_json, say, shown
from kindred.cli.progress import Meter
from kindred.cli.running import interruptible

__all__ = ["export_command", "import_command"]


@with_groups
def export_command(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="The file to write; its extension determines the format: .npz, .csv or .parquet."
        ),
    ],
    *,
    library: ExistingLibrary = DEFAULT_LIBRARY,
    filters: FilterOptions,
    as_json: AsJson = False,
) -> None:
    """Export the vectors of a library to a file.

    Each row is an image, or a region or visual word of one, with its id, path, box and vector. A .npz file has the
    arrays ids, paths, boxes, words and vectors; a .csv file the columns id, path, x0, y0, x1, y1, word, v0, v1 and so
    on; a .parquet file (requires pyarrow) the columns id, path, box, word and vector.
    """
    from kindred.exchange import export_vectors
    from kindred.library import Library
    from kindred.library.unmatched import why_no_match

    where = filters.parsed()
    with Library.open(library) as opened, interruptible("nothing was written"):
        total = opened.store.counts().vectors
        with Meter("Exporting", unit="vectors", quiet=as_json) as meter:
            count = export_vectors(
                opened, file, where=where, progress=lambda done: meter.update(done, max(done, total))
            )
        if where is not None and not count:
            note(f"Note: {why_no_match(opened.store, where)}")
    if as_json:
        from kindred.service import ExportForm

        print_json(ExportForm(file, count))
        return
    say(f"Wrote {counted(count, 'vector')} to {shown(file)}.")


def import_command(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="The file to read; its extension determines the format: .npz, .csv or .parquet."
        ),
    ],
    *,
    library: LibraryPlace = DEFAULT_LIBRARY,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root", metavar="DIR", help="Folder to which relative paths refer. Default: the folder of FILE."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import vectors from a file into a library.

    FILE has a row for each image, or consecutive rows for its regions, with at least a path and a vector, in the format
    of `kindred export`. If the library does not exist, it is created with the recipe of the exported library; for
    vectors of other programs, it can be searched by vector only. A library with another recipe is refused.
    """
    from kindred.exchange import import_vectors

    with (
        interruptible("the vectors imported so far are saved: run the same command again to continue"),
        Meter("Importing", quiet=as_json) as meter,
    ):
        report = import_vectors(library, file, root=root, progress=lambda done: meter.update(done, done))
    if as_json:
        from kindred.service import ImportForm

        print_json(ImportForm.of(report))
        return
    gone = f" ({report.without_file:,} of them have no file at their path)" if report.without_file else ""
    say(f"Imported {counted(report.vectors, 'vector')} of {counted(report.images, 'image')}{gone}.")
    if report.without_features:
        say(
            f"{counted(report.without_features, 'image')} have no local features: --rerank verify cannot compare them; "
            "kindred index --force describes them again."
        )
