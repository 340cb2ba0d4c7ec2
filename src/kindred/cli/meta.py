"""`kindred meta`: metadata of images, as key = value."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred._support.files import is_there
from kindred.cli.editing import Images, in_library, print_changed
from kindred.cli.options import DEFAULT_LIBRARY, AsJson, ExistingLibrary, LibraryPlace
from kindred.cli.output import columns, counted, note, print_json, say, shown
from kindred.errors import UsageError

if TYPE_CHECKING:
    from kindred.store import Value

__all__ = ["meta"]

UNKNOWN_LISTED = 10

meta = typer.Typer(invoke_without_command=True)


@meta.callback()
def keys(context: typer.Context, *, library: LibraryPlace = DEFAULT_LIBRARY, as_json: AsJson = False) -> None:
    """List metadata keys; set, import and show the metadata of images.

    Metadata are key-value pairs of an image, such as price=20, maker=Leica or bought=2024-01-31. kindred search
    --where filters by them.
    """
    from kindred.library import Library

    if context.invoked_subcommand is not None:
        return
    with Library.open(library) as opened:
        counts = opened.info().metadata
    if as_json:
        from kindred.service import KeysForm

        print_json(KeysForm(counts))
    elif counts:
        say(columns([(shown(key), counted(count, "image")) for key, count in counts.items()]))
    else:
        say("No metadata yet. Set it with kindred meta set KEY=VALUE IMAGE.")


Pair = Annotated[
    str,
    typer.Argument(
        metavar="KEY=VALUE",
        help="The value is a number, a date (2024-01-31) or text; "
        "text that looks like a number is quoted: "
        "'code=\"12\"'.",
    ),
]
More = Annotated[
    list[str] | None,
    typer.Option("--and", metavar="KEY=VALUE", help="A further pair to set; repeatable.", show_default=False),
]


@meta.command("set")
def set_(
    pair: Pair,
    images: Images,
    *,
    more: More = None,
    library: ExistingLibrary = DEFAULT_LIBRARY,
    as_json: AsJson = False,
) -> None:
    """Set metadata of images, for example price=20 photos/a.jpg."""
    from kindred.library import Library

    pairs, images = _split_pairs([pair, *(more or [])], images)
    wanted = dict(map(_pair, pairs))
    with Library.open(library) as opened:
        known, unknown = in_library(opened, images)
        count = opened.set_metadata(known, wanted)
    print_changed(f"Set {', '.join(wanted)} of {counted(count, 'image')}.", "set", count, unknown, as_json=as_json)


def _split_pairs(pairs: list[str], images: list[str]) -> tuple[list[str], list[str]]:
    """Move further pairs from the front of the images: KEY=VALUE is a pair unless a file has that name."""
    count = 0
    while count < len(images) and "=" in images[count] and not is_there(images[count]):
        count += 1
    if count == len(images):
        raise UsageError(f"meta set: no image after {images[-1]}; name the images to change")
    return [*pairs, *images[:count]], images[count:]


@meta.command()
def unset(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key to remove.")],
    images: Images,
    *,
    library: ExistingLibrary = DEFAULT_LIBRARY,
    as_json: AsJson = False,
) -> None:
    """Remove a key from the metadata of images."""
    from kindred.library import Library

    with Library.open(library) as opened:
        known, unknown = in_library(opened, images)
        count = opened.unset_metadata(known, key)
    print_changed(f"Removed {key} from {counted(count, 'image')}.", "unset", count, unknown, as_json=as_json)


@meta.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV (separated by , or ;) with a column id or path and one column per key, "
            "or JSON: {path: {key: "
            "value}}.",
        ),
    ],
    *,
    library: ExistingLibrary = DEFAULT_LIBRARY,
    as_json: AsJson = False,
) -> None:
    """Set metadata of many images from a table.

    Relative paths refer to the folder of FILE. Empty cells are ignored. If any row is invalid, nothing is set.
    """
    from kindred.library import Library

    with Library.open(library) as opened:
        count, unknown = opened.import_metadata(file)
    if as_json:
        from kindred.service import ChangeForm

        print_json(ChangeForm("set", count, tuple(unknown)))
        return
    say(f"Set metadata of {counted(count, 'image')}.")
    for name in unknown[:UNKNOWN_LISTED]:
        note(f"Not in the library: {shown(name)}")
    if len(unknown) > UNKNOWN_LISTED:
        note(f"… and {len(unknown) - UNKNOWN_LISTED:,} more (--json lists all)")


@meta.command()
def show(images: Images, *, library: ExistingLibrary = DEFAULT_LIBRARY, as_json: AsJson = False) -> None:
    """Show the id, size, date, tags and metadata of images."""
    from kindred.library import Library

    with Library.open(library) as opened:
        known, unknown = in_library(opened, images)
        records = [opened.get(each) for each in known]
    if as_json:
        from kindred.service import ImageForm, ImagesForm

        print_json(ImagesForm(tuple(map(ImageForm.of, records)), tuple(unknown)))
        return
    rows = [
        (
            each.id,
            f"{shown(each.path)} (file missing)" if each.missing else shown(each.path),
            f"{each.width} × {each.height}" if each.width and each.height else "",
            (each.taken or "")[:10],
            shown(", ".join(each.tags)),
            shown(", ".join(f"{key}={value}" for key, value in each.metadata.items())),
        )
        for each in records
    ]
    say(columns(rows, heads=("id", "image", "size", "taken", "tags", "metadata")))
    for path in unknown:
        note(f"Not in the library: {shown(path)}")


def _pair(text: str) -> tuple[str, Value]:
    from kindred.store import parse_value

    key, equals, value = text.partition("=")
    if not equals or not key.strip() or not value.strip():
        raise UsageError(f"metadata: got {text[:100]!r}; expected KEY=VALUE, such as price=20")
    return key.strip(), parse_value(value)
