"""The forms of listings of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from kindred.service.form import Form
from kindred.service.library import ImageForm

if TYPE_CHECKING:
    from kindred.library import ImagePage, Layout

__all__ = ["ImagePageForm", "LayoutForm", "LookupForm"]


@dataclass(frozen=True)
class LookupForm(Form):
    """Ids of images in the order of what was asked for; null for what is no image of the library."""

    ids: tuple[str | None, ...]


@dataclass(frozen=True)
class ImagePageForm(Form):
    """A part of a listing of images; `next` is given as `after` for the part that follows, null at the end."""

    images: tuple[ImageForm, ...]
    total: int
    next: str | None

    @classmethod
    def of(cls, page: ImagePage) -> Self:
        """Return the form of a part of a listing."""
        return cls(tuple(map(ImageForm.of, page.images)), page.total, page.next)


@dataclass(frozen=True)
class LayoutForm(Form):
    """Ids of images and the ratio of their width to their height, 1 if unknown; `next` as in a page of images."""

    ids: tuple[str, ...]
    aspect: tuple[float, ...]
    total: int
    next: str | None

    @classmethod
    def of(cls, layout: Layout) -> Self:
        """Return the form of a layout."""
        width, height = layout.sizes.T.astype(np.float64)
        known = (width > 0) & (height > 0)
        aspect = np.where(known, width / np.maximum(height, 1), 1.0).round(4)
        return cls(layout.ids, tuple(aspect.tolist()), layout.total, layout.next)
