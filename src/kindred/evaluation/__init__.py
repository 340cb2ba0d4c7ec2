"""Evaluation: the quality and the cost of recipes, on images with ground truth.

`evaluate` measures one recipe, `compare` several; `read_dataset` reads the published data sets. `score` takes rankings
from any source; the module `metrics` has every metric as a function.
"""

from kindred.evaluation.calibrating import Calibrated, calibrate
from kindred.evaluation.compare import compare
from kindred.evaluation.datasets import DATASETS, Dataset, read_dataset
from kindred.evaluation.evaluate import evaluate
from kindred.evaluation.groundtruth import GroundTruth, Judgement, Query, read_groundtruth
from kindred.evaluation.plot import plot_costs
from kindred.evaluation.plot_reliability import plot_reliability
from kindred.evaluation.result import Evaluation
from kindred.evaluation.scoring import METRICS, score

__all__ = [
    "DATASETS",
    "METRICS",
    "Calibrated",
    "Dataset",
    "Evaluation",
    "GroundTruth",
    "Judgement",
    "Query",
    "calibrate",
    "compare",
    "evaluate",
    "plot_costs",
    "plot_reliability",
    "read_dataset",
    "read_groundtruth",
    "score",
]
