"""Library: a folder on disk that holds the descriptions of images and answers which show the same thing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copyfile
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast, overload

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import Vectors, as_rows, l2_normalise
from kindred.catalogue import Catalogue, Filter
from kindred.describer import Describer, load_whitening
from kindred.errors import LibraryDamaged, LibraryError, RecipeMismatch, UsageError
from kindred.images import crop, decode, find_images
from kindred.index import DerivedIndex, SnapshotPolicy
from kindred.indexing import IndexProgress, IndexReport, files_at, index_images
from kindred.recipe import DEFAULT_RECIPE, Recipe

if TYPE_CHECKING:
    from kindred.describer import ImageLike

    Query = ImageLike | Sequence[ImageLike] | Vectors

__all__ = ["DEFAULT_LIBRARY", "Answer", "Hit", "Info", "Library", "absolute"]

DEFAULT_LIBRARY = Path(".kindred")
MARK = "kindred.json"
CATALOGUE = "catalogue.sqlite"
WHITENING = "whitening.npz"

Box = tuple[float, float, float, float]
RecipeLike = Recipe | str | Path


@dataclass(frozen=True)
class Hit:
    """One image found: `score` is higher the more alike, `box` the part that matched, None for the whole.

    Sizes and boxes (x0, y0, x1, y1) are in pixels of the upright original.
    """

    rank: int
    path: Path
    score: float
    box: Box | None = None
    width: int | None = None
    height: int | None = None
    taken: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Answer(Sequence[Hit]):
    """What a search found, best first: a sequence of hits, and the same as arrays.

    ids: (K,) int64, the catalogue's vector ids. scores: (K,) float32. seconds: the whole search took.
    """

    hits: tuple[Hit, ...]
    ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    seconds: float

    def __len__(self) -> int:
        return len(self.hits)

    @overload
    def __getitem__(self, at: int) -> Hit: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Hit]: ...
    def __getitem__(self, at: int | slice) -> Hit | Sequence[Hit]:
        return self.hits[at]


@dataclass(frozen=True)
class Info:
    """What a library holds."""

    path: Path
    recipe: Recipe
    images: int
    skipped: int
    vectors: int
    dimension: int | None
    tags: dict[str, int]
    bytes: int
    last_run: str | None


class Library:
    """A library in a folder: make one with `create`, open it with `open`, use it with `with`.

    Any number of processes may search while one writes. The first change takes the write lock, which is held
    until `close`; a second writer gets `LibraryLocked` at once.
    """

    def __init__(self, path: Path, catalogue: Catalogue, recipe: Recipe, policy: SnapshotPolicy) -> None:
        """Use `create` or `open`."""
        self.path, self.recipe, self._policy = path, recipe, policy
        # Searches keep the first connection also when a writer is opened beside it: the index hangs on it.
        self._reader = catalogue
        self._writer = catalogue if catalogue.writable else None
        self._describer: Describer | None = None
        self._index: DerivedIndex | None = None

    @classmethod
    def create(
        cls, path: Path | str, *, recipe: RecipeLike = DEFAULT_RECIPE, policy: SnapshotPolicy | None = None
    ) -> Self:
        """Make an empty library in folder `path`, which may exist as long as no library is in it.

        `policy` says when a search index is worth its while. Raises `LibraryError` where there is a library
        already, `RecipeError` or `ModelError` where the recipe cannot be used.
        """
        folder = absolute(path)
        wanted = (recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)).anchored()
        if (folder / CATALOGUE).exists():
            raise LibraryError(f"{folder}: there is a library already; open it, or choose another folder")
        describer = Describer(wanted)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if wanted.whitening and Path(wanted.whitening).is_file():  # not bundled: the library keeps a copy
                copyfile(wanted.whitening, folder / WHITENING)
                wanted = replace(wanted, whitening=WHITENING)
            mark = {"what": "a Kindred library", "catalogue": CATALOGUE}
            (folder / MARK).write_text(json.dumps(mark) + "\n", encoding="utf-8")
        except OSError as error:
            raise LibraryError(f"{folder}: cannot be written to ({error.strerror}); choose another folder") from error
        meta = {"recipe": wanted.to_toml(), "fingerprint": describer.fingerprint}
        catalogue = Catalogue.create(folder / CATALOGUE, meta)
        library = cls(folder, catalogue, _resolved(wanted, folder), policy or SnapshotPolicy())
        library._describer = describer
        return library

    @classmethod
    def open(
        cls,
        path: Path | str = DEFAULT_LIBRARY,
        *,
        recipe: RecipeLike | None = None,
        policy: SnapshotPolicy | None = None,
    ) -> Self:
        """Open the library in folder `path`; it knows its own recipe.

        `recipe`, where given, must do the same as the library's, or `RecipeMismatch` says where they differ.
        `policy` is as in `create`. Raises `LibraryNotFound`, `LibraryDamaged` or `LibraryTooNew`.
        """
        folder = absolute(path)
        catalogue = Catalogue.open(folder / CATALOGUE)
        try:
            text = catalogue.meta.get("recipe")
            if text is None:
                raise LibraryDamaged(f"{folder}: its recipe is missing; restore {CATALOGUE} from a copy")
            own = _resolved(Recipe.from_toml(text, source=str(folder)), folder)
            if recipe is not None:
                _check_same(own, recipe if isinstance(recipe, Recipe) else Recipe.load(recipe), folder)
        except BaseException:
            catalogue.close()
            raise
        return cls(folder, catalogue, own, policy or SnapshotPolicy())

    def close(self) -> None:
        """Close the library and let the next writer in; a second call does nothing."""
        self._index = None
        self._reader.close()
        if self._writer is not None:
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Library {str(self.path)!r}, recipe {self.recipe.name!r}>"

    def __len__(self) -> int:
        return self._reader.counts().indexed

    @property
    def describer(self) -> Describer:
        """The library's own describer. Raises `RecipeMismatch` where its network is no longer the same."""
        if self._describer is None:
            describer = Describer(self.recipe)
            if describer.fingerprint != self._reader.meta.get("fingerprint"):
                raise RecipeMismatch(
                    f"{self.path}: its vectors were made with another version of {self.recipe.backbone!r} or of "
                    "its whitening; put that one back, or index into another library"
                )
            self._describer = describer
        return self._describer

    @property
    def search_index(self) -> DerivedIndex:
        """The search index, in step with the catalogue. Raises `LibraryError` while the library is empty."""
        if self._index is None:
            self._index = self._new_index(self._reader)
        return self._index

    def index(
        self,
        folder: Path | str,
        *,
        prune: str = "keep",
        progress: Callable[[IndexProgress, int], None] | None = None,
    ) -> IndexReport:
        """Index every image in `folder`, at any depth: new and changed ones are described, others cost a look.

        `prune` "gone" also removes the images below `folder` whose files are gone. `progress` is called with
        where the run stands and the number of files. Bad files are in the report, with the reason; they never
        stop a run. Raises `LibraryLocked` while another process writes, `LibraryFull` where the disk is full.
        """
        if prune not in ("keep", "gone"):
            raise UsageError(f"prune is {prune!r}; expected 'keep' or 'gone'")
        began, root = time.monotonic(), absolute(folder)
        total = sum(1 for _ in find_images(root)) if progress is not None else 0
        report = index_images(
            self._writable(),
            lambda: self.describer,
            find_images(root),
            prune=root if prune == "gone" else None,
            progress=(lambda here: progress(here, total)) if progress is not None else None,
        )
        self._renew_index()
        report.seconds = time.monotonic() - began
        return report

    def add(self, images: Path | str | Iterable[Path | str], *, tags: Sequence[str] = ()) -> IndexReport:
        """Add image files one by one, or describe them again where they changed; give them `tags`."""
        paths = _absolute_paths(images)
        writer = self._writable()
        report = index_images(writer, lambda: self.describer, files_at(paths))
        for tag in tags:
            writer.tag(paths, tag)
        # An index is not loaded only to see whether a few images more make it due.
        if self._index is not None or report.indexed > self._policy.changes:
            self._renew_index()
        return report

    def remove(self, images: Path | str | Iterable[Path | str]) -> int:
        """Remove images, by path, with their tags; the files stay. Returns how many were in the library."""
        return self._writable().forget(_absolute_paths(images))

    def tag(self, images: Path | str | Iterable[Path | str], tag: str) -> int:
        """Give images a tag; return how many of them are in the library."""
        return self._writable().tag(_absolute_paths(images), tag)

    def untag(self, images: Path | str | Iterable[Path | str], tag: str) -> int:
        """Take a tag from images; return how many had it."""
        return self._writable().untag(_absolute_paths(images), tag)

    def describe(self, images: ImageLike | Sequence[ImageLike]) -> Vectors:
        """Describe images with the library's recipe: unit vectors (N, D)."""
        return self.describer.describe(images)

    def search(
        self,
        query: Query,
        *,
        k: int = 10,
        box: Box | None = None,
        where: Filter | None = None,
    ) -> Answer:
        """Find the `k` images that are most like `query`.

        `query` is an image (path, bytes, Pillow image, uint8 array), several images of one thing (their mean
        is searched), or vectors (D,) or (N, D) from `describe`. `box` (x0, y0, x1, y1 in pixels of the upright
        query) searches for a part of it. `where` limits the search to a folder, tags or dates. Raises
        `ImageError` for an unusable query, `LibraryError` while the library is empty.
        """
        began = time.monotonic()
        vector = self._query_vector(query, box)
        if where is not None and where.folder is not None:
            where = replace(where, folder=absolute(where.folder))
        allowed = self._reader.select(where) if where is not None else None
        ranking = self.search_index.search(vector[None], k, allowed=allowed)
        rows = self._reader.rows(int(number) for number in ranking.ids[0] if number >= 0)
        found = [
            (number, score, rows[number])
            for number, score in zip(ranking.ids[0].tolist(), ranking.scores[0].tolist(), strict=True)
            if number in rows
        ]
        hits = tuple(
            Hit(rank, row.path, score, row.box, row.width, row.height, row.taken, row.tags)
            for rank, (_, score, row) in enumerate(found, 1)
        )
        ids = np.array([number for number, _, _ in found], np.int64)
        scores = np.array([score for _, score, _ in found], np.float32)
        return Answer(hits, ids, scores, time.monotonic() - began)

    def info(self) -> Info:
        """Count what the library holds."""
        counts, runs = self._reader.counts(), self._reader.runs(1)
        size = 0
        for file in self.path.iterdir():
            with suppress(FileNotFoundError):  # another process may replace the search index meanwhile
                size += file.stat().st_size
        return Info(
            path=self.path,
            recipe=self.recipe,
            images=counts.indexed,
            skipped=counts.skipped,
            vectors=counts.vectors,
            dimension=self._reader.dimension,
            tags=self._reader.tags(),
            bytes=size,
            last_run=runs[0].finished if runs else None,
        )

    def skipped(self) -> list[tuple[Path, str]]:
        """List the files that could not be used, with the reason."""
        return self._reader.skipped()

    @property
    def catalogue(self) -> Catalogue:
        """The truth beneath: images, vectors, tags and runs."""
        return self._writer or self._reader

    def _query_vector(self, query: Query, box: Box | None) -> Vectors:
        """Return the unit vector (D,) to search for: the mean of those of all query images."""
        if isinstance(query, np.ndarray) and query.dtype.kind == "f":
            if box is not None:
                raise UsageError("search: a box belongs to an image, a vector was given")
            vectors = l2_normalise(as_rows(np.atleast_2d(query), "query"))
        else:
            images = cast("list[ImageLike]", list(query) if isinstance(query, list | tuple) else [query])
            if box is not None:
                if len(images) != 1:
                    raise UsageError(f"search: a box belongs to one query image, {len(images)} were given")
                images = [crop(decode(images[0]).pixels, box)]
            vectors = self.describer.describe(images)
        if not len(vectors):
            raise UsageError("search: no query; give an image, several images of one thing, or a vector")
        mean: Vectors = l2_normalise(vectors.mean(axis=0))
        return mean

    def _writable(self) -> Catalogue:
        """Return the catalogue opened for writing; takes the write lock at the first call."""
        if self._writer is None:
            self._writer = Catalogue.open(self._reader.file, mode="write")
        return self._writer

    def _new_index(self, catalogue: Catalogue) -> DerivedIndex:
        dimension = catalogue.dimension
        if dimension is None:
            raise LibraryError(f"{self.path}: holds no images yet; index a folder first")
        similarity, policy = self.recipe.similarity, self._policy
        return DerivedIndex(self.path, catalogue, dimension=dimension, similarity=similarity, policy=policy)

    def _renew_index(self) -> None:
        """Put the search index into a new file where that is due; below some size there is none.

        An index that answers may hang on a connection that only reads; the file is made through the other.
        """
        writer = self._writable()
        if writer.counts().vectors >= self._policy.exact_below:
            (self.search_index if self._reader is writer else self._new_index(writer)).snapshot()


