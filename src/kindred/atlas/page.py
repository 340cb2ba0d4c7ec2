"""The map as one HTML page that needs nothing else: drag, zoom, and see which file lies where.

File names are hostile until escaped. The page's content security policy lets it load nothing but its own data, and
run no script but its own.
"""

from __future__ import annotations

import base64
import hashlib
import html
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template

from kindred.atlas.files import write_whole
from kindred.atlas.layout import Layout
from kindred.atlas.library_map import LibraryMap
from kindred.atlas.picture import Pixels, middle
from kindred.images import thumbnail_jpeg

__all__ = ["map_page", "write_map_page"]

CELL, SIDE = 64, 60
"""Pixels from thumbnail to thumbnail and of a thumbnail, before any zoom."""
LONGEST = 112
"""Pixels that a thumbnail holds, for a closer look; some 4 kB."""


def map_page(mapped: LibraryMap, layout: Layout, *, title: str, method: str) -> str:
    """Write the map as an HTML document; `title` and `method` are told at its top.

    The document holds no lone surrogate, so that it can be written as UTF-8.
    """
    template = _template()
    script = template.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    shown = f"{len(mapped.paths):,} of " if len(mapped.paths) < mapped.total else ""
    images = "\n".join(
        _image(path, middle(pixels), column, row)
        for path, pixels, (column, row) in zip(mapped.paths, mapped.thumbnails, layout.cells.tolist(), strict=True)
    )
    return Template(template).substitute(
        policy=policy,
        title=_text(title),
        facts=f"{shown}{mapped.total:,} images by {_text(method)}",
        width=layout.columns * CELL,
        height=layout.rows * CELL,
        side=SIDE,
        images=images,
    )


def write_map_page(file: Path, page: str) -> None:
    """Write the page so that the file is either whole or as it was; raises UsageError where that is impossible."""
    write_whole(file, "map", lambda part: part.write_text(page, encoding="utf-8", newline="\n"))


@cache
def _template() -> str:
    """The page with $names to fill in; its style and its script are fixed."""
    return (files("kindred.atlas") / "map.html").read_text(encoding="utf-8")


def _image(path: Path, pixels: Pixels, column: int, row: int) -> str:
    """One thumbnail, linked to its file."""
    picture = base64.b64encode(thumbnail_jpeg(pixels, LONGEST)).decode()
    address, name = html.escape(path.absolute().as_uri()), _text(str(path))
    return (
        f'<a href="{address}" data-path="{name}" style="left:{column * CELL}px;top:{row * CELL}px">'
        f'<img src="data:image/jpeg;base64,{picture}" alt="{_text(path.name)}" decoding="async"></a>'
    )


def _text(value: str) -> str:
    """Escape for HTML text and quoted attributes; what cannot be shown (controls, surrogates) becomes U+FFFD."""
    return html.escape("".join(letter if letter.isprintable() else "\ufffd" for letter in value))
