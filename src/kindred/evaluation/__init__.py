"""Evaluation: how good a recipe is, on images with ground truth.

`evaluate` does it all; `score` takes rankings from anywhere; the module `metrics` has every metric alone.
"""

from kindred.evaluation.evaluate import METRICS, Evaluation, evaluate, score
from kindred.evaluation.groundtruth import GroundTruth, Judgement, Query, read_groundtruth

__all__ = [
    "METRICS",
    "Evaluation",
    "GroundTruth",
    "Judgement",
    "Query",
    "evaluate",
    "read_groundtruth",
    "score",
]
