"""Calibration: scores that are probabilities, fitted on images with ground truth, and how well they are calibrated."""

from kindred.calibration.evidence import Evidence, Labelled, copies_of
from kindred.calibration.fit import Fold, check_optimizer, cross_validate, first_results, fit_calibration
from kindred.calibration.model import LINE, Calibration, probabilities_of
from kindred.calibration.reliability import Reliability, ReliabilityBin, reliability

__all__ = [
    "LINE",
    "Calibration",
    "Evidence",
    "Fold",
    "Labelled",
    "Reliability",
    "ReliabilityBin",
    "check_optimizer",
    "copies_of",
    "cross_validate",
    "first_results",
    "fit_calibration",
    "probabilities_of",
    "reliability",
]
