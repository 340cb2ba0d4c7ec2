"""Whitening: centre, rotate, scale and L2-normalise vectors, with parameters fitted on other images.

Whitening removes what all images have in common and equalises the variance of the directions in which they differ.
Fit it on images *other* than those to be searched; otherwise evaluation results are too good. `PCAWhitening` needs
vectors only; `LearnedWhitening` needs matching pairs, and reduces the variance within them. Both are a `Whitening`,
and `from_arrays` reads either. `power_law` reduces large components and needs no fitting.
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
    """Restore a whitening of any kind from the arrays of `to_arrays`; raises ModelError for invalid arrays."""
    kind = kind_of(arrays)
    if kind == PCAWhitening.KIND:
        return PCAWhitening.from_arrays(arrays)
    if kind == LearnedWhitening.KIND:
        return LearnedWhitening.from_arrays(arrays)
    raise ModelError(f"whitening: got kind {kind!r}; expected 'pca' or 'learned'")
