"""The forms of a review of duplicates: the groups of the last search, page by page, and what is done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kindred.errors import UsageError
from kindred.hints import check_known
from kindred.service.duplicates import DuplicateForm
from kindred.service.form import Form

if TYPE_CHECKING:
    from kindred.duplicates import Companions, DuplicateGroup, Review
    from kindred.duplicates.found_file import LastSearch
    from kindred.duplicates.review import Listing
    from kindred.library import Library
    from kindred.store import Row

__all__ = [
    "KeptForm",
    "ReviewFolderForm",
    "ReviewForm",
    "ReviewGroupForm",
    "ReviewImageForm",
    "ReviewQuery",
    "keep_images",
    "reviewed_group",
    "reviewed_groups",
]


@dataclass(frozen=True, kw_only=True)
class ReviewQuery:
    """Which groups of the last search are meant, and which of their images would be kept.

    kinds: none are all. threshold, most: as in `kindred.duplicates.grouped`. without_tag: no group that is decided: all
    its images have one of these tags, or one of them has it if only one tag is given. marked: also pairs that were
    marked as not the same. rules, prefer: as in `kindred.duplicates.kept`.
    """

    kinds: tuple[str, ...] = ()
    threshold: float | None = None
    most: float | None = None
    without_tag: tuple[str, ...] = ()
    marked: bool = False
    rules: tuple[str, ...] = ()
    prefer: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        """Raise UsageError for an unknown kind or rule."""
        from kindred.duplicates import KINDS, check_rules

        for kind in self.kinds:
            check_known("kind of duplicates", kind, KINDS, error=UsageError)
        check_rules(self.rules, self.prefer)


@dataclass(frozen=True, kw_only=True)
class ReviewImageForm(DuplicateForm):
    """One image of a group, with its tags, and whether its file is missing."""

    tags: tuple[str, ...]
    missing: bool


@dataclass(frozen=True)
class ReviewGroupForm(Form):
    """A group of a review. key: depends on its images alone. at: its place in the list, from 0; null if unknown."""

    key: str
    at: int | None
    kind: str
    score: float
    images: tuple[ReviewImageForm, ...]


@dataclass(frozen=True)
class ReviewFolderForm(Form):
    """A folder, and how many images of groups are in it."""

    path: Path
    images: int


@dataclass(frozen=True, kw_only=True)
class ReviewForm(Form):
    """The groups of the last search for duplicates.

    searched: UTC, ISO; null, as `threshold` and `least`, before the first search. threshold: that of these groups; it
    can be any from `least` on without another search. images: how many were compared. changed: whether images were
    added, removed or described again since. kinds: those searched. counts: groups by kind, before `kinds` and
    `without_tag`. total: groups after these. marked: pairs of the library that are not the same. folders: those with
    the most images in groups. next: the `after` of the next page.
    """

    searched: str | None
    threshold: float | None
    least: float | None
    most: float | None
    images: int
    changed: bool
    kinds: tuple[str, ...]
    counts: Mapping[str, int]
    total: int
    marked: int
    folders: tuple[ReviewFolderForm, ...]
    groups: tuple[ReviewGroupForm, ...]
    next: int | None

    @classmethod
    def of(cls, review: Review, library: Library, query: ReviewQuery, *, after: int = 0, limit: int = 100) -> Self:
        """Return the groups from place `after` on, at most `limit`; none before the first search."""
        from kindred.duplicates import KINDS

        last = review.last
        if last is None:
            return cls._before_the_first(library, query)
        listing = _listing(review, last, query)
        groups = _meant(listing.groups, library, last, query)
        shown = groups[after : after + limit]
        forms = _forms(library, shown, query, first=after)
        found = last.found
        return cls(
            searched=last.searched,
            threshold=found.threshold if query.threshold is None else query.threshold,
            least=found.least,
            most=query.most,
            images=found.total,
            changed=library.store.vectors_revision != last.revision,
            kinds=tuple(kind for kind in KINDS if kind in found.kinds),
            counts={kind: listing.counts.get(kind, 0) for kind in KINDS},
            total=len(groups),
            marked=len(library.store.not_same()),
            folders=tuple(ReviewFolderForm(*each) for each in listing.folders),
            groups=tuple(forms),
            next=after + limit if after + limit < len(groups) else None,
        )

    @classmethod
    def _before_the_first(cls, library: Library, query: ReviewQuery) -> Self:
        """Return the form of a library that was never searched for duplicates."""
        from kindred.duplicates import KINDS

        return cls(
            searched=None,
            threshold=None,
            least=None,
            most=query.most,
            images=0,
            changed=False,
            kinds=(),
            counts=dict.fromkeys(KINDS, 0),
            total=0,
            marked=len(library.store.not_same()),
            folders=(),
            groups=(),
            next=None,
        )


@dataclass(frozen=True)
class KeptForm(Form):
    """In how many groups images were chosen, how many images are to be kept, and how many others there are."""

    groups: int
    kept: int
    others: int


def reviewed_groups(review: Review, library: Library, last: LastSearch, query: ReviewQuery) -> Sequence[DuplicateGroup]:
    """Return the groups of a search that a query means."""
    return _meant(_listing(review, last, query).groups, library, last, query)


def reviewed_group(review: Review, library: Library, query: ReviewQuery, key: str) -> ReviewGroupForm | None:
    """Return the group with a key, with the files that belong to its images; None if there is none."""
    from kindred.duplicates import Companions

    last = review.last
    if last is None:
        return None
    listing = _listing(review, last, query)
    at = listing.places.get(key)
    if at is None:
        return None
    forms = _forms(library, [listing.groups[at]], query, first=None, beside=Companions())
    return forms[0] if forms else None


def keep_images(
    review: Review, library: Library, query: ReviewQuery, *, tag: str | None, tag_others: str | None
) -> KeptForm | None:
    """Tag the images to keep of all groups that a query means, and the others; None if there was no search.

    Raises UsageError if neither tag is given.
    """
    from kindred.duplicates import kept

    if tag is None and tag_others is None:
        raise UsageError("neither tag nor tag_others is given; give a tag for the images to keep, or for the others")
    last = review.last
    if last is None:
        return None
    groups = reviewed_groups(review, library, last, query)
    keep, others = dict[str, None](), dict[str, None]()
    for group in groups:
        chosen = kept(group, query.rules, folders=query.prefer)
        for at, member in enumerate(group.members):
            (keep if at in chosen else others)[member.id] = None
    with library.store.writing():
        if tag is not None and keep:
            library.tag(list(keep), tag)
        if tag_others is not None and others:
            library.tag(list(others), tag_others)
    return KeptForm(len(groups), len(keep), len(others))


def _listing(review: Review, last: LastSearch, query: ReviewQuery) -> Listing:
    return review.listing(last, threshold=query.threshold, most=query.most, marked=query.marked)


def _meant(
    groups: Sequence[DuplicateGroup], library: Library, last: LastSearch, query: ReviewQuery
) -> Sequence[DuplicateGroup]:
    """Return those of the groups that are of the kinds of a query, and not decided by its tags."""
    if query.kinds:
        groups = [group for group in groups if group.kind in query.kinds]
    if query.without_tag:
        tagged = _tagged(library, last, query.without_tag)
        decided = all if len(query.without_tag) > 1 else any
        groups = [group for group in groups if not decided(member.id in tagged for member in group.members)]
    return groups


def _tagged(library: Library, last: LastSearch, tags: Sequence[str]) -> set[str]:
    """Return the ids of the linked images that have one of these tags."""
    from kindred.store import Filter

    numbers = {number for tag in tags for number in library.store.select_images(Filter(tags=(tag,))).tolist()}
    images = last.found.images
    return {images[number].uid for number in numbers if number in images}


def _forms(
    library: Library,
    groups: Sequence[DuplicateGroup],
    query: ReviewQuery,
    *,
    first: int | None,
    beside: Companions | None = None,
) -> list[ReviewGroupForm]:
    """Return the forms of groups, the first of which has the place `first`."""
    from kindred.duplicates import kept, key_of

    rows = library.store.by_uid({member.id for group in groups for member in group.members})
    forms = []
    for number, group in enumerate(groups):
        keep = kept(group, query.rules, folders=query.prefer) if query.rules else None
        members = enumerate(group.members)
        images = (
            _image(DuplicateForm.of(each, beside, keep=None if keep is None else at in keep), rows[each.id])
            for at, each in members
            if each.id in rows
        )
        at = None if first is None else first + number
        forms.append(ReviewGroupForm(key_of(group), at, group.kind, round(group.score, 6), tuple(images)))
    return forms


def _image(form: DuplicateForm, row: Row) -> ReviewImageForm:
    from kindred.library.paths import is_missing

    own = {field.name: getattr(form, field.name) for field in fields(DuplicateForm)}
    return replace(ReviewImageForm(**own, tags=row.tags, missing=is_missing(row.path)), path=row.path)
