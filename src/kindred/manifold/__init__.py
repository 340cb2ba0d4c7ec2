"""Manifolds: how vectors lie together, as points to draw and as other vectors to search.

`manifold_map` makes points by a name of `MAPS`; `ManifoldEmbedding` places what it was not made of, too.
"""

from kindred.manifold.embedding import EMBEDDINGS, ManifoldEmbedding
from kindred.manifold.isomap import classical_mds
from kindred.manifold.maps import MAPS, Map, manifold_map

__all__ = ["EMBEDDINGS", "MAPS", "ManifoldEmbedding", "Map", "classical_mds", "manifold_map"]
