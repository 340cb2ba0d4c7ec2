"""`kindred duplicates`: images in the library that are nearly the same."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from kindred.cli.options import DEFAULT_LIBRARY, AsJson, LibraryFolder
from kindred.cli.output import columns, counted, dim, print_json, say, shown
from kindred.cli.progress import Meter

__all__ = ["duplicates"]


def duplicates(
    *,
    library: LibraryFolder = DEFAULT_LIBRARY,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            "-t",
            metavar="SCORE",
            help="From this score on two images are nearly the same; at most 1. Default: 0.95, or 0.85 whitened.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List groups of images that are nearly the same.

    Copies, other sizes and light edits of a picture come out as one group. No file is touched.
    """
    from kindred.duplicates import default_threshold, find_duplicates
    from kindred.library import Library

    began = time.monotonic()
    with Library.open(library) as opened:
        threshold = default_threshold(opened) if threshold is None else threshold
        with Meter("Comparing", quiet=as_json) as meter:
            groups = find_duplicates(opened, threshold=threshold, progress=lambda done, of: meter.update(done, of))
        images = len(opened)
    if as_json:
        listed = [{"score": round(group.score, 6), "paths": [str(path) for path in group.paths]} for group in groups]
        print_json({"threshold": threshold, "groups": listed, "seconds": round(time.monotonic() - began, 3)})
        return
    for group in groups:
        scores = [f"{group.score:.3f}", *[""] * (len(group.paths) - 1)]
        say(columns([(score, shown(path)) for score, path in zip(scores, group.paths, strict=True)]))
    found = counted(len(groups), "group") if groups else "No group"
    say(dim(f"{found} of nearly the same images among {counted(images, 'image')} (score {threshold:g} or more)."))
