"""The verbs of a client that change a library, or find what is to be changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from kindred.client.naming import MOST_IDS, Naming
from kindred.client.sending import as_json_value, image_bytes
from kindred.errors import KindredError, ServerError, UsageError
from kindred.library.editing import Images
from kindred.library.editing import listed as listed_words
from kindred.library.indexing import IndexReport
from kindred.library.paths import listed_paths
from kindred.service import LibraryForm, SavedForm, SavedSearchForm
from kindred.service.additions import AdditionsForm
from kindred.service.form import json_text
from kindred.service.jobs import JobForm
from kindred.service.reading import read_form
from kindred.service.review import ReviewForm, ReviewGroupForm
from kindred.store import SavedSearch, Value

__all__ = ["Changing"]

POLL = 0.2
"""Seconds between two looks at a job."""


class Changing(Naming):
    """The methods of a client that change a library, with the arguments of those of `Library`."""

    def info(self) -> LibraryForm:
        """Return facts about the library, under the names of `Library.info` where these have them."""
        return read_form(LibraryForm, self.connection.get("/library"))

    def add(self, images: Path | str | Iterable[Path | str], *, tags: str | Iterable[str] = ()) -> IndexReport:
        """Send image files to the library, which stores them and describes them; give them one or several `tags`.

        An image that the library has is not stored again.
        """
        report, began, words = IndexReport(), time.monotonic(), listed_words(tags)
        for path in listed_paths(images):
            content = image_bytes(path)
            form = read_form(
                AdditionsForm, self.connection.send("/images", content, {"name": Path(path).name, "tag": words})
            )
            report.found += 1
            report.indexed += form.counts["added"]
            report.unchanged += form.counts["present"]
            report.skipped += [(Path(path), file.reason or "") for file in form.files if file.status == "refused"]
        report.seconds = time.monotonic() - began
        return report

    def index(
        self,
        folders: Path | str | Iterable[Path | str] | None = None,
        *,
        prune: Literal["keep", "gone"] = "keep",
        progress: Callable[[JobForm], None] | None = None,
    ) -> JobForm:
        """Update the library from folders of the server, all that it allows or those given; return the job at its end.

        `progress` is called with the job from time to time. Raises `UsageError` for a folder that the server does not
        allow to be indexed (`kindred serve --folder DIR`).
        """
        allowed = {folder.path: folder.id for folder in self.info().folders}
        wanted = [None] if folders is None else [self._folder(each, allowed) for each in listed_paths(folders)]
        done: JobForm | None = None
        for folder in wanted:
            done = self._job(self.connection.post("/jobs/index", {"folder": folder, "prune": prune}), progress)
        if done is None:
            raise UsageError("index: got no folder; give one, or None for all")
        return done

    def remove(self, images: Images) -> int:
        """Remove images, with tags and metadata, from the library, not from the disk; return their number."""
        return self._counted("/images/remove", images, {}, "removed")

    def tag(self, images: Images, tag: str | Iterable[str]) -> int:
        """Add one or several tags to images; return how many of them are in the library."""
        return self._counted("/images/tags", images, {"add": listed_words(tag)}, "tagged")

    def untag(self, images: Images, tag: str | Iterable[str]) -> int:
        """Remove one or several tags from images; return how many images had the most frequent of them."""
        words = listed_words(tag)
        return self._counted("/images/tags", images, {"remove": words}, "untagged") if words else 0

    def rename_tag(self, tag: str, to: str | None) -> int:
        """Rename a tag on all its images, or remove it with None; return how many images had it."""
        if to is None:
            return _number(self.connection.post("/tags/remove", {"tag": tag}), "untagged")
        return _number(self.connection.post("/tags/rename", {"tag": tag, "to": to}), "tagged")

    def set_metadata(self, images: Images, values: Mapping[str, Value]) -> int:
        """Set metadata of images; other keys are unchanged. Return how many of the images are in the library."""
        sent = {key: as_json_value(value) for key, value in values.items()}
        return self._counted("/images/metadata", images, {"set": sent}, "changed")

    def unset_metadata(self, images: Images, keys: str | Iterable[str]) -> int:
        """Remove keys from the metadata of images; return how many images had one of them."""
        words = listed_words(keys)
        return self._counted("/images/metadata", images, {"unset": words}, "changed") if words else 0

    def find_duplicates(
        self,
        *,
        kinds: str | Sequence[str] = (),
        threshold: float | None = None,
        progress: Callable[[JobForm], None] | None = None,
    ) -> list[ReviewGroupForm]:
        """Search the library for groups of identical or similar images, as `kindred.find_duplicates` does."""
        self._job(self.connection.post("/duplicates", {"threshold": threshold}), progress)
        groups: list[ReviewGroupForm] = []
        after: int | None = 0
        while after is not None:
            asked = {"kinds": listed_words(kinds), "threshold": threshold, "after": after, "limit": 500}
            page = read_form(ReviewForm, self.connection.get("/duplicates", asked))
            groups += page.groups
            after = page.next
        return groups

    def mark_not_same(self, images: Images, others: Images | None = None) -> int:
        """Remember that images are not the same: no two of them are in one group again; return the number of pairs."""
        return _number(self.connection.post("/duplicates/not-same", self._pairs(images, others)), "marked")

    def unmark_not_same(self, images: Images, others: Images | None = None) -> int:
        """Forget that images are not the same; return the number of pairs."""
        return _number(self.connection.delete("/duplicates/not-same", self._pairs(images, others)), "unmarked")

    def saved_searches(self) -> list[SavedSearch]:
        """Return the saved searches, ordered by name."""
        return [_saved(each) for each in read_form(SavedForm, self.connection.get("/saved")).saved]

    def save_search(self, name: str, search: Mapping[str, object]) -> SavedSearch:
        """Save a search by name, in place of one of the same name, which then keeps its id."""
        sent = {"name": name, "search": dict(search)}
        return _saved(read_form(SavedSearchForm, self.connection.post("/saved", sent)))

    def remove_search(self, uid: str) -> bool:
        """Remove a saved search by id; return whether there was one."""
        if not any(each.id == uid for each in self.saved_searches()):
            return False
        self.connection.delete(f"/saved/{uid}")
        return True

    def _counted(self, path: str, images: Images, body: Mapping[str, object], verb: str) -> int:
        """Send a change of images, in parts, and return the sum of what was changed."""
        ids = list(dict.fromkeys(uid for uid in self._ids(images) if uid is not None))
        parts = [ids[start : start + MOST_IDS] for start in range(0, len(ids), MOST_IDS)]
        return sum(_number(self.connection.post(path, {"ids": part, **body}), verb) for part in parts)

    def _pairs(self, images: Images, others: Images | None) -> dict[str, object]:
        body: dict[str, object] = {"ids": [self._id(each) for each in listed_paths(images)]}
        if others is not None:
            body["others"] = [self._id(each) for each in listed_paths(others)]
        return body

    def _folder(self, folder: Path | str, allowed: Mapping[Path, str]) -> str:
        if Path(folder) not in allowed:
            names = ", ".join(map(str, allowed)) or "none"
            raise UsageError(f"index: the server does not allow {folder}; it allows {names} (kindred serve --folder)")
        return allowed[Path(folder)]

    def _job(self, started: object, progress: Callable[[JobForm], None] | None) -> JobForm:
        """Wait for the end of a job. Raises the error with which it failed."""
        job = read_form(JobForm, started)
        while job.state == "running":
            if progress is not None:
                progress(job)
            time.sleep(POLL)
            job = read_form(JobForm, self.connection.get(f"/jobs/{job.id}"))
        if job.state in ("failed", "interrupted"):
            raise _failed(job)
        return job


def _failed(job: JobForm) -> KindredError:
    problem = job.problem or {}
    return ServerError(f"{job.title}: {job.state} ({problem.get('detail', 'the server has the details in its log')})")


def _saved(form: SavedSearchForm) -> SavedSearch:
    return SavedSearch(form.id, form.name, json_text(form.search), form.saved_at)


def _number(found: object, verb: str) -> int:
    number = found.get(verb) if isinstance(found, dict) else None
    if not isinstance(number, int):
        raise ServerError(f"the answer of the server has no number {verb!r}; it is of another version")
    return number
