"""Trainable aggregation: maps of a backbone (B, C, H, W) to unit vectors (B, D), trained together with it.

The mathematics is that of `kindred.pooling`, `kindred.embedding` and `kindred.whitening`, so that a trained aggregation
is exported as a recipe and needs no PyTorch. `AGGREGATIONS` is the table of them, `build_aggregation` builds one by its
name. Before training, `initialise` fits codebooks and whitenings on maps of the training images.
"""

from __future__ import annotations

from kindred.training.aggregation.base import Aggregation
from kindred.training.aggregation.exponent import Exponent
from kindred.training.aggregation.netvlad import NetVLAD
from kindred.training.aggregation.pooled import GeM, Pooled
from kindred.training.aggregation.regional import RMAC, RegionalGeM
from kindred.training.aggregation.table import AGGREGATIONS, AggregationEntry, build_aggregation
from kindred.training.aggregation.whitening import WhiteningLayer

__all__ = [
    "AGGREGATIONS",
    "RMAC",
    "Aggregation",
    "AggregationEntry",
    "Exponent",
    "GeM",
    "NetVLAD",
    "Pooled",
    "RegionalGeM",
    "WhiteningLayer",
    "build_aggregation",
]
