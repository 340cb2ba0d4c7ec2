"""Library: a folder on disk that stores the descriptors of images and is searched for similar ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cached_property, partial
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from kindred._support.forks import ForkSafeLock
from kindred._support.remote_path import remote_path
from kindred.describer import Describer, DescriberOptions, executor_of, load_calibration
from kindred.errors import LibraryError, LibraryReplaced, UsageError
from kindred.features import Matcher, find_matcher
from kindred.hints import check_type
from kindred.index import INDEXES, FolderRecords, Index, IndexSettings, SnapshotPolicy, choose_index
from kindred.index.milvus import MilvusUrl
from kindred.library.editing import Editing, listed
from kindred.library.explaining import Explaining
from kindred.library.listing import Listing
from kindred.library.opening import Opened, as_made_now, make, open_at, ready_describer
from kindred.library.paths import absolute, listed_paths, located
from kindred.library.places import located_place
from kindred.library.remembering import Remembering
from kindred.library.resolution import ReducedVectors
from kindred.library.results import Info
from kindred.library.searching import Searcher
from kindred.recipe import DEFAULT_RECIPE, Recipe
from kindred.store import Place, PostgresUrl, Store

if TYPE_CHECKING:
    from kindred.calibration import Calibration
    from kindred.describer import Executor
    from kindred.index.milvus.building import BuildReport
    from kindred.index.table import Compares
    from kindred.library.indexing import IndexProgress, IndexReport
    from kindred.library.pruning import Prune
    from kindred.library.shared_indexing import IndexRun
    from kindred.rerank import RerankCache

__all__ = ["DEFAULT_LIBRARY", "Library", "absolute"]

DEFAULT_LIBRARY = Path(".kindred")
RecipeLike = Recipe | str | Path
L = TypeVar("L", bound="Library")


class Library(Editing, Explaining, Listing, Remembering):
    """A library in a folder or on a server, made with `create` or opened with `open`; it is a context manager.

    It may be used by any number of threads, after a fork, and in other processes to which it is sent, where it is
    opened again by its path. Any number of processes and threads may search while one writes. Changes wait for one
    another, up to some seconds. In a folder only one `index` runs at a time; a second one raises `LibraryLocked` at
    once. On a server any number do.
    """

    def __init__(
        self, opened: Opened, policy: SnapshotPolicy, options: DescriberOptions, index: MilvusUrl | None = None
    ) -> None:
        """Use `create` or `open`."""
        check_type("policy", policy, SnapshotPolicy, "a SnapshotPolicy")
        self._server = index
        self.recipe, self._policy, self._options = opened.recipe, policy, options
        self._base, self._closed = opened, False
        self._describer = opened.describer
        self._indexes: dict[str, Index] = {}
        self._lock = ForkSafeLock()
        self._prepared: RerankCache | None = None
        self._calibration: Calibration | None = None
        self._reduced = ReducedVectors()

    @classmethod
    def create(
        cls,
        path: Path | str | PostgresUrl,
        *,
        recipe: RecipeLike = DEFAULT_RECIPE,
        policy: SnapshotPolicy | None = None,
        options: DescriberOptions | None = None,
        allow_code: bool = False,
        index: str | MilvusUrl | None = None,
    ) -> Self:
        """Create an empty library in folder `path`, which may exist but must not contain a library.

        `path` may also be an address such as "postgresql://HOST/DATABASE?library=NAME", of a database that exists.

        `policy`: when a search index is built. `options`: device, number of threads and maximum size of images.
        `allow_code`: whether a pooling "package.module:function" in the recipe, which is code outside Kindred, may run.
        `index`: an address such as "milvus://HOST:PORT/COLLECTION" of a server that searches the vectors.
        Raises `LibraryError` if a library is already there, and `RecipeError`, `ModelError` or `MissingExtra` if the
        recipe cannot be used; then nothing is created.
        """
        place, server = located_place(path), _address(index)
        wanted = (recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)).anchored()
        wanted = wanted.allowing_code(allow_code or wanted.allow_code)
        chosen = _options(options)
        return cls(make(place, wanted, chosen), SnapshotPolicy() if policy is None else policy, chosen, server)

    @classmethod
    def open(
        cls,
        path: Path | str | PostgresUrl = DEFAULT_LIBRARY,
        *,
        recipe: RecipeLike | None = None,
        policy: SnapshotPolicy | None = None,
        options: DescriberOptions | None = None,
        allow_code: bool = False,
        index: str | MilvusUrl | None = None,
    ) -> Self:
        """Open the library in folder `path`, or at an address as in `create`; its recipe is stored in it.

        `recipe`, if given, must be equivalent to that of the library, otherwise `RecipeMismatch` names the differences;
        an empty library takes any recipe. `policy`, `options` and `index` as in `create`. Libraries made by others may
        name code outside Kindred, which runs only with `allow_code`. Raises `LibraryNotFound`, `LibraryDamaged`,
        `LibraryTooNew` or `LibraryUnreachable`.
        """
        place, server = located_place(path), _address(index)
        wanted = recipe if isinstance(recipe, Recipe) or recipe is None else Recipe.load(recipe, allow_code=allow_code)
        chosen = _options(options)
        opened = open_at(place, wanted, options=chosen, allow_code=allow_code)
        return cls(opened, SnapshotPolicy() if policy is None else policy, chosen, server)

    def close(self) -> None:
        """Close the library; a second call does nothing."""
        self._closed = True
        self._indexes.clear()
        self._base.store.close()

    @property
    def _store(self) -> Store:
        """The store; opened again if the library was deleted and created again with the same recipe.

        Raises `LibraryNotFound` if it is gone, `LibraryReplaced` if it was created again with another recipe.
        """
        if not self._closed and self._base.store.replaced:
            with self._lock:
                if self._base.store.replaced:
                    self._reopen()
        return self._base.store

    def _reopen(self) -> None:
        now, before = open_at(self.place, options=self._options, allow_code=self.recipe.allow_code), self._base
        if (now.recipe, now.fingerprint) != (before.recipe, before.fingerprint):
            now.store.close()
            raise LibraryReplaced(
                f"{self.place}: was deleted and created again with recipe {now.recipe.name!r} while in use; "
                "open the library again"
            )
        # The previous store is not closed, since another thread may be using it; it is freed after its last use.
        self._base, self._prepared, self._reduced = now, None, ReducedVectors()
        self._indexes.clear()

    @property
    def place(self) -> Place:
        """Where the library is: its folder, or its address on a server."""
        return self._base.place

    @property
    def server(self) -> MilvusUrl | None:
        """The address of the server that searches the vectors, if the library was opened with one."""
        return self._server

    @property
    def path(self) -> Path:
        """The folder of the library; of one on a server, the folder of its files on this machine."""
        return self._base.folder

    @property
    def name(self) -> str:
        """A name for display: that of the folder, or of the library on its server."""
        return self.place.library if isinstance(self.place, PostgresUrl) else self.place.name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[object, ...]]:
        return _opened, (type(self), self.place, self._policy, self._options, self.recipe.allow_code, self._server)

    def __repr__(self) -> str:
        return f"<Library {str(self.place)!r}, recipe {self.recipe.name!r}>"

    def __len__(self) -> int:
        return self._store.counts().indexed

    @property
    def describer(self) -> Describer:
        """The describer of the library. Raises `RecipeMismatch` if its network is no longer the same."""
        with self._lock:
            if self._describer is None:
                describer = self._options.describer(self.recipe)
                self._base = as_made_now(self._base, describer)
                self._describer = describer
            return self._describer

    @property
    def search_index(self) -> Index:
        """The index of the vectors, up to date with the store. Raises `LibraryError` if the library is empty."""
        return self._opened(self._chosen_index(compares="vectors"))

    @property
    def searcher(self) -> Searcher:
        """The search with the index that serves the recipe. Raises `LibraryError` if the library is empty."""
        name = self._chosen_index()
        words = self._opened(self._words_index) if self.recipe.words else None
        return Searcher(
            self._store,
            self._opened(name),
            INDEXES[name],
            self.recipe,
            words=words,
            reduced=self._reduced,
            calibration=lambda: self.calibration,
            matcher=lambda: self.matcher,
        )

    def _chosen_index(self, compares: Compares | None = None) -> str:
        """Return the name of the index that searches the library, or of the one of those that compare vectors."""
        remote = self._server is not None and not (self.recipe.multi_vector and compares == "vectors")
        return choose_index(self.recipe, source=self._store, compares=compares, remote=remote)

    @property
    def _words_index(self) -> str:
        """The name of the index of visual words."""
        return choose_index(self.recipe, compares="local features")

    @property
    def calibration(self) -> Calibration | None:
        """The recipe's calibration, None if it has none; the network is not loaded for it."""
        with self._lock:
            if self._calibration is None:
                self._calibration = load_calibration(self.recipe)
            return self._calibration

    @cached_property
    def matcher(self) -> Matcher | None:
        """What pairs the stored local features, None for nearest neighbours; a network is loaded at its first use."""
        return find_matcher(self.recipe.stored_features)

    def _opened(self, name: str) -> Index:
        """Return the index of this name, opened at the first call."""
        with self._lock:
            store = self._store  # first, because it drops the indexes if the library was created again
            if name not in self._indexes:
                if not store.counts().indexed:
                    raise LibraryError(f"{self.place}: the library is empty; index a folder first")
                self._indexes[name] = INDEXES[name].open(self.recipe, store, self._settings())
            return self._indexes[name]

    def _settings(self) -> IndexSettings:
        """Return the settings for opening an index; the network is only loaded if the index needs it."""
        code = self.describer.fitted.codes if self.recipe.code else None
        options = self.describer.matching_options if self.recipe.multi_vector else {}
        records = None if isinstance(self.place, Path) else FolderRecords(self.path)
        return IndexSettings(self.path, self._policy, code, options=options, records=records, server=self._server)

    def index(
        self,
        folders: Path | str | Iterable[Path | str],
        *,
        exclude: str | Sequence[str] = (),
        prune: Prune = "keep",
        force: bool = False,
        progress: Callable[[IndexProgress, int], None] | None = None,
        stop: Callable[[], bool] | None = None,
        shared: bool = False,
        executor: Executor | str | None = None,
    ) -> IndexReport:
        """Index all images in `folders`, recursively: new and changed images are described, others are only looked up.

        A file among `folders` is indexed whatever its name. `exclude`: patterns of file names, or of paths relative to
        a folder, that are left out (`kindred.images.find_images`); the report counts them. Files that were moved or
        renamed keep their id, tags and metadata. `force`: describe every image again.

        `prune` "gone" also removes images below `folders` whose files are gone, unless it looks as if a disk were not
        mounted; the report then gives the reason (`kindred.library.pruning`). "all" removes every image whose file does
        not exist. `shared`: the processes that make this call on one library, on a server, describe the images
        together; the report counts what this one did. `executor`: what describes the images, "local" for this process,
        "ray" or "ray://HOST:PORT" for the machines of a Ray cluster (`kindred.describer.executor_of`).

        `progress` is called with the progress and the total number of files. Unusable files are listed in the report
        with the reason; they never stop a run. Raises `LibraryLocked` while another process indexes, `LibraryFull` if
        the disk is full, and `RecipeMismatch` if the library was made with another network, even if nothing is new.

        A folder may be a remote address, such as "s3://BUCKET/PHOTOS"; one given as text may then be read by this
        process (`kindred.allow_remote`). Files there are the same as long as their size and ETag are. Raises
        `RemoteError`, and removes nothing, if its listing fails or is empty.
        """
        from kindred.images import find_images  # loaded late, as in `add`: searches do not need it
        from kindred.library.indexing import index_images
        from kindred.library.shared_indexing import shared_run

        if prune not in ("keep", "gone", "all"):
            raise UsageError(f"prune is {prune!r}; expected 'keep', 'gone' or 'all'")
        began, roots = time.monotonic(), _named(folders)
        excluded = [exclude] if isinstance(exclude, str) else exclude
        scan = find_images(roots, exclude=excluded)
        store, describer = self._store, self.describer  # before the files are counted, which may take long
        ready_describer(describer)
        if isinstance(executor, str):
            executor = executor_of(executor, describer, self._options, roots=roots)
        run: IndexRun = partial(index_images, force=force)
        if shared:
            run = shared_run(store, self.place, exclude=excluded, force=force)
        counted = progress is not None and not shared and not scan.streamed
        total = _count(scan, stop) if counted else 0
        with store.indexing():
            report = run(
                store,
                describer,
                scan,
                roots=roots,
                prune=prune,
                progress=(lambda here: progress(here, here.total or total)) if progress is not None else None,
                stop=stop,
                executor=executor,
            )
            report.left_out = scan.left_out
            if not report.stopped:
                self.renew_index()
        report.seconds = time.monotonic() - began
        return report

    def add(self, images: Path | str | Iterable[Path | str], *, tags: str | Iterable[str] = ()) -> IndexReport:
        """Add single image files, or describe them again if they changed; give them one or several `tags`."""
        from kindred.library.indexing import files_at, index_images

        paths, store = _named(images), self._store
        report = index_images(store, self.describer, files_at(paths))
        for tag in listed(tags):
            store.tag(paths, tag)
        # The index is not loaded just to check whether a few new images require an update.
        if self._indexes or report.indexed > self._policy.changes:
            self.renew_index()
        return report

    def info(self) -> Info:
        """Return facts about the library."""
        counts, runs = self._store.counts(), self._store.runs(1)
        size = 0 if isinstance(self.place, Path) else self._store.stored_bytes()
        for file in self.path.iterdir():
            with suppress(FileNotFoundError):  # another process may replace the search index meanwhile
                size += file.stat().st_size
        return Info(
            path=self.path,
            place=self.place,
            recipe=self.recipe,
            images=counts.indexed,
            skipped=counts.skipped,
            vectors=counts.vectors,
            dimension=self._store.dimension,
            tags=self._store.tags(),
            bytes=size,
            last_run=runs[0].finished if runs else None,
            metadata=self._store.metadata_keys(),
            roots=tuple(root.path for root in self._store.roots()),
        )

    def check_vectors(self, what: str) -> None:
        """Raise UsageError if the library stores visual words only; `what` names the operation that needs vectors."""
        if self.recipe.multi_vector and self.recipe.embedding:
            raise UsageError(
                f"{what}: {self.place} stores visual words ({self.recipe.embedding}), not vectors; "
                "use a library with another recipe"
            )

    def skipped(self) -> list[tuple[Path, str]]:
        """List the files that could not be used, with the reason."""
        return [(skip.path, skip.reason) for skip in self._store.skipped()]

    @property
    def store(self) -> Store:
        """The store: images, vectors, tags, metadata and runs."""
        return self._store

    @property
    def rerank_cache(self) -> RerankCache:
        """The cache of data that re-rankers compute once, stored in the library until its vectors change."""
        from kindred.rerank import RerankCache

        with self._lock:
            if self._prepared is None:
                self._prepared = RerankCache(self.path)
            return self._prepared

    def build_index(
        self,
        kind: str | None = None,
        *,
        rebuild: bool = False,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> BuildReport:
        """Bring the index at the address `index` up to date with the library, or build it; searches go on meanwhile.

        kind: of `kindred.index.milvus.kinds.KINDS`; another than before makes a new index, as does `rebuild`. progress:
        called with the name of the phase, the number of vectors done and their total. Raises `UsageError` if the
        library was opened without an address, or if the server lacks the kind, and `LibraryUnreachable` if it does not
        answer.
        """
        from kindred.index.milvus.recorded import RecordedIndex

        if self._server is None:
            raise UsageError("build_index: the library was opened without index=, the address of a server")
        index = self._opened(self._chosen_index())
        assert isinstance(index, RecordedIndex)
        return index.build(kind, rebuild=rebuild, progress=progress)

    def renew_index(self) -> None:
        """Update the stored search index if it is due."""
        if self._store.counts().indexed:
            self._opened(self._chosen_index()).renew()
            if self.recipe.words:
                self._opened(self._words_index).renew()


def _named(images: Path | str | Iterable[Path | str]) -> list[Path]:
    """Return the stored paths of images or folders, without repetitions; remote addresses given as text are allowed.

    Others, which are paths, may come from a library.
    """
    from kindred.images.remote import allow_remote

    given = listed_paths(images)
    allow_remote(*(each for each in given if isinstance(each, str) and remote_path(each)))
    return list(dict.fromkeys(located(path) for path in given))


def _count(scan: Iterable[object], stop: Callable[[], bool] | None) -> int:
    """Return the number of files of a scan; of those before `stop` returns true."""
    return sum(1 for _ in takewhile(lambda _: stop is None or not stop(), scan))


def _options(options: DescriberOptions | None) -> DescriberOptions:
    """Return the options of a describer, by default the usual ones; raises UsageError for anything else."""
    chosen = DescriberOptions() if options is None else options
    check_type("options", chosen, DescriberOptions, "DescriberOptions")
    return chosen


def _address(given: str | MilvusUrl | None) -> MilvusUrl | None:
    """Return the address of an index; raises UsageError for anything else."""
    if given is None or isinstance(given, MilvusUrl):
        return given
    check_type("index", given, str, "an address such as milvus://HOST:PORT/COLLECTION")
    return MilvusUrl.parse(given)


def _opened(
    kind: type[L],
    path: Place,
    policy: SnapshotPolicy,
    options: DescriberOptions,
    allow_code: bool,
    index: MilvusUrl | None = None,
) -> L:
    """Open a library that was sent to this process, which may run code outside Kindred if the sender allowed it."""
    return kind.open(path, policy=policy, options=options, allow_code=allow_code, index=index)
