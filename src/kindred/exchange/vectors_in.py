"""Import: vectors computed elsewhere, or exported from another library, are stored in a library."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred._support.digests import digest_of
from kindred._support.os_errors import explain_os_error
from kindred._support.remote_path import remote_path
from kindred.arrays import l2_normalise
from kindred.describer import Describer, Provenance
from kindred.errors import KindredError, LibraryNotFound, RecipeMismatch, UsageError
from kindred.exchange.formats import format_of
from kindred.exchange.rows import ExchangeRecord, VectorRows
from kindred.library import Library, located
from kindred.library.stored import stored_features, visual_words_of
from kindred.recipe import IMPORTED, Recipe
from kindred.store import Entry, Known, Place, Run, Store

__all__ = ["ImportReport", "import_vectors"]

COMMIT_IMAGES = 256


@dataclass
class ImportReport:
    """Summary of an import: the numbers of images and vectors stored, and of images that lack something.

    without_file: there is no file at their path. without_features: the recipe stores local features but these images
    have none, since files of vectors do not contain them; spatial verification cannot use them until they are
    described.
    """

    images: int = 0
    vectors: int = 0
    without_file: int = 0
    without_features: int = 0


def import_vectors(
    library: Place | str,
    file: Path | str,
    *,
    root: Path | str | None = None,
    progress: Callable[[int], None] | None = None,
) -> ImportReport:
    """Store the vectors of a file of `FORMATS` in the library at a path or address, which is created if necessary.

    Consecutive rows with the same path are the regions of one image. If the library already has the image, its vectors
    are replaced; everything else is unchanged as long as its file is. Relative paths refer to `root`, by default the
    folder of the file. Vectors are L2-normalised. A new library gets the recipe of the export if it still describes
    images in the same way, otherwise the recipe "imported": it can be searched by vectors, but images cannot be
    described. `progress` is called with the number of images stored so far.

    Raises UsageError for an unreadable file and, with the image, for a vector that is zero or not finite;
    RecipeMismatch if the vectors of the library were made by another recipe or network.
    """
    path = Path(file)
    folder = Path(os.path.abspath(Path(root) if root is not None else path.parent))  # noqa: PTH100 - links are kept
    try:
        record, batches = format_of(path).read(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {explain_os_error(error)}") from error
    report = ImportReport()
    images = _images(batches, path)
    first = next(images, None)
    if first is None:
        raise UsageError(f"{path}: contains no vectors")
    with _library(library, path, record, first.vectors.shape[1]) as opened, opened.store.indexing():
        run = opened.store.begin_run()
        waiting: list[Entry] = []
        for image in _chained(first, images):
            entry = _entry(image, folder, path, words=opened.recipe.multi_vector)
            waiting.append(entry)
            report.images += 1
            report.vectors += len(image)
            report.without_file += entry.inode is None
            if len(waiting) == COMMIT_IMAGES:
                report.without_features += _put(waiting, opened)
                waiting = []
                if progress is not None:
                    progress(report.images)
        report.without_features += _put(waiting, opened)
        opened.renew_index()
        opened.store.finish_run(run, Run(run, "", found=report.images, indexed=report.images))
    return report


def _library(place: Place | str, file: Path, record: ExchangeRecord, dimension: int) -> Library:
    """Open or create the library; raises RecipeMismatch if its vectors are not comparable."""
    try:
        opened = Library.open(place)
    except LibraryNotFound:
        return Library.create(place, recipe=_recipe_of(record) or _imported(dimension))
    foreign = opened.recipe.backbone == IMPORTED
    own, meta = opened.store.dimension, opened.store.meta
    if (foreign or meta.get("fingerprint", "") == record.fingerprint) and own in (None, dimension):
        return opened
    opened.close()
    made = f"of {dimension} components" if own not in (None, dimension) else _made(opened.recipe, meta, record)
    width = f", of {own} components" if own else ""
    raise RecipeMismatch(
        f"{opened.place}: contains vectors of recipe {opened.recipe.name!r}{width}; {file} "
        f"contains vectors {made}; import into another library"
    )


def _made(recipe: Recipe, meta: Mapping[str, str], record: ExchangeRecord) -> str:
    """Return in which respect the vectors of a file were made differently from those of a library."""
    if not record.fingerprint:
        return "of another program"
    own, other = Provenance.from_json(meta.get("provenance", "")), Provenance.from_json(record.provenance)
    differences = [] if own is None or other is None else own.differences(other, recipe.networks)
    return f"that were made with {', '.join(differences) or 'another recipe or network'}"


def _recipe_of(record: ExchangeRecord) -> Recipe | None:
    """Return the recipe of an export if it still describes images in the same way, else None."""
    if not record.recipe:
        return None
    try:
        recipe = Recipe.from_toml(record.recipe)
        return recipe if Describer(recipe).fingerprint == record.fingerprint else None
    except KindredError:  # for example, its network is not available
        return None


def _imported(dimension: int) -> Recipe:
    return Recipe("imported", IMPORTED, dimension=dimension, description="Vectors computed elsewhere.")


def _images(batches: Iterator[VectorRows], file: Path) -> Iterator[VectorRows]:
    """Yield the rows of one image at a time, also across batches."""
    pending: list[VectorRows] = []
    for batch in batches:
        if pending and batch.vectors.shape[1] != pending[0].vectors.shape[1]:
            raise UsageError(
                f"{file}: vectors of {pending[0].vectors.shape[1]} and of {batch.vectors.shape[1]} components"
            )
        starts = [at for at in range(1, len(batch)) if batch.paths[at] != batch.paths[at - 1]]
        for low, high in zip([0, *starts], [*starts, len(batch)], strict=True):
            part = _cut(batch, slice(low, high))
            if pending and part.paths[0] != pending[0].paths[0]:
                yield _joined(pending)
                pending = []
            pending.append(part)
    if pending:
        yield _joined(pending)


def _chained(first: VectorRows, rest: Iterator[VectorRows]) -> Iterator[VectorRows]:
    yield first
    yield from rest


def _cut(rows: VectorRows, part: slice) -> VectorRows:
    return VectorRows(rows.ids[part], rows.paths[part], rows.boxes[part], rows.words[part], rows.vectors[part])


def _joined(parts: list[VectorRows]) -> VectorRows:
    if len(parts) == 1:
        return parts[0]
    return VectorRows(
        [each for part in parts for each in part.ids],
        [each for part in parts for each in part.paths],
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.words for part in parts]),
        np.concatenate([part.vectors for part in parts]),
    )


def _entry(rows: VectorRows, folder: Path, file: Path, *, words: bool) -> Entry:
    """Return one image as a store entry; raises UsageError if its vectors or its path cannot be used."""
    name = rows.paths[0]
    if not name or "\0" in name:
        raise UsageError(f"{file}: a vector has no path; expected the file name of its image")
    path = remote_path(name) or located(folder / name)
    if not np.isfinite(rows.vectors).all() or not (np.linalg.norm(rows.vectors, axis=1) > 0).all():
        raise UsageError(
            f"{file}: {name}: a vector is zero, NaN or infinite; expected finite numbers that are not all 0"
        )
    given: NDArray[np.int64] | None = rows.words if words and (rows.words >= 0).all() else None
    vectors = rows.vectors if given is not None else l2_normalise(rows.vectors)
    boxes = None if given is not None or np.isnan(rows.boxes).all() else rows.boxes
    try:
        facts = path.stat()
    except OSError:
        return Entry(path, 0, 0, vectors=vectors, boxes=boxes, words=given)
    size, time = facts.st_size, facts.st_mtime_ns
    return Entry(
        path,
        size,
        time,
        vectors=vectors,
        boxes=boxes,
        words=given,
        digest=digest_of(path),
        device=facts.st_dev,
        inode=facts.st_ino,
    )


def _put(entries: Sequence[Entry], library: Library) -> int:
    """Store images; return how many of them have no local features, although the recipe stores them."""
    complete = _with_facts(entries, library.store)
    library.store.put(complete)
    return sum(entry.features is None for entry in complete) if library.recipe.stored_features else 0


def _with_facts(entries: Sequence[Entry], store: Store) -> list[Entry]:
    """Return entries with all other stored facts of those images whose files are unchanged."""
    known = store.lookup(entry.path for entry in entries)
    same = {entry.path: known[entry.path].id for entry in entries if _is_unchanged(entry, known.get(entry.path))}
    rows = store.images(same.values())
    features = stored_features(store, rows)
    single = {entry.path for entry in entries if entry.vectors is not None and len(entry.vectors) == 1}
    words = visual_words_of(store, {number: row for number, row in rows.items() if row.path in single})
    return [
        replace(
            entry,
            width=row.width,
            height=row.height,
            taken=row.taken,
            frames=row.frames,
            frame=row.frame,
            features=features.get(row.image_id),
            visual_words=words.get(row.image_id),
        )
        if (row := rows.get(same.get(entry.path, 0)))
        else entry
        for entry in entries
    ]


def _is_unchanged(entry: Entry, known: Known | None) -> bool:
    """Return whether an image is stored, and its file is as it was then."""
    return known is not None and known.state == "indexed" and entry.digest is not None and known.digest == entry.digest
