"""Atlas: a map of a library's images by manifold learning, as a picture or as an HTML page to zoom."""

from kindred.atlas.layout import Layout, lay_out
from kindred.atlas.library_map import LibraryMap, map_library, write_coordinates
from kindred.atlas.page import map_page, write_map_page
from kindred.atlas.picture import PICTURES, cell_size, draw, write_picture

__all__ = [
    "PICTURES",
    "Layout",
    "LibraryMap",
    "cell_size",
    "draw",
    "lay_out",
    "map_library",
    "map_page",
    "write_coordinates",
    "write_map_page",
    "write_picture",
]
