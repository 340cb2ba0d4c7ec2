"""Provenance: separate digests of all that the vectors of a recipe depend on, so that a library can name a change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Provenance", "digest_of_arrays", "digest_of_values"]


@dataclass(frozen=True)
class Provenance:
    """A digest of each component that vectors depend on; "" if a recipe does not have it.

    version: the version number of the describing code. settings: those of the recipe. network: its graph, preprocessing
    and taps, and those of the detector. pooling: the source of a custom function, and fitted parameters.
    """

    version: str
    settings: str = ""
    network: str = ""
    pooling: str = ""
    codebook: str = ""
    whitening: str = ""

    def to_json(self) -> str:
        """Return the provenance as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self | None:
        """Parse the output of `to_json`; None for anything else."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return None
        names = {field.name for field in fields(cls)}
        sound = isinstance(found, dict) and set(found) == names
        return cls(**found) if sound and all(isinstance(each, str) for each in found.values()) else None

    def differences(self, other: Self, networks: str) -> list[str]:
        """Return the differences of `other` as phrases ("another codebook"); `networks`: the names of its networks."""
        versions = f"descriptions of version {other.version[:10]}, not {self.version[:10]}"
        words = {
            "version": f"another version of Kindred ({versions})",
            "settings": "other settings",
            "network": f"another network of the name {networks}",
            "pooling": "another pooling function or other parameters of it",
            "codebook": "another codebook",
            "whitening": "another whitening",
        }
        return [words[name] for name in words if getattr(self, name) != getattr(other, name)]

    @classmethod
    def combined(cls, own: Self, parts: Iterable[Self]) -> Self:
        """Return the provenance of an ensemble, from its own and those of its recipes."""
        every = [own, *parts]
        merged = {field.name: [getattr(each, field.name) for each in every] for field in fields(cls)}
        digests = {name: digest_of_values(values) if any(values) else "" for name, values in merged.items()}
        return cls(**{**digests, "version": own.version})


def digest_of_values(values: object) -> str:
    """Return a digest of plain values, as 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def digest_of_arrays(fitted: Iterable[Mapping[str, NDArray[Any]]]) -> str:
    """Return a digest of arrays by name, as 16 hexadecimal digits; "" if there are none."""
    digest, count = hashlib.sha256(), 0
    for arrays in fitted:
        for name, array in sorted(arrays.items()):
            digest.update(f"{name} {array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes())
            count += 1
    return digest.hexdigest()[:16] if count else ""
