"""Embedding: the local descriptors of an image, as many as it has, to one vector by way of a learned codebook.

Local descriptors are the positions of one or several feature maps, or the vectors of several regions. `Codebook`
(k-means) and `Mixture` (Gaussians) are learned once, on independent images. `EMBEDDINGS` is the table of what makes
one vector of an image; `MULTI_VECTOR_EMBEDDINGS` of what keeps several, for `kindred.matching`.
"""

from kindred.embedding.codebook import Codebook
from kindred.embedding.mixture import Mixture
from kindred.embedding.table import (
    EMBEDDINGS,
    MULTI_VECTOR_EMBEDDINGS,
    VOCABULARIES,
    Embedding,
    FittedVocabulary,
    MultiVectorEmbedding,
    embed,
    embed_multi_vector,
)

__all__ = [
    "EMBEDDINGS",
    "MULTI_VECTOR_EMBEDDINGS",
    "VOCABULARIES",
    "Codebook",
    "Embedding",
    "FittedVocabulary",
    "Mixture",
    "MultiVectorEmbedding",
    "embed",
    "embed_multi_vector",
]
