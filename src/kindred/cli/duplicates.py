"""`kindred duplicates`: images of the library that are identical or similar."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.options import DEFAULT_LIBRARY, AsJson, LibraryFolder
from kindred.cli.output import bold, columns, counted, dim, print_json, say, shown
from kindred.cli.progress import Meter

if TYPE_CHECKING:
    from kindred.duplicates import DuplicateGroup, Kind, Member

__all__ = ["duplicates"]

TITLES: dict[Kind, str] = {
    "same_bytes": "Identical files",
    "same_picture": "Same picture, other file",
    "same_shot": "Same shot in several formats",
    "alike": "Similar descriptors, not necessarily the same picture",
}
REMARKS = {"same_bytes": "identical file", "same_picture": "same picture", "same_shot": "same shot"}


def duplicates(
    *,
    library: LibraryFolder = DEFAULT_LIBRARY,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="List only this kind: same_bytes, same_picture, same_shot or alike; repeatable. Default: all.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            "-t",
            metavar="SCORE",
            help="Minimum cosine similarity of images listed as alike, above 0 and at most 1; the other kinds do not "
            "depend on it. Default: 0.95, or 0.85 for whitened vectors.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List groups of identical or similar images.

    There are four kinds. same_bytes: identical files. same_picture: the pixels agree everywhere, possibly after
    re-encoding, resizing, cropping (about 5 % per edge), a change of brightness, conversion to grey, rotation by a
    multiple of 90° or mirroring; images whose text, labels or colours differ are not included. same_shot: a RAW or
    HEIC file and the JPEG of the same name in the same folder. alike: the descriptors are similar, which proves
    nothing: pages of text and variants of a product are alike. Files with several pages or frames are never
    same_picture, since only one page is compared. No file is changed. The exit code is 0 with or without duplicates.
    """
    from kindred.duplicates import default_threshold, find_duplicates
    from kindred.library import Library

    began = time.monotonic()
    with Library.open(library) as opened:
        threshold = default_threshold(opened) if threshold is None else threshold
        with Meter("Reading", quiet=as_json) as meter:

            def report(what: str, done: int, total: int) -> None:
                if what != meter.title:
                    meter.begin(what, unit="pairs" if what.endswith("pairs") else "images")
                meter.update(done, total)

            groups = find_duplicates(opened, kinds=_kinds(kind), threshold=threshold, progress=report)
        images = len(opened)
    if as_json:
        from kindred.service import DuplicatesForm

        print_json(DuplicatesForm.of(groups, threshold=threshold, seconds=time.monotonic() - began))
        return
    _print(groups)
    alike = f" Similar: a cosine of at least {threshold:g}." if any(group.kind == "alike" for group in groups) else ""
    say(dim(f"{_summary(groups)} among {counted(images, 'image')}.{alike}"))


def _kinds(names: list[str] | None) -> list[Kind] | None:
    from kindred.duplicates import KINDS
    from kindred.errors import UsageError
    from kindred.hints import check_known

    for name in names or ():
        check_known("kind of duplicates", name, KINDS, error=UsageError, where="--kind")
    return [kind for kind in KINDS if kind in names] if names else None


def _print(groups: list[DuplicateGroup]) -> None:
    for kind, title in TITLES.items():
        listed = [group for group in groups if group.kind == kind]
        if listed:
            say(bold(title))
        for group in listed:
            rows = [(f"{group.score:.3f}" if at == 0 else "", *_row(each)) for at, each in enumerate(group.members)]
            say(columns(rows))
        if listed:
            say()


def _row(member: Member) -> tuple[str, str, str]:
    size = f"{member.width} × {member.height}" if member.width else ""
    return shown(member.path), size, ", ".join(_remarks(member))


def _remarks(member: Member) -> list[str]:
    remarks = [REMARKS[member.relation]] if member.relation in REMARKS else []
    if member.mirrored:
        remarks.append("mirrored")
    if member.turned:
        remarks.append(f"rotated {member.turned}°")
    if member.copy_of is not None:
        remarks.append(f"identical to {shown(member.copy_of)}")
    if member.frames > 1:
        remarks.append(f"one of {member.frames:,} frames compared")
    return remarks


def _summary(groups: list[DuplicateGroup]) -> str:
    """Return "2 groups of identical files, 1 group of similar images"."""
    names = {
        "same_bytes": "identical files",
        "same_picture": "the same picture",
        "same_shot": "the same shot",
        "alike": "similar images",
    }
    counts = {name: sum(group.kind == kind for group in groups) for kind, name in names.items()}
    found = [f"{counted(count, 'group')} of {name}" for name, count in counts.items() if count]
    return ", ".join(found) or "No duplicates"
