"""`kindred tag`, `untag` and `remove`: change what is known of images, one by one or by folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.options import DEFAULT_LIBRARY, AsJson, LibraryFolder
from kindred.cli.output import counted, note, print_json, say, shown
from kindred.errors import UsageError

if TYPE_CHECKING:
    from kindred.library import Library

__all__ = ["remove", "tag", "untag"]

Tag = Annotated[str, typer.Argument(metavar="TAG", help="A word of your choice.")]
Images = Annotated[
    list[Path], typer.Argument(metavar="IMAGE", help="Images in the library; a folder stands for all images in it.")
]


def tag(word: Tag, images: Images, *, library: LibraryFolder = DEFAULT_LIBRARY, as_json: AsJson = False) -> None:
    """Give images a tag, which kindred search --tag asks for."""
    from kindred.library import Library

    with Library.open(library) as opened:
        known, unknown = _in_library(opened, images)
        count = opened.tag(known, word)
    print_summary(f"Tagged {counted(count, 'image')} {word!r}.", "tagged", count, unknown, as_json=as_json)


def untag(word: Tag, images: Images, *, library: LibraryFolder = DEFAULT_LIBRARY, as_json: AsJson = False) -> None:
    """Take a tag from images."""
    from kindred.library import Library

    with Library.open(library) as opened:
        known, unknown = _in_library(opened, images)
        count = opened.untag(known, word)
    print_summary(f"Took tag {word!r} from {counted(count, 'image')}.", "untagged", count, unknown, as_json=as_json)


def remove(images: Images, *, library: LibraryFolder = DEFAULT_LIBRARY, as_json: AsJson = False) -> None:
    """Remove images from a library; the files stay where they are."""
    from kindred.library import Library

    with Library.open(library) as opened:
        known, unknown = _in_library(opened, images)
        count = opened.remove(known)
    print_summary(f"Removed {counted(count, 'image')}; the files stay.", "removed", count, unknown, as_json=as_json)


def _in_library(opened: Library, images: list[Path]) -> tuple[list[Path], list[Path]]:
    """Return the paths in the library that `images` name, and those of `images` that name none.

    Raises `UsageError` where nothing is left to do.
    """
    from kindred.library import absolute

    known: list[Path] = []
    unknown: list[Path] = []
    for image in map(absolute, images):
        inside = [image] if opened.store.lookup([image]) else list(opened.store.paths_under(image))
        known += inside
        if not inside:
            unknown.append(image)
    if not known:
        named = ", ".join(shown(path) for path in unknown[:3]) + (", …" if len(unknown) > 3 else "")
        raise UsageError(f"{shown(opened.path)} holds none of {named}; index them first with kindred index FOLDER")
    return known, unknown


def print_summary(sentence: str, verb: str, count: int, unknown: list[Path], *, as_json: bool) -> None:
    if as_json:
        print_json({verb: count, "not_in_library": [str(path) for path in unknown]})
        return
    say(sentence)
    for path in unknown:
        note(f"Not in the library: {shown(path)}")
