"""The forms of a library as a server shows it: what it contains, and what can be done with it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from kindred._support.files import is_folder
from kindred._support.remote_path import RemotePath
from kindred.service.form import Form
from kindred.service.library import SkipForm

if TYPE_CHECKING:
    from kindred.library import Library

__all__ = [
    "UPLOADED",
    "FolderForm",
    "LibraryForm",
    "RerankerForm",
    "ServingForm",
    "SkipsForm",
    "folder_id",
    "possible_rerankers",
]


UPLOADED = "uploads"
"""The folder in a library with the files that were added by upload."""


@dataclass(frozen=True)
class FolderForm(Form):
    """A folder that may be indexed through a server, with its number of images; `missing`: it does not exist now.

    Remote ones are not looked for.
    """

    id: str
    path: Path
    images: int
    missing: bool

    @classmethod
    def each(cls, library: Library, folders: Sequence[Path]) -> tuple[Self, ...]:
        """Return the forms of folders."""
        skipped = [skip.path for skip in library.store.skipped()]
        return tuple(
            cls(
                folder_id(folder),
                folder,
                library.store.count_under(folder) - sum(path.is_relative_to(folder) for path in skipped),
                not isinstance(folder, RemotePath) and not is_folder(folder),
            )
            for folder in folders
        )


@dataclass(frozen=True)
class RerankerForm(Form):
    """A re-ranker that can be used with the library."""

    name: str
    summary: str


@dataclass(frozen=True, kw_only=True)
class LibraryForm(Form):
    """Facts about a library.

    `skipped`: number of files that could not be used. `calibrated`: whether results have a probability; `line` is the
    one from which a result probably shows the same thing. `regions`: whether regions of a query can be searched.
    `local_features`: whether the library stores them. `folders`: those that may be indexed through the server.
    `uploaded`: number of images that were added by upload.
    """

    name: str
    images: int
    skipped: int
    vectors: int
    dimension: int | None
    recipe: Mapping[str, object]
    digest: str
    tags: Mapping[str, int]
    metadata: Mapping[str, int]
    roots: tuple[Path, ...]
    bytes: int
    last_run: str | None
    revision: int
    calibrated: bool
    line: float
    regions: bool
    local_features: bool
    rerankers: tuple[RerankerForm, ...]
    read_only: bool
    folders: tuple[FolderForm, ...]
    uploaded: int

    @classmethod
    def of(cls, library: Library, *, read_only: bool = False, folders: Sequence[Path] = ()) -> Self:
        """Return the form of an open library."""
        from kindred.calibration import LINE

        info, recipe = library.info(), library.recipe
        return cls(
            name=library.name,
            images=info.images,
            skipped=info.skipped,
            vectors=info.vectors,
            dimension=info.dimension,
            recipe=recipe.as_dict(),
            digest=recipe.digest,
            tags=info.tags,
            metadata=info.metadata,
            roots=tuple(info.roots),
            bytes=info.bytes,
            last_run=info.last_run,
            revision=library.store.revision,
            calibrated=bool(recipe.calibration),
            line=LINE,
            regions=not recipe.multi_vector,
            local_features=bool(recipe.stored_features),
            rerankers=possible_rerankers(library),
            read_only=read_only or not library.store.writable,
            folders=FolderForm.each(library, folders),
            uploaded=library.store.count_under(library.path / UPLOADED),
        )


@dataclass(frozen=True)
class ServingForm(Form):
    """The address at which a server answers, with its token if it has one."""

    address: str


@dataclass(frozen=True)
class SkipsForm(Form):
    """Some of the files that could not be used; `next` is the position of the first one left out, null at the end."""

    skipped: tuple[SkipForm, ...]
    total: int
    next: int | None

    @classmethod
    def page(cls, skipped: Sequence[tuple[Path, str]], *, after: int, limit: int) -> Self:
        """Return the form of `limit` of the files, from position `after` on."""
        end = after + limit
        return cls(SkipForm.each(skipped[after:end]), len(skipped), end if end < len(skipped) else None)


def folder_id(folder: Path) -> str:
    """Return an id of a folder: 12 hexadecimal digits, the same in every process."""
    return hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]


def possible_rerankers(library: Library) -> tuple[RerankerForm, ...]:
    """Return the re-rankers that can be used with a library."""
    from kindred.errors import RecipeError
    from kindred.rerank import RERANKERS
    from kindred.rerank.needs import check_needs

    possible = []
    for name, entry in RERANKERS.items():
        try:
            check_needs([(name, {})], library.recipe, images_at_hand=True)
        except RecipeError:
            continue
        possible.append(RerankerForm(name, entry.summary))
    return tuple(possible)
