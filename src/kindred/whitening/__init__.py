"""Whitening: fit on vectors of other images, then rotate, scale and normalise.

Whitening takes away what all images have in common and evens out the directions in which they differ. It is
learned on images that are *not* those to be searched, or the results of an evaluation are too good.
`PCAWhitening` needs only vectors; `LearnedWhitening` needs pairs that match, and evens out what differs within
them. Both are a `Whitening`, and `from_arrays` reads either. `power_law` damps large components, unlearned.
"""

from __future__ import annotations

from kindred._support.npz import ArrayMap
from kindred.errors import ModelError
from kindred.whitening.base import Whitening, kind_of
from kindred.whitening.learned import LearnedWhitening
from kindred.whitening.moments import BLOCK
from kindred.whitening.pca import PCAWhitening
from kindred.whitening.power import power_law

__all__ = ["BLOCK", "LearnedWhitening", "PCAWhitening", "Whitening", "from_arrays", "power_law"]


def from_arrays(arrays: ArrayMap) -> PCAWhitening | LearnedWhitening:
    """Take back what any whitening's `to_arrays` returned; raises ModelError for anything else."""
    kind = kind_of(arrays)
    if kind == PCAWhitening.KIND:
        return PCAWhitening.from_arrays(arrays)
    if kind == LearnedWhitening.KIND:
        return LearnedWhitening.from_arrays(arrays)
    raise ModelError(f"whitening: got one of kind {kind!r}; expected 'pca' or 'learned'")
