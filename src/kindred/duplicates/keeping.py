"""Which image of a group of duplicates to keep, by rules: the folder, the size, the age, the format."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kindred.duplicates.groups import DuplicateGroup, Kind, Member
from kindred.errors import UsageError
from kindred.hints import check_known

__all__ = ["COPIES", "FORMAT_ORDER", "KEEP_RULES", "KeepRule", "check_rules", "kept"]

FORMAT_ORDER = (
    "dng 3fr arw cr2 cr3 crw erf iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f",
    "tif tiff",
    "png",
    "heic heif jxl avif",
    "jpg jpeg jpe jfif",
    "webp",
    "bmp",
    "gif",
)
"""Extensions in the order of the rule "format": those that lose nothing before those that lose something."""
COPIES: tuple[Kind, ...] = ("same_bytes", "same_picture")
"""The kinds of groups of which one image says what the others say."""

_PLACES = {each: place for place, names in enumerate(FORMAT_ORDER) for each in names.split()}


@dataclass(frozen=True)
class KeepRule:
    """One entry of KEEP_RULES. order: the key of a member, given the preferred folders; the smallest is kept."""

    summary: str
    order: Callable[[Member, Sequence[Path]], tuple[float | str, ...]]


def _folder(member: Member, folders: Sequence[Path]) -> tuple[float]:
    places = (place for place, folder in enumerate(folders) if member.path.is_relative_to(folder))
    return (next(places, len(folders)),)


def _dated(member: Member) -> str | None:
    """Return the date of a member as text in order of time: that of the picture, or else that of the file."""
    return member.taken or member.modified


KEEP_RULES: dict[str, KeepRule] = {
    "folder": KeepRule("the image in the first of the given folders", _folder),
    "larger": KeepRule(
        "the most pixels, then the largest file", lambda each, _: (-each.width * each.height, -each.size)
    ),
    "older": KeepRule("the earliest date", lambda each, _: (_dated(each) or "~",)),
    "newer": KeepRule("the latest date", lambda each, _: (*(-ord(sign) for sign in _dated(each) or ""), 1)),
    "format": KeepRule(
        "the format that loses least: RAW, TIFF, PNG, HEIC, JPEG, WebP, BMP, GIF",
        lambda each, _: (_PLACES.get(each.path.suffix.lower().lstrip("."), len(FORMAT_ORDER)),),
    ),
}


def check_rules(rules: Collection[str], folders: Sequence[Path]) -> None:
    """Raise UsageError for an unknown rule, and for "folder" without folders."""
    for rule in rules:
        check_known("rule of what to keep", rule, KEEP_RULES, error=UsageError)
    if "folder" in rules and not folders:
        raise UsageError("the rule folder needs the folders to prefer, the most preferred first")


def kept(group: DuplicateGroup, rules: Iterable[str], *, folders: Sequence[Path] = ()) -> frozenset[int]:
    """Return the indices of the members to keep: the first by the first rule, among equals by the next, and so on.

    rules: names of `KEEP_RULES`. folders: those that the rule "folder" prefers, the most preferred first. Among equals
    by all rules, the reference, or else the first path. All files of the shot that is kept are kept: a RAW file stays
    with its JPEG. Raises UsageError as `check_rules` does.
    """
    chosen = list(rules)
    check_rules(chosen, folders)
    members = group.members
    best = min(
        range(len(members)), key=lambda at: [*(KEEP_RULES[rule].order(members[at], folders) for rule in chosen), (at,)]
    )
    return frozenset(at for at, each in enumerate(members) if each.shot == members[best].shot)
