"""The forms of a library: indexing, information, changes, export and import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kindred.service.form import Form
from kindred.service.image import ImageFacts

if TYPE_CHECKING:
    from kindred.atlas import LibraryMap
    from kindred.exchange import ImportReport
    from kindred.index.milvus.building import BuildReport
    from kindred.library import ImageRecord, Info
    from kindred.library.copying import CopyReport
    from kindred.library.indexing import IndexReport
    from kindred.library.verifying import VerifyReport

__all__ = [
    "BuildForm",
    "ChangeForm",
    "CopyForm",
    "ExportForm",
    "ImageForm",
    "ImagesForm",
    "ImportForm",
    "IndexForm",
    "InfoForm",
    "KeysForm",
    "MapForm",
    "MoveForm",
    "NoteForm",
    "SkipForm",
    "UnlikeForm",
    "VerifyForm",
]


@dataclass(frozen=True)
class SkipForm(Form):
    """A file or image that could not be used, and the reason."""

    path: Path
    reason: str

    @classmethod
    def each(cls, skipped: Sequence[tuple[Path, str]]) -> tuple[Self, ...]:
        """Return the forms of files with their reasons."""
        return tuple(cls(path, reason) for path, reason in skipped)


@dataclass(frozen=True)
class NoteForm(Form):
    """A note on a described file, such as which of its frames was used."""

    path: Path
    note: str


@dataclass(frozen=True)
class IndexForm(Form):
    """The result of an indexing run."""

    found: int
    indexed: int
    unchanged: int
    moved: int
    missing: int
    removed: int
    held: tuple[str, ...]
    left_out: Mapping[str, Mapping[str, int]]
    skipped: tuple[SkipForm, ...]
    notes: tuple[NoteForm, ...]
    seconds: float
    images_per_second: float

    @classmethod
    def of(cls, report: IndexReport) -> Self:
        """Return the form of a report."""
        return cls(
            found=report.found,
            indexed=report.indexed,
            unchanged=report.unchanged,
            moved=report.moved,
            missing=report.missing,
            removed=report.removed,
            held=tuple(report.held),
            left_out={"files": dict(report.left_out.files), "folders": dict(report.left_out.folders)},
            skipped=SkipForm.each(report.skipped),
            notes=tuple(NoteForm(path, note) for path, note in report.notes),
            seconds=round(report.seconds, 3),
            images_per_second=round(report.images_per_second, 2),
        )


@dataclass(frozen=True)
class InfoForm(Form):
    """The contents of a library."""

    path: Path | str
    images: int
    skipped: tuple[SkipForm, ...]
    vectors: int
    dimension: int | None
    recipe: Mapping[str, object]
    digest: str
    tags: Mapping[str, int]
    metadata: Mapping[str, int]
    roots: tuple[Path, ...]
    bytes: int
    last_run: str | None

    @classmethod
    def of(cls, info: Info, skipped: Sequence[tuple[Path, str]]) -> Self:
        """Return the form of the facts about a library and of the files that could not be used."""
        return cls(
            path=info.place if isinstance(info.place, Path) else str(info.place),
            images=info.images,
            skipped=SkipForm.each(skipped),
            vectors=info.vectors,
            dimension=info.dimension,
            recipe=info.recipe.as_dict(),
            digest=info.recipe.digest,
            tags=info.tags,
            metadata=info.metadata,
            roots=tuple(info.roots),
            bytes=info.bytes,
            last_run=info.last_run,
        )


@dataclass(frozen=True)
class ChangeForm(Form):
    """How many images were changed (`verb` is the key: tagged, untagged, removed), and which are not in the library."""

    verb: str
    count: int
    not_in_library: tuple[Path | str, ...]

    def to_json(self) -> dict[str, object]:
        """Return the count under the name of the verb."""
        return {self.verb: self.count, "not_in_library": [str(path) for path in self.not_in_library]}


@dataclass(frozen=True)
class MoveForm(Form):
    """The number of images whose path was updated, and whether the new path exists."""

    moved: int
    new_exists: bool


@dataclass(frozen=True, kw_only=True)
class ImageForm(ImageFacts):
    """The record of an image, whose file has so many frames or pages."""

    frames: int

    @classmethod
    def of(cls, image: ImageRecord) -> Self:
        """Return the form of an image's record."""
        return cls._of(image, frames=image.frames)


