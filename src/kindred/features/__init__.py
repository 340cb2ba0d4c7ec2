"""Local features, for spatial verification."""

from kindred.features.conv import conv
from kindred.features.local import NO_FEATURES, ConvMap, LocalFeatures
from kindred.features.matcher import LearnedMatcher, Matcher, Pairs
from kindred.features.network import LocalNetwork
from kindred.features.sift import sift
from kindred.features.storage import from_bytes, to_bytes
from kindred.features.table import (
    FEATURES,
    Features,
    find_features,
    find_matcher,
    identity_of,
    matcher_identity_of,
    stored_bits,
)

__all__ = [
    "FEATURES",
    "NO_FEATURES",
    "ConvMap",
    "Features",
    "LearnedMatcher",
    "LocalFeatures",
    "LocalNetwork",
    "Matcher",
    "Pairs",
    "conv",
    "find_features",
    "find_matcher",
    "from_bytes",
    "identity_of",
    "matcher_identity_of",
    "sift",
    "stored_bits",
    "to_bytes",
]
