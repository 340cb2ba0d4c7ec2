"""Embedding: any number of local descriptors of an image to one vector, by means of a fitted codebook.

Local descriptors are the positions of one or several feature maps, or the vectors of several regions. `Codebook`
(k-means) and `Mixture` (Gaussians) are fitted once, on independent images. `EMBEDDINGS` is the table of the
embeddings that return one vector per image, `MULTI_VECTOR_EMBEDDINGS` of those that return several, for
`kindred.matching`.
"""

from kindred.embedding.codebook import Codebook
from kindred.embedding.mixture import Mixture
from kindred.embedding.signatures import WordQuantizer
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
    "WordQuantizer",
    "embed",
    "embed_multi_vector",
]
