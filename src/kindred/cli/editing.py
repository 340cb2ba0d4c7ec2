"""`kindred tag`, `untag`, `remove` and `move`: change what is known of images, one by one or by folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.options import DEFAULT_LIBRARY, AsJson, LibraryFolder
from kindred.cli.output import counted, note, print_json, say, shown
from kindred.errors import UsageError

if TYPE_CHECKING:
    from kindred.library import Library

__all__ = ["Images", "in_library", "move", "print_changed", "remove", "tag", "untag"]

Tag = Annotated[str, typer.Argument(metavar="TAG", help="A word of your choice.")]
Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE",
        help="Images in the library, by path or by id; a folder stands for all images in it.",
    ),
]


def tag(word: Tag, images: Images, *, library: LibraryFolder = DEFAULT_LIBRARY, as_json: AsJson = False) -> None:
    """Give images a tag, which kindred search --tag asks for."""
    from kindred.library import Library

    with Library.open(library) as opened:
        known, unknown = in_library(opened, images)
        count = opened.tag(known, word)
    print_changed(f"Tagged {counted(count, 'image')} {word!r}.", "tagged", count, unknown, as_json=as_json)


def untag(word: Tag, images: Images, *, library: LibraryFolder = DEFAULT_LIBRARY, as_json: AsJson = False) -> None:
    """Take a tag from images."""
    from kindred.library import Library

    with Library.open(library) as opened:
        known, unknown = in_library(opened, images)
        count = opened.untag(known, word)
    print_changed(f"Took tag {word!r} from {counted(count, 'image')}.", "untagged", count, unknown, as_json=as_json)


def remove(images: Images, *, library: LibraryFolder = DEFAULT_LIBRARY, as_json: AsJson = False) -> None:
    """Remove images from a library; the files stay where they are."""
    from kindred.library import Library

    with Library.open(library) as opened:
        known, unknown = in_library(opened, images)
        count = opened.remove(known)
    print_changed(f"Removed {counted(count, 'image')}; the files stay.", "removed", count, unknown, as_json=as_json)


def move(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="Where the library knows an image or a folder.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Where it is now.")],
    *,
    library: LibraryFolder = DEFAULT_LIBRARY,
    as_json: AsJson = False,
) -> None:
    """Tell a library where an image or a folder is now.

    Ids, tags and metadata stay. Use it after a whole folder or disk got another place or name. Nothing is described
    and no file is touched. Single files that move within folders that are indexed are found by kindred index itself.
    """
    from kindred.library import Library

    with Library.open(library) as opened:
        count = opened.move(old, new)
    there = new.exists()
    if as_json:
        from kindred.service import MoveForm

        print_json(MoveForm(count, there))
        return
    say(f"{counted(count, 'image')} of {shown(old)}: known at {shown(new)} now.")
    if not there:
        note(f"Warning: there is nothing at {shown(new)} now. If that is a slip: kindred move NEW OLD takes it back.")


def in_library(opened: Library, images: list[str]) -> tuple[list[Path | str], list[Path | str]]:
    """Return the images in the library that `images` name, and those of `images` that name none.

    Raises `UsageError` where nothing is left to do.
    """
    from kindred.library import located
    from kindred.store import is_uid

    known: list[Path | str] = []
    unknown: list[Path | str] = []
    for given in images:
        if is_uid(given) and opened.store.by_uid([given]):
            known.append(given)
            continue
        image = located(given)
        inside = [image] if opened.store.lookup([image]) else list(opened.store.paths_under(image))
        known += inside
        if not inside:
            unknown.append(image)
    if not known:
        named = ", ".join(shown(path) for path in unknown[:3]) + (", …" if len(unknown) > 3 else "")
        raise UsageError(f"{shown(opened.path)} holds none of {named}; index them first with kindred index FOLDER")
    return known, unknown


def print_changed(sentence: str, verb: str, count: int, unknown: list[Path | str], *, as_json: bool) -> None:
    """Say how many images were changed, and which of those named are not in the library."""
    if as_json:
        from kindred.service import ChangeForm

        print_json(ChangeForm(verb, count, tuple(unknown)))
        return
    say(sentence)
    for path in unknown:
        note(f"Not in the library: {shown(path)}")
