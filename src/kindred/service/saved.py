"""The forms of saved searches."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from kindred.service.form import Form

if TYPE_CHECKING:
    from kindred.store import SavedSearch

__all__ = ["SavedForm", "SavedSearchForm"]


@dataclass(frozen=True)
class SavedSearchForm(Form):
    """A saved search. saved_at: UTC, ISO."""

    id: str
    name: str
    search: Mapping[str, object]
    saved_at: str

    @classmethod
    def of(cls, saved: SavedSearch) -> Self:
        """Return the form of a saved search; one that is no JSON object counts as empty."""
        try:
            search = json.loads(saved.search)
        except (ValueError, RecursionError):
            search = {}
        return cls(saved.id, saved.name, search if isinstance(search, dict) else {}, saved.saved_at)


@dataclass(frozen=True)
class SavedForm(Form):
    """All saved searches, by name."""

    saved: tuple[SavedSearchForm, ...]

    @classmethod
    def of(cls, saved: Sequence[SavedSearch]) -> Self:
        """Return the form of saved searches."""
        return cls(tuple(map(SavedSearchForm.of, saved)))
