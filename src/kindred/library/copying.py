"""Copying a library to another place without describing an image again: to a server, or back into a folder.

Images keep their ids, tags, metadata and marks. A copy that was interrupted goes on where it stopped, and copying again
brings it up to date: the copy records which library it is a copy of, and up to which revision.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from kindred.errors import LibraryError, LibraryNotFound
from kindred.library.opening import PROVENANCE, recipe_of
from kindred.library.places import create_at, folder_of, located_place, open_store
from kindred.library.stored import facts_of, rows_of_each, stored_features, visual_words_of
from kindred.recipe import Recipe
from kindred.store import Entry, FileStamp, Filter, Known, PostgresUrl, Row, Store

__all__ = ["CopyReport", "copy_library"]

BATCH = 256
"""Images per transaction."""
ORIGIN, REVISION = "copied_from", "copied_revision"


@dataclass
class CopyReport:
    """Summary of a copy: images that were copied, those that were up to date, and those removed from the copy.

    skipped: files that could not be used, whose reasons are in the copy as well; they count as none of the others.
    """

    copied: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: int = 0


def copy_library(
    source: Path | str | PostgresUrl,
    target: Path | str | PostgresUrl,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> CopyReport:
    """Copy a library to another place, which has no library yet, or an earlier copy of the same one.

    progress: called with the number of images done and their total. Raises LibraryError if the target has another
    library, and as `Library.open` does.
    """
    place, other = located_place(source), located_place(target)
    if place == other:
        raise LibraryError(f"{place}: is both the library and its copy; choose another place for the copy")
    old = open_store(place)
    try:
        recipe = recipe_of(old, place, folder_of(place, old))
        new = _opened(other, recipe, old)
        try:
            return _Copy(old, new, words=bool(recipe.words)).run(progress or _silent)
        finally:
            new.close()
    finally:
        old.close()


def _opened(place: Path | PostgresUrl, recipe: Recipe, old: Store) -> Store:
    """Open the copy, or create it with the recipe of the library."""
    facts = old.meta
    try:
        new = open_store(place)
    except LibraryNotFound:
        kept = {key: facts.get(key, "") for key in ("fingerprint", PROVENANCE)}
        new, _ = create_at(place, recipe, lambda named: {"recipe": named.to_toml(), **kept, ORIGIN: facts["uuid"]})
        return new
    if new.meta.get(ORIGIN) != facts["uuid"]:
        new.close()
        raise LibraryError(f"{place}: has a library that is not a copy of this one; choose another place")
    return new


class _Copy:
    """One run of copying from `old` to `new`. words: whether images have visual words of local features."""

    def __init__(self, old: Store, new: Store, *, words: bool) -> None:
        self.old, self.new, self.words = old, new, words
        self.report = CopyReport()

    def run(self, progress: Callable[[int, int], None]) -> CopyReport:
        """Copy everything; the revision is recorded before the first image, so that nothing after it is missed."""
        began, since = self.old.revision, self.new.meta.get(REVISION)
        changed = set[int]() if since is None else set(self.old.changed_since(int(since)).tolist())
        if since is None:
            self.new.set_meta(REVISION, str(began))
        numbers = self.old.select_images(Filter())
        for start in range(0, len(numbers), BATCH):
            with self.new.writing():
                self.copy_images(numbers[start : start + BATCH].tolist(), changed)
            progress(min(start + BATCH, len(numbers)), len(numbers))
        self.copy_rest()
        self.new.set_meta(REVISION, str(began))
        return self.report

    def copy_images(self, numbers: Sequence[int], changed: set[int]) -> None:
        """Copy a batch of images; those that are there and unchanged only get their paths, tags and metadata."""
        rows = self.old.images(numbers)
        known = facts_of(self.old, rows)
        there = self.new.by_uid([row.uid for row in rows.values()])
        self.make_way(rows)
        self.restamp(rows, known, there)
        states = self.new.lookup(row.path for row in there.values())
        full = [
            number
            for number, row in rows.items()
            if row.uid not in there or number in changed or not _is_same(known[number], states.get(there[row.uid].path))
        ]
        if full:
            self.new.put(list(self.entries({number: rows[number] for number in full}, known)))
            self.new.give_ids({rows[number].path: rows[number].uid for number in full})
        self.copy_marks(rows)
        skipped = {number for number in rows if known[number].state == "skipped"}
        self.report.copied += len(set(full) - skipped)
        self.report.unchanged += len(rows.keys() - set(full) - skipped)
        self.report.skipped += len(skipped)

    def make_way(self, rows: dict[int, Row]) -> None:
        """Remove images from the copy whose paths belong to other images now; they are copied again if they moved."""
        wanted = {row.path: row.uid for row in rows.values()}
        found = self.new.lookup(wanted)
        self.new.forget([known.uid for path, known in found.items() if known.uid != wanted[path]])

    def restamp(self, rows: dict[int, Row], known: dict[int, Known], there: dict[str, Row]) -> None:
        """Give images that are there their current paths, sizes and times."""
        stamps = []
        for number, row in rows.items():
            if row.uid in there:
                facts = known[number]
                own = (facts.digest, facts.device, facts.inode, facts.volume)
                stamps.append(FileStamp(there[row.uid].image_id, row.path, facts.size, facts.mtime_ns, *own))
                there[row.uid] = replace(there[row.uid], path=row.path)
        if stamps:
            self.new.restamp(stamps)

    def entries(self, rows: dict[int, Row], known: dict[int, Known]) -> Iterator[Entry]:
        """Yield images with everything that describes them."""
        parts = dict(rows_of_each(self.old, np.array(list(rows), np.int64)))
        features = stored_features(self.old, {number: rows[number] for number in parts if number in rows})
        visual = visual_words_of(self.old, rows) if self.words else {}
        reasons = {skip.path: skip for skip in self.old.skipped()} if len(parts) < len(rows) else {}
        for number, row in rows.items():
            own, skip, facts = parts.get(number), reasons.get(row.path), known[number]
            boxes = None if own is None or own.boxes is None or np.isnan(own.boxes).all() else own.boxes
            yield Entry(
                row.path,
                facts.size,
                facts.mtime_ns,
                row.width,
                row.height,
                row.taken,
                vectors=None if own is None else np.asarray(own.rows, np.float32),
                boxes=boxes,
                reason=None if own is not None else "unknown" if skip is None else skip.reason,
                words=None if own is None else own.words,
                features=features.get(number),
                final=facts.final,
                digest=facts.digest,
                device=facts.device,
                inode=facts.inode,
                volume=facts.volume,
                frames=row.frames,
                frame=row.frame,
                visual_words=visual.get(number),
            )

    def copy_marks(self, rows: dict[int, Row]) -> None:
        """Give images of the copy exactly the tags and metadata that they have here."""
        there = self.new.by_uid([row.uid for row in rows.values()])
        tags: dict[str, list[str]] = {}
        for row in rows.values():
            own = there[row.uid]
            for tag in set(row.tags) - set(own.tags):
                tags.setdefault(tag, []).append(row.uid)
            for tag in set(own.tags) - set(row.tags):
                self.new.untag([row.uid], tag)
            if gone := set(own.metadata) - set(row.metadata):
                self.new.unset_metadata([row.uid], gone)
        for tag, uids in tags.items():
            self.new.tag(uids, tag)
        unlike = [row for row in rows.values() if row.metadata and dict(row.metadata) != dict(there[row.uid].metadata)]
        for _, same in groupby(sorted(unlike, key=_facts), key=_facts):
            group = list(same)
            self.new.set_metadata([row.uid for row in group], group[0].metadata)

    def copy_rest(self) -> None:
        """Remove what is gone, and copy folders, marks of pairs and saved searches."""
        old, new = self.old, self.new
        wanted = set(old.outlines(Filter()).uids) | {known.uid for known in self._skipped()}
        theirs = new.images(new.select_images(Filter()).tolist())
        gone = [row.uid for row in theirs.values() if row.uid not in wanted]
        self.report.removed = len(set(gone).intersection(new.outlines(Filter()).uids)) if gone else 0
        with new.writing():
            new.forget(gone)
            for root in old.roots():
                new.set_root(root)
            pairs = old.not_same()
            uids = {row.image_id: row.uid for row in old.images(np.unique(pairs).tolist()).values()}
            new.set_not_same([(uids[one], uids[two]) for one, two in pairs.tolist()])
            for saved in old.saved_searches():
                new.save_search(saved.name, json.loads(saved.search))

    def _skipped(self) -> Iterator[Known]:
        yield from self.old.lookup([skip.path for skip in self.old.skipped()]).values()


def _is_same(one: Known, other: Known | None) -> bool:
    """Return whether an image of the copy was made from the same file, in the same state."""
    return other is not None and (one.digest, one.state, one.final) == (other.digest, other.state, other.final)


def _facts(row: Row) -> str:
    return repr(sorted(row.metadata.items()))


def _silent(done: int, total: int) -> None:
    """Report no progress."""