@dataclass(frozen=True)
class ImagesForm(Form):
    """The records of several images, and those given that are not in the library."""

    images: tuple[ImageForm, ...]
    not_in_library: tuple[Path | str, ...]


@dataclass(frozen=True)
class KeysForm(Form):
    """The metadata keys, each with its number of images."""

    keys: Mapping[str, int]


@dataclass(frozen=True)
class ExportForm(Form):
    """The file to which vectors were written, and their number."""

    file: Path
    vectors: int


@dataclass(frozen=True)
class ImportForm(Form):
    """How many images and vectors were read, and how many of the images have no file."""

    images: int
    vectors: int
    without_file: int
    without_features: int

    @classmethod
    def of(cls, report: ImportReport) -> Self:
        """Return the form of a report."""
        return cls(report.images, report.vectors, report.without_file, report.without_features)


@dataclass(frozen=True)
class CopyForm(Form):
    """How many images were copied, had been copied before, and were removed from the copy; and skipped files."""

    copied: int
    unchanged: int
    removed: int
    skipped: int

    @classmethod
    def of(cls, report: CopyReport) -> Self:
        """Return the form of a report."""
        return cls(report.copied, report.unchanged, report.removed, report.skipped)


@dataclass(frozen=True)
class BuildForm(Form):
    """What `kindred build-index` did: `kindred.index.milvus.building.BuildReport`."""

    vectors: int
    added: int
    removed: int
    created: bool
    kind: str
    server: str
    seconds: float

    @classmethod
    def of(cls, report: BuildReport) -> Self:
        """Return the form of a report."""
        return cls(
            report.vectors, report.added, report.removed, report.created, report.kind, report.server, report.seconds
        )


@dataclass(frozen=True)
class UnlikeForm(Form):
    """A bucket of ids whose images differ in two libraries, with the numbers here and there."""

    bucket: int
    images: tuple[int, int]
    skipped: tuple[int, int]


@dataclass(frozen=True)
class VerifyForm(Form):
    """What was found in a library and, if it was compared, in a copy: `kindred.library.verifying.VerifyReport`."""

    sound: bool
    images: int
    skipped: int
    vectors: int
    unreadable: int
    queries: int
    recall: float | None
    others: tuple[int, int] | None
    unlike: tuple[UnlikeForm, ...]
    related: bool | None
    same_rankings: float | None
    damaged: tuple[SkipForm, ...]
    without_features: int

    @classmethod
    def of(cls, report: VerifyReport) -> Self:
        """Return the form of a report."""
        return cls(
            report.sound,
            report.images,
            report.skipped,
            report.vectors,
            report.unreadable,
            report.queries,
            report.recall,
            report.others,
            tuple(UnlikeForm(each.bucket, each.images, each.skipped) for each in report.unlike),
            report.related,
            report.same_rankings,
            SkipForm.each(report.damaged),
            report.without_features,
        )


@dataclass(frozen=True)
class MapForm(Form):
    """A map of a library of `library` images."""

    map: Path
    csv: Path | None
    method: str
    images: int
    library: int
    missing: tuple[SkipForm, ...]
    seconds: float

    @classmethod
    def of(cls, mapped: LibraryMap, *, file: Path, csv: Path | None, method: str, seconds: float) -> Self:
        """Return the form of a map and of the files that it was written to."""
        missing = SkipForm.each(mapped.missing)
        return cls(file, csv, method, len(mapped.paths), mapped.total, missing, round(seconds, 3))
