"""Re-ranking: improve a ranking with the vectors or the local features of its results.

`rerank` applies methods by name, from the table `RERANKERS`; each is a function of a `Ranking` and its
`Context`. `RerankCache` stores what some of them compute once per gallery.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kindred._support.late import imported_late

if TYPE_CHECKING:
    from kindred.rerank.cache import RerankCache
    from kindred.rerank.context import Context, Gallery, Reranker
    from kindred.rerank.diffusion import Diffusion
    from kindred.rerank.expansion import augment
    from kindred.rerank.gallery import ArrayGallery
    from kindred.rerank.graph import NeighbourGraph
    from kindred.rerank.manifold import GalleryManifold, ManifoldOptions
    from kindred.rerank.offline import OfflineDiffusion, OfflineOptions
    from kindred.rerank.table import RERANKERS, Entry, Method, parse_methods, rerank

__all__ = [
    "RERANKERS",
    "ArrayGallery",
    "Context",
    "Diffusion",
    "Entry",
    "Gallery",
    "GalleryManifold",
    "ManifoldOptions",
    "Method",
    "NeighbourGraph",
    "OfflineDiffusion",
    "OfflineOptions",
    "RerankCache",
    "Reranker",
    "augment",
    "parse_methods",
    "rerank",
]

__getattr__ = imported_late(
    __name__,
    {
        "cache": "RerankCache",
        "context": "Context, Gallery, Reranker",
        "diffusion": "Diffusion",
        "expansion": "augment",
        "gallery": "ArrayGallery",
        "graph": "NeighbourGraph",
        "manifold": "GalleryManifold, ManifoldOptions",
        "offline": "OfflineDiffusion, OfflineOptions",
        "table": "RERANKERS, Entry, Method, parse_methods, rerank",
    },
)