def absolute(path: Path | str) -> Path:
    """Return `path` as a library keeps it: absolute, `~` and `..` resolved, links left as they are."""
    return Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - resolve() would follow links


def _absolute_paths(images: Path | str | Iterable[Path | str]) -> list[Path]:
    """Return the images' absolute paths, each once."""
    given = [images] if isinstance(images, str | Path) else images
    return list(dict.fromkeys(absolute(path) for path in given))


def _resolved(recipe: Recipe, folder: Path) -> Recipe:
    """The library's own whitening lies in its folder, wherever that is now."""
    return replace(recipe, whitening=str(folder / WHITENING)) if recipe.whitening == WHITENING else recipe


def _check_same(own: Recipe, other: Recipe, folder: Path) -> None:
    """Raise `RecipeMismatch` where two recipes differ; whitenings by what is in them, for `own` is a copy."""
    ours, theirs = load_whitening(own), load_whitening(other)
    if ours is not None and theirs is not None and np.array_equal(ours.projection, theirs.projection):
        other = replace(other, whitening=own.whitening)
    unlike = own.differences(other.anchored())
    if unlike:
        raise RecipeMismatch(
            f"{folder}: was made with recipe {own.name!r}, which differs from {other.name!r}: "
            f"{'; '.join(unlike)}; leave out --recipe, or index into another library"
        )
