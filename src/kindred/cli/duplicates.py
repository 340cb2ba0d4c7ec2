"""`kindred duplicates`: images of the library that are the same, or alike."""

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
    "same_bytes": "The same bytes",
    "same_picture": "The same picture",
    "same_shot": "One shot in several files",
    "alike": "Alike by descriptor, perhaps different things",
}
REMARKS = {"same_bytes": "same bytes", "same_picture": "same picture", "same_shot": "same shot"}


def duplicates(
    *,
    library: LibraryFolder = DEFAULT_LIBRARY,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="Look only for this: same_bytes, same_picture, same_shot or alike; repeatable. Default: all.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            "-t",
            metavar="SCORE",
            help="Cosine of descriptors from which images are listed as alike, above 0 and at most 1; "
            "the other kinds do not depend on it. Default: 0.95, or 0.85 for whitened vectors.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List images that are the same, or alike, in groups.

    Four kinds are told apart. same_bytes: the files are identical. same_picture: the pixels agree in every part of the
    picture, after another encoding or size, cut edges (some 5 % each), another brightness, grey, quarter turns or
    mirroring; texts, labels and colours that differ are not the same. same_shot: a RAW or HEIC file and its JPEG, of
    one name in one folder. alike: the descriptors are close, which is no proof: pages of text and variants of one
    product are alike. Files with several pages or frames, of which only one is looked at, are never the same picture
    as another. No file is touched. Exit code 0, whether there are duplicates or not.
    """
    from kindred.duplicates import default_threshold, find_duplicates
    from kindred.library import Library

    began = time.monotonic()
    with Library.open(library) as opened:
        threshold = default_threshold(opened) if threshold is None else threshold
        with Meter("Reading", quiet=as_json) as meter:

            def report(what: str, done: int, total: int) -> None:
                meter.title, meter.unit = what, "pairs" if what.endswith("pairs") else "images"
                meter.update(done, total)

            groups = find_duplicates(opened, kinds=_kinds(kind), threshold=threshold, progress=report)
        images = len(opened)
    if as_json:
        from kindred.service import DuplicatesForm

        print_json(DuplicatesForm.of(groups, threshold=threshold, seconds=time.monotonic() - began))
        return
    _print(groups)
    say(dim(f"{_summary(groups)} among {counted(images, 'image')}. Alike from a cosine of {threshold:g}."))


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
        remarks.append(f"turned {member.turned}°")
    if member.copy_of is not None:
        remarks.append(f"same bytes as {shown(member.copy_of)}")
    if member.frames > 1:
        remarks.append(f"one of {member.frames:,} frames looked at")
    return remarks


def _summary(groups: list[DuplicateGroup]) -> str:
    """Return "2 groups of same bytes, 1 group of alike images"."""
    names = {**REMARKS, "alike": "alike images"}
    counts = {name: sum(group.kind == kind for group in groups) for kind, name in names.items()}
    found = [f"{counted(count, 'group')} of {name}" for name, count in counts.items() if count]
    return ", ".join(found) or "No duplicates"
