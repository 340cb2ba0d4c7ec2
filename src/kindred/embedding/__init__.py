"""Embedding: the local descriptors of an image, as many as it has, to one vector by way of a learned codebook.

Local descriptors are the positions of one or several feature maps, or the vectors of several regions. `Codebook`
(k-means) and `Mixture` (Gaussians) are learned once, on independent images. `EMBEDDINGS` is the table of what makes
one vector of an image; `KEPT_EMBEDDINGS` of what keeps several, for `kindred.matching`.
"""

from kindred.embedding.codebook import Codebook
from kindred.embedding.mixture import Mixture
from kindred.embedding.table import (
    EMBEDDINGS,
    KEPT_EMBEDDINGS,
    LEARNERS,
    Embedding,
    KeptEmbedding,
    Learned,
    embed,
    embed_kept,
)

__all__ = [
    "EMBEDDINGS",
    "KEPT_EMBEDDINGS",
    "LEARNERS",
    "Codebook",
    "Embedding",
    "KeptEmbedding",
    "Learned",
    "Mixture",
    "embed",
    "embed_kept",
]
