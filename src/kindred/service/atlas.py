"""The forms of the map of a whole library and of its timeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from kindred.service.form import Form

if TYPE_CHECKING:
    from kindred.atlas import Atlas, Groups, LibraryAtlas
    from kindred.library import Library
    from kindred.store import Filter

__all__ = ["AtlasForm", "ColumnForm", "GroupsForm", "MethodForm", "MonthForm", "SheetsForm", "TimelineForm"]


@dataclass(frozen=True)
class MethodForm(Form):
    """A method of mapping."""

    name: str
    title: str
    summary: str


@dataclass(frozen=True)
class GroupsForm(Form):
    """A group of images with a number of its own, and how many they are."""

    name: str
    images: int

    @classmethod
    def each(cls, groups: Groups) -> tuple[Self, ...]:
        """Return the form of every group, in the order of their numbers."""
        return tuple(cls(name, size) for name, size in zip(groups.names, groups.sizes, strict=True))


@dataclass(frozen=True)
class ColumnForm(Form):
    """A column of values, one for each image: its type, and its groups if the values are numbers of groups."""

    name: str
    type: str
    groups: tuple[GroupsForm, ...]


@dataclass(frozen=True)
class SheetsForm(Form):
    """Sheets of thumbnails: the side of a cell in pixels, how many cells are side by side, and how many sheets."""

    cell: int
    across: int
    count: int


@dataclass(frozen=True, kw_only=True)
class AtlasForm(Form):
    """The map of a whole library, or that there is none (`revision` is null).

    revision: changes with the positions and their order; columns_revision: also with tags and folders. images: on the
    map. library: in the library. new, gone: how many were added and removed since. mapped: how many of the images the
    method itself has placed; the others were placed by these. job: the id of the job that makes a map.
    """

    revision: str | None
    columns_revision: str | None
    method: str | None
    images: int
    library: int
    new: int
    gone: int
    mapped: int
    columns: tuple[ColumnForm, ...]
    sheets: tuple[SheetsForm, ...]
    methods: tuple[MethodForm, ...]
    job: str | None

    @classmethod
    def of(cls, library: Library, maps: LibraryAtlas, *, method: str | None = None, job: str | None = None) -> Self:
        """Return the form of the map by `method`, or of the newest one. Raises UsageError for an unknown method."""
        import numpy as np

        from kindred.atlas import CELLS, sheet_count
        from kindred.atlas.sheets import SIDE
        from kindred.manifold import MAPS
        from kindred.store import Filter

        atlas = maps.get(method)
        methods = tuple(MethodForm(name, entry.title, entry.summary) for name, entry in MAPS.items())
        if atlas is None:
            count, none = len(library), {"revision": None, "columns_revision": None, "method": None}
            return cls(
                **none,
                images=0,
                library=count,
                new=count,
                gone=0,
                mapped=0,
                columns=(),
                sheets=(),
                methods=methods,
                job=job,
            )
        numbers = atlas.mapped.numbers
        now = numbers if maps.is_current(atlas.mapped) else library.store.outlines(Filter()).numbers
        sheets = tuple(SheetsForm(cell, SIDE // cell, sheet_count(len(numbers), cell)) for cell in CELLS)
        return cls(
            revision=atlas.mapped.digest,
            columns_revision=atlas.digest,
            method=atlas.mapped.method,
            images=len(numbers),
            library=len(now),
            new=int(np.count_nonzero(~np.isin(now, numbers))),
            gone=int(np.count_nonzero(~np.isin(numbers, now))),
            mapped=len(atlas.mapped.landmarks),
            columns=_columns(atlas),
            sheets=sheets,
            methods=methods,
            job=job,
        )


@dataclass(frozen=True)
class MonthForm(Form):
    """A month, such as "2024-05", and its number of images."""

    month: str
    images: int


@dataclass(frozen=True)
class TimelineForm(Form):
    """The months in which images were taken, in order; `undated`: images without a date."""

    months: tuple[MonthForm, ...]
    total: int
    undated: int

    @classmethod
    def of(cls, library: Library, where: Filter) -> Self:
        """Return the timeline of the images that match `where`."""
        from kindred.atlas import months

        days = library.store.days(where)
        counted = tuple(MonthForm(month, images) for month, images in months(days).items())
        return cls(counted, sum(days.values()), days.get(None, 0))


def _columns(atlas: Atlas) -> tuple[ColumnForm, ...]:
    columns = atlas.columns
    return (
        ColumnForm("aspect", "float32", ()),
        ColumnForm("day", "int32", ()),
        ColumnForm("level", "uint8", ()),
        ColumnForm("folder", "uint8", GroupsForm.each(columns.folders)),
        ColumnForm("tag", "uint8", GroupsForm.each(columns.tags)),
    )
