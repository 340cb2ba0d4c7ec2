"""The options of `kindred search`, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.options import FusionName, place_named

if TYPE_CHECKING:
    from kindred.store import Place

    Places = list[Place] | None
else:
    Places = list[object] | None  # as in `kindred.cli.options`

__all__ = ["FusionOptions", "SubjectOptions"]


@dataclass(frozen=True)
class SubjectOptions:
    """What is searched for: how the query images belong together, and which part of an image counts."""

    together: Annotated[
        bool,
        typer.Option("--together", help="Treat all IMAGEs as views of one object and search for it once."),
    ] = False
    unwanted: Annotated[
        list[str] | None,
        typer.Option("--not", metavar="IMAGE", help="Negative example: rank images like this one lower; repeatable."),
    ] = None
    regions: Annotated[
        bool | None,
        typer.Option(
            "--regions/--no-regions",
            help="Also search for parts of IMAGE: for several objects, or one that is small in IMAGE or in those of "
            "the library. Takes several times as long. Default: where no image probably shows the same thing.",
            show_default=False,
        ),
    ] = None
    crop: Annotated[
        str | None,
        typer.Option(
            "--crop", metavar="x0,y0,x1,y1", help="Search for this part of IMAGE, in pixels after EXIF rotation."
        ),
    ] = None


@dataclass(frozen=True)
class FusionOptions:
    """Other libraries that are searched too, and how the rankings are joined."""

    also: Annotated[
        Places,
        typer.Option(
            "--also",
            metavar="DIR|URL",
            parser=place_named,
            help="Also search this library of the same images and fuse the rankings; repeatable.",
        ),
    ] = None
    fusion: FusionName = "reciprocal_rank"
