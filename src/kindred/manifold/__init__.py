"""Manifold learning: maps of vectors to points in the plane, and embeddings to search in.

`manifold_map` computes points by a name of `MAPS`; `ManifoldEmbedding` also embeds new vectors.
"""

from kindred.manifold.embedding import EMBEDDINGS, ManifoldEmbedding
from kindred.manifold.isomap import classical_mds
from kindred.manifold.maps import MAPS, Map, manifold_map

__all__ = ["EMBEDDINGS", "MAPS", "ManifoldEmbedding", "Map", "classical_mds", "manifold_map"]
