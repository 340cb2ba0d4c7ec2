"""Describing: a recipe made ready. Images go in, vectors come out.

    image → views → network → rows → head → vectors
            (views)  (network) (pooled)  (head)

The one place where images, passes, backbone, pooling, embedding, fusion and whitening meet.
"""

from kindred.describer.answers import Described, Seen
from kindred.describer.describer import Describer, ImageLike, matching_of
from kindred.describer.fit import Fitted, fit_code, fit_codebook, fit_pair_whitening, fit_recipe, fit_whitening
from kindred.describer.head import AGGREGATES, Lessons
from kindred.describer.learned import learned_for, load_lessons, save_learned, write_recipe
from kindred.describer.views import PASSES

__all__ = [
    "AGGREGATES",
    "PASSES",
    "Described",
    "Describer",
    "Fitted",
    "ImageLike",
    "Lessons",
    "Seen",
    "fit_code",
    "fit_codebook",
    "fit_pair_whitening",
    "fit_recipe",
    "fit_whitening",
    "learned_for",
    "load_lessons",
    "matching_of",
    "save_learned",
    "write_recipe",
]
