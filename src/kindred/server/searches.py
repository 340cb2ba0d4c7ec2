"""Searches: rankings stored for a while, so that the next page of results is that of the same search."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar, cast

import numpy as np

from kindred.arrays import Vectors
from kindred.duplicates.copies import not_same_paths, without_copies
from kindred.library import Example, Hit
from kindred.library.query import DescribedQuery
from kindred.library.reranking import check_limits, steps_for
from kindred.library.results import is_answered
from kindred.library.search import limited
from kindred.ranking import Ranking
from kindred.server.forms import QueryPart, SearchRequest
from kindred.server.problems import Problem
from kindred.server.state import State
from kindred.server.uploads import Uploads
from kindred.service import HitForm, SearchForm
from kindred.store import Filter

__all__ = ["MOST_RESULTS", "Searches", "check_stored", "example_of"]

MOST_RESULTS = 10_000
"""Results of a search that can be reached by paging."""

WINDOWS, DESCRIBED = 64, 64
GROWTH = 4
"""How many times as many results are ranked when those at hand are used up."""

EVERYTHING = Filter()

V = TypeVar("V")


@dataclass(frozen=True, eq=False)
class _Window:
    """The best results of a search: hits in order, and whether there are no others.

    copies: those that were left out as copies of the query. answered: of the results with those below the limits.
    """

    hits: tuple[Hit, ...]
    ranked: int
    complete: bool
    answered: bool | None
    copies: tuple[Hit, ...] = ()


class _Latest(Generic[V]):
    """The values of the last keys used, from any thread."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._values: OrderedDict[str, V] = OrderedDict()

    def get(self, key: str) -> V | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: str, value: V) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)


class Searches:
    """The latest searches of one server, with their descriptions and rankings."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._windows: _Latest[_Window] = _Latest(WINDOWS)
        self._counted = -1, 0
        self._described: _Latest[DescribedQuery] = _Latest(DESCRIBED)

    def search(self, asked: SearchRequest) -> SearchForm:
        """Carry out a search, or return the next part of one. Raises the errors of `Library.search_examples`."""
        began = time.monotonic()
        library, end = self._state.library, asked.offset + asked.k
        where = asked.filter.filter()
        check_limits(asked.min_score, asked.min_probability, steps_for(library.recipe, _methods(asked)), library.recipe)
        key = self._key(asked)
        window = self._windows.get(key)
        while window is None or (len(window.hits) < end and not window.complete and window.ranked < MOST_RESULTS):
            window = self._widened(asked, where, window, end)
            self._windows.put(key, window)
        page = window.hits[asked.offset : end]
        goes_on = end < len(window.hits) or not (window.complete or window.ranked >= MOST_RESULTS)
        return SearchForm(
            query=tuple(part.image or part.upload or "vector" for part in asked.query),
            recipe=library.recipe.name,
            answered=window.answered,
            results=tuple(map(HitForm.of, page)),
            seconds=round(time.monotonic() - began, 4),
            total=len(window.hits) if window.complete else self._matching(where),
            next_offset=end if goes_on else None,
        )

    def _matching(self, where: Filter | None) -> int:
        """Count the images that match a filter; without one, once for each state of the vectors."""
        store = self._state.library.store
        if where is not None:
            return store.count(where)
        revision, count = self._counted
        if revision != store.vectors_revision:
            revision, count = store.vectors_revision, store.count(EVERYTHING)
            self._counted = revision, count
        return count

    def _key(self, asked: SearchRequest) -> str:
        """Return what a search depends on: all that is asked but the page, and the state of the library."""
        rest = asked.model_copy(update={"k": 1, "offset": 0}).model_dump_json()
        return f"{self._state.library.store.revision} {rest}"

    def _widened(self, asked: SearchRequest, where: Filter | None, before: _Window | None, end: int) -> _Window:
        """Return a window with at least `end` results if there are, that begins with those of the one before."""
        spare = 20 if asked.no_copies else 0
        count = end + spare if before is None else max(end, GROWTH * before.ranked)
        count = min(count, MOST_RESULTS)
        # Regions that are searched by default add probable results, which the first window has.
        regions = False if before is not None and asked.regions is None else asked.regions
        ranking = self._ranked(asked, where, count, regions=regions)
        found = self._state.library.results_of(ranking)
        hits = limited(found, asked.min_score, asked.min_probability).hits
        complete = int((ranking.ids[0] >= 0).sum()) < count or len(hits) < len(found.hits)
        copies: tuple[Hit, ...] = ()
        if asked.no_copies:
            paths = [self._path_of(part) for part in asked.query if part.vector is None]
            queries, apart = [path for path in paths if path is not None], not_same_paths(self._state.library)
            hits, copies = (tuple(hits[at] for at in places) for places in without_copies(hits, queries, apart=apart))
        if before is not None:
            known = {hit.id for hit in before.hits}
            hits = (*before.hits, *(hit for hit in hits if hit.id not in known))
        ranked = tuple(replace(hit, rank=rank) for rank, hit in enumerate(hits, 1))
        answered = is_answered(ranked, copies)
        return _Window(ranked, count, complete, found.answered if answered is None else answered, copies)

    def _ranked(self, asked: SearchRequest, where: Filter | None, count: int, *, regions: bool | None) -> Ranking:
        library, methods = self._state.library, _methods(asked)
        check_stored(self._state, [*(part.image for part in asked.query if part.image), *asked.right, *asked.wrong])
        return library.rank_examples(
            [self._query_of(part, methods) for part in asked.query],
            [part.weight for part in asked.query],
            right=asked.right,
            wrong=asked.wrong,
            k=count,
            where=where,
            rerank=methods,
            depth=asked.depth,
            regions=regions,
        )

    def _query_of(self, part: QueryPart, methods: Sequence[str] | str | None) -> DescribedQuery:
        """Return a described example, described at most once."""
        example = example_of(self._state, part)
        name = part.model_copy(update={"weight": 1.0}).model_dump_json()
        key = f"{self._state.library.store.vectors_revision} {methods} {name}"
        described = self._described.get(key)
        if described is None:
            described = self._state.library.describe_example(example, rerank=methods)
            self._described.put(key, described)
        return described

    def _path_of(self, part: QueryPart) -> Path | None:
        if part.upload is not None:
            return self._state.part(Uploads).get(part.upload).path
        row = self._state.library.store.by_uid([part.image or ""]).get(part.image or "")
        return None if row is None else row.path


def check_stored(here: State, ids: Sequence[str]) -> None:
    """Raise a problem 404 that names the first of some ids that is not that of an image of the library."""
    stored = here.library.store.by_uid(list(ids)) if ids else {}
    for uid in ids:
        if uid not in stored:
            hint = "it was removed meanwhile; search without it"
            raise Problem(404, f"the library has no image {uid}", hint=hint, error="UsageError")


def _methods(asked: SearchRequest) -> list[str] | str | None:
    """Return the re-rankers: none by default if an example is not wanted, as in `Library.search_examples`."""
    methods = asked.methods()
    return "none" if methods is None and any(part.weight < 0 for part in asked.query) else methods


def example_of(here: State, part: QueryPart) -> Example:
    """Return an example of a request. Raises UsageError, or a problem 404 for an upload that is no longer stored."""
    query: Path | str | Vectors
    if part.upload is not None:
        query = here.part(Uploads).get(part.upload).path
    elif part.vector is not None:
        with np.errstate(over="ignore"):  # infinite numbers are refused by the search
            query = cast(Vectors, np.array(part.vector, np.float32))
    else:
        query = part.image or ""
    return Example(query, part.weight, part.box)
