"""`kindred duplicates`: images of the library that are identical or similar."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.groups import with_groups
from kindred.cli.options import DEFAULT_LIBRARY, AsJson, ExistingLibrary
from kindred.cli.output import bold, columns, counted, dim, note, print_json, say, shown, typed
from kindred.cli.progress import Meter

if TYPE_CHECKING:
    from kindred.duplicates import DuplicateGroup, Kind, Member
    from kindred.library import Library
    from kindred.store import Place

__all__ = ["duplicates"]

TITLES: dict[Kind, str] = {
    "same_bytes": "Identical files",
    "same_picture": "Same picture, other file",
    "same_shot": "Same shot in several formats",
    "burst": "Similar pictures taken within seconds",
    "alike": "Similar descriptors, not necessarily the same picture",
}
REMARKS = {"same_bytes": "identical file", "same_picture": "same picture", "same_shot": "same shot"}


@dataclass(frozen=True)
class KeepOptions:
    """Which image of a group to keep, and what is done with the choice."""

    keep: Annotated[
        str | None,
        typer.Option(
            "--keep",
            metavar="RULES",
            help="Choose the image of each group to keep, by folder, larger, older, newer or format; several, such as "
            "folder,larger, decide in turn. Of alike images and bursts only if --kind names them. No file is changed.",
        ),
    ] = None
    prefer: Annotated[
        list[Path] | None,
        typer.Option(
            "--prefer", metavar="DIR", help="A folder for --keep folder; repeatable, the most preferred first."
        ),
    ] = None
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="TAG", help="With --keep: add this tag to the images to keep.")
    ] = None
    tag_others: Annotated[
        str | None, typer.Option("--tag-others", metavar="TAG", help="With --keep: add this tag to the others.")
    ] = None
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Also write the list as a table, one image a row.")
    ] = None

    def rules(self) -> list[str]:
        """Return the rules by name. Raises UsageError for unknown ones, and for options that need --keep."""
        from kindred.duplicates import check_rules
        from kindred.errors import UsageError

        if self.keep is None and (self.prefer or self.tag or self.tag_others):
            raise UsageError("--prefer, --tag and --tag-others need --keep RULES")
        rules = [each.strip() for each in self.keep.split(",")] if self.keep is not None else []
        check_rules(rules, self.prefer or [])
        return rules


@with_groups
def duplicates(
    *,
    library: ExistingLibrary = DEFAULT_LIBRARY,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="List only this kind: same_bytes, same_picture, same_shot, burst or alike; repeatable. Default: all.",
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
    most: Annotated[
        float | None,
        typer.Option(
            "--most",
            metavar="SCORE",
            help="Images above this cosine similarity are copies: only one of them is listed as alike.",
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List pairs that were marked as not the same, too.")] = False,
    not_same: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--not-same",
            metavar="A B",
            help="Mark two images, by path or id, as not the same, and stop: they are never listed in one group again.",
        ),
    ] = None,
    may_be_same: Annotated[
        tuple[str, str] | None,
        typer.Option("--may-be-same", metavar="A B", help="Remove the mark of --not-same from two images, and stop."),
    ] = None,
    keeping: KeepOptions,
    as_json: AsJson = False,
) -> None:
    """List groups of identical or similar images.

    There are five kinds. same_bytes: identical files. same_picture: the pixels agree everywhere, possibly after
    re-encoding, resizing, cropping (about 5 % per edge), a change of brightness, conversion to grey, rotation by a
    multiple of 90° or mirroring; images whose text, labels or colours differ are not included. same_shot: a RAW or
    HEIC file and the JPEG of the same name in the same folder. burst: similar pictures that one camera took within two
    seconds. alike: the descriptors are similar, which proves nothing: pages of text and variants of a product are
    alike. Files with several pages or frames are never same_picture, since only one page is compared. No file is
    changed or deleted. The exit code is 0 with or without duplicates.
    """
    if not_same is not None or may_be_same is not None:
        _mark(library, not_same, may_be_same, as_json=as_json)
        return
    from kindred.duplicates import default_threshold, find_duplicates, write_csv
    from kindred.images.remote import is_allowed
    from kindred.library import Library
    from kindred.library.paths import remote_roots

    began, rules = time.monotonic(), keeping.rules()
    with Library.open(library) as opened:
        threshold = default_threshold(opened) if threshold is None else threshold
        with Meter("Reading", quiet=as_json) as meter:

            def report(what: str, done: int, total: int) -> None:
                meter.stage(what, done, total, unit="pairs" if what.endswith("pairs") else "images")

            groups = find_duplicates(
                opened, kinds=_kinds(kind), threshold=threshold, most=most, marked=every, progress=report
            )
        images, unread = len(opened), [root for root in remote_roots(opened.store) if not is_allowed(root)]
        chosen = _chosen(groups, rules, keeping.prefer or [], named=kind or [])
        tagged = _tag(opened, groups, chosen, keeping)
    if keeping.csv is not None:
        write_csv(keeping.csv, zip(groups, chosen, strict=True))
    if as_json:
        from kindred.service import DuplicatesForm

        seconds = time.monotonic() - began
        print_json(DuplicatesForm.of(groups, threshold=threshold, most=most, seconds=seconds, keep=chosen))
        return
    _print(groups, chosen)
    for root in unread:
        note(
            f"Images of {shown(root)} were compared by their ETags and descriptors, not by their pixels; "
            f"kindred --remote {typed(root)} duplicates reads them."
        )
    alike = f" Similar: a cosine of at least {threshold:g}." if any(group.kind == "alike" for group in groups) else ""
    say(dim(f"{_summary(groups)} among {counted(images, 'image')}.{alike}"))
    for line in [*tagged, *([f"Wrote {shown(keeping.csv)}."] if keeping.csv is not None else [])]:
        say(dim(line))


def _mark(
    library: Place, not_same: tuple[str, str] | None, may_be_same: tuple[str, str] | None, *, as_json: bool
) -> None:
    """Mark a pair as not the same, or remove the mark."""
    from kindred.errors import UsageError
    from kindred.library import Library
    from kindred.service import NotSameForm

    if not_same is not None and may_be_same is not None:
        raise UsageError("--not-same and --may-be-same exclude each other; give one of them")
    pair = not_same or may_be_same or ("", "")
    with Library.open(library) as opened:
        one, other = (opened.get(each) for each in pair)  # raises UsageError for an image that is not in the library
        if one.id == other.id:
            raise UsageError(f"{pair[0]} is given twice; expected two images")
        count = opened.mark_not_same(pair) if not_same else opened.unmark_not_same(pair)
    if as_json:
        print_json(NotSameForm("marked" if not_same else "unmarked", count))
        return
    if not_same:
        say("Marked as not the same; undo it with --may-be-same.")
    else:
        say("The mark was removed." if count else "They were not marked.")


def _chosen(
    groups: list[DuplicateGroup], rules: list[str], folders: list[Path], *, named: list[str]
) -> list[frozenset[int] | None]:
    """Return the indices of the members to keep, by group; None for groups that the rules are not for."""
    from kindred.duplicates import COPIES, kept
    from kindred.library import located

    preferred = [located(each) for each in folders]
    return [
        kept(group, rules, folders=preferred) if rules and (group.kind in named or group.kind in COPIES) else None
        for group in groups
    ]


def _tag(
    opened: Library, groups: list[DuplicateGroup], chosen: list[frozenset[int] | None], options: KeepOptions
) -> list[str]:
    """Tag the images to keep and the others, and return what was done."""
    done = []
    for tag, keep in ((options.tag, True), (options.tag_others, False)):
        if tag is None:
            continue
        ids = [
            each.id
            for group, kept in zip(groups, chosen, strict=True)
            for at, each in enumerate(group.members)
            if kept is not None and (at in kept) is keep
        ]
        count = opened.tag(ids, tag) if ids else 0
        done.append(f"Added tag {shown(tag)} to {counted(count, 'image')}{'' if keep else ' of the others'}.")
    return done


def _kinds(names: list[str] | None) -> list[Kind] | None:
    from kindred.duplicates import KINDS
    from kindred.errors import UsageError
    from kindred.hints import check_known

    for name in names or ():
        check_known("kind of duplicates", name, KINDS, error=UsageError, where="--kind")
    return [kind for kind in KINDS if kind in names] if names else None


def _print(groups: list[DuplicateGroup], chosen: list[frozenset[int] | None]) -> None:
    for kind, title in TITLES.items():
        listed = [(group, kept) for group, kept in zip(groups, chosen, strict=True) if group.kind == kind]
        if listed:
            say(bold(title))
        for group, kept in listed:
            rows = []
            for at, each in enumerate(group.members):
                mark = [] if kept is None else ["keep" if at in kept else ""]
                rows.append((f"{group.score:.3f}" if at == 0 else "", *mark, *_row(each)))
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
    if member.more:
        remarks.append(f"stands for {member.more + 1:,} images")
    if member.frames > 1:
        remarks.append(f"one of {member.frames:,} frames compared")
    return remarks


def _summary(groups: list[DuplicateGroup]) -> str:
    """Return "2 groups of identical files, 1 group of similar images"."""
    names = {
        "same_bytes": "identical files",
        "same_picture": "the same picture",
        "same_shot": "the same shot",
        "burst": "bursts",
        "alike": "similar images",
    }
    counts = {name: sum(group.kind == kind for group in groups) for kind, name in names.items()}
    found = [f"{counted(count, 'group')} of {name}" for name, count in counts.items() if count]
    return ", ".join(found) or "No duplicates"
