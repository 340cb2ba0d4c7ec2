"""`FEATURES`, the table of local features: the values of a recipe's `features`.

On the DVD covers of Stanford Mobile Visual Search, 150 keypoints of a reference image and 500 of a query identify all
200 photos among the 100 references, by SIFT (8 kB) as by `kin` (3 kB). On the 200 places of Gardens Point, seen twice,
SIFT verifies 54 % of the right pairs and `kin` 90 %, neither any of 800 wrong ones (`benchmarks/local_features.py`).
Positions of a feature map identify at most three photos of covers in four, because they are not invariant to rotation
and scale (`benchmarks/verification.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from kindred.backbones import Card, load_card
from kindred.errors import ModelError
from kindred.features.conv import conv
from kindred.features.local import LocalFeatures
from kindred.features.matcher import LearnedMatcher
from kindred.features.network import find_local, local_head
from kindred.features.sift import sift

__all__ = ["FEATURES", "Features", "find_features", "find_matcher", "identity_of", "matcher_identity_of", "stored_bits"]


@dataclass(frozen=True)
class Features:
    """One entry of FEATURES.

    function: detects and describes them, with the options `count` and others by name. summary: what they are, in a
    few words. source: author and year. needs: whether the function takes an "image" (H, W, 3) uint8 RGB, with points
    in pixels of that image, the "map" of an image (a `ConvMap`), or the image and a "network" with a local head, whose
    maps may come from the pass that describes the image. indexed, query: the options for images of a library and for
    queries, which are not stored and may have more features. bits: those in which each component of a stored
    descriptor is stored, 1 to 8 (`kindred.features.storage`).
    """

    function: Callable[..., LocalFeatures]
    summary: str
    source: str
    needs: Literal["image", "map", "network"]
    indexed: Mapping[str, int] = field(default_factory=dict)
    query: Mapping[str, int] = field(default_factory=dict)
    bits: int = 8


LOCAL_HEAD = Features(
    find_local,
    "keypoints and descriptors from the local head of a network, in the pass that describes the image",
    "DeTone et al. 2018; Zhao et al. 2023",
    "network",
    indexed={"count": 150, "longest": 320},
    query={"count": 500, "longest": 480, "turns": 4, "upright": 320},
)
"""The entry of every model with a local head."""

FEATURES: dict[str, Features] = {
    "sift": Features(
        sift,
        "blobs in scale space, root of their gradient histograms",
        "Lowe 2004; Arandjelović and Zisserman 2012",
        "image",
        indexed={"count": 150, "longest": 256},
        query={"count": 500, "longest": 480},
        bits=3,
    ),
    "conv": Features(
        conv,
        "strongest positions of the feature map, their channels",
        "Tolias, Jenicek and Chum 2020",
        "map",
        indexed={"count": 300},
        query={"count": 300},
    ),
    "kin": replace(
        LOCAL_HEAD,
        summary="keypoints and descriptors of the bundled network, from the pass that describes an image",
        bits=1,
    ),
}


def find_features(name: str) -> Features | None:
    """Return the entry of that name, or that of a model with a local head; None if the name is unknown.

    name: a key of FEATURES, or a model as in `kindred.backbones.load`, by name or path. Raises ModelError for a model
    that cannot be used.
    """
    if name in FEATURES:
        return FEATURES[name]
    try:
        card, _ = load_card(name)
    except ModelError:
        if name.endswith((".onnx", ".toml")):
            raise
        return None
    bits = 1 if local_head(card).signs else 8
    return replace(LOCAL_HEAD, bits=bits, summary=f"keypoints and descriptors of {card.name}", source=card.source)


def find_matcher(name: str) -> LearnedMatcher | None:
    """Return the matcher that pairs the local features of that name; None if they are paired by nearest neighbours.

    Raises ModelError for a model that cannot be used; the matcher itself is read at its first use.
    """
    found = _matched_model(name)
    return None if found is None else LearnedMatcher(*found)


def _matched_model(name: str) -> tuple[Card, Path] | None:
    """Return card and file of the model of these features, None if it has no matcher, or if they are of no model."""
    entry = find_features(name) if name else None
    if entry is None or entry.needs != "network":
        return None
    card, path = load_card(name)
    return (card, path) if local_head(card).matcher else None


def identity_of(name: str) -> dict[str, object]:
    """Return what the local features of that name depend on: options, stored bits and network; {} for "".

    Words and calibrations fitted on these features, and cached descriptions, are only valid for the same. What pairs
    them is used when they are compared, and is no part of this: see `matcher_identity_of`.
    """
    entry = find_features(name) if name else None
    if entry is None:
        return {}
    options = {"indexed": dict(entry.indexed), "query": dict(entry.query), "bits": entry.bits}
    return {"kind": name, **options, "network": _network_digest(name) if entry.needs == "network" else ""}


def matcher_identity_of(name: str) -> dict[str, object]:
    """Return what the pairs of local features of that name depend on beside the features: their matcher; {} for none.

    Calibrations are only valid for the same, as they judge the number of pairs that agree.
    """
    found = _matched_model(name)
    if found is None:
        return {}
    head = local_head(found[0])
    return {"matcher": head.matcher_digest[:16], "matcher_threshold": head.matcher_threshold}


def _network_digest(name: str) -> str:
    """Return the digests of the graphs of a model with a local head."""
    card, _ = load_card(name)
    return f"{card.digest[:16]}{local_head(card).describe_digest[:16]}"


def stored_bits(name: str) -> int:
    """Return the number of bits in which a component of local features is stored; 8 for ""."""
    entry = find_features(name) if name else None
    return 8 if entry is None else entry.bits
