"""Atlas: a map of a library's images by manifold learning, as a picture or as an HTML page to zoom."""

from kindred.atlas.columns import Columns, Groups, months
from kindred.atlas.layout import Layout, lay_out
from kindred.atlas.library_atlas import Atlas, LibraryAtlas
from kindred.atlas.library_map import LibraryMap, map_library, write_coordinates
from kindred.atlas.page import map_page, write_map_page
from kindred.atlas.picture import PICTURES, cell_size, draw, write_picture
from kindred.atlas.sheets import CELLS, SheetsBusy, sheet_count
from kindred.atlas.whole_map import WholeMap, make_map, update_map

__all__ = [
    "CELLS",
    "PICTURES",
    "Atlas",
    "Columns",
    "Groups",
    "Layout",
    "LibraryAtlas",
    "LibraryMap",
    "SheetsBusy",
    "WholeMap",
    "cell_size",
    "draw",
    "lay_out",
    "make_map",
    "map_library",
    "map_page",
    "months",
    "sheet_count",
    "update_map",
    "write_coordinates",
    "write_map_page",
    "write_picture",
]
