"""The map as a self-contained HTML page: drag, zoom, and read the file names.

It loads no data and runs no script but its own.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from kindred.atlas.layout import Layout
from kindred.atlas.library_map import LibraryMap
from kindred.atlas.picture import Pixels, middle
from kindred.html.document import fill, html_address, html_text, picture_address, write_document
from kindred.images import thumbnail_jpeg

__all__ = ["map_page", "write_map_page"]

CELL, SIDE = 64, 60
"""Distance between thumbnails and side of a thumbnail, in pixels, before zooming."""
LONGEST = 112
"""Resolution of a thumbnail in pixels, for zooming in; some 4 kB."""


def map_page(mapped: LibraryMap, layout: Layout, *, title: str, method: str) -> str:
    """Return the map as an HTML document; `title` and `method` are shown at its top.

    The document has no lone surrogates, so that it can be written as UTF-8.
    """
    shown = f"{len(mapped.paths):,} of " if len(mapped.paths) < mapped.total else ""
    thumbnails = "\n".join(
        _image(path, middle(pixels), column, row)
        for path, pixels, (column, row) in zip(mapped.paths, mapped.thumbnails, layout.cells.tolist(), strict=True)
    )
    return fill(
        _template(),
        images="data:",
        title=html_text(title),
        facts=f"{shown}{mapped.total:,} images by {html_text(method)}",
        width=layout.columns * CELL,
        height=layout.rows * CELL,
        side=SIDE,
        thumbnails=thumbnails,
    )


def write_map_page(file: Path, page: str) -> None:
    """Write the page atomically; raises UsageError if the file cannot be written."""
    write_document(file, "map", page)


@cache
def _template() -> str:
    """The page with $names as placeholders; its style and its script are fixed."""
    return (files("kindred.atlas") / "map.html").read_text(encoding="utf-8")


def _image(path: Path, pixels: Pixels, column: int, row: int) -> str:
    """One thumbnail, linked to its file."""
    picture = picture_address(thumbnail_jpeg(pixels, LONGEST))
    address, name = html_address(path), html_text(str(path))
    return (
        f'<a href="{address}" data-path="{name}" style="left:{column * CELL}px;top:{row * CELL}px">'
        f'<img src="{picture}" alt="{html_text(path.name)}" decoding="async"></a>'
    )
