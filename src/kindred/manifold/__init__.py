"""Manifolds: how the images of a library lie together, as coordinates, as a picture, and as vectors to search."""

from kindred.manifold.embedding import EMBEDDINGS, ManifoldEmbedding
from kindred.manifold.isomap import classical_mds
from kindred.manifold.layout import Layout, lay_out
from kindred.manifold.library_map import LibraryMap, map_library, write_coordinates
from kindred.manifold.maps import MAPS, Map, manifold_map
from kindred.manifold.page import map_page, write_map_page
from kindred.manifold.picture import PICTURES, cell_size, draw, write_picture

__all__ = [
    "EMBEDDINGS",
    "MAPS",
    "PICTURES",
    "Layout",
    "LibraryMap",
    "ManifoldEmbedding",
    "Map",
    "cell_size",
    "classical_mds",
    "draw",
    "lay_out",
    "manifold_map",
    "map_library",
    "map_page",
    "write_coordinates",
    "write_map_page",
    "write_picture",
]
