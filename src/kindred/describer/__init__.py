"""Compute the descriptors of images as a recipe specifies.

    image → views → feature maps → rows → vectors
            (views)  (network)    (pooled) (encoder)

This package combines image decoding, passes, backbone, pooling, embedding, fusion and whitening.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kindred._support.late import imported_late
from kindred.describer.describer import Describer, DescriberOptions
from kindred.describer.description import Description, RawFeatures
from kindred.describer.encoder import AGGREGATES, FittedParameters
from kindred.describer.executor import Executor, LocalExecutor, executor_of
from kindred.describer.fitted import fit_record, load_calibration, load_fitted, save_fitted, write_recipe
from kindred.describer.provenance import Provenance
from kindred.describer.views import PASSES

if TYPE_CHECKING:
    from kindred.describer.adaptation import Adapted, LabelledSet, fit_labels
    from kindred.describer.fit import (
        Fitted,
        fit_code,
        fit_codebook,
        fit_pair_whitening,
        fit_recipe,
        fit_whitening,
        fit_words,
    )

__all__ = [
    "AGGREGATES",
    "PASSES",
    "Adapted",
    "Describer",
    "DescriberOptions",
    "Description",
    "Executor",
    "Fitted",
    "FittedParameters",
    "LabelledSet",
    "LocalExecutor",
    "Provenance",
    "RawFeatures",
    "executor_of",
    "fit_code",
    "fit_codebook",
    "fit_labels",
    "fit_pair_whitening",
    "fit_recipe",
    "fit_record",
    "fit_whitening",
    "fit_words",
    "load_calibration",
    "load_fitted",
    "save_fitted",
    "write_recipe",
]

__getattr__ = imported_late(
    __name__,
    {
        "fit": "Fitted, fit_code, fit_codebook, fit_pair_whitening, fit_recipe, fit_whitening, fit_words",
        "adaptation": "Adapted, LabelledSet, fit_labels",
    },
)
