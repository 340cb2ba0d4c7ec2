"""The common fields of the forms of an image and of a search result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from kindred.service.form import Form

if TYPE_CHECKING:
    from kindred.library import Hit, ImageRecord
    from kindred.store import Value

__all__ = ["ImageFacts"]


@dataclass(frozen=True, kw_only=True)
class ImageFacts(Form):
    """The facts about an image; sizes are in pixels of the upright original.

    `id` is unchanged when the image is moved or described again; `missing`: whether its file does not exist.
    """

    id: str
    path: Path
    width: int | None
    height: int | None
    taken: str | None
    tags: tuple[str, ...]
    metadata: Mapping[str, Value]
    missing: bool

    @classmethod
    def _of(cls, image: Hit | ImageRecord, **own: Any) -> Self:
        """Return the form of an image, with the further fields of this kind of form."""
        shared: dict[str, Any] = {field.name: getattr(image, field.name) for field in fields(ImageFacts)}
        return cls(**shared, **own)
