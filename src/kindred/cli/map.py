"""`kindred map`: a two-dimensional map of a library in which similar images are close together."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.options import DEFAULT_LIBRARY, AsJson, ExistingLibrary
from kindred.cli.output import counted, dim, duration, note, print_json, say, shown
from kindred.cli.progress import Meter
from kindred.errors import UsageError

if TYPE_CHECKING:
    from kindred.atlas import LibraryMap

__all__ = ["map_command"]

PAGES = (".html", ".htm")


def map_command(
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write: .png, .jpg or .webp, or .html for a page to pan and zoom.",
        ),
    ],
    library: ExistingLibrary = DEFAULT_LIBRARY,
    method: Annotated[
        str, typer.Option("--method", "-m", metavar="NAME", help="Embedding: tsne, isomap, mds or spectral.")
    ] = "tsne",
    images: Annotated[
        int, typer.Option("--images", "-n", min=4, metavar="N", help="Maximum number of images, chosen at random.")
    ] = 1000,
    neighbours: Annotated[
        int | None,
        typer.Option(
            "--neighbours",
            min=1,
            metavar="N",
            help="Neighbourhood size (perplexity of t-SNE). Default: depends on the method.",
        ),
    ] = None,
    size: Annotated[
        int,
        typer.Option(
            "--size", min=64, max=20000, metavar="PIXELS", help="Long side of the map, for .png, .jpg and .webp."
        ),
    ] = 2400,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Also write path, x and y of every image on the map.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, metavar="N", help="Random seed of the choice of images and of the layout.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Draw a map of the library with similar images close together.

    t-SNE preserves the neighbours of each image, Isomap geodesic distances on the neighbourhood graph, MDS all pairwise
    distances, and spectral embedding the clusters of that graph. Thumbnails do not overlap: each is moved to the
    nearest free cell. Requires pip install matplotlib scikit-learn scipy threadpoolctl.
    """
    from kindred.atlas import PICTURES, cell_size, map_library, write_coordinates
    from kindred.library import Library
    from kindred.manifold import MAPS

    began = time.monotonic()
    if output.suffix.lower() not in (*PICTURES, *PAGES):
        raise UsageError(f"--output is {output}; expected a name that ends in {', '.join((*PICTURES, *PAGES))}")
    with Library.open(library) as opened, Meter("Reading", quiet=as_json) as meter:
        longest = cell_size(min(images, len(opened)), size) if output.suffix.lower() in PICTURES else 160
        mapped = map_library(
            opened,
            method,
            images=images,
            neighbours=neighbours,
            longest=longest,
            seed=seed,
            progress=lambda done, of: meter.update(done, of, aside="the layout follows"),
        )
    folder = opened.path.parent if opened.path.name == DEFAULT_LIBRARY.name else opened.path
    name = opened.name if opened.place != opened.path else folder.name or folder
    _write(output, mapped, size=size, method=method, title=f"Map of {name}")
    if csv is not None:
        write_coordinates(csv, mapped)
    seconds = time.monotonic() - began
    if as_json:
        from kindred.service import MapForm

        print_json(MapForm.of(mapped, file=output, csv=csv, method=method, seconds=seconds))
        return
    more = f" and {shown(csv)}" if csv is not None else ""
    say(f"Wrote {shown(output)}{more}: {counted(len(mapped.paths), 'image')} of {mapped.total:,}.")
    if mapped.missing:
        path, reason = mapped.missing[0]
        note(f"Left out {counted(len(mapped.missing), 'image')} that cannot be read, such as {shown(path)}: {reason}")
    say(dim(f"By {MAPS[method].title}, in {duration(seconds)}."))


def _write(file: Path, mapped: LibraryMap, *, size: int, method: str, title: str) -> None:
    """Write the map in the format of the file's extension."""
    from kindred.atlas import draw, lay_out, map_page, write_map_page, write_picture
    from kindred.manifold import MAPS

    layout = lay_out(mapped.points)
    if file.suffix.lower() in PAGES:
        write_map_page(file, map_page(mapped, layout, title=title, method=MAPS[method].title))
    else:
        write_picture(file, draw(layout, mapped.thumbnails, size=size))
