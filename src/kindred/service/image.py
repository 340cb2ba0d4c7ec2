"""What the forms of an image, and of an image found, have in common."""

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
    """What is known of an image; sizes are in pixels of the upright original.

    `id` stays when the image is moved or described again; `missing` says that its file is not there.
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
        """Return the form of an image, with the fields that this kind of form has of its own."""
        shared: dict[str, Any] = {field.name: getattr(image, field.name) for field in fields(ImageFacts)}
        return cls(**shared, **own)
