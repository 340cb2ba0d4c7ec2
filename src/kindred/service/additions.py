"""The forms of images that were added by upload, of removals, and of what undoes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from kindred.service.form import Form

__all__ = ["AddedForm", "Addition", "AdditionsForm"]

Addition = Literal["added", "present", "refused"]


@dataclass(frozen=True)
class AddedForm(Form):
    """One uploaded file: added, present already, or refused with a reason. `id`: of the image."""

    name: str
    status: Addition
    id: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class AdditionsForm(Form):
    """The files of an upload, in order, and how many of each status there are."""

    files: tuple[AddedForm, ...]
    counts: Mapping[Addition, int]

    @classmethod
    def of(cls, files: Sequence[AddedForm]) -> Self:
        """Return the form of files."""
        statuses: tuple[Addition, ...] = ("added", "present", "refused")
        counts = {status: sum(file.status == status for file in files) for status in statuses}
        return cls(tuple(files), counts)
