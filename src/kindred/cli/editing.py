"""`kindred tag`, `untag`, `remove` and `move`: edit the entries of images, one by one or by folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred._support.files import is_there
from kindred._support.remote_path import remote_path
from kindred.cli.options import DEFAULT_LIBRARY, AsJson, ExistingLibrary
from kindred.cli.output import counted, note, print_json, say, shown
from kindred.errors import UsageError

if TYPE_CHECKING:
    from kindred.library import Library

__all__ = ["Images", "in_library", "move", "print_changed", "remove", "tag", "untag"]

Tag = Annotated[str, typer.Argument(metavar="TAG", help="The tag.")]
Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE...",
        help="Images of the library, by path or id; a folder means all images in it.",
    ),
]


def tag(word: Tag, images: Images, *, library: ExistingLibrary = DEFAULT_LIBRARY, as_json: AsJson = False) -> None:
    """Add a tag to images; kindred search --tag filters by it."""
    from kindred.library import Library

    with Library.open(library) as opened:
        known, unknown = in_library(opened, images)
        count = opened.tag(known, word)
    print_changed(f"Added tag {word!r} to {counted(count, 'image')}.", "tagged", count, unknown, as_json=as_json)


def untag(word: Tag, images: Images, *, library: ExistingLibrary = DEFAULT_LIBRARY, as_json: AsJson = False) -> None:
    """Remove a tag from images."""
    from kindred.library import Library

    with Library.open(library) as opened:
        known, unknown = in_library(opened, images)
        count = opened.untag(known, word)
    print_changed(f"Removed tag {word!r} from {counted(count, 'image')}.", "untagged", count, unknown, as_json=as_json)


def remove(images: Images, *, library: ExistingLibrary = DEFAULT_LIBRARY, as_json: AsJson = False) -> None:
    """Remove images from a library without deleting their files."""
    from kindred.library import Library

    with Library.open(library) as opened:
        known, unknown = in_library(opened, images)
        count = opened.remove(known)
    print_changed(
        f"Removed {counted(count, 'image')}; the files were not deleted.", "removed", count, unknown, as_json=as_json
    )


def move(
    old: Annotated[
        Path,
        typer.Argument(metavar="OLD", help="Path of an image or folder as stored in the library.", readable=False),
    ],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Its new path.", readable=False)],
    *,
    library: ExistingLibrary = DEFAULT_LIBRARY,
    as_json: AsJson = False,
) -> None:
    """Update the path of an image or folder that has moved.

    Ids, tags, metadata and vectors are retained, and no file is read or changed. Use it after moving or renaming a
    whole folder or disk. Single files moved within the indexed folders are recognised by kindred index.
    """
    from kindred.library import Library

    with Library.open(library) as opened:
        count = opened.move(old, new)
    there = is_there(new) or remote_path(new) is not None  # whose files are not looked for
    if as_json:
        from kindred.service import MoveForm

        print_json(MoveForm(count, there))
        return
    say(f"{counted(count, 'image')} moved from {shown(old)} to {shown(new)} in the library.")
    if not there:
        note(f"Warning: {shown(new)} does not exist. To undo this: kindred move NEW OLD.")


def in_library(opened: Library, images: list[str]) -> tuple[list[Path | str], list[Path | str]]:
    """Return the images of the library that `images` refer to, and those of `images` that refer to none.

    Raises `UsageError` if none is in the library.
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
        raise UsageError(f"{shown(opened.place)} contains none of {named}; index them first with kindred index FOLDER")
    return known, unknown


def print_changed(sentence: str, verb: str, count: int, unknown: list[Path | str], *, as_json: bool) -> None:
    """Print how many images were changed, and which of those given are not in the library."""
    if as_json:
        from kindred.service import ChangeForm

        print_json(ChangeForm(verb, count, tuple(unknown)))
        return
    say(sentence)
    for path in unknown:
        note(f"Not in the library: {shown(path)}")
