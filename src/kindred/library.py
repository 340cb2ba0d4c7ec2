"""Library: a folder on disk that holds the descriptions of images and answers which show the same thing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copyfile
from types import TracebackType
from typing import TYPE_CHECKING, Self, overload

import numpy as np
from numpy.typing import NDArray

from kindred.arrays import l2_normalise
from kindred.catalogue import Catalogue, Filter
from kindred.describer import Describer
from kindred.errors import LibraryError, LibraryNotFound, RecipeMismatch, UsageError
from kindred.images import Found, crop, decode, find_images
from kindred.index import DerivedIndex
from kindred.indexing import IndexProgress, IndexReport, index_images, prune_folder
from kindred.recipe import DEFAULT_RECIPE, Recipe

if TYPE_CHECKING:
    from kindred.describer import ImageLike

__all__ = ["DEFAULT_LIBRARY", "Answer", "Hit", "Info", "Library"]

DEFAULT_LIBRARY = Path(".kindred")
MARK = "kindred.json"
CATALOGUE = "catalogue.sqlite"
WHITENING = "whitening.npz"

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Hit:
    """One image found. `score` is higher the more alike; `box` is the part that matched, None for the whole image.

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

    Any number of processes may search while one writes. The first change takes the write lock, which is held until
    `close`; a second writer gets `LibraryLocked` at once.
    """

    def __init__(self, path: Path, catalogue: Catalogue, recipe: Recipe) -> None:
        """Use `create` or `open`."""
        self.path, self.recipe = path, recipe
        self._catalogue = catalogue
        self._describer: Describer | None = None
        self._index: DerivedIndex | None = None

    @classmethod
    def create(cls, path: Path | str, *, recipe: Recipe | str | Path = DEFAULT_RECIPE) -> Self:
        """Make an empty library in folder `path`, which may exist as long as no library is in it.

        Raises `LibraryError` where there is one already, `RecipeError` or `ModelError` where the recipe cannot be used.
        """
        folder = Path(path).absolute()
        wanted = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
        if (folder / CATALOGUE).exists():
            raise LibraryError(f"{folder}: there is a library already; open it, or choose another folder")
        describer = Describer(wanted)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if Path(wanted.whitening).is_file() and wanted.whitening:
                copyfile(wanted.whitening, folder / WHITENING)
                wanted = replace(wanted, whitening=WHITENING)
            (folder / MARK).write_text(json.dumps({"what": "a Kindred library", "catalogue": CATALOGUE}) + "\n")
        except OSError as error:
            raise LibraryError(f"{folder}: cannot be written to ({error.strerror}); choose another folder") from error
        meta = {"recipe": wanted.to_toml(), "fingerprint": describer.fingerprint}
        library = cls(folder, Catalogue.create(folder / CATALOGUE, meta), _resolved(wanted, folder))
        library._describer = describer
        return library

    @classmethod
    def open(cls, path: Path | str = DEFAULT_LIBRARY, *, recipe: Recipe | str | Path | None = None) -> Self:
        """Open the library in folder `path`; it knows its own recipe.

        `recipe`, where given, must do the same as the library's, or `RecipeMismatch` says where they differ. Raises
        `LibraryNotFound`, `LibraryDamaged` or `LibraryTooNew`.
        """
        folder = Path(path).absolute()
        if not (folder / CATALOGUE).exists():
            raise LibraryNotFound(f"{path}: no library there; make one with kindred index FOLDER --library {path}")
        catalogue = Catalogue.open(folder / CATALOGUE)
        own = _resolved(Recipe.from_toml(catalogue.meta["recipe"], source=str(folder)), folder)
        if recipe is not None:
            other = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
            unlike = [line for line in own.differences(other) if not line.startswith("whitening") or not other.whitening]
            if unlike:
                catalogue.close()
                raise RecipeMismatch(
                    f"{path}: was made with recipe {own.name!r}, which differs from {other.name!r}: "
                    f"{'; '.join(unlike)}; leave out --recipe, or index into another library"
                )
        return cls(folder, catalogue, own)

    def close(self) -> None:
        """Close the library and let the next writer in; a second call does nothing."""
        self._index = None
        self._catalogue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Library {str(self.path)!r}, recipe {self.recipe.name!r}>"

    def __len__(self) -> int:
        return self._catalogue.counts().indexed

    @property
    def describer(self) -> Describer:
        """The library's own describer. Raises `RecipeMismatch` where its network is no longer the same."""
        if self._describer is None:
            describer = Describer(self.recipe)
            if describer.fingerprint != self._catalogue.meta["fingerprint"]:
                raise RecipeMismatch(
                    f"{self.path}: its vectors were made with another version of {self.recipe.backbone!r} or of its "
                    "whitening; put that one back, or index into another library"
                )
            self._describer = describer
        return self._describer

    @property
    def index_(self) -> DerivedIndex:
        """The search index, kept in step with the catalogue. Raises `LibraryError` while the library is empty."""
        if self._index is None:
            dimension = self._catalogue.dimension
            if dimension is None:
                raise LibraryError(f"{self.path}: holds no images yet; index a folder first")
            self._index = DerivedIndex(
                self.path, self._catalogue, dimension=dimension, similarity=self.recipe.similarity
            )
        return self._index

    def index(
        self,
        folder: Path | str,
        *,
        prune: str = "keep",
        progress: Callable[[IndexProgress, int], None] | None = None,
    ) -> IndexReport:
        """Index every image in `folder`, at any depth: new and changed ones are described, others cost a look.

        `prune` "gone" also removes the images below `folder` whose files are gone. `progress` is called with where the
        run stands and the number of files. Bad files are in the report, with the reason; they never stop a run. Raises
        `LibraryLocked` while another process writes.
        """
        if prune not in ("keep", "gone"):
            raise UsageError(f"prune is {prune!r}; expected 'keep' or 'gone'")
        root = Path(folder).absolute()
        total = sum(1 for _ in find_images(root)) if progress is not None else 0
        tell = (lambda here: progress(here, total)) if progress is not None else None
        began = time.monotonic()
        report = index_images(self._writable(), lambda: self.describer, find_images(root), progress=tell)
        if prune == "gone":
            report.removed = prune_folder(self._catalogue, root)
        self._refresh()
        report.seconds = time.monotonic() - began
        return report

    def add(self, images: Path | str | Iterable[Path | str], *, tags: Sequence[str] = ()) -> IndexReport:
        """Add image files one by one, or describe them again where they changed; give them `tags`."""
        paths = [Path(path).absolute() for path in ([images] if isinstance(images, (str, Path)) else images)]
        report = index_images(self._writable(), lambda: self.describer, _as_found(paths))
        for tag in tags:
            self._catalogue.tag(paths, tag)
        self._refresh()
        return report

    def remove(self, images: Path | str | Iterable[Path | str]) -> int:
        """Remove images, by path, with their tags; the files stay. Returns how many were in the library."""
        paths = [Path(path).absolute() for path in ([images] if isinstance(images, (str, Path)) else images)]
        return self._writable().forget(paths)

    def tag(self, images: Iterable[Path | str], tag: str) -> int:
        """Give images a tag; return how many of them are in the library."""
        return self._writable().tag([Path(path).absolute() for path in images], tag)

    def untag(self, images: Iterable[Path | str], tag: str) -> int:
        """Take a tag from images; return how many had it."""
        return self._writable().untag([Path(path).absolute() for path in images], tag)

    def describe(self, images: ImageLike | Sequence[ImageLike]) -> NDArray[np.float32]:
        """Describe images with the library's recipe: unit vectors (N, D)."""
        return self.describer.describe(images)

    def search(
        self,
        query: ImageLike | Sequence[ImageLike] | NDArray[np.float32],
        *,
        k: int = 10,
        box: Box | None = None,
        where: Filter | None = None,
    ) -> Answer:
        """Find the `k` images that are most like `query`.

        `query` is an image (path, bytes, Pillow image, uint8 array), several images of one thing (their mean is
        searched), or a vector (D,) from `describe`. `box` (x0, y0, x1, y1 in pixels of the upright query) searches for
        a part of it. `where` limits the search to a folder, tags or dates. Raises `ImageError` for an unusable query.
        """
        began = time.monotonic()
        vector = self._query_vector(query, box)
        allowed = self._catalogue.select(where) if where is not None else None
        ranking = self.index_.search(vector[None], k, allowed=allowed)
        rows = self._catalogue.rows(int(number) for number in ranking.ids[0] if number >= 0)
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
        counts, runs = self._catalogue.counts(), self._catalogue.runs(1)
        size = sum(file.stat().st_size for file in self.path.iterdir() if file.is_file())
        return Info(
            path=self.path,
            recipe=self.recipe,
            images=counts.indexed,
            skipped=counts.skipped,
            vectors=counts.vectors,
            dimension=self._catalogue.dimension,
            tags=self._catalogue.tags(),
            bytes=size,
            last_run=runs[0].finished if runs else None,
        )

    def skipped(self) -> list[tuple[Path, str]]:
        """List the files that could not be used, with the reason."""
        return self._catalogue.skipped()

    @property
    def catalogue(self) -> Catalogue:
        """The truth beneath: images, vectors, tags and runs."""
        return self._catalogue

    def _query_vector(
        self, query: ImageLike | Sequence[ImageLike] | NDArray[np.float32], box: Box | None
    ) -> NDArray[np.float32]:
        if isinstance(query, np.ndarray) and query.ndim == 1:
            return l2_normalise(query.astype(np.float32))
        images = list(query) if isinstance(query, (list, tuple)) else [query]
        if not images:
            raise UsageError("search: no query; give an image, several images of one thing, or a vector")
        if box is not None:
            if len(images) > 1:
                raise UsageError(f"search: a box belongs to one query image, {len(images)} were given")
            images = [crop(decode(images[0]).pixels, box)]
        vectors = self.describer.describe(images)  # type: ignore[arg-type]  # no vector is left among them
        mean: NDArray[np.float32] = l2_normalise(vectors.mean(axis=0))
        return mean

    def _writable(self) -> Catalogue:
        """Return the catalogue opened for writing; takes the write lock at the first call."""
        if not self._catalogue.writable:
            writer = Catalogue.open(self._catalogue.file, mode="write")
            self._catalogue.close()
            self._catalogue, self._index = writer, None
        return self._catalogue

    def _refresh(self) -> None:
        """Put the index into a new snapshot where that is due."""
        if self._catalogue.dimension is not None:
            self.index_.sync()
            self.index_.snapshot()


def _resolved(recipe: Recipe, folder: Path) -> Recipe:
    """The library's own whitening lies in its folder, wherever that is now."""
    return replace(recipe, whitening=str(folder / WHITENING)) if recipe.whitening == WHITENING else recipe


def _as_found(paths: Iterable[Path]) -> Iterator[Found]:
    for path in paths:
        try:
            facts = path.stat()
        except OSError as error:
            yield Found(path, reason="file vanished" if isinstance(error, FileNotFoundError) else f"{error.strerror}")
        else:
            yield Found(path, facts.st_size, facts.st_mtime_ns)
