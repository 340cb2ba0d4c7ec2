"""Local features: what spatial verification matches, point by point."""

from kindred.features.conv import conv
from kindred.features.local import ConvMap, Frame, LocalFeatures
from kindred.features.sift import sift
from kindred.features.storage import from_bytes, to_bytes
from kindred.features.table import FEATURES, Features

__all__ = ["FEATURES", "ConvMap", "Features", "Frame", "LocalFeatures", "conv", "from_bytes", "sift", "to_bytes"]
